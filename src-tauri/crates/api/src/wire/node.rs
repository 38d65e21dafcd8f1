//! A node.

use clusterdeck_domain::{
    ClusterId, ClusterName, Fact, Health, Link, NodeId, NodeKind, NodeMetrics, NodeObserved, NodeSpec,
    NodeState, OpenTransaction, PlanId, Role, plan,
};
use clusterdeck_engine::{ClusterReport, EndpointKind, EndpointReport};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A node as it is meant to be and as it was last seen. `null` is "not known", never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// `<cluster>-<ordinal>`.
    pub name: String,
    /// Its cluster, by name.
    pub cluster: ClusterName,
    /// Its cluster, by id.
    pub cluster_id: ClusterId,
    /// What it says it is.
    pub role: Option<Role>,
    /// Holds data, or only votes.
    pub kind: NodeKind,
    /// Its shard, from 0, when sharded.
    pub shard: Option<u16>,
    /// What it is doing.
    pub state: NodeState,
    /// How well it is.
    pub health: Health,
    /// Where its services listen.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The service's port; `null` for a node without data.
    pub port: Option<u16>,
    /// Its size.
    pub plan: PlanId,
    /// Region of its provider.
    pub region: String,
    /// Bytes behind the node it follows.
    pub lag_bytes: Option<u64>,
    /// How long ago its newest write was made on its primary, in milliseconds.
    pub lag_ms: Option<u64>,
    /// Its replication link, when it follows.
    pub link: Option<Link>,
    /// Whom it follows, by name.
    pub follows: Option<String>,
    /// Hash slots it owns, when sharded.
    pub slots: Option<u32>,
    /// Bytes of data it holds, as the server counts them.
    pub data_bytes: Option<u64>,
    /// Out of service on purpose.
    pub drained: bool,
    /// It holds writes that its primary lacks.
    pub diverged: bool,
    /// What enforces its plan: `cgroup-v2` or `server-settings`.
    pub limited_by: Option<String>,
    /// What else is worth knowing of this kind of server.
    pub facts: Vec<Fact>,
    /// Transactions that have been open for a while, the longest first.
    pub open_transactions: Vec<OpenTransaction>,
    /// Why it is not healthy, in a sentence.
    pub detail: Option<String>,
    /// Memory of its plan.
    pub memory_limit_bytes: Option<u64>,
    /// Disk of its plan.
    pub disk_limit_bytes: Option<u64>,
    /// Latest measurements.
    pub metrics: NodeMetrics,
    /// When it was last looked at.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub observed_at: Option<Timestamp>,
}

impl Node {
    /// Every node of a cluster, in the order of its spec.
    pub fn all(report: &ClusterReport) -> Vec<Self> {
        // The report names one endpoint of kind `node` for each data node, in the order of the spec.
        let mut places = report.endpoints.iter().filter(|e| e.kind == EndpointKind::Node);
        report
            .spec
            .nodes
            .iter()
            .map(|spec| {
                let place = if spec.kind == NodeKind::Data { places.next() } else { None };
                Self::of(report, spec, place)
            })
            .collect()
    }

    fn of(report: &ClusterReport, spec: &NodeSpec, place: Option<&EndpointReport>) -> Self {
        let observed = report.observed.as_ref();
        let seen = observed.and_then(|o| o.node(&spec.id)).cloned();
        let observed_at = seen.as_ref().and(observed.map(|o| o.at));
        let seen = seen.unwrap_or_else(|| NodeObserved::unknown(spec.id.clone()));
        let size = plan(&spec.plan).ok();
        Self {
            id: spec.id.clone(),
            name: spec.name.clone(),
            cluster: report.spec.name.clone(),
            cluster_id: report.spec.id.clone(),
            role: seen.role,
            kind: spec.kind,
            shard: seen.shard.or(spec.shard),
            state: seen.state,
            health: seen.health,
            address: place.and_then(|p| p.host.parse().ok()).unwrap_or(spec.machine.address),
            port: place.map(|p| p.port),
            plan: spec.plan.clone(),
            region: report.spec.region.clone(),
            lag_bytes: seen.lag_bytes,
            lag_ms: seen.lag_ms,
            link: seen.link,
            follows: seen.follows.and_then(|id| report.spec.node(&id).map(|n| n.name.clone())),
            slots: seen.slots,
            data_bytes: seen.data_bytes,
            drained: spec.drained,
            diverged: seen.diverged,
            limited_by: seen.limited_by,
            facts: seen.facts,
            open_transactions: seen.open_transactions,
            detail: seen.detail,
            memory_limit_bytes: size.as_ref().map(|p| p.memory_bytes),
            disk_limit_bytes: size.as_ref().map(|p| p.disk_bytes),
            metrics: seen.metrics,
            observed_at,
        }
    }
}
