//! Rows to put into the files.

use clusterdeck_domain::{
    Change, ChangeKind, ClusterId, ClusterName, ClusterObserved, ClusterOptions, ClusterSpec,
    FailoverReadiness, Lifecycle, MachineId, MachineSpec, Network, NodeId, NodeKind, NodeObserved, NodeSpec,
    Operation, OperationId, OperationState, Outcome, PlanId, ProviderId, REGION_LOCAL, ServiceKind,
    StepRecord, StepState, Topology,
};
use clusterdeck_engine::repository::{AuditEntry, JournalEntry, OperationRow};
use jiff::Timestamp;
use std::net::{IpAddr, Ipv4Addr};

/// A moment that every row of the tests knows.
pub(crate) fn moment() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().expect("a time")
}

fn plan() -> PlanId {
    PlanId::parse("SMALL-1C-1G").expect("a plan")
}

/// A cluster of one node, generation 1.
pub(crate) fn cluster(number: u128, name: &str) -> ClusterSpec {
    let machine = |n: u8| MachineSpec {
        id: MachineId::new(number * 100 + u128::from(n)),
        address: IpAddr::V4(Ipv4Addr::new(127, 20, 1, n)),
        port_offset: 0,
    };
    ClusterSpec {
        id: ClusterId::new(number),
        name: ClusterName::parse(name).expect("a name"),
        service: ServiceKind::Redis,
        version: "7.0.15".to_owned(),
        topology: Topology::PrimaryReplica,
        shards: 0,
        provider: ProviderId("local".to_owned()),
        region: REGION_LOCAL.to_owned(),
        plan: plan(),
        protected: true,
        auto_failover: true,
        options: ClusterOptions::default(),
        parameters: Default::default(),
        nodes: vec![NodeSpec {
            id: NodeId::new(number * 100),
            name: format!("{name}-1"),
            ordinal: 1,
            kind: NodeKind::Data,
            shard: None,
            plan: plan(),
            machine: machine(1),
            drained: false,
        }],
        gateway: Some(machine(200)),
        network: Network("127.20.1.0/24".to_owned()),
        backup_schedules: Vec::new(),
        allowlist: Vec::new(),
        allow_trial: None,
        exposure: None,
        last_ordinal: 1,
        secrets_generation: 0,
        lifecycle: Lifecycle::Active,
        created_at: moment(),
        generation: 1,
    }
}

/// An operation on a cluster.
pub(crate) fn operation(number: u128, cluster: &ClusterSpec, key: Option<&str>) -> OperationRow {
    OperationRow {
        operation: Operation {
            id: OperationId::new(number),
            kind: ChangeKind::PromoteNode,
            title: format!("Promote {}-2", cluster.name),
            cluster_id: cluster.id.clone(),
            cluster: cluster.name.to_string(),
            node: Some(format!("{}-2", cluster.name)),
            state: OperationState::Running,
            cancel_requested: false,
            cancellable: true,
            retryable: false,
            trial: None,
            steps: vec![StepRecord {
                name: "drain-writes".to_owned(),
                title: "Stop writes – für alle".to_owned(),
                state: StepState::Running,
                note: None,
                progress: None,
                started_at: Some(moment()),
                ended_at: None,
                error: None,
            }],
            outcome: Outcome::default(),
            error: None,
            actor: "cli:anna".to_owned(),
            created_at: moment(),
            ended_at: None,
        },
        change: Change::PromoteNode { node: format!("{}-2", cluster.name) },
        frame: serde_json::json!({ "target": "nod", "tries": 3, "seen": [1, null, "ü"] }),
        idempotency_key: key.map(str::to_owned),
    }
}

/// A line of an operation's journal.
pub(crate) fn line(row: &OperationRow, text: &str) -> JournalEntry {
    JournalEntry {
        operation: row.operation.id.clone(),
        at: moment(),
        step: Some("drain-writes".to_owned()),
        step_state: Some(StepState::Running),
        state: row.operation.state,
        text: Some(text.to_owned()),
    }
}

/// A line of the audit trail.
pub(crate) fn audit(row: &OperationRow, text: &str) -> AuditEntry {
    AuditEntry {
        id: 0,
        at: moment(),
        actor: "cli:anna".to_owned(),
        action: "promote-node".to_owned(),
        cluster_id: Some(row.operation.cluster_id.clone()),
        cluster: Some(row.operation.cluster.clone()),
        node: row.operation.node.clone(),
        operation: Some(row.operation.id.clone()),
        result: "asked".to_owned(),
        text: text.to_owned(),
    }
}

/// What was seen of a cluster.
pub(crate) fn observed(cluster: &ClusterSpec) -> ClusterObserved {
    ClusterObserved {
        at: moment(),
        nodes: cluster.nodes.iter().map(|n| NodeObserved::unknown(n.id.clone())).collect(),
        votes: None,
        failover: FailoverReadiness { enabled: true, ready: false, reason: "one node".to_owned() },
        endpoint_up: None,
    }
}
