//! Take a cluster down and give everything back: process, folder, port, password, row. A last backup goes first, and when that
//! cannot be taken nothing goes. From there on is no way back, so a failure stops it where it is, and asking again goes on
//! from there.

use crate::{
    backups,
    event::{Event, EventKind, Level},
    facade::Result,
    operations::{back_up, create_cluster::remove_machines},
    passwords,
    step::{Step, StepContext, step},
    watch,
};
use clusterdeck_domain::{BackupId, Lifecycle, Role, SecretRef};
use clusterdeck_driver::DriverError;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Generations of passwords that may be in the keyring.
    pub(crate) generations: Vec<u32>,
    /// What can be brought back for a while; `None`: somebody did without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_backup: Option<back_up::Plan>,
    /// Backups that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) discarded: Vec<BackupId>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let (generations, discarded) = (plan.generations.clone(), plan.discarded.clone());
    let mut steps = plan.last_backup.as_ref().map_or_else(Vec::new, back_up::steps);
    steps.extend([
        step("mark", "Note that it goes", |cx| async move {
            cx.update_spec(|spec| spec.lifecycle = Lifecycle::Deleting).await.map(drop)
        })
        .no_return(),
        step("endpoint", "Close the endpoints", close_endpoints),
        step("stop", "Stop the voters, the replicas, then the primary", stop_all),
        step("machines", "Give the machines back", remove_machines),
        step("passwords", "Forget the passwords", move |cx| forget_passwords(cx, generations.clone())),
    ]);
    if !discarded.is_empty() {
        steps.push(step("backups", "Take its backups away", move |cx| discard(cx, discarded.clone())));
    }
    steps.push(step("forget", "Forget the cluster", |cx| async move { forget(&cx).await }));
    steps
}

async fn discard(cx: StepContext, ids: Vec<BackupId>) -> Result<()> {
    for id in ids {
        if let Ok(backup) = backups::find(&cx.shared, id.as_str()) {
            backups::take_away(&cx.shared, &backup).await?;
        }
    }
    Ok(())
}

pub(super) async fn close_endpoints(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    match context.gateway() {
        Ok(machine) => Ok(machine.stop(cx.shared.gateway.unit()).await?),
        Err(DriverError::Gone { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Those that follow stop before the one they follow, so that nobody takes over on the way down.
pub(super) async fn stop_all(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    let driver = cx.driver()?;
    match driver.disarm_failover(&context).await {
        // Those who decide do not answer. Whoever they may still elect is stopped with the others.
        Err(DriverError::Transient { what }) => tracing::warn!(%what, "nobody stands aside"),
        done => done?,
    }
    let seen = cx.shared.live(&cx.cluster)?.observed;
    let leads = |node: &&clusterdeck_domain::NodeSpec| {
        seen.as_ref().and_then(|o| o.node(&node.id)).and_then(|n| n.role).is_some_and(Role::takes_writes)
    };
    let (last, first): (Vec<_>, Vec<_>) = context.spec.data_nodes().partition(leads);
    for wave in [first, last] {
        let stopping = wave.into_iter().filter(|n| context.machines.contains_key(&n.machine.id));
        futures::future::try_join_all(stopping.map(|node| driver.stop_node(&context, node))).await?;
    }
    Ok(())
}

async fn forget_passwords(cx: StepContext, generations: Vec<u32>) -> Result<()> {
    for generation in generations {
        passwords::forget(&cx.shared, &cx.cluster, generation).await?;
    }
    // One that was cut short before its first step may have left it.
    Ok(cx.shared.secrets.remove(&SecretRef::of_migration(&cx.cluster)).await?)
}

/// Takes the row and everything kept about the cluster away; operations and audit trail stay.
pub(super) async fn forget(cx: &StepContext) -> Result<()> {
    watch::end(&cx.shared, &cx.cluster);
    cx.shared.state.remove_cluster(&cx.cluster).await?;
    cx.shared.cache.forget(&cx.cluster).await?;
    let live = cx.shared.lock_clusters().remove(&cx.cluster);
    if let Some(live) = live {
        let mut event =
            Event::new(EventKind::ClusterRemoved, Level::Info, format!("{} is gone", live.spec.name));
        event.cluster_id = Some(live.spec.id);
        event.cluster = Some(live.spec.name.to_string());
        cx.shared.events.send(event, cx.shared.now());
    }
    Ok(())
}
