//! What is known of each backup. The data itself lies in a vault, with the same beside it.

use super::{from_text, is_whole, sum, to_text};
use crate::{fault::Fault, migrate::Migration};
use clusterdeck_domain::{Backup, BackupId};
use rusqlite::Connection;

pub(crate) const CREATE: Migration = Migration {
    version: 6,
    name: "backups",
    sql: "CREATE TABLE backups (id TEXT PRIMARY KEY, body TEXT NOT NULL, sum INTEGER NOT NULL) STRICT",
};

/// All of them.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Backup>, Fault> {
    let mut statement = connection.prepare_cached("SELECT id, body, sum FROM backups ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, body): (String, String) = (row.get(0)?, row.get(1)?);
        let what = format!("the row of backup {id}");
        is_whole(&what, &[&body], row.get(2)?)?;
        found.push(from_text(&what, &body)?);
    }
    Ok(found)
}

/// Adds one, or replaces what is known of it.
pub(crate) fn put(connection: &Connection, backup: &Backup) -> Result<(), Fault> {
    let body = to_text(backup)?;
    connection
        .prepare_cached(
            "INSERT INTO backups (id, body, sum) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET body = excluded.body, sum = excluded.sum",
        )?
        .execute((backup.id.as_str(), &body, sum(&[&body])))?;
    Ok(())
}

/// Forgets one.
pub(crate) fn remove(connection: &Connection, id: &BackupId) -> Result<(), Fault> {
    connection.prepare_cached("DELETE FROM backups WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}
