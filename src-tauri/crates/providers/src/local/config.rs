//! What lies in a machine's folder besides the data of its servers, and how it is read and written.
//!
//! ```text
//! machines/<id>/machine.json        the request it was made for, and its address
//! machines/<id>/units/<name>.json   what shall run, what does, and how it ended
//! machines/<id>/units/<name>.lock   held while one of us changes that
//! machines/<id>/logs/<name>.log     with .1 to .3, the older ones
//! ```

pub(super) use crate::disk::{check_unit_name, load, now_ms, save};

use super::files;
use clusterdeck_domain::{MachineId, MachineSpec};
use clusterdeck_driver::{DriverError, MachineRequest, Result, UnitSpec};
use serde::{Deserialize, Serialize};
use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use super::unit::ProcessId;

/// The note of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MachineNote {
    /// What it was made for.
    pub request: MachineRequest,
    /// What became of it.
    pub spec: MachineSpec,
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

/// How a unit's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// When that was first seen, in milliseconds since 1970; never before it really ended.
    pub at_ms: i64,
    /// What is known of it, as a phrase.
    pub how: String,
}

/// The note of a unit. It is written before a process is started (without one) and again right after (with it): a
/// note that says *run* and names no process means that somebody was killed in between, and the process is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnitNote {
    /// What runs.
    pub spec: UnitSpec,
    /// What is wanted.
    pub intent: Intent,
    /// The process.
    pub process: Option<ProcessId>,
    /// When it was started, in milliseconds since 1970.
    pub since_ms: i64,
    /// Its end, once seen.
    pub ended: Option<Ended>,
    /// Times it was started again after a crash.
    pub restarts: u32,
    /// Those of them in a row, each after less than a minute.
    pub quick: u32,
}

/// The folder of all machines.
pub(super) fn machines_dir(home: &Path) -> PathBuf {
    home.join("machines")
}
/// The folder of a machine.
pub(super) fn machine_dir(home: &Path, id: &MachineId) -> PathBuf {
    machines_dir(home).join(id.as_str())
}
/// The note of a machine.
pub(super) fn machine_note(root: &Path) -> PathBuf {
    root.join("machine.json")
}
/// The folder of the notes of units.
pub(super) fn units_dir(root: &Path) -> PathBuf {
    root.join("units")
}
/// The note of a unit.
pub(super) fn unit_note(root: &Path, name: &str) -> PathBuf {
    units_dir(root).join(format!("{name}.json"))
}
/// The lock of a unit.
pub(super) fn unit_lock(root: &Path, name: &str) -> PathBuf {
    units_dir(root).join(format!("{name}.lock"))
}

/// As [`save`], and on a full disk over the note that is there: a server must be stoppable then, and room for a second
/// file is what is missing. A kill in the middle of one small write to a block that exists is a risk worth that.
pub(super) fn save_even_when_full<T: Serialize>(path: &Path, note: &T) -> Result<()> {
    let saved = save(path, note);
    let Err(DriverError::Rejected { .. }) = saved else { return saved };
    // Never shorter than before, so that no moment has half of each: spaces after the end mean nothing.
    let there = std::fs::metadata(path).map_or(0, |m| usize::try_from(m.len()).unwrap_or(0));
    let Ok(mut text) = serde_json::to_vec(note) else { return saved };
    text.resize(text.len().max(there), b' ');
    let over = OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(&text));
    if over.is_ok() { Ok(()) } else { saved }
}

/// The ids of the machines whose folders are there.
pub(super) fn machine_ids(home: &Path) -> Result<Vec<MachineId>> {
    let mut ids: Vec<MachineId> =
        files::names(&machines_dir(home))?.iter().filter_map(|name| MachineId::parse(name).ok()).collect();
    ids.sort();
    Ok(ids)
}
