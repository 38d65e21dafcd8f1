//! Samples, in chunks.
//!
//! A round of 2,000 nodes every 2 s would touch 2,000 pages of the disk each time. So the current minute of each node is
//! held in memory and written every 15 s; what a crash takes of it is at most that, of a file that may be lost anyway.

use super::{
    Inner,
    chunk::{self, COLUMNS, Entry},
    level::{Level, NODE_MAX, RAW},
};
use crate::{fault::Fault, migrate::Migration};
use clusterdeck_domain::{ClusterId, NodeId};
use clusterdeck_engine::repository::SampleRow;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::collections::{BTreeMap, HashMap};

/// How long, in the samples' own time, the newest may be in memory only.
const WRITE_EVERY_MS: i64 = 15_000;
/// Samples of a node in a minute: ten a second. More are left out.
const PER_CHUNK: usize = 600;
/// Chunks in memory. Reached only when they cannot be written (a full disk); then they are given up.
const CHUNKS: usize = 20_000;

pub(crate) const CREATE: Migration = Migration {
    version: 2,
    name: "samples",
    sql: "CREATE TABLE nodes (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            node TEXT NOT NULL UNIQUE,
            cluster TEXT NOT NULL) STRICT;
          CREATE INDEX nodes_of_cluster ON nodes (cluster);
          CREATE TABLE samples (key INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;",
};

/// What is not written yet, and the numbers of the nodes.
#[derive(Default)]
pub(super) struct Buffer {
    numbers: HashMap<NodeId, i64>,
    /// By node and chunk.
    chunks: BTreeMap<(i64, i64), Held>,
    /// Newest sample at the last write.
    written: Option<i64>,
}

impl Buffer {
    /// Forgets what is held of other minutes than these; it is written.
    pub(super) fn keep_chunks(&mut self, chunks: std::ops::RangeInclusive<i64>) {
        self.chunks.retain(|(_, chunk), held| held.changed || chunks.contains(chunk));
    }
    /// Forgets nodes that have nothing left.
    pub(super) fn drop_numbers(&mut self, gone: &[i64]) {
        if !gone.is_empty() {
            self.chunks.retain(|(node, _), _| !gone.contains(node));
            self.numbers.retain(|_, number| !gone.contains(number));
        }
    }
}

struct Held {
    entries: Vec<Entry>,
    changed: bool,
}

/// The number of a node, when it has samples.
pub(super) fn number(inner: &mut Inner, node: &NodeId) -> Result<Option<i64>, Fault> {
    if let Some(known) = inner.samples.numbers.get(node) {
        return Ok(Some(*known));
    }
    let found: Option<i64> = inner
        .connection
        .prepare_cached("SELECT number FROM nodes WHERE node = ?1")?
        .query_row([node.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(number) = found {
        inner.samples.numbers.insert(node.clone(), number);
    }
    Ok(found)
}

fn number_or_new(inner: &mut Inner, node: &NodeId, cluster: &ClusterId) -> Result<i64, Fault> {
    if let Some(known) = number(inner, node)? {
        return Ok(known);
    }
    inner
        .connection
        .prepare_cached("INSERT INTO nodes (node, cluster) VALUES (?1, ?2)")?
        .execute((node.as_str(), cluster.as_str()))?;
    let number = inner.connection.last_insert_rowid();
    if number > NODE_MAX {
        return Err(Fault::Unreadable("more nodes than its keys can name".to_owned()));
    }
    inner.samples.numbers.insert(node.clone(), number);
    Ok(number)
}

/// Adds a round of samples.
pub(super) fn add(inner: &mut Inner, rows: &[SampleRow]) -> Result<(), Fault> {
    let mut newest = None;
    for row in rows.iter().filter(|row| row.at >= 0) {
        let number = number_or_new(inner, &row.node, &row.cluster)?;
        let place = (number, RAW.chunk_of(row.at));
        if !inner.samples.chunks.contains_key(&place) {
            // A minute that was written already (the program was started again within it) is taken up.
            let entries = read_one(&inner.connection, RAW, place)?.unwrap_or_default();
            inner.samples.chunks.insert(place, Held { entries, changed: false });
        }
        if let Some(held) = inner.samples.chunks.get_mut(&place) {
            held.put(entry(row));
        }
        newest = newest.max(Some(row.at));
    }
    let Some(newest) = newest else { return Ok(()) };
    let since = inner.samples.written.map(|written| newest - written);
    match since {
        None => inner.samples.written = Some(newest),
        // Backwards: somebody set the clock.
        Some(since) if !(0..WRITE_EVERY_MS).contains(&since) => {
            flush(inner)?;
            inner.samples.written = Some(newest);
            let current = RAW.chunk_of(newest);
            inner.samples.keep_chunks(current..=current);
        }
        Some(_) => {}
    }
    Ok(())
}

fn entry(row: &SampleRow) -> Entry {
    let mut values = [f32::NAN; COLUMNS];
    for (value, measured) in values.iter_mut().zip(&row.values) {
        *value = measured.map_or(f32::NAN, |v| v as f32);
    }
    Entry { at: row.at, weight: 1, values }
}

impl Held {
    /// Keeps the entries in order; one of the same moment is replaced.
    fn put(&mut self, entry: Entry) {
        match self.entries.binary_search_by_key(&entry.at, |e| e.at) {
            Ok(same) => self.entries[same] = entry,
            Err(_) if self.entries.len() >= PER_CHUNK => return,
            Err(place) => self.entries.insert(place, entry),
        }
        self.changed = true;
    }
}

/// Writes what is in memory only, in one transaction.
pub(super) fn flush(inner: &mut Inner) -> Result<(), Fault> {
    if !inner.samples.chunks.values().any(|held| held.changed) {
        return Ok(());
    }
    if let Err(fault) = write_all(inner) {
        if inner.samples.chunks.len() > CHUNKS {
            tracing::warn!(%fault, "samples that could not be written were given up");
            inner.samples.chunks.clear();
        }
        return Err(fault);
    }
    for held in inner.samples.chunks.values_mut() {
        held.changed = false;
    }
    Ok(())
}

fn write_all(inner: &mut Inner) -> Result<(), Fault> {
    let transaction = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (place, held) in inner.samples.chunks.iter().filter(|(_, held)| held.changed) {
        write(&transaction, RAW, *place, &held.entries)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Writes a chunk, over the one that was there.
pub(super) fn write(
    connection: &Connection,
    level: Level,
    place: (i64, i64),
    entries: &[Entry],
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO samples (key, body) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
        )?
        .execute((level.key(place.0, place.1), chunk::encode(level, entries)))?;
    Ok(())
}

/// The chunk of a node.
pub(super) fn read_one(
    connection: &Connection,
    level: Level,
    place: (i64, i64),
) -> Result<Option<Vec<Entry>>, Fault> {
    let blob: Option<Vec<u8>> = connection
        .prepare_cached("SELECT body FROM samples WHERE key = ?1")?
        .query_row([level.key(place.0, place.1)], |row| row.get(0))
        .optional()?;
    blob.map(|blob| chunk::decode(level, place.1, &blob)).transpose()
}

/// A node's entries of a level in `from..to`, oldest first, with what is in memory only.
pub(super) fn read(inner: &Inner, level: Level, node: i64, from: i64, to: i64) -> Result<Vec<Entry>, Fault> {
    if to <= from {
        return Ok(Vec::new());
    }
    let (first, last) = (level.chunk_of(from), level.chunk_of(to - 1));
    let mut chunks: BTreeMap<i64, Vec<Entry>> = BTreeMap::new();
    let mut statement = inner
        .connection
        .prepare_cached("SELECT key, body FROM samples WHERE key BETWEEN ?1 AND ?2 ORDER BY key")?;
    let mut rows = statement.query([level.key(node, first), level.key(node, last)])?;
    while let Some(row) = rows.next()? {
        let chunk = Level::chunk_in(row.get(0)?);
        chunks.insert(
            chunk,
            chunk::decode(level, chunk, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?,
        );
    }
    if level == RAW {
        for ((_, chunk), held) in inner.samples.chunks.range((node, first.max(0))..=(node, last)) {
            chunks.insert(*chunk, held.entries.clone());
        }
    }
    Ok(chunks.into_values().flatten().filter(|e| (from..to).contains(&e.at)).collect())
}

/// From the beginning of the first entry to the end of the last, when there are any.
pub(super) fn coverage(inner: &Inner, level: Level, node: i64) -> Result<Option<(i64, i64)>, Fault> {
    let range = [level.key(node, 0), level.key(node, i64::MAX)];
    let end = |order: &str| -> Result<Option<Vec<Entry>>, Fault> {
        let sql =
            format!("SELECT key, body FROM samples WHERE key BETWEEN ?1 AND ?2 ORDER BY key {order} LIMIT 1");
        let found: Option<(i64, Vec<u8>)> = inner
            .connection
            .prepare_cached(&sql)?
            .query_row(range, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        found.map(|(key, blob)| chunk::decode(level, Level::chunk_in(key), &blob)).transpose()
    };
    let mut first = end("ASC")?.and_then(|entries| entries.first().map(|e| e.at));
    let mut last = end("DESC")?.and_then(|entries| entries.last().map(|e| e.at));
    if level == RAW {
        for (_, held) in inner.samples.chunks.range((node, 0)..=(node, i64::MAX)) {
            let ends = (held.entries.first().map(|e| e.at), held.entries.last().map(|e| e.at));
            first = first.into_iter().chain(ends.0).min();
            last = last.max(ends.1);
        }
    }
    Ok(first.zip(last).map(|(first, last)| (first, last + level.step)))
}

/// Forgets all samples of a cluster's nodes.
pub(super) fn forget(inner: &mut Inner, cluster: &ClusterId) -> Result<(), Fault> {
    let transaction = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let numbers: Vec<i64> = transaction
        .prepare_cached("SELECT number FROM nodes WHERE cluster = ?1")?
        .query_map([cluster.as_str()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for number in &numbers {
        for level in super::level::LEVELS {
            transaction
                .prepare_cached("DELETE FROM samples WHERE key BETWEEN ?1 AND ?2")?
                .execute([level.key(*number, 0), level.key(*number, i64::MAX)])?;
        }
    }
    transaction.prepare_cached("DELETE FROM nodes WHERE cluster = ?1")?.execute([cluster.as_str()])?;
    transaction.commit()?;
    inner.samples.drop_numbers(&numbers);
    Ok(())
}
