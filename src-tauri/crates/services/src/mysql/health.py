# What health.pl is, where there is no perl: for python3, or the Python inside of `mysqlsh --py`, which the makers' images of
# MySQL hold. Nothing beyond the standard library, and nothing of the shell's own. Both files say the same; change both.
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time

# The shell may have arguments of its own before ours.
ADDRESS, PORT, CLIENT, CONF, KIND = sys.argv[-5:]
ANSWERS_WITHIN = 0.35  # seconds; HAProxy waits half a second
ASKS_WITHIN = 1
MOST = 64  # connections at a time


def status(name):
    return f"COALESCE((SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '{name}'), '-')"


# MariaDB: does it follow, is it in step with its group. MySQL: what it is in its group, and whether that has a majority.
MEMBERS = 'FROM performance_schema.replication_group_members'
QUESTIONS = {
    'mariadb': "SELECT CONCAT_WS(' ', 'role', @@global.read_only + 0, "
    + ', '.join(map(status, ('SLAVE_RUNNING', 'WSREP_READY', 'WSREP_LOCAL_STATE'))) + ');\n',
    'group': "SELECT CONCAT_WS(' ', 'role', @@global.super_read_only + 0, "
    f"COALESCE((SELECT MEMBER_STATE {MEMBERS} WHERE MEMBER_ID = @@server_uuid), 'OFFLINE'), "
    f"COALESCE((SELECT NULLIF(MEMBER_ROLE, '') {MEMBERS} WHERE MEMBER_ID = @@server_uuid), '-'), "
    f"(SELECT SUM(MEMBER_STATE IN ('ONLINE', 'RECOVERING')) * 2 > COUNT(*) {MEMBERS}));\n",
}
QUESTION = QUESTIONS[KIND].encode()
SAID = re.compile(rb'^role (\d) (\S+) (\S+) (\S+)$', re.MULTILINE)
ASKED = re.compile(rb'^GET (/\w+) .*?\r?\n')


class Client:
    """One session of the server's own client, asked anew for each check."""

    def __init__(self):
        self.process = None

    def hang_up(self):
        process, self.process = self.process, None
        if process:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def role(self):
        """The server's words about itself, or nothing."""
        try:
            return self.ask()
        except OSError:
            self.hang_up()
            return None

    def ask(self):
        if not self.process:
            options = ['--batch', '--skip-column-names', '--unbuffered', '--connect-timeout=1']
            # What the client complains of is in the server's own log.
            self.process = subprocess.Popen(
                [CLIENT, f'--defaults-file={CONF}', *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            )
        self.process.stdin.write(QUESTION)
        out, text, until = self.process.stdout.fileno(), b'', time.monotonic() + ANSWERS_WITHIN
        while b'\n' not in text:
            left = until - time.monotonic()
            more = os.read(out, 4096) if left > 0 and select.select([out], [], [], left)[0] else b''
            if not more:
                self.hang_up()
                return None
            text += more
        said = SAID.search(text)
        return [word.decode() for word in said.groups()] if said else None


def mariadb(path, read_only, follows, ready, state):
    """What a server that follows its primary, or is a member of Galera, may take."""
    if path == '/primary':
        return read_only == '0' and follows != 'ON' and not re.match('[1-9]', state)
    if path == '/replica':
        return read_only == '1' and follows == 'ON'
    return path == '/member' and ready == 'ON' and state == '4'


def group(path, read_only, state, role, majority):
    """What a member of a group may take; a single node is in none."""
    member = state == 'ONLINE' and majority == '1'
    if path == '/primary':
        return read_only == '0' and (state == 'OFFLINE' or (member and role == 'PRIMARY'))
    if path == '/replica':
        return member and role == 'SECONDARY'
    return path == '/member' and member and read_only == '0'


def answer(client, path):
    said = client.role()
    return bool(said) and (group if KIND == 'group' else mariadb)(path, *said)


def serve():
    try:
        # Python itself sees to it; one inside of another program may not, or not let us.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    except ValueError:
        pass
    listener = socket.create_server((ADDRESS, int(PORT)), backlog=64)
    client, asked = Client(), {}  # connection => [what it said, since]
    while True:
        for one in select.select([listener, *asked], [], [], 0.5)[0]:
            try:
                if one is listener:
                    new, _ = listener.accept()
                    if len(asked) >= MOST:
                        new.close()
                        continue
                    new.setblocking(False)
                    asked[new] = [b'', time.monotonic()]
                    continue
                got = one.recv(1024)
                asked[one][0] += got
                wish = ASKED.match(asked[one][0])
                if got and wish:
                    line = '200 OK' if answer(client, wish.group(1).decode()) else '503 Service Unavailable'
                    one.send(f'HTTP/1.0 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'.encode())
                elif got and len(asked[one][0]) < 2048:
                    continue
            except OSError:
                if one is listener:
                    continue
            asked.pop(one, None)
            one.close()
        for one in [one for one, (_, since) in asked.items() if time.monotonic() - since >= ASKS_WITHIN]:
            asked.pop(one)
            one.close()


serve()
