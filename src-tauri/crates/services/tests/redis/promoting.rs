//! Planned promotions under load: nothing that was acknowledged is lost, and writes stop for a moment only.

use crate::{
    ground::{Ground, services},
    load::{Load, lost},
};
use clusterdeck_domain::{NodeId, Topology};
use clusterdeck_driver::{ClusterContext, Gateway as _, HandOver, Result, ServiceDriver as _, Switch};
use clusterdeck_services::Haproxy;
use std::{sync::Arc, time::Duration};

/// Promotes as the engine does: the voters stand aside, the writes go over, the voters watch again.
pub(crate) async fn promote(ground: &Ground, ordinal: u16) -> Result<HandOver> {
    ground.driver.disarm_failover(&ground.cx).await?;
    let gap = hand_over(ground, ordinal).await?;
    ground.driver.arm_failover(&ground.cx, None).await?;
    Ok(gap)
}

pub(crate) async fn hand_over(ground: &Ground, ordinal: u16) -> Result<HandOver> {
    let target = ground.node(ordinal);
    let turn: Arc<(ClusterContext, NodeId)> = Arc::new((ground.cx.clone(), target.id.clone()));
    let switch = move || {
        let turn = turn.clone();
        Box::pin(async move { Haproxy::new().point_to(&turn.0, &turn.1).await }) as Switch
    };
    ground.driver.hand_over(&ground.cx, target, &switch).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promoting_under_load_loses_nothing_and_everybody_follows() {
    for service in services() {
        let ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.healthy().await;
        for (round, target) in [2, 3, 1, 2, 1].into_iter().enumerate() {
            let load = Load::start(&ground, 4).await;
            let result = promote(&ground, target).await.unwrap();
            load.goes_on(200, Duration::from_secs(5)).await;
            let written = load.stop().await;
            let seen = ground.healthy().await;
            assert_eq!(ground.primary_of(&seen).ordinal, target);
            assert!(seen.nodes.iter().all(|n| !n.diverged));
            println!(
                "{service} promotion {round}: {} acknowledged, {} errors, gap seen by clients {:?}, told {:.1} ms {:?}",
                written.acknowledged.len(),
                written.errors,
                written.gap(),
                result.write_gap_ms,
                written.samples.first(),
            );
            for ordinal in 1..=3 {
                assert_eq!(
                    lost(&ground, ordinal, &written).await,
                    0,
                    "acknowledged writes on node {ordinal}"
                );
            }
            // Generous, for a busy machine; on an idle one it is a few milliseconds.
            assert!(written.gap() < Duration::from_millis(500), "clients waited {:?}", written.gap());
            let full = copies(&ground).await;
            assert_eq!(full, 0, "replicas go on where they were and do not copy everything");
        }
    }
}

/// Whole copies that the current primary has handed out.
async fn copies(ground: &Ground) -> u64 {
    let seen = ground.observe().await;
    let primary = ground.primary_of(&seen);
    let mut connection = ground.people(ground.cx.machine(primary).unwrap().as_ref(), 6379).await;
    let info: String = redis::cmd("INFO").arg("stats").query_async(&mut connection).await.unwrap();
    let full =
        |name: &str| info.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap();
    // The first primary gave each replica its first copy when the cluster was made.
    if primary.ordinal == 1 { full("sync_full:").saturating_sub(2) } else { full("sync_full:") }
}
