//! Add data nodes. A new node takes no traffic before it has caught up; until the end everything can be taken back.

use crate::{
    access,
    facade::Result,
    operations::create_cluster::{ensure_machines, machines_title},
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{ClusterOptions, NodeId, NodeSpec, Topology};
use clusterdeck_driver::{DriverError, MachineRequest, StartAs};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) machines: Vec<MachineRequest>,
    /// A single node gets replicas, and is no single node any more.
    #[serde(default)]
    pub(crate) grows: bool,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let names: Vec<&str> = plan.nodes.iter().map(|n| n.name.as_str()).collect();
    let names = names.join(", ");
    let (add, take, voters) = (plan.clone(), plan.clone(), plan.clone());
    let (machines, gone) = (plan.machines.clone(), plan.nodes.clone());
    let start: Vec<NodeId> = plan.nodes.iter().map(|n| n.id.clone()).collect();
    let mut steps = vec![
        step("reserve", format!("Reserve {names}"), move |cx| reserve(cx, add.clone()))
            .undo(move |cx| release(cx, take.clone())),
        step("machines", machines_title(plan.nodes.len()), move |cx| ensure_machines(cx, machines.clone()))
            .undo(move |cx| remove_machines(cx, gone.clone())),
        step("start", "Start the servers", move |cx| start_nodes(cx, start.clone())),
    ];
    for node in &plan.nodes {
        let (join, leave) = (node.id.clone(), node.id.clone());
        steps.push(
            step(format!("join-{}", node.name), format!("Let {} catch up", node.name), move |cx| {
                join_node(cx, join.clone())
            })
            .undo(move |cx| leave_node(cx, leave.clone()))
            .within(Duration::from_secs(60)),
        );
    }
    let report: Vec<String> = plan.nodes.iter().map(|n| n.name.clone()).collect();
    steps.push(
        step("failover", "Tell the voters", |cx| async move { cx.arm_failover().await })
            // While their machines are there: a voter that is gone without a word counts for the majority.
            .undo(move |cx| release(cx, voters.clone())),
    );
    steps.push(step("endpoint", "Open the endpoints for it", |cx| async move { cx.apply_endpoints().await }));
    steps.push(step("prove", "See that all is well", move |cx| {
        let report = report.clone();
        async move {
            super::create_cluster::expect_healthy(&cx).await?;
            cx.report(|outcome| outcome.nodes = report);
            Ok(())
        }
    }));
    steps
}

/// Adds nodes to the cluster's row; a single node is none any more.
async fn reserve(cx: StepContext, plan: Plan) -> Result<()> {
    if plan.grows {
        let nodes = plan.nodes.len() + 1;
        cx.update_spec(move |spec| {
            if spec.topology == Topology::Single {
                (spec.topology, spec.auto_failover) = (spec.grown(), spec.votes_when_grown());
                spec.options = ClusterOptions::from_start(spec.offered_options(), nodes);
            }
        })
        .await?;
    }
    add_to_spec(cx, plan.nodes).await
}

/// Takes them out of it again.
async fn release(cx: StepContext, plan: Plan) -> Result<()> {
    if plan.grows {
        cx.update_spec(|spec| {
            (spec.topology, spec.auto_failover) = (Topology::Single, false);
            spec.options = ClusterOptions::OFF;
        })
        .await?;
    }
    take_from_spec(cx, plan.nodes).await
}

/// Adds nodes to the cluster's row.
pub(super) async fn add_to_spec(cx: StepContext, nodes: Vec<NodeSpec>) -> Result<()> {
    cx.update_spec(move |spec| {
        for node in &nodes {
            if spec.node(&node.id).is_none() {
                spec.nodes.push(node.clone());
                spec.last_ordinal = spec.last_ordinal.max(node.ordinal);
            }
        }
    })
    .await
    .map(drop)
}

/// Takes nodes from the cluster's row; voters, endpoints and the network then know the others only.
pub(super) async fn take_from_spec(cx: StepContext, nodes: Vec<NodeSpec>) -> Result<()> {
    let spec =
        cx.update_spec(move |spec| spec.nodes.retain(|n| nodes.iter().all(|gone| gone.id != n.id))).await?;
    cx.arm_failover().await?;
    cx.apply_endpoints().await?;
    if !spec.allowlist.is_empty() {
        access::hold_nodes(&cx.shared, &spec).await?;
    }
    Ok(())
}

pub(super) async fn remove_machines(cx: StepContext, nodes: Vec<NodeSpec>) -> Result<()> {
    let provider = cx.provider()?;
    try_join_all(nodes.iter().map(|n| provider.remove_machine(&n.machine))).await?;
    Ok(())
}

pub(super) async fn start_nodes(cx: StepContext, nodes: Vec<NodeId>) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let mut context = cx.context().await?;
    for node in &nodes {
        context = cx.shared.sized(context, node).await?;
    }
    let driver = cx.driver()?;
    let start_as = match context.spec.topology {
        Topology::PrimaryReplica => {
            let primary =
                seen.primary().ok_or_else(|| DriverError::transient("nobody is known to be the primary"))?;
            StartAs::ReplicaOf(primary.node.clone())
        }
        _ => StartAs::Member,
    };
    let starting = nodes.iter().map(|id| {
        let (context, driver, start_as) = (&context, &driver, &start_as);
        async move { driver.start_node(context, context.node(id)?, start_as).await }
    });
    try_join_all(starting).await?;
    Ok(())
}

async fn join_node(cx: StepContext, node: NodeId) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.join(&context, context.node(&node)?, &cx.progress()).await?)
}

async fn leave_node(cx: StepContext, node: NodeId) -> Result<()> {
    let context = cx.context().await?;
    let Some(node) = context.spec.node(&node) else { return Ok(()) };
    Ok(cx.driver()?.leave(&context, node, &cx.progress()).await?)
}
