//! Both sides, key by key: the values as servers write them down, and where those differ (the same set may be written down in
//! another order) the values themselves. A key that was written meanwhile is copied again and looked at again.

use super::{
    slots,
    source::{Item, Server},
    target::Target,
};
use crate::redis::session::command;
use clusterdeck_domain::Compared;
use clusterdeck_driver::Result;
use redis::{Cmd, Value};
use sha2::{Digest as _, Sha256};

/// Parts that are told; each is so many slots.
const PARTS: usize = 16;
/// Differences that are told by name.
const NAMED: usize = 20;
/// How exactly moments are the same where a server only tells how long a key has left, in milliseconds.
const ABOUT: i64 = 2_000;

#[derive(Debug, Clone, Copy, Default)]
struct Side {
    keys: u64,
    sum: u64,
}

/// What was compared so far.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    parts: [(Side, Side); PARTS],
    pub(super) differences: Vec<String>,
    differing: u64,
}

impl Comparison {
    fn add(&mut self, key: &[u8], source: Option<u64>, target: Option<u64>) {
        let part = usize::from(slots::slot(key)) * PARTS / usize::from(slots::SLOTS);
        let (ours, theirs) = &mut self.parts[part];
        for (side, value) in [(ours, source), (theirs, target)] {
            if let Some(value) = value {
                side.keys += 1;
                // In any order: the sum of sums.
                side.sum = side.sum.wrapping_add(value);
            }
        }
    }
    fn differs(&mut self, key: &[u8], how: &str) {
        self.differing += 1;
        if self.differences.len() < NAMED {
            let name: String = String::from_utf8_lossy(key).chars().take(80).collect();
            self.differences.push(format!("the key {name} (slot {}) {how}", slots::slot(key)));
        }
    }
    /// Part by part; those of which there is nothing are left out.
    pub(super) fn told(&self) -> Vec<Compared> {
        let each = usize::from(slots::SLOTS) / PARTS;
        let told = self.parts.iter().enumerate().map(|(n, (source, target))| Compared {
            of: format!("slots {} to {}", n * each, (n + 1) * each - 1),
            source: source.keys,
            target: target.keys,
            source_sum: format!("{:016x}", source.sum),
            target_sum: format!("{:016x}", target.sum),
        });
        told.filter(|part| part.source + part.target > 0).collect()
    }
    pub(super) fn more_differences(&self) -> u64 {
        self.differing - self.differences.len() as u64
    }
}

fn sum(database: u32, item: &Item, value: &[u8]) -> u64 {
    let digest = Sha256::new()
        .chain_update(database.to_le_bytes())
        .chain_update((item.key.len() as u64).to_le_bytes())
        .chain_update(&item.key)
        .chain_update(item.ends.to_le_bytes())
        .chain_update(value)
        .finalize();
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Compares some keys; returns those that must be looked at again, since they were written meanwhile.
pub(super) async fn compare(
    comparison: &mut Comparison,
    server: &mut Server,
    target: &mut Target,
    database: u32,
    keys: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>> {
    let exact = server.modern && target.modern;
    let sources = server.fetch(database, keys).await?;
    let targets = target.fetch(database, keys).await?;
    let now = jiff::Timestamp::now().as_millisecond();
    let mut again = Vec::new();
    for (source, target_item) in sources.into_iter().zip(targets) {
        let about = if exact { 0 } else { ABOUT };
        let same_end = (source.ends - target_item.ends).abs() <= about;
        if source.value.is_some() && source.body() == target_item.body() && same_end {
            let value = sum(database, &source, source.body().unwrap_or_default());
            comparison.add(&source.key, Some(value), Some(value));
            continue;
        }
        // Its time is over, or is about to be: either side may have noticed.
        if source.ends > 0 && source.ends <= now + ABOUT
            || source.value.is_none() && target_item.value.is_none()
        {
            continue;
        }
        if server.ear.is_written(&source.key) {
            again.push(source.key);
            continue;
        }
        let (Some(_), Some(_), true) = (&source.value, &target_item.value, same_end) else {
            // What the source tells may not have reached us yet.
            again.push(source.key);
            continue;
        };
        match itself(server, target, database, &source.key).await? {
            Some((ours, theirs)) if ours == theirs => {
                let value = sum(database, &source, ours.as_bytes());
                comparison.add(&source.key, Some(value), Some(value));
            }
            _ => again.push(source.key),
        }
    }
    Ok(again)
}

/// The last look at keys that differed when nothing more was on its way: what differs now differs.
pub(super) async fn judge(
    comparison: &mut Comparison,
    server: &mut Server,
    target: &mut Target,
    database: u32,
    keys: &[Vec<u8>],
) -> Result<u64> {
    let left = compare(comparison, server, target, database, keys).await?;
    let mut written = 0;
    for key in left {
        if server.ear.is_written(&key) {
            written += 1;
            continue;
        }
        let source = server.fetch(database, std::slice::from_ref(&key)).await?;
        let there = target.fetch(database, std::slice::from_ref(&key)).await?;
        let side = |item: Option<&Item>| item.and_then(|item| Some(sum(database, item, item.body()?)));
        comparison.add(&key, side(source.first()), side(there.first()));
        let has = |items: &[Item]| items.first().is_some_and(|item| item.value.is_some());
        comparison.differs(
            &key,
            match (has(&source), has(&there)) {
                (true, false) => "is only in the source",
                (false, true) => "is only in the cluster",
                _ => "has another value or another end",
            },
        );
    }
    Ok(written)
}

/// How a value of each type is read as a whole.
fn read(kind: &str, key: &[u8]) -> Cmd {
    let (verb, rest): (&str, &[&str]) = match kind {
        "string" => ("GET", &[]),
        "list" => ("LRANGE", &["0", "-1"]),
        "set" => ("SMEMBERS", &[]),
        "hash" => ("HGETALL", &[]),
        "zset" => ("ZRANGE", &["0", "-1", "WITHSCORES"]),
        "stream" => ("XRANGE", &["-", "+"]),
        // A module's own: what it writes down is all there is.
        _ => ("DUMP", &[]),
    };
    let mut asked = command(verb);
    asked.arg(key);
    for word in rest {
        asked.arg(*word);
    }
    asked
}

/// The values themselves, in an order that both sides share; `None` where somebody made something else of the key between two
/// questions: it is told as written, and looked at again.
async fn itself(
    server: &mut Server,
    target: &mut Target,
    database: u32,
    key: &[u8],
) -> Result<Option<(String, String)>> {
    server.enter(database).await?;
    let kind: String = server.ask(command("TYPE").arg(key)).await?;
    let other: String = target.ask_of(database, key, command("TYPE").arg(key)).await?;
    if kind != other {
        return Ok(None);
    }
    let asked = read(&kind, key);
    let Ok(ours) = server.try_out(&asked).await? else { return Ok(None) };
    let theirs: Value = target.ask_of(database, key, &asked).await?;
    Ok(Some((canonical(&kind, ours), canonical(&kind, theirs))))
}

fn canonical(kind: &str, value: Value) -> String {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => hex::encode(Sha256::digest(bytes)),
        other => format!("{other:?}"),
    };
    let mut parts: Vec<String> = match (kind, &value) {
        ("hash", Value::Array(all)) => all.chunks(2).map(|pair| pair.iter().map(text).collect()).collect(),
        (_, Value::Array(all)) => all.iter().map(text).collect(),
        (_, one) => vec![text(one)],
    };
    if matches!(kind, "hash" | "set") {
        parts.sort();
    }
    hex::encode(Sha256::digest(parts.concat()))
}
