//! Stop a node in order and start it again. A replica is out of service meanwhile; around a primary the voters stand
//! aside, so that its absence is not taken for a failure.

use crate::{
    facade::Result,
    operations::{
        drain_node::{enter_service, leave_service, still_follows, stop, wait_for_connections},
        undrain_node::catch_up,
    },
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{NodeId, NodeState};
use clusterdeck_driver::{DriverError, StartAs};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) role: Part,
    /// Whom it follows when it comes back.
    pub(crate) follows: Option<NodeId>,
}

/// What the node is for this change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Takes writes alone.
    Primary,
    /// Takes writes alone, and its family restarts it where it is.
    InPlace,
    /// Follows.
    Replica,
    /// Takes writes beside others, or leads a shard.
    Member,
    /// Only votes.
    Witness,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let name = &plan.name;
    let prove = step("prove", "See that all is well", |cx| async move {
        super::create_cluster::expect_healthy(&cx).await
    });
    if plan.role == Part::Witness {
        let restart = step("restart", format!("Stop and start the voter on {name}"), |cx| async move {
            aside(cx.clone()).await?;
            cx.arm_failover().await
        });
        return vec![restart, prove];
    }
    if plan.role == Part::InPlace {
        let node = plan.node.clone();
        let restart = step("restart", format!("Restart {name} where it is"), move |cx| {
            let node = node.clone();
            async move {
                can_start_again(&cx, &node).await?;
                let context = cx.context().await?;
                Ok(cx.driver()?.restart_in_place(&context, context.node(&node)?).await?)
            }
        })
        .within(Duration::from_secs(300));
        return vec![restart.no_cancel(), prove];
    }
    let [out, back, wait, end, join, enter] = std::array::from_fn(|_| plan.node.clone());
    let (start, up) = (plan.clone(), plan.clone());
    let follows = plan.role == Part::Replica;
    let mut steps = Vec::new();
    if plan.role == Part::Primary {
        steps.push(
            step("stand-aside", "Let the voters stand aside", move |cx| {
                let node = out.clone();
                async move {
                    can_start_again(&cx, &node).await?;
                    aside(cx).await
                }
            })
            .undo(|cx| async move { cx.arm_failover().await }),
        );
    } else {
        steps.push(
            step("leave-service", format!("Send nothing new to {name}"), move |cx| {
                let node = out.clone();
                async move {
                    can_start_again(&cx, &node).await?;
                    leave_service(cx.clone(), node.clone()).await?;
                    if follows { still_follows(&cx, &node).await } else { Ok(()) }
                }
            })
            .undo(move |cx| enter_service(cx, back.clone())),
        );
        steps.push(
            step("wait", "Wait for open connections", move |cx| wait_for_connections(cx, wait.clone()))
                .within(Duration::from_secs(30)),
        );
    }
    // Whatever happens from here, the node is started again and comes back into service or the voters are armed again.
    steps.push(
        step("stop", format!("Stop {name}"), move |cx| stop(cx, end.clone()))
            .undo(move |cx| start_again(cx, up.clone()))
            .no_cancel(),
    );
    steps.push(step("start", format!("Start {name}"), move |cx| start_again(cx, start.clone())));
    steps.push(if plan.role == Part::Primary {
        step("answer", format!("Wait until {name} takes writes again"), move |cx| {
            leads_again(cx, join.clone())
        })
        .within(Duration::from_secs(300))
    } else {
        step("join", format!("Let {name} catch up"), move |cx| catch_up(cx, join.clone()))
            .within(Duration::from_secs(60))
    });
    steps.push(if plan.role == Part::Primary {
        step("failover", "Let the voters watch again", |cx| async move { cx.arm_failover().await })
    } else {
        step("enter-service", format!("Send traffic to {name}"), move |cx| enter_service(cx, enter.clone()))
    });
    steps.push(prove);
    steps
}

/// What cannot be started again is not stopped: its software may have been taken away since it was started.
pub(super) async fn can_start_again(cx: &StepContext, node: &NodeId) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.can_start(&context, context.node(node)?).await?)
}

async fn aside(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.disarm_failover(&context).await?)
}

/// A large data set takes its time to load: there is no measure of it, so the deadline of the step is all there is. A server
/// that has ended will not answer, however long we wait.
pub(super) async fn leads_again(cx: StepContext, node: NodeId) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let found = seen.node(&node);
    if let Some(ended) = found.filter(|n| n.state == NodeState::Crashed) {
        let why = ended.detail.clone().unwrap_or_else(|| "the log of its unit says why".to_owned());
        return Err(DriverError::rejected("its server ended instead of taking writes", why).into());
    }
    match found.filter(|n| n.state == NodeState::Running).and_then(|n| n.role) {
        Some(role) if role.takes_writes() => Ok(()),
        _ => Err(DriverError::transient("it does not take writes yet").into()),
    }
}

/// As what it was, unless somebody else leads by now.
async fn start_again(cx: StepContext, plan: Plan) -> Result<()> {
    let context = cx.shared.sized(cx.context().await?, &plan.node).await?;
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let leads = seen.primary().map(|n| n.node.clone()).filter(|leader| *leader != plan.node);
    let start_as = match (plan.role, leads, plan.follows) {
        _ if context.spec.shards > 0 => StartAs::Member,
        (Part::Primary, None, _) => StartAs::Primary,
        (Part::Primary | Part::Replica, Some(primary), _) | (Part::Replica, None, Some(primary)) => {
            StartAs::ReplicaOf(primary)
        }
        _ => StartAs::Member,
    };
    Ok(cx.driver()?.start_node(&context, context.node(&plan.node)?, &start_as).await?)
}
