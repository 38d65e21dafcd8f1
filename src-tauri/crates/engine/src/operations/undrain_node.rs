//! Put a drained node back: it starts, catches up, and only then takes traffic and is a candidate again.

use crate::{
    facade::Result,
    operations::{
        add_node::start_nodes,
        drain_node::{enter_service, set_drained, stop},
    },
    step::{Step, StepContext, step},
};
use clusterdeck_domain::NodeId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) node: NodeId,
    pub(crate) name: String,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let name = &plan.name;
    let [start, stop_again, join, mark, unmark, enter] = std::array::from_fn(|_| plan.node.clone());
    vec![
        step("start", format!("Start {name}"), move |cx| start_nodes(cx, vec![start.clone()]))
            .undo(move |cx| stop(cx, stop_again.clone())),
        step("join", format!("Let {name} catch up"), move |cx| catch_up(cx, join.clone()))
            .within(Duration::from_secs(60)),
        step("mark", format!("Note that {name} is back"), move |cx| set_drained(cx, mark.clone(), false))
            .undo(move |cx| set_drained(cx, unmark.clone(), true)),
        step("enter-service", format!("Send traffic to {name}"), move |cx| enter_service(cx, enter.clone())),
        step("prove", "See that all is well", |cx| async move {
            super::create_cluster::expect_healthy(&cx).await
        }),
    ]
}

/// Waits until a started node has all its primary has.
pub(super) async fn catch_up(cx: StepContext, node: NodeId) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.join(&context, context.node(&node)?, &cx.progress()).await?)
}
