//! A real cluster on this computer for one test: machines of the local provider, real servers, real HAProxy. When it is
//! dropped, also by a failing test, every process it started is gone.

use clusterdeck_domain::{
    ClusterId, ClusterName, ClusterObserved, ClusterSpec, Health, Lifecycle, NodeId, NodeKind, NodeSpec,
    PlanId, ProviderId, REGION_LOCAL, Sensitive, ServiceKind, Slot, Topology, cluster_state, layout, plan,
};
use clusterdeck_driver::{
    ClusterContext, Gateway as _, Machine, MachineRequest, Needs, Programs, Progress, Provider as _, Result,
    Secrets, ServiceDriver as _, StartAs, UnitState,
};
use clusterdeck_providers::Local;
use clusterdeck_services::{Haproxy, Redis};
use clusterdeck_testkit::network::{self, Held};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

fn id() -> u128 {
    Uuid::new_v4().as_u128()
}

pub(crate) fn secret() -> Sensitive<String> {
    Sensitive::new(Uuid::new_v4().simple().to_string())
}

/// Which server the tests run on: each test does so once for every one that is installed.
pub(crate) fn services() -> Vec<ServiceKind> {
    match std::env::var("CLUSTERDECK_TEST_SERVICE").as_deref() {
        Ok("redis") => vec![ServiceKind::Redis],
        Ok("valkey") => vec![ServiceKind::Valkey],
        _ => vec![ServiceKind::Redis, ServiceKind::Valkey],
    }
}

pub(crate) struct Ground {
    pub(crate) provider: Local,
    pub(crate) driver: Redis,
    pub(crate) gateway: Haproxy,
    pub(crate) cx: ClusterContext,
    _home: tempfile::TempDir,
    _held: Held,
}

impl Ground {
    /// Machines and a spec; nothing runs yet.
    pub(crate) async fn prepared(service: ServiceKind, topology: Topology, nodes: u16, shards: u16) -> Self {
        Self::prepared_below("", service, topology, nodes, shards).await
    }
    /// The same, with the home in a folder of this name.
    pub(crate) async fn prepared_below(
        folder: &str,
        service: ServiceKind,
        topology: Topology,
        nodes: u16,
        shards: u16,
    ) -> Self {
        let home = tempfile::Builder::new().prefix("cd-redis-").tempdir().unwrap();
        let provider = Local::new(home.path().join(folder));
        let driver = Redis::new();
        let program = driver.programs(service);
        let versions = provider.capacity(&needs(program)).await.unwrap().versions;
        let version = versions.first().unwrap_or_else(|| panic!("{} is not installed", program[0].0)).clone();
        let cluster = ClusterId::new(id());
        let name = ClusterName::parse("demo").unwrap();
        let held = network::hold();
        let mut spec = ClusterSpec {
            id: cluster.clone(),
            service,
            version,
            topology,
            shards,
            provider: ProviderId("local".to_owned()),
            region: REGION_LOCAL.to_owned(),
            plan: PlanId::parse("NANO-1C-256M").unwrap(),
            protected: false,
            auto_failover: topology != Topology::Single,
            options: Default::default(),
            parameters: Default::default(),
            nodes: Vec::new(),
            gateway: None,
            network: held.network.clone(),
            backup_schedules: Vec::new(),
            allowlist: Vec::new(),
            allow_trial: None,
            exposure: None,
            last_ordinal: 0,
            secrets_generation: 1,
            lifecycle: Lifecycle::Active,
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            generation: 1,
            name,
        };
        let mut machines = BTreeMap::new();
        let gateway = request(&spec, "demo-gateway", 0);
        let machine = provider.ensure_machine(&gateway, &Progress::silent()).await.unwrap();
        machines.insert(gateway.id.clone(), machine);
        spec.gateway = Some(provider.machine_spec(&gateway).unwrap());
        let current = driver.secret_names().iter().map(|n| ((*n).to_owned(), secret())).collect();
        let cx = ClusterContext { spec, machines, secrets: Secrets { current, next: None } };
        let mut ground = Self { provider, driver, gateway: Haproxy::new(), cx, _home: home, _held: held };
        for slot in layout(topology, nodes, shards, (1, 60)).unwrap() {
            ground.add_machine(&slot).await;
        }
        ground
    }

    /// A cluster that runs, formed in the order the engine forms it.
    pub(crate) async fn new(service: ServiceKind, topology: Topology, nodes: u16, shards: u16) -> Self {
        let ground = Self::prepared(service, topology, nodes, shards).await;
        ground.create().await;
        ground
    }

    pub(crate) async fn create(&self) {
        let first = self.node(1);
        for node in &self.cx.spec.nodes {
            let start_as = match self.cx.spec.topology {
                Topology::PrimaryReplica if node.id != first.id => StartAs::ReplicaOf(first.id.clone()),
                Topology::PrimaryReplica | Topology::Single => StartAs::Primary,
                _ => StartAs::Member,
            };
            self.driver.start_node(&self.cx, node, &start_as).await.unwrap();
        }
        self.driver.form(&self.cx, &Progress::silent()).await.unwrap();
        self.driver.arm_failover(&self.cx, None).await.unwrap();
        self.apply().await.unwrap();
    }

    pub(crate) async fn apply(&self) -> Result<()> {
        self.gateway.apply(&self.cx, &self.driver.listeners(&self.cx)?).await
    }

    /// Adds a node to the spec, with its machine.
    pub(crate) async fn add_machine(&mut self, slot: &Slot) -> NodeSpec {
        let name = self.cx.spec.name.node(slot.ordinal);
        let request = request(&self.cx.spec, &name, slot.ordinal);
        let machine = self.provider.ensure_machine(&request, &Progress::silent()).await.unwrap();
        self.cx.machines.insert(request.id.clone(), machine);
        let node = NodeSpec {
            id: NodeId::new(id()),
            name,
            ordinal: slot.ordinal,
            kind: if slot.witness { NodeKind::Witness } else { NodeKind::Data },
            shard: slot.shard,
            plan: self.cx.spec.plan.clone(),
            machine: self.provider.machine_spec(&request).unwrap(),
            drained: false,
        };
        self.cx.spec.nodes.push(node.clone());
        node
    }

    pub(crate) fn node(&self, ordinal: u16) -> &NodeSpec {
        self.cx.spec.nodes.iter().find(|n| n.ordinal == ordinal).unwrap()
    }
    pub(crate) fn machine(&self, ordinal: u16) -> &Arc<dyn Machine> {
        self.cx.machine(self.node(ordinal)).unwrap()
    }
    pub(crate) async fn observe(&self) -> ClusterObserved {
        self.driver.observe(&self.cx).await
    }
    pub(crate) fn health(&self, seen: &ClusterObserved) -> Health {
        cluster_state(&self.cx.spec, Some(seen), false).1
    }

    /// Observes until it is as wished.
    pub(crate) async fn seen(
        &self,
        limit: Duration,
        what: &str,
        wish: impl Fn(&ClusterObserved) -> bool,
    ) -> ClusterObserved {
        let begun = Instant::now();
        loop {
            let seen = self.observe().await;
            if wish(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < limit, "{what} within {limit:?}; seen: {seen:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    pub(crate) async fn healthy(&self) -> ClusterObserved {
        let limit = Duration::from_secs(20);
        self.seen(limit, "the cluster is healthy", |seen| {
            self.health(seen) == Health::Healthy && (!seen.failover.enabled || seen.failover.ready)
        })
        .await
    }
    pub(crate) fn primary_of<'a>(&'a self, seen: &ClusterObserved) -> &'a NodeSpec {
        self.cx.spec.node(&seen.primary().expect("one primary").node).unwrap()
    }

    /// Sends a signal to a unit's process.
    pub(crate) async fn signal(&self, ordinal: u16, unit: &str, signal: rustix::process::Signal) {
        let UnitState::Running { pid, .. } = self.machine(ordinal).state(unit).await.unwrap() else {
            panic!("{unit} of node {ordinal} does not run")
        };
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// A connection to an address as people.
    pub(crate) async fn people(&self, machine: &dyn Machine, port: u16) -> redis::aio::MultiplexedConnection {
        connect(machine, port, self.cx.secrets.newest("people").unwrap().reveal()).await.unwrap()
    }
    /// A connection to a node's server as ourselves.
    pub(crate) async fn operator(&self, ordinal: u16) -> redis::aio::MultiplexedConnection {
        let password = self.cx.secrets.newest("operator").unwrap();
        connect_as(self.machine(ordinal).as_ref(), 6379, "operator", password.reveal()).await.unwrap()
    }
}

/// Says something in words without blanks.
pub(crate) async fn say(
    connection: &mut redis::aio::MultiplexedConnection,
    words: &str,
) -> redis::RedisResult<redis::Value> {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query_async(connection).await
}

pub(crate) async fn connect(
    machine: &dyn Machine,
    port: u16,
    password: &str,
) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    connect_as(machine, port, "default", password).await
}

async fn connect_as(
    machine: &dyn Machine,
    port: u16,
    user: &str,
    password: &str,
) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    use redis::IntoConnectionInfo as _;
    let settings = redis::RedisConnectionInfo::default()
        .set_username(user)
        .set_password(password)
        .set_skip_set_lib_name();
    let at = redis::ConnectionAddr::Tcp(machine.address().to_string(), machine.port(port));
    let client = redis::Client::open(at.into_connection_info()?.set_redis_settings(settings))?;
    let limits = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        .set_response_timeout(Some(Duration::from_secs(2)));
    client.get_multiplexed_async_connection_with_config(&limits).await
}

fn needs(programs: &[(&'static str, &'static str)]) -> Needs<'static> {
    let server = Programs { programs: programs.to_vec(), ..Programs::default() };
    Needs { server, ..Needs::default() }
}

fn request(spec: &ClusterSpec, name: &str, slot: u16) -> MachineRequest {
    MachineRequest {
        id: clusterdeck_domain::MachineId::new(id()),
        cluster: spec.id.clone(),
        name: name.to_owned(),
        network: spec.network.clone(),
        slot,
        plan: plan(&spec.plan).unwrap(),
        image: None,
        publish: Vec::new(),
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell_logs();
        }
        // Dropped inside a runtime, which cannot wait for anything; so in a thread with its own.
        let (provider, cx) = (&self.provider, &self.cx);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    for machine in cx.machines.values() {
                        for unit in machine.units().await.unwrap_or_default() {
                            if let Ok(UnitState::Running { pid, .. }) = machine.state(&unit).await {
                                let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
                                // A stopped process would wait for the end of its grace.
                                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
                            }
                        }
                    }
                    let machines = cx.spec.machines();
                    futures::future::join_all(machines.map(|m| provider.remove_machine(m))).await;
                });
            });
        });
    }
}

impl Ground {
    fn tell_logs(&self) {
        let cx = &self.cx;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    for machine in cx.machines.values() {
                        for unit in machine.units().await.unwrap_or_default() {
                            if let Ok((mut lines, _)) = machine.log(&unit, 25, None).await {
                                // Thousands of slots that move would hide what went wrong.
                                lines.retain(|line| !line.contains(" slot "));
                                eprintln!("--- {unit} at {}\n{}", machine.address(), lines.join("\n"));
                            }
                        }
                    }
                });
            });
        });
    }
}
