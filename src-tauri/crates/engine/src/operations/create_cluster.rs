//! Make a cluster. Until the last step it can be taken back without a trace.

use crate::{
    access, backups,
    facade::Result,
    operations::back_up,
    passwords,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{
    Backup, BackupState, ClusterId, ClusterSpec, Health, Lifecycle, NodeId, NodeSpec, Topology,
    disagreements, pieces, voters,
};
use clusterdeck_driver::{DriverError, MachineRequest, StartAs};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A store in the network stalls now and then, a server prepares what it was given.
pub(super) const STALLS: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) spec: ClusterSpec,
    pub(crate) machines: Vec<MachineRequest>,
    /// The backup whose data it gets; `None`: it begins empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Backup>,
    /// The moment that its data is brought to by the log that follows that backup; `None`: the backup is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
    /// The cluster that the backup is yet to be made of; `None`: it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clone_of: Option<ClusterId>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let count = plan.machines.len();
    let machines = plan.machines.clone();
    let mut steps = vec![
        step("reserve", "Reserve the name", |cx| async move { cx.spec().map(drop) }).undo(forget_cluster),
        step("passwords", "Make the passwords", make_passwords).undo(forget_passwords),
        step("machines", machines_title(count), move |cx| ensure_machines(cx, machines.clone()))
            .undo(remove_machines),
    ];
    if let Some(from) = plan.from.clone() {
        let at = plan.at;
        if let Some(source) = &plan.clone_of {
            let copied = back_up::steps(&back_up::Plan { backup: from.clone(), test: None });
            steps.extend(copied.into_iter().map(|step| step.about(source)));
        }
        steps.push(
            step("bring-back", "Bring back the data", move |cx| bring_back(cx, from.clone(), at))
                .within(STALLS),
        );
    }
    steps.extend([
        step("start", "Start the servers", start_servers),
        step("form", "Bring the nodes together", form).within(Duration::from_secs(60)),
    ]);
    if !voters(&plan.spec).is_empty() {
        steps.push(step("failover", "Start the voters", |cx| async move { cx.arm_failover().await }));
    }
    steps.push(step("endpoint", "Open the endpoints", |cx| async move { cx.apply_endpoints().await }));
    // What was counted is what the backup held, and says nothing of a later moment.
    if let Some(from) = plan.from.clone().filter(|_| plan.at.is_none()) {
        steps.push(
            step("compare", "See that it holds what it should", move |cx| compare(cx, from.clone()))
                .within(STALLS),
        );
    }
    steps.push(step("prove", "Write and read through the endpoint", prove));
    steps
}

/// The node that a piece of the data goes to; the others copy from it.
fn first_of(spec: &ClusterSpec, shard: Option<u16>) -> Result<&NodeSpec> {
    let found = spec.data_nodes().filter(|n| n.shard == shard).min_by_key(|n| n.ordinal);
    Ok(found
        .ok_or_else(|| DriverError::broken("the backup has a piece that no node of the cluster takes"))?)
}

/// Servers that were never started find what lies there when they are.
pub(super) async fn bring_back(cx: StepContext, from: Backup, at: Option<Timestamp>) -> Result<()> {
    let context = cx.context().await?;
    let driver = cx.driver()?;
    let from = backups::find(&cx.shared, from.id.as_str())?;
    for shard in pieces(&context.spec) {
        let node = first_of(&context.spec, shard)?;
        let part = from.part(shard).ok_or_else(|| DriverError::broken("the backup lacks a piece"))?;
        if let Some(at) = at {
            backups::log::lay(&cx.shared, &context, driver.as_ref(), node, (&from, at), &cx.progress())
                .await?;
        }
        backups::lay(&cx.shared, &context, driver.as_ref(), node, (&from, part), &cx.progress()).await?;
    }
    Ok(())
}

/// A cluster that was restored is the best proof there is of its backup.
pub(super) async fn compare(cx: StepContext, from: Backup) -> Result<()> {
    let context = cx.context().await?;
    let driver = cx.driver()?;
    let from = backups::find(&cx.shared, from.id.as_str())?;
    for shard in pieces(&context.spec) {
        let node = first_of(&context.spec, shard)?;
        let part = from.part(shard).ok_or_else(|| DriverError::broken("the backup lacks a piece"))?;
        let wrong = disagreements(&part.counts, &backups::counted(&context, driver.as_ref(), node).await?);
        if !wrong.is_empty() {
            return Err(DriverError::rejected(
                format!("what came back is not what was backed up: {}", wrong.join("; ")),
                "Choose another backup, or verify this one.",
            )
            .into());
        }
    }
    let now = cx.shared.now();
    backups::update(&cx.shared, &from.id, |backup| {
        (backup.state, backup.verified_at, backup.error) = (BackupState::Verified, Some(now), None);
    })
    .await
}

async fn make_passwords(cx: StepContext) -> Result<()> {
    let spec = cx.spec()?;
    let driver = cx.driver()?;
    passwords::ensure(&cx.shared, &spec.id, spec.secrets_generation, driver.as_ref()).await.map(drop)
}

async fn forget_passwords(cx: StepContext) -> Result<()> {
    let spec = cx.spec()?;
    passwords::forget(&cx.shared, &spec.id, spec.secrets_generation).await
}

pub(super) fn machines_title(count: usize) -> String {
    if count == 1 { "Prepare a machine".to_owned() } else { format!("Prepare {count} machines") }
}

/// Asks the provider for machines, all at once. Where a list is in force the network holds to it before any server is there.
pub(super) async fn ensure_machines(cx: StepContext, requests: Vec<MachineRequest>) -> Result<()> {
    let provider = cx.provider()?;
    let spec = cx.spec()?;
    if !spec.allowlist.is_empty() {
        access::hold_nodes(&cx.shared, &spec).await?;
    }
    let progress = cx.progress();
    try_join_all(requests.iter().map(|request| provider.ensure_machine(request, &progress))).await?;
    Ok(())
}

/// Gives every machine of the cluster back, with whatever runs on it.
pub(super) async fn remove_machines(cx: StepContext) -> Result<()> {
    let provider = cx.provider()?;
    let spec = cx.spec()?;
    try_join_all(spec.machines().map(|machine| provider.remove_machine(machine))).await?;
    // Nobody is there any more who could be reached.
    access::hold_nodes(&cx.shared, &ClusterSpec { allowlist: Vec::new(), ..spec }).await
}

pub(super) async fn start_servers(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    let driver = cx.driver()?;
    let first = context.spec.data_nodes().next().map(|n| n.id.clone());
    let starting = context.spec.data_nodes().map(|node| {
        let start_as = start_as(&context.spec, node, first.as_ref());
        let (context, driver) = (&context, &driver);
        async move { driver.start_node(context, node, &start_as).await }
    });
    try_join_all(starting).await?;
    Ok(())
}

/// What a node of a new cluster is when its server starts; `first` leads where one leads.
pub(super) fn start_as(spec: &ClusterSpec, node: &NodeSpec, first: Option<&NodeId>) -> StartAs {
    match (spec.topology, first) {
        (Topology::Single, _) => StartAs::Primary,
        (Topology::PrimaryReplica, Some(first)) if *first != node.id => StartAs::ReplicaOf(first.clone()),
        (Topology::PrimaryReplica, _) => StartAs::Primary,
        (Topology::MultiMaster | Topology::Sharded, _) => StartAs::Member,
    }
}

pub(super) async fn form(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    Ok(cx.driver()?.form(&context, &cx.progress()).await?)
}

/// The cluster exists once a write went through its endpoint and everything looks healthy.
pub(super) async fn prove(cx: StepContext) -> Result<()> {
    let context = cx.context().await?;
    cx.driver()?.probe(&context).await?;
    expect_healthy(&cx).await?;
    let spec = cx.update_spec(|spec| spec.lifecycle = Lifecycle::Active).await?;
    cx.report(|outcome| outcome.nodes = spec.nodes.iter().map(|n| n.name.clone()).collect());
    Ok(())
}

/// Looks at the cluster: transient until every node that should serve is healthy. While it is not, what can be put right
/// is: nobody else does while a change is under way.
pub(super) async fn expect_healthy(cx: &StepContext) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let spec = cx.spec()?;
    for node in spec.nodes.iter().filter(|n| !n.drained) {
        let found = seen.node(&node.id);
        if found.is_none_or(|n| n.health != Health::Healthy) {
            crate::watch::heal(&cx.context().await?, cx.driver()?.as_ref(), &seen).await;
            let why = found
                .and_then(|n| n.detail.clone())
                .unwrap_or_else(|| "it is not known how it is".to_owned());
            return Err(DriverError::transient(format!("{} is not healthy yet: {why}", node.name)).into());
        }
    }
    Ok(())
}

async fn forget_cluster(cx: StepContext) -> Result<()> {
    super::delete_cluster::forget(&cx).await
}
