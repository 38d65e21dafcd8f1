//! Opening a database file: who may read it, how SQLite shall treat it, and whether it is sound.

use crate::fault::{Fault, Place};
use clusterdeck_engine::repository::RepositoryError;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a statement waits for another process's lock.
pub(crate) const BUSY: Duration = Duration::from_secs(5);
/// A write-ahead log larger than this is cut back after a checkpoint.
const LOG_LIMIT_BYTES: i64 = 16 << 20;
/// Up to this size the indexes are compared with their tables too (a second or so for the largest), above it only the
/// pages are checked.
const THOROUGH_BELOW_BYTES: u64 = 32 << 20;

/// What a file is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// SQLite's `application_id`, so that a foreign database is not taken for ours.
    pub(crate) application_id: i32,
    /// SQLite's `synchronous`.
    pub(crate) synchronous: &'static str,
}

/// Makes the home, readable by its owner only.
pub(crate) fn make_home(home: &Path) -> Result<(), RepositoryError> {
    let place = Place::new(home.to_owned());
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(home).map_err(|e| place.io("making the folder", &e))
}

/// Makes the file if need be, and lets nobody but its owner read it. SQLite gives the files beside it the same mode.
pub(crate) fn make_private(place: &Place) -> Result<(), RepositoryError> {
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&place.path).map_err(|e| place.io("opening it", &e))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(|e| place.io("looking at it", &e))?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))
                .map_err(|e| place.io("making it private", &e))?;
        }
    }
    drop(file);
    Ok(())
}

/// Opens an existing file for reading and writing, without changing it yet.
pub(crate) fn connect(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // A damaged or tampered schema must not be able to run anything, and cells are checked as pages are read.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

/// Refuses a file that is no database, not ours, or written by a newer program. Writes nothing.
pub(crate) fn recognise(
    connection: &Connection,
    place: &Place,
    kind: Kind,
    newest: u32,
) -> Result<(), Fault> {
    let found: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && found != kind.application_id {
        return Err(Fault::Unreadable("its header does not say that it is Clusterdeck's".to_owned()));
    }
    if version > newest {
        return Err(Fault::Told(place.broken(&format!(
            "a newer Clusterdeck has written it (shape {version}; this one knows shapes up to {newest}). It was not \
             changed and the servers keep running. Use the newer Clusterdeck{}",
            crate::keep::before(&place.path, version)
        ))));
    }
    Ok(())
}

/// Looks at every page (and for a file of moderate size at every index entry).
pub(crate) fn check(connection: &Connection, place: &Place) -> Result<(), Fault> {
    let size = fs::metadata(&place.path).map_or(0, |m| m.len());
    let pragma =
        if size <= THOROUGH_BELOW_BYTES { "PRAGMA integrity_check(1)" } else { "PRAGMA quick_check(1)" };
    let found: String = connection.query_row(pragma, [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(Fault::Unreadable(found.lines().collect::<Vec<_>>().join("; "))) }
}

/// Sets how SQLite treats the file from now on.
pub(crate) fn settle(connection: &Connection, kind: Kind) -> Result<(), Fault> {
    // Changing into WAL mode needs the file for itself and does not wait for it, so two programs that start at the same
    // time on a new home would trip over each other.
    let until = Instant::now() + BUSY;
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Ok(()) => break,
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error.into()),
        }
    }
    connection.pragma_update(None, "synchronous", kind.synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
    Ok(())
}

/// `state.db` and `-wal` give `state.db-wal`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Size of a file; 0 when it is not there.
pub(crate) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}
