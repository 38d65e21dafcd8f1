//! Termination protection, automatic failover and options: a row, and where servers care, the servers.

use crate::{
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{ClusterOptions, ClusterSpec};
use serde::{Deserialize, Serialize};

/// A switch and both of its positions, so that it can be put back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "switch", rename_all = "kebab-case")]
pub(crate) enum Plan {
    Protection { to: bool },
    AutoFailover { to: bool, from: bool },
    Options { to: ClusterOptions, from: ClusterOptions },
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    match plan.clone() {
        Plan::Protection { to } => {
            let title = if to { "Turn termination protection on" } else { "Turn termination protection off" };
            vec![step("set", title, move |cx| set(cx, move |spec| spec.protected = to))]
        }
        Plan::AutoFailover { to, from } => {
            let title = if to { "Arm the voters" } else { "Disarm the voters" };
            let turn = |cx: StepContext, on: bool| async move {
                set(cx.clone(), move |spec| spec.auto_failover = on).await?;
                cx.arm_failover().await
            };
            vec![step("set", title, move |cx| turn(cx, to)).undo(move |cx| turn(cx, from))]
        }
        Plan::Options { to, from } => {
            let turn = |cx: StepContext, options: ClusterOptions| async move {
                set(cx.clone(), move |spec| spec.options = options).await?;
                let context = cx.context().await?;
                Ok(cx.driver()?.apply_options(&context).await?)
            };
            vec![
                step("set", "Apply the options on every node", move |cx| turn(cx, to))
                    .undo(move |cx| turn(cx, from)),
            ]
        }
    }
}

async fn set(cx: StepContext, edit: impl Fn(&mut ClusterSpec) + Send) -> Result<()> {
    cx.update_spec(edit).await.map(drop)
}
