//! What a server is told: its files, its size from the plan, and how it keeps what it has acknowledged. Pure.

use super::galera;
use crate::tls;
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, Machine, Result};

pub(crate) const PORT: u16 = 3306;
/// Where a node receives its first copy.
pub(crate) const COPY_PORT: u16 = 4444;
/// Where a node says what it is.
pub(crate) const HEALTH_PORT: u16 = 9200;

pub(crate) const FOLDER: &str = "mysql";
pub(crate) const DATA: &str = "mysql/data";
/// A data folder that is being made; it takes its name when it is complete.
pub(crate) const NEW: &str = "mysql/data.new";
pub(crate) const CONF: &str = "mysql/my.cnf";
/// What a server does when it starts: whom it follows. Holds the password of replication.
pub(crate) const ROLE: &str = "mysql/role.sql";
/// What a new data folder is given.
pub(crate) const ACCOUNTS: &str = "mysql/accounts.sql";
/// A server that starts takes it away and opens for writes; without it every server starts read-only.
pub(crate) const LEAD: &str = "mysql/lead";
/// How a missing data folder is made: `fresh` or `copy`.
pub(crate) const MAKE: &str = "mysql/make";
/// What a server finds out about itself before it is started: the last transaction of the group that it has.
pub(crate) const POSITION: &str = "mysql/position";
/// How the role check signs in.
pub(crate) const WATCH_CONF: &str = "mysql/watch.cnf";
/// How a copy signs in.
pub(crate) const COPY_CONF: &str = "mysql/copy.cnf";

/// The first line of a server's file.
pub(crate) const CONF_HEAD: &str = "# Written by Clusterdeck.\n";

const MIB: u64 = 1 << 20;

/// Connections people may open: some 10 MiB each beside the shared memory.
fn max_connections(memory: u64) -> u64 {
    (memory / (16 * MIB)).clamp(25, 500)
}

/// Memory for pages of tables. The rest is for connections, sorts and the server itself, some 90 MiB.
fn buffer_pool(memory: u64) -> u64 {
    match memory / MIB {
        0..512 => memory / 4,
        512..2048 => memory / 5 * 2,
        _ => memory / 5 * 3,
    }
}

/// The redo log: written anew with each size, so a new folder is made with this one at once.
pub(crate) fn redo_log_bytes(machine: &dyn Machine) -> u64 {
    (buffer_pool(machine.plan().memory_bytes) / 4).clamp(32 * MIB, 1024 * MIB)
}

/// Its number among the servers of the cluster; an ordinal is never used twice.
pub(crate) const fn server_id(node: &NodeSpec) -> u16 {
    node.ordinal
}

/// The text of `my.cnf`. A server is read-only unless it is told otherwise when it starts.
pub(crate) fn conf(cx: &ClusterContext, node: &NodeSpec, machine: &dyn Machine) -> Result<String> {
    let memory = machine.plan().memory_bytes;
    let connections = max_connections(memory);
    let path = |path: &str| machine.path(path).to_string_lossy().into_owned();
    let mut lines: Vec<(&str, String)> = vec![
        ("datadir", path(DATA)),
        ("bind-address", machine.address().to_string()),
        ("port", machine.port(PORT).to_string()),
        // From the data folder, since a socket's path has at most 107 bytes. The machine's folder is ours alone.
        ("socket", "../s.sock".to_owned()),
        ("pid-file", "../server.pid".to_owned()),
        ("tmpdir", path("mysql/tmp")),
        ("secure-file-priv", path("mysql/tmp")),
        ("init-file", path(ROLE)),
        ("skip-name-resolve", "ON".to_owned()),
        // Nobody comes in for being a user of this computer.
        ("unix-socket", "OFF".to_owned()),
        ("local-infile", "OFF".to_owned()),
        ("ssl-ca", path(tls::CA_FILE)),
        ("ssl-cert", path(tls::CERT_FILE)),
        ("ssl-key", path(tls::KEY_FILE)),
        ("tls-version", "TLSv1.2,TLSv1.3".to_owned()),
        ("character-set-server", "utf8mb4".to_owned()),
        ("max-connections", (connections + 20).to_string()),
        ("max-allowed-packet", "64M".to_owned()),
        // Without a line for each client that went away without a word.
        ("log-warnings", "1".to_owned()),
        ("tcp-keepalive-time", "30".to_owned()),
        ("tcp-keepalive-interval", "10".to_owned()),
        ("tcp-keepalive-probes", "3".to_owned()),
        ("innodb-buffer-pool-size", buffer_pool(memory).to_string()),
        ("innodb-log-file-size", redo_log_bytes(machine).to_string()),
        // An acknowledged transaction is on disk, in the tables' log and in the binary log.
        ("innodb-flush-log-at-trx-commit", "1".to_owned()),
        ("server-id", server_id(node).to_string()),
    ];
    if cx.spec.topology == Topology::MultiMaster {
        lines.extend(galera::lines(cx, node, machine)?);
    } else {
        lines.extend(replication_lines(machine));
    }
    let mut text = format!("{CONF_HEAD}[mariadbd]\n");
    for (name, value) in lines {
        text.push_str(&format!("{name}={value}\n"));
    }
    if cx.spec.topology == Topology::MultiMaster {
        text.push_str(&galera::sections(machine));
    }
    Ok(text)
}

/// Writes the file of a server that has one anew, for when it starts again.
pub(crate) async fn rewrite(machine: &dyn Machine, text: &str) -> Result<()> {
    if machine.exists(CONF).await? { machine.write(CONF, text.as_bytes(), 0o600).await } else { Ok(()) }
}

/// How servers follow one another by transaction ids.
fn replication_lines(machine: &dyn Machine) -> Vec<(&'static str, String)> {
    let disk = machine.plan().disk_bytes;
    vec![
        // Also on a single node, which can so grow without being built anew.
        ("log-bin", "binlog".to_owned()),
        ("sync-binlog", "1".to_owned()),
        ("log-slave-updates", "ON".to_owned()),
        ("binlog-format", "ROW".to_owned()),
        ("max-binlog-size", (disk / 100).clamp(16 * MIB, 256 * MIB).to_string()),
        ("binlog-expire-logs-seconds", (3 * 24 * 3600).to_string()),
        ("gtid-domain-id", "0".to_owned()),
        ("relay-log", "relay".to_owned()),
        // What a replica does is in its role file, read at each start.
        ("skip-slave-start", "ON".to_owned()),
        ("slave-net-timeout", "10".to_owned()),
        // Once a second for thirty years. 0 is documented as *no limit*, and is none while a replica connects; but where a
        // primary ends twice before it sent anything, the thread then gives up without an error (`try_to_reconnect`).
        ("master-retry-count", "1000000000".to_owned()),
        // With each transaction flushed, one thread alone falls behind a busy primary.
        ("slave-parallel-threads", "4".to_owned()),
        ("slave-parallel-mode", "optimistic".to_owned()),
        ("gtid-strict-mode", "ON".to_owned()),
        ("read-only", "ON".to_owned()),
    ]
}

/// How a program on the machine signs in through the socket, which lies `up` from where it works.
pub(crate) fn client_conf(cx: &ClusterContext, user: &str, socket: &str) -> Result<String> {
    let password = cx.secrets.newest(user)?;
    // A password is hexadecimal, so nothing in it needs quoting.
    Ok(format!("[client]\nuser={user}\npassword={}\nsocket={socket}\n", password.reveal()))
}
