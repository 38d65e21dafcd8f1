//! Give every replica a fresh copy of its primary's data, one at a time. Old data stays aside until the copy streams.

use crate::{
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::NodeId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Replicas in the order they are copied, with their names.
    pub(crate) replicas: Vec<(NodeId, String)>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let mut steps: Vec<Step> = plan
        .replicas
        .iter()
        .map(|(id, name)| {
            let id = id.clone();
            step(format!("copy-{name}"), format!("Copy everything to {name} again"), move |cx| {
                copy(cx, id.clone())
            })
            .within(Duration::from_secs(120))
        })
        .collect();
    steps.push(step("prove", "See that all is well", |cx| async move {
        super::create_cluster::expect_healthy(&cx).await
    }));
    steps
}

async fn copy(cx: StepContext, node: NodeId) -> Result<()> {
    let context = cx.context().await?;
    let node = context.node(&node)?;
    let note = cx.driver()?.resync(&context, node, &cx.progress()).await?;
    if let Some(note) = note {
        cx.report(|outcome| outcome.notes.push(format!("{}: {note}", node.name)));
    }
    Ok(())
}
