//! What PostgreSQL is told: parameters from the plan, who may come in and how.

use super::{archive, flavour, parameters};
use clusterdeck_domain::{Cidr, ClusterSpec, Plan};
use clusterdeck_driver::{ClusterContext, Machine};
use serde_json::{Value, json};

pub(crate) const PORT: u16 = 5432;
/// Sockets lie outside of it: a copy of the folder would else copy their locks.
pub(crate) const DATA: &str = "pg/data";

/// Roles, each with a secret of its name: ourselves, replication, `pg_rewind`, watching, people.
pub(crate) const OPERATOR: &str = "operator";
pub(crate) const REPLICA: &str = "replica";
pub(crate) const REWIND: &str = "rewind";
pub(crate) const WATCH: &str = "watch";
/// The role of people, and the database it owns.
pub(crate) const PEOPLE: &str = "app";

/// What a server loads when it starts.
pub(crate) const PRELOADED: &str = "shared_preload_libraries";

const MIB: u64 = 1 << 20;

/// Connections people may open: some 10 MiB each beside the shared memory.
fn max_connections(memory: u64) -> u64 {
    (memory / (16 * MIB)).clamp(25, 500)
}

/// Parameters that all members must share, by the size of the cluster: a replica with less of them than its primary had does
/// not start.
pub(crate) fn parameters(spec: &ClusterSpec, size: &Plan) -> Value {
    let nodes = spec.data_nodes().count().max(3) as u64;
    let added = flavour::addition(spec.service);
    let mut all = json!({
        "max_connections": max_connections(size.memory_bytes),
        "max_worker_processes": 8.max(u64::from(size.cpus) * 2) + added.map_or(0, |a| a.workers),
        "max_wal_senders": nodes * 2 + 4,
        "max_replication_slots": nodes * 2 + 4,
        "max_prepared_transactions": 0,
        "max_locks_per_transaction": 64,
        "track_commit_timestamp": "off",
        "wal_level": "replica",
        "hot_standby": "on",
        "wal_log_hints": "on",
    });
    for (name, value) in parameters::of_servers(&spec.parameters) {
        if let Some(own) = all.get_mut(name) {
            *own = json!(value);
        }
    }
    all
}

/// Parameters of one node: by the size of its machine, and what was chosen.
pub(crate) fn local_parameters(cx: &ClusterContext, machine: &dyn Machine) -> Value {
    let memory = machine.plan().memory_bytes;
    let mib = |bytes: u64| format!("{}MB", (bytes / MIB).max(1));
    let connections = max_connections(memory);
    let mut own = json!({
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "ssl": "on",
        "ssl_ca_file": machine.path(super::tls::CA_FILE),
        "ssl_cert_file": machine.path(super::tls::CERT_FILE),
        "ssl_key_file": machine.path(super::tls::KEY_FILE),
        "shared_buffers": mib(memory / 4),
        "effective_cache_size": mib(memory / 4 * 3),
        "maintenance_work_mem": mib((memory / 16).min(1024 * MIB)),
        "work_mem": mib((memory / 4 / connections).clamp(MIB, 64 * MIB)),
        // What a replica that was away for a while needs, and no more than a tenth of the disk.
        "wal_keep_size": mib((machine.plan().disk_bytes / 40).min(1024 * MIB)),
        "max_slot_wal_keep_size": mib(machine.plan().disk_bytes / 10),
        "max_wal_size": mib((machine.plan().disk_bytes / 20).clamp(256 * MIB, 4096 * MIB)),
        "checkpoint_completion_target": 0.9,
        // A replica that lost its primary looks for the next one so often; the server's own 5 s would make a primary that
        // waits for a synchronous replica wait that much longer.
        "wal_retrieve_retry_interval": "500ms",
        // A synchronous replica that fell silent holds up all writes until the primary notices, and only then another one is
        // waited for. The server's own 60 s were what a cut between the two cost.
        "wal_sender_timeout": "5s",
        "wal_receiver_timeout": "5s",
        // A client that went away without a word keeps its locks until somebody notices.
        "tcp_keepalives_idle": 30,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 3,
        // From the first start on, since it takes a restart: what is done with a piece of the log can be changed at any time.
        "archive_mode": "always",
        "archive_command": archive::command(cx, machine),
        "archive_timeout": archive::timeout_s(cx),
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_checkpoints": "on",
        "log_lock_waits": "on",
        "log_destination": "stderr",
        "logging_collector": "off",
    });
    let added = flavour::addition(cx.spec.service);
    for (name, value) in added.map_or(&[][..], |a| a.settings) {
        own[*name] = json!(value);
    }
    let shared = parameters(&cx.spec, machine.plan());
    for (name, value) in parameters::of_servers(&cx.spec.parameters) {
        if shared.get(name).is_none() {
            own[name] = json!(value);
        }
    }
    if let Some(added) = added {
        let chosen = cx.spec.parameters.get(PRELOADED).map_or("", String::as_str);
        own[PRELOADED] = json!(added.preloaded(chosen));
    }
    own
}

/// Who may come in. Every rule asks for a password by SCRAM; our own roles come over TLS only. Where a list says from where,
/// people's roles come from there, from the endpoint, which has asked already, and from the node's own machine.
pub(crate) fn pg_hba(cx: &ClusterContext, machine: &dyn Machine) -> Vec<String> {
    let mut rules = Vec::new();
    for address in ["0.0.0.0/0", "::/0"] {
        rules.push(format!("hostssl replication {REPLICA} {address} scram-sha-256"));
        rules.push(format!("host replication all {address} reject"));
        rules.push(format!("hostssl all {OPERATOR},{REWIND},{WATCH} {address} scram-sha-256"));
        rules.push(format!("hostnossl all {OPERATOR},{REPLICA},{REWIND},{WATCH} {address} reject"));
        if cx.spec.allowlist.is_empty() {
            rules.push(format!("host all all {address} scram-sha-256"));
        }
    }
    if !cx.spec.allowlist.is_empty() {
        let from = let_in(cx, machine).into_iter();
        // A range without its prefix would be taken for a name.
        rules.extend(from.map(|c| format!("host all all {}/{} scram-sha-256", c.first(), c.prefix())));
        rules.extend(["0.0.0.0/0", "::/0"].map(|all| format!("host all all {all} reject")));
    }
    rules
}

/// From where people's roles come in at a node. An entry with an end is in the list until it is taken off.
pub(crate) fn let_in(cx: &ClusterContext, machine: &dyn Machine) -> Vec<Cidr> {
    let own = cx.spec.gateway.iter().map(|gateway| gateway.address).chain([machine.address()]);
    cx.spec.allowlist.iter().map(|entry| entry.cidr).chain(own.map(Cidr::host)).collect()
}
