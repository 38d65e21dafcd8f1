//! Copies of `state.db` that are there when it is damaged: one before every migration, and one a day of the last three.
//!
//! A copy is made by SQLite's backup interface under another name, checked, written to the disk, and only then given its
//! name; so a file that bears the name of a copy is a whole one.

use crate::{
    fault::{Fault, Place},
    file,
};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, backup::Backup};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How many daily copies are kept.
const KEPT: u32 = 3;
/// How old the newest daily copy may be.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// Pages copied at a time.
const PAGES: i32 = 4_096;

/// `state.db.copy`, `state.db.copy.1`, `state.db.copy.2`: newest first.
fn daily(path: &Path, age: u32) -> PathBuf {
    if age == 0 { file::beside(path, ".copy") } else { file::beside(path, &format!(".copy.{age}")) }
}

/// `state.db.before-3`: what was there before the migration to shape 3.
fn before_path(path: &Path, version: u32) -> PathBuf {
    file::beside(path, &format!(".before-{version}"))
}

/// Keeps a copy of the file as it was before it is brought to shape `version`.
pub(crate) fn keep_before(place: &Place, version: u32) -> Result<(), Fault> {
    write_copy(place, &before_path(&place.path, version))
}

/// Whether a daily copy should be made. The clock may jump: a copy from the future counts as fresh for a day only.
pub(crate) fn is_due(path: &Path, now: SystemTime) -> bool {
    let Ok(made) = fs::metadata(daily(path, 0)).and_then(|m| m.modified()) else { return true };
    match now.duration_since(made) {
        Ok(age) => age >= FRESH,
        Err(ahead) => ahead.duration() >= FRESH,
    }
}

/// Makes a daily copy and lets the oldest go.
pub(crate) fn keep_daily(place: &Place) -> Result<(), Fault> {
    let fresh = file::beside(&place.path, ".copy.new");
    write_copy(place, &fresh)?;
    let told = |e: std::io::Error| Fault::Told(place.io("keeping a copy", &e));
    for age in (1..KEPT).rev() {
        let younger = daily(&place.path, age - 1);
        if younger.exists() {
            fs::rename(&younger, daily(&place.path, age)).map_err(told)?;
        }
    }
    fs::rename(&fresh, daily(&place.path, 0)).map_err(told)
}

/// Writes a whole, checked copy of the file to `to`.
fn write_copy(place: &Place, to: &Path) -> Result<(), Fault> {
    let told = |e: std::io::Error| Fault::Told(place.io("keeping a copy", &e));
    let draft = Place::new(file::beside(to, ".draft"));
    match fs::remove_file(&draft.path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(told(error)),
        _ => {}
    }
    file::make_private(&draft)?;
    let result = fill(place, &draft);
    if let Err(fault) = result {
        // Half a copy on a full disk is worse than none.
        let _gone = fs::remove_file(&draft.path).is_ok();
        return Err(fault);
    }
    fs::File::open(&draft.path).and_then(|f| f.sync_all()).map_err(told)?;
    fs::rename(&draft.path, to).map_err(told)
}

fn fill(place: &Place, draft: &Place) -> Result<(), Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(&place.path, flags)?;
    source.busy_timeout(file::BUSY)?;
    let mut copy = file::connect(&draft.path)?;
    Backup::new(&source, &mut copy)?.run_to_completion(PAGES, Duration::ZERO, None)?;
    // One file, without a log beside it, so that it can be copied back by hand.
    copy.pragma_update(None, "journal_mode", "delete")?;
    file::check(&copy, draft)
}

/// Every copy that is there, newest first.
fn copies(path: &Path) -> Vec<(SystemTime, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    let is_copy = |file: &str| {
        let Some(suffix) = file.strip_prefix(name) else { return false };
        let numbered = |start: &str| {
            suffix.strip_prefix(start).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        suffix == ".copy" || numbered(".copy.") || numbered(".before-")
    };
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_copy))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    found.reverse();
    found
}

/// Whether any copy is there, which says that there was something to copy.
pub(crate) fn any(path: &Path) -> bool {
    !copies(path).is_empty()
}

/// For the message about a file of a newer program.
pub(crate) fn before(path: &Path, version: u32) -> String {
    let kept = before_path(path, version);
    if kept.exists() {
        format!(", or go back to what was there before it: `{}`", kept.display())
    } else {
        String::new()
    }
}

/// What a person can do about a damaged file, in a sentence or two.
pub(crate) fn way_back(path: &Path) -> String {
    let file = path.display();
    let aside = format!(
        "stop Clusterdeck and move `{file}` and, if they are there, `{file}-wal` and `{file}-shm` aside"
    );
    match copies(path).first() {
        Some((made, copy)) => {
            let made = Timestamp::try_from(*made).map_or_else(
                |_| "an unknown time".to_owned(),
                |t| t.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            );
            format!(
                "To go back to the newest copy, of {made}: {aside}, then copy `{}` to `{file}` and start again. What was \
                 changed after that copy is not in it",
                copy.display()
            )
        }
        None => format!(
            "There is no copy of it yet. Restore it from a backup of your own; or, to start with an empty list of \
             clusters: {aside} and start again. Servers that run then keep running but are not in that list"
        ),
    }
}
