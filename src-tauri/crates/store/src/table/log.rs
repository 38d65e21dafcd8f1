//! Which pieces of each cluster's log are archived. The pieces themselves lie in a vault.

use super::{from_text, is_whole, sum, to_text};
use crate::{fault::Fault, migrate::Migration};
use clusterdeck_domain::LogPiece;
use rusqlite::Connection;

pub(crate) const CREATE: Migration = Migration {
    version: 7,
    name: "log",
    sql: "CREATE TABLE log (
            cluster TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, sum INTEGER NOT NULL,
            PRIMARY KEY (cluster, name)) STRICT, WITHOUT ROWID",
};

/// All of them.
pub(crate) fn all(connection: &Connection) -> Result<Vec<LogPiece>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT name, body, sum FROM log ORDER BY cluster, name")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, body): (String, String) = (row.get(0)?, row.get(1)?);
        let what = format!("the row of the piece {name} of a log");
        is_whole(&what, &[&body], row.get(2)?)?;
        found.push(from_text(&what, &body)?);
    }
    Ok(found)
}

/// Adds one, or replaces what is known of it.
pub(crate) fn put(connection: &Connection, piece: &LogPiece) -> Result<(), Fault> {
    let body = to_text(piece)?;
    connection
        .prepare_cached(
            "INSERT INTO log (cluster, name, body, sum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (cluster, name) DO UPDATE SET body = excluded.body, sum = excluded.sum",
        )?
        .execute((piece.cluster.as_str(), piece.key(), &body, sum(&[&body])))?;
    Ok(())
}

/// Forgets one.
pub(crate) fn remove(connection: &Connection, piece: &LogPiece) -> Result<(), Fault> {
    connection
        .prepare_cached("DELETE FROM log WHERE cluster = ?1 AND name = ?2")?
        .execute((piece.cluster.as_str(), piece.key()))?;
    Ok(())
}
