//! Take a node out of service: no candidate, nothing new through the endpoint, open work may end, then it stops.

use crate::{
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{NodeId, Role};
use clusterdeck_driver::DriverError;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long open connections may go on before they are closed.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) node: NodeId,
    pub(crate) name: String,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let name = &plan.name;
    let [out, back, wait, mark, unmark, halt] = std::array::from_fn(|_| plan.node.clone());
    vec![
        step("leave-service", format!("Send nothing new to {name}"), move |cx| {
            let node = out.clone();
            async move {
                leave_service(cx.clone(), node.clone()).await?;
                still_follows(&cx, &node).await
            }
        })
        .undo(move |cx| enter_service(cx, back.clone())),
        step("wait", "Wait for open connections", move |cx| wait_for_connections(cx, wait.clone()))
            .within(PATIENCE + Duration::from_secs(10)),
        step("mark", format!("Note that {name} is drained"), move |cx| set_drained(cx, mark.clone(), true))
            .undo(move |cx| set_drained(cx, unmark.clone(), false)),
        step("stop", format!("Stop {name}"), move |cx| stop(cx, halt.clone())).no_cancel(),
    ]
}

/// No candidate for a failover, and nothing new through the endpoints.
pub(super) async fn leave_service(cx: StepContext, node: NodeId) -> Result<()> {
    let context = cx.context().await?;
    let spec = context.node(&node)?;
    match cx.driver()?.set_candidate(&context, spec, false).await {
        // A dead node is no candidate anyway.
        Ok(()) | Err(DriverError::Transient { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(cx.shared.gateway.drain(&context, &node).await?)
}

/// It may have been elected since the preview. Asked when it is no candidate any more, so the answer stays true.
pub(super) async fn still_follows(cx: &StepContext, node: &NodeId) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    if !matches!(seen.node(node).and_then(|n| n.role), Some(Role::Primary | Role::ShardPrimary)) {
        return Ok(());
    }
    let context = cx.context().await?;
    let what = format!("{} leads by now", context.node(node)?.name);
    Err(DriverError::rejected(what, "nothing was stopped; promote another node first").into())
}

pub(super) async fn enter_service(cx: StepContext, node: NodeId) -> Result<()> {
    let context = cx.context().await?;
    let spec = context.node(&node)?;
    cx.driver()?.set_candidate(&context, spec, true).await?;
    Ok(cx.shared.gateway.undrain(&context, &node).await?)
}

/// Counts down while clients are connected through the endpoints; at the end they are disconnected.
pub(super) async fn wait_for_connections(cx: StepContext, node: NodeId) -> Result<()> {
    let started = Instant::now();
    let progress = cx.progress();
    loop {
        let context = cx.context().await?;
        let status = cx.shared.gateway.status(&context).await?;
        let open = status.connections.iter().find(|(n, _)| *n == node).map_or(0, |(_, open)| *open);
        let waited = started.elapsed();
        if open == 0 {
            return Ok(());
        }
        if waited >= PATIENCE {
            cx.shared.gateway.disconnect(&context, &node).await?;
            cx.report(|outcome| {
                outcome.notes.push(format!("{open} connections were still open and were closed"))
            });
            return Ok(());
        }
        let left = (PATIENCE - waited).as_secs();
        progress.measured(
            &format!("{open} connections open, closing them in {left} s"),
            waited.as_secs(),
            PATIENCE.as_secs(),
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Writes the mark, then lets voters and endpoints follow it.
pub(super) async fn set_drained(cx: StepContext, node: NodeId, drained: bool) -> Result<()> {
    cx.update_spec(|spec| {
        if let Some(found) = spec.nodes.iter_mut().find(|n| n.id == node) {
            found.drained = drained;
        }
    })
    .await?;
    cx.arm_failover().await?;
    cx.apply_endpoints().await
}

pub(super) async fn stop(cx: StepContext, node: NodeId) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.stop_node(&context, context.node(&node)?).await?)
}
