//! Give every data node another size, one after the other. A node is stopped only when all others are well and it does not
//! lead anybody: each step looks at who leads now, since that may have changed after the preview, and lets a node that
//! leads hand over first. What fails gets its old size back the same way, and so do the nodes before it.

use crate::{
    facade::Result,
    operations::{
        create_cluster::expect_healthy,
        drain_node::{enter_service, leave_service, wait_for_connections},
        promote_node::{hand_over, stand_aside},
        reboot_node::{can_start_again, leads_again},
        set_parameters,
        undrain_node::catch_up,
    },
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{
    self as domain, ClusterObserved, ClusterSpec, Health, NodeId, NodeSpec, NodeState, Role, Topology,
    plan_holds, promotion_candidate,
};
use clusterdeck_driver::{DriverError, StartAs};
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
    // Named by their place: the same step of another cluster has the same name.
    for (place, Node { id, name, from }) in (1..).zip(&plan.nodes) {
        let [out, back, size, unsize, join] = std::array::from_fn(|_| id.clone());
        let (to, from) = (plan.to.clone(), from.clone());
        let title = format!("Send nothing new to {name}, which leads nobody");
        steps.push(
            step(format!("make-way-{place}"), title, move |cx| make_way(cx, out.clone()))
                .within(Duration::from_secs(60))
                .undo(move |cx| enter_service(cx, back.clone())),
        );
        let title = format!("Stop {name}, give it its new size, start it");
        steps.push(
            step(format!("resize-{place}"), title, move |cx| resize(cx, size.clone(), to.clone()))
                .within(Duration::from_secs(120))
                .undo(move |cx| put_back(cx, unsize.clone(), from.clone())),
        );
        let title = format!("Let {name} catch up and send traffic to it");
        steps.push(
            step(format!("return-{place}"), title, move |cx| come_back(cx, join.clone()))
                .within(Duration::from_secs(300)),
        );
    }
    steps.push(
        step("note", "Note the new size of the cluster", move |cx| note(cx, after.clone()))
            .undo(move |cx| note(cx, before.clone())),
    );
    steps.push(step("prove", "Write and read through the endpoint", prove).within(Duration::from_secs(120)));
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

/// The node leads nobody any more, is no candidate, and clients have gone or are sent away. A single node has nobody to
/// make way for.
async fn make_way(cx: StepContext, node: NodeId) -> Result<()> {
    hand_over_if_it_leads(&cx, &node).await?;
    let spec = cx.spec()?;
    if spec.topology == Topology::PrimaryReplica {
        // Also after a kill between the hand-over and this: voters that stand aside would not see a primary die.
        cx.arm_failover().await?;
    }
    if spec.topology == Topology::Single {
        return Ok(());
    }
    leave_service(cx.clone(), node.clone()).await?;
    wait_for_connections(cx, node).await
}

/// Looks who leads now; a node that has the new size is asked to take over before others.
async fn hand_over_if_it_leads(cx: &StepContext, node: &NodeId) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let spec = cx.spec()?;
    let Some(meant) = spec.node(node).filter(|n| leads(&seen, n) && has_others(&spec, n)) else {
        return Ok(());
    };
    let mut resized = spec.clone();
    resized.nodes.retain(|n| n.plan != meant.plan);
    let best = promotion_candidate(&resized, &seen, meant.shard);
    let best = best.or_else(|| promotion_candidate(&spec, &seen, meant.shard));
    let what = || DriverError::transient(format!("no replica is fit to take the writes of {}", meant.name));
    let target = best.ok_or_else(what)?.id.clone();
    if spec.topology == Topology::PrimaryReplica {
        stand_aside(cx.clone()).await?;
    }
    hand_over(cx.clone(), target).await
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
    let context = cx.context().await?;
    let start_as = start_as(&cx, &node).await?;
    Ok(cx.driver()?.start_node(&context, context.node(&node)?, &start_as).await?)
}

/// Its software is there to start it again, all others are well, it leads nobody, and what it holds fits.
async fn may_be_stopped(cx: &StepContext, node: &NodeId, to: &domain::Plan) -> Result<()> {
    can_start_again(cx, node).await?;
    hand_over_if_it_leads(cx, node).await?;
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let spec = cx.spec()?;
    let meant = spec.node(node).ok_or_else(|| DriverError::Gone { what: format!("node {node}") })?;
    for other in spec.nodes.iter().filter(|n| n.id != *node && !n.drained) {
        if seen.node(&other.id).is_none_or(|n| n.health != Health::Healthy) {
            let what = format!("{} is not healthy, so {} is not stopped", other.name, meant.name);
            return Err(DriverError::transient(what).into());
        }
    }
    if has_others(&spec, meant) && !others_lead(&spec, &seen, meant) {
        let what = format!("{} is not stopped before another node is known to lead", meant.name);
        return Err(DriverError::transient(what).into());
    }
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
        make_way(cx.clone(), node.clone()).await?;
    }
    resize(cx.clone(), node.clone(), from).await?;
    come_back(cx, node).await
}

/// A failover may have happened since it was stopped: it follows whoever leads now.
async fn start_as(cx: &StepContext, node: &NodeId) -> Result<StartAs> {
    let spec = cx.spec()?;
    match spec.topology {
        Topology::Single => return Ok(StartAs::Primary),
        Topology::MultiMaster | Topology::Sharded => return Ok(StartAs::Member),
        Topology::PrimaryReplica => {}
    }
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    match seen.primary() {
        // It was started before and has been chosen since.
        Some(leader) if leader.node == *node => Ok(StartAs::Primary),
        Some(leader) => Ok(StartAs::ReplicaOf(leader.node.clone())),
        None => Err(DriverError::transient("nobody is known to be the primary").into()),
    }
}

/// It has what the others have, takes traffic and may be chosen, and all is well before the next one begins.
async fn come_back(cx: StepContext, node: NodeId) -> Result<()> {
    match cx.spec()?.topology {
        Topology::Single => leads_again(cx.clone(), node).await?,
        topology => {
            catch_up(cx.clone(), node.clone()).await?;
            enter_service(cx.clone(), node).await?;
            if topology == Topology::PrimaryReplica {
                cx.arm_failover().await?;
            }
        }
    }
    expect_healthy(&cx).await
}

async fn note(cx: StepContext, size: domain::Plan) -> Result<()> {
    cx.update_spec(|spec| spec.plan = size.id.clone()).await.map(drop)
}

/// No server waits for another restart, and clients get through.
async fn prove(cx: StepContext) -> Result<()> {
    set_parameters::restart(cx.clone()).await?;
    cx.driver()?.probe(&cx.context().await?).await?;
    expect_healthy(&cx).await
}

/// It takes the writes of its group alone.
fn leads(seen: &ClusterObserved, node: &NodeSpec) -> bool {
    let role = seen.node(&node.id).and_then(|n| n.role);
    matches!(role, Some(Role::Primary | Role::ShardPrimary))
}

/// Others of its group could lead it.
fn has_others(spec: &ClusterSpec, node: &NodeSpec) -> bool {
    let grouped = matches!(spec.topology, Topology::PrimaryReplica | Topology::Sharded);
    grouped && spec.data_nodes().any(|n| n.id != node.id && n.shard == node.shard && !n.drained)
}

/// Another node of its group says that it leads, and this one does not.
fn others_lead(spec: &ClusterSpec, seen: &ClusterObserved, node: &NodeSpec) -> bool {
    let mut group = spec.data_nodes().filter(|n| n.shard == node.shard);
    !leads(seen, node) && group.any(|n| leads(seen, n))
}
