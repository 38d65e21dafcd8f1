//! Give every data node another size, one after the other (`rolling`). What fails gets its old size back the same way, and so
//! do the nodes before it.

use crate::{
    facade::Result,
    operations::{reboot_node::can_start_again, rolling, set_parameters},
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{self as domain, NodeId, NodeState, plan_holds};
use clusterdeck_driver::DriverError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) to: domain::Plan,
    /// The size that the cluster had.
    pub(crate) from: domain::Plan,
    /// Those that do not have the new size yet, in order.
    pub(crate) nodes: Vec<Node>,
}

/// A node with the size it had.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) from: domain::Plan,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let [to, after] = std::array::from_fn(|_| plan.to.clone());
    let [from, before] = std::array::from_fn(|_| plan.from.clone());
    let mut steps = vec![
        step("share", "Let what the nodes share fit the new size", move |cx| share(cx, to.clone()))
            .within(Duration::from_secs(120))
            .undo(move |cx| share_again(cx, from.clone())),
    ];
    for (place, Node { id, name, from }) in (1..).zip(&plan.nodes) {
        let [size, unsize] = std::array::from_fn(|_| id.clone());
        let (to, from) = (plan.to.clone(), from.clone());
        let title = format!("Stop {name}, give it its new size, start it");
        let act = step(format!("resize-{place}"), title, move |cx| resize(cx, size.clone(), to.clone()))
            .within(Duration::from_secs(120))
            .undo(move |cx| put_back(cx, unsize.clone(), from.clone()));
        steps.extend(rolling::around(place, id, name, act));
    }
    steps.push(
        step("note", "Note the new size of the cluster", move |cx| note(cx, after.clone()))
            .undo(move |cx| note(cx, before.clone())),
    );
    steps.push(rolling::proof());
    steps
}

async fn share(cx: StepContext, size: domain::Plan) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.share_size(&context, &size).await?)
}

/// The nodes have their old size again; whoever was started meanwhile with what is shared in the new one restarts.
async fn share_again(cx: StepContext, size: domain::Plan) -> Result<()> {
    share(cx.clone(), size).await?;
    set_parameters::restart(cx).await
}

/// Stops the node, gives it the size, starts it. Its row and its machine change while its server is stopped.
async fn resize(cx: StepContext, node: NodeId, to: domain::Plan) -> Result<()> {
    let context = cx.context().await?;
    let meant = context.node(&node)?;
    if meant.plan != to.id || context.machine(meant)?.plan().id != to.id {
        may_be_stopped(&cx, &node, &to).await?;
        cx.driver()?.stop_node(&context, meant).await?;
        cx.provider()?.resize_machine(&meant.machine, &to).await?;
        cx.update_spec(|spec| {
            for found in spec.nodes.iter_mut().filter(|n| n.id == node) {
                found.plan = to.id.clone();
            }
        })
        .await?;
    }
    rolling::start(&cx, &node).await
}

/// It may be stopped at all, and what it holds fits.
async fn may_be_stopped(cx: &StepContext, node: &NodeId, to: &domain::Plan) -> Result<()> {
    can_start_again(cx, node).await?;
    let seen = rolling::may_be_stopped(cx, node).await?;
    let spec = cx.spec()?;
    let meant = spec.node(node).ok_or_else(|| DriverError::Gone { what: format!("node {node}") })?;
    let found = seen.node(node).filter(|n| n.state == NodeState::Running);
    let figures = cx.shared.settings().figures;
    match found.and_then(|n| plan_holds(&spec, meant, Some(n), to, &figures)) {
        Some(finding) if finding.code == "data-size-unknown" => {
            Err(DriverError::transient(finding.text).into())
        }
        Some(finding) => Err(DriverError::rejected(finding.text, "choose a larger plan").into()),
        None => Ok(()),
    }
}

/// The size that a node had, the same way. One that never got another is left alone.
async fn put_back(cx: StepContext, node: NodeId, from: domain::Plan) -> Result<()> {
    let context = cx.context().await?;
    let meant = context.node(&node)?;
    if meant.plan != from.id || context.machine(meant)?.plan().id != from.id {
        rolling::make_way(cx.clone(), node.clone()).await?;
    }
    resize(cx.clone(), node.clone(), from).await?;
    rolling::come_back(cx, node).await
}

async fn note(cx: StepContext, size: domain::Plan) -> Result<()> {
    cx.update_spec(|spec| spec.plan = size.id.clone()).await.map(drop)
}
