//! What happened to each operation, line by line. Lines are only ever added; they go with their operation.

use super::{from_time, from_word, to_word};
use crate::{fault::Fault, migrate::Migration};
use clusterdeck_domain::OperationId;
use clusterdeck_engine::repository::JournalEntry;
use rusqlite::Connection;

pub(crate) const CREATE: Migration = Migration {
    version: 3,
    name: "journal",
    sql: "CREATE TABLE journal (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            operation TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
            at TEXT NOT NULL,
            step TEXT,
            step_state TEXT,
            state TEXT NOT NULL,
            text TEXT) STRICT;
          CREATE INDEX journal_of_operation ON journal (operation, seq);",
};

/// Adds a line.
pub(crate) fn insert(connection: &Connection, entry: &JournalEntry) -> Result<(), Fault> {
    let step_state = entry.step_state.as_ref().map(to_word).transpose()?;
    connection
        .prepare_cached(
            "INSERT INTO journal (operation, at, step, step_state, state, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            entry.operation.as_str(),
            entry.at.to_string(),
            &entry.step,
            step_state,
            to_word(&entry.state)?,
            &entry.text,
        ))?;
    Ok(())
}

/// An operation's lines, oldest first.
pub(crate) fn of(connection: &Connection, id: &OperationId) -> Result<Vec<JournalEntry>, Fault> {
    let what = format!("the journal of operation {id}");
    let mut statement = connection.prepare_cached(
        "SELECT at, step, step_state, state, text FROM journal WHERE operation = ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([id.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let step_state: Option<String> = row.get(2)?;
        found.push(JournalEntry {
            operation: id.clone(),
            at: from_time(&what, &row.get::<_, String>(0)?)?,
            step: row.get(1)?,
            step_state: step_state.map(|word| from_word(&what, &word)).transpose()?,
            state: from_word(&what, &row.get::<_, String>(3)?)?,
            text: row.get(4)?,
        });
    }
    Ok(found)
}
