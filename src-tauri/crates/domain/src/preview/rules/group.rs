//! Who holds the same data, who leads them, and who is left when one goes.
//!
//! A *group* is a shard, or the whole cluster where it is not sharded.

use super::{ailment, name, words};
use crate::preview::{Finding, Preview};
use crate::{
    Change, ClusterObserved, ClusterOption, ClusterSpec, Health, Link, NodeKind, NodeObserved, NodeSpec,
    NodeState, OptionWish, Role, Topology,
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

/// Data nodes in service.
pub(in crate::preview) fn in_service(spec: &ClusterSpec) -> usize {
    spec.data_nodes().filter(|n| !n.drained).count()
}

/// Whether a primary refuses writes without a replica while so many nodes are in service.
fn insists(spec: &ClusterSpec, in_service: usize) -> bool {
    let mut offered = spec.offered_options().iter();
    offered
        .find(|o| o.id == ClusterOption::StopWritesWithoutReplica)
        .is_some_and(|o| o.holds(&spec.options, in_service))
}

/// Whether the primary refuses writes that no replica would get: wanted, and enough nodes are in service for it.
pub fn replica_needed_for_writes(spec: &ClusterSpec) -> bool {
    insists(spec, in_service(spec))
}

/// `node` stops following for a while, and with it the writes of a primary that insists on a replica. Says so.
pub(in crate::preview) fn writes_would_stop(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
) -> Option<String> {
    let following = replicas_that_follow(spec, seen, node.shard);
    let last = following.len() == 1 && following[0].id == node.id;
    (last && replica_needed_for_writes(spec)).then(|| {
        let primary = primary_name(spec, seen, node);
        format!(
            "{} is the only replica that follows {primary}, and {} stops writes without a replica: {primary} would \
             refuse every write",
            node.name, spec.name,
        )
    })
}

/// `node` goes out of service: the writes must not stop, and that they are no longer guarded is told.
pub(in crate::preview) fn keeps_writes(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
    preview: &mut Preview,
) {
    let now = in_service(spec);
    let after = now - usize::from(!node.drained);
    if !insists(spec, now) {
        return;
    }
    if !insists(spec, after) {
        preview.warn(Finding::new(
            "writes-unguarded",
            format!(
                "With {} in service {} also takes writes that no replica has; a failover may discard those.",
                words::count(after, "data node"),
                primary_name(spec, seen, node)
            ),
        ));
    } else if let Some(what) = writes_would_stop(spec, seen, node) {
        let options = OptionWish::only(ClusterOption::StopWritesWithoutReplica, false);
        preview.block(
            Finding::new("writes-would-stop", format!("{what}."))
                .at("/node")
                .hint("Bring another replica back or add one first, or let the primary write without one.")
                .way_out(
                    format!("Let {} write without a replica", primary_name(spec, seen, node)),
                    Change::SetOptions { cluster: spec.name.to_string(), options },
                ),
        );
    }
}

fn primary_name<'a>(spec: &'a ClusterSpec, seen: &'a ClusterObserved, node: &NodeSpec) -> &'a str {
    match leader(seen, node.shard) {
        Leader::One(one) => name(spec, &one.node),
        _ => "the primary",
    }
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
