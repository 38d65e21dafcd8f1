//! Bringing a file to the shape this program knows: all missing steps in one transaction, with their record.

use crate::{
    fault::{Fault, Place},
    file::Kind,
};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

/// One step from a shape to the next. Once released it never changes; a correction is a new one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// The shape that it leads to; the first is 1 and none is left out.
    pub(crate) version: u32,
    /// For people: what it brings.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) sql: &'static str,
}

/// The newest shape.
pub(crate) fn newest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |m| m.version)
}

/// Runs what is missing. `before` is called with the old and the new shape while no other process can write, and only
/// when the file held something already.
pub(crate) fn migrate(
    connection: &mut Connection,
    place: &Place,
    kind: Kind,
    migrations: &[Migration],
    before: impl FnOnce(u32, u32) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let newest = newest(migrations);
    if version(connection)? >= newest {
        return record_agrees(connection, newest);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it while this one waited for the lock.
    let from = version(&transaction)?;
    if from >= newest {
        return Ok(());
    }
    if from > 0 {
        record_agrees(&transaction, from)?;
        before(from, newest)?;
    }
    transaction.pragma_update(None, "application_id", kind.application_id)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
           version INTEGER PRIMARY KEY, name TEXT NOT NULL, at TEXT NOT NULL, program TEXT NOT NULL) STRICT",
    )?;
    for migration in migrations.iter().filter(|m| m.version > from) {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO migrations (version, name, at, program) VALUES (?1, ?2, ?3, ?4)",
            (migration.version, migration.name, Timestamp::now().to_string(), env!("CARGO_PKG_VERSION")),
        )?;
    }
    transaction.pragma_update(None, "user_version", newest)?;
    transaction.commit()?;
    tracing::info!(file = %place.path.display(), from, to = newest, "the file was brought to the newest shape");
    Ok(())
}

fn version(connection: &Connection) -> Result<u32, Fault> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// The record and the header say the same; else somebody else's hand, or damage, was at work.
fn record_agrees(connection: &Connection, version: u32) -> Result<(), Fault> {
    let recorded: u32 =
        connection.query_row("SELECT coalesce(max(version), 0) FROM migrations", [], |row| row.get(0))?;
    if recorded == version {
        return Ok(());
    }
    Err(Fault::Unreadable(format!(
        "its header says shape {version}, its record of migrations says {recorded}"
    )))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_list_of_migrations_counts_from_one_without_a_hole() {
        for list in [crate::table::MIGRATIONS.as_slice(), crate::cache::MIGRATIONS.as_slice()] {
            let versions: Vec<u32> = list.iter().map(|m| m.version).collect();
            let expected: Vec<u32> = (1..=u32::try_from(list.len()).expect("few")).collect();
            assert_eq!(versions, expected, "shapes are numbered in order");
        }
    }
}
