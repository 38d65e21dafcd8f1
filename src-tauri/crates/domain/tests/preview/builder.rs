//! Clusters and observations for tests: a healthy one in a line, then what is wrong with it.

use clusterdeck_domain::{
    BackedUp, Backup, BackupId, BackupKind, BackupPart, BackupReason, BackupState, Busy, Capacity, Change,
    ChangeKind, ClusterId, ClusterName, ClusterObserved, ClusterOption, ClusterOptions, ClusterSpec,
    ComesFrom, Exposable, Facts, FailoverReadiness, Figures, Finding, Following, Health, Lifecycle, Link,
    MachineId, MachineSpec, MomentFacts, Network, NodeFence, NodeId, NodeKind, NodeObserved, NodeSpec,
    NodeState, OptionWish, Parameter, PlanId, Preview, ProviderId, REGION_LOCAL, Role, ServiceKind,
    SourceReport, Subject, Topology, VaultFacts, Votes, layout, plan, preview, service, voters,
};
use jiff::{SignedDuration, Timestamp};

/// The moment at which every test happens.
pub(crate) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(crate) fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

/// A cluster, what was seen of it and what else is known. All well until a test says otherwise.
pub(crate) struct Scene {
    pub(crate) spec: ClusterSpec,
    pub(crate) seen: Option<ClusterObserved>,
    pub(crate) busy: Option<Busy>,
    pub(crate) last_backup: Option<Timestamp>,
    pub(crate) capacity: Option<Capacity>,
    pub(crate) figures: Figures,
    pub(crate) available: Vec<ServiceKind>,
    pub(crate) parameters: Option<Vec<Parameter>>,
    pub(crate) growth_findings: Vec<Finding>,
    pub(crate) backup: Option<Backup>,
    pub(crate) backups: Vec<Backup>,
    pub(crate) backup_used_by: Option<Busy>,
    pub(crate) backing_up: Option<Busy>,
    pub(crate) vault: Option<VaultFacts>,
    pub(crate) comes_from: ComesFrom,
    pub(crate) sources_hidden: bool,
    pub(crate) node_fence: NodeFence,
    pub(crate) exposable: Option<Exposable>,
    pub(crate) moment: Option<MomentFacts>,
    pub(crate) no_log: Option<&'static str>,
    pub(crate) source: Option<SourceReport>,
    pub(crate) following: Option<Following>,
}

/// A computer with room for a dozen small nodes and Redis on it.
pub(crate) fn roomy() -> Capacity {
    Capacity {
        plan: Some(plan(&PlanId::default()).unwrap()),
        memory_free_bytes: Some(16 << 30),
        disk_free_bytes: Some(200 << 30),
        addresses_free: Some(true),
        ports_taken: Vec::new(),
        missing: Vec::new(),
        versions: vec!["7.0.15".to_owned(), "6.2.14".to_owned()],
        ..Capacity::default()
    }
}

fn machine(n: u16) -> MachineSpec {
    MachineSpec {
        id: MachineId::new(u128::from(n)),
        address: format!("127.20.1.{n}").parse().unwrap(),
        port_offset: 0,
    }
}

/// A healthy Redis called `demo`, with a backup an hour old and nobody connected.
pub(crate) fn cluster(topology: Topology, nodes: u16, shards: u16) -> Scene {
    of(ServiceKind::Redis, topology, nodes, shards)
}

pub(crate) fn of(kind: ServiceKind, topology: Topology, nodes: u16, shards: u16) -> Scene {
    let name = ClusterName::parse("demo").unwrap();
    let limits = service(kind).topology(topology).unwrap();
    let slots = layout(topology, nodes, shards, (limits.min_nodes, limits.max_nodes)).unwrap();
    let specs: Vec<NodeSpec> = slots
        .iter()
        .map(|slot| NodeSpec {
            id: NodeId::new(u128::from(slot.ordinal)),
            name: name.node(slot.ordinal),
            ordinal: slot.ordinal,
            kind: if slot.witness { NodeKind::Witness } else { NodeKind::Data },
            shard: slot.shard,
            plan: PlanId::default(),
            machine: machine(slot.ordinal),
            drained: false,
        })
        .collect();
    let primary_of = |shard: Option<u16>| slots.iter().find(|s| s.primary && s.shard == shard).unwrap();
    let seen_nodes = slots
        .iter()
        .map(|slot| {
            let role = match (topology, slot.witness, slot.primary) {
                (_, true, _) => Role::Witness,
                (Topology::MultiMaster, ..) => Role::Member,
                (Topology::Sharded, _, true) => Role::ShardPrimary,
                (Topology::Sharded, _, false) => Role::ShardReplica,
                (_, _, true) => Role::Primary,
                (_, _, false) => Role::Replica,
            };
            let follows = matches!(role, Role::Replica | Role::ShardReplica);
            NodeObserved {
                state: NodeState::Running,
                health: Health::Healthy,
                role: Some(role),
                version: (!slot.witness).then(|| "7.0.15".to_owned()),
                shard: slot.shard,
                link: follows.then_some(Link::Up),
                follows: follows.then(|| NodeId::new(u128::from(primary_of(slot.shard).ordinal))),
                lag_bytes: follows.then_some(0),
                data_bytes: (!slot.witness).then_some(100 << 20),
                slots: (topology == Topology::Sharded && slot.primary).then(|| 16_384 / u32::from(shards)),
                clients: (!slot.witness).then_some(0),
                ..NodeObserved::unknown(NodeId::new(u128::from(slot.ordinal)))
            }
        })
        .collect();
    let last = u16::try_from(slots.len()).unwrap();
    let voters = if last >= 5 { 5 } else { last.min(3) };
    let voting = topology == Topology::PrimaryReplica;
    let auto_failover = matches!(topology, Topology::PrimaryReplica | Topology::Sharded);
    Scene {
        spec: ClusterSpec {
            id: ClusterId::new(1),
            name,
            service: kind,
            version: "7.0.15".to_owned(),
            topology,
            shards,
            provider: ProviderId("local".to_owned()),
            region: REGION_LOCAL.to_owned(),
            plan: PlanId::default(),
            protected: false,
            auto_failover,
            options: ClusterOptions { stop_writes_without_replica: voting && nodes >= 3, synchronous: false },
            parameters: Default::default(),
            backup_schedules: Vec::new(),
            allowlist: Vec::new(),
            allow_trial: None,
            exposure: None,
            nodes: specs,
            gateway: (topology != Topology::Sharded).then(|| machine(200)),
            network: Network("127.20.1.0/24".to_owned()),
            last_ordinal: last,
            secrets_generation: 1,
            lifecycle: Lifecycle::Active,
            created_at: now() - hours(100),
            generation: 1,
        },
        seen: Some(ClusterObserved {
            at: now() - SignedDuration::from_secs(1),
            nodes: seen_nodes,
            votes: voting.then_some(Votes { present: voters, needed: voters / 2 + 1, total: voters }),
            failover: FailoverReadiness {
                enabled: auto_failover,
                ready: auto_failover,
                reason: String::new(),
            },
            endpoint_up: Some(true),
        }),
        busy: None,
        last_backup: Some(now() - hours(1)),
        capacity: Some(roomy()),
        figures: Figures::default(),
        available: vec![ServiceKind::Redis],
        parameters: None,
        growth_findings: Vec::new(),
        backup: None,
        backups: Vec::new(),
        backup_used_by: None,
        backing_up: None,
        vault: Some(VaultFacts {
            id: "local".to_owned(),
            kind: BackupKind::Local,
            place: "this home".to_owned(),
            problem: None,
            fault: None,
            hint: String::new(),
            free_bytes: Some(50 << 30),
            used_bytes: 0,
            backups: 0,
        }),
        comes_from: ComesFrom::Nobody,
        following: None,
        moment: None,
        no_log: None,
        source: None,
        sources_hidden: false,
        node_fence: NodeFence::OnlyHere,
        exposable: Some(Exposable {
            addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            standard_port: 6379,
            ..Exposable::default()
        }),
    }
}

/// The usual three.
pub(crate) fn three() -> Scene {
    cluster(Topology::PrimaryReplica, 3, 0)
}

/// Three shards with a replica each: 1, 2 and 3 lead; 4, 5 and 6 follow.
pub(crate) fn six_in_three() -> Scene {
    cluster(Topology::Sharded, 6, 3)
}

impl Scene {
    /// Changes what was seen of node `n` (from 1).
    pub(crate) fn node(mut self, n: usize, edit: impl FnOnce(&mut NodeObserved)) -> Self {
        edit(&mut self.seen.as_mut().unwrap().nodes[n - 1]);
        self
    }
    /// Changes what node `n` is meant to be.
    pub(crate) fn meant(mut self, n: usize, edit: impl FnOnce(&mut NodeSpec)) -> Self {
        edit(&mut self.spec.nodes[n - 1]);
        self
    }
    pub(crate) fn spec(mut self, edit: impl FnOnce(&mut ClusterSpec)) -> Self {
        edit(&mut self.spec);
        self
    }
    pub(crate) fn seen(mut self, edit: impl FnOnce(&mut ClusterObserved)) -> Self {
        edit(self.seen.as_mut().unwrap());
        self
    }
    pub(crate) fn capacity(mut self, edit: impl FnOnce(&mut Capacity)) -> Self {
        edit(self.capacity.as_mut().unwrap());
        self
    }
    /// The provider has this size, and it is the one that is asked for.
    pub(crate) fn offers(self, size: &str) -> Self {
        let size = plan(&PlanId::parse(size).unwrap()).unwrap();
        self.capacity(|c| c.plan = Some(size))
    }
    pub(crate) fn set(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }
    /// Node `n`'s server is gone; its voter went with it.
    pub(crate) fn dead(self, n: usize) -> Self {
        let voted = voters(&self.spec).iter().any(|v| v.id == self.spec.nodes[n - 1].id);
        self.node(n, |node| {
            node.state = NodeState::Crashed;
            node.health = Health::Down;
            node.role = None;
            node.link = None;
            node.lag_bytes = None;
            node.data_bytes = None;
            node.clients = None;
            node.detail = Some("its process is gone".to_owned());
        })
        .seen(|seen| {
            if let Some(votes) = seen.votes.as_mut().filter(|_| voted) {
                votes.present -= 1;
            }
        })
    }
    /// Node `n` was taken out of service.
    pub(crate) fn drained(self, n: usize) -> Self {
        self.meant(n, |node| node.drained = true).node(n, |node| {
            node.state = NodeState::Drained;
            node.health = Health::Unknown;
            node.role = None;
            node.link = None;
            node.lag_bytes = None;
            node.clients = None;
        })
    }
    /// There is one backup of it, verified, three hours old, and the change may be about that.
    pub(crate) fn with_backup(self, edit: impl FnOnce(&mut Backup)) -> Self {
        let at = now() - hours(3);
        let mut backup = Backup {
            id: BackupId::new(9),
            cluster: self.spec.name.to_string(),
            of: BackedUp::from(&self.spec),
            kind: BackupKind::Local,
            reason: BackupReason::Asked,
            state: BackupState::Verified,
            vault: "local".to_owned(),
            sealed_for: "age1test".to_owned(),
            parts: vec![BackupPart {
                name: "data".to_owned(),
                node: "demo-2".to_owned(),
                data_bytes: 700 << 20,
                stored_bytes: 200 << 20,
                sha256: String::new(),
                position: "offset 1 of a".to_owned(),
                counts: Vec::new(),
                copied_at: None,
            }],
            size_bytes: 200 << 20,
            data_bytes: 700 << 20,
            created_at: at,
            ended_at: Some(at),
            verified_at: Some(at),
            expires_at: None,
            error: None,
            operation: None,
            leftover: false,
            reprieved: false,
        };
        edit(&mut backup);
        self.set(|s| (s.backups, s.backup) = (vec![backup.clone()], Some(backup)))
    }
    pub(crate) fn busy(self) -> Self {
        self.set(|s| s.busy = Some(Busy { kind: ChangeKind::RebootNode, title: "Reboot demo-3".to_owned() }))
    }

    /// What the change would do here.
    pub(crate) fn preview(&self, change: &Change) -> Preview {
        let node = change.node().and_then(|n| self.spec.find_node(n));
        let clusters = [self.spec.clone()];
        preview(
            change,
            &Facts {
                now: now(),
                figures: self.figures,
                clusters: &clusters,
                available: &self.available,
                subject: Some(Subject {
                    spec: &self.spec,
                    observed: self.seen.as_ref(),
                    busy: self.busy.as_ref(),
                    node,
                    last_backup: self.last_backup,
                    backing_up: self.backing_up.as_ref(),
                }),
                capacity: self.capacity.as_ref(),
                parameters: self.parameters.as_deref(),
                parameter_findings: &[],
                growth_findings: &self.growth_findings,
                backup: self.backup.as_ref(),
                backups: &self.backups,
                backup_used_by: self.backup_used_by.as_ref(),
                vault: self.vault.as_ref(),
                comes_from: self.comes_from,
                sources_hidden: self.sources_hidden,
                node_fence: &self.node_fence,
                exposable: self.exposable.as_ref(),
                moment: self.moment.as_ref(),
                no_log: self.no_log,
                source: self.source.as_ref(),
                following: self.following.as_ref(),
            },
        )
    }
}

pub(crate) fn codes(found: &[Finding]) -> Vec<&str> {
    found.iter().map(|f| f.code.as_str()).collect()
}

/// Exactly these block.
#[track_caller]
pub(crate) fn blocked(preview: &Preview, expected: &[&str]) {
    assert_eq!(codes(&preview.blockers), expected, "blockers of {preview:#?}");
}

/// Nothing blocks and exactly these warn.
#[track_caller]
pub(crate) fn warned(preview: &Preview, expected: &[&str]) {
    assert_eq!(codes(&preview.blockers), Vec::<&str>::new(), "nothing blocks: {preview:#?}");
    assert_eq!(codes(&preview.warnings), expected, "warnings of {preview:#?}");
}

/// This is among the blockers.
#[track_caller]
pub(crate) fn blocker<'a>(preview: &'a Preview, code: &str) -> &'a Finding {
    preview
        .blockers
        .iter()
        .find(|f| f.code == code)
        .unwrap_or_else(|| panic!("`{code}` blocks: {preview:#?}"))
}

/// This is among the warnings.
#[track_caller]
pub(crate) fn warning<'a>(preview: &'a Preview, code: &str) -> &'a Finding {
    preview.warnings.iter().find(|f| f.code == code).unwrap_or_else(|| panic!("`{code}` warns: {preview:#?}"))
}

/// The change offered as a way out.
#[track_caller]
pub(crate) fn way_out(finding: &Finding) -> &Change {
    &finding.way_out.as_ref().unwrap_or_else(|| panic!("a way out of {finding:#?}")).change
}

pub(crate) fn promote(n: u16) -> Change {
    Change::PromoteNode { node: format!("demo-{n}") }
}
pub(crate) fn drain(n: u16) -> Change {
    Change::DrainNode { node: format!("demo-{n}") }
}
pub(crate) fn undrain(n: u16) -> Change {
    Change::UndrainNode { node: format!("demo-{n}") }
}
pub(crate) fn reboot(n: u16) -> Change {
    Change::RebootNode { node: format!("demo-{n}") }
}
pub(crate) fn remove(n: u16) -> Change {
    Change::RemoveNode { node: format!("demo-{n}") }
}
pub(crate) fn add(count: u16) -> Change {
    Change::AddNode { cluster: "demo".to_owned(), count: Some(count), plan: None }
}
pub(crate) fn add_shard() -> Change {
    Change::AddShard { cluster: "demo".to_owned() }
}
pub(crate) fn remove_shard(shard: u16) -> Change {
    Change::RemoveShard { cluster: "demo".to_owned(), shard }
}
pub(crate) fn resize(plan: &str) -> Change {
    Change::ResizeCluster { cluster: "demo".to_owned(), plan: PlanId::parse(plan).unwrap() }
}
pub(crate) fn upgrade(version: Option<&str>) -> Change {
    Change::UpgradeCluster { cluster: "demo".to_owned(), version: version.map(str::to_owned) }
}
pub(crate) fn resync() -> Change {
    Change::ResyncCluster { cluster: "demo".to_owned() }
}
pub(crate) fn protect(enabled: bool) -> Change {
    Change::SetProtection { cluster: "demo".to_owned(), enabled }
}
pub(crate) fn failover(enabled: bool) -> Change {
    Change::SetAutoFailover { cluster: "demo".to_owned(), enabled }
}
pub(crate) fn stop_writes(enabled: bool) -> Change {
    let options = OptionWish::only(ClusterOption::StopWritesWithoutReplica, enabled);
    Change::SetOptions { cluster: "demo".to_owned(), options }
}
pub(crate) fn rotate() -> Change {
    Change::RotateCredentials { cluster: "demo".to_owned() }
}
pub(crate) fn delete() -> Change {
    Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: false }
}
