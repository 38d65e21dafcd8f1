//! What can be set in the servers and in the election, and how a cluster follows what was chosen.

use super::{
    change, config, flavour, form,
    patroni::{self, Client, Part, Timing},
    sql::{ANSWER, As, Session},
};
use clusterdeck_domain::{
    ClusterSpec, Finding, NodeId, NodeSpec, Parameter, ParameterKind, Parameters, Plan, Topology,
};
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result};
use serde_json::{Value, json};
use std::time::Duration;

/// Patroni reads a new configuration in its next round, and PostgreSQL a moment after: two rounds, and so much.
const FOLLOWS_WITHIN: Duration = Duration::from_millis(500);

/// What nobody sets here, and why.
const FIXED: &[(&str, &[&str])] = &[
    (
        "the cluster is run by it",
        &[
            "cluster_name",
            "config_file",
            "data_directory",
            "external_pid_file",
            "hba_file",
            "hot_standby",
            "ident_file",
            "listen_addresses",
            "port",
            "primary_conninfo",
            "primary_slot_name",
            "promote_trigger_file",
            "recovery_end_command",
            "recovery_min_apply_delay",
            "recovery_target",
            "recovery_target_action",
            "recovery_target_inclusive",
            "recovery_target_lsn",
            "recovery_target_name",
            "recovery_target_time",
            "recovery_target_timeline",
            "recovery_target_xid",
            "restore_command",
            "synchronous_standby_names",
            "unix_socket_directories",
            "unix_socket_group",
            "unix_socket_permissions",
            "wal_log_hints",
        ],
    ),
    (
        "backups depend on it",
        &["archive_cleanup_command", "archive_command", "archive_library", "archive_mode", "archive_timeout"],
    ),
    (
        "without it a crash may damage or lose data",
        &["fsync", "full_page_writes", "zero_damaged_pages", "ignore_checksum_failure"],
    ),
    ("the cluster's switch for synchronous replication decides", &["synchronous_commit"]),
    (
        "passwords and connections between the nodes depend on it",
        &[
            "db_user_namespace",
            "password_encryption",
            "ssl",
            "ssl_ca_file",
            "ssl_cert_file",
            "ssl_ciphers",
            "ssl_crl_dir",
            "ssl_crl_file",
            "ssl_dh_params_file",
            "ssl_ecdh_curve",
            "ssl_key_file",
            "ssl_max_protocol_version",
            "ssl_min_protocol_version",
            "ssl_passphrase_command",
            "ssl_passphrase_command_supports_reload",
            "ssl_prefer_server_ciphers",
            "krb_server_keyfile",
            "krb_caseins_users",
        ],
    ),
    (
        "its log is shown on the node",
        &[
            "event_source",
            "log_destination",
            "log_directory",
            "log_file_mode",
            "log_filename",
            "log_rotation_age",
            "log_rotation_size",
            "log_truncate_on_rotation",
            "logging_collector",
            "syslog_facility",
            "syslog_ident",
            "syslog_sequence_numbers",
            "syslog_split_messages",
        ],
    ),
];

/// The election's timings, in seconds: how they are called here, what they are, what they take.
const ELECTION: [(&str, &str, f64, f64); 3] = [
    ("failover_ttl", "A leader that has not renewed its lock for so many seconds is replaced.", 5.0, 300.0),
    (
        "failover_loop_wait",
        "After how many seconds each node renews its lock or looks for a leader.",
        1.0,
        60.0,
    ),
    (
        "failover_retry_timeout",
        "For how many seconds a question to etcd or to the server is tried again.",
        2.0,
        120.0,
    ),
];

/// What all members share and a replica may not have less of than its leader.
const SIZED: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// Everything that can be set, as it is on the primary.
pub(crate) async fn parameters(cx: &ClusterContext) -> Result<Vec<Parameter>> {
    let timing = Timing::of(&cx.spec.parameters);
    let in_force = [timing.ttl, timing.loop_wait, timing.retry];
    let election = ELECTION.iter().zip(in_force).map(|((name, about, min, max), value)| Parameter {
        name: (*name).to_owned(),
        group: "Failover".to_owned(),
        about: (*about).to_owned(),
        value: value.to_string(),
        chosen: cx.spec.parameters.get(*name).cloned(),
        // A plain number, so that nothing has to be converted.
        unit: None,
        takes: ParameterKind::Number { min: *min, max: *max, whole: true },
        restart: false,
        fixed: None,
    });
    let mut all: Vec<Parameter> = election.collect();
    let added = flavour::addition(cx.spec.service);
    let session = watcher(cx, added.is_some()).await?;
    let rows = session
        .rows(
            "SELECT name, category, short_desc, current_setting(name), unit, vartype, min_val, max_val, enumvals, \
             context = 'postmaster' FROM pg_settings WHERE context <> 'internal' ORDER BY category, name",
            &[],
        )
        .await?;
    for row in &rows {
        let name: String = row.get(0);
        let limit = |at: usize| row.get::<_, Option<String>>(at).and_then(|text| text.parse().ok());
        let takes = match row.get::<_, &str>(5) {
            "bool" => ParameterKind::Switch,
            "enum" => ParameterKind::Choice { values: choices(&name, row.get(8)) },
            kind @ ("integer" | "real") => ParameterKind::Number {
                min: limit(6).unwrap_or(f64::MIN),
                max: limit(7).unwrap_or(f64::MAX),
                whole: kind == "integer",
            },
            _ => ParameterKind::Text,
        };
        let fixed =
            FIXED.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(why, _)| (*why).to_owned());
        let mut about: String = row.get(2);
        if let Some(added) = added.filter(|_| name == config::PRELOADED) {
            about.push_str(&format!(" {} is always among them.", added.library));
        }
        all.push(Parameter {
            group: row.get(1),
            about,
            // Where a copy of a secret may stand in it, it is not shown.
            value: if fixed.is_some() && name.contains("conninfo") { String::new() } else { row.get(3) },
            chosen: cx.spec.parameters.get(&name).cloned(),
            unit: row.get(4),
            takes,
            restart: row.get(9),
            fixed,
            name,
        });
    }
    Ok(all)
}

/// Somebody who sees the settings of all that is loaded, which for an extension is only seen in the database that has it;
/// where that cannot be entered, those of the server.
async fn watcher(cx: &ClusterContext, inside: bool) -> Result<Session> {
    let lead = form::leader(cx).await?;
    if inside && let Ok(session) = Session::open(cx, lead, As::WatchInside, ANSWER).await {
        // Loads what the database has, or fails.
        if session.rows("SELECT 1", &[]).await.is_ok() {
            return Ok(session);
        }
    }
    Session::open(cx, lead, As::Watch, ANSWER).await
}

/// The choices that leave replication working.
fn choices(name: &str, all: Option<Vec<String>>) -> Vec<String> {
    let mut all = all.unwrap_or_default();
    if name == "wal_level" {
        all.retain(|level| level != "minimal");
    }
    all
}

/// What is wrong with what was chosen, taken together.
pub(crate) fn disagree(spec: &ClusterSpec) -> Vec<Finding> {
    let mut found = Vec::new();
    let timing = Timing::of(&spec.parameters);
    if timing.loop_wait + 2 * timing.retry > timing.ttl {
        found.push(
            Finding::new(
                "timings-disagree",
                format!(
                    "failover_loop_wait and twice failover_retry_timeout, {} s, may not be more than failover_ttl, {} s: a \
                     leader would lose its lock while it still tries to renew it.",
                    timing.loop_wait + 2 * timing.retry,
                    timing.ttl
                ),
            )
            .at("/parameters/failover_ttl"),
        );
    }
    let nodes = u64::try_from(spec.data_nodes().count()).unwrap_or(u64::MAX);
    let least =
        [("max_connections", 20), ("max_wal_senders", nodes + 2), ("max_replication_slots", nodes + 1)];
    for (name, least) in least {
        let chosen = spec.parameters.get(name).and_then(|text| text.parse::<u64>().ok());
        if chosen.is_some_and(|chosen| chosen < least) {
            found.push(
                Finding::new(
                    "parameter-too-small",
                    format!("{name} must be at least {least} here: the nodes themselves need as many."),
                )
                .at(&format!("/parameters/{name}")),
            );
        }
    }
    found
}

/// Writes what was chosen on every node, and lets it be read.
pub(crate) async fn apply(cx: &ClusterContext) -> Result<()> {
    let client = Client::new(cx)?;
    for node in cx.spec.data_nodes() {
        let Ok(machine) = cx.machine(node) else { continue };
        patroni::write(cx, node, Part::noted(cx, node).await).await?;
        if machine.state(patroni::UNIT).await?.is_running() {
            client.reload(&node.name).await?;
        }
    }
    let timing = Timing::of(&cx.spec.parameters);
    let mut patch = timing.shared();
    patch["postgresql"] = json!({ "parameters": config::parameters(&cx.spec, size(cx)?) });
    client.patch(&patch).await?;
    followed(timing).await;
    understood(cx).await
}

/// Until every server has read what was changed for all.
async fn followed(timing: Timing) {
    tokio::time::sleep(FOLLOWS_WITHIN + Duration::from_secs(2 * u64::from(timing.loop_wait))).await;
}

/// The size of the cluster, which what is shared follows: not that of whoever leads, which may have been added larger or
/// smaller, since a hand-over would change it then.
fn size(cx: &ClusterContext) -> Result<&Plan> {
    let machines = cx.spec.data_nodes().filter_map(|node| cx.machine(node).ok());
    let mut plans: Vec<&Plan> = machines.map(|machine| machine.plan()).collect();
    // With nobody of that size left, the smallest: nobody gets more than fits.
    plans.sort_by_key(|plan| (plan.id != cx.spec.plan, plan.memory_bytes));
    plans
        .first()
        .copied()
        .ok_or_else(|| DriverError::Gone { what: "every machine of the cluster".to_owned() })
}

/// Lets what all members share follow a size. When that is smaller the leader restarts first, where it is: whoever is started
/// as a replica with less than its leader has keeps the leader's, and would wait for another restart.
pub(crate) async fn share_size(cx: &ClusterContext, to: &Plan) -> Result<()> {
    let shared = config::parameters(&cx.spec, to);
    Client::new(cx)?.patch(&json!({ "postgresql": { "parameters": shared } })).await?;
    followed(Timing::of(&cx.spec.parameters)).await;
    let lead = form::leader(cx).await?;
    if cx.spec.topology == Topology::Single || !has_more(cx, lead, &shared).await? {
        return Ok(());
    }
    change::restart(cx, lead).await?;
    // Its followers have to hear of it before they are stopped: what they wrote down of their leader is what they start with.
    for node in cx.spec.data_nodes().filter(|n| !n.drained && n.id != lead.id) {
        form::caught_up(cx, node, &Progress::silent()).await?;
    }
    Ok(())
}

/// Whether a server runs with more of what is shared than it should.
async fn has_more(cx: &ClusterContext, node: &NodeSpec, shared: &Value) -> Result<bool> {
    let session = Session::open(cx, node, As::Operator, ANSWER).await?;
    let names: Vec<&str> = SIZED.to_vec();
    let rows = session.rows("SELECT name, setting FROM pg_settings WHERE name = ANY ($1)", &[&names]).await?;
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    Ok(rows.iter().any(|row| {
        let (name, setting): (String, String) = (row.get(0), row.get(1));
        let has = setting.parse::<u64>().ok();
        has.zip(number(&shared[name.as_str()])).is_some_and(|(has, should)| has > should)
    }))
}

/// Sees that no server refuses what was written; one that only waits for a restart does not.
async fn understood(cx: &ClusterContext) -> Result<()> {
    let session = Session::open(cx, form::leader(cx).await?, As::Operator, ANSWER).await?;
    let rows = session
        .rows(
            "SELECT name FROM pg_file_settings WHERE error IS NOT NULL AND name = ANY ($1) \
             AND name NOT IN (SELECT name FROM pg_settings WHERE pending_restart)",
            &[&cx.spec.parameters.keys().map(String::as_str).collect::<Vec<_>>()],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let name: String = row.get(0);
    let value = cx.spec.parameters.get(&name).cloned().unwrap_or_default();
    Err(DriverError::rejected(
        format!("PostgreSQL does not take `{value}` for {name}"),
        "the parameters are set back to what they were",
    ))
}

/// Nodes whose server waits for a restart, the one that leads last.
pub(crate) async fn restarts_due(cx: &ClusterContext) -> Result<Vec<NodeId>> {
    let client = Client::new(cx)?;
    let lead = form::leader(cx).await?.id.clone();
    let mut due = Vec::new();
    for node in cx.spec.data_nodes().filter(|n| !n.drained) {
        if client.status(&node.name).await?["pending_restart"] == true {
            due.push(node.id.clone());
        }
    }
    due.sort_by_key(|id| *id == lead);
    Ok(due)
}

/// What was chosen of those that each node has in its own file.
pub(crate) fn of_servers(chosen: &Parameters) -> impl Iterator<Item = (&String, &String)> {
    chosen.iter().filter(|(name, _)| ELECTION.iter().all(|(own, ..)| own != name))
}
