//! Add a shard and move its share of the slots to it while clients go on writing.

use crate::{
    facade::Result,
    operations::{
        add_node::{add_to_spec, remove_machines, start_nodes, take_from_spec},
        create_cluster::{ensure_machines, expect_healthy, machines_title},
        remove_shard::empty_shard,
    },
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{NodeId, NodeSpec};
use clusterdeck_driver::MachineRequest;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) shard: u16,
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) machines: Vec<MachineRequest>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let shard = plan.shard;
    let (reserve, release) = (plan.nodes.clone(), plan.nodes.clone());
    let (machines, gone) = (plan.machines.clone(), plan.nodes.clone());
    let start: Vec<NodeId> = plan.nodes.iter().map(|n| n.id.clone()).collect();
    let report: Vec<String> = plan.nodes.iter().map(|n| n.name.clone()).collect();
    vec![
        step("reserve", format!("Reserve {}", report.join(", ")), move |cx| {
            let nodes = reserve.clone();
            async move {
                cx.update_spec(|spec| spec.shards = spec.shards.max(shard + 1)).await?;
                add_to_spec(cx, nodes).await
            }
        })
        .undo(move |cx| {
            let nodes = release.clone();
            async move {
                cx.update_spec(|spec| spec.shards = spec.shards.min(shard)).await?;
                take_from_spec(cx, nodes).await
            }
        }),
        step("machines", machines_title(plan.nodes.len()), move |cx| ensure_machines(cx, machines.clone()))
            .undo(move |cx| remove_machines(cx, gone.clone())),
        step("start", "Start the servers", move |cx| start_nodes(cx, start.clone())),
        step("slots", "Move slots to the new shard", move |cx| fill_shard(cx, shard))
            .undo(move |cx| empty_shard(cx, shard))
            .within(Duration::from_secs(120)),
        step("endpoint", "Open the endpoints for it", |cx| async move { cx.apply_endpoints().await }),
        step("prove", "See that all is well", move |cx| {
            let report = report.clone();
            async move {
                expect_healthy(&cx).await?;
                cx.report(|outcome| outcome.nodes = report);
                Ok(())
            }
        }),
    ]
}

async fn fill_shard(cx: StepContext, shard: u16) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.add_shard(&context, shard, &cx.progress()).await?)
}
