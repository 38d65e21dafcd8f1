//! A home that cleans up, and looks at processes that do not go through the code under test.

use clusterdeck_domain::{ClusterId, MachineId, Network, PlanId};
use clusterdeck_driver::{Machine, MachineRequest, Progress, Provider, UnitSpec, UnitState};
use clusterdeck_providers::Local;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest wait for anything that happens within milliseconds; the machine may be busy with builds.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A home in a temporary folder.
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Self { dir: temporary.path().join("home"), _temporary: temporary }
    }
    pub(crate) fn local(&self) -> Local {
        Local::new(self.dir.clone())
    }
    /// Machine `number` of the first network, as this `Local` makes it.
    pub(crate) async fn machine_of(&self, local: &Local, number: u16) -> Arc<dyn Machine> {
        local.ensure_machine(&self.request(local, number).await, &Progress::silent()).await.unwrap()
    }
    pub(crate) async fn machine(&self) -> Arc<dyn Machine> {
        self.machine_of(&self.local(), 1).await
    }
    pub(crate) async fn request(&self, local: &Local, number: u16) -> MachineRequest {
        let at = self.dir.join("network");
        let network = match fs::read_to_string(&at) {
            Ok(text) => Network(text),
            Err(_) => {
                let network = local.allocate_network(&ClusterId::new(1), "", &[]).await.unwrap();
                fs::create_dir_all(&self.dir).unwrap();
                fs::write(&at, &network.0).unwrap();
                network
            }
        };
        MachineRequest {
            id: MachineId::new(u128::from(number)),
            cluster: ClusterId::new(1),
            name: format!("demo-{number}"),
            network,
            slot: number,
            plan: clusterdeck_domain::plan(&PlanId::parse("NANO-1C-256M").unwrap()).unwrap(),
            image: None,
            publish: Vec::new(),
        }
    }
    pub(crate) fn root(&self, machine: &dyn Machine) -> PathBuf {
        self.dir.join("machines").join(machine.id().as_str())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // By what the processes write to, so that it does not depend on the notes under test.
        // Again while there are any: a shell may be starting the next program in the moment we look.
        let ours = |pid: &u32| {
            alive(*pid)
                && fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|out| out.starts_with(&self.dir))
        };
        for _ in 0..20 {
            let left: Vec<u32> = processes().into_iter().filter(ours).collect();
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(|pid| signal(pid, "KILL"));
        }
    }
}

/// A unit that runs a shell script.
pub(crate) fn script(name: &str, text: &str) -> UnitSpec {
    unit(name, "/bin/sh", &["-c", text])
}
/// A unit that does nothing for long.
pub(crate) fn sleeper() -> UnitSpec {
    unit("sleeper", "/usr/bin/sleep", &["1000"])
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
        unprivileged: false,
    }
}

/// The pid of a unit that must be running.
pub(crate) async fn pid_of(machine: &dyn Machine, name: &str) -> u32 {
    match machine.state(name).await.unwrap() {
        UnitState::Running { pid, .. } => pid,
        other => panic!("{name} is not running: {other:?}"),
    }
}

/// Waits until a unit has crashed; gives what is known of it.
pub(crate) async fn crashed(machine: &dyn Machine, name: &str) -> (String, u32) {
    let begun = Instant::now();
    loop {
        match machine.state(name).await.unwrap() {
            UnitState::Crashed { detail, restarts } => return (detail, restarts),
            other => assert!(begun.elapsed() < SOON, "{name} has not crashed: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until something is so; `what` is told when it is not.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < SOON, "{what}: still not after {SOON:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All processes there are.
pub(crate) fn processes() -> Vec<u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a process runs; its remains do not count.
pub(crate) fn alive(pid: u32) -> bool {
    field(pid, 0).is_some_and(|state| state != "Z" && state != "X")
}

/// A field of `/proc/<pid>/stat` behind the name: 0 state, 1 parent, 3 session.
pub(crate) fn field(pid: u32, at: usize) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    line[line.rfind(')')? + 1..].split_whitespace().nth(at).map(str::to_owned)
}

/// Processes that run and whose arguments contain this text.
pub(crate) fn with_argument(text: &str) -> Vec<u32> {
    let has = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|all| all.split(|b| *b == 0).any(|a| a == text.as_bytes()))
    };
    processes().into_iter().filter(|pid| has(pid) && alive(*pid)).collect()
}

/// Sends a signal to a process that a test started.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("/bin/kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.is_ok(), "kill is there");
}

/// Changes a unit's note on disk, as a kill at the wrong moment or another time would have left it.
pub(crate) fn rewrite_note(root: &Path, unit: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let path = root.join("units").join(format!("{unit}.json"));
    let mut note = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut note);
    fs::write(&path, serde_json::to_vec(&note).unwrap()).unwrap();
}
