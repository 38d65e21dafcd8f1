//! Starts again what ended by itself: servers in the role the cluster has for them now, voters and gateway as they were.
//! Ends a second primary that those who decide have replaced.

use crate::{access, engine::Shared, error::EngineError};
use clusterdeck_domain::{ClusterId, ClusterObserved, Health, NodeKind, NodeObserved, NodeState, Role};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, ServiceDriver, UnitState};
use std::sync::Arc;

/// Looks at every unit that should run. A failure is logged and tried again next round.
pub(super) async fn repair(shared: &Arc<Shared>, id: &ClusterId, seen: &ClusterObserved) {
    let Ok(context) = shared.context(id).await else { return };
    let Ok(driver) = shared.driver(context.spec.service) else { return };
    // Voters first: they know who leads when everything was down.
    for node in &context.spec.nodes {
        let Ok(machine) = context.machine(node) else { continue };
        for unit in machine.units().await.unwrap_or_default() {
            if unit != driver.server_unit() {
                restart_as_it_was(machine.as_ref(), &unit, &node.name).await;
            }
        }
    }
    if let Ok(machine) = context.gateway() {
        restart_as_it_was(machine.as_ref(), shared.gateway.unit(), "the endpoints").await;
    }
    if seen.nodes.iter().filter(|n| n.role == Some(Role::Primary)).count() > 1
        && let Err(error) = one_primary(shared, &context, driver.as_ref()).await
    {
        tracing::warn!(cluster = %context.spec.name, %error, "two nodes say they are primary");
    }
    heal(&context, driver.as_ref(), seen).await;
    for node in context.spec.nodes.iter().filter(|n| n.kind == NodeKind::Data && !n.drained) {
        if let Err(error) = restart_server(shared, &context, driver.as_ref(), node).await {
            tracing::warn!(node = %node.name, %error, "a crashed server could not be started again");
        }
    }
}

/// Lets the driver put right what the servers cannot by themselves: when nobody takes writes, or a server that runs is not
/// well.
pub(crate) async fn heal(context: &ClusterContext, driver: &dyn ServiceDriver, seen: &ClusterObserved) {
    let takes_writes =
        |n: &NodeObserved| n.role.is_some_and(Role::takes_writes) && n.health == Health::Healthy;
    let runs = |n: &NodeObserved| matches!(n.state, NodeState::Running | NodeState::Starting);
    let unwell = |n: &NodeObserved| runs(n) && n.health != Health::Healthy;
    if (!seen.nodes.iter().any(takes_writes) || seen.nodes.iter().any(unwell))
        && let Err(error) = driver.heal(context).await
    {
        tracing::warn!(cluster = %context.spec.name, %error, "not all servers are well, and that could not be put right");
    }
}

/// Lets the driver take away what its servers keep longer than anybody needs. A failure is logged and tried again later.
pub(super) async fn tidy(shared: &Arc<Shared>, id: &ClusterId) {
    let Ok(context) = shared.context(id).await else { return };
    let Ok(driver) = shared.driver(context.spec.service) else { return };
    if let Err(error) = driver.tidy(&context).await {
        tracing::info!(cluster = %context.spec.name, %error, "its servers could not be tidied");
    }
}

/// Lets the network hold to the cluster's list again: what a computer knows of that ends when it is restarted, and others may
/// have taken it away.
pub(super) async fn hold(shared: &Shared, id: &ClusterId) {
    let Ok(spec) = shared.live(id).map(|live| live.spec) else { return };
    if spec.allowlist.is_empty() {
        return;
    }
    if let Err(error) = access::hold_nodes(shared, &spec).await {
        tracing::warn!(cluster = %spec.name, %error, "its network may not hold to its list of addresses");
    }
}

/// The endpoint stays with the primary it had while that says it is one, so it is turned too.
async fn one_primary(
    shared: &Shared,
    context: &ClusterContext,
    driver: &dyn ServiceDriver,
) -> Result<(), DriverError> {
    let Some(true_one) = driver.step_back(context).await? else { return Ok(()) };
    tracing::info!(cluster = %context.spec.name, node = %true_one, "there is one primary again");
    shared.gateway.point_to(context, &true_one).await
}

async fn restart_as_it_was(machine: &dyn Machine, unit: &str, owner: &str) {
    match machine.restart(unit).await {
        Ok(true) => tracing::info!(unit, owner, "started again after it had ended by itself"),
        Ok(false) | Err(DriverError::Gone { .. }) => {}
        Err(error) => tracing::warn!(unit, owner, %error, "could not be started again"),
    }
}

async fn restart_server(
    shared: &Shared,
    context: &ClusterContext,
    driver: &dyn ServiceDriver,
    node: &clusterdeck_domain::NodeSpec,
) -> Result<(), EngineError> {
    let Ok(machine) = context.machine(node) else { return Ok(()) };
    let unit = driver.server_unit();
    let crashed = matches!(machine.state(unit).await?, UnitState::Crashed { .. });
    if !crashed || !machine.restart_due(unit).await? {
        return Ok(());
    }
    let start_as = driver.restart_as(context, node).await?;
    let context = shared.sized(context.clone(), &node.id).await?;
    driver.start_node(&context, node, &start_as).await?;
    tracing::info!(node = %node.name, ?start_as, "a crashed server was started again");
    Ok(())
}
