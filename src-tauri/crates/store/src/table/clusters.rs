//! What each cluster is meant to be.

use super::{conflict, from_text, is_double, is_whole, stale, sum, to_text};
use crate::{fault::Fault, migrate::Migration};
use clusterdeck_domain::{ClusterId, ClusterSpec};
use rusqlite::Connection;

pub(crate) const CREATE: Migration = Migration {
    version: 1,
    name: "clusters",
    sql: "CREATE TABLE clusters (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            generation INTEGER NOT NULL,
            body TEXT NOT NULL,
            sum INTEGER NOT NULL) STRICT",
};

/// All clusters by name.
pub(crate) fn all(connection: &Connection) -> Result<Vec<ClusterSpec>, Fault> {
    let mut statement = connection.prepare_cached("SELECT name, body, sum FROM clusters ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, body): (String, String) = (row.get(0)?, row.get(1)?);
        let what = format!("the row of cluster `{name}`");
        is_whole(&what, &[&body], row.get(2)?)?;
        found.push(from_text(&what, &body)?);
    }
    Ok(found)
}

/// Adds generation 1, or replaces the one before.
pub(crate) fn put(connection: &Connection, spec: &ClusterSpec) -> Result<(), Fault> {
    let body = to_text(spec)?;
    let sum = sum(&[&body]);
    let generation = i64::try_from(spec.generation).map_err(|_| stale(format!("cluster `{}`", spec.name)))?;
    let (id, name) = (spec.id.as_str(), spec.name.as_str());
    let written = if generation == 1 {
        let known = connection.prepare_cached("SELECT 1 FROM clusters WHERE id = ?1")?.exists([id])?;
        if known {
            return Err(stale(format!("cluster `{name}`")));
        }
        connection
            .prepare_cached(
                "INSERT INTO clusters (id, name, generation, body, sum) VALUES (?1, ?2, 1, ?3, ?4)",
            )?
            .execute((id, name, &body, sum))
    } else {
        connection
            .prepare_cached(
                "UPDATE clusters SET name = ?2, generation = ?3, body = ?4, sum = ?5
                 WHERE id = ?1 AND generation = ?3 - 1",
            )?
            .execute((id, name, generation, &body, sum))
    };
    match written {
        Ok(1) => Ok(()),
        Ok(_) => Err(stale(format!("cluster `{name}`"))),
        Err(error) if is_double(&error) => Err(conflict(format!("a cluster named `{name}`"))),
        Err(error) => Err(error.into()),
    }
}

/// Forgets a cluster.
pub(crate) fn remove(connection: &Connection, id: &ClusterId) -> Result<(), Fault> {
    connection.prepare_cached("DELETE FROM clusters WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}
