//! Sharded clusters: formed, grown and shrunk while clients write, a shard promoted, a dead primary replaced.

use crate::ground::{Ground, secret, services};
use clusterdeck_domain::{ClusterObserved, Health, NodeId, Role, Sensitive, Slot, Topology};
use clusterdeck_driver::{Progress, ServiceDriver as _, StartAs};
use redis::cluster_async::ClusterConnection;
use rustix::process::Signal;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// A client that knows Redis Cluster, through the endpoint as its seed.
async fn client(ground: &Ground) -> ClusterConnection {
    let gateway = ground.cx.gateway().unwrap();
    let password = ground.cx.secrets.newest("people").unwrap().reveal();
    let seed = format!("redis://:{password}@{}:{}", gateway.address(), gateway.port(6379));
    // By itself this client waits 1.3 s after a broken connection; the gaps would be its own.
    let built = redis::cluster::ClusterClientBuilder::new([seed])
        .retries(60)
        .min_retry_wait(10)
        .max_retry_wait(100)
        .build()
        .unwrap();
    built.get_async_connection().await.unwrap()
}

/// Writes keys one after the other and remembers those that were acknowledged.
struct Writing {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(Vec<u64>, u64, Duration)>,
    acks: Arc<AtomicU64>,
}

impl Writing {
    async fn start(ground: &Ground) -> Self {
        let (stop, acks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut connection = client(ground).await;
        let (stopped, counted) = (stop.clone(), acks.clone());
        let task = tokio::spawn(async move {
            let (mut good, mut errors, mut number, mut gap, mut last) =
                (Vec::new(), 0, 0, Duration::ZERO, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                number += 1;
                match redis::cmd("SET")
                    .arg(format!("k:{number}"))
                    .arg(number)
                    .query_async::<()>(&mut connection)
                    .await
                {
                    Ok(()) => {
                        good.push(number);
                        gap = gap.max(last.elapsed());
                        last = Instant::now();
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => errors += 1,
                }
            }
            (good, errors, gap)
        });
        let writing = Self { stop, task, acks };
        writing.goes_on(500).await;
        writing
    }
    async fn goes_on(&self, more: u64) {
        let (goal, begun) = (self.acks.load(Ordering::Relaxed) + more, Instant::now());
        while self.acks.load(Ordering::Relaxed) < goal {
            assert!(begun.elapsed() < Duration::from_secs(20), "{more} more writes");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    /// Stops, and counts what is not there.
    async fn end(self, ground: &Ground, what: &str) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (good, errors, gap) = self.task.await.unwrap();
        let connection = client(ground).await;
        let mut lost = 0;
        for numbers in good.chunks(200) {
            let asked = numbers.iter().map(|number| {
                let mut connection = connection.clone();
                async move {
                    let found: Option<u64> = redis::cmd("GET")
                        .arg(format!("k:{number}"))
                        .query_async(&mut connection)
                        .await
                        .unwrap();
                    found == Some(*number)
                }
            });
            lost += futures::future::join_all(asked).await.into_iter().filter(|there| !there).count();
        }
        println!("{what}: {} acknowledged, {errors} errors, longest gap {gap:?}, lost {lost}", good.len());
        lost
    }
}

fn slots(seen: &ClusterObserved) -> Vec<u32> {
    seen.nodes.iter().filter(|n| n.role == Some(Role::ShardPrimary)).filter_map(|n| n.slots).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_nodes_form_three_shards_and_a_replica_is_promoted_without_loss() {
    for service in services() {
        let ground = Ground::prepared(service, Topology::Sharded, 6, 3).await;
        let begun = Instant::now();
        ground.create().await;
        println!("{service}: six nodes in three shards in {:?}", begun.elapsed());
        let seen = ground.healthy().await;
        assert_eq!(slots(&seen).iter().sum::<u32>(), 16384);
        assert!((0..3).all(|shard| seen.shard_primary(shard).is_some()));
        assert!(
            seen.nodes.iter().filter(|n| n.role == Some(Role::ShardReplica)).all(|n| n.lag_bytes.is_some())
        );
        ground.driver.probe(&ground.cx).await.unwrap();
        ground.create().await;

        let writing = Writing::start(&ground).await;
        let replica = ground.node(5);
        let gap =
            ground.driver.hand_over(&ground.cx, replica, &|| panic!("the endpoint stays")).await.unwrap();
        ground.driver.hand_over(&ground.cx, replica, &|| panic!("the endpoint stays")).await.unwrap();
        // There and back again at once: nobody may win with the votes of its last election.
        for node in [ground.node(2), replica] {
            ground.driver.hand_over(&ground.cx, node, &|| panic!("the endpoint stays")).await.unwrap();
        }
        writing.goes_on(300).await;
        assert_eq!(
            writing
                .end(&ground, &format!("{service} promoted in a shard, told {:.0} ms", gap.write_gap_ms))
                .await,
            0
        );
        let seen = ground.healthy().await;
        assert_eq!(seen.shard_primary(1).unwrap().node, replica.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_of_a_shard_is_replaced_and_comes_back_as_its_replica() {
    for service in services() {
        let ground = Ground::new(service, Topology::Sharded, 6, 3).await;
        ground.healthy().await;
        ground.signal(1, "redis", Signal::KILL).await;
        let (limit, first) = (Duration::from_secs(20), ground.node(1).id.clone());
        ground
            .seen(limit, "a new primary of the shard", |s| {
                s.shard_primary(0).is_some_and(|p| p.node != first)
            })
            .await;
        let start_as = ground.driver.restart_as(&ground.cx, ground.node(1)).await.unwrap();
        assert_eq!(start_as, StartAs::Member);
        ground.driver.start_node(&ground.cx, ground.node(1), &start_as).await.unwrap();
        let seen = ground.healthy().await;
        assert_eq!(seen.nodes[0].role, Some(Role::ShardReplica));
    }
}

/// Asks again while it says that it may work in a moment, as the engine does.
async fn persevere<T>(mut ask: impl AsyncFnMut() -> clusterdeck_driver::Result<T>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(e) if e.is_transient() && begun.elapsed() < Duration::from_secs(120) => {
                println!("once more: {e}")
            }
            Err(e) => panic!("{e}"),
        }
    }
}

async fn add_nodes(ground: &mut Ground, shard: u16, from: u16) -> Vec<NodeId> {
    ground.cx.spec.shards = ground.cx.spec.shards.max(shard + 1);
    let mut added = Vec::new();
    for ordinal in [from, from + 1] {
        let node =
            ground.add_machine(&Slot { ordinal, witness: false, primary: false, shard: Some(shard) }).await;
        ground.driver.start_node(&ground.cx, &node, &StartAs::Member).await.unwrap();
        added.push(node.id);
    }
    added
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_is_added_and_taken_away_while_clients_write() {
    for service in services() {
        let mut ground = Ground::new(service, Topology::Sharded, 6, 3).await;
        ground.healthy().await;
        let writing = Writing::start(&ground).await;
        let added = add_nodes(&mut ground, 3, 7).await;
        // Killed in the middle of a slot, some times; then asked for again.
        for kill_after in [150, 250, 350] {
            let progress = Progress::silent();
            let adding = ground.driver.add_shard(&ground.cx, 3, &progress);
            drop(tokio::time::timeout(Duration::from_millis(kill_after), adding).await);
        }
        let begun = Instant::now();
        persevere(async || ground.driver.add_shard(&ground.cx, 3, &Progress::silent()).await).await;
        ground.apply().await.unwrap();
        writing.goes_on(200).await;
        println!("{service}: the rest of the shard's slots in {:?}", begun.elapsed());
        let seen = ground.healthy().await;
        assert_eq!(slots(&seen), [4096; 4], "each has its share");
        assert_eq!(writing.end(&ground, &format!("{service} shard added")).await, 0);

        let writing = Writing::start(&ground).await;
        drop(
            tokio::time::timeout(
                Duration::from_millis(300),
                ground.driver.remove_shard(&ground.cx, 3, &Progress::silent()),
            )
            .await,
        );
        let begun = Instant::now();
        persevere(async || ground.driver.remove_shard(&ground.cx, 3, &Progress::silent()).await).await;
        println!("{service}: the rest of the shard's slots went in {:?}", begun.elapsed());
        for id in &added {
            let node = ground.cx.spec.node(id).unwrap().clone();
            ground.driver.stop_node(&ground.cx, &node).await.unwrap();
        }
        ground.cx.spec.nodes.retain(|n| !added.contains(&n.id));
        ground.cx.spec.shards = 3;
        ground.apply().await.unwrap();
        writing.goes_on(200).await;
        assert_eq!(writing.end(&ground, &format!("{service} shard taken away")).await, 0);
        let seen = ground.healthy().await;
        assert_eq!(slots(&seen).iter().sum::<u32>(), 16384);
        let mut member = ground.operator(1).await;
        let nodes: String = redis::cmd("CLUSTER").arg("NODES").query_async(&mut member).await.unwrap();
        assert_eq!(nodes.lines().count(), 6, "nobody remembers the nodes that left: {nodes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_joins_a_shard_copies_again_and_leaves() {
    for service in services() {
        let mut ground = Ground::new(service, Topology::Sharded, 3, 3).await;
        let seen =
            ground.seen(Duration::from_secs(20), "healthy", |s| ground.health(s) == Health::Healthy).await;
        assert!(!seen.failover.ready, "no shard has a replica");
        let node =
            ground.add_machine(&Slot { ordinal: 4, witness: false, primary: false, shard: Some(1) }).await;
        ground.driver.start_node(&ground.cx, &node, &StartAs::Member).await.unwrap();
        ground.driver.join(&ground.cx, &node, &Progress::silent()).await.unwrap();
        ground.apply().await.unwrap();
        let joined = |s: &ClusterObserved| {
            s.nodes[3].role == Some(Role::ShardReplica) && s.nodes[3].lag_bytes == Some(0)
        };
        let seen = ground.seen(Duration::from_secs(10), "it follows", joined).await;
        assert_eq!(seen.nodes[3].follows, seen.shard_primary(1).map(|p| p.node.clone()));
        let note = ground.driver.resync(&ground.cx, &node, &Progress::silent()).await.unwrap();
        assert_eq!(note, None);
        ground.seen(Duration::from_secs(10), "it follows again", joined).await;
        let led = ground.driver.leave(&ground.cx, ground.node(2), &Progress::silent()).await;
        assert!(led.is_err(), "the primary of a shard holds its slots");
        ground.driver.leave(&ground.cx, &node, &Progress::silent()).await.unwrap();
        ground.driver.stop_node(&ground.cx, &node).await.unwrap();
        ground.cx.spec.nodes.pop();
        ground.seen(Duration::from_secs(20), "healthy", |s| ground.health(s) == Health::Healthy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_of_a_sharded_cluster_are_rotated() {
    let mut ground = Ground::new(services()[0], Topology::Sharded, 6, 3).await;
    ground.healthy().await;
    let next: std::collections::BTreeMap<String, Sensitive<String>> =
        ground.cx.secrets.current.keys().map(|name| (name.clone(), secret())).collect();
    ground.cx.secrets.next = Some(next.clone());
    ground.driver.accept_next_secrets(&ground.cx).await.unwrap();
    ground.cx.secrets = clusterdeck_driver::Secrets { current: next, next: None };
    ground.apply().await.unwrap();
    ground.driver.retire_old_secrets(&ground.cx).await.unwrap();
    ground.healthy().await;
    ground.driver.probe(&ground.cx).await.unwrap();
}
