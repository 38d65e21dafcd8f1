//! Move a shard's slots to the others, then take its nodes away.

use crate::{
    facade::Result,
    operations::add_node::remove_machines,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::NodeSpec;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) shard: u16,
    pub(crate) nodes: Vec<NodeSpec>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let shard = plan.shard;
    let (gone, forget) = (plan.nodes.clone(), plan.nodes.clone());
    vec![
        // Slots that have moved stay where they are: the cluster is whole at every moment, so a cancel before the end
        // leaves a smaller shard, not a broken one; the next attempt goes on from there.
        step("slots", format!("Move the slots of shard {shard} to the others"), move |cx| {
            empty_shard(cx, shard)
        })
        .within(Duration::from_secs(120)),
        step("machines", format!("Give {} machines back", plan.nodes.len()), move |cx| {
            remove_machines(cx, gone.clone())
        })
        .no_return(),
        step("forget", "Close the endpoints for it", move |cx| {
            let nodes = forget.clone();
            async move {
                // The shards after it move up, so that they stay numbered without a hole.
                cx.update_spec(move |spec| {
                    let before = spec.nodes.len();
                    spec.nodes.retain(|n| nodes.iter().all(|gone| gone.id != n.id));
                    if spec.nodes.len() == before {
                        return;
                    }
                    spec.shards -= 1;
                    for node in &mut spec.nodes {
                        node.shard = node.shard.map(|s| if s > shard { s - 1 } else { s });
                    }
                })
                .await?;
                cx.apply_endpoints().await
            }
        }),
        step("prove", "See that all is well", |cx| async move {
            super::create_cluster::expect_healthy(&cx).await
        }),
    ]
}

/// Moves all slots of a shard away and forgets its nodes.
pub(super) async fn empty_shard(cx: StepContext, shard: u16) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.remove_shard(&context, shard, &cx.progress()).await?)
}
