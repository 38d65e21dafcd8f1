//! A home of its own for a test: engine, store, vault, machines on loopback addresses; all gone at the end.

use clusterdeck_domain::{
    Change, ClusterHealth, CreateCluster, MachineId, Operation, OperationState, PlanId, ProviderId,
    ServiceKind, Topology,
};
use clusterdeck_engine::{ClusterReport, Engine};
use clusterdeck_testkit::{
    ClockAhead,
    containers::{Ground, POSTGRES},
};
use clusterdeck_tests::{
    client::Written,
    proofs::{Proofs, Seen, Subject},
};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

pub(crate) struct Home {
    pub(crate) engine: Engine,
    pub(crate) dir: tempfile::TempDir,
    /// What tells the engine the time.
    pub(crate) clock: Arc<ClockAhead>,
    /// The engine of containers that its machines are on; `None` where they are folders of this computer.
    pub(crate) ground: Option<Ground>,
    /// The release line its clusters are made with; what the service has from the start where none is named.
    version: Option<&'static str>,
    proofs: Mutex<Proofs>,
}

/// Longest wait for anything in these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

impl Home {
    pub(crate) async fn open() -> Self {
        Self::open_that_reaches(None, None).await
    }
    /// The same, with a command that reaches other computers, and with machines in containers where there is ground for them.
    pub(crate) async fn open_that_reaches(rsh: Option<String>, ground: Option<Ground>) -> Self {
        let folder = ground.as_ref().map_or_else(std::env::temp_dir, |ground| ground.dir().to_owned());
        let prefix = if ground.is_some() { "home-" } else { "cd-" };
        let dir = tempfile::Builder::new().prefix(prefix).tempdir_in(folder).unwrap();
        let clock = Arc::<ClockAhead>::default();
        let vaults = clusterdeck_vaults::HomeVaults::new(dir.path());
        let vaults = match rsh {
            Some(rsh) => vaults.over(rsh),
            None => vaults,
        };
        let engine = start_with(dir.path(), &clock, vaults).await;
        Self { engine, dir, clock, ground, version: None, proofs: Mutex::default() }
    }
    /// The same with machines in containers; `None`: outside, and the test is done.
    pub(crate) async fn in_containers() -> Option<Self> {
        Some(Self::inside(Ground::enter()?).await)
    }
    /// The same, with an image of a newer Redis at hand that nobody has named in the settings yet.
    pub(crate) async fn in_containers_with_newer() -> Option<Self> {
        Some(Self::inside(Ground::enter_with_newer()?).await)
    }
    /// The same, with an image of an older line of Valkey beside the newer one.
    pub(crate) async fn in_containers_with_older() -> Option<Self> {
        Some(Self::inside(Ground::enter_with_older()?).await)
    }
    /// The same with Oracle's MySQL.
    pub(crate) async fn in_containers_with_mysql() -> Option<Self> {
        Some(Self::inside(Ground::enter_with_mysql()?).await)
    }
    /// The same with MariaDB in containers.
    pub(crate) async fn in_containers_with_mariadb() -> Option<Self> {
        let mut home = Self::inside(Ground::enter_with_mariadb()?).await;
        home.version = Some("11.8");
        Some(home)
    }
    /// With machines in containers of a Podman that runs without root; `None`: outside, and the test is done.
    pub(crate) async fn without_root() -> Option<Self> {
        Some(Self::inside(Ground::enter_without_root()?).await)
    }
    async fn inside(ground: Ground) -> Self {
        Self::open_that_reaches(None, Some(ground)).await
    }
    /// The same with images that hold PostgreSQL and TimescaleDB, as a person names them in the settings.
    pub(crate) async fn in_containers_with_postgres() -> Option<Self> {
        Some(Self::inside_with_postgres(Ground::enter_with_postgres()?).await)
    }
    async fn inside_with_postgres(ground: Ground) -> Self {
        let home = Self::inside(ground).await;
        let mut settings = home.engine.settings().await;
        let named = ["postgresql:17", "timescaledb:2.19"].map(|name| (name.to_owned(), POSTGRES.to_owned()));
        settings.images.own = named.into();
        home.engine.set_settings(settings).await.unwrap();
        home
    }
    /// Lets the engine go and starts another, as closing and opening the app does.
    pub(crate) async fn reopen(&mut self) {
        self.engine.shutdown(Duration::from_secs(1)).await;
        self.engine = start(self.dir.path(), &self.clock).await;
    }
    /// As a kill: nothing is waited for. Starts another, which takes up what was left.
    pub(crate) async fn crash(&mut self) {
        self.engine.shutdown(Duration::ZERO).await;
        self.engine = start(self.dir.path(), &self.clock).await;
    }
    pub(crate) async fn create(
        &self,
        service: ServiceKind,
        topology: Topology,
        nodes: u16,
        shards: u16,
    ) -> Operation {
        self.done(self.wish(service, topology, nodes, shards)).await
    }
    /// A cluster called demo, where this home has its machines.
    pub(crate) fn wish(&self, service: ServiceKind, topology: Topology, nodes: u16, shards: u16) -> Change {
        // Oracle's MySQL is what MySQL is in containers, and does not run in less.
        let large = service == ServiceKind::Mysql && self.ground.is_some();
        let plan = if large { "LEAN-1C-1G" } else { "NANO-1C-256M" };
        Change::CreateCluster(CreateCluster {
            name: "demo".to_owned(),
            service,
            version: self.version.map(str::to_owned),
            topology: Some(topology),
            nodes: Some(nodes),
            shards: (shards > 0).then_some(shards),
            provider: self.ground.as_ref().map(|_| ProviderId("container".to_owned())),
            region: None,
            plan: PlanId::parse(plan).ok(),
            protected: false,
            auto_failover: None,
            options: None,
        })
    }
    /// Confirms a change and expects it to succeed.
    pub(crate) async fn done(&self, change: Change) -> Operation {
        let before = self.subject().await;
        let operation = self.run(change.clone()).await;
        // The step that failed comes first: a long report is cut where it is read.
        let failed = operation.steps.iter().find(|s| s.error.is_some());
        let failed = failed.map(|s| format!("{}: {:?}", s.name, s.error));
        assert_eq!(operation.state, OperationState::Succeeded, "{failed:?}\n{change:?}: {:#?}", operation);
        let subject = if before.is_some() { before } else { self.subject().await };
        if let Some(subject) = subject {
            self.proofs.lock().unwrap().note(&subject, operation.kind.id(), Seen::Ran);
        }
        operation
    }
    /// A dead primary was replaced by itself.
    pub(crate) async fn failed_over(&self) {
        let subject = self.subject().await.expect("a cluster");
        self.proofs.lock().unwrap().note(&subject, "failover", Seen::Ran);
    }
    async fn subject(&self) -> Option<Subject> {
        let spec = self.engine.cluster("demo").await.ok()?.spec;
        Some(Subject {
            service: spec.service.to_string(),
            version: spec.version.clone(),
            topology: spec.topology.to_string(),
            provider: spec.provider.0.clone(),
        })
    }
    /// Confirms a change as a person would and waits for its end.
    pub(crate) async fn run(&self, change: Change) -> Operation {
        let operation = self.begin(change.clone()).await;
        // Containers are made and asked by processes of their engine, which wait for the processor like everybody here.
        let patience = if self.ground.is_some() { PATIENCE * 2 } else { PATIENCE };
        let ended = tokio::time::timeout(patience, self.engine.wait(&operation.id)).await;
        let Ok(ended) = ended else {
            let stuck = self.engine.operation(&operation.id).await;
            panic!("{change:?} must end: {stuck:#?}\n{:#?}", self.cluster().await.observed);
        };
        ended.unwrap()
    }
    /// Confirms a change; waits for the blockers of a settling cluster (a replica that still catches up) to go away.
    pub(crate) async fn begin(&self, change: Change) -> Operation {
        let started = Instant::now();
        loop {
            let prepared = self.engine.preview(change.clone()).await.unwrap();
            if prepared.preview.blockers.is_empty() {
                let typed = prepared.preview.confirm.clone();
                match self.engine.confirm(&prepared.id, typed.as_deref(), "test", None).await {
                    Ok(operation) => return operation,
                    Err(error) if started.elapsed() > PATIENCE / 2 => panic!("{change:?}: {error}"),
                    Err(_) => {}
                }
            }
            assert!(started.elapsed() < PATIENCE / 2, "{change:?}: {:#?}", prepared.preview.blockers);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    pub(crate) async fn cluster(&self) -> ClusterReport {
        self.engine.cluster("demo").await.unwrap()
    }
    /// Waits until what is seen of the cluster is as wanted; how long that took.
    pub(crate) async fn until(&self, what: &str, fits: impl Fn(&ClusterReport) -> bool) -> Duration {
        let started = Instant::now();
        self.found(what, |cluster| fits(cluster).then_some(())).await;
        started.elapsed()
    }
    /// The same for something that is looked for in what was seen.
    pub(crate) async fn found<T>(&self, what: &str, find: impl Fn(&ClusterReport) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let cluster = self.cluster().await;
            if let Some(found) = find(&cluster) {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {:#?}", cluster.observed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    pub(crate) async fn until_healthy(&self) -> Duration {
        self.until("the cluster must be healthy", |c| c.health == ClusterHealth::Healthy).await
    }
    /// Name of the node that takes the writes, once somebody does.
    pub(crate) async fn primary(&self) -> String {
        self.found("somebody must be primary", |c| {
            let seen = c.observed.as_ref().and_then(|o| o.primary())?;
            c.spec.node(&seen.node).map(|n| n.name.clone())
        })
        .await
    }
    /// An address with password, ready to connect.
    pub(crate) async fn url(&self) -> String {
        let credentials = self.engine.credentials("demo", true, "test").await.unwrap();
        credentials.url.unwrap().reveal().clone()
    }
    /// Process id of a node's unit, from the machine's own note.
    pub(crate) async fn pid(&self, node: &str, unit: &str) -> u32 {
        let cluster = self.cluster().await;
        let machine = cluster.spec.find_node(node).expect("a node").machine.id.clone();
        if let Some(ground) = &self.ground {
            return server_in(ground, &format!("clusterdeck-{machine}-{unit}"));
        }
        self.pid_on(&machine, unit)
    }
    /// The same on a machine of this computer.
    pub(crate) fn pid_on(&self, machine: &MachineId, unit: &str) -> u32 {
        let note = self.dir.path().join(format!("machines/{machine}/units/{unit}.json"));
        let note: serde_json::Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
        let found = find_number(&note, "pid").unwrap_or_else(|| panic!("no pid in {note}"));
        u32::try_from(found).unwrap()
    }
    /// Waits until another node than this one leads.
    pub(crate) async fn until_another_leads(&self, old: &str) -> Duration {
        self.until("somebody else must lead", |c| {
            let old = c.spec.find_node(old).unwrap();
            c.observed.as_ref().unwrap().primary().is_some_and(|p| p.node != old.id)
        })
        .await
    }
    /// Kills the server of a node, and in a container what stands below it.
    pub(crate) async fn kill_server(&self, node: &str, service: ServiceKind) {
        let unit = match service {
            ServiceKind::Postgresql | ServiceKind::Timescaledb | ServiceKind::Hydra => "patroni",
            ServiceKind::Mysql => "mysql",
            _ => "redis",
        };
        let Some(ground) = &self.ground else { return signal(self.pid(node, unit).await, "-9") };
        let machine = self.cluster().await.spec.find_node(node).expect("a node").machine.id.clone();
        ground.podman(&["kill", &format!("clusterdeck-{machine}-{unit}")]);
    }
    /// Process and start of every PostgreSQL server, as each wrote it down itself.
    pub(crate) async fn postmasters(&self) -> Vec<String> {
        let spec = self.cluster().await.spec;
        let of = |node: &clusterdeck_domain::NodeSpec| {
            let file = format!("machines/{}/pg/data/postmaster.pid", node.machine.id);
            let text = std::fs::read_to_string(self.dir.path().join(file)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("{} {:?} {:?}", node.name, lines.first(), lines.get(2))
        };
        spec.data_nodes().map(of).collect()
    }
    /// Everything that a deleted cluster left behind.
    pub(crate) async fn left_behind(&self) -> Vec<String> {
        let mut found: Vec<String> =
            self.engine.clusters().await.iter().map(|c| format!("cluster {}", c.spec.name)).collect();
        found.extend(
            processes_of(self.dir.path()).iter().map(|pid| format!("process {pid} {}", command(*pid))),
        );
        found.extend(self.ground.iter().flat_map(Ground::everything));
        let machines = self.dir.path().join("machines");
        let folders = std::fs::read_dir(machines).map(|d| d.flatten().map(|e| e.path()).collect::<Vec<_>>());
        found.extend(folders.unwrap_or_default().iter().map(|p| format!("folder {}", p.display())));
        found
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        clusterdeck_tests::places::tell_logs_of_a_failure(self.dir.path());
        // In containers the engine has the logs of the servers.
        self.ground.iter().filter(|_| std::thread::panicking()).for_each(Ground::tell_logs);
        // Servers outlive the engine by design; a test ends those it started, and only those.
        for pid in processes_of(self.dir.path()) {
            drop(Command::new("kill").args(["-9", &pid.to_string()]).status());
        }
    }
}

/// Processes whose working folder lies in this home. (Redis writes over its environment, so a marker there is no help.)
pub(crate) fn processes_of(home: &Path) -> Vec<u32> {
    let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let inside = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&home));
        let ended = std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|s| s.contains(") Z "));
        if inside && !ended && pid != std::process::id() {
            found.push(pid);
        }
    }
    found
}

/// The server in a container: what its small first process started.
fn server_in(ground: &Ground, container: &str) -> u32 {
    let first = ground.podman(&["inspect", "--format", "{{.State.Pid}}", container]);
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
    children
        .split_whitespace()
        .next()
        .unwrap_or_else(|| panic!("{container} runs no server"))
        .parse()
        .unwrap()
}

fn find_number(value: &serde_json::Value, name: &str) -> Option<u64> {
    let members = value.as_object()?;
    members
        .get(name)
        .and_then(serde_json::Value::as_u64)
        .or_else(|| members.values().find_map(|v| find_number(v, name)))
}

fn command(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

async fn start(home: &Path, clock: &Arc<ClockAhead>) -> Engine {
    start_with(home, clock, clusterdeck_vaults::HomeVaults::new(home)).await
}

async fn start_with(home: &Path, clock: &Arc<ClockAhead>, vaults: clusterdeck_vaults::HomeVaults) -> Engine {
    let key: PathBuf = home.join("key");
    if !key.exists() {
        std::fs::write(&key, "a key for tests that is long enough, 0123456789abcdef\n").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut options = clusterdeck_secrets::OpenOptions::new(home);
    options.vault_key_file = Some(key);
    let parts = clusterdeck_engine::Parts {
        state: Arc::new(clusterdeck_store::State::open(home).unwrap()),
        cache: Arc::new(clusterdeck_store::Cache::open(home).unwrap()),
        secrets: clusterdeck_secrets::open(options).unwrap(),
        services: vec![
            Arc::new(clusterdeck_services::Redis::new()),
            Arc::new(clusterdeck_services::Postgres::new()),
            Arc::new(clusterdeck_services::Mysql::new()),
        ],
        providers: vec![
            Arc::new(clusterdeck_providers::Local::new(home.to_owned())),
            Arc::new(clusterdeck_providers::Container::new(home.to_owned())),
        ],
        gateway: Arc::new(clusterdeck_services::Haproxy::new()),
        vaults: Arc::new(vaults),
        clock: clock.clone(),
    };
    Engine::start(parts).await.unwrap()
}

/// Acknowledged writes that are not there any more.
pub(crate) fn missing(url: &str, written: &Written) -> Vec<u64> {
    tokio::task::block_in_place(|| clusterdeck_tests::client::missing(url, false, &written.acknowledged))
}

/// Sends a signal to a process that this test started.
pub(crate) fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill {signal} {pid}");
}
