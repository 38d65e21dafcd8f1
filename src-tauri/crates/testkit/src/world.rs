//! The fake world: machines with files and units, and what the fake servers on them believe.

use clusterdeck_domain::{
    BackupId, ClusterId, ClusterSpec, MachineId, MachineSpec, NodeId, NodeSpec, Plan, PlanId, VaultFault,
};
use clusterdeck_driver::{DriverError, Result, UnitSpec};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// How a call of the fake world fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// For good.
    Rejected,
    /// Once; the next call works.
    Transient,
}

/// How every call of one name fails.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    ForGood,
    MustWait,
    /// The vault takes no more.
    Full,
}

/// A fake server: what it is and what it believes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    pub(crate) running: bool,
    pub(crate) primary: bool,
    pub(crate) follows: Option<NodeId>,
    pub(crate) candidate: bool,
    pub(crate) member: bool,
    pub(crate) shard: Option<u16>,
    pub(crate) writes: u64,
    pub(crate) passwords: BTreeSet<String>,
    pub(crate) slots: u32,
    /// The size it was started with.
    pub(crate) plan: Option<PlanId>,
    /// The version that was installed on its machine when it was started.
    pub(crate) version: String,
}

/// A fake machine.
#[derive(Debug, Clone)]
pub(crate) struct Box_ {
    pub(crate) spec: MachineSpec,
    pub(crate) plan: Plan,
    /// What its servers start as.
    pub(crate) version: String,
    pub(crate) units: BTreeMap<String, UnitSpec>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) machines: BTreeMap<MachineId, Box_>,
    pub(crate) servers: BTreeMap<NodeId, Server>,
    /// Voters that watch, and whom.
    pub(crate) voters: BTreeMap<NodeId, NodeId>,
    pub(crate) armed: bool,
    /// Where the endpoint sends writes; `None` is closed.
    pub(crate) endpoint: Option<BTreeSet<NodeId>>,
    pub(crate) drained: BTreeSet<NodeId>,
    /// How many nodes of a cluster its network holds to its list.
    pub(crate) fences: BTreeMap<ClusterId, usize>,
    /// The vault is away: a disk that is not mounted.
    vault_away: bool,
    /// What the vault holds, by backup and piece.
    pub(crate) vault: BTreeMap<(BackupId, String), Vec<u8>>,
    /// Servers on throw-away machines, and what they hold.
    pub(crate) apart: BTreeMap<NodeId, u64>,
    /// Data of a source came in.
    pub(crate) brought: bool,
    /// Servers that were stopped while they led others.
    pub(crate) beheaded: Vec<NodeId>,
    /// The newest version that machines can be made or renewed with, where it is not [`VERSION`].
    newest: Option<String>,
    /// The next look waits for this.
    held: Option<HeldLook>,
    calls: u64,
    fail: Option<(u64, Fault)>,
    refused: Option<(String, Refusal)>,
    /// A server has one password for an account: the next one ends the one before.
    pub(crate) one_password: bool,
    log: Vec<String>,
}

/// What servers run until a test says otherwise.
pub(crate) const VERSION: &str = "7.0.15";

/// A look that has its passwords and has not asked yet. Clones are the same look.
#[derive(Debug, Clone, Default)]
pub struct HeldLook(Arc<(Notify, Notify)>);

impl HeldLook {
    /// Waits until somebody looks.
    pub async fn begun(&self) {
        self.0.0.notified().await;
    }
    /// Lets it go on.
    pub fn release(&self) {
        self.0.1.notify_one();
    }
}

impl Inner {
    /// The node on this machine: the fake driver notes its id in a file there.
    pub(crate) fn node_on(&self, machine: &MachineId) -> Option<NodeId> {
        self.machines.get(machine)?.files.keys().find_map(|file| NodeId::parse(file).ok())
    }
    /// A server runs on this machine.
    pub(crate) fn runs_on(&self, machine: &MachineId) -> bool {
        self.node_on(machine).is_some_and(|node| self.servers.get(&node).is_some_and(|s| s.running))
    }
    /// What a machine that is made or renewed now gets.
    pub(crate) fn newest(&self) -> &str {
        self.newest.as_deref().unwrap_or(VERSION)
    }
    /// The one that leads this server's group.
    pub(crate) fn leader(&self, shard: Option<u16>) -> Option<NodeId> {
        self.servers.iter().find(|(_, s)| s.primary && s.shard == shard).map(|(id, _)| id.clone())
    }
}

/// The fake world. Clones are the same world.
#[derive(Debug, Clone, Default)]
pub struct World(Arc<Mutex<Inner>>);

impl World {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Every changing call goes through here: it is counted, and may be the one that fails.
    pub(crate) fn call(&self, what: &str) -> Result<MutexGuard<'_, Inner>> {
        let mut inner = self.lock();
        inner.calls += 1;
        let number = inner.calls;
        inner.log.push(what.to_owned());
        match &inner.refused {
            Some((name, Refusal::ForGood)) if name == what => {
                return Err(DriverError::rejected(format!("{what} is refused"), "It is a test."));
            }
            Some((name, Refusal::Full)) if name == what => {
                return Err(DriverError::vault(VaultFault::Full, "the vault is full", "make room"));
            }
            Some((name, Refusal::MustWait)) if name == what => {
                return Err(DriverError::transient(format!("{what} must wait")));
            }
            _ => {}
        }
        match inner.fail {
            Some((at, Fault::Rejected)) if at == number => {
                Err(DriverError::rejected(format!("{what} was made to fail"), "It is a test."))
            }
            Some((at, Fault::Transient)) if at == number => {
                Err(DriverError::transient(format!("{what} hiccuped")))
            }
            _ => Ok(inner),
        }
    }
    /// Changing calls so far.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }
    /// Names of the changing calls so far.
    pub fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }
    /// Lets the changing call with this number (from 1) fail.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.lock().fail = Some((call, fault));
    }
    /// Every changing call of this name is refused.
    pub fn refuse(&self, what: &str) {
        self.lock().refused = Some((what.to_owned(), Refusal::ForGood));
    }
    /// From now on the vault takes no more.
    pub fn fill_the_vault(&self) {
        self.lock().refused = Some(("vault_put".to_owned(), Refusal::Full));
    }
    /// The vault is there, or is not.
    pub fn plug_the_vault(&self, there: bool) {
        self.lock().vault_away = !there;
    }
    pub(crate) fn vault_there(&self) -> Result<()> {
        if !self.lock().vault_away {
            return Ok(());
        }
        Err(DriverError::vault(VaultFault::Unreachable, "the vault is not there", "mount it"))
    }
    /// Every changing call of this name has to wait.
    pub fn stall(&self, what: &str) {
        self.lock().refused = Some((what.to_owned(), Refusal::MustWait));
    }
    /// From now on a server has one password for an account, as PostgreSQL has.
    pub fn keep_one_password(&self) {
        self.lock().one_password = true;
    }
    /// Asked by what changes nothing, and so is not counted.
    pub(crate) fn refuses(&self, what: &str) -> bool {
        self.lock().refused.as_ref().is_some_and(|(name, _)| name == what)
    }
    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut inner = self.lock();
        (inner.fail, inner.refused) = (None, None);
    }
    /// Holds the next look at a cluster where the world is slow.
    pub fn hold_next_look(&self) -> HeldLook {
        self.lock().held.insert(HeldLook::default()).clone()
    }
    pub(crate) async fn wait_where_held(&self) {
        let held = self.lock().held.take();
        if let Some(held) = held {
            held.0.0.notify_one();
            held.0.1.notified().await;
        }
    }
    /// The voters put another server in the primary's place, as they do when it dies; the old one follows at once.
    pub fn fail_over(&self) {
        let mut inner = self.lock();
        let next = inner.servers.iter().find(|(_, s)| s.running && !s.primary).map(|(id, _)| id.clone());
        let Some(next) = next else { return };
        for (id, server) in &mut inner.servers {
            server.primary = *id == next;
            server.follows = (*id != next).then(|| next.clone());
        }
        inner.voters.values_mut().for_each(|watched| watched.clone_from(&next));
    }
    /// Servers that were stopped while they led others, in that order.
    pub fn beheaded(&self) -> Vec<NodeId> {
        self.lock().beheaded.clone()
    }
    /// The note of a node's machine is lost: it is found again with this size.
    pub fn forget_size(&self, node: &NodeSpec, size: &PlanId) {
        let plan = clusterdeck_domain::plan(size).ok();
        if let (Some(machine), Some(plan)) = (self.lock().machines.get_mut(&node.machine.id), plan) {
            machine.plan = plan;
        }
    }
    /// What is wrong with a node's size: its machine and its server must have the one of its row.
    pub fn size_complaint(&self, node: &NodeSpec) -> Option<String> {
        let inner = self.lock();
        let machine = inner.machines.get(&node.machine.id).map(|m| &m.plan.id);
        let server = inner.servers.get(&node.id).and_then(|s| s.plan.as_ref());
        let one = machine == Some(&node.plan) && server.is_none_or(|plan| *plan == node.plan);
        (!one).then(|| {
            format!("{} is {}, its machine {machine:?}, its server {server:?}", node.name, node.plan)
        })
    }
    /// From now on this version can be had.
    pub fn publish(&self, version: &str) {
        self.lock().newest = Some(version.to_owned());
    }
    /// The versions that servers run.
    pub fn versions(&self) -> BTreeSet<String> {
        self.lock().servers.values().map(|s| s.version.clone()).collect()
    }
    /// Clients write so much.
    pub fn write(&self, writes: u64) {
        for server in self.lock().servers.values_mut() {
            server.writes = writes;
        }
    }
    /// What servers hold.
    pub fn written(&self) -> BTreeSet<u64> {
        self.lock().servers.values().map(|s| s.writes).collect()
    }
    /// Something changes a byte of everything in the vault.
    pub fn damage_the_vault(&self) {
        for content in self.lock().vault.values_mut() {
            if let Some(byte) = content.last_mut() {
                *byte ^= 1;
            }
        }
    }
    /// The backups in the vault.
    pub fn kept(&self) -> BTreeSet<BackupId> {
        self.lock().vault.keys().map(|(id, _)| id.clone()).collect()
    }
    /// How many machines there are.
    pub fn machine_count(&self) -> usize {
        self.lock().machines.len()
    }
    /// What is wrong with who comes to the nodes of a cluster.
    pub fn fence_complaint(&self, spec: &ClusterSpec) -> Option<String> {
        let wanted = (!spec.allowlist.is_empty()).then_some(spec.nodes.len());
        let held = self.lock().fences.get(&spec.id).copied();
        (held != wanted)
            .then(|| format!("the network of {} holds {held:?} nodes to its list, not {wanted:?}", spec.name))
    }

    /// What is wrong with the world when these machines and data nodes should be there, all of them serving.
    pub fn complaints(&self, machines: &[MachineId], serving: &[NodeId], stopped: &[NodeId]) -> Vec<String> {
        let inner = self.lock();
        let mut found = Vec::new();
        for id in inner.machines.keys().filter(|id| !machines.contains(id)) {
            found.push(format!("machine {id} was left behind"));
        }
        for id in machines.iter().filter(|id| !inner.machines.contains_key(id)) {
            found.push(format!("machine {id} is missing"));
        }
        for (id, server) in &inner.servers {
            let should = serving.contains(id);
            if server.running != should {
                found.push(format!("server {id}: running is {}, should be {should}", server.running));
            }
            if should && inner.drained.contains(id) {
                found.push(format!("server {id} is still drained at the endpoint"));
            }
            if should && !server.candidate {
                found.push(format!("server {id} is no candidate any more"));
            }
            if !should && !stopped.contains(id) {
                found.push(format!("server {id} was left behind"));
            }
        }
        for (id, machine) in &inner.machines {
            if machine.files.keys().any(|path| path.starts_with("aside")) {
                found.push(format!("machine {id} still has something aside"));
            }
        }
        for id in inner.apart.keys() {
            found.push(format!("the throw-away server {id} was left behind"));
        }
        let sharded = inner.servers.values().any(|s| s.shard.is_some());
        let primaries = inner.servers.iter().filter(|(id, s)| s.primary && serving.contains(id)).count();
        if !serving.is_empty() && !sharded && primaries != 1 {
            found.push(format!("{primaries} primaries"));
        }
        if sharded && inner.servers.values().map(|s| s.slots).sum::<u32>() != 16_384 {
            found.push("slots were lost".to_owned());
        }
        let watched: BTreeSet<&NodeId> = inner.voters.values().collect();
        if !serving.is_empty() && !sharded && inner.voters.len() < 3 && serving.len() >= 3 {
            found.push(format!("only {} voters", inner.voters.len()));
        }
        for id in watched {
            if !inner.servers.get(id).is_some_and(|s| s.primary) {
                found.push(format!("voters watch {id}, which is no primary"));
            }
        }
        found
    }
}
