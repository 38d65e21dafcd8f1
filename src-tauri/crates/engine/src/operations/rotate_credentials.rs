//! New passwords everywhere: every node knows them before anybody uses them, and the old ones stop last. Until then the way
//! back is the same way in the other direction: some servers keep one password for an account, so what has been taken in has
//! to be taken in again. Both generations are kept until no server may need either of them.

use crate::{
    facade::Result,
    passwords,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::StepState;
use clusterdeck_driver::Secrets;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

const ACCEPT: &str = "accept";

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let Plan { from, to } = *plan;
    vec![
        step("make", "Make new passwords", move |cx| make(cx, to)).undo(move |cx| forget_unused(cx, to)),
        step(ACCEPT, "Give every node the new ones", move |cx| accept(cx, from, to))
            .undo(move |cx| accept_no_more(cx, to, from)),
        step("switch", "Use the new ones", move |cx| switch(cx, to))
            .undo(move |cx| switch_back(cx, to, from)),
        step("retire", "Let no node accept the old ones", retire).no_return(),
        step("prove", "Sign in with the new ones", prove),
        step("forget", "Forget the old ones", move |cx| async move {
            // A rotation that failed after it could not be taken back has left its old generation to this one.
            for generation in from.saturating_sub(2)..=from {
                passwords::forget(&cx.shared, &cx.cluster, generation).await?;
            }
            Ok(())
        }),
    ]
}

async fn make(cx: StepContext, generation: u32) -> Result<()> {
    let driver = cx.driver()?;
    passwords::ensure(&cx.shared, &cx.cluster, generation, driver.as_ref()).await.map(drop)
}

/// Forgets the new ones where no server was given them, or each gave them up again.
async fn forget_unused(cx: StepContext, generation: u32) -> Result<()> {
    let given = |state| !matches!(state, StepState::Pending | StepState::Undone);
    let kept = cx.record.edit(|operation| {
        let kept = operation.steps.iter().any(|step| step.name == ACCEPT && given(step.state));
        operation.retryable = kept;
        kept
    });
    if !kept {
        return passwords::forget(&cx.shared, &cx.cluster, generation).await;
    }
    let note =
        "Some servers may know only the new passwords, so both are kept; retry this when every node answers";
    cx.report(|outcome| {
        if !outcome.notes.iter().any(|n| n == note) {
            outcome.notes.push(note.to_owned());
        }
    });
    Ok(())
}

/// Every node knows the passwords of `to`, whichever of the two it knew before.
async fn accept(cx: StepContext, from: u32, to: u32) -> Result<()> {
    let mut context = cx.context().await?;
    context.secrets = Secrets {
        current: passwords::load(&cx.shared, &cx.cluster, from).await?.unwrap_or_default(),
        next: passwords::load(&cx.shared, &cx.cluster, to).await?,
    };
    Ok(cx.driver()?.accept_next_secrets(&context).await?)
}

/// As it was: first the old ones open everywhere again, then they alone.
async fn accept_no_more(cx: StepContext, new: u32, old: u32) -> Result<()> {
    accept(cx.clone(), new, old).await?;
    retire(cx).await
}

/// From here the new ones are in force: endpoints and voters sign in with them, which every node knows.
async fn switch(cx: StepContext, generation: u32) -> Result<()> {
    cx.update_spec(move |spec| spec.secrets_generation = generation).await?;
    cx.apply_endpoints().await?;
    cx.arm_failover().await
}

/// Nobody is told to use the old ones before they open again.
async fn switch_back(cx: StepContext, new: u32, old: u32) -> Result<()> {
    accept(cx.clone(), new, old).await?;
    switch(cx, old).await
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
