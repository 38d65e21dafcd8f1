//! A machine in containers: one container holds its address and its files and does nothing else; every unit is a container
//! of its own that joins it.

use super::{
    Shared,
    config::{self, MachineNote},
    engines::Engine,
    exec::{self, Ran, Script},
    failure::{ACTS_WITHIN, ANSWERS_WITHIN, asked},
    files, network, pipe, publish, raw,
    unit::{remove_container, scratch, volume},
};
use crate::path::{MachinePath, lexical};
use async_trait::async_trait;
use bollard::{
    models::{
        ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, NetworkingConfig,
        RestartPolicy, RestartPolicyNameEnum, VolumeCreateRequest,
    },
    query_parameters::{CreateContainerOptionsBuilder, KillContainerOptionsBuilder},
};
use clusterdeck_domain::{MachineId, Plan};
use clusterdeck_driver::{
    Carried, ClientCommand, DriverError, Extension, Filter, Incoming, Machine, Outgoing, Result, Software,
    UnitSpec, UnitState, UnitUsage,
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// Holds the machine's place and does nothing: 68 years.
const IDLE: &str = "exec sleep 2147483647";
/// How long the size of a folder counts as known: finding it out walks the folder, and the watcher asks every 2 s.
const SIZE_FRESH: Duration = Duration::from_secs(20);
/// A bridge is there a moment after the first container on it.
const ROUTE_WITHIN: Duration = Duration::from_secs(2);
/// A port is free again within milliseconds of the end of the container that had it.
const LETS_GO_WITHIN: Duration = Duration::from_secs(2);
/// A virtual machine's engine tells this computer of a port some time after it has it.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct ContainerMachine {
    pub shared: Arc<Shared>,
    pub engine: Arc<Engine>,
    pub note: MachineNote,
    /// The id of the image that everything on it runs from.
    pub image: String,
}

/// How a machine's own container stands.
pub(super) struct Standing {
    /// It runs.
    pub running: bool,
    /// The id of its image.
    pub image: String,
}

/// Looks at a machine's own container; `None` when there is none of this home.
pub(super) async fn standing(engine: &Engine, home_id: &str, id: &MachineId) -> Result<Option<Standing>> {
    let found = raw::container(engine, "looking at the machine", &config::machine_name(id)).await?;
    let ours = |found: &raw::Container| {
        let labels = found.config.labels.as_ref();
        labels.and_then(|labels| labels.get(config::HOME)).map(String::as_str) == Some(home_id)
    };
    Ok(found.filter(ours).map(|found| Standing { running: found.state.running, image: found.image }))
}

impl ContainerMachine {
    fn name(&self) -> String {
        config::machine_name(&self.note.spec.id)
    }

    /// Makes volume, network and container, each unless it is there, and starts the container. The volume first: it is
    /// what says that there is a machine, and the last to go.
    pub(super) async fn make(&self) -> Result<()> {
        let (home, request, name) = (&self.shared.home_id, &self.note.request, self.name());
        let text = serde_json::to_string(&self.note).unwrap_or_default();
        let ours = [(config::CLUSTER, request.cluster.as_str()), (config::MACHINE, request.id.as_str())];
        let mut labels = config::labels(home, &ours);
        labels.insert(config::REQUEST.to_owned(), text);
        // Making a volume that is there gives that one back.
        let wanted =
            VolumeCreateRequest { name: Some(name.clone()), labels: Some(labels), ..Default::default() };
        let docker = &self.engine.docker;
        let there = asked("looking for the volume", ANSWERS_WITHIN, docker.inspect_volume(&name)).await;
        match there {
            Err(DriverError::Gone { .. }) => {
                asked("making the volume", ACTS_WITHIN, docker.create_volume(wanted)).await?;
            }
            other => drop(other?),
        }
        let network = {
            // The machines of a cluster are made at once; Docker would make two networks of one name, or refuse the second.
            let _one = self.shared.lock(&config::network_name(&request.cluster)).await;
            network::ensure(&self.engine, home, request).await?
        };
        if standing(&self.engine, home, &request.id).await?.is_none() {
            let options = CreateContainerOptionsBuilder::default().name(&name).build();
            let made =
                docker.create_container(Some(options), self.body(&network, config::labels(home, &ours)));
            asked("making the machine", ACTS_WITHIN, made).await?;
        }
        self.bring_up().await?;
        self.own_the_volume().await?;
        self.until_reachable().await
    }

    fn body(&self, network: &str, labels: HashMap<String, String>) -> ContainerCreateBody {
        let endpoint = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(self.note.spec.address.to_string()),
                ..Default::default()
            }),
            aliases: Some(vec![self.note.request.name.clone()]),
            ..Default::default()
        };
        let published = &self.note.published;
        ContainerCreateBody {
            image: Some(self.image.clone()),
            hostname: Some(self.note.request.name.clone()),
            entrypoint: Some(["/bin/sh", "-c", IDLE].map(str::to_owned).into()),
            cmd: Some(Vec::new()),
            user: Some(config::USER.to_owned()),
            working_dir: Some(config::ROOT.to_owned()),
            labels: Some(labels),
            stop_timeout: Some(1),
            exposed_ports: Some(published.keys().map(|port| format!("{port}/tcp")).collect()),
            host_config: Some(HostConfig {
                init: Some(true),
                port_bindings: Some(publish::bindings(published)),
                network_mode: Some(network.to_owned()),
                mounts: Some(vec![volume(&self.note.spec.id)]),
                tmpfs: Some(scratch()),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                // To give the fresh volume to the user of the servers, which some engines do by themselves.
                // Docker gives it to nobody in a container without new privileges; nothing else can be gained here either.
                cap_add: Some(vec!["CHOWN".to_owned()]),
                pids_limit: Some(256),
                // It holds no server: where the engine starts with the computer, the address is there at once.
                restart_policy: Some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint)])),
            }),
            ..Default::default()
        }
    }

    /// Starts the machine's own container when it does not run; says whether it did. Units that still run are in the
    /// network of the one before, where nobody reaches them: they are ended, and started again by the watcher.
    pub(super) async fn bring_up(&self) -> Result<bool> {
        let _one = self.shared.lock(&self.name()).await;
        let home = &self.shared.home_id;
        let found = standing(&self.engine, home, &self.note.spec.id).await?;
        let Some(found) = found else {
            return Err(DriverError::Gone { what: format!("the machine {}", self.note.spec.id) });
        };
        if found.running {
            return Ok(false);
        }
        let filter = config::only(home, &[(config::MACHINE, self.note.spec.id.as_str())]);
        let docker = &self.engine.docker;
        let all = raw::containers(&self.engine, &filter).await?;
        for lost in all.iter().filter(|c| c.state == "running") {
            let kill = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
            let killed = docker.kill_container(&lost.id, Some(kill));
            drop(asked("ending a unit without a network", ACTS_WITHIN, killed).await);
        }
        self.until_ports_are_free().await?;
        asked("starting the machine", ACTS_WITHIN, docker.start_container(&self.name(), None)).await?;
        Ok(true)
    }

    /// Looks before the engine does: Podman 4 keeps the address of a container that it could not start for a port, and then
    /// refuses to start it for its address. Whoever passed connections on for the one before lets go a moment after its end.
    async fn until_ports_are_free(&self) -> Result<()> {
        let begun = Instant::now();
        while let Some(told) = publish::stolen(&self.note.request.name, &self.note.published) {
            if begun.elapsed() > LETS_GO_WITHIN {
                return Err(told);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Gives a fresh volume to the user of the servers.
    async fn own_the_volume(&self) -> Result<()> {
        let close = Script { ..files::script(r#"chmod 700 "$1""#, &[config::ROOT]) };
        if exec::run(&self.engine, &self.name(), &close).await?.status == 0 {
            return Ok(());
        }
        let give = Script {
            user: Some("0:0"),
            ..files::script(r#"chown "$1" "$2""#, &[config::USER, config::ROOT])
        };
        let what = "giving the volume to the servers' user";
        files::done(what, exec::run(&self.engine, &self.name(), &give).await?)?;
        files::done(what, exec::run(&self.engine, &self.name(), &close).await?).map(drop)
    }

    /// Waits until this computer has a way to the machine.
    async fn until_reachable(&self) -> Result<()> {
        let begun = Instant::now();
        if !self.note.published.is_empty() {
            return self.until_published(begun).await;
        }
        while !network::reachable(&self.note.request.network)? {
            if begun.elapsed() > ROUTE_WITHIN {
                return Err(DriverError::rejected(
                    format!(
                        "{} gave the machine the address {}, which cannot be reached from here",
                        self.engine.name, self.note.spec.address
                    ),
                    "use an engine that runs as root on this computer; `clusterdeck provider check container` lists them",
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until somebody answers on each port here that leads to the machine: the engine, which nobody can tell from one on
    /// another computer before.
    async fn until_published(&self, begun: Instant) -> Result<()> {
        for port in self.note.published.keys() {
            let at = self.reach(*port);
            while let Err(e) = TcpStream::connect(at).await {
                if begun.elapsed() > PUBLISHED_WITHIN {
                    return Err(DriverError::rejected(
                        format!(
                            "{} published {} at {at}, where nobody answers ({e})",
                            self.engine.name, self.note.request.name
                        ),
                        "use an engine on this computer; `clusterdeck provider check container` lists them",
                    ));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Takes its containers away and leaves its volume and its notes: it can be made again as it was. Units first, which live
    /// in the network of the machine's own.
    pub(super) async fn clear_away(&self) -> Result<()> {
        self.shared.forget(&self.note.spec.id);
        let units = async || {
            let names = self.unit_names().await?;
            futures::future::try_join_all(names.iter().map(|name| self.clear_unit(name))).await.map(drop)
        };
        units().await?;
        if remove_container(&self.engine, &self.name()).await.is_ok() {
            return Ok(());
        }
        // The watcher may have started a unit again in between, which holds the machine's network.
        units().await?;
        remove_container(&self.engine, &self.name()).await
    }

    /// Takes containers, volume and notes away.
    pub(super) async fn unmake(&self) -> Result<()> {
        let names = self.unit_names().await?;
        // All at once: servers that wait for each other would else wait for their whole grace.
        let ended = futures::future::join_all(names.iter().map(|name| self.discard_unit(name))).await;
        ended.into_iter().collect::<Result<Vec<()>>>()?;
        // Whatever else carries its label: a unit whose note was lost.
        let filter = config::only(&self.shared.home_id, &[(config::MACHINE, self.note.spec.id.as_str())]);
        let own = format!("/{}", self.name());
        for unit in raw::containers(&self.engine, &filter).await? {
            if !unit.names.contains(&own) {
                remove_container(&self.engine, &unit.id).await?;
            }
        }
        remove_container(&self.engine, &self.name()).await?;
        super::remove_volume(&self.engine, &self.name()).await
    }

    /// Runs a script about a file, on a machine that may have to be woken up first.
    async fn script(&self, script: &Script<'_>) -> Result<Ran> {
        match exec::run(&self.engine, &self.name(), script).await {
            Err(DriverError::Rejected { .. }) if self.bring_up().await? => {
                exec::run(&self.engine, &self.name(), script).await
            }
            other => other,
        }
    }
    async fn about(&self, what: &str, path: &MachinePath, text: &str) -> Result<Vec<u8>> {
        let inside = files::inside(path);
        let ran = self.script(&files::script(text, &[&inside])).await?;
        files::done(&format!("{what} {inside}"), ran)
    }
}

#[async_trait]
impl Machine for ContainerMachine {
    fn id(&self) -> &MachineId {
        &self.note.spec.id
    }
    fn address(&self) -> IpAddr {
        self.note.spec.address
    }
    fn port(&self, port: u16) -> u16 {
        port.saturating_add(self.note.spec.port_offset)
    }
    fn reach(&self, port: u16) -> SocketAddr {
        publish::reach(&self.note.spec, &self.note.published, port)
    }
    fn plan(&self) -> &Plan {
        &self.note.request.plan
    }
    fn limited_by(&self) -> &'static str {
        self.engine.limited_by
    }
    fn path(&self, path: &str) -> PathBuf {
        lexical(Path::new(config::ROOT), path)
    }
    fn here(&self, _path: &str) -> Option<PathBuf> {
        None
    }

    async fn software(&self, program: &str) -> Result<Vec<Software>> {
        let (engine, home) = (&self.engine, &self.shared.home_id);
        let found = self.shared.images.software(engine, home, &self.image, &[program]).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }
    async fn extension(&self, extension: &'static Extension) -> Result<Vec<Carried>> {
        let (engine, home) = (&self.engine, &self.shared.home_id);
        self.shared.images.extension(engine, home, &self.image, extension).await
    }
    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let inside = files::inside(&MachinePath::parse_below(path)?);
        let unique = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (length, mode) = (content.len().to_string(), format!("{:o}", mode & 0o7777));
        let args = [inside.as_str(), &length, &mode, &unique];
        let ran = self.script(&Script { input: content, ..files::script(files::WRITE, &args) }).await?;
        files::done(&format!("writing {inside}"), ran).map(drop)
    }
    async fn read(&self, path: &str) -> Result<Vec<u8>> {
        let inside = files::inside(&MachinePath::parse_below(path)?);
        let most = files::MAX_READ.to_string();
        let args = [inside.as_str(), &most];
        let ran = self.script(&Script { keep: files::MAX_READ, ..files::script(files::READ, &args) }).await?;
        files::done(&format!("reading {inside}"), ran)
    }
    async fn create_dir(&self, path: &str) -> Result<()> {
        self.about("making", &MachinePath::parse(path)?, files::CREATE_DIR).await.map(drop)
    }
    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (MachinePath::parse_below(from)?, MachinePath::parse_below(to)?);
        let (from, to) = (files::inside(&from), files::inside(&to));
        let ran = self.script(&files::script(files::RENAME, &[&from, &to])).await?;
        files::done(&format!("renaming {from} to {to}"), ran).map(drop)
    }
    async fn remove(&self, path: &str) -> Result<()> {
        self.about("removing", &MachinePath::parse_below(path)?, files::REMOVE).await.map(drop)
    }
    async fn exists(&self, path: &str) -> Result<bool> {
        Ok(!self.about("looking for", &MachinePath::parse(path)?, files::EXISTS).await?.is_empty())
    }
    async fn disk_bytes(&self, path: &str) -> Result<u64> {
        let path = MachinePath::parse(path)?;
        let key = (self.note.spec.id.clone(), path.as_str().to_owned());
        if let Some(known) = self.shared.size(&key, SIZE_FRESH) {
            return Ok(known);
        }
        let said = self.about("measuring", &path, files::DISK).await?;
        let kib: u64 = String::from_utf8_lossy(&said).trim().parse().unwrap_or(0);
        self.shared.remember_size(key, kib << 10);
        Ok(kib << 10)
    }

    async fn start(&self, unit: &UnitSpec) -> Result<()> {
        self.start_unit(unit).await
    }
    async fn stop(&self, name: &str) -> Result<()> {
        self.stop_unit(name).await
    }
    async fn state(&self, name: &str) -> Result<UnitState> {
        self.unit_state(name).await
    }
    async fn usage(&self, name: &str) -> Result<UnitUsage> {
        self.unit_usage(name).await
    }
    async fn units(&self) -> Result<Vec<String>> {
        self.unit_names().await
    }
    async fn restart_due(&self, name: &str) -> Result<bool> {
        self.unit_due(name).await
    }
    async fn restart(&self, name: &str) -> Result<bool> {
        self.restart_unit(name).await
    }
    async fn log(&self, unit: &str, lines: usize, after: Option<u64>) -> Result<(Vec<String>, u64)> {
        self.unit_log(unit, lines, after).await
    }

    async fn output_of(&self, filter: &Filter, output: &mut Outgoing) -> Result<String> {
        self.bring_up().await?;
        pipe::run(&self.engine, &self.name(), filter, None, Some(output)).await
    }
    async fn feed(&self, filter: &Filter, input: &mut Incoming, bytes: u64) -> Result<String> {
        self.bring_up().await?;
        pipe::run(&self.engine, &self.name(), filter, Some((input, bytes)), None).await
    }

    fn image(&self) -> Option<&str> {
        Some(&self.image)
    }
    fn not_enforced(&self) -> Option<String> {
        self.engine.not_enforced()
    }
    fn inside(&self, client: &ClientCommand) -> Option<ClientCommand> {
        self.engine.terminal(&self.name(), client)
    }
}
