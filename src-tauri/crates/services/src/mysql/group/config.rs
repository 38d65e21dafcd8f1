//! What a server of a group is told: its file, its size from the plan, and how the group keeps what it has acknowledged. Pure.

use super::super::{
    config::{CONF_HEAD, DATA, PORT, server_id},
    galera,
};
use crate::tls;
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, Machine};

const MIB: u64 = 1 << 20;
/// A server in a group takes this much before it holds any data (measured: 400 MiB alone, some 150 more in a group).
const AT_REST: u64 = 560 * MIB;
/// How long a member that sees no majority goes on waiting before it gives its open writes up.
const WITHOUT_MAJORITY_S: u16 = 5;

/// Memory for pages of tables: most of what is left.
fn buffer_pool(memory: u64) -> u64 {
    (memory.saturating_sub(AT_REST) / 3 * 2).max(64 * MIB)
}

fn on(yes: bool) -> String {
    if yes { "ON" } else { "OFF" }.to_owned()
}

/// Connections people may open: some 10 MiB each beside the shared memory.
fn max_connections(memory: u64) -> u64 {
    (memory / (16 * MIB)).clamp(25, 500)
}

/// The name of the group: the id of the cluster, written as the server wants it.
pub(crate) fn group(cx: &ClusterContext) -> String {
    let digits = cx.spec.id.as_str().rsplit('_').next().unwrap_or_default();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Where a member talks to the others. Its address must be one of a network card; those of loopback but the first are
/// not, so there each member has a port of its own, below those that the system hands out.
pub(crate) fn talks_at(machine: &dyn Machine) -> String {
    match machine.address() {
        std::net::IpAddr::V4(ip) if ip.is_loopback() && ip != std::net::Ipv4Addr::LOCALHOST => {
            let [_, a, b, c] = ip.octets().map(u32::from);
            format!("127.0.0.1:{}", 16_384 + (a * 7_919 + b * 251 + c) % 16_000)
        }
        ip => format!("{ip}:{}", machine.port(galera::PORT)),
    }
}

/// Where a member that joins asks for the group.
pub(crate) fn seeds(cx: &ClusterContext) -> String {
    let all = cx.spec.data_nodes().filter_map(|n| cx.machine(n).ok());
    all.map(|m| talks_at(m.as_ref())).collect::<Vec<_>>().join(",")
}

/// Who may talk to it: the network of the cluster, and its machines where they are in none.
pub(crate) fn allowed(cx: &ClusterContext) -> String {
    let machines = cx.spec.data_nodes().filter_map(|n| cx.machine(n).ok());
    let mut all: Vec<_> = machines.map(|m| m.address().to_string()).collect();
    if all.iter().any(|ip| ip.starts_with("127.")) {
        all.push("127.0.0.1".to_owned());
    }
    // A provider may add a word of its own after the network.
    let network = cx.spec.network.0.split('@').next().unwrap_or_default();
    all.extend(Some(network.to_owned()).filter(|n| n.contains('/')));
    all.join(",")
}

/// By how much numbers that members hand out (AUTO_INCREMENT) grow where all take writes: there are never more members, so
/// each has numbers of its own. The group's own step is 7, with the server's id as its offset, and an id above that is none.
pub(crate) const NUMBER_STEP: u16 = 9;

/// Which of the numbers are a member's: from 1 to [`NUMBER_STEP`], by its place among the members. One that has its own by
/// its ordinal keeps it whoever comes and goes; an ordinal beyond the step takes the next that is free.
pub(crate) fn number_offset(cx: &ClusterContext, node: &NodeSpec) -> u16 {
    let mut ordinals: Vec<u16> = cx.spec.data_nodes().map(|n| n.ordinal).collect();
    ordinals.sort_unstable();
    let mut taken = [false; NUMBER_STEP as usize];
    for ordinal in ordinals {
        let first = usize::from(ordinal.saturating_sub(1) % NUMBER_STEP);
        let free = (0..taken.len()).map(|i| (first + i) % taken.len()).find(|at| !taken[*at]);
        let at = free.unwrap_or(first);
        taken[at] = true;
        if ordinal == node.ordinal {
            return u16::try_from(at + 1).unwrap_or(1);
        }
    }
    1
}

/// The text of `my.cnf`. A server starts read-only and in no group; joining one is asked of it once it answers.
pub(crate) fn conf(cx: &ClusterContext, node: &NodeSpec, machine: &dyn Machine) -> String {
    let (memory, disk) = (machine.plan().memory_bytes, machine.plan().disk_bytes);
    let path = |path: &str| machine.path(path).to_string_lossy().into_owned();
    let many = cx.spec.topology == Topology::MultiMaster;
    let pool = buffer_pool(memory);
    let mut lines: Vec<(&str, String)> = vec![
        ("datadir", path(DATA)),
        ("bind-address", machine.address().to_string()),
        ("port", machine.port(PORT).to_string()),
        ("report-host", machine.address().to_string()),
        ("report-port", machine.port(PORT).to_string()),
        // From the data folder, since a socket's path has at most 107 bytes. The machine's folder is ours alone.
        ("socket", "../s.sock".to_owned()),
        ("pid-file", path("mysql/server.pid")),
        ("tmpdir", path("mysql/tmp")),
        ("secure-file-priv", path("mysql/tmp")),
        ("mysqlx", "OFF".to_owned()),
        ("skip-name-resolve", "ON".to_owned()),
        ("local-infile", "OFF".to_owned()),
        ("ssl-ca", path(tls::CA_FILE)),
        ("ssl-cert", path(tls::CERT_FILE)),
        ("ssl-key", path(tls::KEY_FILE)),
        ("log-error-verbosity", "2".to_owned()),
        ("max-connections", (max_connections(memory) + 20).to_string()),
        ("max-allowed-packet", "64M".to_owned()),
        ("innodb-buffer-pool-size", pool.to_string()),
        ("innodb-redo-log-capacity", (pool / 2).clamp(64 * MIB, 2048 * MIB).to_string()),
        // An acknowledged transaction is on disk, in the tables' log and in the binary log.
        ("innodb-flush-log-at-trx-commit", "1".to_owned()),
        ("sync-binlog", "1".to_owned()),
        // What the server counts of itself is asked for by us only in small part, and costs a small plan much.
        ("performance-schema-consumer-events-statements-history", "OFF".to_owned()),
        ("performance-schema-digests-size", "0".to_owned()),
        ("performance-schema-max-table-instances", "400".to_owned()),
        ("table-open-cache", "400".to_owned()),
        ("table-definition-cache", "400".to_owned()),
        ("server-id", server_id(node).to_string()),
        ("log-bin", "binlog".to_owned()),
        ("max-binlog-size", (disk / 100).clamp(16 * MIB, 256 * MIB).to_string()),
        ("binlog-expire-logs-seconds", (3 * 24 * 3600).to_string()),
        ("gtid-mode", "ON".to_owned()),
        ("enforce-gtid-consistency", "ON".to_owned()),
        ("relay-log", "relay".to_owned()),
        ("skip-replica-start", "ON".to_owned()),
        ("super-read-only", "ON".to_owned()),
        ("plugin-load-add", "group_replication.so;mysql_clone.so".to_owned()),
        // `loose`, because a folder is made without plugins.
        ("loose-group-replication-group-name", group(cx)),
        ("loose-group-replication-start-on-boot", "OFF".to_owned()),
        ("loose-group-replication-communication-stack", "XCOM".to_owned()),
        ("loose-group-replication-local-address", talks_at(machine)),
        ("loose-group-replication-group-seeds", seeds(cx)),
        ("loose-group-replication-ip-allowlist", allowed(cx)),
        ("loose-group-replication-ssl-mode", "VERIFY_CA".to_owned()),
        ("loose-group-replication-recovery-use-ssl", "ON".to_owned()),
        ("loose-group-replication-recovery-ssl-ca", path(tls::CA_FILE)),
        ("loose-group-replication-recovery-ssl-verify-server-cert", "ON".to_owned()),
        ("loose-group-replication-recovery-reconnect-interval", "2".to_owned()),
        ("loose-group-replication-single-primary-mode", on(!many)),
        ("loose-group-replication-enforce-update-everywhere-checks", on(many)),
        // A new primary takes writes and answers questions only when it has applied all it had received.
        (
            "loose-group-replication-consistency",
            if many { "EVENTUAL" } else { "BEFORE_ON_PRIMARY_FAILOVER" }.to_owned(),
        ),
        // Five seconds of silence make the others suspect a member (not to be set); no more are waited.
        ("loose-group-replication-member-expel-timeout", "0".to_owned()),
        ("loose-group-replication-unreachable-majority-timeout", WITHOUT_MAJORITY_S.to_string()),
        // One that was put out stays where it can be asked, and refuses writes. It is told to join again by us.
        ("loose-group-replication-exit-state-action", "READ_ONLY".to_owned()),
        ("loose-group-replication-autorejoin-tries", "3".to_owned()),
        // The least there is; 1 GiB unless set.
        ("loose-group-replication-message-cache-size", (128 * MIB).to_string()),
    ];
    if !many {
        // One by one, whoever leads: a number is a place in the history (`archive`).
        lines.push(("loose-group-replication-gtid-assignment-block-size", "1".to_owned()));
    }
    if many {
        lines.push(("auto-increment-increment", NUMBER_STEP.to_string()));
        lines.push(("auto-increment-offset", number_offset(cx, node).to_string()));
    }
    let mut text = format!("{CONF_HEAD}[mysqld]\n");
    for (name, value) in lines {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}
