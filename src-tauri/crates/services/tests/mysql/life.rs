//! A cluster from its making to its end.

use crate::{ground::Ground, load::Load};
use clusterdeck_domain::Topology;
use clusterdeck_driver::ServiceDriver as _;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_and_hand_over_under_writes_without_losing_any() {
    let begun = Instant::now();
    let ground = Ground::new(Topology::PrimaryReplica, 3).await;
    ground.driver.probe(&ground.cx).await.unwrap();
    let seen = ground.healthy().await;
    println!("three nodes: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(ground.primary(&seen).ordinal, 1, "the first one leads");
    let behind: Vec<_> = seen.nodes.iter().map(|n| n.lag_ms).collect();
    assert_eq!(behind, [None, Some(0), Some(0)], "the replicas have everything");
    crate::group::open_transactions_are_listed(&ground, "waits for its client").await;
    assert!(!seen.failover.ready && seen.failover.reason.contains("by hand"), "{}", seen.failover.reason);
    for target in [2, 1, 3] {
        let table = ["", "load_1", "load_2", "load_3"][usize::from(target)];
        let load = Load::begin(&ground, table).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let gap = ground.promote(target).await.unwrap();
        let tally = load.end().await;
        let seen = ground.healthy().await;
        assert_eq!(ground.primary(&seen).ordinal, target, "the one that was asked for");
        let lost = tally.lost(&ground, target, table).await;
        println!(
            "promoted {target}: {gap:.1} ms as we measured, {:.1} ms as a client did; {} acknowledged, {} failed, {lost} lost",
            tally.gap.as_secs_f64() * 1000.0,
            tally.acknowledged.len(),
            tally.failed,
        );
        assert_eq!(lost, 0, "nothing acknowledged is lost");
    }
}
