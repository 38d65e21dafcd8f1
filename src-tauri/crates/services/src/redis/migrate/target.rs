//! The primaries of the cluster, as those that data is written to.

use super::{
    slots,
    source::{Item, Source},
};
use crate::redis::{
    flavour::Flavour,
    session::{Session, command},
    shards, survey,
};
use clusterdeck_domain::{NodeId, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use redis::Value;
use std::{collections::BTreeSet, time::Duration};

/// For one answer; a very large value takes its time.
const ANSWER: Duration = Duration::from_secs(60);
/// After so many bytes a replica must have them too: else what waits for it grows beyond what a server keeps for one.
const REPLICA_EVERY: usize = 8 << 20;
/// How long that is waited for, in milliseconds. One that is gone holds nobody up for longer.
const REPLICA_WITHIN: u32 = 2_000;
/// Keys that are looked through at once.
const AT_ONCE: usize = 500;

struct Lane {
    node: NodeId,
    session: Session,
    in_database: u32,
    unconfirmed: usize,
}

pub(super) struct Target {
    lanes: Vec<Lane>,
    /// Which lane has which slot, where it is sharded.
    by_slot: Option<Vec<usize>>,
    has_replicas: bool,
    /// Knows `PEXPIRETIME`.
    pub(super) modern: bool,
}

impl Target {
    pub(super) async fn open(cx: &ClusterContext) -> Result<Self> {
        let mut lanes = Vec::new();
        let mut by_slot = None;
        let lane = |node: &clusterdeck_domain::NodeSpec, mut session: Session| {
            session.answer_within(ANSWER);
            Lane { node: node.id.clone(), session, in_database: 0, unconfirmed: 0 }
        };
        if cx.spec.topology == Topology::Sharded {
            let mut map = vec![usize::MAX; usize::from(slots::SLOTS)];
            for asked in shards::ask_all(cx, shards::in_service(cx)).await? {
                let Some(me) = asked.knows.myself().filter(|me| me.primary) else { continue };
                for slot in me.each_slot() {
                    map[usize::from(slot)] = lanes.len();
                }
                lanes.push(lane(asked.node, asked.session));
            }
            if map.contains(&usize::MAX) {
                return Err(DriverError::transient(
                    "some slots of the cluster have no primary at the moment",
                ));
            }
            by_slot = Some(map);
        } else {
            let answers = survey::all(cx).await;
            let node = survey::primary(&answers)?;
            lanes.push(lane(node, Session::open(cx, node).await?));
        }
        let has_replicas = cx.spec.data_nodes().filter(|n| !n.drained).count() > lanes.len();
        let modern = Flavour::of(cx.spec.service).knows_redis_7(&cx.spec.version);
        Ok(Self { lanes, by_slot, has_replicas, modern })
    }
    /// Who takes the writes: when that is somebody else by now, what was written may be lost.
    pub(super) fn leaders(&self) -> Vec<NodeId> {
        self.lanes.iter().map(|lane| lane.node.clone()).collect()
    }
    fn of(&self, key: &[u8]) -> usize {
        self.by_slot.as_ref().map_or(0, |map| map[usize::from(slots::slot(key))])
    }
    /// Writes values over what is there, and takes away what is no more.
    pub(super) async fn put(&mut self, database: u32, items: Vec<Item>) -> Result<()> {
        let has_replicas = self.has_replicas;
        let mut parts: Vec<Vec<Item>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for item in items {
            let lane = self.of(&item.key);
            parts[lane].push(item);
        }
        let each = self.lanes.iter_mut().zip(parts).filter(|(_, part)| !part.is_empty());
        let written = each.map(|(lane, part)| lane.put(database, part, has_replicas));
        futures::future::try_join_all(written).await.map(drop)
    }
    /// What it has of these keys.
    pub(super) async fn fetch(&mut self, database: u32, keys: &[Vec<u8>]) -> Result<Vec<Item>> {
        let mut found: Vec<Option<Item>> = keys.iter().map(|_| None).collect();
        for at in 0..self.lanes.len() {
            let mine: Vec<usize> = (0..keys.len()).filter(|i| self.of(&keys[*i]) == at).collect();
            if mine.is_empty() {
                continue;
            }
            let modern = self.modern;
            let lane = &mut self.lanes[at];
            lane.enter(database).await?;
            let mut all = redis::pipe();
            for index in &mine {
                let ends = if modern { "PEXPIRETIME" } else { "PTTL" };
                all.cmd("DUMP").arg(&keys[*index]).cmd(ends).arg(&keys[*index]);
            }
            let now = jiff::Timestamp::now().as_millisecond();
            let answers: Vec<Value> = lane.session.ask_together(&all).await?;
            for (index, pair) in mine.iter().zip(answers.chunks_exact(2)) {
                let value = if let Value::BulkString(value) = &pair[0] { Some(value.clone()) } else { None };
                let ends = match pair[1] {
                    Value::Int(ends @ 1..) if modern => ends,
                    Value::Int(left @ 1..) => now + left,
                    _ => 0,
                };
                found[*index] = Some(Item { key: keys[*index].clone(), ends, value });
            }
        }
        found
            .into_iter()
            .map(|item| item.ok_or_else(|| DriverError::broken("a key without a slot")))
            .collect()
    }
    /// Which of these keys it has.
    pub(super) async fn has(&mut self, database: u32, keys: &[Vec<u8>]) -> Result<u64> {
        let mut there = 0;
        for at in 0..self.lanes.len() {
            let mine: Vec<&Vec<u8>> = keys.iter().filter(|key| self.of(key) == at).collect();
            if mine.is_empty() {
                continue;
            }
            self.lanes[at].enter(database).await?;
            let mut all = redis::pipe();
            for key in mine {
                all.cmd("EXISTS").arg(key);
            }
            let found: Vec<bool> = self.lanes[at].session.ask_together(&all).await?;
            there += found.iter().filter(|is| **is).count() as u64;
        }
        Ok(there)
    }
    /// Asks whoever has this key.
    pub(super) async fn ask_of<T: redis::FromRedisValue>(
        &mut self,
        database: u32,
        key: &[u8],
        command: &redis::Cmd,
    ) -> Result<T> {
        let at = self.of(key);
        self.lanes[at].enter(database).await?;
        self.lanes[at].session.ask(command).await
    }
    /// Asks every primary the same.
    pub(super) async fn ask_each<T: redis::FromRedisValue>(
        &mut self,
        command: &redis::Cmd,
    ) -> Result<Vec<T>> {
        let mut said = Vec::new();
        for lane in &mut self.lanes {
            said.push(lane.session.ask(command).await?);
        }
        Ok(said)
    }
    /// Keys in all of it, and in which databases.
    pub(super) async fn databases(&mut self) -> Result<(u64, BTreeSet<u32>)> {
        let said: Vec<String> = self.ask_each(&command("INFO keyspace")).await?;
        let (mut keys, mut databases) = (0, BTreeSet::new());
        for line in said.iter().flat_map(|text| text.lines()) {
            let Some((database, figures)) = line.trim().strip_prefix("db").and_then(|l| l.split_once(':'))
            else {
                continue;
            };
            let count = figures.split(',').find_map(|f| f.strip_prefix("keys=")?.parse::<u64>().ok());
            keys += count.unwrap_or(0);
            databases.extend(database.parse::<u32>().ok());
        }
        Ok((keys, databases))
    }
    /// Takes away every key that the source has, or every one that it has not. Says how many.
    pub(super) async fn sweep(&mut self, source: &mut Source, that_it_has: bool) -> Result<u64> {
        let (_, databases) = self.databases().await?;
        let mut gone = 0;
        for database in databases {
            for at in 0..self.lanes.len() {
                let mut cursor = 0_u64;
                loop {
                    let lane = &mut self.lanes[at];
                    lane.enter(database).await?;
                    let scan = command("SCAN").arg(cursor).arg("COUNT").arg(AT_ONCE).to_owned();
                    let (next, keys): (u64, Vec<Vec<u8>>) = lane.session.ask(&scan).await?;
                    gone += lane.sweep_some(database, &keys, source, that_it_has).await?;
                    cursor = next;
                    if cursor == 0 {
                        break;
                    }
                }
            }
        }
        Ok(gone)
    }
}

impl Lane {
    async fn enter(&mut self, database: u32) -> Result<()> {
        if self.in_database != database {
            self.session.ask::<()>(command("SELECT").arg(database)).await?;
            self.in_database = database;
        }
        Ok(())
    }
    async fn put(&mut self, database: u32, items: Vec<Item>, has_replicas: bool) -> Result<()> {
        self.enter(database).await?;
        let mut all = redis::pipe();
        for item in &items {
            match &item.value {
                Some(value) => {
                    all.cmd("RESTORE")
                        .arg(&item.key)
                        .arg(item.ends)
                        .arg(value)
                        .arg("REPLACE")
                        .arg("ABSTTL")
                        .ignore();
                }
                None => {
                    all.cmd("UNLINK").arg(&item.key).ignore();
                }
            }
            self.unconfirmed += item.bytes();
        }
        self.session.ask_together::<()>(&all).await?;
        if has_replicas && self.unconfirmed > REPLICA_EVERY {
            self.unconfirmed = 0;
            self.session.ask::<u64>(command("WAIT").arg(1).arg(REPLICA_WITHIN)).await?;
        }
        Ok(())
    }
    async fn sweep_some(
        &mut self,
        database: u32,
        keys: &[Vec<u8>],
        source: &mut Source,
        that_it_has: bool,
    ) -> Result<u64> {
        let mut gone = 0;
        for at in 0..source.servers.len() {
            let mine: Vec<&Vec<u8>> = keys.iter().filter(|key| source.of(key) == at).collect();
            if mine.is_empty() {
                continue;
            }
            let has = source.servers[at].has(database, &mine).await?;
            let mut all = redis::pipe();
            for (key, _) in mine.iter().zip(has).filter(|(_, has)| *has == that_it_has) {
                all.cmd("UNLINK").arg(*key).ignore();
                gone += 1;
            }
            if !all.is_empty() {
                self.session.ask_together::<()>(&all).await?;
            }
        }
        Ok(gone)
    }
}
