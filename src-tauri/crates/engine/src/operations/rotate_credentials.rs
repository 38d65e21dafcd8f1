//! New passwords everywhere: every node accepts both before anybody uses the new ones, and the old ones stop last.

use crate::{
    facade::Result,
    passwords,
    step::{Step, StepContext, step},
};
use clusterdeck_driver::ClusterContext;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let Plan { from, to } = *plan;
    vec![
        step("make", "Make new passwords", move |cx| make(cx, to))
            .undo(move |cx| async move { passwords::forget(&cx.shared, &cx.cluster, to).await }),
        step("accept", "Let every node accept both", move |cx| accept(cx, to)).undo(retire),
        step("switch", "Use the new ones", move |cx| switch(cx, to)).undo(move |cx| switch(cx, from)),
        step("retire", "Let no node accept the old ones", retire).no_return(),
        step("forget", "Forget the old ones", move |cx| async move {
            // A rotation that failed after it could not be taken back has left its old generation to this one.
            for generation in from.saturating_sub(2)..=from {
                passwords::forget(&cx.shared, &cx.cluster, generation).await?;
            }
            Ok(())
        }),
        step("prove", "Sign in with the new ones", prove),
    ]
}

async fn make(cx: StepContext, generation: u32) -> Result<()> {
    let driver = cx.driver()?;
    passwords::ensure(&cx.shared, &cx.cluster, generation, driver.as_ref()).await.map(drop)
}

async fn with_next(cx: &StepContext, generation: u32) -> Result<ClusterContext> {
    let mut context = cx.context().await?;
    context.secrets.next = passwords::load(&cx.shared, &cx.cluster, generation).await?;
    Ok(context)
}

async fn accept(cx: StepContext, generation: u32) -> Result<()> {
    let context = with_next(&cx, generation).await?;
    Ok(cx.driver()?.accept_next_secrets(&context).await?)
}

/// From here the new ones are in force: endpoints and voters sign in with them while the nodes accept both.
async fn switch(cx: StepContext, generation: u32) -> Result<()> {
    cx.update_spec(move |spec| spec.secrets_generation = generation).await?;
    cx.apply_endpoints().await?;
    cx.arm_failover().await
}

async fn retire(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.retire_old_secrets(&context).await?)
}

async fn prove(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    cx.driver()?.probe(&context).await?;
    super::create_cluster::expect_healthy(&cx).await
}
