//! Servers die and hang. The Sentinels replace them, the endpoint follows, nobody ends up as a second primary.

use crate::{
    ground::{Ground, services},
    load::{Load, lost},
};
use clusterdeck_domain::{Health, NodeState, Role, Topology};
use clusterdeck_driver::{DriverError, ServiceDriver as _, StartAs};
use rustix::process::Signal;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    for service in services() {
        let ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.healthy().await;
        let load = Load::start(&ground, 2).await;
        ground.signal(1, "redis", Signal::KILL).await;
        // Nobody has decided yet: starting it now would make a second primary soon.
        let early = ground.driver.restart_as(&ground.cx, ground.node(1)).await;
        assert!(matches!(early, Err(DriverError::Transient { .. })), "{early:?}");
        let limit = Duration::from_secs(15);
        let crashed = ground.seen(limit, "crashed", |s| s.nodes[0].state == NodeState::Crashed).await;
        assert!(!crashed.failover.ready, "{}", crashed.failover.reason);
        let seen = ground
            .seen(limit, "a new primary", |s| s.primary().is_some_and(|p| p.node != ground.node(1).id))
            .await;
        let new = ground.primary_of(&seen).clone();
        load.goes_on(100, Duration::from_secs(10)).await;
        let written = load.stop().await;
        println!("{service} kill -9: gap {:?}, {} errors", written.gap(), written.errors);
        let written_by_server = ground.machine(new.ordinal).path("redis/redis.conf");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&written_by_server.metadata().unwrap().permissions());
        println!("{service}: mode of a configuration that the server wrote: {:o}", mode & 0o777);
        let start_as = ground.driver.restart_as(&ground.cx, ground.node(1)).await.unwrap();
        assert_eq!(start_as, StartAs::ReplicaOf(new.id.clone()));
        ground.driver.start_node(&ground.cx, ground.node(1), &start_as).await.unwrap();
        let seen = ground.healthy().await;
        assert_eq!(ground.primary_of(&seen).id, new.id, "it did not take the lead again");
        assert_eq!(seen.nodes[0].role, Some(Role::Replica));
        // The replication is asynchronous: what was acknowledged in the last moments may be gone, and no more than that.
        let lost = lost(&ground, new.ordinal, &written).await;
        assert!(lost < 100, "{lost} of {} acknowledged writes", written.acknowledged.len());
        assert!(ground.machine(1).exists("redis/data.old-1").await.unwrap(), "its own data is kept aside");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_primary_is_shown_as_unresponsive_replaced_and_steps_back_when_it_wakes() {
    for service in services() {
        // Two data nodes and a witness: nothing makes the old primary refuse writes by itself.
        let ground = Ground::new(service, Topology::PrimaryReplica, 2, 0).await;
        ground.healthy().await;
        let load = Load::start(&ground, 2).await;
        ground.signal(1, "redis", Signal::STOP).await;
        let limit = Duration::from_secs(15);
        let seen = ground.seen(limit, "unresponsive", |s| s.nodes[0].state == NodeState::Unresponsive).await;
        assert_eq!(
            (seen.nodes[0].health, seen.nodes[0].role),
            (Health::Down, None),
            "hung is not dead, and not well"
        );
        let second = &ground.node(2).id;
        ground.seen(limit, "a new primary", |s| s.primary().is_some_and(|p| p.node == *second)).await;
        load.goes_on(100, Duration::from_secs(10)).await;
        ground.signal(1, "redis", Signal::CONT).await;
        // It says it is a primary until somebody tells it otherwise. The endpoint keeps to the new one meanwhile.
        let two = |s: &clusterdeck_domain::ClusterObserved| {
            s.nodes.iter().filter(|n| n.role == Some(Role::Primary)).count() == 2
        };
        ground.seen(limit, "two say they are primary", two).await;
        let begun = std::time::Instant::now();
        let truth = loop {
            match ground.driver.step_back(&ground.cx).await {
                Ok(truth) => break truth,
                Err(e) => assert!(e.is_transient() && begun.elapsed() < limit, "{e}"),
            }
        };
        assert_eq!(truth.as_ref(), Some(second));
        println!("{service}: stepped back {:?} after it was seen", begun.elapsed());
        let seen =
            ground.seen(limit, "the old one follows", |s| s.nodes[0].role == Some(Role::Replica)).await;
        assert_eq!(ground.primary_of(&seen).id, *second);
        let written = load.stop().await;
        assert!(ground.machine(1).exists("redis/data.old-1").await.unwrap(), "what it wrote is kept aside");
        println!("{service} SIGSTOP: gap {:?}, {} errors", written.gap(), written.errors);
        ground.healthy().await;
        let lost = lost(&ground, 2, &written).await;
        assert!(lost < 100, "{lost} of {} acknowledged writes", written.acknowledged.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_everything_went_down_the_last_primary_leads_again() {
    for service in services() {
        let ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.healthy().await;
        crate::promoting::promote(&ground, 2).await.unwrap();
        for node in &ground.cx.spec.nodes {
            ground.signal(node.ordinal, "sentinel", Signal::KILL).await;
            ground.signal(node.ordinal, "redis", Signal::KILL).await;
        }
        // A replica first, as chance has it: the Sentinels' files know who led.
        let one = ground.driver.restart_as(&ground.cx, ground.node(1)).await.unwrap();
        assert_eq!(one, StartAs::ReplicaOf(ground.node(2).id.clone()));
        ground.driver.start_node(&ground.cx, ground.node(1), &one).await.unwrap();
        // With a replica alive and failover on, the Sentinels decide. They do not run, so nobody would: the voters first.
        let two = ground.driver.restart_as(&ground.cx, ground.node(2)).await;
        assert!(two.is_err() || two.as_ref().unwrap() == &StartAs::Primary, "{two:?}");
        ground.driver.stop_node(&ground.cx, ground.node(1)).await.unwrap();
        let two = ground.driver.restart_as(&ground.cx, ground.node(2)).await.unwrap();
        assert_eq!(two, StartAs::Primary, "it led last, and nobody else lives");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_automatic_failover_off_nobody_is_promoted_and_the_primary_comes_back_as_one() {
    for service in services() {
        let mut ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.cx.spec.auto_failover = false;
        ground.driver.arm_failover(&ground.cx, None).await.unwrap();
        let limit = Duration::from_secs(10);
        let all_tell = |s: &clusterdeck_domain::ClusterObserved| s.votes.is_some_and(|v| v.present == 3);
        let seen = ground.seen(limit, "the Sentinels still tell who is primary", all_tell).await;
        assert!(
            !seen.failover.ready && seen.failover.reason.contains("switched off"),
            "{}",
            seen.failover.reason
        );
        ground.signal(1, "redis", Signal::KILL).await;
        // Longer than a failover takes (2.6 s).
        tokio::time::sleep(Duration::from_secs(5)).await;
        let seen = ground.observe().await;
        assert!(seen.nodes.iter().all(|n| n.role != Some(Role::Primary)), "nobody took over");
        let start_as = ground.driver.restart_as(&ground.cx, ground.node(1)).await.unwrap();
        assert_eq!(start_as, StartAs::Primary);
        ground.driver.start_node(&ground.cx, ground.node(1), &start_as).await.unwrap();
        ground.healthy().await;
        ground.driver.probe(&ground.cx).await.unwrap();
    }
}
