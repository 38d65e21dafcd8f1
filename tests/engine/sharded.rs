//! The life of a sharded cluster while a cluster-aware client writes.

use crate::home::Home;
use clusterdeck_domain::{Change, Role, ServiceKind, Topology};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

fn demo() -> String {
    "demo".to_owned()
}

/// Writes through a client that knows Redis Cluster; returns the numbers that were acknowledged.
async fn write(url: String, stop: Arc<AtomicBool>) -> Vec<u64> {
    let client = redis::cluster::ClusterClientBuilder::new([url]).retries(30).build().unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    let mut acknowledged = Vec::new();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("w:{number}");
        let result: redis::RedisResult<()> =
            redis::cmd("SET").arg(&key).arg(number).query_async(&mut connection).await;
        if result.is_ok() {
            acknowledged.push(number);
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sharded_cluster_grows_and_shrinks_while_a_client_writes() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::Sharded, 6, 3).await;
    home.until_healthy().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(home.url().await, stop.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    home.done(Change::AddShard { cluster: demo() }).await;
    let cluster = home.cluster().await;
    assert_eq!(cluster.spec.shards, 4);
    let slots: Vec<u32> = cluster
        .observed
        .unwrap()
        .nodes
        .iter()
        .filter(|n| n.role == Some(Role::ShardPrimary))
        .filter_map(|n| n.slots)
        .collect();
    assert_eq!(slots.iter().sum::<u32>(), 16_384, "every slot has an owner");
    assert!(slots.iter().all(|s| *s >= 4_000), "the slots are spread evenly: {slots:?}");
    let cluster = home.cluster().await;
    let replica =
        cluster.observed.as_ref().unwrap().nodes.iter().find(|n| n.role == Some(Role::ShardReplica)).unwrap();
    let name = cluster.spec.node(&replica.node).unwrap().name.clone();
    home.done(Change::PromoteNode { node: name }).await;
    home.done(Change::RemoveShard { cluster: demo(), shard: 3 }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.unwrap();
    assert!(acknowledged.len() > 200, "the client must have written, {} writes", acknowledged.len());
    let client = redis::cluster::ClusterClient::new([home.url().await]).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    let mut lost = Vec::new();
    for number in acknowledged {
        let value: Option<u64> =
            redis::cmd("GET").arg(format!("w:{number}")).query_async(&mut connection).await.unwrap();
        if value != Some(number) {
            lost.push(number);
        }
    }
    assert_eq!(lost, Vec::<u64>::new(), "moving slots loses nothing");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
