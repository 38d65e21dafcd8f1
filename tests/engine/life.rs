//! The whole life of a primary/replica cluster while a client writes.

use crate::{
    home::{Home, signal},
    writer::{Writer, missing},
};
use clusterdeck_domain::{Change, ClusterOptions, NodeState, Role, ServiceKind, Topology};
use std::time::Duration;

fn demo() -> String {
    "demo".to_owned()
}

pub(crate) async fn whole_life(home: &Home, service: ServiceKind) {
    let created = home.create(service, Topology::PrimaryReplica, 3, 0).await;
    assert_eq!(created.outcome.nodes.len(), 3);
    home.until_healthy().await;

    let writer = Writer::start(home.url().await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let promoted = home.done(Change::PromoteNode { node: "demo-2".to_owned() }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let written = writer.stop().await;
    assert!(written.acknowledged.len() > 100, "the client must have written: {written:?}");
    assert_eq!(missing(&home.url().await, &written).await, Vec::<u64>::new(), "a promotion loses nothing");
    assert_eq!(home.primary().await, "demo-2");
    let gap = promoted.outcome.write_gap_ms.expect("a promotion reports its gap");
    println!("{service}: promotion: measured gap {gap:.1} ms, client saw {:?}", written.longest_gap);
    assert!(written.longest_gap < Duration::from_millis(500), "the client waited {:?}", written.longest_gap);

    home.done(Change::AddNode { cluster: demo(), count: Some(1), plan: None }).await;
    home.until_healthy().await;
    home.done(Change::DrainNode { node: "demo-3".to_owned() }).await;
    let drained = home.cluster().await;
    let node = drained.spec.find_node("demo-3").unwrap();
    assert!(node.drained);
    assert_eq!(drained.observed.unwrap().node(&node.id).unwrap().state, NodeState::Drained);
    home.done(Change::UndrainNode { node: "demo-3".to_owned() }).await;
    home.done(Change::RebootNode { node: "demo-4".to_owned() }).await;
    home.done(Change::RebootNode { node: "demo-2".to_owned() }).await;
    assert_eq!(home.primary().await, "demo-2", "a reboot is no failover");
    home.done(Change::RemoveNode { node: "demo-3".to_owned() }).await;
    home.done(Change::ResyncCluster { cluster: demo() }).await;
    home.done(Change::SetAutoFailover { cluster: demo(), enabled: false }).await;
    assert!(!home.cluster().await.observed.unwrap().failover.ready, "off is not ready");
    home.done(Change::SetAutoFailover { cluster: demo(), enabled: true }).await;
    let options = ClusterOptions { stop_writes_without_replica: false };
    home.done(Change::SetOptions { cluster: demo(), options }).await;

    let (old_url, writer) = (home.url().await, Writer::start(home.url().await));
    home.done(Change::RotateCredentials { cluster: demo() }).await;
    let url = home.url().await;
    assert_ne!(old_url, url, "a rotation changes the password");
    assert!(crate::writer::connect(&old_url).await.is_err(), "the old password is refused");
    writer.stop().await;
    assert_eq!(missing(&url, &written).await, Vec::<u64>::new(), "nothing was lost on the way");

    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_lives_its_whole_life_without_losing_a_write() {
    whole_life(&Home::open().await, ServiceKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valkey_cluster_lives_its_whole_life_without_losing_a_write() {
    whole_life(&Home::open().await, ServiceKind::Valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_is_replaced_noticed_and_comes_back_as_a_replica() {
    dead_primary(&Home::open().await).await;
}

pub(crate) async fn dead_primary(home: &Home) {
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let writer = Writer::start(home.url().await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    signal(home.pid("demo-1", "redis").await, "-9");
    let seen = home
        .until("the dead node must be shown", |c| {
            let node = c.spec.find_node("demo-1").unwrap();
            c.observed.as_ref().unwrap().node(&node.id).unwrap().state == NodeState::Crashed
        })
        .await;
    assert!(seen < Duration::from_secs(5), "a dead node is shown within 5 s, not {seen:?}");
    home.until("somebody else must lead", |c| {
        let old = c.spec.find_node("demo-1").unwrap();
        c.observed.as_ref().unwrap().primary().is_some_and(|p| p.node != old.id)
    })
    .await;
    home.until_healthy().await;
    let written = writer.stop().await;
    println!("failover: client saw {:?}, {} errors", written.longest_gap, written.errors);
    assert!(written.longest_gap < Duration::from_secs(5), "{:?}", written.longest_gap);
    let cluster = home.cluster().await;
    let old = cluster.spec.find_node("demo-1").unwrap();
    let role = cluster.observed.unwrap().node(&old.id).unwrap().role;
    assert_eq!(role, Some(Role::Replica), "the old primary follows the new one");
    let (audit, _) = home
        .engine
        .audit(&clusterdeck_engine::repository::Page { limit: 50, ..Default::default() })
        .await
        .unwrap();
    assert!(audit.iter().any(|e| e.action == "failover-noticed"), "the failover is in the audit trail");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_get_a_witness_and_fail_over() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 2, 0).await;
    home.until_healthy().await;
    assert_eq!(home.cluster().await.spec.nodes.len(), 3, "two data nodes and a witness");
    signal(home.pid("demo-1", "redis").await, "-9");
    home.until("demo-2 must lead", |c| {
        let two = c.spec.find_node("demo-2").unwrap();
        c.observed.as_ref().unwrap().primary().is_some_and(|p| p.node == two.id)
    })
    .await;
    home.until_healthy().await;
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
