//! A cluster from its making to its end.

use crate::ground::Ground;
use clusterdeck_domain::{NodeKind, Topology};
use clusterdeck_driver::{Gateway as _, Progress, ServiceDriver as _, StartAs, Switch};

pub(crate) async fn promote(ground: &Ground, ordinal: u16) -> f64 {
    let (cx, target) = (ground.cx.clone(), ground.node(ordinal).id.clone());
    ground.driver.disarm_failover(&ground.cx).await.unwrap();
    let switch = move || {
        let (cx, target) = (cx.clone(), target.clone());
        Box::pin(async move { clusterdeck_services::Haproxy::new().point_to(&cx, &target).await }) as Switch
    };
    let done = ground.driver.hand_over(&ground.cx, ground.node(ordinal), &switch).await.unwrap();
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    done.write_gap_ms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_hand_over_grow_copy_again_and_change_their_passwords() {
    life(Ground::new(Topology::PrimaryReplica, 3).await).await;
}

/// PostgreSQL 17 by Patroni 4, where everything else is as on this computer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_do_the_same_in_containers_of_an_image_of_ones_own() {
    let Some(ground) = Ground::in_containers(Topology::PrimaryReplica, 3).await else { return };
    life(ground).await;
}

async fn life(mut ground: Ground) {
    ground.driver.probe(&ground.cx).await.unwrap();
    let seen = ground.healthy().await;
    assert_eq!(ground.primary(&seen).ordinal, 1, "the first one leads");
    assert!(
        seen.nodes.iter().all(|n| n.metrics.memory_bytes.is_some() && n.offset_bytes.is_some()),
        "{seen:#?}"
    );
    let people = ground.people(0).await.unwrap();
    people
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)")
        .await
        .unwrap();

    ground.driver.restart_in_place(&ground.cx, ground.node(1)).await.unwrap();
    let seen = ground.healthy().await;
    assert_eq!(ground.primary(&seen).ordinal, 1, "nobody took over while it was restarted");

    let gap = promote(&ground, 2).await;
    println!("handed over: nobody took writes for {gap:.0} ms");
    assert!(gap > 0.0, "it was measured");
    let seen = ground.healthy().await;
    assert_eq!(ground.primary(&seen).ordinal, 2, "the one that was asked for");
    let count = |client: tokio_postgres::Client| async move {
        client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(count(ground.people(0).await.unwrap()).await, 1000, "through the endpoint, on the new one");
    let reads = ground.readers().await.unwrap();
    let follows = reads.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap();
    assert!(follows.get::<_, bool>(0), "a replica answers at the endpoint for reads");
    assert_eq!(count(reads).await, 1000, "with what was written");

    let four = ground.add_machine(4, NodeKind::Data).await;
    let leader = ground.node(2).id.clone();
    ground.driver.start_node(&ground.cx, &four, &StartAs::ReplicaOf(leader)).await.unwrap();
    ground.driver.join(&ground.cx, &four, &Progress::silent()).await.unwrap();
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    ground.apply().await;
    ground.healthy().await;
    assert_eq!(count(ground.people(4).await.unwrap()).await, 1000, "the new node has everything");

    ground.driver.resync(&ground.cx, ground.node(3), &Progress::silent()).await.unwrap();
    ground.healthy().await;
    assert_eq!(count(ground.people(3).await.unwrap()).await, 1000, "copied again");

    ground.driver.leave(&ground.cx, &four, &Progress::silent()).await.unwrap();
    ground.cx.spec.nodes.retain(|n| n.id != four.id);
    no_slot_is_left(&ground, "demo_4").await;
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    ground.apply().await;

    let next = ground.driver.secret_names().iter().map(|name| {
        let kept = ground.driver.make_secret(name).map(|_| ground.cx.secrets.get(name).unwrap().clone());
        let fresh = || clusterdeck_domain::Sensitive::new(uuid::Uuid::new_v4().simple().to_string());
        ((*name).to_owned(), kept.unwrap_or_else(fresh))
    });
    let next: std::collections::BTreeMap<_, _> = next.collect();
    ground.cx.secrets.next = Some(next.clone());
    ground.driver.accept_next_secrets(&ground.cx).await.unwrap();
    ground.cx.secrets = clusterdeck_driver::Secrets { current: next, next: None };
    ground.healthy().await;
    ground.driver.probe(&ground.cx).await.unwrap();
    let gap = promote(&ground, 1).await;
    println!("handed back with new passwords: {gap:.0} ms");
    ground.healthy().await;
}

async fn no_slot_is_left(ground: &Ground, slot: &str) {
    for node in ground.cx.spec.data_nodes() {
        let sql = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1";
        let kept = ground.people(node.ordinal).await.unwrap().query_one(sql, &[&slot]).await.unwrap();
        assert_eq!(kept.get::<_, i64>(0), 0, "{} keeps no log for a node that has left", node.name);
    }
}

/// Patroni 4 keeps the slot of a member for half an hour, on each node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_slot_is_left_of_a_container_that_left() {
    let Some(mut ground) = Ground::in_containers(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    let three = ground.node(3).clone();
    ground.driver.leave(&ground.cx, &three, &Progress::silent()).await.unwrap();
    ground.cx.spec.nodes.retain(|n| n.id != three.id);
    no_slot_is_left(&ground, "demo_3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_and_a_pair_with_a_witness() {
    let single = Ground::new(Topology::Single, 1).await;
    single.driver.probe(&single.cx).await.unwrap();
    let seen = single.healthy().await;
    assert!(!seen.failover.ready, "nobody can take over: {}", seen.failover.reason);
    drop(single);
    let pair = Ground::new(Topology::PrimaryReplica, 2).await;
    let seen = pair.healthy().await;
    assert_eq!(seen.votes.map(|v| (v.present, v.total)), Some((3, 3)), "the witness votes");
}
