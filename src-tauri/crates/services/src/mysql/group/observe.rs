//! Looking at every member at once. Nothing in here changes anything, and nothing fails: what does not answer is shown as
//! what it is.

use super::super::{
    accounts, config,
    observe::{NODE_LIMIT, endpoint, not_answering, open_transactions},
    sql::{As, Session, number, text},
    unit::UNIT,
};
use super::survey::{self, Place};
use crate::measure::{Counters, Readings};
use clusterdeck_domain::{
    ClusterObserved, FailoverReadiness, Health, Link, NodeMetrics, NodeObserved, NodeSpec, NodeState,
    OpenTransaction, Role, Topology, Votes,
};
use clusterdeck_driver::{ClusterContext, DriverError, Result, UnitState};
use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::timeout;

/// What a server answered.
struct Says {
    place: Place,
    counters: Counters,
    version: Option<String>,
    clients: Option<u64>,
    data_bytes: Option<u64>,
    /// Bytes of its binary logs; only of one that takes writes.
    log_bytes: Option<u64>,
    /// Only of one that takes writes.
    open_transactions: Vec<OpenTransaction>,
}

/// What was found on one node.
struct Found<'a> {
    node: &'a NodeSpec,
    unit: Result<UnitState>,
    says: Result<Says>,
    /// When it last answered.
    answered_ms: Option<i64>,
    metrics: NodeMetrics,
}

/// Looks at a cluster.
pub(crate) async fn observe(cx: &ClusterContext, readings: &Readings) -> ClusterObserved {
    let at = Timestamp::now();
    let mut found = join_all(cx.spec.data_nodes().map(|node| look(cx, node, readings))).await;
    survey::put_out(found.iter_mut().filter_map(|f| Some(&mut f.says.as_mut().ok()?.place)));
    // Not at the same time: it comes as people do, and would be counted as one of them.
    let endpoint_up = endpoint(cx).await;
    let nodes: Vec<_> = found.iter().map(|f| node_observed(cx, f, &found)).collect();
    let votes = votes(cx, &found);
    let failover = readiness(cx, &nodes, votes);
    ClusterObserved { at, nodes, votes, failover, endpoint_up }
}

async fn look<'a>(cx: &ClusterContext, node: &'a NodeSpec, readings: &Readings) -> Found<'a> {
    let gone = |what: &str| DriverError::transient(format!("{} {what}", node.name));
    let Ok(machine) = cx.machine(node) else {
        let (unit, says) = (Err(gone("has no machine")), Err(gone("has no machine")));
        return Found { node, unit, says, answered_ms: None, metrics: NodeMetrics::default() };
    };
    let asked = async {
        if node.drained {
            return Err(gone("is drained"));
        }
        timeout(NODE_LIMIT, ask(cx, node)).await.unwrap_or_else(|_| Err(gone("does not answer")))
    };
    let (unit, says) = futures::join!(timeout(NODE_LIMIT, machine.state(UNIT)), asked);
    let unit = unit.unwrap_or_else(|_| Err(gone("cannot be looked at: its machine does not answer")));
    let counters = says.as_ref().map(|s| s.counters).unwrap_or_default();
    let measuring = readings.measure(node, machine.as_ref(), UNIT, config::DATA, counters);
    let metrics = timeout(NODE_LIMIT, measuring).await.unwrap_or_default();
    let answered_ms = readings.answered(&node.id, says.is_ok());
    Found { node, unit, says, answered_ms, metrics }
}

const COUNTERS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Bytes_received', 'Bytes_sent', \
     'Innodb_buffer_pool_read_requests', 'Innodb_buffer_pool_reads')";

async fn ask(cx: &ClusterContext, node: &NodeSpec) -> Result<Says> {
    let mut session = Session::open(cx, node, As::Watch, NODE_LIMIT).await?;
    let place = survey::place(&mut session).await?;
    let rows = session.rows(COUNTERS).await?;
    let value = |name: &str| {
        let row = rows.iter().find(|row| text(row, 0).is_some_and(|found| found.eq_ignore_ascii_case(name)));
        row.and_then(|row| number(row, 1))
    };
    let misses = value("Innodb_buffer_pool_reads");
    let counters = Counters {
        received_bytes: value("Bytes_received"),
        sent_bytes: value("Bytes_sent"),
        hits: value("Innodb_buffer_pool_read_requests")
            .zip(misses)
            .map(|(all, missed)| all.saturating_sub(missed)),
        misses,
        operations: value("Questions"),
    };
    let ours: Vec<_> = accounts::OURS.iter().map(|user| format!("'{user}'")).collect();
    let row = session
        .row(&format!(
            "SELECT (SELECT COUNT(*) FROM performance_schema.threads WHERE TYPE = 'FOREGROUND' AND PROCESSLIST_HOST \
             IS NOT NULL AND PROCESSLIST_USER NOT IN ({}, 'system user', 'event_scheduler')), \
             (SELECT SUM(FILE_SIZE) FROM information_schema.INNODB_TABLESPACES), VERSION()",
            ours.join(", ")
        ))
        .await?;
    let log_bytes = if place.writable {
        let rows = session.rows("SHOW BINARY LOGS").await?;
        Some(rows.iter().filter_map(|row| number(row, 1)).sum())
    } else {
        None
    };
    let open_transactions =
        if place.writable { open_transactions(&mut session, OPEN).await? } else { Vec::new() };
    let version = text(&row, 2).and_then(|v| v.split('-').next().map(str::to_owned));
    let (clients, data_bytes) = (number(&row, 0), number(&row, 1));
    Ok(Says { place, counters, version, clients, data_bytes, log_bytes, open_transactions })
}

/// What a transaction does, or did last while it waits for its client.
const OPEN: &str = "SELECT TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), p.USER, p.STATEMENT FROM \
     information_schema.INNODB_TRX t JOIN (SELECT h.PROCESSLIST_ID ID, h.PROCESSLIST_USER USER, \
     COALESCE(h.PROCESSLIST_INFO, s.SQL_TEXT) STATEMENT FROM performance_schema.threads h \
     LEFT JOIN performance_schema.events_statements_current s ON s.THREAD_ID = h.THREAD_ID AND s.NESTING_EVENT_LEVEL = 0) p \
     ON p.ID = t.trx_mysql_thread_id";

fn node_observed(cx: &ClusterContext, found: &Found<'_>, all: &[Found<'_>]) -> NodeObserved {
    let node = found.node;
    let mut seen = NodeObserved::unknown(node.id.clone());
    seen.limited_by = cx.machine(node).ok().map(|m| m.limited_by().to_owned());
    seen.metrics = found.metrics.clone();
    if node.drained {
        (seen.state, seen.health) = (NodeState::Drained, Health::Degraded);
        seen.detail = Some("Taken out of service on purpose.".to_owned());
        return seen;
    }
    match (&found.unit, &found.says) {
        (Ok(UnitState::Running { .. }), Ok(says)) => answering(cx, says, all, &mut seen),
        (unit, says) => {
            not_answering("MySQL", unit.as_ref(), says.as_ref().err(), found.answered_ms, &mut seen)
        }
    }
    seen
}

#[allow(clippy::cast_precision_loss)]
fn answering(cx: &ClusterContext, says: &Says, all: &[Found<'_>], seen: &mut NodeObserved) {
    let place = &says.place;
    seen.version = says.version.clone();
    seen.data_bytes = says.data_bytes;
    seen.clients = says.clients;
    seen.open_transactions = says.open_transactions.clone();
    seen.metrics.clients = says.clients.map(|c| c as f64);
    (seen.state, seen.health) = (NodeState::Running, Health::Healthy);
    let leader = all.iter().find(|f| f.says.as_ref().is_ok_and(|s| s.place.leads()));
    let alone = place.writable && place.outside();
    match cx.spec.topology {
        Topology::MultiMaster => seen.role = Some(Role::Member),
        // A single node, also one that is being given company.
        _ if alone || place.leads() && place.writable => seen.role = Some(Role::Primary),
        Topology::Single => {
            seen.role = Some(Role::Primary);
            seen.health = Health::Degraded;
            seen.detail = Some("It holds writes back; a reboot of it lets it take them again.".to_owned());
            return;
        }
        _ => follower(place, leader, all, seen),
    }
    if !place.serves() && !alone {
        seen.health = Health::Degraded;
        seen.detail = Some(outside_of(place, all, seen));
        if seen.role == Some(Role::Member) && place.state() == "RECOVERING" {
            seen.state = NodeState::Starting;
        }
    } else if cx.spec.topology == Topology::MultiMaster && !place.writable {
        seen.health = Health::Degraded;
        seen.detail = Some("It is in the group, but takes no writes.".to_owned());
    }
}

/// Why a member is not in step, in a sentence.
fn outside_of(place: &Place, all: &[Found<'_>], seen: &mut NodeObserved) -> String {
    let known = all.iter().filter_map(|f| f.says.as_ref().ok()).map(|s| &s.place).filter(|p| p.serves());
    let (serving, known) =
        known.fold((0, super::gtid::GtidSet::default()), |(n, all), p| (n + 1, all.and(&p.has())));
    let (heard, count) = place.heard();
    if serving > 0 && place.outside() && !known.contains(&place.executed) {
        seen.diverged = true;
        "It holds transactions that the group lacks; a resync gives it a fresh copy.".to_owned()
    } else if serving == 0 && place.outside() {
        "No member is in a group. It begins again when all members can be asked what they have.".to_owned()
    } else if place.state() == "ONLINE" {
        format!("It hears {heard} of {count} members, which is no majority: it takes no writes.")
    } else {
        format!("It is not in step with the group ({}).", place.state().to_lowercase())
    }
}

#[allow(clippy::cast_precision_loss)]
fn follower(place: &Place, leader: Option<&Found<'_>>, all: &[Found<'_>], seen: &mut NodeObserved) {
    seen.role = Some(Role::Replica);
    seen.follows = leader.map(|l| l.node.id.clone());
    seen.link = Some(if place.serves() { Link::Up } else { Link::Down });
    if place.leads() {
        seen.health = Health::Degraded;
        seen.detail = Some("The group elected it, but it takes no writes.".to_owned());
        return;
    }
    if place.serves() {
        // The group counts transactions, not bytes; those of the primary's logs are of some size.
        let writer = all.iter().filter_map(|f| f.says.as_ref().ok()).find(|s| s.log_bytes.is_some());
        let each = writer.and_then(|s| {
            let count = s.place.executed.count().saturating_sub(s.place.purged.count()).max(1);
            Some(s.log_bytes? / count + 1)
        });
        seen.lag_bytes =
            if place.waiting == 0 { Some(0) } else { each.map(|each| each.saturating_mul(place.waiting)) };
        seen.metrics.lag_bytes = seen.lag_bytes.map(|b| b as f64);
    }
}

/// Who hears whom, as those say who hear most.
fn votes(cx: &ClusterContext, found: &[Found<'_>]) -> Option<Votes> {
    if cx.spec.topology != Topology::PrimaryReplica {
        return None;
    }
    let places = found.iter().filter_map(|f| f.says.as_ref().ok()).map(|s| &s.place).filter(|p| !p.outside());
    let (heard, all) = places.map(Place::heard).max()?;
    let size = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    Some(Votes { present: size(heard), needed: size(all / 2 + 1), total: size(found.len().max(all)) })
}

/// Whether a dead primary would be replaced, in a sentence that a person can act on.
fn readiness(cx: &ClusterContext, nodes: &[NodeObserved], votes: Option<Votes>) -> FailoverReadiness {
    let answer =
        |ready: bool, reason: String| FailoverReadiness { enabled: cx.spec.auto_failover, ready, reason };
    let well = nodes.iter().filter(|n| n.health == Health::Healthy).count();
    match (cx.spec.topology, votes) {
        (Topology::Single, _) => answer(false, "There is only one node; nobody can take over.".to_owned()),
        (Topology::MultiMaster, _) => {
            let needed = nodes.len() / 2 + 1;
            let text = format!("{well} of {} members take writes, and {needed} are needed", nodes.len());
            let end = if well > needed { "; when one fails the others go on." } else { ": none may fail." };
            answer(well > needed, text + end)
        }
        _ if !cx.spec.auto_failover => answer(
            false,
            "Automatic failover is off: a primary that fails leads again when it is back, and nobody else does."
                .to_owned(),
        ),
        (_, None) => answer(false, "No member is in a group.".to_owned()),
        (_, Some(votes)) => {
            let text = format!("{} of {} members hear each other, and {} must agree", votes.present, votes.total, votes.needed);
            let candidate = nodes.iter().any(|n| n.role == Some(Role::Replica) && n.health == Health::Healthy);
            if votes.present <= votes.needed {
                answer(false, format!("{text}: none may fail."))
            } else if !candidate {
                answer(false, format!("{text}, but no replica is in step."))
            } else {
                answer(true, format!("{text}; when the primary fails they elect another."))
            }
        }
    }
}
