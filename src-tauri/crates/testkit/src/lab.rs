//! An engine over the fake world: started, killed, started again, and asked whether all is in order.

use crate::{
    clock::ClockAhead,
    driver::FakeService,
    gateway::FakeGateway,
    memory::{Kill, Memory},
    provider::FakeProvider,
    vault::FakeVaults,
    world::World,
};
use clusterdeck_domain::{BackupState, Change, Health, Lifecycle, NodeKind, Operation};
use clusterdeck_engine::{
    Engine, EngineError, Parts,
    repository::{AuditEntry, StateRepository},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Longest time an operation of the fake world may take; more means that it hangs.
pub const WORN: Duration = Duration::from_secs(20);

/// A fake world, a memory, and an engine over both.
pub struct Lab {
    /// The world.
    pub world: World,
    memory: Arc<Memory>,
    /// What tells the engine the time.
    pub clock: Arc<ClockAhead>,
    /// The engine of the moment.
    pub engine: Engine,
}

impl Lab {
    /// An empty world.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn new() -> Self {
        let (world, memory, clock) = (World::default(), Arc::new(Memory::default()), Arc::default());
        let engine = start(&world, &memory, &clock).await;
        Self { world, memory, clock, engine }
    }
    /// Previews and confirms a change as a person would, and waits for its end.
    ///
    /// # Errors
    /// As the engine says.
    ///
    /// # Panics
    /// When it takes longer than [`WORN`].
    pub async fn run(&self, change: Change) -> Result<Operation, EngineError> {
        let operation = self.begin(change).await?;
        timeout(WORN, self.engine.wait(&operation.id)).await.expect("the operation must end")
    }
    /// Previews and confirms a change.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn begin(&self, change: Change) -> Result<Operation, EngineError> {
        let prepared = self.engine.preview(self.meant(change).await).await?;
        let typed = prepared.preview.confirm.clone();
        self.engine.confirm(&prepared.id, typed.as_deref(), "test", None).await
    }
    /// A change of the backup called `newest` is of that.
    async fn meant(&self, mut change: Change) -> Change {
        let named = match &mut change {
            Change::VerifyBackup { backup }
            | Change::DeleteBackup { backup }
            | Change::RestoreInPlace { backup, .. } => backup,
            Change::RestoreBackup(wish) => &mut wish.backup,
            _ => return change,
        };
        if let (true, Some(newest)) = (named == "newest", self.engine.backups(None).await.first()) {
            *named = newest.id.to_string();
        }
        change
    }
    /// Writes a line into the audit trail, as an earlier run would have.
    ///
    /// # Panics
    /// Never: this memory does not fail to remember.
    pub async fn remember(&self, line: &AuditEntry) {
        self.memory.add_audit(line).await.expect("the audit trail is in memory");
    }
    /// From now on the engine dies at this journal entry.
    pub fn kill_at(&self, kill: Option<Kill>) {
        self.memory.kill_at(kill);
    }
    /// Journal entries since `kill_at`.
    pub fn recorded(&self) -> usize {
        self.memory.recorded()
    }
    /// Waits until the engine has reached the entry it dies at, or every operation has ended.
    ///
    /// # Panics
    /// When neither happens in time.
    pub async fn until_killed_or_done(&self) {
        let done = async {
            loop {
                let unfinished = self.memory.unfinished().await.unwrap_or_default();
                if self.memory.was_killed() || unfinished.is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(WORN, done).await.expect("the engine must reach the entry or the end");
    }
    /// Lets the engine go without letting anything end, and starts another over the same world.
    pub async fn restart(&mut self) {
        self.engine.shutdown(Duration::ZERO).await;
        self.memory.kill_at(None);
        self.engine = start(&self.world, &self.memory, &self.clock).await;
    }
    /// Waits until no operation is under way.
    ///
    /// # Panics
    /// When that takes longer than [`WORN`].
    pub async fn settle(&self) {
        timeout(WORN, self.engine.idle()).await.expect("every operation must end");
    }
    /// Everything that is not in order: clusters half made, nodes not healthy, machines, servers or passwords left behind.
    pub async fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (mut machines, mut serving, mut stopped, mut secrets) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for cluster in self.engine.clusters().await {
            // A preview looks at the cluster first when nobody has lately.
            drop(self.engine.preview(Change::ResyncCluster { cluster: cluster.spec.name.to_string() }).await);
        }
        for cluster in self.engine.clusters().await {
            let spec = &cluster.spec;
            if spec.lifecycle != Lifecycle::Active {
                found.push(format!("{} is {:?}", spec.name, spec.lifecycle));
            }
            if cluster.busy.is_some() {
                found.push(format!("{} is still busy", spec.name));
            }
            machines.extend(spec.machines().map(|m| m.id.clone()));
            secrets.push(format!("cluster/{}/passwords-{}", spec.id, spec.secrets_generation));
            found.extend(self.world.fence_complaint(spec));
            let sizes: BTreeSet<_> = spec.data_nodes().map(|n| &n.plan).chain([&spec.plan]).collect();
            if sizes.len() > 1 {
                found.push(format!("{} is left half resized: {sizes:?}", spec.name));
            }
            for node in &spec.nodes {
                let seen = cluster.observed.as_ref().and_then(|o| o.node(&node.id));
                if !node.drained && seen.is_none_or(|n| n.health != Health::Healthy) {
                    found.push(format!("{} is not healthy: {seen:?}", node.name));
                }
                found.extend(self.world.size_complaint(node));
                if node.kind == NodeKind::Data {
                    if node.drained { stopped.push(node.id.clone()) } else { serving.push(node.id.clone()) }
                }
            }
        }
        let versions = self.world.versions();
        if versions.len() > 1 {
            found.push(format!("servers are left half upgraded: {versions:?}"));
        }
        found.extend(self.world.complaints(&machines, &serving, &stopped));
        let mut kept = self.memory.secret_names();
        kept.retain(|name| name != "backups/key");
        let backups = self.engine.backups(None).await;
        for backup in backups.iter().filter(|b| b.state == BackupState::Making) {
            found.push(format!("{} is still being made", backup.id));
        }
        let there: BTreeSet<_> =
            backups.iter().filter(|b| b.state != BackupState::Failed).map(|b| b.id.clone()).collect();
        if there != self.world.kept() {
            found.push(format!("backups are {there:?}, the vault holds {:?}", self.world.kept()));
        }
        found.extend(
            kept.iter().filter(|s| !secrets.contains(s)).map(|s| format!("secret {s} was left behind")),
        );
        found.extend(secrets.iter().filter(|s| !kept.contains(s)).map(|s| format!("secret {s} is missing")));
        found
    }
}

async fn start(world: &World, memory: &Arc<Memory>, clock: &Arc<ClockAhead>) -> Engine {
    let parts = Parts {
        state: memory.clone(),
        cache: memory.clone(),
        secrets: memory.clone(),
        services: vec![Arc::new(FakeService(world.clone()))],
        providers: vec![Arc::new(FakeProvider(world.clone()))],
        gateway: Arc::new(FakeGateway(world.clone())),
        vaults: Arc::new(FakeVaults(world.clone())),
        clock: clock.clone(),
    };
    Engine::start(parts).await.expect("the engine must start")
}
