//! A real cluster on this computer for one test. When it is dropped, also by a failing test, every process it started is
//! gone.

use clusterdeck_domain::{
    ClusterId, ClusterName, ClusterObserved, ClusterSpec, Health, Lifecycle, MachineId, Network, NodeId,
    NodeKind, NodeSpec, PlanId, ProviderId, REGION_LOCAL, Sensitive, ServiceKind, Topology, cluster_state,
    layout, plan,
};
use clusterdeck_driver::{
    ClusterContext, Gateway as _, Image, Machine, MachineRequest, Needs, Programs, Progress, Provider,
    Secrets, ServiceDriver as _, StartAs, UnitState,
};
use clusterdeck_providers::{Container, Local};
use clusterdeck_services::{Haproxy, Postgres};
use clusterdeck_testkit::{
    containers,
    network::{self, Held},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_postgres::NoTls;
use uuid::Uuid;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Ground {
    provider: Box<dyn Provider>,
    /// The image its machines are made from, where they are made from one.
    image: Option<&'static str>,
    engine: Option<Arc<containers::Ground>>,
    pub(crate) driver: Postgres,
    pub(crate) gateway: Haproxy,
    pub(crate) cx: ClusterContext,
    home: tempfile::TempDir,
    /// Its addresses, where they are this computer's own.
    held: Option<Held>,
}

/// A cluster as it is wished.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) service: ServiceKind,
    pub(crate) topology: Topology,
    pub(crate) nodes: u16,
    pub(crate) plan: &'static str,
}

impl Wish {
    pub(crate) const fn of(topology: Topology, nodes: u16) -> Self {
        Self { service: ServiceKind::Postgresql, topology, nodes, plan: "SMALL-1C-1G" }
    }
    /// One node of the smallest size.
    pub(crate) const fn small(service: ServiceKind) -> Self {
        Self { service, topology: Topology::Single, nodes: 1, plan: "NANO-1C-256M" }
    }
}

fn id() -> u128 {
    Uuid::new_v4().as_u128()
}

fn secret() -> Sensitive<String> {
    Sensitive::new(Uuid::new_v4().simple().to_string())
}

/// A cluster that is being made, without nodes yet.
pub(crate) fn spec(version: &str, topology: Topology, network: Network) -> ClusterSpec {
    ClusterSpec {
        id: ClusterId::new(id()),
        name: ClusterName::parse("demo").unwrap(),
        service: ServiceKind::Postgresql,
        version: version.to_owned(),
        topology,
        shards: 0,
        provider: ProviderId("local".to_owned()),
        region: REGION_LOCAL.to_owned(),
        plan: PlanId::parse("SMALL-1C-1G").unwrap(),
        protected: false,
        auto_failover: topology != Topology::Single,
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
    }
}

impl Ground {
    /// A cluster that runs, formed in the order the engine forms it.
    pub(crate) async fn new(topology: Topology, nodes: u16) -> Self {
        let mut ground = Self::to_be_made(Wish::of(topology, nodes)).await;
        ground.create().await;
        ground
    }
    /// Machines for a cluster that is not made yet.
    pub(crate) async fn to_be_made(wish: Wish) -> Self {
        let home = tempfile::Builder::new().prefix("cd-pg-").tempdir().unwrap();
        let provider = Box::new(Local::new(home.path().to_owned()));
        let held = network::hold();
        let mut ground = Self::on(provider, home, None, held.network.clone(), wish).await;
        ground.held = Some(held);
        ground
    }
    /// The same in containers, from an image of somebody's own; `None`: outside, and the test is done.
    pub(crate) async fn in_containers(topology: Topology, nodes: u16) -> Option<Self> {
        Self::wished_in_containers(Wish::of(topology, nodes)).await
    }
    pub(crate) async fn wished_in_containers(wish: Wish) -> Option<Self> {
        let engine = containers::Ground::enter_with_postgres()?;
        let mut ground = Self::in_engine(engine.into(), wish).await;
        ground.create().await;
        Some(ground)
    }
    /// Machines for another cluster in the same engine.
    pub(crate) async fn beside(&self, wish: Wish) -> Self {
        Self::in_engine(self.engine.clone().expect("it is in containers"), wish).await
    }

    async fn in_engine(engine: Arc<containers::Ground>, wish: Wish) -> Self {
        let home = tempfile::Builder::new().prefix("home-").tempdir_in(engine.dir()).unwrap();
        let provider = Box::new(Container::new(home.path().to_owned()));
        let network = provider.allocate_network(&ClusterId::new(id()), "", &[]).await.unwrap();
        Self::on(provider, home, Some(engine), network, wish).await
    }

    async fn on(
        provider: Box<dyn Provider>,
        home: tempfile::TempDir,
        engine: Option<Arc<containers::Ground>>,
        network: Network,
        wish: Wish,
    ) -> Self {
        let driver = Postgres::new();
        let image = engine.as_ref().map(|_| containers::POSTGRES);
        let programs = driver.programs(wish.service).to_vec();
        let line = if wish.service == ServiceKind::Timescaledb { "2.19" } else { "17" };
        let images = image.map(|reference| Image { line: line.to_owned(), reference: reference.to_owned() });
        let images = images.into_iter().collect();
        let extension = driver.extension(wish.service);
        let server = Programs { programs, extension, images, ..Programs::default() };
        let capacity = provider.capacity(&Needs { server, ..Needs::default() }).await.unwrap();
        assert!(capacity.missing.is_empty(), "`cargo xtask setup` installs it: {:?}", capacity.missing);
        let mut spec = spec(&capacity.versions[0], wish.topology, network);
        (spec.service, spec.plan) = (wish.service, PlanId::parse(wish.plan).unwrap());
        let current = driver
            .secret_names()
            .iter()
            .map(|name| ((*name).to_owned(), driver.make_secret(name).unwrap_or_else(secret)));
        let secrets = Secrets { current: current.collect(), next: None };
        let cx = ClusterContext { spec, machines: BTreeMap::new(), secrets };
        let gateway = Haproxy::new();
        let mut ground = Self { provider, image, engine, driver, gateway, cx, home, held: None };
        let mut gateway = ground.request("demo-gateway", 0);
        gateway.image = Some("docker.io/library/haproxy:3.0".to_owned());
        ground.cx.spec.gateway = Some(ground.machine_for(&gateway).await);
        for slot in layout(wish.topology, wish.nodes, 0, (1, 9)).unwrap() {
            let kind = if slot.witness { NodeKind::Witness } else { NodeKind::Data };
            ground.add_machine(slot.ordinal, kind).await;
        }
        ground
    }

    /// What the engine of containers says.
    pub(crate) fn podman(&self, args: &[&str]) -> String {
        self.engine.as_ref().expect("it is in containers").podman(args)
    }
    fn request(&self, name: &str, slot: u16) -> MachineRequest {
        MachineRequest {
            id: MachineId::new(id()),
            cluster: self.cx.spec.id.clone(),
            name: name.to_owned(),
            network: self.cx.spec.network.clone(),
            slot,
            plan: plan(&self.cx.spec.plan).unwrap(),
            image: self.image.map(str::to_owned),
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

    /// Makes it, in the order the engine does.
    pub(crate) async fn create(&mut self) {
        let first = self.node(1).id.clone();
        let starting = self.cx.spec.data_nodes().map(|node| {
            let start_as =
                if node.id == first { StartAs::Primary } else { StartAs::ReplicaOf(first.clone()) };
            let (driver, cx) = (&self.driver, &self.cx);
            async move { driver.start_node(cx, node, &start_as).await.unwrap() }
        });
        futures::future::join_all(starting).await;
        self.driver.form(&self.cx, &Progress::silent()).await.unwrap();
        self.driver.arm_failover(&self.cx, None).await.unwrap();
        self.apply().await;
        self.cx.spec.lifecycle = Lifecycle::Active;
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
    pub(crate) fn primary<'a>(&'a self, seen: &ClusterObserved) -> &'a NodeSpec {
        self.cx.spec.node(&seen.primary().expect("one primary").node).unwrap()
    }

    /// A connection as people have one, to a node or, with 0, to the endpoint.
    pub(crate) async fn people(&self, ordinal: u16) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let at = if ordinal == 0 { self.cx.gateway().unwrap() } else { self.machine(ordinal) };
        self.enter(at.as_ref(), 5432).await
    }
    /// The same to the endpoint for reads.
    pub(crate) async fn readers(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        self.enter(self.cx.gateway().unwrap().as_ref(), 5433).await
    }
    async fn enter(
        &self,
        at: &dyn Machine,
        port: u16,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .hostaddr(at.address())
            .host(at.address().to_string())
            .port(at.port(port))
            .user("app")
            .dbname("app")
            .password(self.cx.secrets.newest("people").unwrap().reveal())
            .connect_timeout(Duration::from_millis(500))
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }
    /// Does something on a node as the one who may do everything.
    pub(crate) fn operate(&self, ordinal: u16, sql: &str) {
        let at = self.machine(ordinal);
        let whom = format!(
            "host={} port={} user=operator dbname=postgres sslmode=require",
            at.address(),
            at.port(5432)
        );
        let done = std::process::Command::new("psql")
            .args(["-X", "-v", "ON_ERROR_STOP=1", "-c", sql, &whom])
            .env("PGPASSWORD", self.cx.secrets.newest("operator").unwrap().reveal())
            .output()
            .unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
    }
    /// Whether people could write on this very node right now.
    pub(crate) async fn takes_writes(&self, ordinal: u16) -> bool {
        let asked = async {
            let client = self.people(ordinal).await.ok()?;
            let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.ok()?;
            Some(!row.get::<_, bool>(0))
        };
        let answer = tokio::time::timeout(Duration::from_secs(1), asked).await;
        answer.ok().flatten().unwrap_or(false)
    }

    /// Processes of a node whose command line fits.
    fn pids(&self, ordinal: u16, fits: impl Fn(&str) -> bool) -> Vec<Pid> {
        let folder = self.machine(ordinal).path("pg");
        let folder = folder.parent().unwrap().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&folder) && fits(&line) {
                found.extend(Pid::from_raw(pid));
            }
        }
        found
    }
    /// Processes of a node's server that call themselves so: `checkpointer`, `walsender`.
    pub(crate) fn servants(&self, ordinal: u16, name: &str) -> Vec<Pid> {
        let data = self.machine(ordinal).path("pg/data");
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let inside = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data);
            if inside && String::from_utf8_lossy(&line).contains(name) {
                found.extend(Pid::from_raw(pid));
            }
        }
        found
    }
    /// Sends a signal to Patroni itself, not to its guard.
    pub(crate) fn signal_patroni(&self, ordinal: u16, signal: Signal) {
        Self::signal(
            self.pids(ordinal, |line| line.contains("launch.py") && !line.contains("guard.py")),
            signal,
        );
    }
    /// Sends a signal to all that runs on a node.
    pub(crate) fn signal_all(&self, ordinal: u16, signal: Signal) {
        Self::signal(self.pids(ordinal, |_| true), signal);
    }
    pub(crate) fn signal(pids: Vec<Pid>, signal: Signal) {
        assert!(!pids.is_empty(), "no such process");
        pids.into_iter().for_each(|pid| kill_process(pid, signal).unwrap());
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
                            if let (true, Ok((lines, _))) = (failed, machine.log(&unit, 40, None).await) {
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
