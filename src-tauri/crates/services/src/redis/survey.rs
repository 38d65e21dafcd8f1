//! Asking all nodes at once who they are, and who is primary.

use super::{
    info::{Info, Place},
    session::{Session, address},
};
use clusterdeck_domain::{NodeId, NodeSpec};
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use futures::future::join_all;
use std::{net::IpAddr, time::Duration};

/// How long a node has to say who it is.
pub(crate) const GLANCE: Duration = Duration::from_millis(900);

/// What one node answered.
pub(crate) struct Answer<'a> {
    pub(crate) node: &'a NodeSpec,
    pub(crate) place: Result<Place>,
}

/// Asks a server for its place.
pub(crate) async fn place(session: &mut Session) -> Result<Place> {
    let text: String = session.say("INFO").await?;
    Place::of(&Info::parse(&text))
        .ok_or_else(|| DriverError::broken(format!("{} does not say what its role is", session.whom())))
}

/// Asks one node.
pub(crate) async fn ask(cx: &ClusterContext, node: &NodeSpec) -> Result<Place> {
    let asked = async {
        let mut session = Session::open_within(cx, node, GLANCE).await?;
        place(&mut session).await
    };
    match tokio::time::timeout(GLANCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(DriverError::transient(format!("{} does not answer", node.name))),
    }
}

/// Asks all data nodes at once, in the order of the spec.
pub(crate) async fn all(cx: &ClusterContext) -> Vec<Answer<'_>> {
    join_all(cx.spec.data_nodes().map(|node| async move { Answer { node, place: ask(cx, node).await } }))
        .await
}

/// The nodes that say they take writes.
pub(crate) fn primaries<'a, 'b>(answers: &'b [Answer<'a>]) -> Vec<(&'a NodeSpec, &'b Place)> {
    let found = answers.iter().filter_map(|a| Some((a.node, a.place.as_ref().ok()?)));
    found.filter(|(_, place)| place.primary).collect()
}

/// The one node that says it takes writes.
///
/// # Errors
/// `Transient` when nobody does or more than one.
pub(crate) fn primary<'a>(answers: &[Answer<'a>]) -> Result<&'a NodeSpec> {
    match primaries(answers).as_slice() {
        [(node, _)] => Ok(node),
        [] => Err(DriverError::transient("no node takes writes at the moment")),
        several => {
            let names: Vec<_> = several.iter().map(|(n, _)| n.name.as_str()).collect();
            Err(DriverError::transient(format!(
                "{} say they take writes; one of them must step back",
                names.join(", ")
            )))
        }
    }
}

/// The node that listens at an address.
pub(crate) fn at(cx: &ClusterContext, place: (IpAddr, u16)) -> Option<&NodeSpec> {
    cx.spec.data_nodes().find(|n| cx.machine(n).is_ok_and(|m| address(m.as_ref()) == place))
}

/// The id of the node that listens at an address.
pub(crate) fn id_at(cx: &ClusterContext, place: (IpAddr, u16)) -> Option<NodeId> {
    at(cx, place).map(|n| n.id.clone())
}
