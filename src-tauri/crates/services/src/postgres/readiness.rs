//! Whether a dead primary would be replaced by itself, and if not, why: in a sentence that a person can act on. Pure.

use clusterdeck_domain::{FailoverReadiness, Figures, Link, NodeObserved, Role, Topology, Votes};
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
        return answer(false, "Automatic failover is switched off: Patroni is paused.".to_owned());
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
    let name =
        |n: &NodeObserved| cx.spec.node(&n.node).map_or_else(|| n.node.to_string(), |s| s.name.clone());
    if !nodes.iter().any(|n| n.role == Some(Role::Primary)) {
        return answer(false, "No node takes writes; Patroni is choosing a new primary.".to_owned());
    }
    let limit = Figures::default().max_promotion_lag_bytes;
    let replicas = || nodes.iter().filter(|n| n.role == Some(Role::Replica));
    let fit = |n: &&NodeObserved| n.link == Some(Link::Up) && n.lag_bytes.is_some_and(|lag| lag <= limit);
    if let Some(best) = replicas().filter(fit).min_by_key(|n| n.lag_bytes) {
        let voters = format!("{} of {} members of etcd answer", votes.present, votes.total);
        return answer(true, format!("{voters}, and {} is ready to take over.", name(best)));
    }
    let reason = match replicas().next() {
        None => "No replica answers. Add a node or repair one.".to_owned(),
        Some(one) => match (one.link, one.lag_bytes) {
            (Some(Link::Syncing), _) => format!("{} is still copying the data.", name(one)),
            (Some(Link::Up), Some(lag)) => {
                format!("{} is {lag} bytes behind; a failover now would lose them.", name(one))
            }
            _ => format!("{} does not follow the primary.", name(one)),
        },
    };
    answer(false, reason)
}
