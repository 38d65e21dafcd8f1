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

Voters that lose their leader give every lock its whole time again. So the node that leads the cluster does not lead its
voters: when it dies the others need not agree on both, one after the other (measured: 7 to 11 s instead of 5 to 7 s).
"""
import sys

LOOKS_EVERY_S = 3


def version():
    from patroni.version import __version__
    return tuple(int(part) for part in __version__.split('.')[:3] if part.isdigit())


def look_often():
    import patroni.postgresql
    if hasattr(patroni.postgresql, 'STOP_POLLING_INTERVAL'):
        patroni.postgresql.STOP_POLLING_INTERVAL = 0.05


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
    import time
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
    import json
    import ssl
    import threading
    import time
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
    if version() < (3, 0, 3):
        never_take_the_lock_of_another()
    hand_on_the_lead_of_the_voters(sys.argv[1])
    from patroni.__main__ import main
    sys.exit(main())
