//! What is done to shards, while a client that knows Redis Cluster writes.

use super::{killed_under_writes, words};
use crate::home::Home;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Slots move while keys are written: the smallest cluster that Redis allows, and one with replicas for a promotion.
const BARE: [&str; 6] = ["--topology", "sharded", "--shards", "3", "--nodes", "3"];
const COPIED: [&str; 6] = ["--topology", "sharded", "--shards", "3", "--nodes", "6"];

fn add(_: &Home) -> Vec<String> {
    words(&["cluster", "add-shard", "demo", "--yes"])
}

fn remove(home: &Home) -> Vec<String> {
    let shards = home.cluster().unwrap()["shards"].as_u64().unwrap();
    words(&["cluster", "remove-shard", "demo", &(shards - 1).to_string(), "--yes", "--confirm", "demo"])
}

/// Another shard each time: one that has just elected lets the next hand-over wait for some seconds.
fn promote(home: &Home) -> Vec<String> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let cluster = home.cluster().unwrap();
    let shard = TURN.fetch_add(1, Ordering::Relaxed) % 3;
    let nodes = cluster["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|n| n["role"] == "shard-replica" && n["shard"] == shard).unwrap();
    let node = node["name"].as_str().unwrap().to_owned();
    words(&["node", "promote", &node, "--yes", "--confirm", &node])
}

#[test]
fn adding_and_removing_a_shard_can_be_killed_at_any_moment() {
    killed_under_writes(true, &BARE, &[add, remove]);
}

#[test]
fn a_promotion_within_a_shard_can_be_killed_at_any_moment() {
    killed_under_writes(true, &COPIED, &[promote]);
}
