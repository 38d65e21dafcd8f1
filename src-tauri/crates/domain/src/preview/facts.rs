//! What a preview is made from. Whoever asks for one collects these first; `None` means nobody could find out.

use super::{Finding, NodeFence};
use crate::{
    Backup, BackupKind, ChangeKind, ClusterObserved, ClusterSpec, Exposable, Following, NodeSpec, Parameter,
    Plan, ProviderId, ServiceKind, SourceReport, VaultFault,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Figures of the rules. The defaults are those of `safety.md`; a user can see and change them in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Figures {
    /// A replica further behind than this is not promoted. Bytes.
    pub max_promotion_lag_bytes: u64,
    /// An observation older than this counts as unknown. Milliseconds.
    pub max_observation_age_ms: u64,
    /// Room a copy of the data needs beyond its size. Percent.
    pub disk_headroom_percent: u64,
    /// Memory left for everything else on this computer. Bytes.
    pub memory_reserve_bytes: u64,
    /// A last backup older than this is warned about. Hours.
    pub backup_age_hours: u64,
    /// A transaction open for longer is listed before it is cut off. Seconds.
    pub open_transaction_seconds: u64,
    /// A list of addresses that leaves out the one it comes from is taken back unless it is kept within this. Milliseconds.
    pub keep_within_ms: u64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            max_promotion_lag_bytes: 1 << 20,
            // Five rounds of the watcher, which looks every 2 s.
            max_observation_age_ms: 10_000,
            disk_headroom_percent: 20,
            memory_reserve_bytes: 512 << 20,
            backup_age_hours: 24,
            open_transaction_seconds: 15,
            keep_within_ms: 60_000,
        }
    }
}

/// Software that a machine would need and does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MissingSoftware {
    /// `redis-server`, `haproxy`.
    pub program: String,
    /// What it is needed for.
    pub purpose: String,
    /// The exact command that installs it here, when there is one.
    pub install: Option<String>,
    /// Where else it can be had, in sentences.
    #[serde(default)]
    pub elsewhere: Option<String>,
    /// It is known where it is, and cannot be had or used: `purpose` says why.
    #[serde(default)]
    pub refused: bool,
}

/// What a version of a service is loaded into, where that has a version of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Carrier {
    /// The version of the service.
    pub version: String,
    /// The server that carries it: `PostgreSQL 17.11`.
    pub server: String,
}

/// Another place for a new cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead {
    /// Which.
    pub provider: ProviderId,
    /// Its name for people: *Containers*.
    pub name: String,
}

/// What the place of the new machines can carry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Capacity {
    /// The size asked for, when the provider has it.
    pub plan: Option<Plan>,
    /// Memory free for new machines. Bytes.
    pub memory_free_bytes: Option<u64>,
    /// Disk free for new machines. Bytes.
    pub disk_free_bytes: Option<u64>,
    /// How much disk is free is never told there: that it is not known is said, and blocks nothing.
    pub disk_unseen: bool,
    /// Nobody outside reaches the machines by their addresses, only by ports that are published on this computer.
    pub by_published_ports: bool,
    /// The machines have addresses and ports for everything.
    pub addresses_free: Option<bool>,
    /// Ports somebody else listens on, as `address:port`.
    pub ports_taken: Vec<String>,
    /// What is not installed.
    pub missing: Vec<MissingSoftware>,
    /// Versions of the service found there, newest first.
    pub versions: Vec<String>,
    /// Those of `versions` that are not there yet: release lines of which the newest is fetched first.
    pub fetched_first: Vec<String>,
    /// What those versions are loaded into; empty where the server is the service.
    pub carriers: Vec<Carrier>,
    /// Another place that lacks nothing, where something is missing here.
    pub instead: Option<Instead>,
    /// The region all this is about, where nobody named one.
    pub region: Option<String>,
    /// What is fetched from elsewhere before the first machine can be made.
    pub to_fetch: Vec<String>,
}

/// An operation that holds the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Busy {
    /// What it does.
    pub kind: ChangeKind,
    /// In words.
    pub title: String,
}

/// The cluster a change is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Subject<'a> {
    /// As it is meant to be.
    pub spec: &'a ClusterSpec,
    /// As it was last seen.
    pub observed: Option<&'a ClusterObserved>,
    /// The operation that holds it.
    pub busy: Option<&'a Busy>,
    /// The node the change is about, resolved.
    pub node: Option<&'a NodeSpec>,
    /// When the last good backup was taken; `None` when there is none.
    pub last_backup: Option<Timestamp>,
    /// The backup of it that is being made. It does not hold the cluster.
    pub backing_up: Option<&'a Busy>,
}

/// A vault that a change would use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VaultFacts {
    /// Its name.
    pub id: String,
    /// The kind that backups in it are of.
    pub kind: BackupKind,
    /// Where it is, in a word or two.
    pub place: String,
    /// Why it cannot be used; `None` when it can.
    pub problem: Option<String>,
    /// Which kind of problem that is, where it is one of the vault's own.
    #[serde(default)]
    pub fault: Option<VaultFault>,
    /// What to do about it.
    #[serde(default)]
    pub hint: String,
    /// Bytes it can still take; `None` where it does not say.
    pub free_bytes: Option<u64>,
    /// Bytes that the backups of this home take in it.
    #[serde(default)]
    pub used_bytes: u64,
    /// How many of them lie in it.
    #[serde(default)]
    pub backups: u64,
}

/// The address from which whoever asks for a change reaches the endpoints of its cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ComesFrom {
    /// Nobody asked: its time has come.
    #[default]
    Nobody,
    /// Somebody, and from where could not be found out.
    Unknown,
    /// From there.
    Address(IpAddr),
}

/// Where a moment that somebody wants back leads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MomentFacts {
    /// All that can be brought back, the oldest first.
    pub ranges: Vec<crate::LogRange>,
    /// The moment is one of these; the backup that the change is about is then the one that the log is replayed on.
    pub reached: bool,
    /// Its log knows whole seconds only, by the time at which a statement began.
    pub whole_seconds: bool,
    /// Pieces of the log that are replayed.
    pub pieces: usize,
    /// Bytes of them, on the node that replays them.
    pub log_bytes: u64,
}

/// Everything a preview may use.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The figures in force.
    pub figures: Figures,
    /// Every cluster of this home, for names.
    pub clusters: &'a [ClusterSpec],
    /// Services that a driver exists for.
    pub available: &'a [ServiceKind],
    /// The cluster the change is about; `None` for a new one or when it was not found.
    pub subject: Option<Subject<'a>>,
    /// What the place of new machines can carry; `None` when nobody could ask or nothing is added.
    pub capacity: Option<&'a Capacity>,
    /// What can be set in the servers; `None` when nobody could ask or the change is about something else.
    pub parameters: Option<&'a [Parameter]>,
    /// What is wrong with the parameters as they would be, taken together.
    pub parameter_findings: &'a [Finding],
    /// What in the cluster's data keeps it from getting more nodes, as its servers say.
    pub growth_findings: &'a [Finding],
    /// The backup the change is about; `None` when it was not found or the change is about none.
    pub backup: Option<&'a Backup>,
    /// All backups of the same cluster.
    pub backups: &'a [Backup],
    /// The operation that reads that backup.
    pub backup_used_by: Option<&'a Busy>,
    /// The vault it lies in, or where one would go; `None` when there is no such vault.
    pub vault: Option<&'a VaultFacts>,
    /// Where the one who asks comes from.
    pub comes_from: ComesFrom,
    /// The endpoint does not see where clients come from: they reach it through a port that is published on this computer.
    pub sources_hidden: bool,
    /// Whether the network of the cluster holds its nodes' own ports to a list.
    pub node_fence: &'a NodeFence,
    /// What the cluster's place has for other computers to come in by; `None` when nobody could ask or the change is about
    /// something else.
    pub exposable: Option<&'a Exposable>,
    /// The moment that is wanted back; `None` where none is.
    pub moment: Option<&'a MomentFacts>,
    /// Why the log of the cluster cannot be archived; `None` when it can.
    pub no_log: Option<&'a str>,
    /// What was found out about the source of a migration; `None` when nobody could ask or the change is about none.
    pub source: Option<&'a SourceReport>,
    /// The migration that follows its source into this cluster.
    pub following: Option<&'a Following>,
}
