//! Container engines, found by themselves: where people and their tools would find them. Each is a region.

use super::{failure::failed, raw};
use bollard::{Docker, models::SystemInfo};
use clusterdeck_driver::{DriverError, Result};
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Names the sockets to use instead of looking for any (`unix:///run/podman/podman.sock`), separated by commas.
const NAMED: &str = "CLUSTERDECK_CONTAINER_ENGINES";
/// What was found counts as known for so long. A look asks every engine two questions.
const FRESH: Duration = Duration::from_secs(30);
/// One that somebody needs and that was not there is looked for again after so long.
const AGAIN: Duration = Duration::from_secs(2);
/// An engine that is there answers within milliseconds; on a busy computer Podman took three seconds.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
/// The longest that one request may take; each call has a shorter limit of its own.
const REQUEST_SECONDS: u64 = 600;

/// An engine that can carry machines.
pub(super) struct Engine {
    /// Names it in a region and in a network.
    pub id: String,
    /// For people: `Podman 4.3.1`.
    pub name: String,
    /// The way to it.
    pub docker: Docker,
    /// Its socket.
    pub socket: PathBuf,
    /// It is Podman.
    pub podman: bool,
    /// What enforces limits.
    pub limited_by: &'static str,
    /// What it cannot enforce, in words.
    pub unlimited: Vec<&'static str>,
    /// Where its images and volumes are.
    pub data: Option<PathBuf>,
    /// Where its containers are.
    pub whereabouts: Whereabouts,
    /// It speaks to registries through a proxy, so that we cannot tell what it reaches.
    pub proxied: bool,
}

/// Where an engine's containers are, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// On this computer, and their addresses can be reached.
    Here,
    /// On this computer, in a network of their own: the engine runs without root.
    Apart,
    /// In a virtual machine with so much memory in bytes.
    Virtual(Option<u64>),
}

impl Whereabouts {
    /// Their addresses cannot be reached from here, but ports that are published on this computer can.
    pub(super) const fn publishes(self) -> bool {
        !matches!(self, Self::Here)
    }
}

impl Engine {
    /// For people: how we get to its containers, where that is not by their addresses.
    pub(super) fn way(&self) -> Option<String> {
        let (why, also) = match self.whereabouts {
            Whereabouts::Here => return None,
            Whereabouts::Apart => (
                "It runs without root",
                "The system may end its containers when you sign out; `loginctl enable-linger` keeps them running.",
            ),
            Whereabouts::Virtual(_) => (
                "It runs in a virtual machine",
                "How much memory and disk are free in there it does not tell: its memory less that of your nodes counts.",
            ),
        };
        Some(format!(
            "{why}, so nodes and endpoints of {} are reached through ports of 127.0.0.1 that lead to them, each chosen once. \
             Sharded clusters are not possible there. {also}",
            self.name
        ))
    }
}

/// What was found at a place.
pub(super) enum Found {
    /// Can be used.
    Ready(Arc<Engine>),
    /// Is there, and cannot.
    Unusable {
        /// As of an engine.
        id: String,
        /// As of an engine.
        name: String,
        /// In a sentence.
        why: String,
    },
}

/// The engines of this computer.
#[derive(Default)]
pub(super) struct Engines {
    known: Mutex<Option<(Instant, Arc<[Found]>)>>,
}

impl Engines {
    /// All that are found, usable or not.
    pub(super) async fn all(&self) -> Arc<[Found]> {
        self.younger_than(FRESH).await
    }

    async fn younger_than(&self, fresh: Duration) -> Arc<[Found]> {
        let mut known = self.known.lock().await;
        if let Some((at, found)) = &*known
            && at.elapsed() < fresh
        {
            return found.clone();
        }
        let looks = places().into_iter().map(look);
        let found: Arc<[Found]> = futures::future::join_all(looks).await.into_iter().flatten().collect();
        *known = Some((Instant::now(), found.clone()));
        found
    }

    /// Those that can be used.
    pub(super) async fn ready(&self) -> Vec<Arc<Engine>> {
        let all = self.all().await;
        all.iter()
            .filter_map(|found| match found {
                Found::Ready(engine) => Some(engine.clone()),
                Found::Unusable { .. } => None,
            })
            .collect()
    }

    /// The engine with that id. One that is not there now may be again: what is on it is not gone.
    pub(super) async fn get(&self, id: &str) -> Result<Arc<Engine>> {
        if let Ok(engine) = pick(&self.all().await, id) {
            return Ok(engine);
        }
        pick(&self.younger_than(AGAIN).await, id)
    }
}

fn pick(all: &[Found], id: &str) -> Result<Arc<Engine>> {
    for found in all {
        match found {
            Found::Ready(engine) if engine.id == id => return Ok(engine.clone()),
            Found::Unusable { id: this, name, why } if this == id => {
                return Err(DriverError::transient(format!("{name} cannot be used: {why}")));
            }
            _ => {}
        }
    }
    Err(DriverError::transient(format!("the container engine `{id}` is not found")))
}

/// Where an engine may be.
struct Place {
    id: String,
    name: &'static str,
    /// A socket, or the address of something that is none.
    at: std::result::Result<PathBuf, String>,
}

impl Place {
    fn socket(id: &str, name: &'static str, path: impl Into<PathBuf>) -> Self {
        Self { id: id.to_owned(), name, at: Ok(path.into()) }
    }
    /// An address as `DOCKER_HOST` holds one. A well-known socket keeps its well-known name.
    fn of(address: &str, well_known: &[Self]) -> Self {
        let Some(path) = address.strip_prefix("unix://").or(address.starts_with('/').then_some(address))
        else {
            return Self { id: short(address), name: "A container engine", at: Err(address.to_owned()) };
        };
        let same = well_known.iter().find(|p| p.at.as_ref().is_ok_and(|at| same_file(at, Path::new(path))));
        match same {
            Some(known) => Self { id: known.id.clone(), name: known.name, at: Ok(path.into()) },
            None => Self { id: short(path), name: "A container engine", at: Ok(path.into()) },
        }
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

/// An id for an address that has none of its own.
fn short(address: &str) -> String {
    format!("engine-{}", hex::encode(&Sha256::digest(address.as_bytes())[..4]))
}

/// Every place worth a look, each socket once.
fn places() -> Vec<Place> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let well_known = well_known(variable("HOME").as_deref(), variable("XDG_RUNTIME_DIR").as_deref());
    if let Some(named) = variable(NAMED) {
        return named.split(',').map(|one| Place::of(one.trim(), &well_known)).collect();
    }
    let mut places = Vec::new();
    for address in ["DOCKER_HOST", "CONTAINER_HOST"].into_iter().filter_map(variable) {
        places.push(Place::of(&address, &well_known));
    }
    let docker = variable("DOCKER_CONFIG").map(PathBuf::from);
    let docker = docker.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".docker")));
    if let Some(address) = docker.and_then(|dir| context(&dir, variable("DOCKER_CONTEXT").as_deref())) {
        places.push(Place::of(&address, &well_known));
    }
    places.extend(well_known);
    let mut seen: Vec<PathBuf> = Vec::new();
    places.retain(|place| match &place.at {
        Ok(path) => {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            // One in a folder that we may not look into is there for all we know: it is told.
            let new = !matches!(path.try_exists(), Ok(false)) && !seen.contains(&real);
            seen.push(real);
            new
        }
        Err(_) => true,
    });
    places
}

/// Where engines put their sockets.
fn well_known(home: Option<&str>, runtime: Option<&str>) -> Vec<Place> {
    let mut places = vec![
        Place::socket("docker", "Docker", "/var/run/docker.sock"),
        Place::socket("podman", "Podman", "/run/podman/podman.sock"),
    ];
    if let Some(dir) = runtime {
        places.push(Place::socket("podman-user", "Podman of this user", format!("{dir}/podman/podman.sock")));
        places.push(Place::socket("docker-user", "Docker of this user", format!("{dir}/docker.sock")));
        let machine = format!("{dir}/podman/podman-machine-default-api.sock");
        places.push(Place::socket("podman-machine", "Podman machine", machine));
    }
    if let Some(dir) = home {
        let machine = ".local/share/containers/podman/machine";
        for (id, name, path) in [
            ("docker-desktop", "Docker Desktop", ".docker/desktop/docker.sock"),
            ("docker-desktop", "Docker Desktop", ".docker/run/docker.sock"),
            ("podman-machine", "Podman machine", &*format!("{machine}/podman.sock")),
            ("podman-machine", "Podman machine", &*format!("{machine}/qemu/podman.sock")),
            ("colima", "Colima", ".colima/default/docker.sock"),
            ("orbstack", "OrbStack", ".orbstack/run/docker.sock"),
            ("rancher-desktop", "Rancher Desktop", ".rd/docker.sock"),
        ] {
            places.push(Place::socket(id, name, format!("{dir}/{path}")));
        }
    }
    places
}

/// The address of the docker context in force; `None` for the one called `default`.
fn context(dir: &Path, named: Option<&str>) -> Option<String> {
    let read = |path: &Path| -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    };
    let name = match named {
        Some(name) => name.to_owned(),
        None => read(&dir.join("config.json"))?["currentContext"].as_str()?.to_owned(),
    };
    if name.is_empty() || name == "default" {
        return None;
    }
    let folder = hex::encode(Sha256::digest(name.as_bytes()));
    let meta = read(&dir.join("contexts/meta").join(folder).join("meta.json"))?;
    meta["Endpoints"]["docker"]["Host"].as_str().map(str::to_owned)
}

/// Asks what is at a place; `None` when nothing is.
async fn look(place: Place) -> Option<Found> {
    let Place { id, name, at } = place;
    let name = name.to_owned();
    let path = match at {
        Ok(path) => path,
        Err(address) => {
            let why = format!(
                "it is at {address}, and only the containers of an engine on this computer can be reached from here"
            );
            return Some(Found::Unusable { id, name, why });
        }
    };
    let socket = path.clone();
    let path = path.to_string_lossy().into_owned();
    if matches!(socket.try_exists(), Ok(false)) {
        return None;
    }
    let greeting = async {
        let greeting = raw::greet(&socket).await?;
        let connected = Docker::connect_with_unix(&path, REQUEST_SECONDS, &greeting.api);
        let docker = connected.map_err(|e| failed("connecting", e))?;
        let (info, rootless) = raw::info(&socket, &greeting.api).await?;
        Ok::<_, DriverError>((docker, info, rootless, greeting.podman))
    };
    let (docker, info, rootless, podman) = match tokio::time::timeout(FOUND_WITHIN, greeting).await {
        Ok(Ok(all)) => all,
        Ok(Err(e)) => return Some(Found::Unusable { id, name, why: no_answer(&path, &e.to_string()) }),
        Err(_) => return Some(Found::Unusable { id, name, why: no_answer(&path, "it took too long") }),
    };
    let kind = if podman { "Podman" } else { "Docker" };
    let name = format!("{kind} {}", info.server_version.as_deref().unwrap_or("of an unknown version"));
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    if info.os_type.as_deref().is_some_and(|os| os != "linux") {
        let why = "it runs Windows containers; the servers need Linux".to_owned();
        return Some(Found::Unusable { id, name, why });
    }
    let unlimited = unlimited(&info, rootless);
    let version = info.cgroup_version.map(|v| v.to_string());
    Some(Found::Ready(Arc::new(Engine {
        id,
        name,
        docker,
        socket,
        podman,
        limited_by: match version.as_deref() {
            _ if !unlimited.is_empty() => "server-settings",
            Some("2") => "cgroup-v2",
            _ => "cgroup-v1",
        },
        unlimited,
        whereabouts: whereabouts(&info, rootless, &kernel),
        data: info.docker_root_dir.map(PathBuf::from),
        // Mirrors of its own count as a proxy.
        proxied: [info.http_proxy, info.https_proxy].into_iter().flatten().any(|proxy| !proxy.is_empty())
            || info.registry_config.and_then(|c| c.mirrors).is_some_and(|mirrors| !mirrors.is_empty()),
    })))
}

fn no_answer(path: &str, error: &str) -> String {
    format!("nothing answers at {path} ({error}); {}", cure(path, error))
}

/// What to do about a socket that is there and does not answer.
fn cure(path: &str, error: &str) -> &'static str {
    let (podman, user) = (path.contains("podman"), path.starts_with("/run/user/"));
    match (error.to_lowercase().contains("permission denied"), podman, user) {
        (true, true, _) => {
            "Podman that runs as root is for root only: start your own with `systemctl --user enable --now podman.socket`"
        }
        (true, false, _) => {
            "add yourself to the group that owns the socket (`sudo usermod -aG docker $USER`), then sign in again"
        }
        (false, true, true) => "start it with `systemctl --user enable --now podman.socket`",
        (false, true, false) => "start it with `sudo systemctl enable --now podman.socket`",
        (false, false, true) => "start it with `systemctl --user start docker`",
        (false, false, false) => {
            "it may be starting, so try again in a moment; else start it (`sudo systemctl start docker`)"
        }
    }
}

/// Where the containers of a Linux engine are.
fn whereabouts(info: &SystemInfo, rootless: bool, kernel: &str) -> Whereabouts {
    let desktop = info.operating_system.as_deref().is_some_and(|system| system.contains("Docker Desktop"));
    // A socket may be forwarded from a virtual machine. From another computer, too: then nobody answers at what it publishes.
    if desktop || info.kernel_version.as_deref().is_some_and(|theirs| theirs != kernel) {
        return Whereabouts::Virtual(info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()));
    }
    if rootless { Whereabouts::Apart } else { Whereabouts::Here }
}

fn unlimited(info: &SystemInfo, rootless: bool) -> Vec<&'static str> {
    // Podman says that it can; without root it leaves the groups of the older version alone.
    let unable = rootless && info.cgroup_version.as_ref().is_some_and(|v| v.to_string() == "1");
    let missing = |has: Option<bool>, what| (unable || has == Some(false)).then_some(what);
    [
        missing(info.memory_limit, "memory"),
        missing(info.cpu_cfs_quota, "processor"),
        missing(info.pids_limit, "number of processes"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_in_force_is_read_as_docker_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let meta = dir.path().join("contexts/meta").join(hex::encode(Sha256::digest(b"lab")));
        std::fs::create_dir_all(&meta).unwrap();
        let text =
            r#"{"Name":"lab","Endpoints":{"docker":{"Host":"unix:///x/y.sock","SkipTLSVerify":false}}}"#;
        std::fs::write(meta.join("meta.json"), text).unwrap();
        assert_eq!(context(dir.path(), None), None, "no configuration");
        std::fs::write(dir.path().join("config.json"), r#"{"currentContext":"lab"}"#).unwrap();
        assert_eq!(context(dir.path(), None).as_deref(), Some("unix:///x/y.sock"));
        assert_eq!(context(dir.path(), Some("default")), None, "a variable goes first");
    }

    #[test]
    fn a_well_known_socket_has_the_same_id_whatever_led_there() {
        let known = well_known(Some("/home/me"), Some("/run/user/1000"));
        assert_eq!(Place::of("unix:///run/podman/podman.sock", &known).id, "podman");
        assert_eq!(Place::of("unix:///home/me/.docker/desktop/docker.sock", &known).id, "docker-desktop");
        let other = Place::of("unix:///tmp/x.sock", &known);
        assert!(
            other.id.starts_with("engine-") && other.id == Place::of("/tmp/x.sock", &known).id,
            "{}",
            other.id
        );
        assert!(Place::of("ssh://me@lab", &known).at.is_err(), "another computer");
    }

    #[test]
    fn an_engine_that_does_not_answer_is_told_with_what_to_do() {
        let told = no_answer("/var/run/docker.sock", "Permission denied (os error 13)");
        assert!(told.contains("usermod -aG docker"), "{told}");
        let podman = no_answer("/run/podman/podman.sock", "Permission denied (os error 13)");
        assert!(
            podman.contains("--user") && !podman.contains("usermod"),
            "no group opens Podman's: {podman}"
        );
        assert!(no_answer("/var/run/docker.sock", "Connection refused").contains("systemctl start docker"));
    }

    #[test]
    fn an_engine_whose_networks_are_elsewhere_is_told_apart() {
        let info = |system: &str, kernel: &str| SystemInfo {
            operating_system: Some(system.to_owned()),
            kernel_version: Some(kernel.to_owned()),
            mem_total: Some(2 << 30),
            ..Default::default()
        };
        let at = |system, kernel, rootless| whereabouts(&info(system, kernel), rootless, "6.1");
        assert_eq!(at("debian", "6.1", false), Whereabouts::Here);
        assert_eq!(at("debian", "6.1", true), Whereabouts::Apart);
        let machine = Whereabouts::Virtual(Some(2 << 30));
        assert_eq!(
            at("Docker Desktop", "6.1", false),
            machine,
            "its kernel may be that of this computer (WSL)"
        );
        assert_eq!([at("fedora", "6.2", false), at("fedora", "6.2", true)], [machine; 2]);
    }

    #[test]
    fn without_root_limits_of_the_older_groups_are_not_believed() {
        let info = SystemInfo {
            memory_limit: Some(true),
            cgroup_version: Some(bollard::models::SystemInfoCgroupVersionEnum::_1),
            ..Default::default()
        };
        assert_eq!(unlimited(&info, false), Vec::<&str>::new());
        assert_eq!(unlimited(&info, true), ["memory", "processor", "number of processes"]);
    }
}
