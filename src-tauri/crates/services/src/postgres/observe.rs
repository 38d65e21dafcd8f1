//! Looking at a cluster: what the machine says of the units, what Patroni says of the node, what the server says of itself.

use super::{
    additions, config,
    diverged::{Place, given_up},
    etcd,
    patroni::{self, Client, GLANCE},
    readiness,
    sessions::Sessions,
    sql::{As, Session},
};
use crate::{
    measure::{Counters, Readings},
    own_way,
};
use clusterdeck_domain::{
    ClusterObserved, Fact, Health, Link, NodeKind, NodeMetrics, NodeObserved, NodeSpec, NodeState,
    OpenTransaction, Role, Topology, Votes,
};
use clusterdeck_driver::{ClusterContext, DriverError, Result, UnitState};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// For everything that is asked of one node.
const NODE_LIMIT: Duration = Duration::from_secs(1);
/// Roles whose connections are no client's.
const OUR_ROLES: [&str; 4] = [config::OPERATOR, config::WATCH, config::REWIND, config::REPLICA];
/// So many open transactions are listed, each cut to so many letters.
const OPEN_LISTED: i64 = 5;
const LINE: i32 = 120;

/// What was found on one node.
struct Found<'a> {
    node: &'a NodeSpec,
    unit: Result<UnitState>,
    says: Result<Says>,
    stat: Stat,
    metrics: NodeMetrics,
}

/// What a server says of itself.
#[derive(Debug, Default)]
struct Stat {
    counters: Counters,
    clients: Option<u64>,
    data_bytes: Option<u64>,
    lag_ms: Option<u64>,
    /// Replication slots that nobody reads from, and how much of the log the oldest of them keeps.
    unread_slots: Option<(u64, u64)>,
    open_transactions: Vec<OpenTransaction>,
    version: Option<String>,
}

/// What Patroni says of its server.
#[derive(Debug, Clone)]
pub(crate) struct Says {
    pub(crate) leads: bool,
    state: String,
    timeline: Option<u64>,
    /// Where its log is: written by a leader, replayed by a follower.
    position: Option<u64>,
    /// The furthest of its log that it holds, and on which timeline.
    place: Option<Place>,
    /// What was given up of it when it followed again.
    given_up: Option<String>,
    /// Names of those it streams to, and whether it waits for them.
    streams_to: Vec<(String, bool)>,
}

impl Says {
    pub(crate) fn of(status: &Value) -> Self {
        let xlog = &status["xlog"];
        let number = |name: &str| xlog[name].as_u64();
        let replication = status["replication"].as_array().cloned().unwrap_or_default();
        Self {
            leads: matches!(status["role"].as_str(), Some("primary" | "master")),
            state: status["state"].as_str().unwrap_or("unknown").to_owned(),
            timeline: status["timeline"].as_u64(),
            position: number("location").or_else(|| number("replayed_location")),
            place: Place::of(status),
            given_up: given_up(status),
            streams_to: replication
                .iter()
                .filter(|r| r["state"] == "streaming")
                .filter_map(|r| {
                    let waited_for = matches!(r["sync_state"].as_str(), Some("sync" | "quorum"));
                    Some((r["application_name"].as_str()?.to_owned(), waited_for))
                })
                .collect(),
        }
    }
}

/// Looks at a cluster.
pub(crate) async fn observe(
    cx: &ClusterContext,
    readings: &Readings,
    sessions: &Sessions,
    additions: &additions::Seen,
) -> ClusterObserved {
    let at = Timestamp::now();
    let client = Client::within(cx, GLANCE);
    let looks =
        join_all(cx.spec.nodes.iter().map(|node| look(cx, node, client.as_ref().ok(), readings, sessions)));
    let added = join_all(cx.spec.nodes.iter().map(|node| additions.facts(cx, node)));
    let (found, added, present, endpoint_up) = futures::join!(looks, added, etcd::present(cx), endpoint(cx));
    let leader = leader(&found);
    let ends = ends(&found, leader, client.as_ref().ok()).await;
    let mut nodes: Vec<_> = found.iter().map(|f| node_observed(cx, f, leader, &ends)).collect();
    for (seen, facts) in nodes.iter_mut().zip(added).filter(|(seen, _)| seen.state == NodeState::Running) {
        seen.facts.extend(facts);
    }
    let total = etcd::voters(cx).len();
    let votes = (cx.spec.topology == Topology::PrimaryReplica && present > 0).then(|| Votes {
        present: u16::try_from(present).unwrap_or(u16::MAX),
        needed: u16::try_from(total / 2 + 1).unwrap_or(u16::MAX),
        total: u16::try_from(total).unwrap_or(u16::MAX),
    });
    let failover = readiness::readiness(cx, &nodes, votes.as_ref());
    ClusterObserved { at, nodes, votes, failover, endpoint_up }
}

/// Who leads: of several who say so the one on the highest timeline, which is the one elected last.
fn leader<'f, 'a>(found: &'f [Found<'a>]) -> Option<&'f Found<'a>> {
    let leading = found.iter().filter(|f| f.says.as_ref().is_ok_and(|s| s.leads && s.state == "running"));
    leading.max_by_key(|f| f.says.as_ref().ok().and_then(|s| s.timeline))
}

/// Where earlier timelines ended; asked only while somebody is on one of them.
async fn ends(found: &[Found<'_>], leader: Option<&Found<'_>>, client: Option<&Client>) -> Vec<(u64, u64)> {
    let timeline = |f: &Found<'_>| f.says.as_ref().ok().and_then(|s| s.timeline);
    let leads = leader.and_then(timeline);
    match client {
        Some(client) if found.iter().filter_map(timeline).any(|t| Some(t) < leads) => {
            client.history().await.unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

async fn look<'a>(
    cx: &ClusterContext,
    node: &'a NodeSpec,
    client: Option<&Client>,
    readings: &Readings,
    sessions: &Sessions,
) -> Found<'a> {
    let gone = |what: &str| DriverError::transient(format!("{} {what}", node.name));
    let Ok(machine) = cx.machine(node) else {
        let (unit, says) = (Err(gone("has no machine")), Err(gone("has no machine")));
        return Found { node, unit, says, stat: Stat::default(), metrics: NodeMetrics::default() };
    };
    let unit_name = if node.kind == NodeKind::Witness { etcd::UNIT } else { patroni::UNIT };
    let says = async {
        match (node.kind, client) {
            (NodeKind::Data, Some(client)) => client.status(&node.name).await.map(|status| Says::of(&status)),
            _ => Err(gone("has no server")),
        }
    };
    let stat = async {
        match node.kind {
            NodeKind::Data => {
                let asked = sessions.ask(cx, node, NODE_LIMIT, stat);
                timeout(NODE_LIMIT, asked).await.ok().and_then(Result::ok)
            }
            NodeKind::Witness => None,
        }
    };
    let (unit, says, stat) = futures::join!(timeout(NODE_LIMIT, machine.state(unit_name)), says, stat);
    let unit = unit.unwrap_or_else(|_| Err(gone("cannot be looked at: its machine does not answer")));
    let stat = stat.unwrap_or_default();
    let metrics = readings.measure(node, machine.as_ref(), unit_name, config::DATA, stat.counters).await;
    Found { node, unit, says, stat, metrics }
}

/// Counters of the server, and people's connections.
async fn stat(session: &Session) -> Result<Stat> {
    let row = session
        .row(
            "SELECT sum(xact_commit + xact_rollback)::int8, sum(blks_hit)::int8, sum(blks_read)::int8, \
             (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> ALL ($1)), \
             (SELECT sum(pg_database_size(oid))::int8 FROM pg_database WHERE datallowconn), \
             current_setting('server_version') \
             FROM pg_stat_database",
            &[&OUR_ROLES.as_slice()],
        )
        .await?;
    let number = |at: usize| row.get::<_, Option<i64>>(at).and_then(|n| u64::try_from(n).ok());
    let lag = session
        .row(
            "SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL \
             WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
             ELSE (extract(epoch FROM now() - pg_last_xact_replay_timestamp()) * 1000)::int8 END, \
             CASE WHEN pg_is_in_recovery() THEN NULL \
             ELSE (SELECT count(*) FROM pg_replication_slots WHERE NOT active) END, \
             CASE WHEN pg_is_in_recovery() THEN NULL \
             ELSE (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::int8 \
                   FROM pg_replication_slots WHERE NOT active) END",
            &[],
        )
        .await?;
    let measured = |at: usize| lag.get::<_, Option<i64>>(at).and_then(|n| u64::try_from(n).ok());
    let open = session
        .rows(
            "SELECT extract(epoch FROM now() - xact_start)::int8, usename::text, \
             left(regexp_replace(query, '\\s+', ' ', 'g'), $3) FROM pg_stat_activity \
             WHERE xact_start < now() - interval '5 seconds' AND backend_type = 'client backend' \
             AND usename <> ALL ($1) ORDER BY xact_start LIMIT $2",
            &[&OUR_ROLES.as_slice(), &OPEN_LISTED, &LINE],
        )
        .await?;
    let open_transactions = open.iter().map(|row| OpenTransaction {
        seconds: row.get::<_, i64>(0).try_into().unwrap_or(0),
        user: row.get(1),
        query: row.get(2),
    });
    let counters =
        Counters { operations: number(0), hits: number(1), misses: number(2), ..Counters::default() };
    Ok(Stat {
        counters,
        clients: number(3),
        data_bytes: number(4),
        lag_ms: measured(0),
        unread_slots: measured(1).zip(measured(2)),
        open_transactions: open_transactions.collect(),
        // Debian adds what it is packaged as: `17.11 (Debian 17.11-1)`.
        version: row.get::<_, String>(5).split(' ').next().map(str::to_owned),
    })
}

/// Whether the endpoint leads to a node that takes writes: asked through it, unless it does not let us in.
async fn endpoint(cx: &ClusterContext) -> Option<bool> {
    let gateway = cx.gateway().ok().filter(|_| own_way::endpoint_is_open(cx, config::PORT))?;
    let asked = async {
        let at = gateway.reach(config::PORT);
        let session = Session::connect(cx, "the endpoint", at, As::People, NODE_LIMIT).await?;
        session.row("SELECT NOT pg_is_in_recovery()", &[]).await.map(|row| row.get::<_, bool>(0))
    };
    Some(matches!(timeout(NODE_LIMIT, asked).await, Ok(Ok(true))))
}

fn node_observed(
    cx: &ClusterContext,
    found: &Found<'_>,
    leader: Option<&Found<'_>>,
    ends: &[(u64, u64)],
) -> NodeObserved {
    let node = found.node;
    let mut seen = NodeObserved::unknown(node.id.clone());
    seen.limited_by = cx.machine(node).ok().map(|m| m.limited_by().to_owned());
    seen.metrics = found.metrics.clone();
    if node.kind == NodeKind::Witness {
        seen.role = Some(Role::Witness);
    }
    if node.drained {
        (seen.state, seen.health) = (NodeState::Drained, Health::Degraded);
        seen.detail = Some("Taken out of service on purpose.".to_owned());
        return seen;
    }
    match (&found.unit, &found.says) {
        (Ok(UnitState::Running { .. }), Ok(says)) => answering(found, says, leader, ends, &mut seen),
        (Ok(UnitState::Running { .. }), _) if node.kind == NodeKind::Witness => {
            (seen.state, seen.health) = (NodeState::Running, Health::Healthy);
        }
        (Ok(UnitState::Running { .. }), Err(e)) => {
            (seen.state, seen.health) = (NodeState::Unresponsive, Health::Down);
            seen.detail = Some(format!("Its process is there, but {e}."));
        }
        (Ok(UnitState::Crashed { detail, .. }), _) => {
            (seen.state, seen.health) = (NodeState::Crashed, Health::Down);
            seen.detail = Some(detail.clone());
        }
        (Ok(UnitState::Absent | UnitState::Stopped), _) => {
            (seen.state, seen.health) = (NodeState::Stopped, Health::Down);
            seen.detail = Some("PostgreSQL does not run there.".to_owned());
        }
        (Err(e), _) => {
            (seen.state, seen.health) = (NodeState::Unknown, Health::Unknown);
            seen.detail = Some(format!("Nothing is known of it: {e}."));
        }
    }
    seen
}

#[allow(clippy::cast_precision_loss)]
fn answering(
    found: &Found<'_>,
    says: &Says,
    leader: Option<&Found<'_>>,
    ends: &[(u64, u64)],
    seen: &mut NodeObserved,
) {
    seen.offset_bytes = says.position;
    seen.data_bytes = found.stat.data_bytes;
    seen.version = found.stat.version.clone();
    seen.clients = found.stat.clients;
    seen.metrics.clients = found.stat.clients.map(|c| c as f64);
    seen.open_transactions = found.stat.open_transactions.clone();
    if let Some(timeline) = says.timeline {
        seen.facts.push(Fact::new("timeline", "Timeline", timeline.to_string()));
    }
    if let Some(text) = &says.given_up {
        seen.facts.push(Fact::new("given-up", "Given up when it followed again", text.as_str()));
    }
    if says.state != "running" {
        // `starting`, `creating replica`, `running pg_rewind`, `stopping`, `crashed`, …
        (seen.state, seen.health) = (NodeState::Starting, Health::Degraded);
        seen.role = Some(Role::Replica);
        seen.link = Some(Link::Syncing);
        seen.detail = Some(format!("Patroni says: {}.", says.state));
        return;
    }
    (seen.state, seen.health) = (NodeState::Running, Health::Healthy);
    if says.leads {
        seen.role = Some(Role::Primary);
        if let Some((count @ 1.., kept)) = found.stat.unread_slots {
            let text = format!("{count}, keeping {} MiB of log", kept >> 20);
            seen.facts.push(Fact::new("unread-slots", "Slots nobody reads", text));
        }
        if leader.is_some_and(|l| l.node.id != found.node.id) {
            seen.health = Health::Degraded;
            seen.detail = Some("It says it leads, but another one was elected after it.".to_owned());
        }
        return;
    }
    seen.role = Some(Role::Replica);
    let lead = leader.and_then(|l| Some((l, l.says.as_ref().ok()?)));
    let Some((lead, lead_says)) = lead else {
        seen.link = Some(Link::Down);
        seen.health = Health::Degraded;
        seen.detail = Some("Nobody leads, so it follows nobody.".to_owned());
        return;
    };
    seen.follows = Some(lead.node.id.clone());
    let stream = lead_says.streams_to.iter().find(|(name, _)| *name == found.node.name);
    let streams = stream.is_some();
    if let Some((_, waited_for)) = stream {
        let how = if *waited_for { "synchronous" } else { "asynchronous" };
        seen.facts.push(Fact::new("replication", "Replication", how));
    }
    seen.link = Some(if streams { Link::Up } else { Link::Down });
    let beyond = |(own, of): (Place, u64)| own.is_beyond(of, ends) == Some(true);
    seen.diverged = !streams && says.place.zip(lead_says.timeline).is_some_and(beyond);
    if streams {
        seen.lag_ms = found.stat.lag_ms;
        seen.lag_bytes = lead_says.position.zip(says.position).map(|(lead, own)| lead.saturating_sub(own));
        seen.metrics.lag_bytes = seen.lag_bytes.map(|b| b as f64);
    } else {
        seen.health = Health::Degraded;
        seen.detail = Some(format!("{} does not stream to it.", lead.node.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_patroni_says_of_leaders_and_followers_is_read_in_the_words_of_old_and_new_versions() {
        let old = Says::of(&json!({ "state": "running", "role": "master", "timeline": 3,
            "xlog": { "location": 500 }, "replication": [
                { "application_name": "demo-2", "state": "streaming" },
                { "application_name": "demo-3", "state": "catchup" }] }));
        assert!(old.leads && old.timeline == Some(3) && old.position == Some(500));
        assert_eq!(
            old.streams_to,
            [("demo-2".to_owned(), false)],
            "a follower that catches up is not streamed to yet"
        );
        let new = Says::of(&json!({ "state": "running", "role": "primary" }));
        assert!(new.leads, "Patroni 4 says primary");
        let follower = Says::of(&json!({ "state": "running", "role": "replica",
            "xlog": { "received_location": 40, "replayed_location": 30 } }));
        assert!(!follower.leads && follower.position == Some(30), "what counts is what can be read there");
    }
}
