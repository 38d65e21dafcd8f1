//! Moving slots between shards while clients go on writing.
//!
//! A slot on its way is *migrating* at its source and *importing* at its destination; clients that do not find a key at
//! the source are sent on. We may die in the middle: the two flags stay, and the next call finishes those slots first.
//! While a slot is migrating the source is right about every key it has, so a key that an interrupted move left on both
//! sides may be written over at the destination.

use super::{Asked, agreed, ask_all, in_service, join, leave};
use crate::redis::session::{As, Session, address, command};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result};
use futures::future::join_all;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Keys moved with one command; the source serves nobody meanwhile.
const KEYS_AT_ONCE: u16 = 50;
/// How many times that goes on beside each other, over all sources. Valkey answers each step only when the replicas have
/// it too; the waits then overlap.
const LANES: usize = 12;
/// For one such command. A very large key takes its time.
const MOVE_LIMIT: Duration = Duration::from_secs(20);
/// Slots on their way at once between two nodes. Each step of one costs a write to disk on every primary (measured: some
/// 10 ms a slot one by one on a busy machine); together they cost one.
const SLOTS_AT_ONCE: usize = 32;

/// One slot's way: from one primary to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    from: String,
    slot: u16,
    to: String,
}

/// Primaries by their id in the cluster, with the node each of them is.
struct Primaries<'a> {
    by_id: BTreeMap<String, (&'a NodeSpec, Vec<u16>)>,
    open: Vec<Way>,
}

async fn primaries(cx: &ClusterContext) -> Result<Primaries<'_>> {
    let asked = ask_all(cx, in_service(cx)).await?;
    let mut found = Primaries { by_id: BTreeMap::new(), open: Vec::new() };
    for Asked { node, knows, .. } in &asked {
        let Some(me) = knows.myself().filter(|m| m.primary) else { continue };
        found.by_id.insert(me.id.clone(), (*node, me.each_slot().collect()));
        found.open.extend(me.migrating.iter().map(|(slot, to)| Way {
            from: me.id.clone(),
            slot: *slot,
            to: to.clone(),
        }));
        found.open.extend(me.importing.iter().map(|(slot, from)| Way {
            from: from.clone(),
            slot: *slot,
            to: me.id.clone(),
        }));
    }
    found.open.sort();
    found.open.dedup();
    Ok(found)
}

/// Brings the nodes of a shard in and moves its share of the slots to it.
pub(crate) async fn add_shard(cx: &ClusterContext, shard: u16, progress: &Progress) -> Result<()> {
    let mut nodes: Vec<_> = in_service(cx).filter(|n| n.shard == Some(shard)).collect();
    nodes.sort_by_key(|n| n.ordinal);
    for node in nodes {
        join(cx, node, progress).await?;
    }
    finish_open(cx, progress).await?;
    let found = primaries(cx).await?;
    let (to, held) = shard_primary(&found, shard)?;
    let wanted = usize::from(super::SLOTS) / usize::from(cx.spec.shards.max(1));
    let mut missing = wanted.saturating_sub(held);
    // One slot after the other from whoever has most, so that all end with the same number.
    let mut givers: Vec<_> =
        found.by_id.iter().filter(|(id, _)| **id != to).map(|(id, (_, s))| (id, s.clone())).collect();
    let mut ways = Vec::new();
    while missing > 0 {
        let Some((from, slots)) = givers.iter_mut().max_by_key(|(_, slots)| slots.len()) else { break };
        let Some(slot) = slots.pop() else { break };
        ways.push(Way { from: (*from).clone(), slot, to: to.clone() });
        missing -= 1;
    }
    travel(cx, &found, ways, progress).await?;
    agreed(cx, progress).await
}

/// Moves all slots of a shard to the others, and lets everybody forget its nodes.
pub(crate) async fn remove_shard(cx: &ClusterContext, shard: u16, progress: &Progress) -> Result<()> {
    finish_open(cx, progress).await?;
    let found = primaries(cx).await?;
    let leaving = |n: &NodeSpec| n.shard == Some(shard);
    let mut takers: Vec<_> = found
        .by_id
        .iter()
        .filter(|(_, (n, slots))| !leaving(n) && !slots.is_empty())
        .map(|(id, (_, slots))| (id.clone(), slots.len()))
        .collect();
    let mut ways = Vec::new();
    for (from, (_, slots)) in found.by_id.iter().filter(|(_, (n, _))| leaving(n)) {
        for slot in slots {
            let Some((to, count)) = takers.iter_mut().min_by_key(|(_, count)| *count) else {
                return Err(DriverError::rejected(
                    "no other shard could take the slots",
                    "this is the last shard",
                ));
            };
            ways.push(Way { from: from.clone(), slot: *slot, to: to.clone() });
            *count += 1;
        }
    }
    travel(cx, &found, ways, progress).await?;
    // Replicas go before the primary they follow, which could not be forgotten with them.
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for node in cx.spec.data_nodes().filter(|n| leaving(n)) {
        if found.by_id.values().any(|(n, _)| n.id == node.id) { then.push(node) } else { first.push(node) }
    }
    for node in first.into_iter().chain(then) {
        leave(cx, node, progress).await?;
    }
    Ok(())
}

fn shard_primary(found: &Primaries<'_>, shard: u16) -> Result<(String, usize)> {
    let mut all = found.by_id.iter().filter(|(_, (n, _))| n.shard == Some(shard));
    match (all.next(), all.next()) {
        (Some((id, (_, slots))), None) => Ok((id.clone(), slots.len())),
        (None, _) => Err(DriverError::transient(format!("shard {shard} has no primary yet"))),
        _ => Err(DriverError::transient(format!("shard {shard} has two primaries"))),
    }
}

/// Finishes what an interrupted call left on its way.
async fn finish_open(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    let found = primaries(cx).await?;
    let mut ways = Vec::new();
    for way in found.open.clone() {
        let arrived = found.by_id.get(&way.to).is_some_and(|(_, slots)| slots.contains(&way.slot));
        let there = found.by_id.get(&way.from).is_some_and(|(_, slots)| slots.contains(&way.slot));
        if there && !arrived && found.by_id.contains_key(&way.to) {
            ways.push(way);
            continue;
        }
        // It has arrived, or one of its ends is gone: only the flags are left.
        for id in [&way.from, &way.to] {
            if let Some((node, _)) = found.by_id.get(id) {
                let mut session = Session::open(cx, node).await?;
                session.say::<()>(&format!("CLUSTER SETSLOT {} STABLE", way.slot)).await?;
            }
        }
    }
    travel(cx, &found, ways, progress).await
}

/// Slots that can move together: same source, same destination, not too many.
fn together(ways: &[Way]) -> impl Iterator<Item = &[Way]> {
    ways.chunk_by(|a, b| (&a.from, &a.to) == (&b.from, &b.to)).flat_map(|same| same.chunks(SLOTS_AT_ONCE))
}

/// Moves slots, at once from every source.
async fn travel(
    cx: &ClusterContext,
    found: &Primaries<'_>,
    ways: Vec<Way>,
    progress: &Progress,
) -> Result<()> {
    let total = ways.len() as u64;
    if total == 0 {
        return Ok(());
    }
    let mut by_source: BTreeMap<String, Vec<Way>> = BTreeMap::new();
    for way in ways {
        by_source.entry(way.from.clone()).or_default().push(way);
    }
    for ways in by_source.values_mut() {
        ways.sort_by(|a, b| (&a.to, a.slot).cmp(&(&b.to, b.slot)));
    }
    let done = AtomicU64::new(0);
    let done = &done;
    let each = (LANES / by_source.len()).max(1);
    let lanes = by_source.values().flat_map(|ways| ways.chunks(ways.len().div_ceil(each)));
    let moved = join_all(lanes.map(|ways| async move {
        // Connections of its own for each lane, so that they do not wait for each other.
        let mut sessions = BTreeMap::new();
        for (id, (node, _)) in &found.by_id {
            let mut session = Session::open(cx, node).await?;
            session.answer_within(MOVE_LIMIT);
            sessions.insert(id.as_str(), (*node, session));
        }
        for some in together(ways) {
            let slots: Vec<u16> = some.iter().map(|way| way.slot).collect();
            move_slots(cx, &mut sessions, &some[0].from, &some[0].to, &slots).await?;
            let moved = slots.len() as u64;
            progress.measured("slots move", done.fetch_add(moved, Ordering::Relaxed) + moved, total);
        }
        Ok::<_, DriverError>(())
    }));
    moved.await.into_iter().collect()
}

type Sessions<'s, 'a> = BTreeMap<&'s str, (&'a NodeSpec, Session)>;

fn session<'x>(sessions: &'x mut Sessions<'_, '_>, id: &str) -> Result<&'x mut Session> {
    let found = sessions.get_mut(id).map(|(_, session)| session);
    found.ok_or_else(|| DriverError::transient("a primary of the cluster is gone"))
}

/// Says the same about each slot, in one go: the server notes them on disk together.
async fn tell(session: &mut Session, slots: &[u16], what: &str) -> Result<()> {
    let mut all = redis::pipe();
    for slot in slots {
        all.cmd("CLUSTER").arg("SETSLOT").arg(*slot);
        for word in what.split(' ') {
            all.arg(word);
        }
        all.ignore();
    }
    // What one member knows of the others can be a moment old ("already the owner", "unknown node"): the step looks again
    // and goes on from there. What stays so ends with its deadline.
    session.ask_together(&all).await.map_err(|e| match e {
        DriverError::Rejected { what, .. } => DriverError::transient(what),
        other => other,
    })
}

/// Moves some slots of one source to one destination.
async fn move_slots(
    cx: &ClusterContext,
    sessions: &mut Sessions<'_, '_>,
    from: &str,
    to: &str,
    slots: &[u16],
) -> Result<()> {
    tell(session(sessions, to)?, slots, &format!("IMPORTING {from}")).await?;
    tell(session(sessions, from)?, slots, &format!("MIGRATING {to}")).await?;
    let (target, _) = sessions.get(to).ok_or_else(|| DriverError::transient("a primary is gone"))?;
    let at = address(cx.machine(target)?.as_ref());
    let source = session(sessions, from)?;
    let mut left = slots.to_vec();
    while !left.is_empty() {
        let mut ask = redis::pipe();
        for slot in &left {
            ask.cmd("CLUSTER").arg("GETKEYSINSLOT").arg(*slot).arg(KEYS_AT_ONCE);
        }
        let found: Vec<Vec<Vec<u8>>> = source.ask_together(&ask).await?;
        left =
            left.into_iter().zip(&found).filter(|(_, keys)| !keys.is_empty()).map(|(slot, _)| slot).collect();
        for keys in found.iter().filter(|keys| !keys.is_empty()) {
            // `NOKEY`, which is no error: they expired or were deleted in this moment.
            source.ask::<redis::Value>(&migrate(cx, at, keys)?).await?;
        }
    }
    // The new owner first: the other way round nobody would hold the slot for a moment. Then everybody, so that clients
    // are sent the right way at once and not when the gossip comes by.
    let mut order = vec![to.to_owned(), from.to_owned()];
    order.extend(sessions.keys().filter(|id| **id != to && **id != from).map(|id| (*id).to_owned()));
    for id in order {
        tell(session(sessions, &id)?, slots, &format!("NODE {to}")).await?;
    }
    Ok(())
}

fn migrate(cx: &ClusterContext, at: (IpAddr, u16), keys: &[Vec<u8>]) -> Result<redis::Cmd> {
    let password = cx.secrets.get(As::Operator.secret())?;
    let limit = u64::try_from(MOVE_LIMIT.as_millis()).unwrap_or(u64::MAX) / 2;
    let mut migrate = command("MIGRATE");
    migrate.arg(at.0.to_string()).arg(at.1).arg("").arg(0).arg(limit).arg("REPLACE");
    migrate.arg("AUTH2").arg("operator").arg(password.reveal()).arg("KEYS").arg(keys);
    Ok(migrate)
}
