"""Runs Patroni and sees that PostgreSQL never takes writes without it. Arguments: a pipe, the data folder, Patroni's program, a
script to run in its place, its configuration.

While its node leads, Patroni writes a sign of life into the pipe each second (its interface to a watchdog), and says how long
its silence may last. When it hangs, the cluster elects another leader after the time to live: PostgreSQL here ends before
that, so that two nodes never take writes. When it was killed it is started again at once and finds PostgreSQL running.
"""
import os
import re
import select
import signal
import subprocess
import sys
import time


def now():
    """Seconds since the computer started, the time it slept included. A clock that is set does not move it."""
    return time.clock_gettime(getattr(time, 'CLOCK_BOOTTIME', time.CLOCK_MONOTONIC))


def say(text):
    """A log that cannot be written, on a full disk, ends nothing; nor does one that is written just when a signal comes."""
    try:
        os.write(2, ('guard: %s\n' % text).encode())
    except OSError:
        pass


def send(pid, sign):
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        pass


def children(pid):
    """Their numbers; empty where they cannot be found out: then they notice by themselves that they are alone."""
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid)) as file:
            found = file.read()
    except OSError:
        try:
            found = subprocess.run(['pgrep', '-P', str(pid)], stdout=subprocess.PIPE, text=True, timeout=2).stdout
        except (OSError, subprocess.SubprocessError):
            found = ''
    return [int(child) for child in found.split()]


class Guard:
    def __init__(self, pipe, data, program, launch, conf):
        self.data = data
        # Patroni need not be the system's: its program names the Python that has it.
        with open(program) as file:
            python = file.readline().strip().lstrip('#!').split()
        self.command = [*python, launch, conf]
        if os.path.lexists(pipe):
            os.unlink(pipe)
        os.mkfifo(pipe, 0o600)
        # Open for both, so that it never ends.
        self.pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        self.stopping = False
        self.patroni = None
        self.promised = 4
        # How long its silence may last; none while its node does not lead.
        self.limit = None
        self.heard = now()

    def postmaster(self):
        """Its number. After a restart of the computer the one in the file may be somebody else's: it works in its data folder."""
        try:
            with open(os.path.join(self.data, 'postmaster.pid')) as file:
                pid = int(file.readline())
            os.kill(pid, 0)
            if os.path.isdir('/proc/self') and not os.path.samefile('/proc/%d/cwd' % pid, self.data):
                return None
            return pid
        except (OSError, ValueError):
            return None

    def end_postgres(self):
        """With all it has started: a backend that is busy would notice only later that it is alone, and acknowledge until then."""
        pid = self.postmaster()
        if pid is None:
            return
        # Stopped it starts no more, and the numbers of those that ended stay theirs.
        send(pid, signal.SIGSTOP)
        for child in children(pid):
            send(child, signal.SIGKILL)
        send(pid, signal.SIGKILL)

    def look(self, *_signal):
        """Ends PostgreSQL and itself after too long a silence."""
        silence = now() - self.heard
        if self.limit is None or self.stopping or silence < self.limit:
            return
        self.end_postgres()
        say('no sign of life from Patroni for %.1f s: PostgreSQL is ended' % silence)
        send(self.patroni.pid, signal.SIGKILL)
        os._exit(70)

    def listen(self):
        # A computer that was suspended says nothing to its processes when it wakes: the waits are short.
        select.select([self.pipe], [], [], 0.1)
        # Before a sign counts: whoever slept for too long, the guard with all others, wakes beside another leader.
        self.look()
        try:
            said = os.read(self.pipe, 4096).decode('ascii', 'replace')
        except BlockingIOError:
            return
        self.heard = now()
        for promised, sign in re.findall('Ctimeout=([0-9]+)\n|(.)', said, re.DOTALL):
            if promised:
                self.promised = int(promised)
            else:
                self.limit = None if sign == 'V' else self.promised

    def stop(self, *_signal):
        self.stopping = True
        if self.patroni:
            self.patroni.terminate()

    def run(self):
        """Until Patroni has ended. Returns its status."""
        # A hung guard that goes on first of all asks how long it was away.
        signal.signal(signal.SIGCONT, self.look)
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        status = None
        while not (self.stopping and status is not None):
            if self.patroni is None or status is not None:
                began = now()
                self.patroni = subprocess.Popen(self.command)
                # Whoever asked for a stop meanwhile meant this one.
                if self.stopping:
                    self.patroni.terminate()
            self.listen()
            status = self.patroni.poll()
            if status is not None and not self.stopping:
                say('Patroni has ended by itself (status %d)' % status)
                # One that ends as soon as it has begun would end again.
                if now() - began < 5:
                    self.end_postgres()
                    break
        if self.stopping:
            # While the cluster is in maintenance Patroni leaves PostgreSQL running; a stop means both. SIGINT: a fast shutdown.
            pid = self.postmaster()
            if pid is not None:
                send(pid, signal.SIGINT)
            while self.postmaster() is not None:
                time.sleep(0.05)
        return status


if __name__ == '__main__':
    sys.exit(Guard(*sys.argv[1:]).run() & 0xff)
