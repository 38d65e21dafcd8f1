//! A home on an engine of its own, and looks at containers that do not go through the code under test.

use clusterdeck_domain::{ClusterId, MachineId, Network, PlanId};
use clusterdeck_driver::{Machine, MachineRequest, Progress, Provider, UnitSpec, UnitState};
use clusterdeck_providers::Container;
use clusterdeck_testkit::containers::Ground;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// The image that all of these machines run from; what is in it does not matter here.
pub(crate) const IMAGE: &str = "docker.io/library/redis:8.0";
/// Longest wait for anything that happens within a second; the machine may be busy with builds.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Home {
    pub(crate) ground: Ground,
    pub(crate) dir: PathBuf,
    pub(crate) network: Network,
}

impl Home {
    /// `None`: outside, and the test is done.
    pub(crate) async fn enter() -> Option<Self> {
        Some(Self::on(Ground::enter()?).await)
    }
    /// The same on an engine whose addresses lead nowhere from here.
    pub(crate) async fn enter_without_root() -> Option<Self> {
        Some(Self::on(Ground::enter_without_root()?).await)
    }
    async fn on(ground: Ground) -> Self {
        let dir = ground.dir().join("home");
        let provider = Container::new(dir.clone());
        let network = provider.allocate_network(&ClusterId::new(1), "", &[]).await.unwrap();
        Self { ground, dir, network }
    }
    pub(crate) fn provider(&self) -> Container {
        Container::new(self.dir.clone())
    }
    pub(crate) fn request(&self, number: u16) -> MachineRequest {
        MachineRequest {
            id: MachineId::new(u128::from(number)),
            cluster: ClusterId::new(1),
            name: format!("demo-{number}"),
            network: self.network.clone(),
            slot: number,
            plan: clusterdeck_domain::plan(&PlanId::parse("NANO-1C-256M").unwrap()).unwrap(),
            image: Some(IMAGE.to_owned()),
            publish: vec![6379],
        }
    }
    pub(crate) async fn machine(&self) -> Arc<dyn Machine> {
        self.machine_of(&self.provider(), 1).await
    }
    pub(crate) async fn machine_of(&self, provider: &Container, number: u16) -> Arc<dyn Machine> {
        provider.ensure_machine(&self.request(number), &Progress::silent()).await.unwrap()
    }
    /// A value of a container, by Podman's own words for it.
    pub(crate) fn inspect(&self, container: &str, what: &str) -> String {
        self.ground.podman(&["inspect", "--format", &format!("{{{{{what}}}}}"), container])
    }
    pub(crate) fn kill(&self, container: &str, signal: &str) {
        self.ground.podman(&["kill", "--signal", signal, container]);
    }
}

/// The container of a unit of machine 1.
pub(crate) fn container(unit: &str) -> String {
    format!("clusterdeck-{}-{unit}", MachineId::new(1))
}

pub(crate) fn unit(name: &str, program: &str, args: &[&str]) -> UnitSpec {
    UnitSpec {
        name: name.to_owned(),
        program: program.into(),
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        memory_bytes: None,
        stop_grace: Duration::from_secs(5),
        restart: true,
        restart_not_before: Duration::ZERO,
        unprivileged: true,
    }
}

pub(crate) fn script(name: &str, text: &str) -> UnitSpec {
    unit(name, "/bin/sh", &["-c", text])
}

pub(crate) fn sleeper() -> UnitSpec {
    unit("sleeper", "/usr/bin/sleep", &["1000"])
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a unit has crashed, and tells how.
pub(crate) async fn crashed(machine: &dyn Machine, name: &str) -> (String, u32) {
    let begun = Instant::now();
    loop {
        match machine.state(name).await.unwrap() {
            UnitState::Crashed { detail, restarts } => return (detail, restarts),
            other => assert!(begun.elapsed() < SOON, "{name} must have crashed: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn pid_of(machine: &dyn Machine, name: &str) -> u32 {
    match machine.state(name).await.unwrap() {
        UnitState::Running { pid, .. } => pid,
        other => panic!("{name} must run: {other:?}"),
    }
}
