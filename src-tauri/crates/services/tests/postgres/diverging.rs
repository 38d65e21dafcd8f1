//! A primary dies with writes that nobody received, another one leads, the old one comes back.

use crate::{fencing::repair, ground::Ground};
use clusterdeck_domain::{ClusterObserved, NodeSpec, Topology};
use clusterdeck_driver::{Progress, ServiceDriver as _};
use rustix::process::Signal;

/// Lets the primary take a write that goes to nobody and die; who leads then, and what is done to that one before the dead
/// one comes back.
async fn dies_with_a_write_of_its_own(
    ground: &Ground,
    value: i32,
    before_it_is_back: impl Fn(u16),
) -> NodeSpec {
    let seen = ground.healthy().await;
    let first = ground.primary(&seen).clone();
    let people = ground.people(first.ordinal).await.unwrap();
    // Those who send hang; the server waits for nobody.
    Ground::signal(ground.servants(first.ordinal, "walsender"), Signal::STOP);
    people.batch_execute(&format!("INSERT INTO t VALUES ({value})")).await.unwrap();
    ground.signal_all(first.ordinal, Signal::KILL);
    let another = |seen: &ClusterObserved| seen.primary().is_some_and(|p| p.node != first.id);
    let seen = ground.seen("another one must lead", another).await;
    before_it_is_back(ground.primary(&seen).ordinal);
    repair(ground, &first).await;
    ground.healthy().await;
    let people = ground.people(first.ordinal).await.unwrap();
    let count = people.query_one("SELECT count(*) FROM t WHERE n = $1", &[&value]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 0, "what nobody received is gone from where it was");
    first
}

fn given_up(seen: &ClusterObserved, node: &NodeSpec) -> Option<String> {
    let facts = &seen.node(&node.id).unwrap().facts;
    facts.iter().find(|f| f.id == "given-up").map(|f| f.value.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_primary_alone_had_is_told_and_never_just_removed() {
    let ground = Ground::new(Topology::PrimaryReplica, 3).await;
    ground.healthy().await;
    ground.people(0).await.unwrap().batch_execute("CREATE TABLE t (n int)").await.unwrap();

    let first = dies_with_a_write_of_its_own(&ground, 1, |_| ()).await;
    let told = given_up(&ground.healthy().await, &first).expect("it is told what was given up");
    println!("rewound: {told}");
    assert!(told.starts_with("1 transaction that the new primary lacked"), "{told}");

    // Where it cannot be rewound, all it had stays beside the fresh copy.
    let function = "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)";
    let forbid = |leads| ground.operate(leads, &format!("REVOKE EXECUTE ON FUNCTION {function} FROM rewind"));
    let second = dies_with_a_write_of_its_own(&ground, 2, forbid).await;
    let told = given_up(&ground.healthy().await, &second).expect("it is told what was given up");
    println!("copied anew: {told}");
    assert!(told.contains("kept in"), "{told}");
    let machine = ground.cx.machine(&second).unwrap();
    assert!(machine.exists("pg/data.diverged/PG_VERSION").await.unwrap(), "it is kept");

    // A resync of one that lacks nothing clears both away.
    let note = ground.driver.resync(&ground.cx, &second, &Progress::silent()).await.unwrap();
    assert_eq!(note, None, "it held nothing that its primary lacks");
    assert_eq!(given_up(&ground.healthy().await, &second), None);
    assert!(!machine.exists("pg/data.diverged").await.unwrap());
}
