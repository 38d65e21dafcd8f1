//! The life of a sharded cluster while a client that knows Redis Cluster writes.

use crate::home::{Home, signal};
use clusterdeck_domain::{Change, PlanId, Role, ServiceKind, Topology};
use clusterdeck_engine::ClusterReport;
use clusterdeck_tests::client::{Writer, connect};
use std::time::Duration;

fn demo() -> String {
    "demo".to_owned()
}

/// Six nodes, three shards, and somebody who writes to all of them.
async fn six_of_three(home: &Home, service: ServiceKind) -> Writer {
    home.create(service, Topology::Sharded, 6, 3).await;
    home.until_healthy().await;
    let writer = Writer::start(home.url().await, true);
    tokio::time::sleep(Duration::from_millis(500)).await;
    writer
}

/// Ends the writer; everything it was told is there.
async fn nothing_is_lost(home: &Home, writer: Writer, what: &str) {
    let (written, url) = (writer.stop(), home.url().await);
    println!("{what}: the client waited {:?}, {} errors", written.longest_gap, written.errors);
    let acknowledged = &written.acknowledged;
    assert!(acknowledged.len() > 200, "the client must have written, {} writes", acknowledged.len());
    let lost = tokio::task::block_in_place(|| clusterdeck_tests::client::missing(&url, true, acknowledged));
    assert_eq!(lost, Vec::<u64>::new(), "{what} loses nothing");
}

/// The name of a node that has this role.
fn any(cluster: &ClusterReport, role: Role) -> Option<String> {
    let seen = cluster.observed.as_ref()?.nodes.iter().find(|n| n.role == Some(role))?;
    cluster.spec.node(&seen.node).map(|n| n.name.clone())
}

async fn a_replica(home: &Home) -> String {
    home.found("a replica", |c| any(c, Role::ShardReplica)).await
}

async fn is_deleted(home: &Home) {
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

async fn shards_come_and_go(home: &Home, service: ServiceKind) {
    let writer = six_of_three(home, service).await;
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
    home.done(Change::PromoteNode { node: a_replica(home).await }).await;
    home.done(Change::RemoveShard { cluster: demo(), shard: 3 }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    nothing_is_lost(home, writer, "moving slots").await;
    is_deleted(home).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sharded_cluster_grows_and_shrinks_while_a_client_writes() {
    shards_come_and_go(&Home::open().await, ServiceKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sharded_valkey_grows_and_shrinks_while_a_client_writes() {
    shards_come_and_go(&Home::open().await, ServiceKind::Valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_sharded_cluster_leave_come_back_and_die_while_a_client_writes() {
    let home = Home::open().await;
    let writer = six_of_three(&home, ServiceKind::Redis).await;
    let replica = a_replica(&home).await;
    home.done(Change::DrainNode { node: replica.clone() }).await;
    home.done(Change::UndrainNode { node: replica }).await;
    home.until_healthy().await;
    home.done(Change::RebootNode { node: a_replica(&home).await }).await;
    let primary = home.found("a primary", |c| any(c, Role::ShardPrimary)).await;
    home.done(Change::RebootNode { node: primary }).await;
    home.done(Change::ResyncCluster { cluster: demo() }).await;
    home.until_healthy().await;
    let own = home.cluster().await.spec.plan;
    for plan in [PlanId::parse("LEAN-1C-1G").unwrap(), own] {
        home.done(Change::ResizeCluster { cluster: demo(), plan: plan.clone() }).await;
        home.until_healthy().await;
        assert!(home.cluster().await.spec.data_nodes().all(|n| n.plan == plan), "every node has {plan}");
    }
    nothing_is_lost(&home, writer, "nodes that leave and come back").await;

    let (writer, victim) = (Writer::start(home.url().await, true), "demo-1");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let leads = |c: &ClusterReport| {
        let id = &c.spec.find_node(victim).unwrap().id;
        c.observed.as_ref().and_then(|o| o.node(id)).and_then(|n| n.role) == Some(Role::ShardPrimary)
    };
    if !leads(&home.cluster().await) {
        home.done(Change::PromoteNode { node: victim.to_owned() }).await;
        home.until_healthy().await;
    }
    signal(home.pid(victim, "redis").await, "-9");
    home.until("its replica must take over", |c| !leads(c)).await;
    home.until_healthy().await;
    home.failed_over().await;
    // Replication between nodes of Redis Cluster is asynchronous, so only what came after is certain.
    let written = writer.stop();
    println!("a killed primary of a shard: the client waited {:?}", written.longest_gap);

    let old = home.url().await;
    home.done(Change::RotateCredentials { cluster: demo() }).await;
    assert_ne!(home.url().await, old, "a rotation changes the password");
    assert!(tokio::task::block_in_place(|| connect(&old, true)).is_err(), "the old password is refused");
    let on = home.cluster().await.spec.auto_failover;
    for enabled in [!on, on] {
        home.done(Change::SetAutoFailover { cluster: demo(), enabled }).await;
    }
    is_deleted(&home).await;
}
