//! Make a replica the primary. The voters stand aside, the servers hand over without losing an acknowledged write, the
//! endpoint turns in the same moment, the voters watch the new primary.

use crate::{
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{Link, NodeId, NodeState, Role};
use clusterdeck_driver::{ClusterContext, DriverError, Switch};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) target: NodeId,
    pub(crate) name: String,
    pub(crate) max_lag_bytes: u64,
    /// The primary is this one and it is dead: a person lets the target take its place.
    #[serde(default)]
    pub(crate) by_hand: Option<NodeId>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    if let Some(dead) = &plan.by_hand {
        return by_hand(plan, dead);
    }
    let (check, target) = (plan.clone(), plan.target.clone());
    let finish = plan.target.clone();
    vec![
        step("check", format!("See that {} has caught up", plan.name), move |cx| {
            let check = check.clone();
            async move {
                prepare(&cx, &check.target).await?;
                has_caught_up(cx, check).await
            }
        })
        .within(Duration::from_secs(10)),
        step("stand-aside", "Let the voters stand aside", stand_aside)
            .undo(|cx| async move { cx.arm_failover().await }),
        step("hand-over", format!("Hand the writes over to {}", plan.name), move |cx| {
            hand_over(cx, target.clone())
        })
        .no_cancel(),
        step("failover", "Let the voters watch the new primary", |cx| async move { cx.arm_failover().await }),
        step("prove", "See that all is well", move |cx| prove(cx, finish.clone())),
    ]
}

/// There is nobody to hand over: the target applies what it has and leads.
fn by_hand(plan: &Plan, dead: &NodeId) -> Vec<Step> {
    let [target, finish] = std::array::from_fn(|_| plan.target.clone());
    let dead = dead.clone();
    vec![
        step("take-over", format!("Let {} lead", plan.name), move |cx| take_over(cx, target.clone()))
            .no_cancel(),
        step("failover", "Let the others follow it", |cx| async move { cx.arm_failover().await }),
        step("prove", "Write and read through the endpoint", move |cx| {
            let (target, dead) = (finish.clone(), dead.clone());
            async move {
                cx.driver()?.probe(&cx.context().await?).await?;
                leads(&cx, &target).await?;
                tell_of(&cx, &dead)
            }
        }),
    ]
}

/// The former primary may hold writes that nobody else has: a matter for a person, not a failure of this change.
fn tell_of(cx: &StepContext, dead: &NodeId) -> Result<()> {
    let live = cx.shared.live(&cx.cluster)?;
    let seen = live.observed.as_ref().and_then(|o| o.node(dead));
    if let (Some(detail), Some(node)) = (seen.and_then(|n| n.detail.clone()), live.spec.node(dead)) {
        cx.report(|outcome| outcome.notes.push(format!("{}: {detail}", node.name)));
    }
    Ok(())
}

/// The preview saw it close behind. One look that did not see that again is no reason to give up what was confirmed: a
/// replica may be connecting anew just then.
async fn has_caught_up(cx: StepContext, plan: Plan) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let node = seen.node(&plan.target).ok_or_else(|| DriverError::Gone { what: plan.name.clone() })?;
    if node.role.is_some_and(Role::takes_writes) {
        return Ok(());
    }
    let not_yet = |what: String| Err(DriverError::transient(what).into());
    match (node.state, node.link, node.lag_bytes) {
        (NodeState::Running, Some(Link::Up), Some(lag)) if lag <= plan.max_lag_bytes => Ok(()),
        (NodeState::Running, Some(Link::Up), Some(lag)) => {
            not_yet(format!("{} is {lag} bytes behind", plan.name))
        }
        (NodeState::Running, Some(Link::Up), None) => {
            not_yet(format!("it is not known how far {} is behind", plan.name))
        }
        _ => not_yet(format!("{} is not following its primary", plan.name)),
    }
}

pub(super) async fn stand_aside(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.disarm_failover(&context).await?)
}

/// What takes long is done before the voters stand aside.
pub(super) async fn prepare(cx: &StepContext, target: &NodeId) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.prepare_hand_over(&context, context.node(target)?, &cx.progress()).await?)
}

pub(super) async fn hand_over(cx: StepContext, target: NodeId) -> Result<()> {
    let context = cx.context().await?;
    let node = context.node(&target)?;
    let result = cx.driver()?.hand_over(&context, node, &switch(&cx, &context, &target)).await?;
    // A call that finds the work done already has measured nothing; of several hand-overs the longest gap counts.
    cx.report(|outcome| {
        let gap = outcome.write_gap_ms.map_or(result.write_gap_ms, |before| before.max(result.write_gap_ms));
        outcome.write_gap_ms = Some(gap);
    });
    Ok(())
}

async fn take_over(cx: StepContext, target: NodeId) -> Result<()> {
    let context = cx.context().await?;
    let node = context.node(&target)?;
    cx.driver()?.take_over(&context, node, &switch(&cx, &context, &target)).await?;
    Ok(())
}

/// Turns the endpoint to the target.
fn switch(
    cx: &StepContext,
    context: &ClusterContext,
    target: &NodeId,
) -> impl Fn() -> Switch + Send + Sync + use<> {
    let (gateway, shared) = (cx.shared.gateway.clone(), Arc::new((context.clone(), target.clone())));
    move || {
        let (gateway, shared) = (gateway.clone(), shared.clone());
        Box::pin(async move { gateway.point_to(&shared.0, &shared.1).await }) as Switch
    }
}

async fn prove(cx: StepContext, target: NodeId) -> Result<()> {
    let context = cx.context().await?;
    cx.driver()?.probe(&context).await?;
    super::create_cluster::expect_healthy(&cx).await?;
    leads(&cx, &target).await
}

async fn leads(cx: &StepContext, target: &NodeId) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let leads = seen.node(target).and_then(|n| n.role).is_some_and(Role::takes_writes);
    if leads { Ok(()) } else { Err(DriverError::transient("the new primary does not say so yet").into()) }
}
