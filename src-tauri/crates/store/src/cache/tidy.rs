//! Rolling up what is complete, and letting go what is too old or too much.

use super::{
    Inner, Limits, chunk,
    level::{LEVELS, Level, MINUTE, RAW, TEN_MINUTES},
    samples,
};
use crate::fault::Fault;
use rusqlite::{Connection, TransactionBehavior};
use std::collections::BTreeMap;

/// What lies further ahead was written while the clock was wrong.
const AHEAD_MS: i64 = 24 * 60 * 60 * 1_000;
/// When a level is over its bound, it is cut to this part of it, so that not every round must cut.
const CUT_TO: (u64, u64) = (9, 10);

/// Does all of it; called about once a minute, with the time in milliseconds.
pub(super) fn tidy(inner: &mut Inner, now: i64) -> Result<(), Fault> {
    samples::flush(inner)?;
    let numbers = numbers(&inner.connection)?;
    drop_old(inner, &numbers, now)?;
    roll_up(inner, &numbers, RAW, MINUTE, now)?;
    roll_up(inner, &numbers, MINUTE, TEN_MINUTES, now)?;
    for (level, bound) in LEVELS.into_iter().zip(bounds(inner.limits)) {
        hold(inner, &numbers, level, bound)?;
    }
    Ok(())
}

const fn bounds(limits: Limits) -> [u64; 3] {
    [limits.raw_bytes, limits.minute_bytes, limits.ten_minute_bytes]
}

fn numbers(connection: &Connection) -> Result<Vec<i64>, Fault> {
    let mut statement = connection.prepare_cached("SELECT number FROM nodes ORDER BY number")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Makes the means of `to` from the entries of `from`, for every step that is over.
fn roll_up(inner: &mut Inner, numbers: &[i64], from: Level, to: Level, now: i64) -> Result<(), Fault> {
    let end = now.div_euclid(to.step) * to.step;
    let mut made: Vec<((i64, i64), Vec<chunk::Entry>)> = Vec::new();
    for number in numbers {
        let begin = samples::coverage(inner, to, *number)?.map_or(0, |(_, end)| end);
        // Nothing older can be there, and a wide range costs nothing where there are no rows.
        let begin = begin.max((now - from.keep - from.chunk).max(0));
        let mut steps: BTreeMap<i64, Vec<chunk::Entry>> = BTreeMap::new();
        for entry in samples::read(inner, from, *number, begin, end)? {
            steps.entry(entry.at.div_euclid(to.step) * to.step).or_default().push(entry);
        }
        let mut chunks: BTreeMap<i64, Vec<chunk::Entry>> = BTreeMap::new();
        for (at, entries) in steps {
            chunks.entry(to.chunk_of(at)).or_default().push(chunk::mean(at, &entries));
        }
        for (number_of_chunk, means) in chunks {
            let place = (*number, number_of_chunk);
            let mut entries = samples::read_one(&inner.connection, to, place)?.unwrap_or_default();
            entries.extend(means);
            made.push((place, entries));
        }
    }
    let transaction = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (place, entries) in made {
        samples::write(&transaction, to, place, &entries)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Deletes what is older than its level is kept, and nodes that have nothing left.
fn drop_old(inner: &mut Inner, numbers: &[i64], now: i64) -> Result<(), Fault> {
    let transaction = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for level in LEVELS {
        for number in numbers {
            delete(&transaction, level, *number, 0, level.chunk_of(now - level.keep) - 1)?;
            delete(&transaction, level, *number, level.chunk_of(now + AHEAD_MS) + 1, i64::MAX)?;
        }
    }
    transaction.commit()?;
    inner.samples.keep_chunks(RAW.chunk_of(now - RAW.keep)..=RAW.chunk_of(now + AHEAD_MS));
    let mut gone = Vec::new();
    for number in numbers {
        let mut left = false;
        for level in LEVELS {
            left = left || samples::coverage(inner, level, *number)?.is_some();
        }
        if !left {
            gone.push(*number);
        }
    }
    for number in &gone {
        inner.connection.prepare_cached("DELETE FROM nodes WHERE number = ?1")?.execute([number])?;
    }
    inner.samples.drop_numbers(&gone);
    Ok(())
}

/// Deletes a node's chunks `first..=last` of a level.
fn delete(connection: &Connection, level: Level, number: i64, first: i64, last: i64) -> Result<(), Fault> {
    if last >= first {
        connection
            .prepare_cached("DELETE FROM samples WHERE key BETWEEN ?1 AND ?2")?
            .execute([level.key(number, first), level.key(number, last)])?;
    }
    Ok(())
}

/// Keeps a level within its bound: the oldest chunks of all nodes go.
fn hold(inner: &mut Inner, numbers: &[i64], level: Level, bound: u64) -> Result<(), Fault> {
    // A level cannot be larger than the file; most homes never get further than this.
    let pages: i64 = inner.connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page: i64 = inner.connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    if (pages * page).unsigned_abs() <= bound {
        return Ok(());
    }
    let (first, last) = level.keys();
    let total: i64 = inner
        .connection
        .prepare_cached("SELECT coalesce(sum(length(body)), 0) FROM samples WHERE key BETWEEN ?1 AND ?2")?
        .query_row([first, last], |row| row.get(0))?;
    let mut total = total.unsigned_abs();
    if total <= bound {
        return Ok(());
    }
    let goal = bound / CUT_TO.1 * CUT_TO.0;
    let mut cut = None;
    {
        let mut statement = inner.connection.prepare_cached(
            "SELECT key & 4294967295 AS chunk, sum(length(body)) FROM samples WHERE key BETWEEN ?1 AND ?2
             GROUP BY chunk ORDER BY chunk",
        )?;
        let mut rows = statement.query([first, last])?;
        while let Some(row) = rows.next()? {
            if total <= goal {
                break;
            }
            cut = Some(row.get::<_, i64>(0)?);
            total = total.saturating_sub(row.get::<_, i64>(1)?.unsigned_abs());
        }
    }
    let Some(cut) = cut else { return Ok(()) };
    let transaction = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for number in numbers {
        delete(&transaction, level, *number, 0, cut)?;
    }
    transaction.commit()?;
    tracing::debug!(level = level.id, "samples were dropped to keep the cache within its bound");
    Ok(())
}
