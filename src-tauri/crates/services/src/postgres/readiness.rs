//! Whether a dead primary would be replaced by itself, and if not, why: in a sentence that a person can act on. Pure.

use crate::readiness;
use clusterdeck_domain::{FailoverReadiness, NodeObserved, Role, Topology, Votes};
use clusterdeck_driver::ClusterContext;

/// Judges what was seen.
pub(crate) fn readiness(
    cx: &ClusterContext,
    nodes: &[NodeObserved],
    votes: Option<&Votes>,
) -> FailoverReadiness {
    let enabled = cx.spec.auto_failover;
    let answer = |ready: bool, reason: String| FailoverReadiness { enabled, ready: enabled && ready, reason };
    if cx.spec.topology == Topology::Single {
        return answer(false, "There is only one node; nobody can take over.".to_owned());
    }
    if !enabled {
        return answer(
            false,
            "Automatic failover is switched off: only the node that leads now may lead.".to_owned(),
        );
    }
    let Some(votes) = votes else {
        return answer(false, "No member of etcd answers, so nobody can be elected.".to_owned());
    };
    if votes.present < votes.needed {
        let Votes { present, needed, total } = *votes;
        return answer(
            false,
            format!("Only {present} of {total} members of etcd answer; {needed} are needed."),
        );
    }
    if !nodes.iter().any(|n| n.role == Some(Role::Primary)) {
        return answer(false, "No node takes writes; Patroni is choosing a new primary.".to_owned());
    }
    match readiness::successor(cx, nodes) {
        Ok(name) => {
            let Votes { present, total, .. } = votes;
            answer(
                true,
                format!("{present} of {total} members of etcd answer, and {name} is ready to take over."),
            )
        }
        Err(reason) => answer(false, reason),
    }
}
