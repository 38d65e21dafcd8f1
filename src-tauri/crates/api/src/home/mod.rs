//! A home: the folder that holds `state.db`, `cache.db`, the machines and the logs. One process at a time holds its lock
//! and hosts the engine; it answers every other one over a local socket, so that a window, a `serve` and a command in a
//! terminal are three faces of one engine.

mod compose;
mod guest;
mod host;
mod lock;
mod socket;

pub use compose::{Compose, Kept};
pub(crate) use guest::{Guest, Refused};
pub(crate) use host::Host;
pub(crate) use lock::Lock;

use crate::problem::{Code, Problem};
use std::path::{Path, PathBuf};

/// Makes the home's folder, for its owner only, and returns its real path.
pub(crate) fn prepare(home: &Path) -> Result<PathBuf, Problem> {
    let failed = |error: std::io::Error| {
        Problem::new(Code::StoreBroken, format!("the home {} cannot be used: {error}", home.display()))
            .detail("Nothing was changed.")
            .hint(
                "Check the folder's owner and permissions, or name another with --home or CLUSTERDECK_HOME.",
            )
    };
    make_private(home).map_err(failed)?;
    home.canonicalize().map_err(failed)
}

/// Makes a folder that only its owner can look into. One that is there keeps its permissions, unless others may enter.
#[cfg(unix)]
pub(crate) fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let permissions = std::fs::metadata(folder)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes a folder; on Windows a folder below the user's profile is the user's own.
#[cfg(not(unix))]
pub(crate) fn make_private(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Where the home is when nobody names one.
pub fn default_home() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        var("LOCALAPPDATA").unwrap_or_else(|| PathBuf::from(".")).join("Clusterdeck")
    } else if cfg!(target_os = "macos") {
        var("HOME").unwrap_or_else(|| PathBuf::from(".")).join("Library/Application Support/Clusterdeck")
    } else {
        let data = var("XDG_DATA_HOME").filter(|p| p.is_absolute());
        let data =
            data.unwrap_or_else(|| var("HOME").unwrap_or_else(|| PathBuf::from(".")).join(".local/share"));
        data.join("clusterdeck")
    }
}
