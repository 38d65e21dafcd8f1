//! What a cluster is meant to be: the row that state.db keeps.

use crate::{
    AllowEntry, AllowTrial, BackupSchedule, ClusterId, ClusterName, ClusterOptions, Exposure, Failover,
    MachineId, NodeId, OptionEntry, Parameters, PlanId, ServiceKind, Topology, service,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// The id of a provider: `local`, `container`, `hetzner`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct ProviderId(pub String);

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The one region of a provider that has no regions.
pub const REGION_LOCAL: &str = "this-computer";

/// Where a cluster is in its life, as far as we wrote it down. What is seen of it stands in `ClusterObserved`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Being made; a failure takes it away again.
    Creating,
    /// Made.
    Active,
    /// Its data is being replaced by that of a backup, on the nodes that it has.
    Restoring,
    /// Being taken down; there is no way back from here.
    Deleting,
}

impl Lifecycle {
    /// Its servers begin: with nothing, or with what was laid for the first of them.
    pub const fn begins(self) -> bool {
        matches!(self, Self::Creating | Self::Restoring)
    }
}

/// The network that the machines of one cluster share, in the provider's own words (`127.20.1.0/24`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct Network(pub String);

/// A machine: a place with an address, handed out by a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MachineSpec {
    /// Chosen by us before the machine exists, so that asking twice gives one machine.
    pub id: MachineId,
    /// Where its services listen.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Added to a service's standard port; 0 where every machine has an address of its own.
    #[serde(default)]
    pub port_offset: u16,
}

/// Whether a node holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// Holds data.
    Data,
    /// Only votes.
    Witness,
}

/// A node as it is meant to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeSpec {
    /// Its id.
    pub id: NodeId,
    /// `<cluster>-<ordinal>`; never used again after the node is gone.
    pub name: String,
    /// Number in the cluster, from 1.
    pub ordinal: u16,
    /// Data or vote only.
    pub kind: NodeKind,
    /// Its shard, from 0, when sharded. Which node leads a shard is observed, not written here.
    pub shard: Option<u16>,
    /// Its size.
    pub plan: PlanId,
    /// Its machine.
    pub machine: MachineSpec,
    /// Taken out of service on purpose: stopped, out of the endpoint, no candidate.
    #[serde(default)]
    pub drained: bool,
}

/// A cluster as it is meant to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClusterSpec {
    /// Its id.
    pub id: ClusterId,
    /// Its name; fixed for life.
    pub name: ClusterName,
    /// What runs in it.
    pub service: ServiceKind,
    /// The version of the server software that was chosen (`7.0.15`).
    pub version: String,
    /// How its nodes stand to each other.
    pub topology: Topology,
    /// Shards, when sharded; else 0.
    pub shards: u16,
    /// Where its machines come from.
    pub provider: ProviderId,
    /// Region of the provider.
    pub region: String,
    /// Size of its nodes, unless a node says otherwise.
    pub plan: PlanId,
    /// Termination protection.
    pub protected: bool,
    /// Automatic failover wanted.
    pub auto_failover: bool,
    /// Switches.
    #[serde(default)]
    pub options: ClusterOptions,
    /// Settings of its servers that somebody has changed.
    #[serde(default)]
    pub parameters: Parameters,
    /// Backups that are made by themselves, at most one schedule for each vault.
    #[serde(default)]
    pub backup_schedules: Vec<BackupSchedule>,
    /// Addresses that may come in; empty: open to all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowlist: Vec<AllowEntry>,
    /// A list that is being tried in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_trial: Option<AllowTrial>,
    /// Where other computers reach its endpoints; absent where they never could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// Data nodes and witnesses, by ordinal.
    pub nodes: Vec<NodeSpec>,
    /// The machine of the endpoints.
    pub gateway: Option<MachineSpec>,
    /// The network of its machines.
    pub network: Network,
    /// The highest ordinal ever used, so that a name is never used twice.
    pub last_ordinal: u16,
    /// Which generation of its passwords is in force; rotating adds one.
    #[serde(default)]
    pub secrets_generation: u32,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Grows with every change of this row; a preview names the one it was made for.
    pub generation: u64,
}

impl ClusterSpec {
    /// The schedule beside whose backups its log is archived.
    pub fn log_schedule(&self) -> Option<&BackupSchedule> {
        self.backup_schedules.iter().find(|schedule| schedule.point_in_time)
    }
    /// The nodes that hold data.
    pub fn data_nodes(&self) -> impl Iterator<Item = &NodeSpec> {
        self.nodes.iter().filter(|n| n.kind == NodeKind::Data)
    }
    /// The node with that id.
    pub fn node(&self, id: &NodeId) -> Option<&NodeSpec> {
        self.nodes.iter().find(|n| n.id == *id)
    }
    /// The node with that id or name.
    pub fn find_node(&self, text: &str) -> Option<&NodeSpec> {
        self.nodes.iter().find(|n| n.name == text || n.id.as_str() == text)
    }
    /// How many nodes are added when nobody says: to a single node two, so that three can vote.
    pub fn added_by_default(&self) -> u16 {
        if self.topology == Topology::Single && self.votes_when_grown() { 2 } else { 1 }
    }
    /// Whether those who vote replace a dead primary once nodes were added.
    pub fn votes_when_grown(&self) -> bool {
        let offer = service(self.service).offer(&self.version, self.grown());
        offer.is_some_and(|t| t.failover == Failover::ByVote)
    }
    /// What it becomes when nodes are added: a single node gets replicas.
    pub const fn grown(&self) -> Topology {
        match self.topology {
            Topology::Single => Topology::PrimaryReplica,
            other => other,
        }
    }
    /// The switches its service has in its topology.
    pub fn offered_options(&self) -> &'static [OptionEntry] {
        service(self.service).offer(&self.version, self.topology).map_or(&[], |t| t.options)
    }
    /// Every machine: those of the nodes and the gateway's.
    pub fn machines(&self) -> impl Iterator<Item = &MachineSpec> {
        self.nodes.iter().map(|n| &n.machine).chain(&self.gateway)
    }
}
