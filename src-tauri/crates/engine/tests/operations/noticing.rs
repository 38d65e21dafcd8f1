//! What the watchers notice that nobody asked for.

use crate::stories::{Story, create, set_the_stage};
use clusterdeck_domain::{Change, Health, Topology};
use clusterdeck_engine::repository::{AuditEntry, Page};
use clusterdeck_testkit::Lab;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

async fn three_nodes() -> Lab {
    let before = vec![create(Topology::PrimaryReplica, 3, 0)];
    set_the_stage(&Story { name: "noticing", before, change: create(Topology::Single, 1, 0) }).await
}

/// The newest failover in the audit trail, once there are so many.
async fn noticed(lab: &Lab, count: usize) -> AuditEntry {
    let looked = async {
        loop {
            let page = Page { limit: 50, ..Page::default() };
            let (lines, _) = lab.engine.audit(&page).await.unwrap();
            let mut found = lines.into_iter().filter(|line| line.action == "failover-noticed");
            if found.clone().count() == count {
                return found.next().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), looked).await.expect("the failover must be noticed")
}

#[tokio::test]
async fn a_second_failover_within_the_hour_asks_for_the_cause() {
    let lab = three_nodes().await;
    lab.world.fail_over();
    let first = noticed(&lab, 1).await;
    assert!(!first.text.contains("not the first"), "once is no pattern: {}", first.text);

    let earlier = AuditEntry { id: 0, at: Timestamp::now() - SignedDuration::from_mins(10), ..first };
    let lab = three_nodes().await;
    let cluster_id = Some(lab.engine.clusters().await[0].spec.id.clone());
    lab.remember(&AuditEntry { cluster_id, ..earlier }).await;
    lab.world.fail_over();
    let second = noticed(&lab, 2).await;
    assert!(second.text.contains("the last was 10 min ago"), "it says how long ago: {}", second.text);
}

#[tokio::test]
async fn nodes_that_refuse_yesterdays_password_are_not_down() {
    let lab = three_nodes().await;
    let held = lab.world.hold_next_look();
    held.begun().await;
    // That look has loaded the old passwords, and asks with them after they have been taken away.
    lab.run(Change::RotateCredentials { cluster: "demo".to_owned() }).await.unwrap();
    held.release();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let cluster = lab.engine.cluster("demo").await.unwrap();
        let nodes = cluster.observed.unwrap().nodes;
        assert!(nodes.iter().all(|n| n.health == Health::Healthy), "nothing is down: {nodes:#?}");
    }
}
