//! Files of a machine: paths that cannot leave its folder, and writes that a kill cannot cut in half.
//!
//! Everything here blocks; callers go through [`off_thread`].

pub(super) use crate::disk::{broken, create_dirs, names, off_thread, remove, write_atomic};
use crate::path::MachinePath;
use clusterdeck_driver::{DriverError, Result};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Most that [`read`] gives back.
const MAX_READ: u64 = 8 << 20;

impl MachinePath {
    /// Where that is. A link in the folder that leads out of it is refused; the last part itself may be a link.
    ///
    /// # Errors
    /// `Gone` when the machine is, `Rejected` for a link that leads out.
    pub(super) fn inside(&self, root: &Path) -> Result<PathBuf> {
        let top = root
            .canonicalize()
            .map_err(|_| DriverError::Gone { what: format!("the machine {}", root.display()) })?;
        let full = root.join(self.as_str());
        if self.as_str().is_empty() {
            return Ok(full);
        }
        let mut parent = full.parent();
        while let Some(dir) = parent {
            match dir.canonicalize() {
                Ok(real) if real.starts_with(&top) => break,
                Ok(_) => {
                    return Err(DriverError::rejected(
                        format!("`{}` leads out of its machine through a link", self.as_str()),
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
            format!("`{}` leads out of its machine through a link", path.as_str()),
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
