//! Counting what a server holds, so that a copy of it can be held against it.

use super::sql::{ANSWER, As, Session};
use clusterdeck_domain::{Count, NodeSpec};
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use std::time::{Duration, Instant};

/// So many databases are looked into.
const DATABASES: usize = 20;
/// The rows of so many tables are counted.
const TABLES: usize = 100;
/// Less than this is not worth asking.
const LEAST: Duration = Duration::from_millis(20);

/// Relations of people: nobody's temporary ones, nothing that an extension brought or keeps in a schema of its own (the chunks of
/// TimescaleDB's tables).
const OWN: &str = "own AS (\
    SELECT c.oid, c.relkind, c.relispartition, n.nspname, c.relname \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' AND c.relpersistence <> 't' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' \
        AND (d.classid, d.objid) IN (('pg_class'::regclass, c.oid), ('pg_namespace'::regclass, n.oid))))";

/// The tables whose rows are the same in a copy, with all that belongs to each, smallest first. What is not logged is empty in a
/// copy, and rows of foreign tables are another server's.
pub(crate) fn tables(most: usize) -> String {
    format!(
        "WITH RECURSIVE {OWN}, parts AS (\
            SELECT oid AS root, oid FROM own WHERE relkind IN ('r', 'p') AND NOT relispartition \
            UNION ALL \
            SELECT root, i.inhrelid FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid) \
         SELECT format('%s.%s', nspname, own.relname), format('%I.%I', nspname, own.relname) \
         FROM parts JOIN own ON own.oid = root JOIN pg_class c ON c.oid = parts.oid \
         GROUP BY root, nspname, own.relname \
         HAVING bool_and(c.relpersistence = 'p' AND c.relkind IN ('r', 'p')) \
         ORDER BY sum(c.relpages), 1 LIMIT {most}"
    )
}

fn number(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// See [`clusterdeck_driver::ServiceDriver::count`].
pub(crate) async fn count(cx: &ClusterContext, node: &NodeSpec, within: Duration) -> Result<Vec<Count>> {
    let session = Session::open(cx, node, As::Reader, ANSWER).await?;
    let rows = session
        .rows(
            "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname",
            &[],
        )
        .await?;
    let mut found = vec![Count::exactly("databases", rows.len() as u64)];
    let begun = Instant::now();
    let mut tables_left = TABLES;
    for row in rows.iter().take(DATABASES) {
        let name: &str = row.get(0);
        let inside = Inside { name, until: begun + within };
        // One that cannot be entered, or lacks what it loads, is left out.
        if let Ok(session) = Session::read(cx, node, name, ANSWER).await
            && let Ok(relations) = inside.relations(&session).await
        {
            found.extend(relations);
            let counted = inside.rows(&session.patient(within + ANSWER), tables_left).await;
            tables_left -= counted.len().min(tables_left);
            found.extend(counted);
        }
    }
    Ok(found)
}

/// A database that is looked into, and until when.
struct Inside<'a> {
    name: &'a str,
    until: Instant,
}

impl Inside<'_> {
    async fn relations(&self, session: &Session) -> Result<[Count; 2]> {
        let row = session
            .row(
                &format!(
                    "WITH {OWN} SELECT count(*) FILTER (WHERE relkind IN ('r', 'p')), \
                     count(*) FILTER (WHERE relkind NOT IN ('r', 'p')) FROM own"
                ),
                &[],
            )
            .await?;
        Ok([
            Count::exactly(format!("tables in {}", self.name), number(row.get(0))),
            Count::exactly(format!("other relations in {}", self.name), number(row.get(1))),
        ])
    }

    /// Rows of as many tables as there is time for. What is known of their sizes may be old, so none but the last gets more than
    /// half of the time that is left.
    async fn rows(&self, session: &Session, most: usize) -> Vec<Count> {
        let Ok(tables) = session.rows(&tables(TABLES), &[]).await else { return Vec::new() };
        let mut found = Vec::new();
        let last = tables.len().min(most);
        for (n, table) in tables.iter().take(most).enumerate() {
            let left = self.until.saturating_duration_since(Instant::now());
            let left = if n + 1 == last { left } else { left / 2 };
            if left < LEAST {
                break;
            }
            if let Ok(n) = rows_in(session, table.get(1), left).await {
                let (name, n): (&str, u64) = (table.get(0), number(n));
                found.push(Count::moving(format!("rows in {}.{name}", self.name), n, n));
            }
        }
        found
    }
}

async fn rows_in(session: &Session, table: &str, within: Duration) -> Result<i64> {
    let limit = format!("{}ms", within.as_millis());
    session.rows("SELECT set_config('statement_timeout', $1, false)", &[&limit]).await?;
    let row = session.row(&format!("SELECT count(*) FROM {table}"), &[]).await?;
    row.try_get(0).map_err(|_| DriverError::broken("a server counted without a number"))
}
