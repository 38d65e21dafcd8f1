//! Votes: who decides on a failover, and whether enough of them are left.

use super::{Leader, leader};
use crate::preview::Finding;
use crate::{ClusterObserved, ClusterSpec, Health, NodeSpec, Topology};

/// Somebody votes on a failover.
pub(in crate::preview) const fn has_voters(topology: Topology) -> bool {
    matches!(topology, Topology::PrimaryReplica | Topology::Sharded)
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
            if !spec.auto_failover || !counts(seen, node) {
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
            let well = spec.data_nodes().filter(|n| {
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
            let total = votes.total.saturating_sub(1);
            let present = votes.present.saturating_sub(u16::from(counts(seen, node)));
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

/// An even number of voters survives no more failures than one fewer does.
pub(in crate::preview) fn even_voters(voters: usize, who: &str) -> Option<Finding> {
    (voters > 0 && voters.is_multiple_of(2)).then(|| {
        let needed = voters / 2 + 1;
        let survived = voters - needed;
        Finding::new(
            "even-voters",
            format!(
                "{voters} {who} vote: {needed} must agree, so no more than {survived} may fail. {} would survive as \
                 much.",
                voters - 1
            ),
        )
    })
}

fn size(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
