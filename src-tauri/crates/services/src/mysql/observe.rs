//! Looking at every node at once. Nothing in here changes anything, and nothing fails: what does not answer is shown as what
//! it is.

use super::{
    accounts, config,
    note::{self, Note},
    readiness,
    sql::{As, Session, number, text},
    survey::{self, At, Place},
    unit::UNIT,
};
use crate::{
    measure::{Counters, Readings},
    own_way,
};
use clusterdeck_domain::{
    ClusterObserved, Health, Link, NodeMetrics, NodeObserved, NodeSpec, NodeState, OpenTransaction, Role,
    Topology,
};
use clusterdeck_driver::{ClusterContext, DriverError, Result, UnitState};
use futures::future::join_all;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::timeout;

/// For everything that is asked of one node.
pub(crate) const NODE_LIMIT: Duration = Duration::from_secs(1);

/// What a server answered.
struct Says {
    place: Place,
    counters: Counters,
    version: Option<String>,
    clients: Option<u64>,
    data_bytes: Option<u64>,
    /// The files of its own log with their sizes; only of one that takes writes.
    log_files: Vec<At>,
    /// Its state as a member of a group: 4 is in step with the others.
    member: Option<u64>,
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
    let found = join_all(cx.spec.data_nodes().map(|node| look(cx, node, readings))).await;
    let note = if leaves_open_who_leads(cx, &found) { note::newest(cx).await } else { None };
    // Not at the same time: it comes as people do, and would be counted as one of them.
    let endpoint_up = endpoint(cx).await;
    let nodes: Vec<_> = found.iter().map(|f| node_observed(cx, f, &found, note.as_ref())).collect();
    let failover = readiness::readiness(cx, &nodes);
    ClusterObserved { at, nodes, votes: None, failover, endpoint_up }
}

/// Whether the machines must be asked who was decided on: in containers each answer is a process of the engine, and mostly
/// the servers say it themselves, one by taking writes and the others by following.
fn leaves_open_who_leads(cx: &ClusterContext, found: &[Found<'_>]) -> bool {
    let places = || found.iter().filter_map(|f| Some(&f.says.as_ref().ok()?.place));
    let lead = places().filter(|place| place.writable).count();
    let idle = places().any(|place| !place.writable && place.follows.is_none());
    cx.spec.topology != Topology::MultiMaster && (lead != 1 || idle)
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
     'Innodb_buffer_pool_read_requests', 'Innodb_buffer_pool_reads', 'wsrep_local_state')";

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
            "SELECT (SELECT COUNT(*) FROM information_schema.PROCESSLIST \
             WHERE USER NOT IN ({}, 'system user', 'event_scheduler')), \
             (SELECT SUM(FILE_SIZE) FROM information_schema.INNODB_SYS_TABLESPACES), VERSION()",
            ours.join(", ")
        ))
        .await?;
    // A member of a group keeps no such log.
    let log_files = if place.writable && place.end.is_some() {
        let rows = session.rows("SHOW BINARY LOGS").await?;
        rows.iter().filter_map(|row| Some((text(row, 0)?, number(row, 1)?))).collect()
    } else {
        Vec::new()
    };
    let open_transactions =
        if place.writable { open_transactions(&mut session, OPEN).await? } else { Vec::new() };
    let (clients, data_bytes) = (number(&row, 0), number(&row, 1));
    // `10.11.19-MariaDB-0+deb12u1-log`
    let version = text(&row, 2).and_then(|v| v.split('-').next().map(str::to_owned));
    Ok(Says {
        place,
        counters,
        version,
        clients,
        data_bytes,
        log_files,
        member: value("wsrep_local_state"),
        open_transactions,
    })
}

/// People's transactions by how long they are open, whose they are, and what they do.
const OPEN: &str = "SELECT TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), p.USER, p.INFO FROM \
     information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id";
/// So many are listed.
const OPEN_LISTED: u8 = 5;
/// Younger ones come and go.
const OPEN_FOR_S: u8 = 5;
/// Of a statement no more is shown.
const LINE: usize = 120;

/// Transactions that have been open for a while, the longest first; `question` gives seconds, user and statement.
pub(crate) async fn open_transactions(session: &mut Session, question: &str) -> Result<Vec<OpenTransaction>> {
    let ours: Vec<_> = accounts::OURS.iter().map(|user| format!("'{user}'")).collect();
    let rows = session
        .rows(&format!(
            "{question} WHERE p.USER NOT IN ({}, 'system user', 'event_scheduler') \
             AND t.trx_started < NOW() - INTERVAL {OPEN_FOR_S} SECOND ORDER BY t.trx_started LIMIT {OPEN_LISTED}",
            ours.join(", ")
        ))
        .await?;
    let one = |row: &mysql_async::Row| {
        Some(OpenTransaction { seconds: number(row, 0)?, user: text(row, 1)?, query: line(text(row, 2)) })
    };
    Ok(rows.iter().filter_map(one).collect())
}

/// A statement on one line; one that waits between two has none.
fn line(statement: Option<String>) -> String {
    let words = statement.unwrap_or_default();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.as_str() {
        "" => "waits for its client".to_owned(),
        _ => words.chars().take(LINE).collect(),
    }
}

/// Whether the endpoint leads to a node that takes writes: asked through it, unless it does not let us in.
pub(crate) async fn endpoint(cx: &ClusterContext) -> Option<bool> {
    let gateway = cx.gateway().ok().filter(|_| own_way::endpoint_is_open(cx, config::PORT))?;
    let asked = async {
        let at = gateway.reach(config::PORT);
        let mut session = Session::connect(cx, "the endpoint", at, As::People, NODE_LIMIT).await?;
        session.word("SELECT @@global.read_only").await
    };
    Some(matches!(timeout(NODE_LIMIT, asked).await, Ok(Ok(answer)) if answer == "0"))
}

fn node_observed(
    cx: &ClusterContext,
    found: &Found<'_>,
    all: &[Found<'_>],
    note: Option<&Note>,
) -> NodeObserved {
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
        (Ok(UnitState::Running { .. }), Ok(says)) => answering(cx, found, says, all, note, &mut seen),
        (unit, says) => {
            not_answering("MariaDB", unit.as_ref(), says.as_ref().err(), found.answered_ms, &mut seen)
        }
    }
    seen
}

/// What is known of a server that says nothing of itself.
pub(crate) fn not_answering(
    server: &str,
    unit: std::result::Result<&UnitState, &DriverError>,
    says: Option<&DriverError>,
    answered_ms: Option<i64>,
    seen: &mut NodeObserved,
) {
    match unit {
        Ok(UnitState::Running { since_ms, .. }) => {
            let since = Timestamp::now().as_millisecond().saturating_sub(*since_ms);
            let young = since < i64::try_from(super::form::ANSWERS_WITHIN.as_millis()).unwrap_or(0)
                && answered_ms.is_none_or(|at| at < *since_ms);
            seen.state = if young { NodeState::Starting } else { NodeState::Unresponsive };
            seen.health = if young { Health::Degraded } else { Health::Down };
            let why = says.map_or_else(|| "it says nothing".to_owned(), ToString::to_string);
            seen.detail = Some(format!("Its process is there, but {why}."));
        }
        Ok(UnitState::Crashed { detail, .. }) => {
            (seen.state, seen.health) = (NodeState::Crashed, Health::Down);
            seen.detail = Some(detail.clone());
        }
        Ok(UnitState::Absent | UnitState::Stopped) => {
            (seen.state, seen.health) = (NodeState::Stopped, Health::Down);
            seen.detail = Some(format!("{server} does not run there."));
        }
        Err(e) => {
            (seen.state, seen.health) = (NodeState::Unknown, Health::Unknown);
            seen.detail = Some(format!("Nothing is known of it: {e}."));
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn answering(
    cx: &ClusterContext,
    found: &Found<'_>,
    says: &Says,
    all: &[Found<'_>],
    note: Option<&Note>,
    seen: &mut NodeObserved,
) {
    let place = &says.place;
    seen.version = says.version.clone();
    seen.data_bytes = says.data_bytes;
    seen.clients = says.clients;
    seen.open_transactions = says.open_transactions.clone();
    seen.metrics.clients = says.clients.map(|c| c as f64);
    (seen.state, seen.health) = (NodeState::Running, Health::Healthy);
    if cx.spec.topology == Topology::MultiMaster {
        seen.role = Some(Role::Member);
        if says.member != Some(4) {
            (seen.state, seen.health) = (NodeState::Starting, Health::Degraded);
            seen.detail =
                Some("It is not in step with the other members, so it takes no traffic.".to_owned());
        }
        return;
    }
    let writers: Vec<_> = all.iter().filter(|f| f.says.as_ref().is_ok_and(|s| s.place.writable)).collect();
    let noted = |f: &&&Found<'_>| note.is_some_and(|note| note.leader == f.node.id);
    let leader = writers.iter().find(noted).or_else(|| writers.first()).copied();
    if place.writable {
        seen.role = Some(Role::Primary);
        if leader.is_some_and(|l| l.node.id != found.node.id) {
            seen.health = Health::Degraded;
            seen.detail = Some(
                "It takes writes, but another one was decided on; it will be made to follow.".to_owned(),
            );
        }
        return;
    }
    if place.follows.is_none() && note.is_some_and(|note| note.leader == found.node.id) {
        seen.role = Some(Role::Primary);
        seen.health = Health::Degraded;
        seen.detail =
            Some("It leads, but holds writes back; a reboot of it lets it take them again.".to_owned());
        return;
    }
    follower(cx, place, leader, all, seen);
}

#[allow(clippy::cast_precision_loss)]
fn follower(
    cx: &ClusterContext,
    place: &Place,
    leader: Option<&Found<'_>>,
    all: &[Found<'_>],
    seen: &mut NodeObserved,
) {
    seen.role = Some(Role::Replica);
    let lead = leader.and_then(|l| Some((l, l.says.as_ref().ok()?)));
    let follows = place.follows.as_ref();
    seen.follows = follows.and_then(|f| survey::followed(cx, f));
    seen.diverged = place.diverged(lead.map(|(_, says)| &says.place));
    let of_leader = leader.is_some_and(|l| Some(&l.node.id) == seen.follows.as_ref());
    seen.link = Some(if follows.is_some_and(survey::Follows::runs) { Link::Up } else { Link::Down });
    seen.lag_bytes = match (follows, lead) {
        (Some(f), Some((_, says))) if of_leader && f.runs() => {
            // A place is told in steps; the number of a transaction is exact.
            let same = place.sequence() >= says.place.sequence();
            if same { Some(0) } else { behind(&f.applied, says.place.end.as_ref(), &says.log_files) }
        }
        // With the primary gone, how far behind the furthest of all it has received.
        (Some(f), None) => known_behind(f, all),
        _ => None,
    };
    seen.lag_ms = follows.filter(|f| of_leader && f.runs()).and_then(|f| lag_ms(f, seen.lag_bytes));
    seen.metrics.lag_bytes = seen.lag_bytes.map(|b| b as f64);
    let name = leader.map_or("its primary", |l| l.node.name.as_str());
    let why = follows.and_then(survey::Follows::complaint);
    seen.detail = Some(if seen.diverged {
        format!("It holds transactions that {name} lacks; a resync gives it a fresh copy.")
    } else if seen.link == Some(Link::Down) {
        why.map_or_else(
            || format!("It does not follow {name}."),
            |why| format!("It does not follow {name}: {why}."),
        )
    } else if leader.is_some() && !of_leader {
        format!("It follows another node than {name}.")
    } else {
        return;
    });
    seen.health = Health::Degraded;
}

/// How old the newest write is that it applied; the server counts whole seconds, and none while it is applying nothing.
fn lag_ms(follows: &survey::Follows, lag_bytes: Option<u64>) -> Option<u64> {
    if lag_bytes == Some(0) { Some(0) } else { follows.seconds.map(|s| s.saturating_mul(1_000)) }
}

/// Bytes between a place in the log and its end, through all files between them.
fn behind(at: &At, end: Option<&At>, files: &[At]) -> Option<u64> {
    let (last, end) = end?;
    if *last == at.0 {
        return Some(end.saturating_sub(at.1));
    }
    let from = files.iter().position(|(name, _)| *name == at.0)?;
    let whole: u64 = files[from..].iter().take_while(|(name, _)| name != last).map(|(_, size)| size).sum();
    Some(whole.saturating_add(*end).saturating_sub(at.1))
}

/// Bytes behind the furthest that any follower has received; unknown when that lies in another file.
fn known_behind(follows: &survey::Follows, all: &[Found<'_>]) -> Option<u64> {
    let received =
        all.iter().filter_map(|f| f.says.as_ref().ok()?.place.follows.as_ref()).map(|f| &f.received);
    let furthest = received.max()?;
    behind(&follows.received, Some(furthest), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_end_of_the_log_goes_through_all_its_files() {
        let at = |name: &str, offset: u64| (name.to_owned(), offset);
        let files = [at("binlog.000001", 900), at("binlog.000002", 500), at("binlog.000003", 40)];
        let end = at("binlog.000003", 40);
        assert_eq!(behind(&at("binlog.000003", 10), Some(&end), &files), Some(30));
        assert_eq!(behind(&at("binlog.000001", 800), Some(&end), &files), Some(100 + 500 + 40));
        assert_eq!(behind(&at("binlog.000000", 4), Some(&end), &files), None, "that file is gone");
    }
}
