//! Who holds the same data, who leads them, and who is left when one goes.
//!
//! A *group* is a shard, or the whole cluster where it is not sharded.

use super::{ailment, name};
use crate::preview::{Finding, Preview};
use crate::{
    ClusterObserved, ClusterSpec, Health, Link, NodeKind, NodeObserved, NodeSpec, NodeState, Role, Topology,
};

/// Who leads a group, as far as anybody can tell.
#[derive(Debug, Clone, Copy)]
pub(in crate::preview) enum Leader<'a> {
    /// Exactly one node says so.
    One(&'a NodeObserved),
    /// Nobody says so: dead, or silent.
    Nobody,
    /// Several say so.
    Several,
}

/// The leader of the group `shard`.
pub(in crate::preview) fn leader(seen: &ClusterObserved, shard: Option<u16>) -> Leader<'_> {
    let leads = |n: &&NodeObserved| match shard {
        Some(_) => n.role == Some(Role::ShardPrimary) && n.shard == shard,
        None => n.role == Some(Role::Primary),
    };
    let mut found = seen.nodes.iter().filter(leads);
    match (found.next(), found.next()) {
        (Some(one), None) => Leader::One(one),
        (None, _) => Leader::Nobody,
        _ => Leader::Several,
    }
}

/// `shard 2 of demo` or `demo`.
fn group_name(spec: &ClusterSpec, shard: Option<u16>) -> String {
    shard.map_or_else(|| spec.name.to_string(), |s| format!("shard {s} of {}", spec.name))
}

/// The group has one leader that others can copy from or hand over with. Down and unknown block; degraded is told.
pub(in crate::preview) fn follows_a_leader<'a>(
    spec: &ClusterSpec,
    seen: &'a ClusterObserved,
    shard: Option<u16>,
    preview: &mut Preview,
) -> Option<&'a NodeObserved> {
    let group = group_name(spec, shard);
    let hint =
        "Bring the primary back first: `clusterdeck node reboot NODE`, or wait for the automatic failover.";
    let one = match leader(seen, shard) {
        Leader::One(one) => one,
        Leader::Nobody => {
            preview.block(
                Finding::new("primary-unknown", format!("No node of {group} says that it is the primary."))
                    .hint(hint),
            );
            return None;
        }
        Leader::Several => {
            preview.block(
                Finding::new("several-primaries", format!("More than one node of {group} says that it is the primary."))
                    .hint("Wait until they agree; if they do not, find out which one has the writes you want to keep."),
            );
            return None;
        }
    };
    let leader = name(spec, &one.node);
    match one.health {
        Health::Healthy => Some(one),
        Health::Degraded => {
            preview
                .warn(Finding::new("primary-degraded", format!("The primary {leader} is {}.", ailment(one))));
            Some(one)
        }
        Health::Down | Health::Unknown => {
            preview.block(
                Finding::new("primary-unhealthy", format!("The primary {leader} is {}.", ailment(one)))
                    .hint(hint),
            );
            None
        }
    }
}

/// Every group has a leader to rely on; for members without one, all are asked to be well.
pub(in crate::preview) fn leaders_well(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    preview: &mut Preview,
) -> bool {
    match spec.topology {
        Topology::Single | Topology::PrimaryReplica => follows_a_leader(spec, seen, None, preview).is_some(),
        // Every shard is looked at, so that all that is wrong is told at once.
        Topology::Sharded => {
            (0..spec.shards).filter(|s| follows_a_leader(spec, seen, Some(*s), preview).is_none()).count()
                == 0
        }
        Topology::MultiMaster => {
            let well = spec.data_nodes().any(|n| seen.node(&n.id).is_some_and(serves));
            if !well {
                let text = format!("No member of {} is known to serve.", spec.name);
                preview.block(Finding::new("primary-unhealthy", text).hint("Bring a member back first."));
            }
            well
        }
    }
}

/// The other nodes that hold the same data.
pub(in crate::preview) fn others<'a>(
    spec: &'a ClusterSpec,
    node: &'a NodeSpec,
) -> impl Iterator<Item = &'a NodeSpec> + Clone {
    spec.nodes.iter().filter(move |n| n.kind == NodeKind::Data && n.id != node.id && n.shard == node.shard)
}

/// It runs and answers.
fn serves(node: &NodeObserved) -> bool {
    node.state == NodeState::Running && matches!(node.health, Health::Healthy | Health::Degraded)
}

/// How many nodes of the group could serve when `node` no longer does.
pub(in crate::preview) fn nodes_able_to_serve(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
) -> usize {
    others(spec, node).filter(|n| !n.drained && seen.node(&n.id).is_some_and(serves)).count()
}

/// It follows and streams, as a primary counts its replicas.
fn streams(node: &NodeObserved) -> bool {
    matches!(node.role, Some(Role::Replica | Role::ShardReplica))
        && serves(node)
        && node.link == Some(Link::Up)
}

/// Replicas of the group that stream from their primary right now.
pub(in crate::preview) fn replicas_that_follow<'a>(
    spec: &'a ClusterSpec,
    seen: &ClusterObserved,
    shard: Option<u16>,
) -> Vec<&'a NodeSpec> {
    spec.data_nodes()
        .filter(|n| n.shard == shard && !n.drained && seen.node(&n.id).is_some_and(streams))
        .collect()
}

/// The last replica that a primary needs for taking writes would stop following: writes stop with it.
pub(in crate::preview) fn writes_would_stop(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
) -> Option<String> {
    let replicated = matches!(spec.topology, Topology::PrimaryReplica | Topology::Sharded);
    if !spec.options.stop_writes_without_replica || !replicated {
        return None;
    }
    let following = replicas_that_follow(spec, seen, node.shard);
    let last = following.len() == 1 && following[0].id == node.id;
    last.then(|| {
        let primary = match leader(seen, node.shard) {
            Leader::One(one) => name(spec, &one.node),
            _ => "the primary",
        };
        format!(
            "{} is the only replica that follows {primary}, and {} stops writes without a replica: {primary} would \
             refuse every write",
            node.name,
            group_name(spec, node.shard),
        )
    })
}

/// Clients connected to a node, in words.
pub(in crate::preview) fn clients_of(node: Option<&NodeObserved>) -> Option<(String, bool)> {
    match node.and_then(|n| n.clients) {
        Some(0) => None,
        Some(1) => Some(("1 client is".to_owned(), true)),
        Some(n) => Some((format!("{n} clients are"), true)),
        None => Some(("An unknown number of clients is".to_owned(), false)),
    }
}

/// The replica that would lose least and wait least: healthy, following, with the smallest known lag; the older node
/// when they are equal. `shard` is `None` where the cluster is not sharded.
pub fn promotion_candidate<'a>(
    spec: &'a ClusterSpec,
    seen: &ClusterObserved,
    shard: Option<u16>,
) -> Option<&'a NodeSpec> {
    spec.data_nodes()
        .filter(|n| n.shard == shard && !n.drained)
        .filter_map(|n| Some((n, seen.node(&n.id)?)))
        .filter(|(_, seen)| streams(seen) && seen.health == Health::Healthy && !seen.diverged)
        .filter_map(|(n, seen)| Some((seen.lag_bytes?, n.ordinal, n)))
        .min_by_key(|(lag, ordinal, _)| (*lag, *ordinal))
        .map(|(.., n)| n)
}

/// Nodes of a complete shard: what a new one gets. A shard that lost a replica does not make the next one smaller.
pub fn nodes_per_shard(spec: &ClusterSpec) -> u16 {
    let of = |shard| {
        u16::try_from(spec.data_nodes().filter(|n| n.shard == Some(shard)).count()).unwrap_or(u16::MAX)
    };
    (0..spec.shards).map(of).max().unwrap_or(1)
}
