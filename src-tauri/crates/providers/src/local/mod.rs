//! This computer as a provider: no container, no root, no service of the system. A machine is a folder with an address
//! of its own; its servers run as this user and outlive the app.

mod config;
mod files;
mod install;
mod machine;
mod network;
mod pipe;
mod plans;
mod software;
mod unit;

use crate::{host, version};
use async_trait::async_trait;
use clusterdeck_domain::{
    Capacity, ClusterId, Exposable, MachineId, MachineSpec, MissingSoftware, Network, NodeFence, Plan,
    ProviderId, REGION_LOCAL,
};
use clusterdeck_driver::{
    DriverError, Extension, Fence, Machine, MachineRequest, Needs, Programs, Progress, Provider,
    ProviderCheck, Region, Result, Software, alternatives,
};
use config::MachineNote;
use files::{broken, off_thread};
use install::Installer;
use machine::LocalMachine;
use software::Finder;
use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::RwLock;
use unit::{Children, Group, Units};

/// Folders that are on their way out begin with this; no machine's id does.
const GOING: &str = ".going-";

/// The provider `local`: machines on this computer, below a home folder.
pub struct Local {
    home: PathBuf,
    software: Arc<Finder>,
    installer: Installer,
    children: Children,
    granted: Option<PathBuf>,
    /// Held while a machine is made. Who gives up waiting for that does not end it, so taking away waits for it.
    making: Arc<RwLock<()>>,
}

impl Local {
    /// For the machines of this home. Nothing is made or started.
    pub fn new(home: PathBuf) -> Self {
        unit::keep_inherited_files_to_ourselves();
        // Servers are started from elsewhere and need absolute paths; the folder need not be there yet.
        let home = std::path::absolute(&home).unwrap_or(home);
        Self {
            software: Arc::new(Finder::new(&home)),
            installer: Installer::of_this_system(),
            children: Children::default(),
            granted: unit::granted(),
            making: Arc::default(),
            home,
        }
    }

    fn units(&self, id: &MachineId, group: Option<Group>) -> Units {
        Units { root: config::machine_dir(&self.home, id), children: self.children.clone(), group }
    }

    /// The machine of a note, with its limits in place where they can be.
    fn open(&self, note: MachineNote) -> Arc<dyn Machine> {
        let group = self.granted.as_deref().and_then(|granted| {
            Group::ensure(granted, &note.spec.id, &note.request.plan)
                .inspect_err(
                    |e| tracing::warn!(machine = %note.spec.id, error = %e, "no limits through cgroup v2"),
                )
                .ok()
        });
        let units = self.units(&note.spec.id, group);
        Arc::new(LocalMachine { note, units, software: Arc::clone(&self.software) })
    }

    /// What a server lacks here, and the versions of it that are here: of one maker, or of another where nobody asked for a
    /// version and only that one's programs are installed.
    async fn server(&self, server: &Programs, wanted: Option<&str>) -> (Vec<MissingSoftware>, Vec<Software>) {
        let mut versions = match server.programs.first() {
            Some((first, _)) => self.software.find(first).await,
            None => Vec::new(),
        };
        let mut missing = self.missing(server.of(wanted.unwrap_or_default())).await;
        for other in server.others {
            let Some((first, _)) = other.programs.first() else { continue };
            // A program of the same name may be another maker's.
            let found = self.software.find(first).await.into_iter().filter(|s| other.has(&s.version));
            let found: Vec<_> = found.collect();
            if wanted.is_none() && !found.is_empty() && !missing.is_empty() {
                missing = self.missing(other.programs).await;
            }
            versions.extend(found);
        }
        (missing, versions)
    }

    async fn missing(&self, programs: &[(&str, &str)]) -> Vec<MissingSoftware> {
        let mut missing = Vec::new();
        for (program, purpose) in programs {
            let mut found = false;
            for one in alternatives(program) {
                found = found || !self.software.find(one).await.is_empty();
            }
            if !found {
                missing.push(MissingSoftware {
                    program: (*program).to_owned(),
                    purpose: (*purpose).to_owned(),
                    install: alternatives(program).next().and_then(|first| self.installer.command(first)),
                    ..MissingSoftware::default()
                });
            }
        }
        missing
    }

    /// What to tell of an extension that is nowhere beside its carrier.
    async fn lacking(&self, extension: &Extension) -> MissingSoftware {
        let found = self.software.find(extension.beside).await;
        let there: Vec<&str> = found.iter().map(|s| s.version.as_str()).filter(|v| !v.is_empty()).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let (first, last) = extension.majors;
        let carrier = extension.carrier;
        MissingSoftware {
            program: extension.name.to_owned(),
            purpose: format!(
                "{}; it is loaded into {carrier} {first} to {last}, found here: {there}",
                extension.purpose
            ),
            install: self.installer.extension(extension.package),
            elsewhere: Some(extension.elsewhere.to_owned()),
            ..MissingSoftware::default()
        }
    }
}

#[async_trait]
impl Provider for Local {
    fn id(&self) -> ProviderId {
        ProviderId("local".to_owned())
    }
    fn name(&self) -> &'static str {
        "This computer"
    }
    async fn regions(&self) -> Result<Vec<Region>> {
        Ok(vec![Region { id: REGION_LOCAL.to_owned(), name: self.name().to_owned() }])
    }
    async fn plans(&self, region: &str) -> Result<Vec<Plan>> {
        if region == REGION_LOCAL {
            Ok(plans::plans())
        } else {
            Err(DriverError::Gone { what: format!("region {region}") })
        }
    }

    async fn check(&self, programs: &[(&str, &str)]) -> Result<ProviderCheck> {
        let missing = self.missing(programs).await;
        let home = self.home.clone();
        let (usable, mut notes) = off_thread(move || Ok(look_around(&home))).await?;
        notes.push(match &self.granted {
            Some(granted) => format!("Plans limit memory and processor through cgroup v2, below {}.", granted.display()),
            None => "This user may not set limits through cgroup v2 here: plans limit memory through each server's own \
                     settings, and nothing limits the processor."
                .to_owned(),
        });
        for without in missing.iter().filter(|m| m.install.is_none()) {
            notes.push(format!(
                "No package of {} is known for this system; put its programs into {}/software/<name>/bin.",
                without.program,
                self.home.display()
            ));
        }
        Ok(ProviderCheck { usable, notes, missing })
    }

    async fn capacity(&self, needs: &Needs<'_>) -> Result<Capacity> {
        let (missing, versions) = self.server(&needs.server, needs.version).await;
        let mut missing = [missing, self.missing(&needs.gateway.programs).await].concat();
        let mut found: Vec<String> = versions.into_iter().map(|s| s.version).collect();
        let mut carriers = Vec::new();
        if let Some(extension) = needs.server.extension {
            let carried = self.software.find_extension(extension).await;
            if carried.is_empty() {
                missing.push(self.lacking(extension).await);
            }
            carriers = version::carriers(extension, &carried);
            found = version::newest_first(carried.into_iter().map(|c| c.version).collect());
        }
        let plan = needs.plan.and_then(|wanted| plans::plans().into_iter().find(|p| p.id == wanted.id));
        let (home, ports) = (self.home.clone(), needs.ports.to_vec());
        off_thread(move || {
            Ok(Capacity {
                plan,
                memory_free_bytes: host::memory_free(),
                disk_free_bytes: host::disk_free(&home),
                addresses_free: Some(network::allocate(&home, &networks(&home)?).is_ok()),
                ports_taken: network::ports_taken(&ports),
                missing,
                versions: found.into_iter().filter(|v| !v.is_empty()).collect(),
                carriers,
                region: Some(REGION_LOCAL.to_owned()),
                ..Capacity::default()
            })
        })
        .await
    }

    async fn allocate_network(&self, _: &ClusterId, _region: &str, used: &[Network]) -> Result<Network> {
        let home = self.home.clone();
        let mut taken: BTreeSet<String> = used.iter().map(|n| n.0.clone()).collect();
        off_thread(move || {
            // Machines that were left behind keep their network until they are taken away.
            taken.extend(networks(&home)?);
            network::allocate(&home, &taken)
        })
        .await
    }

    fn machine_spec(&self, request: &MachineRequest) -> Result<MachineSpec> {
        network::machine_spec(request)
    }

    async fn exposable(&self, on: Option<IpAddr>) -> Result<Exposable> {
        off_thread(move || {
            Ok(Exposable {
                addresses: host::addresses()
                    .ok_or_else(|| DriverError::broken("the system does not tell its addresses"))?,
                taken: on.map(host::ports_taken).unwrap_or_default(),
                ..Exposable::default()
            })
        })
        .await
    }

    fn leads_here(&self, address: IpAddr) -> bool {
        host::has_address(address)
    }

    async fn node_fence(&self, _: &Network) -> NodeFence {
        NodeFence::OnlyHere
    }

    async fn hold_nodes(&self, _: &Fence) -> Result<()> {
        Ok(())
    }

    async fn ensure_machine(&self, request: &MachineRequest, _: &Progress) -> Result<Arc<dyn Machine>> {
        let note = MachineNote { request: request.clone(), spec: self.machine_spec(request)? };
        let root = config::machine_dir(&self.home, &request.id);
        let making = Arc::clone(&self.making).read_owned().await;
        let note = off_thread(move || {
            let _making = making;
            for dir in [root.clone(), config::units_dir(&root), root.join("logs")] {
                files::create_dirs(&dir).map_err(|e| broken(format!("making {}", dir.display()), &e))?;
            }
            let path = config::machine_note(&root);
            match config::load::<MachineNote>(&path)? {
                Some(there) if there == note => {}
                Some(there) if there.spec != note.spec || there.request.cluster != note.request.cluster => {
                    return Err(DriverError::broken(format!(
                        "the machine {} is there already, for another cluster or with another address",
                        note.spec.id
                    )));
                }
                // The last file to appear: a folder without it is a machine half made, and is finished here.
                _ => config::save(&path, &note)?,
            }
            Ok(note)
        })
        .await?;
        Ok(self.open(note))
    }

    async fn machine(&self, spec: &MachineSpec) -> Result<Arc<dyn Machine>> {
        let path = config::machine_note(&config::machine_dir(&self.home, &spec.id));
        let note = off_thread(move || config::load::<MachineNote>(&path)).await?;
        match note {
            Some(note) if note.spec == *spec => Ok(self.open(note)),
            Some(note) => Err(DriverError::broken(format!(
                "the machine {} has the address {}, not {}",
                spec.id, note.spec.address, spec.address
            ))),
            None => Err(DriverError::Gone { what: format!("the machine {}", spec.id) }),
        }
    }

    async fn resize_machine(&self, spec: &MachineSpec, plan: &Plan) -> Result<()> {
        let path = config::machine_note(&config::machine_dir(&self.home, &spec.id));
        let (spec, plan) = (spec.clone(), plan.clone());
        off_thread(move || match config::load::<MachineNote>(&path)? {
            // Limits follow the note: they are set whenever the machine is asked for.
            Some(note) if note.request.plan == plan => Ok(()),
            Some(mut note) => {
                note.request.plan = plan;
                config::save(&path, &note)
            }
            None => Err(DriverError::Gone { what: format!("the machine {}", spec.id) }),
        })
        .await
    }

    async fn ready_version(
        &self,
        _: &MachineSpec,
        _: Option<&str>,
        programs: &[(&str, &str)],
        version: &str,
        _: &Progress,
    ) -> Result<()> {
        let mut held = Vec::with_capacity(programs.len());
        for program in version::each(version::names(programs)) {
            held.push(self.software.find(program).await);
        }
        version::ready("this computer", programs, held, version)
    }

    async fn renew_machine(&self, _: &MachineSpec, _: Option<&str>, _: &Progress) -> Result<()> {
        Ok(())
    }

    async fn remove_machine(&self, spec: &MachineSpec) -> Result<()> {
        let root = config::machine_dir(&self.home, &spec.id);
        drop(self.making.write().await);
        if root.exists() {
            let units = self.units(&spec.id, None);
            let names = Units::names(&root)?;
            // All at once: servers that wait for each other would else wait for their whole grace.
            let stopped = futures::future::join_all(names.iter().map(|name| units.discard(name))).await;
            stopped.into_iter().collect::<Result<Vec<()>>>()?;
        }
        if let Some(granted) = &self.granted {
            Group::of(granted, &spec.id).remove();
        }
        let (home, id) = (self.home.clone(), spec.id.clone());
        off_thread(move || {
            // Out of the way in one step, so that a kill in the middle leaves no half machine under its name.
            let going = config::machines_dir(&home).join(format!("{GOING}{id}"));
            files::remove(&going)?;
            match fs::rename(&root, &going) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(broken(format!("removing {}", root.display()), &e));
                }
                _ => {}
            }
            files::remove(&going)
        })
        .await
    }

    async fn machines(&self) -> Result<Vec<MachineId>> {
        let home = self.home.clone();
        off_thread(move || {
            let dir = config::machines_dir(&home);
            for left in files::names(&dir)?.iter().filter(|name| name.starts_with(GOING)) {
                files::remove(&dir.join(left))?;
            }
            config::machine_ids(&home)
        })
        .await
    }
}

/// The networks of all machines there are.
fn networks(home: &Path) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for id in config::machine_ids(home)? {
        let note: Option<MachineNote> = config::load(&config::machine_note(&config::machine_dir(home, &id)))?;
        all.extend(note.map(|n| n.request.network.0));
    }
    Ok(all)
}

/// Whether machines can be made here, and what was found.
fn look_around(home: &Path) -> (bool, Vec<String>) {
    let gib = |bytes: Option<u64>| match bytes {
        Some(bytes) => format!("{}.{} GiB", bytes >> 30, ((bytes % (1 << 30)) * 10) >> 30),
        None => "an unknown amount".to_owned(),
    };
    let mut notes = vec![format!(
        "{} of memory and {} of disk are free for {}.",
        gib(host::memory_free()),
        gib(host::disk_free(home)),
        home.display()
    )];
    let writable = files::create_dirs(&config::machines_dir(home))
        .map_err(|e| e.to_string())
        .and_then(|()| rustix::fs::access(home, rustix::fs::Access::WRITE_OK).map_err(|e| e.to_string()));
    if let Err(e) = &writable {
        notes.push(format!("The home folder {} cannot be written ({e}).", home.display()));
    }
    let networks = networks(home).and_then(|used| network::allocate(home, &used));
    notes.push(match (&networks, network::own_addresses()) {
        (Ok(next), true) => {
            format!("Each machine has an address of its own; the next cluster gets {}.", next.0)
        }
        (Ok(_), false) => "All machines share 127.0.0.1 and have ports of their own.".to_owned(),
        (Err(e), _) => format!("There is no address for another cluster: {e}."),
    });
    (writable.is_ok() && networks.is_ok(), notes)
}

/// The command that installs a program here, where there is one.
pub(crate) fn install_command(program: &str) -> Option<String> {
    Installer::of_this_system().command(program)
}
