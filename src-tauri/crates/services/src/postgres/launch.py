"""Runs Patroni, with repairs where what is installed needs them. Argument: its configuration.

It looks at once whether PostgreSQL has stopped, and again only after a second; that second is most of what a planned
hand-over costs (measured with 3.0.2: 1.4 s without writes, 0.6 s when it looks twenty times a second).

Before 3.0.3, over etcd 3, a leader that was suspended for longer than its lock lasts writes the lock again when it wakes,
over the name of the one elected meanwhile; that one then steps back, and what it had acknowledged is lost (upstream
#2689, #2693; measured: 529 and 1269 writes, none with this repair).

It keeps what the voters hold by a watch at one of them, and ends that watch when the voter is silent. python-etcd swaps in
PyOpenSSL's sockets, of which no other thread can end a wait (upstream #3420): a replica whose voter hung with the primary
believed in that primary until both woke (measured: 12.4 to 14.9 s without writes in 3 of 10 such failures).

From 3.1 on it raises a lock's time to live to 20 s, whatever was chosen, and only says so in its log: a dead or silent
primary then costs over 20 s (measured: 22.3 s). What is chosen here is checked where it is chosen.

From 4.0 on a primary that has stopped in order waits a second before it gives the lock away, so that replicas get the end of
its log, also where they have it (measured: 2.1 to 2.4 s without writes).

A copy of a server that is promoted meanwhile is useless, and that shows at its end only. A new node copies from whoever has the
lock, also while that one is still being promoted, as the first of a cluster is that starts on a copy: all would be copied twice,
five seconds apart (measured with 57 MB: 15 s until three nodes stood, else 11 s). Here it is asked first whether it takes writes.

What a former primary took and nobody received goes when it follows again, and only its log says so. Here it is told what
goes, in the status of the node, and a folder that would be removed is kept beside.

Voters that lose their leader give every lock its whole time again. So the node that leads the cluster does not lead its
voters: when it dies the others need not agree on both, one after the other (measured: 7 to 11 s instead of 5 to 7 s).
"""
import json
import os
import sys
import time

LOOKS_EVERY_S = 3
RECORDS_READ = 100000


def version():
    from patroni.version import __version__
    return tuple(int(part) for part in __version__.split('.')[:3] if part.isdigit())


def look_often():
    import patroni.postgresql
    if hasattr(patroni.postgresql, 'STOP_POLLING_INTERVAL'):
        patroni.postgresql.STOP_POLLING_INTERVAL = 0.05


def wait_no_longer_than_replicas_need():
    """Its function is one inside another, out of reach; the clock of its module is not."""
    import patroni.ha

    class Clock:
        def __getattr__(self, name):
            return getattr(time, name)

        def sleep(self, seconds):
            caller = sys._getframe(1)
            ha, end = (caller.f_locals.get(name) for name in ('self', 'checkpoint_location'))
            if caller.f_code.co_name != 'on_shutdown' or not ha or not end:
                return time.sleep(seconds)

            def known(*args, **kwargs):
                # It asks once more; asking takes a connection to each replica.
                del ha.is_failover_possible
                return True

            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if ha.is_failover_possible(cluster_lsn=end):
                    ha.is_failover_possible = known
                    return None
                time.sleep(0.05)

    patroni.ha.time = Clock()


def tell_what_is_given_up(path):
    from patroni.api import RestApiHandler
    from patroni.postgresql import Postgresql
    from patroni.postgresql.rewind import Rewind

    note = os.path.join(os.path.dirname(path), 'given-up.json')
    show, check, rewind = Rewind._log_primary_history, Rewind._check_timeline_and_lsn, Rewind.pg_rewind
    remove, status = Postgresql.remove_data_directory, RestApiHandler.get_postgresql_status
    fork = {}

    def write(**what):
        what['at'] = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
        with open(note + '.new', 'w') as file:
            json.dump(what, file)
        os.replace(note + '.new', note)

    def log_primary_history(history, i):
        fork.update(timeline=history[i][0], at=history[i][1])
        return show(history, i)

    def lost(rewinding):
        """Transactions beyond the place where the new primary's log begins. Bytes would count a segment's empty rest."""
        if not fork or rewinding._get_local_timeline_lsn()[1] != fork['timeline']:
            return None, None
        start = '%X/%X' % (fork['at'] >> 32, fork['at'] & 0xffffffff)
        said = rewinding._postgresql.waldump(fork['timeline'], start, RECORDS_READ)[0]
        if not said:
            return None, None
        return said.count(b'desc: COMMIT'), said.count(b'\n') >= RECORDS_READ

    def check_timeline_and_lsn(self, leader):
        fork.clear()
        return check(self, leader)

    def pg_rewind(self, primary):
        try:
            count, more = lost(self)
        except Exception:
            count, more = None, None  # What is told may not keep it from following.
        done = rewind(self, primary)
        if done and count != 0:
            write(transactions=count, more=more)
        return done

    def remove_data_directory(self):
        # Also called for what remains of a copy that failed, which nobody needs.
        if sys._getframe(1).f_code.co_name not in ('execute', '_do_reinitialize'):
            return remove(self)
        import shutil
        kept = self.data_dir + '.diverged'
        shutil.rmtree(kept, ignore_errors=True)
        os.rename(self.data_dir, kept)
        write(kept=kept)

    def get_postgresql_status(self, *args, **kwargs):
        found = status(self, *args, **kwargs)
        try:
            with open(note) as file:
                found['given_up'] = json.load(file)
        except (OSError, ValueError):
            pass
        return found

    Rewind._log_primary_history = staticmethod(log_primary_history)
    Rewind._check_timeline_and_lsn = check_timeline_and_lsn
    Rewind.pg_rewind = pg_rewind
    Postgresql.remove_data_directory = remove_data_directory
    RestApiHandler.get_postgresql_status = get_postgresql_status


def copy_only_from_who_takes_writes():
    from patroni.ha import Ha
    from patroni.postgresql.rewind import Rewind
    bootstrap = Ha.bootstrap

    def once_it_takes_writes(self):
        leader, postgres = self.cluster.leader, self.state_handler
        if not self.cluster.is_unlocked() and leader.conn_url:
            whom = leader.conn_kwargs(postgres.config.rewind_credentials)
            whom['dbname'] = whom.get('dbname') or postgres.database
            if not Rewind.check_leader_is_not_in_recovery(whom):
                return 'waiting for %s to take writes' % leader.name
        return bootstrap(self)

    Ha.bootstrap = once_it_takes_writes


def let_watches_be_ended():
    try:
        import etcd  # noqa: F401  It swaps when it is imported, so that must be over.
        from urllib3.contrib import pyopenssl
    except ImportError:
        return
    pyopenssl.extract_from_urllib3()


def keep_to_the_timings():
    from patroni.config import Config
    if hasattr(Config, '_validate_and_adjust_timeouts'):
        Config._validate_and_adjust_timeouts = lambda self, config: None


def never_take_the_lock_of_another():
    from patroni.dcs import etcd3

    def update_leader(self):
        retry = self._retry.copy()

        def again(*args, **kwargs):
            kwargs['retry'] = retry
            return retry(*args, **kwargs)

        self._run_and_handle_exceptions(self._do_refresh_lease, True, retry=again)
        if not self._lease:
            return False
        leader = self.cluster and self.cluster.leader
        if getattr(leader, 'session', None) == self._lease:
            return True
        retry.deadline = retry.stoptime - time.time()
        if retry.deadline < 1:
            raise etcd3.Etcd3Error('update_leader timeout')
        key, value = etcd3.base64_encode(self.leader_path), etcd3.base64_encode(self._name)
        # Only while it holds our own name, or nobody's.
        ours = {'key': key, 'target': 'VALUE', 'value': value}
        put = {'request_put': {'key': key, 'value': value, 'lease': self._lease}}
        if self._run_and_handle_exceptions(self._client.txn, ours, put, retry=again):
            return True
        return bool(self._run_and_handle_exceptions(
            self._client.put, self.leader_path, self._name, self._lease, create_revision='0', retry=again))

    etcd3.Etcd3._update_leader = etcd3.catch_return_false_exception(update_leader)


def hand_on_the_lead_of_the_voters(path):
    """Looks every few seconds; the voter beside us is asked, and one that does not answer leads nobody."""
    import base64
    import ssl
    import threading
    import urllib.request

    def look():
        with open(path) as file:
            conf = json.load(file)
        voters, own = conf['etcd3'], conf['restapi']['connect_address'].rsplit(':', 1)[0]
        beside = [host for host in voters['hosts'] if host.rsplit(':', 1)[0] == own]
        if not beside:
            return
        trust = ssl.create_default_context(cafile=voters['cacert'])
        trust.load_cert_chain(voters['cert'], voters['key'])

        def ask(what, **fields):
            request = urllib.request.Request('https://%s/v3/%s' % (beside[0], what), json.dumps(fields).encode())
            with urllib.request.urlopen(request, timeout=2, context=trust) as answer:
                return json.load(answer)

        status = ask('maintenance/status')
        us = status['header']['member_id']
        if status.get('leader') != us:
            return
        lock = base64.b64encode((conf['namespace'] + conf['scope'] + '/leader').encode()).decode()
        holder = ask('kv/range', key=lock).get('kvs')
        if not holder or base64.b64decode(holder[0]['value']).decode() != conf['name']:
            return
        for member in ask('cluster/member/list')['members']:
            if member['ID'] != us and member.get('name') and not member.get('isLearner'):
                try:
                    ask('maintenance/transfer-leadership', targetID=member['ID'])
                    return
                except OSError:
                    pass  # That one does not answer; the next may.

    def go_on():
        while True:
            time.sleep(LOOKS_EVERY_S)
            try:
                look()
            except Exception:
                pass  # Voters that are silent or have no leader are Patroni's to complain of.

    threading.Thread(target=go_on, daemon=True).start()


if __name__ == '__main__':
    look_often()
    let_watches_be_ended()
    keep_to_the_timings()
    copy_only_from_who_takes_writes()
    tell_what_is_given_up(sys.argv[1])
    if version() >= (4, 0, 0):
        wait_no_longer_than_replicas_need()
    if version() < (3, 0, 3):
        never_take_the_lock_of_another()
    hand_on_the_lead_of_the_voters(sys.argv[1])
    from patroni.__main__ import main
    sys.exit(main())
