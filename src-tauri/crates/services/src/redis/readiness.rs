//! Whether a dead primary would be replaced by itself, and if not, why: in a sentence that a person can act on. Pure.

use super::sentinel;
use crate::readiness;
use clusterdeck_domain::{FailoverReadiness, Health, Link, NodeObserved, Role, Topology, Votes};
use clusterdeck_driver::ClusterContext;

/// Judges what was seen.
pub(crate) fn readiness(
    cx: &ClusterContext,
    nodes: &[NodeObserved],
    votes: Option<&Votes>,
) -> FailoverReadiness {
    let enabled = cx.spec.auto_failover;
    let answer = |ready: bool, reason: String| FailoverReadiness { enabled, ready: enabled && ready, reason };
    match cx.spec.topology {
        Topology::Single => return answer(false, "There is only one node; nobody can take over.".to_owned()),
        Topology::MultiMaster => {
            let well = nodes.iter().filter(|n| n.health == Health::Healthy).count();
            return answer(well > 1, format!("{well} nodes take writes; when one fails the others go on."));
        }
        Topology::Sharded => return sharded(cx, nodes),
        Topology::PrimaryReplica => {}
    }
    if !enabled {
        return answer(false, "Automatic failover is switched off.".to_owned());
    }
    let Some(votes) = votes else {
        return answer(false, "No Sentinel answers, so nobody would vote.".to_owned());
    };
    if votes.present < votes.needed {
        let what = format!(
            "Only {} of {} Sentinels agree on the primary; {} are needed.",
            votes.present, votes.total, votes.needed
        );
        return answer(false, what);
    }
    if !nodes.iter().any(|n| n.role == Some(Role::Primary)) {
        return answer(false, "No node takes writes; the Sentinels are choosing a new primary.".to_owned());
    }
    match readiness::successor(cx, nodes) {
        Ok(name) => {
            let Votes { present, total, .. } = votes;
            answer(true, format!("{present} of {total} Sentinels agree, and {name} is ready to take over."))
        }
        Err(reason) => answer(false, reason),
    }
}

/// The members vote themselves: a majority of the shards' primaries must be there, and each shard needs a replica.
fn sharded(cx: &ClusterContext, nodes: &[NodeObserved]) -> FailoverReadiness {
    let enabled = cx.spec.auto_failover;
    let answer = |ready: bool, reason: String| FailoverReadiness { enabled, ready: enabled && ready, reason };
    if !enabled {
        return answer(false, "Automatic failover is switched off.".to_owned());
    }
    let leads = |n: &&NodeObserved| n.role == Some(Role::ShardPrimary) && n.health != Health::Down;
    let present = nodes.iter().filter(leads).count();
    let needed = sentinel::majority(cx.spec.shards.into());
    if present < needed {
        return answer(
            false,
            format!("Only {present} of {} shards have a primary; {needed} must vote.", cx.spec.shards),
        );
    }
    let bare = (0..cx.spec.shards).find(|shard| {
        !nodes.iter().any(|n| {
            n.shard == Some(*shard) && n.role == Some(Role::ShardReplica) && n.link == Some(Link::Up)
        })
    });
    match bare {
        Some(shard) => answer(false, format!("Shard {shard} has no replica that is up to date.")),
        None => answer(true, format!("{present} shards vote, and each has a replica ready to take over.")),
    }
}
