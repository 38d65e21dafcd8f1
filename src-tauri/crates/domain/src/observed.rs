//! What was seen of a cluster, and what that says about its health. Unknown is not healthy.

use crate::{ClusterSpec, Lifecycle, Metric, NodeId, Topology};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Role {
    Primary,
    Replica,
    Member,
    ShardPrimary,
    ShardReplica,
    Witness,
}

impl Role {
    /// Whether it takes writes.
    pub const fn takes_writes(self) -> bool {
        matches!(self, Self::Primary | Self::Member | Self::ShardPrimary)
    }
}

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Health {
    Healthy,
    Degraded,
    Down,
    Unknown,
}

/// A cluster's health has the same words.
pub type ClusterHealth = Health;

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Nobody looked yet.
    Unknown,
    /// Its server runs but is not ready (loading, first copy).
    Starting,
    /// Serves.
    Running,
    /// Its server's process is gone and nobody asked for it.
    Crashed,
    /// Its process is there but does not answer: hung is not dead.
    Unresponsive,
    /// Stopped on purpose.
    Drained,
    /// Not there: an operation has not started it yet, or stopped it.
    Stopped,
}

/// The replication link of a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Streaming.
    Up,
    /// Copying the whole data set.
    Syncing,
    /// Broken.
    Down,
}

/// The latest measured values of a node; `None` is "not measured", never zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeMetrics {
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<f64>,
    pub disk_bytes: Option<f64>,
    pub network_in_bytes_per_second: Option<f64>,
    pub network_out_bytes_per_second: Option<f64>,
    pub operations_per_second: Option<f64>,
    pub clients: Option<f64>,
    pub hit_rate_percent: Option<f64>,
    pub lag_bytes: Option<f64>,
}

impl NodeMetrics {
    /// The value of one metric.
    pub const fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::CpuPercent => self.cpu_percent,
            Metric::MemoryBytes => self.memory_bytes,
            Metric::DiskBytes => self.disk_bytes,
            Metric::NetworkInBytesPerSecond => self.network_in_bytes_per_second,
            Metric::NetworkOutBytesPerSecond => self.network_out_bytes_per_second,
            Metric::OperationsPerSecond => self.operations_per_second,
            Metric::Clients => self.clients,
            Metric::HitRatePercent => self.hit_rate_percent,
            Metric::LagBytes => self.lag_bytes,
        }
    }
}

/// One thing a server says of itself that only its kind has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fact {
    /// Stable name: `timeline`.
    pub id: String,
    /// Its name for people: *Timeline*.
    pub name: String,
    /// Its value for people, with a unit.
    pub value: String,
}

impl Fact {
    /// A fact.
    pub fn new(id: &str, name: &str, value: impl Into<String>) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), value: value.into() }
    }
}

/// A transaction somebody has open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OpenTransaction {
    /// For so many seconds.
    pub seconds: u64,
    /// Whose.
    pub user: String,
    /// What it does or did last, cut to a line.
    pub query: String,
}

/// A node as it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeObserved {
    /// Which node.
    pub node: NodeId,
    /// What it is doing.
    pub state: NodeState,
    /// How well it is.
    pub health: Health,
    /// What it says it is; `None` when it did not answer.
    pub role: Option<Role>,
    /// The version of its server, in numbers (`8.0.2`); `None` when it did not answer.
    #[serde(default)]
    pub version: Option<String>,
    /// Its shard, when sharded.
    pub shard: Option<u16>,
    /// Its replication link, when it follows.
    pub link: Option<Link>,
    /// Whom it follows.
    pub follows: Option<NodeId>,
    /// Position in the replication log, in bytes.
    pub offset_bytes: Option<u64>,
    /// Bytes behind its primary; `None` is unknown and blocks what depends on it.
    pub lag_bytes: Option<u64>,
    /// How long ago its newest write was made on its primary, in milliseconds; 0 when it has everything it received.
    #[serde(default)]
    pub lag_ms: Option<u64>,
    /// Bytes of data it holds, as the server counts them.
    pub data_bytes: Option<u64>,
    /// Hash slots it owns, when sharded.
    pub slots: Option<u32>,
    /// Clients connected, without our own.
    pub clients: Option<u64>,
    /// It holds writes that its primary lacks.
    #[serde(default)]
    pub diverged: bool,
    /// What enforces its plan: `cgroup-v2` or `server-settings`.
    pub limited_by: Option<String>,
    /// Latest measurements.
    #[serde(default)]
    pub metrics: NodeMetrics,
    /// What else is worth knowing of this kind of server, in the order to show it.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// Transactions that have been open for a while, the longest first; at most five.
    #[serde(default)]
    pub open_transactions: Vec<OpenTransaction>,
    /// Why it is not healthy, in a sentence.
    pub detail: Option<String>,
}

impl NodeObserved {
    /// A node nobody has looked at.
    pub fn unknown(node: NodeId) -> Self {
        Self {
            node,
            state: NodeState::Unknown,
            health: Health::Unknown,
            role: None,
            version: None,
            shard: None,
            link: None,
            follows: None,
            offset_bytes: None,
            lag_bytes: None,
            lag_ms: None,
            data_bytes: None,
            slots: None,
            clients: None,
            diverged: false,
            limited_by: None,
            metrics: NodeMetrics::default(),
            facts: Vec::new(),
            open_transactions: Vec::new(),
            detail: None,
        }
    }
}

/// Votes for an automatic failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Votes {
    /// Voters that answer and know the same primary.
    pub present: u16,
    /// Votes that a failover needs.
    pub needed: u16,
    /// Voters there should be.
    pub total: u16,
}

/// Whether a dead primary would be replaced by itself, and if not why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FailoverReadiness {
    /// Wanted.
    pub enabled: bool,
    /// It would work now.
    pub ready: bool,
    /// Why, in a sentence a person can act on.
    pub reason: String,
}

/// A cluster as it was seen at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClusterObserved {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Its nodes, in the order of the spec.
    pub nodes: Vec<NodeObserved>,
    /// Votes for a failover; `None` where the topology has no voters or none answered.
    pub votes: Option<Votes>,
    /// Failover readiness.
    pub failover: FailoverReadiness,
    /// The endpoint passes traffic to a node that takes writes; `None` when nobody could ask.
    pub endpoint_up: Option<bool>,
}

impl ClusterObserved {
    /// What was seen of that node.
    pub fn node(&self, id: &NodeId) -> Option<&NodeObserved> {
        self.nodes.iter().find(|n| n.node == *id)
    }
    /// The one node that takes writes, when exactly one says so.
    pub fn primary(&self) -> Option<&NodeObserved> {
        let mut primaries = self.nodes.iter().filter(|n| n.role == Some(Role::Primary));
        match (primaries.next(), primaries.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    }
    /// The node that leads this shard, when exactly one says so.
    pub fn shard_primary(&self, shard: u16) -> Option<&NodeObserved> {
        let mut found =
            self.nodes.iter().filter(|n| n.role == Some(Role::ShardPrimary) && n.shard == Some(shard));
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    }
}

/// A cluster's state, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ClusterState {
    Creating,
    Running,
    Changing,
    Degraded,
    Down,
    Deleting,
}

/// State and health from what is meant, what was seen, and whether an operation is under way.
///
/// Down: nothing takes writes (or a shard has nobody who does), and everybody who could was looked at. Degraded: it
/// serves, but a node that should be there is not well, or the endpoint does not answer, or two nodes say that they take
/// the writes. Unknown, never healthy: nothing was seen yet, or the node that may take the writes was not.
pub fn cluster_state(
    spec: &ClusterSpec,
    seen: Option<&ClusterObserved>,
    busy: bool,
) -> (ClusterState, Health) {
    let health = seen.map_or(Health::Unknown, |seen| health_of(spec, seen));
    let state = match (spec.lifecycle, busy, health) {
        (Lifecycle::Creating, ..) => ClusterState::Creating,
        (Lifecycle::Deleting, ..) => ClusterState::Deleting,
        (Lifecycle::Restoring, ..) | (_, true, _) => ClusterState::Changing,
        (_, _, Health::Down) => ClusterState::Down,
        (_, _, Health::Healthy) => ClusterState::Running,
        // Nobody has looked yet: the window says so through `health`, not by an alarm in the state.
        (_, _, Health::Unknown) if seen.is_none() => ClusterState::Running,
        _ => ClusterState::Degraded,
    };
    (state, health)
}

fn health_of(spec: &ClusterSpec, seen: &ClusterObserved) -> Health {
    let groups: Vec<Option<u16>> =
        if spec.shards > 0 { (0..spec.shards).map(Some).collect() } else { vec![None] };
    let led: Vec<Health> = groups.iter().map(|shard| leadership(spec, seen, *shard)).collect();
    if led.contains(&Health::Down) {
        return Health::Down;
    }
    if led.contains(&Health::Unknown) {
        return Health::Unknown;
    }
    let all_well = spec
        .nodes
        .iter()
        .all(|n| !n.drained && seen.node(&n.id).is_some_and(|seen| seen.health == Health::Healthy));
    let endpoint = spec.gateway.is_none() || seen.endpoint_up == Some(true);
    if all_well && endpoint && !led.contains(&Health::Degraded) { Health::Healthy } else { Health::Degraded }
}

/// Whether somebody takes the writes of a shard, or of the whole where it is not sharded.
fn leadership(spec: &ClusterSpec, seen: &ClusterObserved, shard: Option<u16>) -> Health {
    let could = || spec.data_nodes().filter(|n| n.shard == shard && !n.drained);
    let does = |n: &NodeObserved| n.role.is_some_and(Role::takes_writes) && n.health != Health::Down;
    let writers = could().filter(|n| seen.node(&n.id).is_some_and(does)).count();
    let one_writer = spec.topology != Topology::MultiMaster;
    // Who was not looked at may be the one: silence is not death.
    let unseen = |n: &crate::NodeSpec| seen.node(&n.id).is_none_or(|n| n.state == NodeState::Unknown);
    match writers {
        0 if could().any(unseen) => Health::Unknown,
        0 => Health::Down,
        1 => Health::Healthy,
        _ if one_writer => Health::Degraded,
        _ => Health::Healthy,
    }
}
