//! The gateway: HAProxy gives a cluster its stable addresses. It runs as one foreground unit, a master with a worker;
//! a reload starts a new worker and leaves open connections with the one before.
//!
//! Everything at run time goes through the master's socket in the folder of the machine. Where that folder is not in our
//! file system, HAProxy itself leads to it, through TLS in which both sides prove who they are (see `keys`).

mod access;
mod config;
mod keys;
mod runtime;

use async_trait::async_trait;
use clusterdeck_domain::{NodeId, Topology};
use clusterdeck_driver::{
    ClusterContext, DriverError, Gateway, GatewayStatus, Listener, Machine, Result, Traffic, UnitSpec,
    UnitState,
};
use keys::Keys;
use runtime::Channel;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::PathBuf,
    time::{Duration, Instant},
};

const UNIT: &str = "haproxy";
/// 0600: it holds the password of the user that may only ask for a role.
const CONFIG: &str = "haproxy/haproxy.cfg";
const STATE: &str = "haproxy/servers";
/// Short, and not in the folder: the path has to fit in [`LONGEST_SOCKET_PATH`].
const SOCKET: &str = "h.sock";
/// A socket's path has at most 107 bytes (unix(7)), and HAProxy adds `.<process>.tmp` while it makes it.
const LONGEST_SOCKET_PATH: usize = 95;
/// A worker is there within 50 ms.
const STARTS_WITHIN: Duration = Duration::from_secs(5);
/// Two checks 50 ms apart bring a node up; without one the endpoint is simply not up yet.
const FIRST_CHECKS: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The gateway of every service.
#[derive(Debug, Default)]
pub struct Haproxy {
    keys: Keys,
}

impl Haproxy {
    /// Makes it.
    pub const fn new() -> Self {
        Self { keys: Keys::new() }
    }

    /// The way to the master of a machine's HAProxy. Makes the keys that need to be there first.
    async fn channel(&self, machine: &dyn Machine) -> Result<Channel> {
        match machine.here(SOCKET) {
            Some(path) => socket(path).map(Channel::Socket),
            None => self.keys.channel(machine).await,
        }
    }
}

/// Where the socket is: in the folder of the machine, or under `/tmp` in a folder of ours when that path is too long.
fn socket(path: PathBuf) -> Result<PathBuf> {
    let plain = path.to_string_lossy();
    if plain.len() <= LONGEST_SOCKET_PATH && !plain.contains([',', ' ']) {
        return Ok(path);
    }
    let io = |e: std::io::Error| DriverError::broken(format!("no folder for HAProxy's socket: {e}"));
    let me = std::fs::metadata("/proc/self").map_err(io)?.uid();
    let folder = PathBuf::from(format!("/tmp/clusterdeck-{me}"));
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(e)),
        _ => {}
    }
    // Anybody may make a folder there first; one that others can enter would give them the endpoints.
    let found = std::fs::symlink_metadata(&folder).map_err(io)?;
    if !found.is_dir() || found.uid() != me || found.mode() & 0o077 != 0 {
        let what = format!("{} is not a folder of ours alone", folder.display());
        return Err(DriverError::rejected(
            what,
            "remove it, or use a shorter path for the home of Clusterdeck",
        ));
    }
    Ok(folder.join(format!("{}.sock", hex::encode(&Sha256::digest(plain.as_bytes())[..8]))))
}

/// The mark of the configuration that the current worker runs with.
async fn mark(socket: &Channel) -> Result<String> {
    let worker = runtime::workers(socket).await?.current;
    let info = runtime::tell(socket, &runtime::to(worker, &["show info".to_owned()])).await?;
    let mark = info.lines().find_map(|line| line.strip_prefix("description: "));
    mark.map(|m| m.trim().to_owned())
        .ok_or_else(|| DriverError::transient("HAProxy does not say what it runs with"))
}

async fn runs_with(machine: &dyn Machine, socket: &Channel, wanted: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        match mark(socket).await {
            Ok(mark) if mark == wanted => return Ok(()),
            Err(e) if !e.is_transient() => return Err(e),
            Err(_) if begun.elapsed() < STARTS_WITHIN => {
                // It tries for two seconds to get a port that is taken, then ends: trying again would do the same.
                if let UnitState::Crashed { detail, .. } = machine.state(UNIT).await? {
                    let why = detail.split("; its log ends").next().unwrap_or_default();
                    return Err(DriverError::rejected(
                        format!("HAProxy does not run: {why}"),
                        "the log of its unit says more; `ss -ltnp` names the program that has a port",
                    ));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(_) if begun.elapsed() < STARTS_WITHIN => tokio::time::sleep(LOOK_EVERY).await,
            Ok(_) => {
                return Err(DriverError::rejected(
                    "HAProxy did not take its new configuration; the one before stays in force",
                    "the log of its unit says why",
                ));
            }
            Err(e) => return Err(e),
        }
    }
}

impl Haproxy {
    async fn running(&self, cx: &ClusterContext) -> Result<(Channel, runtime::Workers)> {
        let socket = self.channel(cx.gateway()?.as_ref()).await?;
        let workers = runtime::workers(&socket).await?;
        Ok((socket, workers))
    }

    /// Waits a moment for the first node to pass its checks.
    async fn first_checks(&self, cx: &ClusterContext) {
        let begun = Instant::now();
        while begun.elapsed() < FIRST_CHECKS {
            match self.status(cx).await {
                Ok(status) if status.up.iter().any(|(t, _)| *t == Traffic::ReadWrite) => return,
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn set_weight(&self, cx: &ClusterContext, node: &NodeId, weight: u8) -> Result<()> {
        let (socket, workers) = self.running(cx).await?;
        let name = &cx.node(node)?.name;
        let commands = ["rw", "ro"].map(|b| format!("set server {b}/{name} weight {weight}"));
        runtime::refused(&runtime::tell(&socket, &runtime::to(workers.current, &commands)).await?)
    }
}

#[async_trait]
impl Gateway for Haproxy {
    fn programs(&self) -> &'static [(&'static str, &'static str)] {
        &[("haproxy", "the stable addresses of a cluster")]
    }

    fn images(&self) -> &'static [(&'static str, &'static str)] {
        &[("3.0", "docker.io/library/haproxy:3.0")]
    }

    fn ports(&self) -> &'static [u16] {
        &[keys::PORT]
    }
    fn unit(&self) -> &'static str {
        UNIT
    }

    async fn apply(&self, cx: &ClusterContext, listeners: &[Listener]) -> Result<()> {
        let machine = cx.gateway()?;
        let socket = self.channel(machine.as_ref()).await?;
        let state_file = machine.path(STATE).to_string_lossy().into_owned();
        let one_writer = matches!(cx.spec.topology, Topology::Single | Topology::PrimaryReplica);
        let door = matches!(socket, Channel::Tls { .. }).then(|| keys::door(machine.as_ref()));
        let access = access::rules(&cx.spec);
        let (address, exposed) = (machine.address(), cx.spec.exposed_at());
        let config =
            config::config(address, &state_file, listeners, one_writer, &access, exposed, door.as_deref());
        let all_down = config::state(listeners, &HashMap::new());
        let running = machine.state(UNIT).await?.is_running();
        if running && mark(&socket).await.is_ok_and(|mark| mark == config.mark) {
            return Ok(());
        }
        machine.write(CONFIG, config.text.as_bytes(), 0o600).await?;
        if running {
            let worker = runtime::workers(&socket).await?.current;
            let dump =
                runtime::tell(&socket, &runtime::to(worker, &["show servers state".to_owned()])).await?;
            let state = config::state(listeners, &config::read_state(&dump));
            machine.write(STATE, state.as_bytes(), 0o600).await?;
            runtime::tell(&socket, "reload").await?;
            runs_with(machine.as_ref(), &socket, &config.mark).await?;
            // Should it crash one day, it must not begin with who is up today.
            return machine.write(STATE, all_down.as_bytes(), 0o600).await;
        }
        machine.write(STATE, all_down.as_bytes(), 0o600).await?;
        let found = machine.software("haproxy").await?;
        let program = found.first().ok_or_else(|| {
            DriverError::rejected(
                "haproxy is not installed on the gateway's machine",
                "install haproxy, then try again",
            )
        })?;
        let args = ["-W", "-db", "-S"].map(str::to_owned).into_iter();
        let master = match &socket {
            Channel::Socket(path) => path.clone(),
            Channel::Tls { .. } => machine.path(SOCKET),
        };
        let at = [format!("{},mode,600", master.display()), "-f".to_owned()];
        machine
            .start(&UnitSpec {
                name: UNIT.to_owned(),
                program: program.path.clone(),
                args: args.chain(at).chain([machine.path(CONFIG).to_string_lossy().into_owned()]).collect(),
                memory_bytes: None,
                stop_grace: Duration::from_secs(3),
                restart: true,
                restart_not_before: Duration::ZERO,
                unprivileged: false,
            })
            .await?;
        runs_with(machine.as_ref(), &socket, &config.mark).await?;
        self.first_checks(cx).await;
        Ok(())
    }

    async fn point_to(&self, cx: &ClusterContext, node: &NodeId) -> Result<()> {
        let target = cx.node(node)?.name.clone();
        let (socket, workers) = self.running(cx).await?;
        let others: Vec<_> = cx.spec.data_nodes().filter(|n| n.id != *node).map(|n| n.name.clone()).collect();
        // The health is set, not a forced state: the next role checks count from there, and decide.
        let mut turn: Vec<_> = others.iter().map(|n| format!("set server rw/{n} health down")).collect();
        turn.push(format!("set server rw/{target} health up"));
        turn.extend(others.iter().map(|n| format!("shutdown sessions server rw/{n}")));
        if !others.is_empty() {
            turn.extend(others.iter().map(|n| format!("set server ro/{n} health up")));
            turn.push(format!("set server ro/{target} health down"));
        }
        runtime::refused(&runtime::tell(&socket, &runtime::to(workers.current, &turn)).await?)?;
        // A worker from before a reload has no checks any more; all it has are connections, and those end.
        let end: Vec<_> = others.iter().map(|n| format!("shutdown sessions server rw/{n}")).collect();
        for worker in workers.before {
            if let Err(e) = runtime::tell(&socket, &runtime::to(worker, &end)).await {
                tracing::debug!(worker, error = %e, "a former HAProxy worker has ended meanwhile");
            }
        }
        Ok(())
    }

    async fn drain(&self, cx: &ClusterContext, node: &NodeId) -> Result<()> {
        self.set_weight(cx, node, 0).await
    }

    async fn undrain(&self, cx: &ClusterContext, node: &NodeId) -> Result<()> {
        self.set_weight(cx, node, 1).await
    }

    async fn disconnect(&self, cx: &ClusterContext, node: &NodeId) -> Result<()> {
        let (socket, workers) = self.running(cx).await?;
        let name = &cx.node(node)?.name;
        let commands = ["rw", "ro"].map(|b| format!("shutdown sessions server {b}/{name}"));
        runtime::tell_all(&socket, &workers, &commands).await
    }

    async fn cut_outsiders(&self, cx: &ClusterContext) -> Result<u64> {
        access::cut(&self.channel(cx.gateway()?.as_ref()).await?, &cx.spec).await
    }

    async fn status(&self, cx: &ClusterContext) -> Result<GatewayStatus> {
        let (socket, workers) = self.running(cx).await?;
        // Only servers (type 4) of all backends.
        let ask = ["show stat -1 4 -1".to_owned()];
        let mut status = GatewayStatus::default();
        let mut connections: HashMap<String, u64> = HashMap::new();
        let text = runtime::tell(&socket, &runtime::to(workers.current, &ask)).await?;
        let mut count = |text: &str, status: Option<&mut GatewayStatus>| {
            let mut up = Vec::new();
            for words in text.lines().map(|l| l.split(',').collect::<Vec<_>>()).filter(|w| w.len() > 18) {
                let Some(traffic) = config::traffic(words[0]) else { continue };
                *connections.entry(words[1].to_owned()).or_default() += words[4].parse::<u64>().unwrap_or(0);
                if let (true, Some(node)) = (words[17].starts_with("UP"), cx.spec.find_node(words[1])) {
                    // A drained server stays `UP` with weight 0 while it takes nothing.
                    if words[18] != "0" {
                        up.push((traffic, node.id.clone()));
                    }
                }
            }
            if let Some(status) = status {
                status.up = up;
            }
        };
        count(&text, Some(&mut status));
        for worker in workers.before {
            if let Ok(text) = runtime::tell(&socket, &runtime::to(worker, &ask)).await {
                count(&text, None);
            }
        }
        let named =
            connections.into_iter().filter_map(|(name, n)| Some((cx.spec.find_node(&name)?.id.clone(), n)));
        status.connections = named.collect();
        status.connections.sort();
        Ok(status)
    }
}
