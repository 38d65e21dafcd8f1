//! What the user chose, by key.

use super::{from_text, is_whole, sum, to_text};
use crate::{fault::Fault, migrate::Migration};
use rusqlite::Connection;
use serde_json::Value;

pub(crate) const CREATE: Migration = Migration {
    version: 5,
    name: "settings",
    sql: "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL) STRICT",
};

/// The value of a key.
pub(crate) fn get(connection: &Connection, key: &str) -> Result<Option<Value>, Fault> {
    let mut statement = connection.prepare_cached("SELECT value, sum FROM settings WHERE key = ?1")?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let text: String = row.get(0)?;
    let what = format!("the setting `{key}`");
    is_whole(&what, &[&text], row.get(1)?)?;
    from_text(&what, &text).map(Some)
}

/// Keeps a value.
pub(crate) fn set(connection: &Connection, key: &str, value: &Value) -> Result<(), Fault> {
    let text = to_text(value)?;
    connection
        .prepare_cached(
            "INSERT INTO settings (key, value, sum) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, sum = excluded.sum",
        )?
        .execute((key, &text, sum(&[&text])))?;
    Ok(())
}
