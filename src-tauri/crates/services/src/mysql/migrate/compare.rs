//! Holding both sides against each other: the rows of each table and their sum, in any order.

use super::{Source, follow::Follower, list, literal, quoted};
use crate::{
    mysql::sql::{Session, number, text},
    outside::{self, alive},
};
use clusterdeck_domain::{Compared, Migrated};
use clusterdeck_driver::{Passage, Progress, Result};
use std::time::Instant;

/// Tables that are compared; of more only these are.
const TABLES: usize = 500;
/// How often a table is looked at that is still written to.
const ROUNDS: usize = 3;

/// A table, and the question that sums it.
struct Table {
    name: String,
    asked: String,
}

/// Rows and their sum, in any order. (Newer servers of Oracle's have no `MD5`, and no type that a vector and a text share.)
fn sum_of(database: &str, table: &str, columns: &[String]) -> String {
    let each = |name: &String| format!("IFNULL(CAST({} AS BINARY), '\\\\N')", quoted(name));
    let all = columns.iter().map(each).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT COUNT(*), COALESCE(SUM(CAST(CONV(LEFT(SHA2(CONCAT_WS(CHAR(31), {all}), 256), 15), 16, 10) AS UNSIGNED)), 0) FROM {}.{}",
        quoted(database),
        quoted(table)
    )
}

/// The tables of the source. From now on both sides write their values down in the same words.
async fn tables(source: &mut Source, session: &mut Session, names: &[String]) -> Result<Vec<Table>> {
    let listed = list(names);
    source.rows("SET SESSION time_zone = '+00:00', sql_mode = '', group_concat_max_len = 1048576").await?;
    session.run("SET SESSION time_zone = '+00:00', sql_mode = ''").await?;
    let tables = source
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE LIKE 'BASE TABLE' AND TABLE_SCHEMA IN ({listed}) \
             ORDER BY 1, 2 LIMIT {TABLES}"
        ))
        .await?;
    let mut found = Vec::new();
    for table in &tables {
        let (Some(database), Some(name)) = (text(table, 0), text(table, 1)) else { continue };
        let columns = source
            .rows(&format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
                literal(&database),
                literal(&name)
            ))
            .await?;
        let columns: Vec<String> = columns.iter().filter_map(|row| text(row, 0)).collect();
        found.push(Table { name: format!("{database}.{name}"), asked: sum_of(&database, &name, &columns) });
    }
    Ok(found)
}

type Side = (u64, String);

fn side(rows: Vec<mysql_async::Row>) -> Side {
    let row = rows.into_iter().next();
    row.map(|row| (number(&row, 0).unwrap_or_default(), text(&row, 1).unwrap_or_default()))
        .unwrap_or_default()
}

async fn there(source: &mut Source, asked: &str) -> Result<Side> {
    Ok(side(source.rows(asked).await?))
}

/// A table that is not here is one without a row.
async fn here(session: &mut Session, asked: &str) -> Side {
    session.rows(asked).await.map(side).unwrap_or_default()
}

fn part(name: &str, theirs: Side, ours: Side) -> Compared {
    Compared {
        of: name.to_owned(),
        source: theirs.0,
        target: ours.0,
        source_sum: theirs.1,
        target_sum: ours.1,
    }
}

/// Each table on both sides at once.
pub(super) async fn compare(
    source: &mut Source,
    session: &mut Session,
    names: &[String],
    (passage, progress): (&Passage, &Progress),
) -> Result<Vec<Compared>> {
    let tables = tables(source, session, names).await?;
    passage.log(format!("Comparing {} tables", tables.len()));
    let mut found = Vec::new();
    for table in &tables {
        let both = async { tokio::join!(there(source, &table.asked), here(session, &table.asked)) };
        let (theirs, ours) = alive(progress, &format!("Comparing {}", table.name), both).await;
        found.push(part(&table.name, theirs?, ours));
    }
    Ok(found)
}

/// The same after the cluster had everything. A table that differs is looked at again: where the source has changed it meanwhile
/// nothing can be said of it, which is told; where it has not, it differs.
pub(super) async fn judge(
    follower: &mut Follower<'_>,
    names: &[String],
    (passage, progress): (&Passage, &Progress),
    report: &mut Migrated,
) -> Result<()> {
    let begun = Instant::now();
    let mut written = Vec::new();
    let tables = tables(&mut follower.source, &mut follower.beside, names).await?;
    for Table { name, asked } in &tables {
        let what = format!("Comparing {name}");
        let both =
            async { tokio::join!(there(&mut follower.source, asked), here(&mut follower.beside, asked)) };
        let (theirs, mut ours) = alive(progress, &what, both).await;
        let mut theirs = theirs?;
        let mut settled = theirs == ours;
        for _ in 0..ROUNDS {
            if settled {
                break;
            }
            let before = alive(progress, &what, there(&mut follower.source, asked)).await?;
            follower.until_all(passage, progress).await?;
            ours = alive(progress, &what, here(&mut follower.beside, asked)).await;
            theirs = alive(progress, &what, there(&mut follower.source, asked)).await?;
            settled = theirs == ours || before == theirs;
        }
        let part = part(name, theirs, ours);
        if !settled {
            written.push(name.clone());
        } else if !part.equal() {
            report.differences.push(super::differs(&part));
        }
        report.compared.push(part);
    }
    outside::judged(report, &written, begun.elapsed(), passage);
    Ok(())
}
