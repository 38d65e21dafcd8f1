//! Who did what, and what came of it. Lines are only ever added, and outlive the cluster they are about.

use super::{from_time, page_size, page_start};
use crate::{fault::Fault, migrate::Migration};
use clusterdeck_domain::{ClusterId, OperationId};
use clusterdeck_engine::repository::{AuditEntry, Page};
use rusqlite::{Connection, OptionalExtension, Row};

/// How many lines are kept.
pub(crate) const KEPT: u32 = 100_000;

pub(crate) const CREATE: Migration = Migration {
    version: 4,
    name: "audit",
    sql: "CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at TEXT NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            cluster_id TEXT,
            cluster TEXT,
            node TEXT,
            operation TEXT,
            result TEXT NOT NULL,
            text TEXT NOT NULL) STRICT;
          CREATE INDEX audit_of_cluster ON audit (cluster_id, id);",
};

/// Adds a line.
pub(crate) fn insert(connection: &Connection, entry: &AuditEntry) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO audit (at, actor, action, cluster_id, cluster, node, operation, result, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            entry.at.to_string(),
            &entry.actor,
            &entry.action,
            entry.cluster_id.as_ref().map(ClusterId::as_str),
            &entry.cluster,
            &entry.node,
            entry.operation.as_ref().map(OperationId::as_str),
            &entry.result,
            &entry.text,
        ))?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<AuditEntry, Fault> {
    let id: i64 = row.get(0)?;
    let what = format!("line {id} of the audit trail");
    let unreadable = |e: clusterdeck_domain::BadId| Fault::Unreadable(format!("{what}: {e}"));
    let cluster_id: Option<String> = row.get(4)?;
    let operation: Option<String> = row.get(7)?;
    Ok(AuditEntry {
        id,
        at: from_time(&what, &row.get::<_, String>(1)?)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        cluster_id: cluster_id.map(|id| ClusterId::parse(&id)).transpose().map_err(unreadable)?,
        cluster: row.get(5)?,
        node: row.get(6)?,
        operation: operation.map(|id| OperationId::parse(&id)).transpose().map_err(unreadable)?,
        result: row.get(8)?,
        text: row.get(9)?,
    })
}

/// A page, newest first, and where the next begins.
pub(crate) fn page(connection: &Connection, page: &Page) -> Result<(Vec<AuditEntry>, Option<String>), Fault> {
    let (start, size) = (page_start(page.cursor.as_deref())?, page_size(page.limit));
    let cluster = page.cluster.as_ref().map(ClusterId::as_str);
    let condition = if cluster.is_some() { "cluster_id = ?1" } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT id, at, actor, action, cluster_id, cluster, node, operation, result, text
         FROM audit WHERE {condition} AND id < ?2 ORDER BY id DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((cluster, start, i64::from(size) + 1))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    let more = found.len() > size as usize;
    found.truncate(size as usize);
    let next = found.last().filter(|_| more).map(|entry| entry.id.to_string());
    Ok((found, next))
}

/// Lets the oldest lines beyond [`KEPT`] go.
pub(crate) fn trim(connection: &Connection) -> Result<(), Fault> {
    let sql = "SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?1";
    let oldest: Option<i64> = connection.query_row(sql, [KEPT], |row| row.get(0)).optional()?;
    if let Some(oldest) = oldest {
        connection.execute("DELETE FROM audit WHERE id <= ?1", [oldest])?;
    }
    Ok(())
}
