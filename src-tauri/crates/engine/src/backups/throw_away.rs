//! Trying a backup: a server is started on it on a machine of its own that nobody else knows, what it holds is counted, and the
//! machine is given back. The cluster it is of is never asked.

use super::{counted, lay};
use crate::{
    door::{unique, used_networks},
    engine::Shared,
    error::EngineError,
    facade::Result,
    inventory, passwords, plans,
};
use clusterdeck_domain::{
    BackedUp, Backup, BackupPart, ClusterId, ClusterName, ClusterOptions, ClusterSpec, Lifecycle, NodeId,
    NodeKind, NodeSpec, Topology, disagreements,
};
use clusterdeck_driver::{
    ClusterContext, DriverError, MachineRequest, Outgoing, Progress, Provider, Secrets, ServiceDriver,
    StartAs,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// For a server to answer on data that it was given, beyond what it reports of its progress.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// The machine, decided before it is made, so that whoever comes after a kill finds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    spec: ClusterSpec,
    machine: MachineRequest,
}

impl Plan {
    /// Keeps others from its network while it may be there.
    pub(crate) fn hold(&self, shared: &Shared) {
        let mut held = shared.throw_away.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(self.spec.id.clone(), self.spec.network.clone());
    }
    fn release(&self, shared: &Shared) {
        shared.throw_away.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.spec.id);
    }
    fn node(&self) -> Result<&NodeSpec> {
        Ok(self
            .spec
            .nodes
            .first()
            .ok_or_else(|| DriverError::broken("a throw-away cluster without a node"))?)
    }
}

/// What a test found.
pub(crate) enum Verdict {
    /// It holds what was written down.
    Good,
    /// It cannot be relied on, because.
    Bad(String),
    /// It could not be tried, because.
    Untried(EngineError),
}

/// Decides on a single node like those of the cluster that the backup is of.
pub(crate) async fn plan(shared: &Arc<Shared>, of: &BackedUp) -> Result<Plan> {
    let provider = shared.provider_of(&of.provider)?;
    let id = ClusterId::new(unique());
    let network = provider.allocate_network(&id, &of.region, &used_networks(shared)).await?;
    let digits = id.as_str();
    let name = format!("test-{}", &digits[digits.len() - 12..]);
    let name = ClusterName::parse(&name).map_err(|e| DriverError::broken(e.to_string()))?;
    let mut spec = ClusterSpec {
        id,
        name,
        service: of.service,
        version: of.version.clone(),
        topology: Topology::Single,
        shards: 0,
        provider: of.provider.clone(),
        region: of.region.clone(),
        plan: of.plan.clone(),
        protected: false,
        auto_failover: false,
        options: ClusterOptions::OFF,
        parameters: of.parameters.clone(),
        backup_schedules: Vec::new(),
        allowlist: Vec::new(),
        allow_trial: None,
        exposure: None,
        nodes: Vec::new(),
        gateway: None,
        network,
        last_ordinal: 1,
        secrets_generation: 1,
        lifecycle: Lifecycle::Creating,
        created_at: shared.now(),
        generation: 1,
    };
    let size = shared.size(&spec, &of.plan).await?;
    let image = inventory::image_of(&inventory::server(shared, of.service)?, &of.version);
    let machine = plans::request(&spec, &spec.name.node(1), 1, size, image, plans::ports(shared, &spec)?);
    spec.nodes.push(NodeSpec {
        id: NodeId::new(unique()),
        name: spec.name.node(1),
        ordinal: 1,
        kind: NodeKind::Data,
        shard: None,
        plan: machine.plan.id.clone(),
        machine: provider.machine_spec(&machine)?,
        drained: false,
    });
    let plan = Plan { spec, machine };
    plan.hold(shared);
    Ok(plan)
}

/// Restores every part, one after the other, on the same kind of machine.
pub(crate) async fn test(
    shared: &Arc<Shared>,
    plan: &Plan,
    backup: &Backup,
    progress: &Progress,
) -> Result<Verdict> {
    for part in &backup.parts {
        // What an earlier try, or the part before, left.
        give_back(shared, plan).await?;
        let verdict = test_part(shared, plan, (backup, part), progress).await;
        plan.hold(shared);
        match verdict {
            Verdict::Good => {}
            other => return Ok(other),
        }
    }
    Ok(Verdict::Good)
}

async fn test_part(
    shared: &Arc<Shared>,
    plan: &Plan,
    part: (&Backup, &BackupPart),
    progress: &Progress,
) -> Verdict {
    let untried = Verdict::Untried;
    let (driver, context) = match restored(shared, plan, part, progress).await {
        Ok(restored) => restored,
        Err(verdict) => return verdict,
    };
    let (driver, node) = match plan.node() {
        Ok(node) => (driver.as_ref(), node),
        Err(error) => return untried(error),
    };
    progress.note("counting what it holds");
    match counted(&context, driver, node).await {
        Err(EngineError::Driver(DriverError::Rejected { what, .. })) => {
            Verdict::Bad(format!("its server does not say what it holds: {what}"))
        }
        Err(error) => untried(error),
        Ok(found) => match disagreements(&part.1.counts, &found) {
            wrong if wrong.is_empty() => Verdict::Good,
            wrong => Verdict::Bad(format!("it does not hold what was written down: {}", wrong.join("; "))),
        },
    }
}

/// Starts a server on one part, and writes what people have in it.
pub(crate) async fn dump(
    shared: &Arc<Shared>,
    plan: &Plan,
    part: (&Backup, &BackupPart),
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<()> {
    let (driver, context) = match restored(shared, plan, part, progress).await {
        Ok(restored) => restored,
        Err(Verdict::Untried(error)) => return Err(error),
        Err(Verdict::Bad(why)) => {
            let what = format!("the backup cannot be relied on: {why}");
            return Err(DriverError::rejected(what, "Verify it, or choose another one.").into());
        }
        Err(Verdict::Good) => return Err(DriverError::broken("a good backup without a server").into()),
    };
    Ok(driver.dump(&context, plan.node()?, output, progress).await?)
}

/// A server that runs on one part; otherwise what that says of the backup.
async fn restored(
    shared: &Arc<Shared>,
    plan: &Plan,
    part: (&Backup, &BackupPart),
    progress: &Progress,
) -> std::result::Result<(Arc<dyn ServiceDriver>, ClusterContext), Verdict> {
    let (made, context) = make(shared, plan, progress).await.map_err(Verdict::Untried)?;
    let (driver, node) = (made.as_ref(), plan.node().map_err(Verdict::Untried)?);
    if let Err(error) = lay(shared, &context, driver, node, part, progress).await {
        return Err(match error {
            EngineError::Driver(DriverError::Rejected { what, .. }) if !what.contains("disk is full") => {
                Verdict::Bad(what)
            }
            other => Verdict::Untried(other),
        });
    }
    let begun = tokio::time::Instant::now();
    let started = loop {
        match start(&context, driver, node, progress).await {
            Err(error) if error.is_transient() && begun.elapsed() < ANSWERS_WITHIN => {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            other => break other,
        }
    };
    match started {
        Ok(()) => Ok((made, context)),
        Err(error) => Err(Verdict::Bad(format!("no server starts on it: {error}"))),
    }
}

async fn make(
    shared: &Arc<Shared>,
    plan: &Plan,
    progress: &Progress,
) -> Result<(Arc<dyn ServiceDriver>, ClusterContext)> {
    let driver = shared.driver(plan.spec.service)?;
    let provider = shared.provider_of(&plan.spec.provider)?;
    progress.note("making a throw-away machine");
    let machine = provider.ensure_machine(&plan.machine, progress).await?;
    // Known to nobody else, and gone with the machine.
    let secrets = Secrets { current: passwords::fresh(driver.as_ref())?, next: None };
    let machines = BTreeMap::from([(plan.machine.id.clone(), machine)]);
    let context = ClusterContext { spec: plan.spec.clone(), machines, secrets };
    driver.can_start(&context, plan.node()?).await?;
    Ok((driver, context))
}

async fn start(
    context: &ClusterContext,
    driver: &dyn ServiceDriver,
    node: &NodeSpec,
    progress: &Progress,
) -> std::result::Result<(), DriverError> {
    progress.note("starting a server on it");
    driver.start_node(context, node, &StartAs::Primary).await?;
    driver.form(context, progress).await
}

/// Gives the machine back, with whatever runs on it; nothing happens when it is not there.
pub(crate) async fn give_back(shared: &Shared, plan: &Plan) -> Result<()> {
    let provider: Arc<dyn Provider> = shared.provider_of(&plan.spec.provider)?;
    provider.remove_machine(&plan.machine_spec()?).await?;
    plan.release(shared);
    Ok(())
}

impl Plan {
    fn machine_spec(&self) -> Result<clusterdeck_domain::MachineSpec> {
        Ok(self.node()?.machine.clone())
    }
}
