//! Copies of answers of other control planes, for reading while they cannot be reached. The least recently used go first.

use super::Inner;
use crate::{fault::Fault, migrate::Migration, table};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, TransactionBehavior};

/// One copy may have this part of the room of all.
const SHARE: u64 = 8;

pub(crate) const CREATE: Migration = Migration {
    version: 3,
    name: "copies",
    // `used` is a counter, not a time: it orders what was used when, whatever the clock does.
    sql: "CREATE TABLE copies (
            id INTEGER PRIMARY KEY,
            connection TEXT NOT NULL,
            path TEXT NOT NULL,
            at TEXT NOT NULL,
            used INTEGER NOT NULL,
            size INTEGER NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (connection, path)) STRICT;
          CREATE INDEX copies_used ON copies (used, size);",
};

/// An answer as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCopy {
    /// The answer's body.
    pub body: Vec<u8>,
    /// When it was given.
    pub at: Timestamp,
}

pub(super) fn put(
    inner: &mut Inner,
    name: &str,
    path: &str,
    body: &[u8],
    at: Timestamp,
) -> Result<(), Fault> {
    let size = body.len() as u64;
    // A revealed password must not come to lie on the disk, whoever calls.
    if path.contains("/credentials") || size > inner.limits.copy_bytes / SHARE {
        return Ok(());
    }
    let transaction = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .prepare_cached(
            "INSERT INTO copies (connection, path, at, used, size, body)
             VALUES (?1, ?2, ?3, (SELECT coalesce(max(used), 0) + 1 FROM copies), ?4, ?5)
             ON CONFLICT (connection, path)
             DO UPDATE SET at = excluded.at, used = excluded.used, size = excluded.size, body = excluded.body",
        )?
        .execute((name, path, at.to_string(), size as i64, body))?;
    let (mut count, mut bytes): (i64, i64) = transaction
        .prepare_cached("SELECT count(*), coalesce(sum(size), 0) FROM copies")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    while count > i64::from(inner.limits.copies) || bytes > inner.limits.copy_bytes as i64 {
        let gone: Option<i64> = transaction
            .prepare_cached(
                "DELETE FROM copies WHERE id = (SELECT id FROM copies ORDER BY used LIMIT 1) RETURNING size",
            )?
            .query_row([], |row| row.get(0))
            .optional()?;
        let Some(gone) = gone else { break };
        count -= 1;
        bytes -= gone;
    }
    transaction.commit()?;
    Ok(())
}

pub(super) fn get(inner: &mut Inner, name: &str, path: &str) -> Result<Option<KeptCopy>, Fault> {
    let found: Option<(i64, String, Vec<u8>)> = inner
        .connection
        .prepare_cached("SELECT id, at, body FROM copies WHERE connection = ?1 AND path = ?2")?
        .query_row((name, path), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, at, body)) = found else { return Ok(None) };
    inner
        .connection
        .prepare_cached("UPDATE copies SET used = (SELECT max(used) + 1 FROM copies) WHERE id = ?1")?
        .execute([id])?;
    Ok(Some(KeptCopy { body, at: table::from_time("a copy", &at)? }))
}

pub(super) fn forget(inner: &mut Inner, name: &str) -> Result<(), Fault> {
    inner.connection.prepare_cached("DELETE FROM copies WHERE connection = ?1")?.execute([name])?;
    Ok(())
}
