//! Two nodes never take writes, whoever dies or hangs.

use crate::ground::{Ground, PATIENCE};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ServiceDriver as _, StartAs};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Watches the nodes themselves, not what anybody says of them, until another one takes writes; how long that took. Two
/// looks in a row that find two count: within one look the nodes are not asked in the same instant.
async fn replaced(ground: &Ground, old: u16) -> Duration {
    let begun = Instant::now();
    let mut before = 0;
    loop {
        let (one, two, three) =
            tokio::join!(ground.takes_writes(1), ground.takes_writes(2), ground.takes_writes(3));
        let writable: Vec<u16> =
            [(1, one), (2, two), (3, three)].into_iter().filter(|(_, w)| *w).map(|(n, _)| n).collect();
        assert!(writable.len().min(before) <= 1, "two nodes take writes: {writable:?}");
        before = writable.len();
        if matches!(writable.as_slice(), [one] if *one != old) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "nobody took over; writable: {writable:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts again what crashed, as the watcher does.
async fn repair(ground: &Ground, node: &NodeSpec) {
    let begun = Instant::now();
    let machine = ground.cx.machine(node).unwrap();
    while !machine.restart_due("patroni").await.unwrap() {
        assert!(begun.elapsed() < PATIENCE, "it must be due some day");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ground.driver.start_node(&ground.cx, node, &StartAs::Member).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patroni_that_hangs_or_dies_never_leaves_two_nodes_that_take_writes() {
    let ground = Ground::new(Topology::PrimaryReplica, 3).await;
    let seen = ground.healthy().await;
    let first = ground.primary(&seen).clone();

    // Killed: it is started again at once and finds its server running; nobody else is elected.
    ground.signal_patroni(first.ordinal, Signal::KILL);
    tokio::time::sleep(Duration::from_secs(8)).await;
    let seen = ground.healthy().await;
    assert_eq!(ground.primary(&seen).id, first.id, "nobody had to take over");

    // Hung: the guard ends its server before another one is elected.
    ground.signal_patroni(first.ordinal, Signal::STOP);
    let took = replaced(&ground, first.ordinal).await;
    println!("Patroni hung: another node took writes after {took:?}");
    repair(&ground, &first).await;
    let seen = ground.healthy().await;
    let second = ground.primary(&seen).clone();
    assert_ne!(second.id, first.id);

    // Node dead: the guard and all it ran.
    let unit = ground.machine(second.ordinal).state("patroni").await.unwrap();
    assert!(unit.is_running());
    ground.signal_all(second.ordinal, Signal::KILL);
    let took = replaced(&ground, second.ordinal).await;
    println!("everything on a node killed: another one took writes after {took:?}");
    ground.machine(second.ordinal).restart("etcd").await.ok();
    repair(&ground, &second).await;
    ground.healthy().await;
}
