//! Containers as machines, through the API that Docker and Podman share. A machine is a pod of our own making: one container
//! holds its address and its files, and every unit is a container that joins it, so that each has limits, a log and an end
//! of its own. Servers outlive the app, and the engine's client.
//!
//! Where the addresses that an engine gives cannot be reached from here (it runs without root, or in a virtual machine), ports
//! of this computer lead to each machine (`publish`). Engines on other computers cannot be used, and `check` says so.

mod capacity;
mod config;
mod credentials;
mod engines;
mod exec;
mod failure;
mod fence;
mod files;
mod images;
mod layers;
mod machine;
mod network;
mod pipe;
mod plans;
mod publish;
mod raw;
mod registry;
mod shared;
mod sweep;
mod terminal;
mod unit;

use crate::{
    disk::{self, off_thread},
    version,
};
use async_trait::async_trait;
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};
use clusterdeck_domain::{
    Capacity, ClusterId, Exposable, MachineId, MachineSpec, MissingSoftware, Network, NodeFence, Plan,
    ProviderId, REGION_LOCAL,
};
use clusterdeck_driver::{
    DriverError, Fence, Machine, MachineRequest, Needs, Progress, Provider, ProviderCheck, Region, Result,
};
use config::MachineNote;
use engines::{Engine, Engines, Found};
use failure::{ACTS_WITHIN, ANSWERS_WITHIN, asked, or_gone};
use images::Images;
use machine::ContainerMachine;
use publish::Published;
use shared::Shared;
use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A machine that was seen running counts as there for so long: it is asked for several times in each round.
const ALIVE_FRESH: Duration = Duration::from_secs(5);
/// A container without a machine that is older than this was left behind by somebody who was killed.
const ORPHAN_AFTER: Duration = Duration::from_secs(300);

/// The provider `container`: machines on the container engines of this computer.
pub struct Container {
    home: PathBuf,
    engines: Engines,
    images: Arc<Images>,
    shared: Mutex<Option<Arc<Shared>>>,
    /// What is published of each machine, as far as its note was read.
    published: Mutex<HashMap<MachineId, Published>>,
}

impl Container {
    /// For the machines of this home. Nothing is made or started, and no engine is asked yet.
    pub fn new(home: PathBuf) -> Self {
        let home = std::path::absolute(&home).unwrap_or(home);
        let images = Arc::new(Images::new(&home));
        let (shared, published) = (Mutex::default(), Mutex::default());
        Self { home, engines: Engines::default(), images, shared, published }
    }

    /// What machines share, for a home that has or had some.
    async fn shared(&self) -> Result<Option<Arc<Shared>>> {
        if let Some(shared) = self.known() {
            return Ok(Some(shared));
        }
        let home = self.home.clone();
        let id = off_thread(move || config::home_id(&home)).await?;
        Ok(id.map(|id| self.keep(id)))
    }
    /// The same; a home that has none gets its id.
    async fn ensure_shared(&self) -> Result<Arc<Shared>> {
        if let Some(shared) = self.known() {
            return Ok(shared);
        }
        let home = self.home.clone();
        let id = off_thread(move || config::ensure_home_id(&home)).await?;
        Ok(self.keep(id))
    }
    fn known(&self) -> Option<Arc<Shared>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn keep(&self, id: String) -> Arc<Shared> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Shared::new(self.home.clone(), id, self.images.clone()));
        shared.get_or_insert_with(fresh).clone()
    }

    fn known_ports(&self) -> MutexGuard<'_, HashMap<MachineId, Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The note of a machine that is about to be made, on disk before anything of it is there: a kill in between leaves a
    /// machine that is found, and taken away. What was published once stays.
    async fn noted(
        &self,
        shared: &Shared,
        engine: &Engine,
        request: &MachineRequest,
        there: Option<MachineNote>,
    ) -> Result<MachineNote> {
        let spec = self.machine_spec(request)?;
        let published = there.map(|note| note.published).unwrap_or_default();
        let mut note = MachineNote { request: request.clone(), spec, engine: engine.id.clone(), published };
        let choosing = note.published.is_empty() && engine.whereabouts.publishes();
        // One after the other: each must see what the one before it chose.
        let _one = if choosing { Some(shared.lock("ports").await) } else { None };
        if choosing {
            let (home, ports) = (self.home.clone(), request.publish.clone());
            note.published = off_thread(move || {
                let taken = notes(&home)?.into_iter().flat_map(|note| note.published.into_values()).collect();
                publish::choose(&ports, &taken)
            })
            .await?;
        }
        save(&self.home, &note).await?;
        self.known_ports().insert(request.id.clone(), note.published.clone());
        Ok(note)
    }

    /// The engine of a region; the first usable one where none is named.
    async fn engine(&self, region: Option<&str>) -> Result<Arc<Engine>> {
        match region.filter(|r| !r.is_empty() && *r != REGION_LOCAL) {
            Some(id) => self.engines.get(id).await,
            None => self.engines.ready().await.into_iter().next().ok_or_else(|| {
                DriverError::rejected(
                    "no container engine that can be used was found",
                    "`clusterdeck provider check container` says what was found and what to do",
                )
            }),
        }
    }

    /// The note of a machine; found again through its volume when the note was lost.
    async fn note(&self, shared: &Shared, id: &MachineId) -> Result<Option<MachineNote>> {
        let path = config::machine_note(&self.home, id);
        let at = path.clone();
        if let Some(note) = off_thread(move || disk::load::<MachineNote>(&at)).await? {
            return Ok(Some(note));
        }
        for engine in self.engines.ready().await {
            let name = config::machine_name(id);
            let what = "looking for the volume";
            let volume = match asked(what, ANSWERS_WITHIN, engine.docker.inspect_volume(&name)).await {
                Ok(volume) => volume,
                Err(DriverError::Gone { .. }) => continue,
                Err(e) => return Err(e),
            };
            if volume.labels.get(config::HOME) != Some(&shared.home_id) {
                continue;
            }
            let text = volume.labels.get(config::REQUEST).map(String::as_str).unwrap_or_default();
            let Ok(note) = serde_json::from_str::<MachineNote>(text) else { continue };
            let note = MachineNote { engine: engine.id.clone(), ..note };
            save(&self.home, &note).await?;
            return Ok(Some(note));
        }
        Ok(None)
    }
}

/// The notes of all machines.
fn notes(home: &Path) -> Result<Vec<MachineNote>> {
    let load = |id| disk::load::<MachineNote>(&config::machine_note(home, &id)).transpose();
    config::machine_ids(home)?.into_iter().filter_map(load).collect()
}

async fn save(home: &Path, note: &MachineNote) -> Result<()> {
    let (home, note) = (home.to_owned(), note.clone());
    off_thread(move || {
        let dir = config::units_dir(&home, &note.spec.id);
        disk::create_dirs(&dir).map_err(|e| disk::broken(format!("making {}", dir.display()), &e))?;
        disk::save(&config::machine_note(&home, &note.spec.id), &note)
    })
    .await
}

/// The labels of this home's volumes on an engine.
async fn volumes(engine: &Engine, home_id: &str) -> Result<Vec<HashMap<String, String>>> {
    let options = ListVolumesOptionsBuilder::default().filters(&config::only(home_id, &[])).build();
    let listed = asked("listing volumes", ANSWERS_WITHIN, engine.docker.list_volumes(Some(options))).await?;
    Ok(listed.volumes.into_iter().flatten().map(|volume| volume.labels).collect())
}

async fn remove_volume(engine: &Engine, name: &str) -> Result<()> {
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    or_gone(asked("removing the volume", ACTS_WITHIN, engine.docker.remove_volume(name, Some(options))).await)
}

#[async_trait]
impl Provider for Container {
    fn id(&self) -> ProviderId {
        ProviderId("container".to_owned())
    }
    fn name(&self) -> &'static str {
        "Containers"
    }
    async fn regions(&self) -> Result<Vec<Region>> {
        let ready = self.engines.ready().await;
        Ok(ready.iter().map(|e| Region { id: e.id.clone(), name: e.name.clone() }).collect())
    }
    async fn plans(&self, region: &str) -> Result<Vec<Plan>> {
        let known = region.is_empty()
            || region == REGION_LOCAL
            || self.engines.all().await.iter().any(|found| match found {
                Found::Ready(engine) => engine.id == region,
                Found::Unusable { id, .. } => id == region,
            });
        if known { Ok(plans::plans()) } else { Err(DriverError::Gone { what: format!("region {region}") }) }
    }

    async fn check(&self, _programs: &[(&str, &str)]) -> Result<ProviderCheck> {
        let found = self.engines.all().await;
        let mut notes = Vec::new();
        let mut usable = false;
        for one in found.iter() {
            match one {
                Found::Ready(engine) => {
                    usable = true;
                    notes.push(format!("{} can be used (region {}).", engine.name, engine.id));
                    notes.extend(engine.way());
                    if !engine.unlimited.is_empty() {
                        let what = engine.unlimited.join(", ");
                        notes.push(format!("{} cannot limit: {what}.", engine.name));
                    }
                }
                Found::Unusable { id, name, why } => {
                    notes.push(format!("{name} (region {id}) cannot be used: {why}."));
                }
            }
        }
        if found.is_empty() {
            notes.push("No container engine was found: no socket of Docker or Podman is there.".to_owned());
        }
        let missing = if usable { Vec::new() } else { vec![no_engine(&found, None)] };
        Ok(ProviderCheck { usable, notes, missing })
    }

    async fn capacity(&self, needs: &Needs<'_>) -> Result<Capacity> {
        let engine = match self.engine(needs.region).await {
            Ok(engine) => engine,
            Err(error) => {
                tracing::debug!(%error, "no container engine for new machines");
                let missing = vec![no_engine(&self.engines.all().await, needs.region)];
                return Ok(Capacity { missing, ..Capacity::default() });
            }
        };
        let shared = self.ensure_shared().await?;
        let (home, id) = (self.home.clone(), engine.id.clone());
        let notes = off_thread(move || notes(&home)).await?;
        let here = notes.iter().filter(|note| note.engine == id);
        let promised = here.map(|note| note.request.plan.memory_bytes).sum();
        capacity::of(&shared, &engine, needs, promised).await
    }

    async fn allocate_network(&self, _: &ClusterId, region: &str, used: &[Network]) -> Result<Network> {
        let engine = self.engine(Some(region)).await?;
        let shared = self.ensure_shared().await?;
        network::allocate(&engine, &shared.home_id, used).await
    }

    fn machine_spec(&self, request: &MachineRequest) -> Result<MachineSpec> {
        network::machine_spec(request)
    }

    fn reach(&self, spec: &MachineSpec, port: u16) -> SocketAddr {
        if let Some(published) = self.known_ports().get(&spec.id) {
            return publish::reach(spec, published, port);
        }
        // A small file, read once for each machine. Without it the machine is not made yet, or has not been found again yet.
        match disk::load::<MachineNote>(&config::machine_note(&self.home, &spec.id)) {
            Ok(Some(note)) => {
                let at = publish::reach(spec, &note.published, port);
                self.known_ports().insert(spec.id.clone(), note.published);
                at
            }
            _ => publish::reach(spec, &Published::new(), port),
        }
    }

    async fn exposable(&self, _: Option<IpAddr>) -> Result<Exposable> {
        let why = "Its machines are containers, and opening the ports of those to other computers is not there yet; those of a \
                   cluster on this computer itself can be opened.";
        Ok(Exposable { refused: Some(why.to_owned()), ..Exposable::default() })
    }

    fn leads_here(&self, _: IpAddr) -> bool {
        false
    }

    async fn node_fence(&self, network: &Network) -> NodeFence {
        let engine = match network::engine_of(network) {
            Ok(id) => self.engines.get(id).await,
            Err(error) => Err(error),
        };
        match engine {
            // What leads to them is published at an address of this computer's own.
            Ok(engine) if engine.whereabouts.publishes() => NodeFence::OnlyHere,
            Ok(_) => fence::missing().await.map_or(NodeFence::Held, NodeFence::Missing),
            Err(error) => NodeFence::Missing(format!("the engine of its network does not answer ({error})")),
        }
    }

    async fn hold_nodes(&self, fence: &Fence) -> Result<()> {
        if self.node_fence(&fence.network).await != NodeFence::Held {
            return Ok(());
        }
        if fence.list.is_empty() || fence.nodes.is_empty() {
            return fence::take_down(&fence.cluster).await;
        }
        fence::put_up(fence).await
    }

    async fn ensure_machine(
        &self,
        request: &MachineRequest,
        progress: &Progress,
    ) -> Result<Arc<dyn Machine>> {
        let engine = self.engine(Some(network::engine_of(&request.network)?)).await?;
        let spec = self.machine_spec(request)?;
        let shared = self.ensure_shared().await?;
        let there = self.note(&shared, &request.id).await?;
        if there.as_ref().is_some_and(|there| {
            there.spec != spec || there.request.cluster != request.cluster || there.engine != engine.id
        }) {
            return Err(DriverError::broken(format!(
                "the machine {} is there already, for another cluster, with another address or on another engine",
                request.id
            )));
        }
        let image = match machine::standing(&engine, &shared.home_id, &request.id).await? {
            Some(there) => there.image,
            None => {
                let reference = request.image.as_deref().ok_or_else(|| {
                    DriverError::rejected(
                        format!("no image is known for {}", request.name),
                        "name an image of your own in the settings",
                    )
                })?;
                self.images.ensure(&engine, reference, progress).await?
            }
        };
        let note = self.noted(&shared, &engine, request, there).await?;
        let machine = ContainerMachine { shared, engine, note, image };
        machine.make().await?;
        Ok(Arc::new(machine))
    }

    async fn machine(&self, spec: &MachineSpec) -> Result<Arc<dyn Machine>> {
        let gone = || DriverError::Gone { what: format!("the machine {}", spec.id) };
        let shared = self.shared().await?.ok_or_else(gone)?;
        let note = self.note(&shared, &spec.id).await?.ok_or_else(gone)?;
        if note.spec != *spec {
            return Err(DriverError::broken(format!(
                "the machine {} has the address {}, not {}",
                spec.id, note.spec.address, spec.address
            )));
        }
        let engine = self.engines.get(&note.engine).await?;
        if let Some(image) = shared.alive(&spec.id, ALIVE_FRESH) {
            return Ok(Arc::new(ContainerMachine { shared, engine, note, image }));
        }
        let found = machine::standing(&engine, &shared.home_id, &spec.id).await?.ok_or_else(gone)?;
        let machine = ContainerMachine { shared, engine, note, image: found.image };
        if !found.running {
            tracing::info!(machine = %spec.id, "its container does not run, as after a restart of the engine: starting it");
            machine.bring_up().await?;
        }
        machine.shared.remember_alive(&spec.id, machine.image.clone());
        Ok(Arc::new(machine))
    }

    async fn resize_machine(&self, spec: &MachineSpec, plan: &Plan) -> Result<()> {
        let gone = || DriverError::Gone { what: format!("the machine {}", spec.id) };
        let shared = self.shared().await?.ok_or_else(gone)?;
        let mut note = self.note(&shared, &spec.id).await?.ok_or_else(gone)?;
        if note.request.plan == *plan {
            return Ok(());
        }
        // The label of its volume goes on naming the size it was made with: should the note be lost, the engine says which
        // size it has. A unit's container is made anew when its limits are others.
        note.request.plan = plan.clone();
        save(&self.home, &note).await
    }

    async fn ready_version(
        &self,
        spec: &MachineSpec,
        image: Option<&str>,
        programs: &[(&str, &str)],
        wanted: &str,
        progress: &Progress,
    ) -> Result<()> {
        let gone = || DriverError::Gone { what: format!("the machine {}", spec.id) };
        let shared = self.shared().await?.ok_or_else(gone)?;
        let note = self.note(&shared, &spec.id).await?.ok_or_else(gone)?;
        let engine = self.engines.get(&note.engine).await?;
        let reference = image.ok_or_else(|| no_image(&note))?;
        let id = self.images.ensure(&engine, reference, progress).await?;
        let each = version::each(version::names(programs));
        let held = self.images.software(&engine, &shared.home_id, &id, &each).await?;
        version::ready(&format!("the image {reference}"), programs, held, wanted)
    }

    async fn renew_machine(
        &self,
        spec: &MachineSpec,
        image: Option<&str>,
        progress: &Progress,
    ) -> Result<()> {
        let gone = || DriverError::Gone { what: format!("the machine {}", spec.id) };
        let shared = self.shared().await?.ok_or_else(gone)?;
        let mut note = self.note(&shared, &spec.id).await?.ok_or_else(gone)?;
        let engine = self.engines.get(&note.engine).await?;
        let reference = image.ok_or_else(|| no_image(&note))?;
        // Fetched while the old one still stands.
        let image = self.images.ensure(&engine, reference, progress).await?;
        note.request.image = Some(reference.to_owned());
        save(&self.home, &note).await?;
        let machine = ContainerMachine { shared: shared.clone(), engine: engine.clone(), note, image };
        let there = machine::standing(&engine, &shared.home_id, &spec.id).await?;
        if there.is_some_and(|there| there.image != machine.image) {
            machine.clear_away().await?;
        }
        // What is made is what is not there: also after a kill between the old one and the new one.
        machine.make().await?;
        // Whoever looked at the old one a moment ago may have remembered its image since.
        machine.shared.remember_alive(&spec.id, machine.image.clone());
        machine.wake_units().await
    }

    async fn remove_machine(&self, spec: &MachineSpec) -> Result<()> {
        let Some(shared) = self.shared().await? else { return Ok(()) };
        shared.forget(&spec.id);
        let Some(note) = self.note(&shared, &spec.id).await? else { return Ok(()) };
        let engine = self.engines.get(&note.engine).await?;
        let machine =
            ContainerMachine { shared: shared.clone(), engine: engine.clone(), note, image: String::new() };
        let cluster = machine.note.request.cluster.clone();
        machine.unmake().await?;
        shared.forget(&spec.id);
        self.known_ports().remove(&spec.id);
        for kept in sweep::sweep(&shared, &engine).await? {
            if kept.cluster == cluster.as_str() {
                return Err(kept.why);
            }
            tracing::warn!(cluster = kept.cluster, error = %kept.why, "a network is left behind");
        }
        // The note goes last: while it is there the machine is not gone.
        let dir = config::machine_dir(&self.home, &spec.id);
        off_thread(move || disk::remove(&dir)).await
    }

    async fn machines(&self) -> Result<Vec<MachineId>> {
        let Some(shared) = self.shared().await? else { return Ok(Vec::new()) };
        let home = self.home.clone();
        let mut ids: BTreeSet<MachineId> =
            off_thread(move || config::machine_ids(&home)).await?.into_iter().collect();
        for engine in self.engines.ready().await {
            for kept in sweep::sweep(&shared, &engine).await? {
                tracing::warn!(cluster = kept.cluster, error = %kept.why, "a network is left behind");
            }
            let labels = volumes(&engine, &shared.home_id).await?;
            ids.extend(labels.iter().filter_map(|l| MachineId::parse(l.get(config::MACHINE)?).ok()));
        }
        Ok(ids.into_iter().collect())
    }
}

fn no_image(note: &MachineNote) -> DriverError {
    DriverError::rejected(
        format!("no image is known for {}", note.request.name),
        "name an image of your own in the settings",
    )
}

/// Why no engine can be used: none is installed, or what was found and what hinders it.
fn no_engine(found: &[Found], region: Option<&str>) -> MissingSoftware {
    let region = region.filter(|r| !r.is_empty() && *r != REGION_LOCAL);
    let named = |id: &str| region.is_none_or(|region| region == id);
    let hindered: Vec<(&str, &str)> = found
        .iter()
        .filter_map(|one| match one {
            Found::Unusable { id, name, why } if named(id) => Some((name.as_str(), why.as_str())),
            _ => None,
        })
        .collect();
    match (hindered.as_slice(), region) {
        ([(name, why)], _) => refused(name, why),
        ([], Some(region)) => refused(
            &format!("The container engine `{region}`"),
            "nothing listens at its socket: start it, and what it holds is found again",
        ),
        ([], None) => MissingSoftware {
            program: "podman".to_owned(),
            purpose: "runs the containers; Docker will do as well".to_owned(),
            install: crate::local::install_command("podman"),
            ..MissingSoftware::default()
        },
        (several, _) => {
            let each: Vec<String> = several.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            refused("Every container engine that was found", &each.join("; "))
        }
    }
}

fn refused(program: &str, why: &str) -> MissingSoftware {
    MissingSoftware {
        program: program.to_owned(),
        purpose: why.to_owned(),
        refused: true,
        ..MissingSoftware::default()
    }
}
