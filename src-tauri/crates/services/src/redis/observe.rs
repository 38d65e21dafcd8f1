//! Looking at every node at once. Nothing in here changes anything, and nothing fails: what does not answer is shown
//! as what it is.

use super::{
    config::DATA,
    flavour::Flavour,
    form::UNIT,
    info::{Info, Place},
    readiness,
    sentinel::{self, Opinion},
    session::{As, PORT, Session, address},
    shards::{self, Membership},
    survey,
};
use crate::{
    measure::{Counters, Readings},
    own_way,
};
use clusterdeck_domain::{
    ClusterObserved, Health, Link, NodeKind, NodeMetrics, NodeObserved, NodeSpec, NodeState, Role, Topology,
    Votes,
};
use clusterdeck_driver::{ClusterContext, Result, UnitState};
use futures::future::join_all;
use jiff::Timestamp;
use std::time::Duration;

/// For everything that is asked of one node.
const NODE_LIMIT: Duration = Duration::from_secs(1);
/// Above so many connections they are not listed to tell people's from ours; ours are subtracted by number.
const LISTED_CONNECTIONS: u64 = 2000;

/// What a node's server answered.
struct Answered {
    info: Info,
    place: Place,
    clients: Option<u64>,
    membership: Option<Membership>,
}

/// What was found on one node.
struct Found<'a> {
    node: &'a NodeSpec,
    unit: Result<UnitState>,
    server: Result<Answered>,
    metrics: NodeMetrics,
}

/// Looks at a cluster.
pub(crate) async fn observe(cx: &ClusterContext, readings: &Readings) -> ClusterObserved {
    let looks = join_all(cx.spec.nodes.iter().map(|node| look(cx, node, readings)));
    let (found, opinions, endpoint_up) = futures::join!(looks, sentinel::opinions(cx), endpoint(cx));
    let primary = true_primary(cx, &found, &opinions);
    let nodes: Vec<_> = found.iter().map(|f| node_observed(cx, f, primary, &found)).collect();
    let seen = primary.and_then(|p| cx.machine(p.node).ok()).map(|m| address(m.as_ref()));
    let votes = votes(cx, &opinions, seen);
    let failover = readiness::readiness(cx, &nodes, votes.as_ref());
    ClusterObserved { at: Timestamp::now(), nodes, votes, failover, endpoint_up }
}

async fn look<'a>(cx: &'a ClusterContext, node: &'a NodeSpec, readings: &Readings) -> Found<'a> {
    let gone = |what: &str| clusterdeck_driver::DriverError::transient(format!("{} {what}", node.name));
    let machine = match cx.machine(node) {
        Ok(machine) => machine,
        Err(e) => {
            return Found { node, unit: Err(e.clone()), server: Err(e), metrics: NodeMetrics::default() };
        }
    };
    let unit_name = if node.kind == NodeKind::Witness { sentinel::UNIT } else { UNIT };
    let (unit, server) = futures::join!(tokio::time::timeout(NODE_LIMIT, machine.state(unit_name)), async {
        if node.kind == NodeKind::Witness || node.drained {
            return Err(gone("has no server"));
        }
        match tokio::time::timeout(NODE_LIMIT, ask(cx, node)).await {
            Ok(answer) => answer,
            Err(_) => Err(gone("does not answer")),
        }
    });
    let unit = unit.unwrap_or_else(|_| Err(gone("cannot be looked at: its machine does not answer")));
    let info = server.as_ref().ok().map(|s| &s.info);
    let counters = info.map(counters).unwrap_or_default();
    let measuring = readings.measure(node, machine.as_ref(), unit_name, DATA, counters);
    let mut metrics = tokio::time::timeout(NODE_LIMIT, measuring).await.unwrap_or_default();
    #[allow(clippy::cast_precision_loss)]
    {
        metrics.operations_per_second =
            info.and_then(|i| i.number("instantaneous_ops_per_sec")).map(|n| n as f64);
    }
    Found { node, unit, server, metrics }
}

fn counters(info: &Info) -> Counters {
    Counters {
        received_bytes: info.number("total_net_input_bytes"),
        sent_bytes: info.number("total_net_output_bytes"),
        hits: info.number("keyspace_hits"),
        misses: info.number("keyspace_misses"),
        operations: None,
    }
}

async fn ask(cx: &ClusterContext, node: &NodeSpec) -> Result<Answered> {
    let mut session = Session::open_within(cx, node, NODE_LIMIT).await?;
    let text: String = session.say("INFO").await?;
    let info = Info::parse(&text);
    let place = Place::of(&info).ok_or_else(|| {
        clusterdeck_driver::DriverError::broken(format!("{} does not tell its role", node.name))
    })?;
    let clients = clients(&mut session, &info).await;
    let membership = if cx.spec.topology == Topology::Sharded {
        shards::membership(&mut session).await.ok()
    } else {
        None
    };
    Ok(Answered { info, place, clients, membership })
}

/// People's connections: all but those of our own users.
async fn clients(session: &mut Session, info: &Info) -> Option<u64> {
    let all = info.number("connected_clients")?;
    if all > LISTED_CONNECTIONS {
        return Some(all.saturating_sub(1));
    }
    let list: String = session.say("CLIENT LIST TYPE normal").await.ok()?;
    let pubsub: String = session.say("CLIENT LIST TYPE pubsub").await.ok()?;
    let people = list.lines().chain(pubsub.lines()).filter(|l| l.split(' ').any(|w| w == "user=default"));
    u64::try_from(people.count()).ok()
}

/// Who is primary: the one that says so, and where several do the one that a majority of the Sentinels names.
fn true_primary<'f, 'a>(
    cx: &ClusterContext,
    found: &'f [Found<'a>],
    opinions: &[(&NodeSpec, Result<Opinion>)],
) -> Option<&'f Found<'a>> {
    let says_so: Vec<_> = found.iter().filter(|f| f.server.as_ref().is_ok_and(|s| s.place.primary)).collect();
    match says_so.as_slice() {
        [] => None,
        [one] => Some(one),
        several => {
            let needed = sentinel::majority(opinions.len());
            several.iter().copied().find(|f| {
                let Ok(machine) = cx.machine(f.node) else { return false };
                let here = address(machine.as_ref());
                opinions.iter().filter(|(_, o)| o.as_ref().is_ok_and(|o| o.primary == here)).count() >= needed
            })
        }
    }
}

fn votes(
    cx: &ClusterContext,
    opinions: &[(&NodeSpec, Result<Opinion>)],
    primary: Option<(std::net::IpAddr, u16)>,
) -> Option<Votes> {
    let answering: Vec<_> = opinions.iter().filter_map(|(_, o)| o.as_ref().ok()).collect();
    if cx.spec.topology != Topology::PrimaryReplica || answering.is_empty() {
        return None;
    }
    let present = answering.iter().filter(|o| primary.is_none_or(|p| o.primary == p)).count();
    Some(Votes {
        present: u16::try_from(present).unwrap_or(u16::MAX),
        needed: u16::try_from(sentinel::majority(opinions.len())).unwrap_or(u16::MAX),
        total: u16::try_from(opinions.len()).unwrap_or(u16::MAX),
    })
}

/// Whether the endpoint leads to a node that takes writes: asked through it, unless it does not let us in.
async fn endpoint(cx: &ClusterContext) -> Option<bool> {
    let gateway = cx.gateway().ok().filter(|_| own_way::endpoint_is_open(cx, PORT))?;
    let asked = async {
        let at = gateway.reach(PORT);
        let mut session = Session::connect(cx, "the endpoint", at, As::Watch, NODE_LIMIT).await?;
        match cx.spec.topology {
            Topology::Sharded => {
                session.say::<String>("CLUSTER INFO").await.map(|s| s.contains("cluster_state:ok"))
            }
            _ => session.say::<String>("INFO replication").await.map(|s| !s.contains("role:slave")),
        }
    };
    Some(matches!(tokio::time::timeout(NODE_LIMIT, asked).await, Ok(Ok(true))))
}

fn node_observed(
    cx: &ClusterContext,
    found: &Found<'_>,
    primary: Option<&Found<'_>>,
    all: &[Found<'_>],
) -> NodeObserved {
    let node = found.node;
    let mut seen = NodeObserved::unknown(node.id.clone());
    seen.shard = node.shard;
    seen.limited_by = cx.machine(node).ok().map(|m| m.limited_by().to_owned());
    seen.metrics = found.metrics.clone();
    if node.kind == NodeKind::Witness {
        seen.role = Some(Role::Witness);
    }
    if node.drained {
        seen.state = NodeState::Drained;
        seen.health = Health::Degraded;
        seen.detail = Some("Taken out of service on purpose.".to_owned());
        return seen;
    }
    let flavour = Flavour::of(cx.spec.service).name;
    match (&found.unit, &found.server) {
        (_, Ok(answered)) => answering(cx, found, answered, primary, all, &mut seen),
        (Ok(UnitState::Running { .. }), _) if node.kind == NodeKind::Witness => {
            (seen.state, seen.health) = (NodeState::Running, Health::Healthy);
        }
        (Ok(UnitState::Running { .. }), Err(e)) => {
            (seen.state, seen.health) = (NodeState::Unresponsive, Health::Down);
            seen.detail = Some(format!("Its process is there, but {e}."));
        }
        (Ok(UnitState::Crashed { detail, .. }), Err(_)) => {
            (seen.state, seen.health) = (NodeState::Crashed, Health::Down);
            seen.detail = Some(detail.clone());
        }
        (Ok(UnitState::Absent | UnitState::Stopped), Err(_)) => {
            (seen.state, seen.health) = (NodeState::Stopped, Health::Down);
            seen.detail = Some(format!("{flavour} does not run there."));
        }
        (Err(e), Err(_)) => {
            (seen.state, seen.health) = (NodeState::Unknown, Health::Unknown);
            seen.detail = Some(format!("Nothing is known of it: {e}."));
        }
    }
    seen
}

fn answering(
    cx: &ClusterContext,
    found: &Found<'_>,
    answered: &Answered,
    primary: Option<&Found<'_>>,
    all: &[Found<'_>],
    seen: &mut NodeObserved,
) {
    let place = &answered.place;
    // Valkey goes on telling the version of Redis that it is like, beside its own.
    let version = ["valkey_version", "keydb_version", "redis_version"];
    seen.version = version.iter().find_map(|name| answered.info.text(name)).map(str::to_owned);
    seen.offset_bytes = Some(place.offset);
    seen.data_bytes =
        answered.info.number("used_memory_dataset").or_else(|| answered.info.number("used_memory"));
    seen.clients = answered.clients;
    #[allow(clippy::cast_precision_loss)]
    {
        seen.metrics.clients = answered.clients.map(|c| c as f64);
    }
    seen.follows = place.follows.and_then(|at| survey::id_at(cx, at));
    seen.role = Some(match (cx.spec.topology, place.primary) {
        (Topology::Sharded, true) => Role::ShardPrimary,
        (Topology::Sharded, false) => Role::ShardReplica,
        (Topology::MultiMaster, _) => Role::Member,
        (_, true) => Role::Primary,
        (_, false) => Role::Replica,
    });
    (seen.state, seen.health) = (NodeState::Running, Health::Healthy);
    if place.loading {
        (seen.state, seen.health) = (NodeState::Starting, Health::Degraded);
        seen.detail = Some("It reads its data from disk.".to_owned());
    }
    if let Some(membership) = &answered.membership {
        membership.describe(cx, seen);
    }
    // Whom its offset is measured against: in a sharded cluster the one it follows.
    let leader = match cx.spec.topology {
        Topology::Sharded => all.iter().find(|f| Some(&f.node.id) == seen.follows.as_ref()),
        _ => primary,
    };
    let leads = leader.and_then(|l| l.server.as_ref().ok()).map(|s| &s.place).filter(|p| p.primary);
    if place.primary {
        let second = cx.spec.topology == Topology::PrimaryReplica
            && primary.is_some_and(|p| p.node.id != found.node.id);
        if let (true, Some(lead), Some(p)) = (second, leads, primary) {
            seen.health = Health::Degraded;
            seen.diverged = place.offset > 0 && !place.is_part_of(lead);
            seen.detail = Some(format!(
                "It says it takes writes, but {} does; it will be made to follow.",
                p.node.name
            ));
        }
        return;
    }
    let follows_leader = leader.is_some_and(|l| Some(&l.node.id) == seen.follows.as_ref());
    let here = cx.machine(found.node).map(|m| address(m.as_ref())).ok();
    let streamed_to = |lead: &Place| here.is_some_and(|at| lead.streams_to(at));
    seen.link = Some(match (place.syncing, place.link_up) {
        (None, true) if follows_leader && leads.is_some_and(|l| !streamed_to(l)) => Link::Syncing,
        (None, true) => Link::Up,
        (Some(_), _) => Link::Syncing,
        (None, false) => Link::Down,
    });
    if follows_leader && seen.link == Some(Link::Up) {
        seen.lag_bytes = leads.map(|l| l.offset.saturating_sub(place.offset));
    }
    // While it copies, its own history is a fresh one without writes, which parts from nobody's.
    let has_history = place.offset > 0 && place.keys > 0;
    seen.diverged =
        seen.link == Some(Link::Down) && has_history && leads.is_some_and(|l| !place.is_part_of(l));
    #[allow(clippy::cast_precision_loss)]
    {
        seen.metrics.lag_bytes = seen.lag_bytes.map(|b| b as f64);
    }
    let name = leader.map_or("its primary", |l| l.node.name.as_str());
    let detail = match seen.link {
        _ if seen.state == NodeState::Starting => return,
        Some(Link::Syncing) => {
            seen.state = NodeState::Starting;
            format!("It copies the whole data set from {name}.")
        }
        Some(Link::Up)
            if cx.spec.topology == Topology::PrimaryReplica && primary.is_some() && !follows_leader =>
        {
            format!("It follows another node than {name}.")
        }
        Some(Link::Up) | None => return,
        Some(Link::Down) if seen.diverged => {
            format!("It holds writes that {name} lacks, and does not follow it.")
        }
        Some(Link::Down) => format!("Its link to {name} is down."),
    };
    seen.health = Health::Degraded;
    seen.detail = Some(detail);
}
