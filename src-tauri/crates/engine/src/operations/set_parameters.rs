//! Settings of the servers: written everywhere, then the servers that need it are restarted, one after the other.

use crate::{
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{NodeId, Parameters};
use clusterdeck_driver::DriverError;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// A server that waits for another one (a replica may not have less than its primary had) is restarted again after that
/// one; whoever still waits then waits for something else.
const MOST_RESTARTS: u32 = 2;

/// The settings as they were and as they shall be, so that they can be put back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) to: Parameters,
    pub(crate) from: Parameters,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let (to, from) = (plan.to.clone(), plan.from.clone());
    vec![
        step("set", "Write the parameters on every node", move |cx| set(cx, to.clone()))
            .undo(move |cx| set(cx, from.clone())),
        step("restart", "Restart the servers that need it", restart)
            .within(Duration::from_secs(120))
            .undo(restart),
        step("prove", "See that all is well", |cx| async move {
            super::create_cluster::expect_healthy(&cx).await
        }),
    ]
}

async fn set(cx: StepContext, parameters: Parameters) -> Result<()> {
    cx.update_spec(move |spec| spec.parameters = parameters.clone()).await?;
    let context = cx.context().await?;
    Ok(cx.driver()?.apply_parameters(&context).await?)
}

/// Restarts whoever waits for it, one after the other.
pub(super) async fn restart(cx: StepContext) -> Result<()> {
    let (driver, context, progress) = (cx.driver()?, cx.context().await?, cx.progress());
    let mut restarted: BTreeMap<NodeId, u32> = BTreeMap::new();
    loop {
        let due = driver.restarts_due(&context).await?;
        let times = |id: &NodeId| restarted.get(id).copied().unwrap_or(0);
        let Some(next) = due.into_iter().min_by_key(|id| times(id)) else { return Ok(()) };
        let node = context.node(&next)?;
        if times(&next) >= MOST_RESTARTS {
            let what = format!("{} was restarted and still does not follow its parameters", node.name);
            return Err(DriverError::rejected(what, "the log of its server says why").into());
        }
        progress.note(&format!("restarting {}", node.name));
        driver.restart_in_place(&context, node).await?;
        *restarted.entry(next).or_default() += 1;
        super::create_cluster::expect_healthy(&cx).await?;
    }
}
