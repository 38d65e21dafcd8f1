//! Bringing the data of another Redis, Valkey or KeyDB in.
//!
//! Every key is copied as the server writes it down (`DUMP`, `RESTORE … REPLACE ABSTTL`), while the source tells which keys are
//! written; those are copied again until none is left. A copy replaces what was there, so that one made twice is one made once,
//! and it needs neither the rights of a replica at the source nor the endpoint or the voters of the cluster to stand aside.

mod check;
mod compare;
mod slots;
mod source;
mod target;

pub(crate) use check::look;

use crate::redis::session::command;
use clusterdeck_domain::Migrated;
use clusterdeck_driver::{ClusterContext, DriverError, Migration, Passage, Progress, Result};
use compare::Comparison;
use source::{Item, Source};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use target::Target;

/// Bytes on their way at once, from each server of the source.
const BATCH_BYTES: usize = 4 << 20;
/// Keys asked for at once: as many as make such a batch, between these.
const BATCH_KEYS: std::ops::RangeInclusive<usize> = 4..=1_000;
/// How long nobody tells anything before we look by ourselves.
const QUIET: Duration = Duration::from_millis(250);
/// Rounds in which keys that were written while they were compared are looked at again.
const ROUNDS: usize = 3;
/// A line of the log after so long.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Keys that are compared by name later on; beyond it they are only counted.
const LATER: usize = 100_000;

/// Counts what went through, and says so.
struct Meter<'a> {
    progress: &'a Progress,
    passage: &'a Passage,
    begun: Instant,
    keys: AtomicU64,
    bytes: AtomicU64,
    total: u64,
    logged: std::sync::Mutex<Instant>,
}

impl Meter<'_> {
    fn passed(&self, what: &str, keys: u64, bytes: u64) {
        let keys = self.keys.fetch_add(keys, Ordering::Relaxed) + keys;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let rate = keys as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let left = self.total.saturating_sub(keys) as f64 / rate.max(0.001);
        let line = format!(
            "{what}: {keys} of {} keys, {:.1} MB, {rate:.0} keys/s, about {left:.0} s left",
            self.total.max(keys),
            bytes as f64 / 1e6
        );
        self.progress.measured(&line, keys, self.total.max(keys));
        let mut logged = self.logged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if logged.elapsed() > LOG_EVERY {
            *logged = Instant::now();
            self.passage.log(line);
        }
    }
}

/// See [`clusterdeck_driver::ServiceDriver::bring_in`].
pub(crate) async fn bring_in(
    cx: &ClusterContext,
    migration: &Migration,
    passage: &Passage,
    progress: &Progress,
) -> Result<Migrated> {
    let mut source = Source::open(&migration.from).await?;
    let mut target = Target::open(cx).await?;
    let leaders = target.leaders();
    let online = source.deaf.is_none();
    let mut report = Migrated::default();
    copy_all(cx, migration, (&mut source, &mut target), passage, progress, &mut report).await?;
    let mut comparison = Comparison::default();
    let mut later = BTreeMap::new();
    if online {
        catch_up(&mut source, &mut target, passage, progress, &mut report).await?;
        later = compare_all(&mut source, &mut target, &mut comparison, (passage, progress)).await?;
    }
    follow(migration, (&mut source, &mut target), passage, progress, &mut report).await?;

    // Cutting over: everything that was acknowledged before this moment will be in the cluster.
    let (up_to, begun) = (jiff::Timestamp::now(), Instant::now());
    if online {
        source.heard_all().await?;
        catch_up_once(&mut source, &mut target, &mut report).await?;
    } else {
        copy_all(cx, migration, (&mut source, &mut target), passage, progress, &mut report).await?;
    }
    let gap = begun.elapsed();
    passage.log(format!(
        "Cut over: the cluster had everything written up to {up_to} after {:.1} ms",
        gap.as_secs_f64() * 1e3
    ));
    if !online {
        later = compare_all(&mut source, &mut target, &mut comparison, (passage, progress)).await?;
    }
    let written = compare_later(&mut source, &mut target, &mut comparison, later, online).await?;
    source.still_told()?;
    if Target::open(cx).await?.leaders() != leaders {
        return Err(DriverError::transient("another node took over while data came in: it is copied again"));
    }
    report.gap_ms = Some(gap.as_secs_f64() * 1e3);
    report.up_to = Some(up_to);
    if written > 0 {
        report.notes.push(format!(
            "The source was still written to when the cluster was cut over: {written} keys could not be compared, and what was \
             written after {up_to} did not come along"
        ));
    }
    conclude(&comparison, &mut report, passage);
    Ok(report)
}

fn conclude(comparison: &Comparison, report: &mut Migrated, passage: &Passage) {
    report.compared = comparison.told();
    report.differences.clone_from(&comparison.differences);
    if comparison.more_differences() > 0 {
        report.differences.push(format!("{} more keys", comparison.more_differences()));
    }
    let keys: u64 = report.compared.iter().map(|part| part.source).sum();
    let verdict = if report.differences.is_empty() { "both sides are the same" } else { "they differ" };
    passage.log(format!("Compared {keys} keys by count and checksum: {verdict}"));
    report.notes.push(format!("{keys} keys were compared: {verdict}"));
}

/// Every key of every server at once, over what is there; what a call before this one brought and is no more goes first.
async fn copy_all(
    cx: &ClusterContext,
    migration: &Migration,
    (source, target): (&mut Source, &mut Target),
    passage: &Passage,
    progress: &Progress,
    report: &mut Migrated,
) -> Result<()> {
    let total = source.keys().await?;
    passage.log(format!("Copying {total} keys of {}", migration.from.place()));
    if migration.fresh {
        let gone = target.sweep(source, false).await?;
        if gone > 0 {
            passage.log(format!(
                "{gone} keys that an earlier try had brought are no more in the source and were taken away"
            ));
        }
    }
    if let Some(functions) = source.servers[0].functions().await? {
        target.ask_each::<()>(command("FUNCTION RESTORE").arg(functions).arg("REPLACE")).await?;
    }
    let meter = Meter {
        progress,
        passage,
        begun: Instant::now(),
        keys: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        total,
        logged: std::sync::Mutex::new(Instant::now()),
    };
    let copied = source.servers.iter_mut().map(|server| copy_server(cx, server, &meter));
    futures::future::try_join_all(copied).await?;
    report.items = meter.keys.load(Ordering::Relaxed);
    report.bytes += meter.bytes.load(Ordering::Relaxed);
    passage.log(format!("Copied {} keys in {:.1} s", report.items, meter.begun.elapsed().as_secs_f64()));
    Ok(())
}

/// All keys of one server, with sessions of its own at the cluster. The next keys are read while the last ones are written.
async fn copy_server(cx: &ClusterContext, server: &mut source::Server, meter: &Meter<'_>) -> Result<()> {
    let mut target = Target::open(cx).await?;
    let mut at_once = 64;
    for (database, _) in server.databases().await? {
        let mut cursor = 0;
        let mut ready: Option<Vec<Item>> = None;
        loop {
            let (next, keys) = server.scan(database, cursor, 1_000).await?;
            let mut rest = keys.as_slice();
            while !rest.is_empty() {
                let (some, after) = rest.split_at(at_once.min(rest.len()));
                rest = after;
                let writing = async {
                    match ready.take() {
                        Some(items) => target.put(database, items).await,
                        None => Ok(()),
                    }
                };
                let (items, written) = tokio::join!(server.fetch(database, some), writing);
                written?;
                // A key that is gone by now was told, and goes with those that were written.
                let items: Vec<Item> = items?.into_iter().filter(|item| item.value.is_some()).collect();
                let bytes: usize = items.iter().map(Item::bytes).sum();
                meter.passed("Copying", items.len() as u64, bytes as u64);
                at_once = match bytes {
                    n if n > BATCH_BYTES => at_once / 2,
                    n if n < BATCH_BYTES / 4 => at_once * 2,
                    _ => at_once,
                }
                .clamp(*BATCH_KEYS.start(), *BATCH_KEYS.end());
                ready = Some(items);
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        if let Some(items) = ready {
            target.put(database, items).await?;
        }
    }
    Ok(())
}

/// Copies what was written until nothing is left, or it comes no faster than it is written.
async fn catch_up(
    source: &mut Source,
    target: &mut Target,
    passage: &Passage,
    progress: &Progress,
    report: &mut Migrated,
) -> Result<()> {
    let mut before = u64::MAX;
    loop {
        source.still_told()?;
        let waiting = source.waiting();
        passage.set_behind(Some(waiting));
        if waiting == 0 || waiting >= before && waiting < 1_000 {
            return Ok(());
        }
        progress.note(&format!("Catching up: {waiting} keys were written meanwhile"));
        before = waiting;
        catch_up_once(source, target, report).await?;
    }
}

/// Copies all keys that are known to be written by now.
async fn catch_up_once(source: &mut Source, target: &mut Target, report: &mut Migrated) -> Result<()> {
    if source.everything_written() {
        return Err(DriverError::transient(
            "a database of the source was emptied, or more was written than can be noted: it is copied again",
        ));
    }
    for index in 0..source.servers.len() {
        let mut left = source.servers[index].ear_waiting();
        while left > 0 {
            let keys = source.take(index, *BATCH_KEYS.end() / 2);
            if keys.is_empty() {
                break;
            }
            left = left.saturating_sub(keys.len() as u64);
            let server = &mut source.servers[index];
            // Nobody tells in which database.
            for (database, _) in server.databases().await? {
                for some in keys.chunks(100) {
                    let items = server.fetch(database, some).await?;
                    report.bytes += items.iter().map(Item::bytes).sum::<usize>() as u64;
                    target.put(database, items).await?;
                }
            }
        }
    }
    Ok(())
}

/// Follows the source until somebody says that it shall end; at once where nobody wants to be asked.
async fn follow(
    migration: &Migration,
    (source, target): (&mut Source, &mut Target),
    passage: &Passage,
    progress: &Progress,
    report: &mut Migrated,
) -> Result<()> {
    if !migration.follow {
        return Ok(());
    }
    passage.log("Following the source until somebody cuts over");
    let mut noted = 0;
    while !passage.ends() {
        source.still_told()?;
        catch_up_once(source, target, report).await?;
        passage.set_behind(Some(source.waiting()));
        noted += 1;
        progress.note(&format!(
            "Following the source, {} keys behind. Cut over when nobody writes to it any more",
            source.waiting()
        ));
        tokio::select! {
            () = source.until_heard() => {}
            () = passage.until_cut_over() => {}
            () = tokio::time::sleep(QUIET) => {}
        }
    }
    tracing::debug!(rounds = noted, "followed");
    Ok(())
}

type Later = BTreeMap<(usize, u32), Vec<Vec<u8>>>;

/// Every key on both sides, while the source may be written to; returns those to look at again.
async fn compare_all(
    source: &mut Source,
    target: &mut Target,
    comparison: &mut Comparison,
    (passage, progress): (&Passage, &Progress),
) -> Result<Later> {
    let total = source.keys().await?;
    passage.log(format!("Comparing {total} keys"));
    let begun = Instant::now();
    let (mut done, mut kept) = (0_u64, 0);
    let mut later = Later::new();
    for (index, server) in source.servers.iter_mut().enumerate() {
        for (database, _) in server.databases().await? {
            let mut cursor = 0;
            loop {
                let (next, keys) = server.scan(database, cursor, 1_000).await?;
                for some in keys.chunks(250) {
                    let again = compare::compare(comparison, server, target, database, some).await?;
                    done += some.len() as u64;
                    progress.measured(&format!("Comparing: {done} of {total} keys"), done, total.max(done));
                    if kept < LATER {
                        kept += again.len();
                        later.entry((index, database)).or_default().extend(again);
                    }
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
    }
    passage.log(format!("Compared {done} keys in {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(later)
}

/// Keys that were written while they were compared, when the cluster has everything. Says how many still are.
async fn compare_later(
    source: &mut Source,
    target: &mut Target,
    comparison: &mut Comparison,
    later: Later,
    online: bool,
) -> Result<u64> {
    let mut report = Migrated::default();
    let mut written = 0;
    for ((index, database), mut keys) in later {
        keys.sort_unstable();
        keys.dedup();
        for _ in 0..ROUNDS {
            let mut left = Vec::new();
            for some in keys.chunks(250) {
                left.extend(
                    compare::compare(comparison, &mut source.servers[index], target, database, some).await?,
                );
            }
            keys = left;
            if keys.is_empty() || !online {
                break;
            }
            source.heard_all().await?;
            catch_up_once(source, target, &mut report).await?;
        }
        for some in keys.chunks(250) {
            written += compare::judge(comparison, &mut source.servers[index], target, database, some).await?;
        }
    }
    Ok(written)
}

/// See [`clusterdeck_driver::ServiceDriver::take_out`].
pub(crate) async fn take_out(cx: &ClusterContext, migration: &Migration) -> Result<Option<String>> {
    let stays = |why: &str| Ok(Some(format!("What was brought in stays in the cluster: {why}")));
    let mut target = Target::open(cx).await?;
    if !migration.fresh {
        return stays("it lies among keys that were there before");
    }
    let (keys, _) = target.databases().await?;
    if keys == 0 {
        return Ok(None);
    }
    match Source::open(&migration.from).await {
        Ok(mut source) => {
            target.sweep(&mut source, true).await?;
            Ok(None)
        }
        Err(error) => stays(&format!("which keys those are could not be found out ({error})")),
    }
}
