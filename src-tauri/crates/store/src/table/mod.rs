//! The tables of `state.db`, one file each: migration, row and queries together.

pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod clusters;
pub(crate) mod journal;
pub(crate) mod log;
pub(crate) mod operations;
pub(crate) mod settings;

use crate::{fault::Fault, migrate::Migration};
use clusterdeck_engine::repository::RepositoryError;
use serde::{Serialize, de::DeserializeOwned};

/// All shapes of `state.db`, oldest first.
pub(crate) const MIGRATIONS: [Migration; 7] = [
    clusters::CREATE,
    operations::CREATE,
    journal::CREATE,
    audit::CREATE,
    settings::CREATE,
    backups::CREATE,
    log::CREATE,
];

/// The longest page of a list.
const PAGE_MAX: u32 = 500;
/// The page of a caller that does not say.
const PAGE_DEFAULT: u32 = 50;

/// A value as the text of a column.
pub(crate) fn to_text<T: Serialize>(value: &T) -> Result<String, Fault> {
    // Only a map with keys that are no strings can fail, and none of our shapes has one.
    serde_json::to_string(value).map_err(|e| Fault::Unreadable(format!("a row could not be written: {e}")))
}

/// The value that a column's text stands for.
pub(crate) fn from_text<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|e| Fault::Unreadable(format!("{what} cannot be read: {e}")))
}

/// A word of an enumeration, without the quotes of JSON.
pub(crate) fn to_word<T: Serialize>(value: &T) -> Result<String, Fault> {
    Ok(to_text(value)?.trim_matches('"').to_owned())
}

/// The value that a word stands for.
pub(crate) fn from_word<T: DeserializeOwned>(what: &str, word: &str) -> Result<T, Fault> {
    from_text(what, &format!("\"{word}\""))
}

/// A time as written by [`jiff::Timestamp`]'s `Display`.
pub(crate) fn from_time(what: &str, text: &str) -> Result<jiff::Timestamp, Fault> {
    text.parse().map_err(|e| Fault::Unreadable(format!("{what} has no time that can be read: {e}")))
}

/// Checksum over the parts of a row. SQLite checks the structure of its pages, not the content of a row; a flipped bit in
/// an address must not be taken for the truth.
pub(crate) fn sum(parts: &[&str]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    hash.finalize()
}

/// Refuses a row whose content is not what was written.
pub(crate) fn is_whole(what: &str, parts: &[&str], expected: u32) -> Result<(), Fault> {
    if sum(parts) == expected {
        Ok(())
    } else {
        Err(Fault::Unreadable(format!("the checksum of {what} is wrong")))
    }
}

/// How many rows a page may have.
pub(crate) fn page_size(limit: u32) -> u32 {
    if limit == 0 { PAGE_DEFAULT } else { limit.min(PAGE_MAX) }
}

/// The row number after which (going back in time) a page begins.
pub(crate) fn page_start(cursor: Option<&str>) -> Result<i64, Fault> {
    match cursor {
        None => Ok(i64::MAX),
        Some(text) => text.parse().map_err(|_| {
            Fault::Told(RepositoryError::Stale { what: "the list this cursor was made for".to_owned() })
        }),
    }
}

/// Whether an insert failed because such a row is there already.
pub(crate) fn is_double(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error().map(|e| e.extended_code),
        Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY)
    )
}

/// Such a row is there already.
pub(crate) fn conflict(what: String) -> Fault {
    Fault::Told(RepositoryError::Conflict { what })
}

/// Somebody else was faster.
pub(crate) fn stale(what: String) -> Fault {
    Fault::Told(RepositoryError::Stale { what })
}
