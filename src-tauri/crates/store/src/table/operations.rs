//! Every confirmed change, with all that is needed to take it up again.

use super::{conflict, from_text, is_double, is_whole, page_size, page_start, stale, sum, to_text, to_word};
use crate::{fault::Fault, migrate::Migration};
use clusterdeck_domain::{Operation, OperationId};
use clusterdeck_engine::repository::{OperationRow, Page};
use rusqlite::{Connection, OptionalExtension, Row};

/// How many ended operations are kept, with their journals. The audit trail keeps its own, longer count.
pub(crate) const KEPT: u32 = 10_000;

pub(crate) const CREATE: Migration = Migration {
    version: 2,
    name: "operations",
    // `seq` is the order in which they were confirmed; ids need not be in order. `ended` makes what must be resumed
    // after a crash quick to find however long the history is.
    sql: "CREATE TABLE operations (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            cluster_id TEXT NOT NULL,
            state TEXT NOT NULL,
            ended INTEGER NOT NULL,
            idempotency_key TEXT UNIQUE,
            operation TEXT NOT NULL,
            change TEXT NOT NULL,
            frame TEXT NOT NULL,
            sum INTEGER NOT NULL) STRICT;
          CREATE INDEX operations_of_cluster ON operations (cluster_id, seq);
          CREATE INDEX operations_unfinished ON operations (seq) WHERE ended = 0;",
};

const COLUMNS: &str = "id, operation, change, frame, sum, idempotency_key";

fn read(row: &Row<'_>) -> Result<OperationRow, Fault> {
    let (id, operation, change, frame): (String, String, String, String) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let what = format!("the row of operation {id}");
    let idempotency_key: Option<String> = row.get(5)?;
    let key = idempotency_key.as_deref().unwrap_or_default();
    is_whole(&what, &[&operation, &change, &frame, key], row.get(4)?)?;
    Ok(OperationRow {
        operation: from_text(&what, &operation)?,
        change: from_text(&what, &change)?,
        frame: from_text(&what, &frame)?,
        idempotency_key,
    })
}

fn one(connection: &Connection, condition: &str, value: &str) -> Result<Option<OperationRow>, Fault> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM operations WHERE {condition}"))?;
    let mut rows = statement.query([value])?;
    rows.next()?.map(read).transpose()
}

/// Adds an operation.
pub(crate) fn insert(connection: &Connection, row: &OperationRow) -> Result<(), Fault> {
    let id = row.operation.id.as_str();
    if let Some(key) = &row.idempotency_key
        && connection.prepare_cached("SELECT 1 FROM operations WHERE idempotency_key = ?1")?.exists([key])?
    {
        return Err(conflict(format!("an operation with the idempotency key `{key}`")));
    }
    let (operation, change, frame) = (to_text(&row.operation)?, to_text(&row.change)?, to_text(&row.frame)?);
    let sum = sum(&[&operation, &change, &frame, row.idempotency_key.as_deref().unwrap_or_default()]);
    let state = to_word(&row.operation.state)?;
    let written = connection
        .prepare_cached(
            "INSERT INTO operations (id, cluster_id, state, ended, idempotency_key, operation, change, frame, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            id,
            row.operation.cluster_id.as_str(),
            state,
            row.operation.state.is_final(),
            &row.idempotency_key,
            operation,
            change,
            frame,
            sum,
        ));
    match written {
        Ok(_) => Ok(()),
        Err(error) if is_double(&error) => Err(conflict(format!("operation {id}"))),
        Err(error) => Err(error.into()),
    }
}

/// Replaces an operation's row. Its cluster stays as it was.
pub(crate) fn update(connection: &Connection, row: &OperationRow) -> Result<(), Fault> {
    let id = row.operation.id.as_str();
    let (operation, change, frame) = (to_text(&row.operation)?, to_text(&row.change)?, to_text(&row.frame)?);
    // Its key is in the checksum, so it is written again, as whoever read the row knows it.
    let sum = sum(&[&operation, &change, &frame, row.idempotency_key.as_deref().unwrap_or_default()]);
    let written = connection
        .prepare_cached(
            "UPDATE operations SET state = ?2, ended = ?3, operation = ?4, change = ?5, frame = ?6, sum = ?7,
             idempotency_key = ?8 WHERE id = ?1",
        )?
        .execute((
            id,
            to_word(&row.operation.state)?,
            row.operation.state.is_final(),
            operation,
            change,
            frame,
            sum,
            &row.idempotency_key,
        ))?;
    if written == 1 { Ok(()) } else { Err(stale(format!("operation {id}, which is no longer there,"))) }
}

/// All that have not ended, oldest first.
pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<OperationRow>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE ended = 0 ORDER BY seq");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The one with that id.
pub(crate) fn by_id(connection: &Connection, id: &OperationId) -> Result<Option<OperationRow>, Fault> {
    one(connection, "id = ?1", id.as_str())
}

/// The one made with that key.
pub(crate) fn by_key(connection: &Connection, key: &str) -> Result<Option<OperationRow>, Fault> {
    one(connection, "idempotency_key = ?1", key)
}

/// A page, newest first, and where the next begins.
pub(crate) fn page(connection: &Connection, page: &Page) -> Result<(Vec<Operation>, Option<String>), Fault> {
    let (start, size) = (page_start(page.cursor.as_deref())?, page_size(page.limit));
    let cluster = page.cluster.as_ref().map(|id| id.as_str());
    let condition = if cluster.is_some() { "cluster_id = ?1" } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT {COLUMNS}, seq FROM operations WHERE {condition} AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((cluster, start, i64::from(size) + 1))?;
    let (mut found, mut last, mut more) = (Vec::new(), None, false);
    while let Some(row) = rows.next()? {
        if found.len() == size as usize {
            more = true;
            break;
        }
        last = Some(row.get::<_, i64>(6)?);
        found.push(read(row)?.operation);
    }
    Ok((found, last.filter(|_| more).map(|seq| seq.to_string())))
}

/// Lets the oldest ended operations beyond [`KEPT`] go, with their journals.
pub(crate) fn trim(connection: &Connection) -> Result<(), Fault> {
    let sql = "SELECT seq FROM operations WHERE ended = 1 ORDER BY seq DESC LIMIT 1 OFFSET ?1";
    let oldest: Option<i64> = connection.query_row(sql, [KEPT], |row| row.get(0)).optional()?;
    if let Some(oldest) = oldest {
        connection.execute("DELETE FROM operations WHERE ended = 1 AND seq <= ?1", [oldest])?;
    }
    Ok(())
}
