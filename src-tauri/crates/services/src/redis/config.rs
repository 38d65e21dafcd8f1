//! The files of a server: `redis.conf` and `users.acl`. Pure text; who writes them is in `form` and `change`.
//!
//! A server rewrites its own `redis.conf` when a Sentinel tells it to, so what stands there is read line by line and a
//! single directive can be replaced in it.

use super::{
    flavour::Flavour,
    session::{BUS_PORT, address},
};
use clusterdeck_domain::{NodeSpec, Sensitive, Topology, replica_needed_for_writes};
use clusterdeck_driver::{ClusterContext, Machine, Result, StartAs};
use sha2::{Digest, Sha256};

/// The server's configuration on its machine.
pub(crate) const CONF: &str = "redis/redis.conf";
/// Its users.
pub(crate) const ACL: &str = "redis/users.acl";
/// Its data.
pub(crate) const DATA: &str = "redis/data";
/// The folder of all three.
pub(crate) const FOLDER: &str = "redis";

const MIB: u64 = 1 << 20;
/// A member of a sharded cluster is taken for dead after this time; 1.6 s later a replica leads (measured). A busy
/// machine stops a server for longer than a second now and then, which must not count as death.
pub(crate) const CLUSTER_NODE_TIMEOUT_MS: u32 = 2000;
/// A replica that has not acknowledged for so long does not count as reachable.
const REACHABLE_WITHIN_SECONDS: u32 = 3;

/// What people may do: everything but running the cluster. `config get` shows the password with which replicas connect;
/// it gives access to no more than the data these users read anyway.
const PEOPLE: &str = "~* &* +@all -@admin -@dangerous +info +role +keys +sort +flushdb +flushall +swapdb +restore \
    +lastsave +slowlog +latency +config|get +acl|whoami +client|getname +client|setname +client|id +client|info \
    +client|list +client|reply +client|tracking +client|trackinginfo +client|caching +client|getredir +client|unblock";
/// As the Sentinel documentation lists it, and `failover` for the coordinated failover of Valkey 9.
const SENTINEL: &str = "resetchannels &__sentinel__:hello -@all +multi +exec +slaveof +replicaof +ping +subscribe \
    +config|rewrite +role +publish +info +client|setname +client|kill +script|kill +failover";
/// Only what a role check asks.
const WATCH: &str = "resetchannels -@all +ping +info +role +cluster|info";

/// How an ACL file holds a password.
fn hash(password: &Sensitive<String>) -> String {
    format!("#{}", hex::encode(Sha256::digest(password.reveal().as_bytes())))
}

/// The passwords that are accepted for a secret, as an ACL rule: two while rotating.
pub(crate) fn hashes(cx: &ClusterContext, secret: &str) -> Result<String> {
    let (current, newest) = (cx.secrets.get(secret)?, cx.secrets.newest(secret)?);
    let accepted = hash(current);
    Ok(if newest == current { accepted } else { format!("{accepted} {}", hash(newest)) })
}

/// The users of a server: name and rules, passwords first. While rotating each user has two passwords.
pub(crate) fn users(cx: &ClusterContext) -> Result<Vec<(&'static str, String)>> {
    let replica = format!("resetchannels -@all {}", Flavour::of(cx.spec.service).replica_commands);
    let wanted = [
        ("default", "people", PEOPLE),
        ("operator", "operator", "~* &* +@all"),
        ("replica", "replica", replica.as_str()),
        ("sentinel", "sentinel", SENTINEL),
        ("watch", "watch", WATCH),
    ];
    let mut users = Vec::with_capacity(wanted.len());
    for (name, secret, rules) in wanted {
        users.push((name, format!("{} {rules}", hashes(cx, secret)?)));
    }
    Ok(users)
}

/// The content of `users.acl`.
pub(crate) fn acl(cx: &ClusterContext) -> Result<String> {
    let users = users(cx)?;
    Ok(users.iter().fold(String::new(), |mut text, (name, rules)| {
        let rules = rules.split_whitespace().collect::<Vec<_>>().join(" ");
        text.push_str(&format!("user {name} reset on {rules}\n"));
        text
    }))
}

/// A value as a configuration file wants it when it may hold blanks.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `cluster-replica-no-failover`: whether a replica of a sharded cluster keeps out of elections. It can still be promoted
/// on purpose.
pub(crate) const fn stays_replica(cx: &ClusterContext, node: &NodeSpec) -> &'static str {
    if node.drained || !cx.spec.auto_failover { "yes" } else { "no" }
}

/// The smallest number of replicas a primary wants to see before it takes a write.
pub(crate) fn replicas_for_writes(cx: &ClusterContext) -> u8 {
    u8::from(replica_needed_for_writes(&cx.spec))
}

/// The content of `redis.conf`.
pub(crate) fn conf(
    cx: &ClusterContext,
    node: &NodeSpec,
    machine: &dyn Machine,
    version: &str,
    start_as: &StartAs,
) -> Result<String> {
    let flavour = Flavour::of(cx.spec.service);
    let modern = flavour.knows_redis_7(version);
    let (ip, port) = address(machine);
    let memory = machine.plan().memory_bytes;
    let data = machine.path(DATA).to_string_lossy().into_owned();
    let users = machine.path(ACL).to_string_lossy().into_owned();
    // Three quarters: the rest is for what `maxmemory` does not count (buffers of replicas and of the log) and for the
    // pages that change, and so exist twice, while a child process writes a snapshot.
    let maxmemory = memory / 4 * 3;
    // Long enough for a replica that was away for some seconds to continue where it was.
    let backlog = (memory / 64).clamp(MIB, 256 * MIB);
    let replica_buffer = (memory / 8).max(32 * MIB);

    let mut text = String::from("# Written by Clusterdeck. The server rewrites it when its role changes.\n");
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        text.push_str(&format!("{name} {value}\n"));
    };
    line("bind", &ip);
    line("port", &port);
    line("protected-mode", &"yes");
    line("daemonize", &"no");
    line("supervised", &"no");
    line("logfile", &"\"\"");
    line("dir", &quoted(&data));
    line("aclfile", &quoted(&users));
    line("tcp-keepalive", &60);
    line("timeout", &0);
    if modern {
        line("enable-debug-command", &"no");
        line("enable-module-command", &"no");
    }
    line("maxmemory", &maxmemory);
    // A database refuses a write rather than forget another one; a cache may set another policy.
    line("maxmemory-policy", &"noeviction");
    line("appendonly", &"yes");
    line("appendfsync", &"everysec");
    line("aof-use-rdb-preamble", &"yes");
    // The log is what is read after a crash; one snapshot an hour is for those who copy files.
    line("save", &"3600 1");
    line("repl-diskless-sync", &"yes");
    line("repl-diskless-sync-delay", &0);
    line("repl-backlog-size", &backlog);
    // A hung primary is noticed by its replicas, and shown, well before the default of a minute.
    line("repl-ping-replica-period", &2);
    line("repl-timeout", &15);
    line("client-output-buffer-limit", &format!("replica {replica_buffer} {} 60", replica_buffer / 2));
    line("client-output-buffer-limit", &"pubsub 33554432 8388608 60");
    line("replica-announce-ip", &ip);
    line("replica-announce-port", &port);
    line("replica-priority", &if node.drained { 0 } else { 100 });
    line("masteruser", &"replica");
    line("masterauth", &cx.secrets.newest("replica")?.reveal());
    line("min-replicas-to-write", &replicas_for_writes(cx));
    line("min-replicas-max-lag", &REACHABLE_WITHIN_SECONDS);

    match cx.spec.topology {
        Topology::Sharded => {
            let bus = machine.port(BUS_PORT);
            line("cluster-enabled", &"yes");
            line("cluster-config-file", &"nodes.conf");
            line("cluster-node-timeout", &CLUSTER_NODE_TIMEOUT_MS);
            line("cluster-announce-ip", &ip);
            line("cluster-announce-port", &port);
            line("cluster-announce-bus-port", &bus);
            if modern {
                line("cluster-port", &bus);
                // Which node copies which shard is written in the spec; a server that moves by itself would break it.
                line("cluster-allow-replica-migration", &"no");
            } else {
                line("cluster-migration-barrier", &100);
            }
            // The other shards go on serving when one has nobody left.
            line("cluster-require-full-coverage", &"no");
            line("cluster-replica-no-failover", &stays_replica(cx, node));
        }
        Topology::MultiMaster if flavour.has_active_replicas() => {
            line("active-replica", &"yes");
            line("multi-master", &"yes");
            for other in cx.spec.data_nodes().filter(|n| n.id != node.id) {
                let (ip, port) = address(cx.machine(other)?.as_ref());
                line("replicaof", &format!("{ip} {port}"));
            }
        }
        _ => {
            if let StartAs::ReplicaOf(primary) = start_as {
                let (ip, port) = address(cx.machine(cx.node(primary)?)?.as_ref());
                line("replicaof", &format!("{ip} {port}"));
            }
        }
    }
    Ok(text)
}

/// Whether a configuration on disk makes a server follow somebody.
pub(crate) fn follows(conf: &str) -> bool {
    conf.lines().any(|line| matches!(line.split_whitespace().next(), Some("replicaof" | "slaveof")))
}

/// A configuration with one directive replaced, or added; `None` takes it away.
pub(crate) fn with(conf: &str, name: &str, value: Option<&str>) -> String {
    let mut text = String::with_capacity(conf.len() + 80);
    for line in conf.lines().filter(|line| line.split_whitespace().next() != Some(name)) {
        text.push_str(line);
        text.push('\n');
    }
    if let Some(value) = value {
        text.push_str(&format!("{name} {value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directive_is_replaced_and_the_others_stay() {
        let before = "port 6379\nmasterauth old\nreplicaof 127.0.0.1 6379\n";
        let after = with(before, "masterauth", Some("new"));
        assert!(after.contains("masterauth new\n") && !after.contains("old") && after.contains("port 6379"));
        assert!(follows(&after));
        assert!(!follows(&with(&after, "replicaof", None)), "without the line it is a primary");
    }

    #[test]
    fn a_password_is_kept_as_its_hash() {
        let known = "#ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(&Sensitive::new("abc".to_owned())), known, "SHA-256 of abc, from FIPS 180-2");
    }
}
