//! Files of a machine: paths that cannot leave its folder, and writes that a kill cannot cut in half.
//!
//! Everything here blocks; callers go through [`off_thread`].

use clusterdeck_driver::{DriverError, Result};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Most that [`read`] gives back.
const MAX_READ: u64 = 8 << 20;

/// Runs something that blocks where it holds nobody up.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(DriverError::broken(format!("a file operation was cut short ({e})"))),
    }
}

/// Turns a failed system call into whose turn it is. `what` reads like *writing /x/y*.
pub(super) fn broken(what: impl std::fmt::Display, e: &io::Error) -> DriverError {
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

/// A path inside a machine's folder, as its callers write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MachinePath(String);

impl MachinePath {
    /// Reads a path; an empty one or `.` is the folder itself.
    ///
    /// # Errors
    /// `Rejected` for one that is absolute, has `..`, or names what only this provider may touch.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Err(DriverError::rejected(
                format!("the path `{text}` {why}"),
                "paths on a machine are relative to its folder, written with `/`, and stay inside it",
            ))
        };
        if text.starts_with('/') || text.contains(['\\', '\0']) {
            return refuse("is not relative");
        }
        if text.split('/').any(|part| part == "..") {
            return refuse("leaves its machine");
        }
        let parts: Vec<&str> = text.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        if matches!(parts.first(), Some(&("units" | "machine.json"))) {
            return refuse("belongs to the machine itself");
        }
        Ok(Self(parts.join("/")))
    }
    /// As [`MachinePath::parse`], and not the folder itself: for what changes a file.
    ///
    /// # Errors
    /// As there.
    pub(super) fn parse_below(text: &str) -> Result<Self> {
        let path = Self::parse(text)?;
        if path.0.is_empty() {
            return Err(DriverError::broken(
                "the machine's own folder cannot be written, renamed or removed",
            ));
        }
        Ok(path)
    }
    /// Where that is. A link in the folder that leads out of it is refused; the last part itself may be a link.
    ///
    /// # Errors
    /// `Gone` when the machine is, `Rejected` for a link that leads out.
    pub(super) fn inside(&self, root: &Path) -> Result<PathBuf> {
        let top = root
            .canonicalize()
            .map_err(|_| DriverError::Gone { what: format!("the machine {}", root.display()) })?;
        let full = root.join(&self.0);
        if self.0.is_empty() {
            return Ok(full);
        }
        let mut parent = full.parent();
        while let Some(dir) = parent {
            match dir.canonicalize() {
                Ok(real) if real.starts_with(&top) => break,
                Ok(_) => {
                    return Err(DriverError::rejected(
                        format!("`{}` leads out of its machine through a link", self.0),
                        "remove that link from the machine's folder",
                    ));
                }
                Err(e) if e.kind() == ErrorKind::NotFound => parent = dir.parent(),
                Err(e) => return Err(broken(format!("looking at {}", dir.display()), &e)),
            }
        }
        Ok(full)
    }
}

/// The absolute path of `text`, with everything dropped that would lead out.
pub(super) fn lexical(root: &Path, text: &str) -> PathBuf {
    let mut path = root.to_path_buf();
    path.extend(text.split('/').filter(|p| !p.is_empty() && !matches!(*p, "." | "..")));
    path
}

/// Makes a folder and its parents, for the owner only.
pub(super) fn create_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file: a temporary one beside it, on disk before it takes the name. Never readable by more than `mode` says,
/// not even for a moment.
pub(super) fn write_atomic(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
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
        if owner.is_some_and(|pid| pid != std::process::id() && !super::unit::process_exists(pid)) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Writes a file of a machine.
pub(super) fn write(root: &Path, path: &MachinePath, content: &[u8], mode: u32) -> Result<()> {
    let full = path.inside(root)?;
    let failed = |e: io::Error| broken(format!("writing {}", full.display()), &e);
    if let Some(dir) = full.parent() {
        create_dirs(dir).map_err(failed)?;
    }
    write_atomic(&full, content, mode).map_err(failed)
}

/// Reads a file of a machine.
pub(super) fn read(root: &Path, path: &MachinePath) -> Result<Vec<u8>> {
    let full = path.inside(root)?;
    let real = full.canonicalize().map_err(|e| broken(full.display(), &e))?;
    let top = root.canonicalize().map_err(|e| broken(root.display(), &e))?;
    if !real.starts_with(top) {
        return Err(DriverError::rejected(
            format!("`{}` leads out of its machine through a link", path.0),
            "remove that link from the machine's folder",
        ));
    }
    let file = File::open(&real).map_err(|e| broken(full.display(), &e))?;
    let mut content = Vec::new();
    file.take(MAX_READ + 1)
        .read_to_end(&mut content)
        .map_err(|e| broken(format!("reading {}", full.display()), &e))?;
    if content.len() as u64 > MAX_READ {
        return Err(DriverError::rejected(
            format!("{} is larger than 8 MiB", full.display()),
            "files of this size are not read as a whole",
        ));
    }
    Ok(content)
}

/// Renames; done already counts as done.
pub(super) fn rename(root: &Path, from: &MachinePath, to: &MachinePath) -> Result<()> {
    let (from, to) = (from.inside(root)?, to.inside(root)?);
    let failed = |e: io::Error| broken(format!("renaming {} to {}", from.display(), to.display()), &e);
    if from.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return match to.symlink_metadata() {
            Ok(_) => Ok(()),
            Err(_) => Err(DriverError::Gone { what: from.display().to_string() }),
        };
    }
    if let Some(dir) = to.parent() {
        create_dirs(dir).map_err(failed)?;
    }
    fs::rename(&from, &to).map_err(failed)?;
    // On disk, so that the order of two renames survives a power cut.
    to.parent().map_or(Ok(()), |dir| File::open(dir).and_then(|d| d.sync_all())).map_err(failed)
}

/// Takes a file or a folder with all in it away; gone already counts as done.
pub(super) fn remove(full: &Path) -> Result<()> {
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

/// Bytes that everything below takes on disk; links are not followed, what vanishes meanwhile does not count.
pub(super) fn disk_bytes(full: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![full.to_path_buf()];
    while let Some(path) = open.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        // In units of 512, whatever the file system's block is.
        bytes += meta.blocks() * 512;
        if meta.is_dir()
            && let Ok(entries) = fs::read_dir(&path)
        {
            open.extend(entries.flatten().map(|e| e.path()));
        }
    }
    bytes
}

/// The names in a folder; none when it is not there.
pub(super) fn names(dir: &Path) -> Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(broken(format!("listing {}", dir.display()), &e)),
    }
}
