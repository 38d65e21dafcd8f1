//! Take a node away for good: out of service, out of membership and votes, stopped, machine given back.

use crate::{
    facade::Result,
    operations::{
        add_node::{remove_machines, take_from_spec},
        drain_node::{enter_service, leave_service, wait_for_connections},
    },
    step::{Step, StepContext, step},
};
use clusterdeck_domain::NodeSpec;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) node: NodeSpec,
    /// It answers; a dead node is not waited for.
    pub(crate) alive: bool,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let name = &plan.node.name;
    let mut steps = Vec::new();
    if plan.alive {
        let [out, back, wait] = std::array::from_fn(|_| plan.node.id.clone());
        steps.push(
            step("leave-service", format!("Send nothing new to {name}"), move |cx| {
                leave_service(cx, out.clone())
            })
            .undo(move |cx| enter_service(cx, back.clone())),
        );
        steps.push(
            step("wait", "Wait for open connections", move |cx| wait_for_connections(cx, wait.clone()))
                .within(Duration::from_secs(30)),
        );
    }
    let [member, machine, row] = std::array::from_fn(|_| plan.node.clone());
    steps.push(
        step("leave", format!("Take {name} out of the cluster"), move |cx| leave(cx, member.clone()))
            .within(Duration::from_secs(90))
            .no_return(),
    );
    steps.push(step("machine", "Stop it and give its machine back", move |cx| {
        remove_machines(cx, vec![machine.clone()])
    }));
    steps.push(step("forget", "Tell voters and endpoints", move |cx| take_from_spec(cx, vec![row.clone()])));
    steps.push(step("prove", "See that all is well", |cx| async move {
        super::create_cluster::expect_healthy(&cx).await
    }));
    steps
}

async fn leave(cx: StepContext, node: NodeSpec) -> Result<()> {
    let context = cx.context().await?;
    // A node that is not in the row any more has left.
    let Some(node) = context.spec.node(&node.id) else { return Ok(()) };
    Ok(cx.driver()?.leave(&context, node, &cx.progress()).await?)
}
