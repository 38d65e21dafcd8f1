//! Our own way to a cluster whose list of addresses may leave us out: then not through the endpoint, but to the nodes.

use clusterdeck_driver::{ClusterContext, DriverError, Result, source_towards};
use jiff::Timestamp;
use std::net::SocketAddr;

/// Whether the endpoint lets us in. Where that cannot be found out it is tried.
pub(crate) fn endpoint_is_open(cx: &ClusterContext, port: u16) -> bool {
    let Ok(gateway) = cx.gateway() else { return true };
    let now = Timestamp::now();
    cx.spec.allowed(now).is_empty()
        || source_towards(gateway.reach(port)).is_none_or(|from| cx.spec.lets_in(from, now))
}

/// Where a write as people do it is tried: the endpoint where it lets us in, else the nodes, of which one takes it.
pub(crate) fn to_write(cx: &ClusterContext, port: u16) -> Result<Vec<(String, SocketAddr)>> {
    if endpoint_is_open(cx, port) {
        return Ok(vec![("the endpoint".to_owned(), cx.gateway()?.reach(port))]);
    }
    let mut nodes = Vec::new();
    for node in cx.spec.data_nodes().filter(|n| !n.drained) {
        nodes.push((node.name.clone(), cx.machine(node)?.reach(port)));
    }
    Ok(nodes)
}

/// What is told when no node was there to be tried.
pub(crate) fn nobody() -> DriverError {
    DriverError::transient("no node is in service")
}
