//! Holding both sides against each other: the rows of each table and their sum, in any order.

use super::{
    follow::Follower,
    source::{SAME_WORDS, Source},
};
use crate::{
    outside::{self, alive},
    postgres::{count, sql::Session},
};
use clusterdeck_domain::{Compared, Migrated};
use clusterdeck_driver::{Passage, Progress, Result};
use std::time::Instant;

/// Tables that are compared; of more only the rows of these are.
const TABLES: usize = 500;
/// How often a table is looked at that is still written to.
const ROUNDS: usize = 3;
/// What is told meanwhile.
pub(super) const BOTH: &str = "Comparing both sides";

/// What the source holds of a table: its name, how it is written in a statement, its rows and their sum.
pub(super) struct Side {
    name: String,
    from: String,
    rows: u64,
    sum: String,
}

/// `hashtextextended` is the same in all versions from 11 on.
fn sum_of(table: &str) -> String {
    format!("SELECT count(*), COALESCE(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {table} t")
}

fn number(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// Both sides write their values down in the same words from now on.
pub(super) async fn same_words(inside: &Session) -> Result<()> {
    inside.run(&SAME_WORDS.map(|(name, value)| format!("SET {name} = '{value}'")).join("; ")).await
}

async fn tables(source: &Source) -> Result<Vec<(String, String)>> {
    let tables = source.rows(&count::tables(TABLES), &[]).await?;
    Ok(tables.iter().map(|table| (table.get(0), table.get(1))).collect())
}

async fn there(source: &Source, from: &str) -> Result<(u64, String)> {
    let row = source.row(&sum_of(from)).await?;
    Ok((number(row.get(0)), row.get(1)))
}

/// A table that is not here has no rows, and a sum that no table has.
async fn here(inside: &Session, from: &str) -> Result<(u64, String)> {
    let known: bool = inside.row("SELECT to_regclass($1) IS NOT NULL", &[&from]).await?.get(0);
    if !known {
        return Ok((0, "not there".to_owned()));
    }
    let row = inside.row(&sum_of(from), &[]).await?;
    Ok((number(row.get(0)), row.get(1)))
}

/// Each table of the source at the moment that its session holds.
pub(super) async fn sums(source: &Source, passage: &Passage) -> Result<Vec<Side>> {
    let mut found = Vec::new();
    for (name, from) in tables(source).await? {
        let (rows, sum) = there(source, &from).await?;
        found.push(Side { name, from, rows, sum });
    }
    passage.log(format!("Counted {} tables of the source", found.len()));
    Ok(found)
}

/// The same tables here.
pub(super) async fn sums_here(inside: &Session, theirs: Vec<Side>) -> Result<Vec<Compared>> {
    let mut found = Vec::new();
    for Side { name, from, rows, sum } in theirs {
        let (target, target_sum) = here(inside, &from).await?;
        found.push(Compared { of: name, source: rows, target, source_sum: sum, target_sum });
    }
    Ok(found)
}

/// Each table on both sides after the cluster had everything. One that differs is looked at again: where the source has changed it
/// meanwhile nothing can be said of it, which is told; where it has not, it differs.
pub(super) async fn judge(
    follower: &mut Follower<'_>,
    (passage, progress): (&Passage, &Progress),
    report: &mut Migrated,
) -> Result<()> {
    let begun = Instant::now();
    let mut written = Vec::new();
    for (name, from) in tables(&follower.source).await? {
        progress.note(&format!("Comparing {name}"));
        let (mut theirs, mut ours) = {
            let both =
                async { tokio::try_join!(there(&follower.source, &from), here(&follower.inside, &from)) };
            alive(progress, BOTH, both).await?
        };
        let mut settled = theirs == ours;
        for _ in 0..ROUNDS {
            if settled {
                break;
            }
            let before = alive(progress, BOTH, there(&follower.source, &from)).await?;
            follower.until_all(passage, progress).await?;
            ours = alive(progress, BOTH, here(&follower.inside, &from)).await?;
            theirs = alive(progress, BOTH, there(&follower.source, &from)).await?;
            settled = theirs == ours || before == theirs;
        }
        if !settled {
            written.push(name.clone());
        }
        let part =
            Compared { of: name, source: theirs.0, target: ours.0, source_sum: theirs.1, target_sum: ours.1 };
        if settled && !part.equal() {
            report.differences.push(super::differs(&part));
        }
        report.compared.push(part);
    }
    outside::judged(report, &written, begun.elapsed(), passage);
    Ok(())
}
