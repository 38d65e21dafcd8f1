//! Votes: who decides on a failover, and whether enough of them are left.

use super::{Leader, leader, words};
use crate::preview::Finding;
use crate::{ClusterObserved, ClusterSpec, Failover, Health, NodeSpec, Topology, service};

/// Some nodes follow others and can take their place.
pub(in crate::preview) const fn has_replicas(topology: Topology) -> bool {
    matches!(topology, Topology::PrimaryReplica | Topology::Sharded)
}

/// How a dead primary of this cluster is replaced.
pub(in crate::preview) fn failover_of(spec: &ClusterSpec) -> Failover {
    service(spec.service).offer(&spec.version, spec.topology).map_or(Failover::Never, |t| t.failover)
}

/// The nodes that vote on a failover where voters stand beside the servers: three, or five where so many are in service,
/// the oldest in service first. A drained node votes only when there are not three others; a number that is odd survives
/// as many failures as the even one after it.
pub fn voters(spec: &ClusterSpec) -> Vec<&NodeSpec> {
    voters_among(spec, spec.nodes.iter())
}

fn voters_among<'a>(spec: &ClusterSpec, nodes: impl Iterator<Item = &'a NodeSpec>) -> Vec<&'a NodeSpec> {
    let Some(offer) = service(spec.service).offer(&spec.version, spec.topology) else { return Vec::new() };
    if spec.topology != Topology::PrimaryReplica || offer.failover != Failover::ByVote {
        return Vec::new();
    }
    if offer.all_vote {
        // The servers themselves are who votes: one that was taken out of service is stopped.
        return nodes.filter(|n| !n.drained).collect();
    }
    let mut voters: Vec<_> = nodes.collect();
    voters.sort_by_key(|n| (n.drained, n.ordinal));
    let in_service = voters.iter().filter(|n| !n.drained).count();
    voters.truncate(voters_of(in_service));
    voters
}

/// How many of so many nodes in service vote, as far as there are so many.
pub(in crate::preview) const fn voters_of(in_service: usize) -> usize {
    if in_service >= 5 { 5 } else { 3 }
}

/// The voters when `node` is gone.
pub(in crate::preview) fn voters_without<'a>(spec: &'a ClusterSpec, node: &NodeSpec) -> Vec<&'a NodeSpec> {
    voters_among(spec, spec.nodes.iter().filter(|n| n.id != node.id))
}

/// A node that is down cannot be among the voters that answered: losing it costs no vote.
fn counts(seen: &ClusterObserved, node: &NodeSpec) -> bool {
    seen.node(&node.id).is_none_or(|n| n.health != Health::Down)
}

fn unknown(spec: &ClusterSpec) -> Finding {
    Finding::new(
        "votes-unknown",
        format!("No voter of {} answered, so nobody knows whether a majority would be left.", spec.name),
    )
    .hint(
        "Look at the logs of the voters; turning automatic failover off takes the votes out of the question.",
    )
}

/// `node` stops for a while: a majority must be left.
pub(in crate::preview) fn quorum_without(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
) -> Option<Finding> {
    let lost = |present: u16, needed: u16, who: &str| {
        let left = present.saturating_sub(1);
        (left < needed).then(|| {
            Finding::new(
                "quorum-lost",
                format!(
                    "Without {} only {left} of the {needed} {who} that a majority needs would be left: nobody could \
                     decide on a failover.",
                    node.name
                ),
            )
            .hint("Bring the other nodes back first.")
        })
    };
    match spec.topology {
        Topology::Single => None,
        Topology::PrimaryReplica => {
            let votes = voters(spec).iter().any(|n| n.id == node.id);
            if !spec.auto_failover || !votes || !counts(seen, node) {
                return None;
            }
            match seen.votes {
                Some(votes) => lost(votes.present, votes.needed, "votes"),
                None => Some(unknown(spec)),
            }
        }
        // The primaries of the shards vote, whether a failover is wanted or not: a minority stops serving.
        Topology::Sharded => {
            let leads = matches!(leader(seen, node.shard), Leader::One(one) if one.node == node.id);
            let well = (0..spec.shards)
                .filter(|s| matches!(leader(seen, Some(*s)), Leader::One(n) if n.health != Health::Down));
            if leads { lost(size(well.count()), spec.shards / 2 + 1, "shard primaries") } else { None }
        }
        // Two that copy to each other have no majority to lose.
        Topology::MultiMaster => {
            let members = size(spec.data_nodes().count());
            if members < 3 || !counts(seen, node) {
                return None;
            }
            // One that was taken out of service is stopped, whatever is said of its health.
            let well = spec.data_nodes().filter(|n| !n.drained).filter(|n| {
                seen.node(&n.id).is_some_and(|n| matches!(n.health, Health::Healthy | Health::Degraded))
            });
            lost(size(well.count()), members / 2 + 1, "members")
        }
    }
}

/// `node` goes for good, and its vote with it: those left must be a majority of themselves.
pub(in crate::preview) fn quorum_after_removal(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
) -> Option<Finding> {
    match spec.topology {
        Topology::PrimaryReplica if spec.auto_failover => {
            let Some(votes) = seen.votes else { return Some(unknown(spec)) };
            // A vote that becomes free goes to the next node; who is well takes it up.
            let (before, after) = (voters(spec), voters_without(spec, node));
            let well = |some: &[&NodeSpec], others: &[&NodeSpec]| {
                let only = some.iter().filter(|n| others.iter().all(|o| o.id != n.id));
                size(only.filter(|n| counts(seen, n)).count())
            };
            let present = votes.present.saturating_sub(well(&before, &after)) + well(&after, &before);
            let total = size(after.len());
            let needed = total / 2 + 1;
            (present < needed).then(|| {
                Finding::new(
                    "quorum-lost",
                    format!(
                        "Without {} {present} of {total} voters would answer, and {needed} are needed: nobody could \
                         decide on a failover.",
                        node.name
                    ),
                )
                .hint("Bring the other voters back first.")
            })
        }
        Topology::PrimaryReplica => None,
        _ => quorum_without(spec, seen, node),
    }
}

/// An even number survives no more failures than one fewer does.
pub(in crate::preview) fn even_shards(shards: u16) -> Option<Finding> {
    (shards > 0 && shards.is_multiple_of(2)).then(|| {
        let needed = shards / 2 + 1;
        Finding::new(
            "even-voters",
            format!(
                "{shards} shard primaries vote and {needed} must agree: no more than {} may fail, as with {}.",
                shards - needed,
                shards - 1
            ),
        )
    })
}

/// Of an even number of nodes one does not vote, or a majority is as many as of one more.
pub(in crate::preview) fn even_nodes(nodes: u16, all_vote: bool) -> Option<Finding> {
    if all_vote {
        let needed = nodes / 2 + 1;
        return nodes.is_multiple_of(2).then(|| {
            Finding::new(
                "even-voters",
                format!(
                    "{nodes} nodes vote and {needed} must agree: no more than {} may fail, as with {}.",
                    nodes - needed,
                    nodes - 1
                ),
            )
        });
    }
    let voters = voters_of(usize::from(nodes));
    (nodes > 2 && nodes.is_multiple_of(2)).then(|| {
        Finding::new(
            "even-voters",
            format!(
                "{voters} of {nodes} nodes vote, so that no vote ends in a draw: failover survives {}, no more than \
                 with {} nodes.",
                words::count(voters / 2, "failure"),
                nodes - 1
            ),
        )
    })
}

fn size(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
