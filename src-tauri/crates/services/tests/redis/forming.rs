//! Clusters come into being and are healthy.

use crate::ground::{Ground, services};
use clusterdeck_domain::{Role, Topology};
use clusterdeck_driver::ServiceDriver as _;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_formed_and_takes_writes_through_its_endpoint() {
    for service in services() {
        let ground = Ground::new(service, Topology::Single, 1, 0).await;
        let seen = ground.healthy().await;
        assert_eq!(ground.primary_of(&seen).ordinal, 1);
        assert!(!seen.failover.ready, "nobody can take over");
        ground.driver.probe(&ground.cx).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_are_formed_with_three_votes_and_can_fail_over() {
    for service in services() {
        let ground = Ground::prepared(service, Topology::PrimaryReplica, 3, 0).await;
        let begun = Instant::now();
        ground.create().await;
        println!("{service}: three nodes in {:?}", begun.elapsed());
        let seen = ground.healthy().await;
        println!("{service}: healthy after {:?}: {}", begun.elapsed(), seen.failover.reason);
        assert_eq!(ground.primary_of(&seen).ordinal, 1);
        let votes = seen.votes.unwrap();
        assert_eq!((votes.present, votes.needed, votes.total), (3, 2, 3));
        assert_eq!(
            seen.nodes.iter().filter(|n| n.role == Some(Role::Replica) && n.lag_bytes == Some(0)).count(),
            2
        );
        ground.driver.probe(&ground.cx).await.unwrap();
        // Doing it all again changes nothing.
        ground.create().await;
        let again = ground.healthy().await;
        assert_eq!(ground.primary_of(&again).ordinal, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_data_nodes_have_a_witness_that_votes() {
    for service in services() {
        let ground = Ground::new(service, Topology::PrimaryReplica, 2, 0).await;
        let seen = ground.healthy().await;
        assert_eq!(seen.votes.unwrap().present, 3, "the witness votes");
        assert_eq!(seen.nodes[2].role, Some(Role::Witness));
        assert_eq!(seen.nodes[2].data_bytes, None, "it holds nothing");
    }
}
