//! A real cluster on this computer for one test. When it is dropped, also by a failing test, every process it started is
//! gone.

use clusterdeck_domain::{
    ClusterId, ClusterName, ClusterObserved, ClusterSpec, Health, Lifecycle, MachineId, Network, NodeId,
    NodeKind, NodeSpec, Plan, PlanId, ProviderId, REGION_LOCAL, Sensitive, ServiceKind, Topology,
    cluster_state, layout, plan,
};
use clusterdeck_driver::{
    ClusterContext, CopyFrom, Gateway as _, Image, Machine, MachineRequest, Needs, Programs, Progress,
    Provider, Secrets, ServiceDriver as _, StartAs, Switch, UnitState,
};
use clusterdeck_providers::{Container, Local};
use clusterdeck_services::{Haproxy, Mysql};
use clusterdeck_testkit::{
    containers,
    network::{self, Held},
};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable as _};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Ground {
    provider: Box<dyn Provider>,
    /// The image its machines are made from, where they are made from one.
    image: Option<String>,
    engine: Option<Arc<containers::Ground>>,
    /// The disk of each machine, where it is not that of the plan.
    disk: Option<u64>,
    pub(crate) driver: Mysql,
    pub(crate) gateway: Haproxy,
    pub(crate) cx: ClusterContext,
    home: tempfile::TempDir,
    /// Its addresses, where they are this computer's own.
    held: Option<Held>,
}

/// A copy of a server's data, in a file.
pub(crate) struct Copied {
    pub(crate) file: tempfile::NamedTempFile,
    pub(crate) bytes: u64,
    /// Up to where it goes, as the driver says.
    pub(crate) position: String,
}

fn id() -> u128 {
    Uuid::new_v4().as_u128()
}

fn secret() -> Sensitive<String> {
    Sensitive::new(Uuid::new_v4().simple().to_string())
}

impl Ground {
    /// A cluster that runs, formed in the order the engine forms it.
    pub(crate) async fn new(topology: Topology, nodes: u16) -> Self {
        Self::local((topology, nodes, None)).await.created().await
    }
    /// The same on small disks.
    pub(crate) async fn with_disks(topology: Topology, nodes: u16, disk: u64) -> Self {
        Self::local((topology, nodes, Some(disk))).await.created().await
    }
    /// A cluster whose servers were never started, for one with other passwords to be made from a copy.
    pub(crate) async fn bare(topology: Topology, nodes: u16) -> Self {
        Self::local((topology, nodes, None)).await
    }
    async fn local(shape: (Topology, u16, Option<u64>)) -> Self {
        let home = tempfile::Builder::new().prefix("cd-my-").tempdir().unwrap();
        let provider = Box::new(Local::new(home.path().to_owned()));
        let held = network::hold();
        let mut ground = Self::on(provider, home, None, held.network.clone(), shape).await;
        ground.held = Some(held);
        ground
    }
    /// As [`Ground::bare`], where this one is.
    pub(crate) async fn bare_beside(&self, topology: Topology, nodes: u16) -> Self {
        match &self.engine {
            Some(engine) => {
                let used = std::slice::from_ref(&self.cx.spec.network);
                Self::in_containers(engine, used, (topology, nodes, None)).await
            }
            None => Self::bare(topology, nodes).await,
        }
    }
    /// Oracle's MySQL, in containers; `None`: outside, and the test is done.
    pub(crate) async fn of_a_group(topology: Topology, nodes: u16) -> Option<Self> {
        Self::of_a_group_with_disks(topology, nodes, None).await
    }
    /// The same on disks of this size.
    pub(crate) async fn of_a_group_with_disks(
        topology: Topology,
        nodes: u16,
        disk: Option<u64>,
    ) -> Option<Self> {
        let engine = Arc::new(containers::Ground::enter_with_mysql()?);
        Some(Self::in_containers(&engine, &[], (topology, nodes, disk)).await.created().await)
    }
    async fn in_containers(
        engine: &Arc<containers::Ground>,
        used: &[Network],
        shape: (Topology, u16, Option<u64>),
    ) -> Self {
        let home = tempfile::Builder::new().prefix("home-").tempdir_in(engine.dir()).unwrap();
        let provider = Box::new(Container::new(home.path().to_owned()));
        let network = provider.allocate_network(&ClusterId::new(1), "", used).await.unwrap();
        Self::on(provider, home, Some(engine.clone()), network, shape).await
    }

    async fn on(
        provider: Box<dyn Provider>,
        home: tempfile::TempDir,
        engine: Option<Arc<containers::Ground>>,
        network: Network,
        (topology, nodes, disk): (Topology, u16, Option<u64>),
    ) -> Self {
        let driver = Mysql::new();
        let images =
            driver.images(ServiceKind::Mysql).iter().filter(|(line, _)| engine.is_some() && *line == "9.7");
        let images: Vec<_> = images
            .map(|(line, reference)| Image { line: (*line).to_owned(), reference: (*reference).to_owned() })
            .collect();
        let image = images.first().map(|image| image.reference.clone());
        let programs = driver.programs(ServiceKind::Mysql).to_vec();
        let server = Programs {
            programs,
            others: driver.other_programs(ServiceKind::Mysql),
            images,
            ..Programs::default()
        };
        let capacity = provider.capacity(&Needs { server, ..Needs::default() }).await.unwrap();
        assert!(capacity.missing.is_empty(), "`cargo xtask setup` installs it: {:?}", capacity.missing);
        let spec = ClusterSpec {
            id: ClusterId::new(id()),
            name: ClusterName::parse("demo").unwrap(),
            service: ServiceKind::Mysql,
            version: capacity.versions[0].clone(),
            topology,
            shards: 0,
            provider: ProviderId("local".to_owned()),
            region: REGION_LOCAL.to_owned(),
            plan: PlanId::parse("SMALL-1C-1G").unwrap(),
            protected: false,
            auto_failover: engine.is_some() && topology == Topology::PrimaryReplica,
            options: Default::default(),
            parameters: Default::default(),
            nodes: Vec::new(),
            gateway: None,
            network,
            backup_schedules: Vec::new(),
            allowlist: Vec::new(),
            allow_trial: None,
            exposure: None,
            last_ordinal: 0,
            secrets_generation: 1,
            lifecycle: Lifecycle::Creating,
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            generation: 1,
        };
        let current = driver
            .secret_names()
            .iter()
            .map(|name| ((*name).to_owned(), driver.make_secret(name).unwrap_or_else(secret)));
        let secrets = Secrets { current: current.collect(), next: None };
        let cx = ClusterContext { spec, machines: BTreeMap::new(), secrets };
        let mut ground =
            Self { provider, image, engine, disk, driver, gateway: Haproxy::new(), cx, home, held: None };
        let mut gateway = ground.request("demo-gateway", 0);
        gateway.image = Some("docker.io/library/haproxy:3.0".to_owned());
        ground.cx.spec.gateway = Some(ground.machine_for(&gateway).await);
        for slot in layout(topology, nodes, 0, (1, 9)).unwrap().into_iter().filter(|slot| !slot.witness) {
            let kind = if slot.witness { NodeKind::Witness } else { NodeKind::Data };
            ground.add_machine(slot.ordinal, kind).await;
        }
        ground
    }
    /// Starts its servers and brings them together.
    pub(crate) async fn created(mut self) -> Self {
        self.create().await;
        self.cx.spec.lifecycle = Lifecycle::Active;
        self
    }
    /// The same with the data of a copy.
    pub(crate) async fn restored(self, copy: &Copied) -> Self {
        self.copy_in(copy, copy.bytes).await.unwrap();
        self.created().await
    }
    /// Copies the data of a node into a file.
    pub(crate) async fn copy_out(&self, ordinal: u16) -> clusterdeck_driver::Result<Copied> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let from = CopyFrom { shard: None, node: self.node(ordinal).id.clone() };
        let mut output = tokio::fs::File::create(file.path()).await.unwrap();
        let position = self.driver.copy_out(&self.cx, &from, &mut output, &Progress::silent()).await?;
        output.sync_all().await.unwrap();
        let bytes = file.as_file().metadata().unwrap().len();
        Ok(Copied { file, bytes, position })
    }
    /// Lays a copy for the first node, of which it is said to have so many bytes.
    pub(crate) async fn copy_in(&self, copy: &Copied, bytes: u64) -> clusterdeck_driver::Result<()> {
        let mut input = tokio::fs::File::open(copy.file.path()).await.unwrap();
        self.driver.copy_in(&self.cx, self.node(1), &mut input, bytes, &Progress::silent()).await
    }

    fn request(&self, name: &str, slot: u16) -> MachineRequest {
        MachineRequest {
            id: MachineId::new(id()),
            cluster: self.cx.spec.id.clone(),
            name: name.to_owned(),
            network: self.cx.spec.network.clone(),
            slot,
            plan: Plan {
                disk_bytes: self.disk.unwrap_or(plan(&self.cx.spec.plan).unwrap().disk_bytes),
                ..plan(&self.cx.spec.plan).unwrap()
            },
            image: self.image.clone(),
            publish: Vec::new(),
        }
    }
    async fn machine_for(&mut self, request: &MachineRequest) -> clusterdeck_domain::MachineSpec {
        let machine = self.provider.ensure_machine(request, &Progress::silent()).await.unwrap();
        self.cx.machines.insert(request.id.clone(), machine);
        self.provider.machine_spec(request).unwrap()
    }
    /// Adds a node to the spec, with its machine.
    pub(crate) async fn add_machine(&mut self, ordinal: u16, kind: NodeKind) -> NodeSpec {
        let name = self.cx.spec.name.node(ordinal);
        let request = self.request(&name, ordinal);
        let machine = self.machine_for(&request).await;
        let plan = self.cx.spec.plan.clone();
        let node = NodeSpec {
            id: NodeId::new(id()),
            name,
            ordinal,
            kind,
            shard: None,
            plan,
            machine,
            drained: false,
        };
        self.cx.spec.nodes.push(node.clone());
        node
    }

    async fn create(&self) {
        let first = self.node(1).id.clone();
        let starting = self.cx.spec.data_nodes().map(|node| {
            let start_as = match self.cx.spec.topology {
                Topology::MultiMaster => StartAs::Member,
                _ if node.id == first => StartAs::Primary,
                _ => StartAs::ReplicaOf(first.clone()),
            };
            async move { self.driver.start_node(&self.cx, node, &start_as).await.unwrap() }
        });
        futures::future::join_all(starting).await;
        if self.image.is_some() {
            self.folders_are_made().await;
        }
        self.driver.form(&self.cx, &Progress::silent()).await.unwrap();
        self.driver.arm_failover(&self.cx, None).await.unwrap();
        self.apply().await;
    }
    /// A computer that others keep busy takes minutes to make what takes seconds else: longer than a server is waited for.
    async fn folders_are_made(&self) {
        let begun = Instant::now();
        for node in self.cx.spec.data_nodes() {
            while !self.cx.machine(node).unwrap().exists("mysql/data").await.unwrap() {
                if begun.elapsed() > 4 * PATIENCE {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
    pub(crate) async fn apply(&self) {
        self.gateway.apply(&self.cx, &self.driver.listeners(&self.cx).unwrap()).await.unwrap();
    }

    pub(crate) fn node(&self, ordinal: u16) -> &NodeSpec {
        self.cx.spec.nodes.iter().find(|n| n.ordinal == ordinal).unwrap()
    }
    pub(crate) fn machine(&self, ordinal: u16) -> &Arc<dyn Machine> {
        self.cx.machine(self.node(ordinal)).unwrap()
    }

    /// Observes until it is as wished.
    pub(crate) async fn seen(&self, what: &str, wish: impl Fn(&ClusterObserved) -> bool) -> ClusterObserved {
        let begun = Instant::now();
        loop {
            let seen = self.driver.observe(&self.cx).await;
            if wish(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}; seen: {seen:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    pub(crate) async fn healthy(&self) -> ClusterObserved {
        self.seen("the cluster must be healthy", |seen| {
            cluster_state(&self.cx.spec, Some(seen), false).1 == Health::Healthy
                && (!seen.failover.enabled || seen.failover.ready)
        })
        .await
    }
    /// Starts again whatever crashed and heals, round after round, as the watcher does; how long that took.
    pub(crate) async fn watch_until_healthy(&self, limit: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            for node in self.cx.spec.data_nodes() {
                if self.cx.machine(node).unwrap().restart_due("mysql").await.unwrap() {
                    match self.driver.restart_as(&self.cx, node).await {
                        Ok(start_as) => self.driver.start_node(&self.cx, node, &start_as).await.unwrap(),
                        Err(e) => assert!(e.is_transient(), "{e}"),
                    }
                }
            }
            let seen = self.driver.observe(&self.cx).await;
            if seen.nodes.iter().all(|n| n.health == Health::Healthy) && seen.endpoint_up == Some(true) {
                return begun.elapsed();
            }
            if let Err(e) = self.driver.heal(&self.cx).await {
                assert!(e.is_transient(), "{e}");
            }
            if begun.elapsed() > limit {
                self.last_words().await;
                panic!("{seen:#?}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    /// Prints how the log of each server ends.
    async fn last_words(&self) {
        for node in self.cx.spec.data_nodes() {
            let (lines, _) = self.cx.machine(node).unwrap().log("mysql", 60, None).await.unwrap();
            println!("{} says:\n{}", node.name, lines.join("\n"));
        }
    }
    pub(crate) fn primary<'a>(&'a self, seen: &ClusterObserved) -> &'a NodeSpec {
        self.cx.spec.node(&seen.primary().expect("one primary").node).unwrap()
    }

    /// A connection as people have one, to a node or, with 0, to the endpoint.
    pub(crate) async fn people(&self, ordinal: u16) -> Result<Conn, mysql_async::Error> {
        let at = if ordinal == 0 { self.cx.gateway().unwrap() } else { self.machine(ordinal) };
        connect((at.address(), at.port(3306)), self.cx.secrets.newest("people").unwrap().reveal()).await
    }
    /// A statement of ours on one server, as the operator.
    pub(crate) async fn operator(&self, ordinal: u16, sql: &str) -> Vec<mysql_async::Row> {
        let at = self.machine(ordinal);
        let opts = OptsBuilder::default()
            .ip_or_hostname(at.address().to_string())
            .tcp_port(at.port(3306))
            .user(Some("operator"))
            .pass(Some(self.cx.secrets.newest("operator").unwrap().reveal()))
            .prefer_socket(false)
            .ssl_opts(mysql_async::SslOpts::default().with_danger_accept_invalid_certs(true));
        let mut conn = Conn::new(opts).await.unwrap();
        conn.query(sql).await.unwrap()
    }
    /// Whether people could write on this very node right now.
    pub(crate) async fn takes_writes(&self, ordinal: u16) -> bool {
        let asked = async {
            let mut conn = self.people(ordinal).await.ok()?;
            conn.query_first::<u8, _>("SELECT @@global.read_only").await.ok()?.map(|ro| ro == 0)
        };
        let answer = tokio::time::timeout(Duration::from_secs(1), asked).await;
        answer.ok().flatten().unwrap_or(false)
    }
    /// Rows of a table, seen through the endpoint (0) or on a node.
    pub(crate) async fn count(&self, ordinal: u16, table: &str) -> u64 {
        let mut conn = self.people(ordinal).await.unwrap();
        conn.query_first(format!("SELECT COUNT(*) FROM {table}")).await.unwrap().unwrap()
    }
    fn switch(&self, ordinal: u16) -> impl Fn() -> Switch + Send + Sync + use<> {
        let (cx, target) = (self.cx.clone(), self.node(ordinal).id.clone());
        move || {
            let (cx, target) = (cx.clone(), target.clone());
            Box::pin(async move { Haproxy::new().point_to(&cx, &target).await })
        }
    }
    /// Hands the writes over; how long nobody could write.
    pub(crate) async fn promote(&self, ordinal: u16) -> clusterdeck_driver::Result<f64> {
        let done = self.driver.hand_over(&self.cx, self.node(ordinal), &self.switch(ordinal)).await?;
        Ok(done.write_gap_ms)
    }
    /// As [`Ground::promote`], with the primary dead.
    pub(crate) async fn take_over(&self, ordinal: u16) -> clusterdeck_driver::Result<f64> {
        let done = self.driver.take_over(&self.cx, self.node(ordinal), &self.switch(ordinal)).await?;
        Ok(done.write_gap_ms)
    }
    /// Sends a signal to a node's server.
    pub(crate) async fn signal(&self, ordinal: u16, signal: Signal) {
        let UnitState::Running { pid, .. } = self.machine(ordinal).state("mysql").await.unwrap() else {
            panic!("it does not run")
        };
        // A container's first process only passes signals on.
        let server = match self.image {
            Some(_) => std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap(),
            None => pid.to_string(),
        };
        let server = server.split_whitespace().next().expect("a server").parse().unwrap();
        kill_process(Pid::from_raw(server).unwrap(), signal).unwrap();
    }
    /// Kills a node's server and waits until its machine knows.
    pub(crate) async fn kill(&self, ordinal: u16) {
        self.signal(ordinal, Signal::KILL).await;
        let begun = Instant::now();
        while self.machine(ordinal).state("mysql").await.unwrap().is_running() {
            assert!(begun.elapsed() < PATIENCE, "it must be seen to be gone");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    /// Starts again what crashed, as the watcher does.
    pub(crate) async fn repair(&self, ordinal: u16) {
        let (node, begun) = (self.node(ordinal), Instant::now());
        while !self.machine(ordinal).restart_due("mysql").await.unwrap() {
            assert!(begun.elapsed() < PATIENCE, "it must be due some day");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let start_as = self.driver.restart_as(&self.cx, node).await.unwrap();
        self.driver.start_node(&self.cx, node, &start_as).await.unwrap();
    }
}

/// A connection of people's.
pub(crate) async fn connect(at: (std::net::IpAddr, u16), password: &str) -> Result<Conn, mysql_async::Error> {
    let opts = OptsBuilder::default()
        .ip_or_hostname(at.0.to_string())
        .tcp_port(at.1)
        .user(Some("app"))
        .pass(Some(password))
        .db_name(Some("app"))
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 20))
        .wait_timeout(Some(60));
    match tokio::time::timeout(Duration::from_secs(2), Conn::new(opts)).await {
        Ok(conn) => conn,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        // Dropped inside a runtime, which cannot wait for anything; so in a thread with its own.
        let (provider, cx) = (&self.provider, &self.cx);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    for machine in cx.machines.values() {
                        for unit in machine.units().await.unwrap_or_default() {
                            if let (true, Ok((lines, _))) = (failed, machine.log(&unit, 150, None).await) {
                                eprintln!("--- {unit} at {}\n{}", machine.address(), lines.join("\n"));
                            }
                            if let Ok(UnitState::Running { pid, .. }) = machine.state(&unit).await {
                                let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
                                // A stopped process would wait for the end of its grace.
                                kill_process(pid, Signal::KILL).ok();
                            }
                        }
                    }
                    let machines = cx.spec.machines();
                    futures::future::join_all(machines.map(|m| provider.remove_machine(m))).await;
                });
            });
        });
        let left = left_in(self.home.path());
        assert!(failed || left.is_empty(), "processes were left behind: {left:?}");
    }
}

/// Processes that work in a folder.
fn left_in(folder: &std::path::Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let inside = processes
        .filter(|p| std::fs::read_link(p.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)));
    inside
        .filter_map(|p| std::fs::read_to_string(p.path().join("stat")).ok())
        .filter(|stat| !stat.contains(") Z "))
        .collect()
}
