//! Names and labels of everything that belongs to a home, and the notes beside them.
//!
//! ```text
//! containers/home                       the id of this home: the value of the label of all it owns
//! containers/images.json                what programs an image holds, by the image's id
//! containers/<machine>/machine.json     what the machine was made for, and which engine has it
//! containers/<machine>/units/<unit>.json  what shall run, and how often it was started again
//! ```
//!
//! The labels alone are enough to find what is ours; the notes say what an engine cannot be told: what somebody *wants*
//! of a unit, and where a machine is while its engine does not answer.

use super::publish::Published;
use crate::disk::{self, broken, create_dirs};
use clusterdeck_domain::{ClusterId, MachineId, MachineSpec};
use clusterdeck_driver::{MachineRequest, Result, UnitSpec};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// On containers, volumes and networks: which home owns it. Nothing without our own value is ever touched.
pub(super) const HOME: &str = "clusterdeck.home";
/// On all of them: for which cluster.
pub(super) const CLUSTER: &str = "clusterdeck.cluster";
/// On containers and volumes: of which machine.
pub(super) const MACHINE: &str = "clusterdeck.machine";
/// On the container of a unit: its name.
pub(super) const UNIT: &str = "clusterdeck.unit";
/// On the container of a unit: how it was started.
pub(super) const SPEC: &str = "clusterdeck.spec";
/// On the volume of a machine: what it was made for.
pub(super) const REQUEST: &str = "clusterdeck.request";

/// Where a machine's volume is in every container of it.
pub(super) const ROOT: &str = "/clusterdeck";
/// All servers run as nobody: every base image has the name (PostgreSQL asks for one), and it owns nothing else.
pub(super) const USER: &str = "65534:65534";

/// The note of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MachineNote {
    /// What it was made for.
    pub request: MachineRequest,
    /// What became of it.
    pub spec: MachineSpec,
    /// The id of the engine that has it.
    pub engine: String,
    /// The ports here that lead to it; empty where its address does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub published: Published,
}

/// What somebody wants of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Intent {
    /// It shall run.
    Run,
    /// It shall not.
    Stop,
}

/// The note of a unit. Whether it runs, since when, and how it ended is the engine's to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnitNote {
    /// What runs.
    pub spec: UnitSpec,
    /// What is wanted.
    pub intent: Intent,
    /// When it was last asked to start, in milliseconds since 1970.
    pub asked_ms: i64,
    /// Times it was started again after a crash.
    pub restarts: u32,
    /// Those of them in a row, each after less than a minute.
    pub quick: u32,
}

/// The folder of all notes.
pub(super) fn dir(home: &Path) -> PathBuf {
    home.join("containers")
}
/// The folder of a machine's notes.
pub(super) fn machine_dir(home: &Path, id: &MachineId) -> PathBuf {
    dir(home).join(id.as_str())
}
/// The note of a machine.
pub(super) fn machine_note(home: &Path, id: &MachineId) -> PathBuf {
    machine_dir(home, id).join("machine.json")
}
/// The folder of the notes of its units.
pub(super) fn units_dir(home: &Path, id: &MachineId) -> PathBuf {
    machine_dir(home, id).join("units")
}
/// The note of a unit.
pub(super) fn unit_note(home: &Path, id: &MachineId, unit: &str) -> PathBuf {
    units_dir(home, id).join(format!("{unit}.json"))
}
/// What images hold.
pub(super) fn images_note(home: &Path) -> PathBuf {
    dir(home).join("images.json")
}

/// The name of a machine's container, and of its volume.
pub(super) fn machine_name(id: &MachineId) -> String {
    format!("clusterdeck-{id}")
}
/// The name of a unit's container.
pub(super) fn unit_name(id: &MachineId, unit: &str) -> String {
    format!("clusterdeck-{id}-{unit}")
}
/// The name of a cluster's network.
pub(super) fn network_name(id: &ClusterId) -> String {
    format!("clusterdeck-{id}")
}

/// Labels of something of a cluster.
pub(super) fn labels(home: &str, more: &[(&str, &str)]) -> HashMap<String, String> {
    let own = std::iter::once((HOME, home)).chain(more.iter().copied());
    own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A filter that only lets through what has these labels.
pub(super) fn only(home: &str, more: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    let labels = labels(home, more).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    HashMap::from([("label".to_owned(), labels)])
}

/// The id of this home; `None` when it never had a machine of ours.
pub(super) fn home_id(home: &Path) -> Result<Option<String>> {
    let path = dir(home).join("home");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|id| !id.is_empty())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(broken(format!("reading {}", path.display()), &e)),
    }
}

/// The id of this home, made when there is none. Not its path: a folder that is moved keeps what it owns.
pub(super) fn ensure_home_id(home: &Path) -> Result<String> {
    if let Some(id) = home_id(home)? {
        return Ok(id);
    }
    let path = dir(home).join("home");
    let failed = |e: std::io::Error| broken(format!("writing {}", path.display()), &e);
    create_dirs(&dir(home)).map_err(failed)?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    disk::write_atomic(&path, id.as_bytes(), 0o600).map_err(failed)?;
    // Somebody else may have been faster: what lies there now counts.
    Ok(home_id(home)?.unwrap_or(id))
}

/// The machines there are notes of.
pub(super) fn machine_ids(home: &Path) -> Result<Vec<MachineId>> {
    let names = disk::names(&dir(home))?;
    Ok(names.iter().filter_map(|name| MachineId::parse(name).ok()).collect())
}
