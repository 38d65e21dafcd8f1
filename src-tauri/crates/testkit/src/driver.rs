//! A fake service over the fake world: it knows primaries, replicas, voters, slots and passwords, and refuses what a real
//! server would refuse.

use crate::world::{Inner, Server, World};
use async_trait::async_trait;
use clusterdeck_domain::{
    Check, CheckState, ClusterObserved, Count, FailoverReadiness, Finding, Health, Link, Migrated, NodeId,
    NodeKind, NodeObserved, NodeSpec, NodeState, Plan, Role, ServiceKind, SourceReport, Topology, Votes,
};
use clusterdeck_driver::{
    Backend, ClusterContext, CopyFormat, CopyFrom, DriverError, HandOver, Incoming, Listener, Migration,
    Outgoing, Passage, Progress, Result, ServiceDriver, StartAs, Switch, Traffic,
};
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SLOTS: u32 = 16_384;
/// In it lies what a server has written.
pub(crate) const FOLDER: &str = "server";
/// Where a copy lies until a server is started on it.
const LAID: &str = "server/laid";

fn read(copy: &[u8]) -> Option<u64> {
    std::str::from_utf8(copy).ok()?.strip_prefix("writes ")?.parse().ok()
}

pub(crate) struct FakeService(pub(crate) World);

impl FakeService {
    fn voters_of(cx: &ClusterContext) -> Vec<&NodeSpec> {
        if cx.spec.topology != Topology::PrimaryReplica {
            return Vec::new();
        }
        cx.spec.nodes.iter().filter(|n| !n.drained).take(3).collect()
    }
    fn primary(world: &Inner) -> Option<NodeId> {
        world.servers.iter().find(|(_, s)| s.primary).map(|(id, _)| id.clone())
    }
    fn spread(cx: &ClusterContext, world: &mut Inner, over: &[u16]) {
        let count = u32::try_from(over.len()).unwrap_or(1).max(1);
        for (index, shard) in (0_u32..).zip(over) {
            let share = SLOTS / count + u32::from(index < SLOTS % count);
            let lead = cx.spec.data_nodes().find(|n| n.shard == Some(*shard)).map(|n| n.id.clone());
            for (id, server) in &mut world.servers {
                if server.shard == Some(*shard) {
                    server.primary = Some(id) == lead.as_ref();
                    server.slots = if server.primary { share } else { 0 };
                    server.member = true;
                }
            }
        }
    }
}

#[async_trait]
impl ServiceDriver for FakeService {
    fn services(&self) -> &'static [ServiceKind] {
        &[ServiceKind::Redis]
    }
    fn programs(&self, _service: ServiceKind) -> &'static [(&'static str, &'static str)] {
        &[("fake-server", "the server")]
    }
    fn ports(&self, _service: ServiceKind) -> &'static [u16] {
        &[6379]
    }
    fn secret_names(&self) -> &'static [&'static str] {
        &["people", "operator"]
    }
    fn people(&self, _service: ServiceKind) -> (&'static str, &'static str) {
        ("default", "redis")
    }
    fn server_unit(&self) -> &'static str {
        "server"
    }
    fn voters<'a>(&self, cx: &'a ClusterContext) -> Vec<&'a NodeSpec> {
        Self::voters_of(cx)
    }

    fn folders(&self) -> &'static [&'static str] {
        &[FOLDER]
    }
    async fn start_node(&self, cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
        let machine = cx.machine(node)?;
        machine.write(node.id.as_str(), b"", 0o600).await?;
        machine.create_dir(FOLDER).await?;
        let password = cx.secrets.get("operator")?.reveal().clone();
        let plan = machine.plan().id.clone();
        let laid = machine.read(LAID).await.ok().and_then(|laid| read(&laid));
        let mut world = self.0.call("start_node")?;
        // A throw-away one is no part of anything.
        if cx.spec.gateway.is_none() {
            world.apart.insert(node.id.clone(), laid.unwrap_or(0));
            return Ok(());
        }
        let other = Self::primary(&world).filter(|id| *id != node.id);
        let version = world.machines.get(&node.machine.id).map(|m| m.version.clone());
        let server = world.servers.entry(node.id.clone()).or_default();
        if let Some(writes) = laid.filter(|_| !server.running) {
            server.writes = writes;
        }
        server.shard = node.shard;
        server.candidate = true;
        server.passwords.insert(password);
        match start_as {
            StartAs::Primary if other.is_some() => {
                return Err(DriverError::broken("a second primary was about to be started"));
            }
            StartAs::Primary => server.primary = true,
            StartAs::ReplicaOf(id) if *id == node.id => {
                return Err(DriverError::broken("a replica of itself"));
            }
            StartAs::ReplicaOf(id) => {
                server.primary = false;
                server.follows = Some(id.clone());
            }
            StartAs::Member => {}
        }
        // One that runs is left alone, with the size it has.
        if !server.running {
            server.plan = Some(plan);
            server.version = version.unwrap_or_default();
        }
        server.running = true;
        Ok(())
    }
    async fn stop_node(&self, _cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        let mut world = self.0.call("stop_node")?;
        let others = |s: &&Server| s.running && s.shard == node.shard && !s.primary;
        let leads = world.servers.get(&node.id).is_some_and(|s| s.running && s.primary);
        if leads && world.servers.values().any(|s| others(&s)) {
            world.beheaded.push(node.id.clone());
        }
        if let Some(server) = world.servers.get_mut(&node.id) {
            server.running = false;
        }
        Ok(())
    }
    async fn share_size(&self, _cx: &ClusterContext, _to: &Plan) -> Result<()> {
        self.0.call("share_size").map(drop)
    }
    async fn form(&self, cx: &ClusterContext, progress: &Progress) -> Result<()> {
        progress.measured("linking", 1, 1);
        let mut world = self.0.call("form")?;
        if cx.spec.gateway.is_none() {
            return Ok(());
        }
        // The others copy from those that lead.
        let leading: Vec<_> =
            world.servers.values().filter(|s| s.writes > 0).map(|s| (s.shard, s.writes)).collect();
        for (shard, writes) in leading {
            world.servers.values_mut().filter(|s| s.shard == shard).for_each(|s| s.writes = writes);
        }
        for server in world.servers.values_mut() {
            server.member = true;
        }
        if cx.spec.shards > 0 {
            Self::spread(cx, &mut world, &(0..cx.spec.shards).collect::<Vec<_>>());
        }
        Ok(())
    }
    async fn join(&self, _cx: &ClusterContext, node: &NodeSpec, _progress: &Progress) -> Result<()> {
        let mut world = self.0.call("join")?;
        let server = world.servers.get_mut(&node.id).filter(|s| s.running);
        let server =
            server.ok_or_else(|| DriverError::rejected(format!("{} does not run", node.name), ""))?;
        server.member = true;
        Ok(())
    }
    async fn growth_findings(&self, _cx: &ClusterContext) -> Result<Vec<Finding>> {
        if self.0.refuses("growth_findings") {
            return Err(DriverError::transient("its server does not answer"));
        }
        Ok(if self.0.refuses("growth") {
            vec![Finding::new("unfit", "It holds what does not grow.")]
        } else {
            vec![]
        })
    }
    async fn leave(&self, _cx: &ClusterContext, node: &NodeSpec, _progress: &Progress) -> Result<()> {
        let mut world = self.0.call("leave")?;
        if let Some(server) = world.servers.get_mut(&node.id) {
            server.member = false;
        }
        Ok(())
    }

    async fn arm_failover(&self, cx: &ClusterContext, primary: Option<&NodeId>) -> Result<()> {
        if cx.spec.topology != Topology::PrimaryReplica {
            return Ok(());
        }
        for node in Self::voters_of(cx) {
            cx.machine(node)?.write(node.id.as_str(), b"", 0o600).await?;
        }
        let mut world = self.0.call("arm_failover")?;
        let seen = Self::primary(&world);
        let primary = primary.cloned().or(seen).ok_or_else(|| DriverError::transient("nobody leads"))?;
        world.voters = Self::voters_of(cx).into_iter().map(|n| (n.id.clone(), primary.clone())).collect();
        world.armed = cx.spec.auto_failover;
        Ok(())
    }
    async fn disarm_failover(&self, _cx: &ClusterContext) -> Result<()> {
        self.0.call("disarm_failover")?.voters.clear();
        Ok(())
    }

    async fn prepare_hand_over(
        &self,
        _cx: &ClusterContext,
        _target: &NodeSpec,
        _progress: &Progress,
    ) -> Result<()> {
        self.0.call("prepare_hand_over").map(drop)
    }
    async fn hand_over(
        &self,
        _cx: &ClusterContext,
        target: &NodeSpec,
        switch: &(dyn Fn() -> Switch + Send + Sync),
    ) -> Result<HandOver> {
        {
            let mut world = self.0.call("hand_over")?;
            if !world.voters.is_empty() {
                return Err(DriverError::broken("the voters have not stood aside"));
            }
            let old = world.leader(target.shard).ok_or_else(|| DriverError::broken("nobody leads"))?;
            let (writes, slots) = (world.servers[&old].writes, world.servers[&old].slots);
            if let Some(server) = world.servers.get_mut(&old) {
                server.primary = false;
                server.slots = 0;
            }
            for (id, server) in world.servers.iter_mut().filter(|(_, s)| s.shard == target.shard) {
                server.follows = Some(target.id.clone());
                if *id == target.id {
                    server.primary = true;
                    (server.writes, server.slots) = (writes, slots);
                }
            }
        }
        if target.shard.is_none() {
            switch().await?;
        }
        Ok(HandOver { write_gap_ms: 1.0 })
    }
    async fn set_candidate(&self, _cx: &ClusterContext, node: &NodeSpec, candidate: bool) -> Result<()> {
        if let Some(server) = self.0.call("set_candidate")?.servers.get_mut(&node.id) {
            server.candidate = candidate;
        }
        Ok(())
    }
    async fn resync(
        &self,
        _cx: &ClusterContext,
        node: &NodeSpec,
        _progress: &Progress,
    ) -> Result<Option<String>> {
        let mut world = self.0.call("resync")?;
        match world.servers.get_mut(&node.id) {
            Some(server) if !server.primary => Ok(None),
            _ => Err(DriverError::broken("only a replica can be copied again")),
        }
    }
    async fn add_shard(&self, cx: &ClusterContext, _shard: u16, progress: &Progress) -> Result<()> {
        progress.measured("moving slots", 1, 1);
        let mut world = self.0.call("add_shard")?;
        Self::spread(cx, &mut world, &(0..cx.spec.shards).collect::<Vec<_>>());
        Ok(())
    }
    async fn remove_shard(&self, cx: &ClusterContext, shard: u16, _progress: &Progress) -> Result<()> {
        let mut world = self.0.call("remove_shard")?;
        let others: Vec<u16> = (0..cx.spec.shards).filter(|s| *s != shard).collect();
        for server in world.servers.values_mut().filter(|s| s.shard == Some(shard)) {
            server.slots = 0;
            server.member = false;
        }
        Self::spread(cx, &mut world, &others);
        Ok(())
    }
    async fn apply_options(&self, _cx: &ClusterContext) -> Result<()> {
        self.0.call("apply_options").map(drop)
    }
    async fn accept_next_secrets(&self, cx: &ClusterContext) -> Result<()> {
        let next = cx.secrets.newest("operator")?.reveal().clone();
        let current = cx.secrets.get("operator")?.reveal().clone();
        if next == current {
            return Err(DriverError::broken("there are no next secrets"));
        }
        {
            let mut world = self.0.call("accept_next_secrets")?;
            let one = world.one_password;
            for server in world.servers.values_mut() {
                if !server.passwords.contains(&next) && !server.passwords.contains(&current) {
                    return Err(DriverError::rejected("neither password opens", "It is a test."));
                }
                if one {
                    server.passwords.clear();
                }
                server.passwords.insert(next.clone());
            }
        }
        // Links and voters sign in with it, on one node after the other.
        self.0.call("use_next_secrets").map(drop)
    }
    async fn retire_old_secrets(&self, cx: &ClusterContext) -> Result<()> {
        let current = cx.secrets.get("operator")?.reveal().clone();
        let mut world = self.0.call("retire_old_secrets")?;
        if world.one_password {
            return Ok(());
        }
        for server in world.servers.values_mut() {
            server.passwords = BTreeSet::from([current.clone()]);
        }
        Ok(())
    }

    async fn copy_out(
        &self,
        _cx: &ClusterContext,
        from: &CopyFrom,
        output: &mut Outgoing,
        _progress: &Progress,
    ) -> Result<String> {
        let writes = self.0.call("copy_out")?.servers.get(&from.node).filter(|s| s.running).map(|s| s.writes);
        let writes = writes.ok_or_else(|| DriverError::transient("the server does not answer"))?;
        let passed = output.write_all(format!("writes {writes}").as_bytes()).await;
        passed.map_err(|e| DriverError::transient(format!("passing on a copy: {e}")))?;
        Ok(format!("write {writes}"))
    }
    async fn copy_in(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        input: &mut Incoming,
        bytes: u64,
        _progress: &Progress,
    ) -> Result<()> {
        let mut content = Vec::new();
        let read = input.take(bytes).read_to_end(&mut content).await;
        read.map_err(|e| DriverError::transient(format!("the copy ended too soon: {e}")))?;
        drop(self.0.call("copy_in")?);
        cx.machine(node)?.write(LAID, &content, 0o600).await
    }
    fn copy_format(&self, _service: ServiceKind, _version: &str) -> CopyFormat {
        CopyFormat { ending: "txt", restore: "Read FILE.\n" }
    }
    async fn count(&self, _cx: &ClusterContext, node: &NodeSpec, _within: Duration) -> Result<Vec<Count>> {
        let world = self.0.call("count")?;
        let writes = world.apart.get(&node.id).copied().or(world.servers.get(&node.id).map(|s| s.writes));
        let writes = writes.ok_or_else(|| DriverError::transient("the server does not answer"))?;
        Ok(vec![Count::exactly("writes", writes)])
    }

    async fn look_at_source(&self, _cx: &ClusterContext, migration: &Migration) -> Result<SourceReport> {
        // A preview looks too, and one that cannot is refused, which is no operation: what fails here is tried by hand.
        let world = self.0.lock();
        let known = migration.from.password.as_ref().is_some_and(|p| p.reveal() == "secret");
        let state = if known { CheckState::Passed } else { CheckState::Failed };
        Ok(SourceReport {
            checks: vec![Check::new("credentials", "It lets us in", state, "As the fake source says.")],
            bytes: Some(1 << 20),
            target_is_empty: !world.brought,
            online: true,
            ..SourceReport::default()
        })
    }
    async fn bring_in(
        &self,
        _cx: &ClusterContext,
        migration: &Migration,
        passage: &Passage,
        _progress: &Progress,
    ) -> Result<Migrated> {
        if migration.from.password.is_none() {
            return Err(DriverError::broken("the way into the source was forgotten too soon"));
        }
        self.0.call("bring_in")?.brought = true;
        passage.log("the fake data came in");
        if migration.follow {
            passage.set_behind(Some(0));
            passage.until_cut_over().await;
        }
        drop(self.0.call("bring_in: cut over")?);
        Ok(Migrated { items: 1, gap_ms: Some(1.0), ..Migrated::default() })
    }
    async fn take_out(
        &self,
        _cx: &ClusterContext,
        _migration: &Migration,
        _progress: &Progress,
    ) -> Result<Option<String>> {
        self.0.call("take_out")?.brought = false;
        Ok(None)
    }

    async fn observe(&self, cx: &ClusterContext) -> ClusterObserved {
        self.0.wait_where_held().await;
        let world = self.0.lock();
        let password = cx.secrets.get("operator").map(|p| p.reveal().clone()).unwrap_or_default();
        let nodes = cx.spec.nodes.iter().map(|node| observe_node(&world, cx, node, &password)).collect();
        let present = u16::try_from(world.voters.len()).unwrap_or(0);
        ClusterObserved {
            at: Timestamp::now(),
            nodes,
            votes: Some(Votes { present, needed: 2, total: 3 }),
            failover: FailoverReadiness {
                enabled: cx.spec.auto_failover,
                ready: present >= 2,
                reason: "as the fake voters see it".to_owned(),
            },
            endpoint_up: Some(world.endpoint.is_some()),
        }
    }
    fn listeners(&self, cx: &ClusterContext) -> Result<Vec<Listener>> {
        let backends = cx.spec.data_nodes().map(|node| Backend {
            node: node.id.clone(),
            name: node.name.clone(),
            address: node.machine.address,
            port: 6379,
            check_port: None,
            drained: node.drained,
        });
        Ok(vec![Listener {
            traffic: Traffic::ReadWrite,
            port: 6379,
            backends: backends.collect(),
            check_tls: false,
            check: Vec::new(),
        }])
    }
    async fn restart_as(&self, cx: &ClusterContext, _node: &NodeSpec) -> Result<StartAs> {
        Ok(if cx.spec.topology == Topology::Sharded { StartAs::Member } else { StartAs::Primary })
    }
    async fn probe(&self, cx: &ClusterContext) -> Result<()> {
        let world = self.0.call("probe")?;
        let password = cx.secrets.get("operator")?.reveal();
        let open = world.endpoint.as_ref().is_some_and(|nodes| {
            nodes.iter().any(|id| {
                world
                    .servers
                    .get(id)
                    .is_some_and(|s| s.primary && s.running && s.passwords.contains(password))
            })
        });
        if open { Ok(()) } else { Err(DriverError::transient("the endpoint lets nothing through")) }
    }
}

fn observe_node(world: &Inner, cx: &ClusterContext, node: &NodeSpec, password: &str) -> NodeObserved {
    let mut seen = NodeObserved::unknown(node.id.clone());
    if node.kind == NodeKind::Witness {
        seen.role = Some(Role::Witness);
        let votes = world.voters.contains_key(&node.id);
        seen.state = if votes { NodeState::Running } else { NodeState::Stopped };
        seen.health = if votes { Health::Healthy } else { Health::Down };
        return seen;
    }
    let Some(server) = world.servers.get(&node.id).filter(|s| s.running && s.passwords.contains(password))
    else {
        seen.state = if node.drained { NodeState::Drained } else { NodeState::Stopped };
        seen.health = if node.drained { Health::Degraded } else { Health::Down };
        return seen;
    };
    let sharded = cx.spec.shards > 0;
    seen.state = NodeState::Running;
    seen.role = Some(match (server.primary, sharded) {
        (true, false) => Role::Primary,
        (false, false) => Role::Replica,
        (true, true) => Role::ShardPrimary,
        (false, true) => Role::ShardReplica,
    });
    seen.shard = node.shard;
    seen.health = if server.member { Health::Healthy } else { Health::Degraded };
    seen.version = Some(server.version.clone());
    seen.link = (!server.primary).then_some(Link::Up);
    seen.follows = server.follows.clone().filter(|_| !server.primary);
    seen.offset_bytes = Some(server.writes);
    seen.lag_bytes = Some(0);
    seen.data_bytes = Some(1024);
    seen.slots = sharded.then_some(server.slots);
    seen.clients = Some(0);
    seen
}
