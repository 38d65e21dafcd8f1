//! Counting what a server holds, so that a copy of it can be held against it.

use super::{
    flavour::Flavour,
    sql::{ANSWER, As, Session, number, text},
};
use clusterdeck_domain::{Count, NodeSpec};
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use std::time::{Duration, Instant};

/// So many databases are looked into.
const DATABASES: usize = 20;
/// The rows of so many tables are counted.
const TABLES: usize = 100 - 1 - DATABASES;
/// Less than this is not worth asking.
const LEAST: Duration = Duration::from_millis(20);

/// The servers' own databases.
pub(crate) const SYSTEM: &str = "'mysql', 'sys', 'information_schema', 'performance_schema'";
/// Tables whose rows lie elsewhere, or nowhere once the server ends.
const ELSEWHERE: &str = "'MEMORY', 'BLACKHOLE', 'FEDERATED', 'CONNECT', 'SPIDER'";
/// Comes and goes when an endpoint is proved.
const PROBE: &str = "clusterdeck_probe";

/// A table as the server knows it.
struct Table {
    database: String,
    name: String,
    bytes: u64,
    /// Its rows are the same in a copy.
    kept: bool,
}

/// See [`clusterdeck_driver::ServiceDriver::count`].
pub(crate) async fn count(cx: &ClusterContext, node: &NodeSpec, within: Duration) -> Result<Vec<Count>> {
    let until = Instant::now() + within;
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?.patient(within + ANSWER);
    let databases = session
        .rows(&format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ({SYSTEM}) ORDER BY 1"
        ))
        .await?;
    let mut found = vec![Count::exactly("databases", databases.len() as u64)];
    let databases: Vec<String> = databases.iter().take(DATABASES).filter_map(|row| text(row, 0)).collect();
    let tables = tables(&mut session).await?;
    for database in &databases {
        let n = tables.iter().filter(|t| t.database == *database).count();
        found.push(Count::exactly(format!("tables in {database}"), n as u64));
    }
    // Which ones are counted follows from their names: a copy is asked about the same.
    let mut chosen: Vec<&Table> =
        tables.iter().filter(|t| t.kept && databases.contains(&t.database)).take(TABLES).collect();
    chosen.sort_by_key(|t| t.bytes);
    for table in chosen {
        // What is known of their sizes may be old, so none gets more than half of the time that is left.
        let left = until.saturating_duration_since(Instant::now()) / 2;
        if left < LEAST {
            break;
        }
        match session.row(&question(Flavour::of(&cx.spec.version), table, left)).await {
            Ok(row) => {
                let n = number(&row, 0).unwrap_or(0);
                found.push(Count::moving(format!("rows in {}.{}", table.database, table.name), n, n));
            }
            // It was not finished, or is gone by now, or cannot be read, which whoever uses it is told as well.
            Err(e) if session.answers().await => {
                tracing::info!(node = %node.name, table = %table.name, error = %e, "its rows were not counted");
            }
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// All tables of people's, by name.
async fn tables(session: &mut Session) -> Result<Vec<Table>> {
    let rows = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(DATA_LENGTH, 0), ENGINE IS NOT NULL AND ENGINE NOT IN ({ELSEWHERE}) \
             FROM information_schema.TABLES WHERE TABLE_TYPE <> 'VIEW' AND TABLE_NAME <> '{PROBE}' \
             AND TABLE_SCHEMA NOT IN ({SYSTEM}) ORDER BY 1, 2"
        ))
        .await?;
    let one = |row: &mysql_async::Row| {
        Some(Table {
            database: text(row, 0)?,
            name: text(row, 1)?,
            bytes: number(row, 2)?,
            kept: number(row, 3)? == 1,
        })
    };
    rows.iter()
        .map(|row| one(row).ok_or_else(|| DriverError::broken("a server lists a table without its name")))
        .collect()
}

/// How many rows a table has; the server gives up by itself after `within`.
fn question(flavour: Flavour, table: &Table, within: Duration) -> String {
    let from = format!("{}.{}", quoted(&table.database), quoted(&table.name));
    match flavour {
        Flavour::MariaDb => {
            let s = within.as_secs_f64();
            format!("SET STATEMENT max_statement_time = {s:.3} FOR SELECT COUNT(*) FROM {from}")
        }
        Flavour::MySql => {
            format!("SELECT /*+ MAX_EXECUTION_TIME({}) */ COUNT(*) FROM {from}", within.as_millis())
        }
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_each_maker_is_told_its_limit_in_its_own_way() {
        let name = |name: &str| name.to_owned();
        let table = Table { database: name("app"), name: name("a`b"), bytes: 0, kept: true };
        let ask = |flavour| question(flavour, &table, Duration::from_millis(1500));
        let maria = ask(Flavour::MariaDb);
        assert_eq!(maria, "SET STATEMENT max_statement_time = 1.500 FOR SELECT COUNT(*) FROM `app`.`a``b`");
        let mysql = ask(Flavour::MySql);
        assert_eq!(mysql, "SELECT /*+ MAX_EXECUTION_TIME(1500) */ COUNT(*) FROM `app`.`a``b`");
    }
}
