//! What can go wrong in a file, and how it is told: what happened, what it means for the data, what to do.

use crate::keep;
use clusterdeck_engine::repository::RepositoryError;
use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

/// Less free space than this is a full disk, whatever the failing call named as its reason.
const FULL_BELOW_BYTES: u64 = 64 * 1024;

/// Inside this room: why a job failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// SQLite said so.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// A row is not what was written: damage, or another program's hand.
    #[error("{0}")]
    Unreadable(String),
    /// The answer is already in the engine's words.
    #[error(transparent)]
    Told(#[from] RepositoryError),
}

impl Fault {
    /// The file itself is damaged (as opposed to: full, busy, read-only).
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Sql(error) => is_damage(error),
            Self::Unreadable(_) => true,
            Self::Told(_) => false,
        }
    }
}

/// SQLite found something that it did not write.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
        )
}

/// A file of this room.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }
    /// `state.db`.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|n| n.to_str()).unwrap_or("database")
    }
    pub(crate) fn broken(&self, what: &str) -> RepositoryError {
        RepositoryError::Broken { file: self.path.display().to_string(), what: what.to_owned() }
    }
    fn full(&self) -> RepositoryError {
        RepositoryError::DiskFull { file: self.path.display().to_string() }
    }

    /// The file is damaged: what that means and the way back.
    pub(crate) fn damaged(&self, detail: &str) -> RepositoryError {
        self.broken(&format!(
            "it is damaged ({detail}). The clusters' servers keep running and nothing was changed or deleted. {}",
            keep::way_back(&self.path)
        ))
    }

    /// An error of the file system.
    pub(crate) fn io(&self, doing: &str, error: &std::io::Error) -> RepositoryError {
        if error.kind() == std::io::ErrorKind::StorageFull || is_full(&self.path) {
            return self.full();
        }
        self.broken(&format!(
            "{doing} failed ({error}). Nothing was lost; check the folder's owner and permissions"
        ))
    }

    /// In the engine's words.
    pub(crate) fn tell(&self, fault: Fault) -> RepositoryError {
        let error = match fault {
            Fault::Told(told) => return told,
            Fault::Unreadable(what) => return self.damaged(&what),
            Fault::Sql(error) => error,
        };
        if is_damage(&error) {
            return self.damaged(&error.to_string());
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => self.full(),
            // Growing the shared memory file or an fsync on a full disk reports a plain I/O error.
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_full(&self.path) => self.full(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => self.broken(
                "another program held it for more than 5 s, so nothing was written. Try again; `fuser` tells which one",
            ),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => self.broken(&format!(
                "it may not be written ({error}). Nothing was changed; check the owner and permissions of the file, of \
                 its folder and of the files beside it"
            )),
            Some(ErrorCode::SystemIoFailure) => {
                self.broken(&format!("the disk failed ({error}). Nothing was deleted; look at the system's log"))
            }
            _ => self.broken(&error.to_string()),
        }
    }
}

#[cfg(unix)]
fn is_full(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    rustix::fs::statvfs(folder)
        .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL_BELOW_BYTES)
}
#[cfg(not(unix))]
fn is_full(_: &Path) -> bool {
    // Windows names the reason itself (`StorageFull`, SQLITE_FULL).
    FULL_BELOW_BYTES == 0
}
