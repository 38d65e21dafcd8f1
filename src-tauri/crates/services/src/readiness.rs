//! Who would take over from a dead primary, in a sentence that a person can act on. Pure; who decides is a family's own.

use clusterdeck_domain::{Figures, Link, NodeObserved, Role};
use clusterdeck_driver::ClusterContext;

/// The name of the replica that is nearest to the primary and near enough, or why there is none.
pub(crate) fn successor(cx: &ClusterContext, nodes: &[NodeObserved]) -> Result<String, String> {
    let name =
        |n: &NodeObserved| cx.spec.node(&n.node).map_or_else(|| n.node.to_string(), |s| s.name.clone());
    let limit = Figures::default().max_promotion_lag_bytes;
    let replicas = || nodes.iter().filter(|n| n.role == Some(Role::Replica));
    let fit = |n: &&NodeObserved| n.link == Some(Link::Up) && n.lag_bytes.is_some_and(|lag| lag <= limit);
    if let Some(best) = replicas().filter(fit).min_by_key(|n| n.lag_bytes) {
        return Ok(name(best));
    }
    let drained = cx.spec.data_nodes().filter(|n| n.drained).count();
    Err(match replicas().next() {
        None if drained > 0 => {
            format!("No replica is in service; {drained} drained. Put one back into service.")
        }
        None => "No replica answers. Add a node or repair one.".to_owned(),
        Some(one) => match (one.link, one.lag_bytes) {
            (Some(Link::Syncing), _) => format!("{} is still copying the data.", name(one)),
            (Some(Link::Up), Some(lag)) => {
                format!("{} is {lag} bytes behind; a failover now would lose them.", name(one))
            }
            _ => format!("{} has no link to the primary.", name(one)),
        },
    })
}
