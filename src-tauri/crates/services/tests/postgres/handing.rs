//! What comes before a hand-over.

use crate::ground::Ground;
use clusterdeck_domain::Topology;
use clusterdeck_driver::{Progress, ServiceDriver as _};
use rustix::process::Signal;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_its_time_is_waited_for_before_anybody_stands_aside() {
    let ground = Ground::new(Topology::PrimaryReplica, 2).await;
    ground.healthy().await;
    let people = ground.people(0).await.unwrap();
    people.batch_execute("CREATE TABLE t AS SELECT generate_series(1, 1000) n").await.unwrap();

    // As one that writes gigabytes: no answer for eight seconds.
    let writes = ground.servants(1, "checkpointer");
    assert_eq!(writes.len(), 1);
    Ground::signal(writes.clone(), Signal::STOP);
    let told = Arc::new(AtomicU64::new(0));
    let progress = Progress::new({
        let told = told.clone();
        move |_, measured| told.store(measured.map_or(0, |measured| measured.done), Ordering::Relaxed)
    });
    let begun = Instant::now();
    let ready = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        Ground::signal(writes, Signal::CONT);
    };
    let prepared = ground.driver.prepare_hand_over(&ground.cx, ground.node(2), &progress);
    let (prepared, ()) = tokio::join!(prepared, ready);
    prepared.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(7), "it was waited for");
    assert!(told.load(Ordering::Relaxed) >= 5, "and told, so that nobody takes it for stuck");
    let gap = crate::life::promote(&ground, 2).await;
    println!("handed over after that: nobody took writes for {gap:.0} ms");
    ground.healthy().await;
}
