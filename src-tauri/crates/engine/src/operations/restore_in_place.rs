//! Put the data of a backup, or what there was at a moment, in the place of what a cluster holds. What it holds is backed up and
//! proven first, and lies aside on the nodes until the other data is there, and was counted where somebody had counted it: up to
//! then every failure brings back what was there. The servers begin as those of a new cluster do, all of them at once, so that one
//! history is left; nobody is served meanwhile anyway. Whoever wants to look at it first keeps it then: neither clients nor the
//! archive of the log see it before.

use crate::{
    backups,
    facade::Result,
    operations::{back_up, create_cluster as create, delete_cluster, trial},
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{Backup, Lifecycle, NodeId, OperationId, Topology, voters};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, StartAs};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A server writes its data to disk before it stops, and reads it when it starts again.
const STALLS: Duration = Duration::from_secs(300);
/// Where what the cluster holds lies meanwhile.
const ASIDE: &str = "aside";
const WORDS: trial::Words = trial::Words {
    back: "what it held before comes back",
    nobody: "Nobody kept the data that was brought back in time, so the cluster holds what it held before",
    hint: "Ask again with more time to look at it, or restore it as a new cluster.",
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) backup: Backup,
    /// The moment, where that is not what the backup holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
    /// Of what it holds now; `None`: somebody did without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) safety: Option<back_up::Plan>,
    /// Who took writes: whoever starts first on the way back.
    pub(crate) led: Vec<NodeId>,
    /// How long somebody may look at it before the endpoints open; `None`: they open by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_within_ms: Option<u64>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let (laid, at, led) = (plan.backup.clone(), plan.at, plan.led.clone());
    let mut steps = plan.safety.as_ref().map_or_else(Vec::new, back_up::steps);
    steps.extend([
        step("close", "Close the endpoints", delete_cluster::close_endpoints)
            .undo(|cx| async move { cx.apply_endpoints().await }),
        step("stop", "Stop the voters, the replicas, then the primary", stop)
            .within(STALLS)
            .undo(move |cx| start_again(cx, led.clone())),
        step("aside", "Set aside what they hold", put_aside).undo(put_back),
        step("bring-back", "Bring back the data", move |cx| create::bring_back(cx, laid.clone(), at))
            .within(create::STALLS),
        step("start", "Start the servers", create::start_servers),
        step("form", "Bring the nodes together", create::form).within(Duration::from_secs(60)),
        step("failover", "Start the voters", arm),
    ]);
    // What there was at a moment nobody has counted.
    if plan.at.is_none() {
        let from = plan.backup.clone();
        let compare = move |cx| create::compare(cx, from.clone());
        steps.push(step("compare", "See that it holds what it should", compare).within(create::STALLS));
    }
    if let Some(ms) = plan.keep_within_ms {
        steps.push(step("offer", "Leave it to be looked at, for a while", move |cx| offer(cx, ms)));
        steps.push(
            step("keep", "Wait until somebody keeps it", |cx| trial::keep_or_revert(cx, WORDS))
                .within(Duration::from_millis(ms) + trial::SLACK)
                .waits(),
        );
    }
    steps.extend([
        // Whoever writes from here on writes to this data: there is no way back but the backup.
        step("endpoint", "Open the endpoints", |cx| async move { cx.apply_endpoints().await }).no_return(),
        step("prove", "Write and read through the endpoint", create::prove),
        step("tidy", "Take away what they held before", tidy).within(STALLS),
    ]);
    steps
}

/// The machines of its nodes, not that of the endpoint.
fn machines(cx: &ClusterContext) -> Result<Vec<&dyn Machine>> {
    let all = cx.spec.nodes.iter().map(|node| Ok(cx.machine(node)?.as_ref()));
    all.collect()
}

/// Servers in order, then whatever else runs beside them: voters, and what answers for their health.
async fn stop(cx: StepContext) -> Result<()> {
    delete_cluster::stop_all(cx.clone()).await?;
    let context = cx.context().await?;
    stop_the_rest(&context).await
}

async fn stop_the_rest(context: &ClusterContext) -> Result<()> {
    let stopping = machines(context)?.into_iter().map(|machine| async move {
        for unit in machine.units().await? {
            machine.stop(&unit).await?;
        }
        Ok::<_, DriverError>(())
    });
    try_join_all(stopping).await?;
    Ok(())
}

async fn arm(cx: StepContext) -> Result<()> {
    if voters(&cx.spec()?).is_empty() {
        return Ok(());
    }
    cx.arm_failover().await
}

/// The servers on what they held. Each step of it looks first: some may run already.
async fn start_again(cx: StepContext, led: Vec<NodeId>) -> Result<()> {
    let context = cx.context().await?;
    let driver = cx.driver()?;
    let (leading, others): (Vec<_>, Vec<_>) = context.spec.data_nodes().partition(|n| led.contains(&n.id));
    let mut waits = None;
    for node in leading.into_iter().chain(others) {
        let started = async {
            let start_as = match context.spec.topology {
                Topology::Single => StartAs::Primary,
                Topology::PrimaryReplica => create::start_as(&context.spec, node, led.first()),
                Topology::MultiMaster | Topology::Sharded => driver.restart_as(&context, node).await?,
            };
            driver.start_node(&context, node, &start_as).await
        };
        match started.await {
            // Who begins is known only when others run, or were asked how far they had come.
            Err(e) if e.is_transient() => waits = Some(e),
            done => done?,
        }
    }
    if let Some(e) = waits {
        return Err(e.into());
    }
    arm(cx.clone()).await?;
    create::expect_healthy(&cx).await
}

fn operation(cx: &StepContext) -> OperationId {
    cx.record.edit(|operation| operation.id.clone())
}

/// Everything of a node lies in its driver's folders. One that was not there is there empty, so that what comes into its place
/// goes on the way back.
async fn put_aside(cx: StepContext) -> Result<()> {
    cx.update_spec(|spec| spec.lifecycle = Lifecycle::Restoring).await?;
    backups::log::begin_era(&cx.shared, &cx.cluster, &operation(&cx)).await?;
    let (context, driver) = (cx.context().await?, cx.driver()?);
    for machine in machines(&context)? {
        machine.create_dir(ASIDE).await?;
        for folder in driver.folders() {
            let aside = format!("{ASIDE}/{folder}");
            if machine.exists(&aside).await? {
                continue;
            }
            if machine.exists(folder).await? {
                machine.rename(folder, &aside).await?;
            } else {
                machine.create_dir(&aside).await?;
            }
        }
    }
    Ok(())
}

async fn put_back(cx: StepContext) -> Result<()> {
    let (context, driver) = (cx.context().await?, cx.driver()?);
    stop_the_rest(&context).await?;
    for machine in machines(&context)? {
        for folder in driver.folders() {
            let aside = format!("{ASIDE}/{folder}");
            if machine.exists(&aside).await? {
                machine.remove(folder).await?;
                machine.rename(&aside, folder).await?;
            }
        }
        machine.remove(ASIDE).await?;
    }
    backups::log::end_era(&cx.shared, &cx.cluster, &operation(&cx)).await?;
    cx.update_spec(|spec| spec.lifecycle = Lifecycle::Active).await.map(drop)
}

/// A step of its own, so that its end is in the journal before anybody waits for it.
async fn offer(cx: StepContext, ms: u64) -> Result<()> {
    trial::offer(&cx, trial::end(cx.shared.now(), ms));
    Ok(())
}

async fn tidy(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    for machine in machines(&context)? {
        machine.remove(ASIDE).await?;
    }
    Ok(())
}
