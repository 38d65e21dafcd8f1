//! Files of ours on this computer: writes that a kill cannot cut in half, notes, and errors that say whose turn it is.
//!
//! Everything here blocks; callers go through [`off_thread`].

use clusterdeck_driver::{DriverError, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Runs something that blocks where it holds nobody up.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(DriverError::broken(format!("a file operation was cut short ({e})"))),
    }
}

/// Turns a failed system call into whose turn it is. `what` reads like *writing /x/y*.
pub(crate) fn broken(what: impl std::fmt::Display, e: &io::Error) -> DriverError {
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DriverError::rejected(
            format!("the disk is full: {what} failed; what was there before is unchanged"),
            "free some disk space (`df -h` shows where it is short), then try again",
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => DriverError::rejected(
            format!("{what} is not allowed ({e})"),
            "give the user that runs Clusterdeck access to its home folder, then try again",
        ),
        ErrorKind::AddrInUse => DriverError::rejected(
            format!("{what} failed: the port is taken by another program"),
            "stop the program that listens there (`ss -ltnp` names it), then try again",
        ),
        ErrorKind::NotFound => DriverError::Gone { what: what.to_string() },
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::ResourceBusy => {
            DriverError::transient(format!("{what} failed ({e})"))
        }
        // Too many open files, here (24) or in the system (23): others let go of theirs in a moment.
        _ if matches!(e.raw_os_error(), Some(23 | 24)) => {
            DriverError::transient(format!("{what} failed ({e})"))
        }
        _ => DriverError::broken(format!("{what} failed ({e})")),
    }
}

/// Makes a folder and its parents, for the owner only.
pub(crate) fn create_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file: a temporary one beside it, on disk before it takes the name. Never readable by more than `mode` says,
/// not even for a moment.
pub(crate) fn write_atomic(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Err(io::Error::from(ErrorKind::InvalidFilename));
    };
    sweep(dir, name);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = dir.join(format!(".{name}.{}.{count}.new", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(&temporary)?;
        file.write_all(content)?;
        // Exactly the mode asked for, whatever the umask; only now, when nobody can see half a file under the name.
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if let Err(e) = written {
        // The first error is the one to tell; what is left of the temporary file goes with the next write.
        drop(fs::remove_file(&temporary));
        return Err(e);
    }
    File::open(dir)?.sync_all()
}

/// Takes away what a killed process left of an earlier write of this file.
fn sweep(dir: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let Some(middle) = file
            .to_str()
            .and_then(|f| f.strip_prefix(&format!(".{name}.")))
            .and_then(|f| f.strip_suffix(".new"))
        else {
            continue;
        };
        let owner = middle.split('.').next().and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| pid != std::process::id() && !process_exists(pid)) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Takes a file or a folder with all in it away; gone already counts as done.
pub(crate) fn remove(full: &Path) -> Result<()> {
    let removed = match full.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(full),
        Ok(_) => fs::remove_file(full),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(broken(format!("removing {}", full.display()), &e)),
        _ => Ok(()),
    }
}

/// The names in a folder; none when it is not there.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(broken(format!("listing {}", dir.display()), &e)),
    }
}

/// Reads a note; `None` when there is none.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| DriverError::broken(format!("{} cannot be understood ({e})", path.display()))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(broken(format!("reading {}", path.display()), &e)),
    }
}

/// Writes a note, readable by its owner only.
pub(crate) fn save<T: Serialize>(path: &Path, note: &T) -> Result<()> {
    let text = serde_json::to_vec_pretty(note)
        .map_err(|e| DriverError::broken(format!("{} cannot be written ({e})", path.display())))?;
    write_atomic(path, &text, 0o600).map_err(|e| broken(format!("writing {}", path.display()), &e))
}

/// Whether a text can name a unit, and with that be part of a file's name.
pub(crate) fn check_unit_name(name: &str) -> Result<()> {
    let fine = !name.is_empty()
        && name.len() <= 40
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fine { Ok(()) } else { Err(DriverError::broken(format!("`{name}` cannot be the name of a unit"))) }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether a pid belongs to anybody.
fn process_exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
