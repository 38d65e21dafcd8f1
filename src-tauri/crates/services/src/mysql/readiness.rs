//! Whether a dead primary would be replaced by itself, and if not, why: in a sentence that a person can act on. Pure.

use clusterdeck_domain::{FailoverReadiness, Health, Link, NodeObserved, Role, Topology};
use clusterdeck_driver::ClusterContext;

/// Judges what was seen.
pub(crate) fn readiness(cx: &ClusterContext, nodes: &[NodeObserved]) -> FailoverReadiness {
    let answer =
        |ready: bool, reason: String| FailoverReadiness { enabled: cx.spec.auto_failover, ready, reason };
    match cx.spec.topology {
        Topology::Single => answer(false, "There is only one node; nobody can take over.".to_owned()),
        Topology::MultiMaster => {
            let (all, well) = (nodes.len(), nodes.iter().filter(|n| n.health == Health::Healthy).count());
            let needed = all / 2 + 1;
            let text = format!("{well} of {all} members take writes, and {needed} are needed");
            let ready = well > needed;
            answer(
                ready,
                if ready {
                    format!("{text}; when one fails the others go on.")
                } else {
                    format!("{text}: none may fail.")
                },
            )
        }
        _ => {
            let fit = nodes.iter().any(|n| n.role == Some(Role::Replica) && n.link == Some(Link::Up));
            let act =
                if fit { "promote a replica by hand" } else { "repair a replica, then promote it by hand" };
            answer(
                false,
                format!(
                    "Not available, because MariaDB's replication has no vote of its own: when the primary fails, {act}, or \
                     choose multi-master."
                ),
            )
        }
    }
}
