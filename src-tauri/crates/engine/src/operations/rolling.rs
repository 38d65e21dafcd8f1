//! What operations share that go over the nodes one at a time: a node is stopped only when all others are well and it does
//! not lead anybody. Each step looks at who leads now, since that may have changed after the preview, and lets a node that
//! leads hand over first.

use crate::{
    error::EngineError,
    facade::Result,
    operations::{
        create_cluster::expect_healthy,
        drain_node::{enter_service, leave_service, wait_for_connections},
        promote_node::{hand_over, prepare, stand_aside},
        reboot_node::leads_again,
        set_parameters,
        undrain_node::catch_up,
    },
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{
    ClusterObserved, ClusterSpec, Health, NodeId, NodeSpec, Role, Topology, promotion_candidate,
};
use clusterdeck_driver::{DriverError, StartAs};
use std::time::Duration;

/// How often a refused hand-over is asked for, and the pause between. A refusal names a moment as often as a fault: a
/// replica that is connecting anew, a busy one that missed the second in which writes are held back.
const HAND_OVERS: u32 = 4;
const BETWEEN_HAND_OVERS: Duration = Duration::from_secs(2);

/// The steps around `act`, which changes one node. Named by its place: the same step of another cluster has the same name.
pub(crate) fn around(place: usize, id: &NodeId, name: &str, act: Step) -> [Step; 3] {
    let [out, back, join] = std::array::from_fn(|_| id.clone());
    let title = format!("Send nothing new to {name}, which leads nobody");
    let make_way = step(format!("make-way-{place}"), title, move |cx| make_way(cx, out.clone()))
        .within(Duration::from_secs(60))
        .undo(move |cx| way_back(cx, back.clone()));
    let title = format!("Let {name} catch up and send traffic to it");
    let come_back = step(format!("return-{place}"), title, move |cx| come_back(cx, join.clone()))
        .within(Duration::from_secs(300));
    [make_way, act, come_back]
}

/// The last step: clients get through.
pub(crate) fn proof() -> Step {
    step("prove", "Write and read through the endpoint", prove).within(Duration::from_secs(120))
}

/// The node leads nobody any more, is no candidate, and clients have gone or are sent away. A single node has nobody to
/// make way for.
pub(crate) async fn make_way(cx: StepContext, node: NodeId) -> Result<()> {
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

/// It serves again, and the voters watch whoever leads: a cut may have come between standing aside and handing over.
async fn way_back(cx: StepContext, node: NodeId) -> Result<()> {
    enter_service(cx.clone(), node).await?;
    if cx.spec()?.topology == Topology::PrimaryReplica {
        cx.arm_failover().await?;
    }
    Ok(())
}

/// Asks again where the driver refuses: nothing has changed then.
async fn hand_over_if_it_leads(cx: &StepContext, node: &NodeId) -> Result<()> {
    for _ in 1..HAND_OVERS {
        match try_to_hand_over(cx, node).await {
            Err(EngineError::Driver(DriverError::Rejected { what, .. })) => {
                cx.progress().note(&format!("Waiting to hand over: {what}"));
                tokio::time::sleep(BETWEEN_HAND_OVERS).await;
            }
            other => return other,
        }
    }
    try_to_hand_over(cx, node).await
}

/// Looks who leads now; a node that is done is asked to take over before others: one whose size or version is
/// no longer that of the node that leads.
async fn try_to_hand_over(cx: &StepContext, node: &NodeId) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let spec = cx.spec()?;
    let Some(meant) = spec.node(node).filter(|n| leads(&seen, n) && has_others(&spec, n)) else {
        return Ok(());
    };
    let version = |n: &NodeSpec| seen.node(&n.id).and_then(|n| n.version.clone());
    let mut done = spec.clone();
    done.nodes.retain(|n| n.plan != meant.plan || version(n) != version(meant));
    let best = promotion_candidate(&done, &seen, meant.shard);
    let best = best.or_else(|| promotion_candidate(&spec, &seen, meant.shard));
    let what = || DriverError::transient(format!("no replica is fit to take the writes of {}", meant.name));
    let target = best.ok_or_else(what)?.id.clone();
    prepare(cx, &target).await?;
    if spec.topology == Topology::PrimaryReplica {
        stand_aside(cx.clone()).await?;
    }
    let handed = hand_over(cx.clone(), target).await;
    if handed.is_err() && spec.topology == Topology::PrimaryReplica {
        // It may not be tried again, and voters that stand aside would not see the primary die.
        cx.arm_failover().await?;
    }
    handed
}

/// All others are well, and it leads nobody. That it can be started again is for whoever asks to see.
pub(crate) async fn may_be_stopped(cx: &StepContext, node: &NodeId) -> Result<ClusterObserved> {
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
    Ok(seen)
}

/// Starts the node as what it is now; one that runs is left alone.
pub(crate) async fn start(cx: &StepContext, node: &NodeId) -> Result<()> {
    let context = cx.context().await?;
    let start_as = start_as(cx, node).await?;
    Ok(cx.driver()?.start_node(&context, context.node(node)?, &start_as).await?)
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
pub(crate) async fn come_back(cx: StepContext, node: NodeId) -> Result<()> {
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
