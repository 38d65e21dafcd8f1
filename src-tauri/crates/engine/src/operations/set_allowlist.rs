//! From which addresses a cluster may be reached. A list that may shut out its author is tried first: the endpoint holds both
//! lists and the time at which the one before is in force again, so that it comes back whether we are there or not. The servers
//! and the row follow only when it was kept.

use super::trial;
use crate::{
    access,
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{AllowEntry, AllowTrial};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const WORDS: trial::Words = trial::Words {
    back: "the list before comes back",
    nobody: "Nobody kept the new list in time, so the one before is in force again",
    hint: "Add the address you come from, or keep the list in time when you ask again.",
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) to: Vec<AllowEntry>,
    pub(crate) from: Vec<AllowEntry>,
    /// How long it waits to be kept; `None`: it is not tried first.
    pub(crate) keep_within_ms: Option<u64>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let [to, tried] = [&plan.to, &plan.to].map(Clone::clone);
    let from = plan.from.clone();
    let mut steps = Vec::new();
    if let Some(ms) = plan.keep_within_ms {
        steps.push(
            step("try", "Hold the endpoints to the new list, for a while", move |cx| {
                hold_to_trial(cx, tried.clone(), ms)
            })
            .undo(end_trial),
        );
        steps.push(
            step("keep", "Wait until somebody keeps it", |cx| trial::keep_or_revert(cx, WORDS))
                .within(Duration::from_millis(ms) + trial::SLACK)
                .waits(),
        );
    }
    steps.push(
        step("endpoints", "Hold the endpoints to the list", move |cx| hold_to(cx, to.clone()))
            .undo(move |cx| hold_all_to(cx, from.clone()))
            .no_cancel(),
    );
    // Taken back by the step before, since servers follow the row.
    steps.push(step("servers", "Hold the servers and their network to it", |cx| async move {
        hold_servers(&cx).await
    }));
    steps
}

/// The end is decided once: whoever takes this up after a kill finds it in the row.
async fn hold_to_trial(cx: StepContext, entries: Vec<AllowEntry>, ms: u64) -> Result<()> {
    let end = trial::end(cx.shared.now(), ms);
    let spec = cx
        .update_spec(move |spec| {
            spec.allow_trial.get_or_insert_with(|| AllowTrial { entries: entries.clone(), until: end });
        })
        .await?;
    trial::offer(&cx, spec.allow_trial.map_or(end, |trial| trial.until));
    cx.apply_endpoints().await?;
    cut(&cx).await.map(drop)
}

async fn end_trial(cx: StepContext) -> Result<()> {
    cx.update_spec(|spec| spec.allow_trial = None).await?;
    cx.apply_endpoints().await?;
    cut(&cx).await.map(drop)
}

async fn hold_to(cx: StepContext, entries: Vec<AllowEntry>) -> Result<()> {
    cx.update_spec(move |spec| {
        spec.allowlist.clone_from(&entries);
        spec.allow_trial = None;
    })
    .await?;
    cx.apply_endpoints().await?;
    let closed = cut(&cx).await?;
    if closed > 0 {
        cx.report(|outcome| outcome.notes.push(format!("{closed} open connections were closed")));
    }
    Ok(())
}

async fn hold_all_to(cx: StepContext, entries: Vec<AllowEntry>) -> Result<()> {
    hold_to(cx.clone(), entries).await?;
    hold_servers(&cx).await
}

/// Closes what is open through the endpoints from addresses that may come in no longer.
async fn cut(cx: &StepContext) -> Result<u64> {
    let context = cx.context().await?;
    Ok(cx.shared.gateway.cut_outsiders(&context).await?)
}

async fn hold_servers(cx: &StepContext) -> Result<()> {
    let context = cx.context().await?;
    cx.driver()?.apply_allowlist(&context).await?;
    access::hold_nodes(&cx.shared, &context.spec).await
}
