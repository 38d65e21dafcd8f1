//! Nodes join and leave, copy again, change their passwords; hand-overs are interrupted.

use crate::{
    ground::{Ground, connect, secret, services},
    load::{Load, lost},
    promoting::{hand_over, promote},
};
use clusterdeck_domain::{NodeState, Role, Slot, Topology};
use clusterdeck_driver::{DriverError, Progress, ServiceDriver as _, StartAs, UnitState};
use std::time::Duration;

fn data_node(ordinal: u16) -> Slot {
    Slot { ordinal, witness: false, primary: false, shard: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_with_all_data_and_leaves_without_a_trace() {
    for service in services() {
        let mut ground = Ground::new(service, Topology::PrimaryReplica, 2, 0).await;
        ground.healthy().await;
        let load = Load::start(&ground, 2).await;
        let added = ground.add_machine(&data_node(4)).await;
        let start_as = StartAs::ReplicaOf(ground.node(1).id.clone());
        ground.driver.start_node(&ground.cx, &added, &start_as).await.unwrap();
        ground.driver.join(&ground.cx, &added, &Progress::silent()).await.unwrap();
        ground.driver.arm_failover(&ground.cx, None).await.unwrap();
        ground.apply().await.unwrap();
        let written = load.stop().await;
        ground.healthy().await;
        assert_eq!(lost(&ground, 4, &written).await, 0, "the new node has everything");
        let mut operator = ground.people(ground.machine(1).as_ref(), 6379).await;
        let wanted: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("min-replicas-to-write")
            .query_async(&mut operator)
            .await
            .unwrap();
        assert_eq!(
            wanted[1], "1",
            "with three data nodes a primary that sees no replica stops taking writes"
        );

        let refused = ground.driver.leave(&ground.cx, ground.node(1), &Progress::silent()).await;
        assert!(
            matches!(refused, Err(DriverError::Rejected { .. })),
            "a primary is promoted away first: {refused:?}"
        );
        for _twice in 0..2 {
            ground.driver.leave(&ground.cx, &added, &Progress::silent()).await.unwrap();
            ground.driver.stop_node(&ground.cx, &added).await.unwrap();
        }
        ground.cx.spec.nodes.retain(|n| n.id != added.id);
        ground.driver.arm_failover(&ground.cx, None).await.unwrap();
        ground.apply().await.unwrap();
        let seen = ground.healthy().await;
        assert_eq!(seen.nodes.len(), 3);
        ground.driver.probe(&ground.cx).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_copies_everything_again_and_diverged_data_is_kept() {
    for service in services() {
        let ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        let load = Load::start(&ground, 2).await;
        load.goes_on(500, Duration::from_secs(5)).await;
        let written = load.stop().await;
        ground.healthy().await;
        let refused = ground.driver.resync(&ground.cx, ground.node(1), &Progress::silent()).await;
        assert!(matches!(refused, Err(DriverError::Rejected { .. })), "a primary has nobody to copy from");
        let note = ground.driver.resync(&ground.cx, ground.node(2), &Progress::silent()).await.unwrap();
        assert_eq!(note, None, "it held nothing of its own");
        assert_eq!(lost(&ground, 2, &written).await, 0);
        for gone in ["redis/data.before-copy", "redis/data.old-1"] {
            assert!(!ground.machine(2).exists(gone).await.unwrap(), "{gone} went when the copy streamed");
        }
        // Now it goes its own way for a while, and writes something nobody else has.
        let mut alone = ground.operator(2).await;
        for words in ["REPLICAOF NO ONE", "CONFIG SET min-replicas-to-write 0", "SET mine 1"] {
            crate::ground::say(&mut alone, words).await.unwrap();
        }
        ground.driver.disarm_failover(&ground.cx).await.unwrap();
        crate::ground::say(&mut alone, "REPLICAOF 127.0.0.1 1").await.unwrap();
        let diverged = ground.observe().await;
        assert!(diverged.nodes[1].diverged, "{:?}", diverged.nodes[1]);
        // Cut off as soon as its data is out of the way: the next attempt does not take a part of a copy for its data.
        let put_away = async {
            while !ground.machine(2).exists("redis/data.before-copy/why").await.unwrap() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let silent = Progress::silent();
        tokio::select! {
            done = ground.driver.resync(&ground.cx, ground.node(2), &silent) => panic!("not cut off: {done:?}"),
            () = put_away => {}
        }
        ground.machine(2).create_dir("redis/data/appendonlydir").await.unwrap();
        let note = ground.driver.resync(&ground.cx, ground.node(2), &Progress::silent()).await.unwrap();
        assert!(note.is_some_and(|n| n.contains("data.old-1")), "where its own data is kept is told");
        assert!(!ground.machine(2).exists("redis/data.old-2").await.unwrap(), "and only once");
        assert!(ground.machine(2).exists("redis/data.old-1/appendonlydir").await.unwrap());
        ground.driver.arm_failover(&ground.cx, None).await.unwrap();
        ground.healthy().await;
        let mut reader = ground.people(ground.machine(2).as_ref(), 6379).await;
        let mine: Option<String> = redis::cmd("GET").arg("mine").query_async(&mut reader).await.unwrap();
        assert_eq!(mine, None, "the copy is the primary's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_rotated_under_load_without_an_error_and_the_old_ones_end() {
    for service in services() {
        let mut ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.healthy().await;
        let load = Load::start(&ground, 2).await;
        let gateway = ground.cx.gateway().unwrap().clone();
        let old = ground.cx.secrets.current.clone();
        let next: std::collections::BTreeMap<_, _> =
            old.keys().map(|name| (name.clone(), secret())).collect();
        ground.cx.secrets.next = Some(next.clone());
        for _twice in 0..2 {
            ground.driver.accept_next_secrets(&ground.cx).await.unwrap();
        }
        for password in [&old["people"], &next["people"]] {
            connect(gateway.as_ref(), 6379, password.reveal()).await.expect("both are accepted");
        }
        ground.cx.secrets = clusterdeck_driver::Secrets { current: next.clone(), next: None };
        ground.apply().await.unwrap();
        ground.driver.arm_failover(&ground.cx, None).await.unwrap();
        for _twice in 0..2 {
            ground.driver.retire_old_secrets(&ground.cx).await.unwrap();
        }
        load.goes_on(200, Duration::from_secs(5)).await;
        let written = load.stop().await;
        assert_eq!(written.errors, 0, "nobody was disconnected or refused: {:?}", written.samples);
        assert!(
            connect(gateway.as_ref(), 6379, old["people"].reveal()).await.is_err(),
            "the old one has ended"
        );
        ground.healthy().await;
        ground.driver.probe(&ground.cx).await.unwrap();
        // No file holds an old one, and those that hold one are closed to others.
        for node in &ground.cx.spec.nodes {
            let machine = ground.cx.machine(node).unwrap();
            for file in
                ["redis/redis.conf", "redis/users.acl", "sentinel/sentinel.conf", "sentinel/seed.conf"]
            {
                let text = String::from_utf8(machine.read(file).await.unwrap()).unwrap();
                for (name, password) in &old {
                    assert!(
                        !text.contains(password.reveal().as_str()),
                        "{file} of {} holds the old {name}",
                        node.name
                    );
                }
                for (name, password) in next.iter().filter(|_| file.ends_with("users.acl")) {
                    assert!(!text.contains(password.reveal().as_str()), "{file} holds {name} in clear");
                }
            }
        }
        // Links and votes use the new ones: a failover and a promotion still work.
        promote(&ground, 3).await.unwrap();
        ground.signal(3, "redis", rustix::process::Signal::KILL).await;
        let third = ground.node(3).id.clone();
        let taken_over =
            |s: &clusterdeck_domain::ClusterObserved| s.primary().is_some_and(|p| p.node != third);
        ground.seen(Duration::from_secs(15), "the Sentinels replace a dead primary", taken_over).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_killed_at_any_moment_leaves_one_primary_and_can_be_asked_for_again() {
    for service in services() {
        let ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.healthy().await;
        let load = Load::start(&ground, 2).await;
        let mut from = 1;
        for round in 0..12_u64 {
            let to = from % 3 + 1;
            ground.driver.disarm_failover(&ground.cx).await.unwrap();
            // Dropping the call is what a kill does to it: nothing of ours runs any more.
            let died =
                tokio::time::timeout(Duration::from_micros(500 + round * 900), hand_over(&ground, to)).await;
            let seen = ground.observe().await;
            let primaries = seen.nodes.iter().filter(|n| n.role == Some(Role::Primary)).count();
            assert!(primaries <= 1, "never two: {seen:#?}");
            println!("{service} killed in round {round}: {}, primaries {primaries}", died.is_err());
            hand_over(&ground, to).await.unwrap();
            ground.driver.arm_failover(&ground.cx, None).await.unwrap();
            let seen = ground.healthy().await;
            assert_eq!(ground.primary_of(&seen).ordinal, to);
            from = to;
        }
        load.goes_on(100, Duration::from_secs(5)).await;
        let written = load.stop().await;
        println!("{service}: {} acknowledged, {} errors", written.acknowledged.len(), written.errors);
        assert_eq!(lost(&ground, from, &written).await, 0, "acknowledged writes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_to_a_replica_that_hangs_fails_and_the_primary_goes_on() {
    for service in services() {
        let ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.healthy().await;
        let load = Load::start(&ground, 2).await;
        ground.driver.disarm_failover(&ground.cx).await.unwrap();
        ground.signal(2, "redis", rustix::process::Signal::STOP).await;
        let failed = hand_over(&ground, 2).await;
        assert!(failed.is_err(), "{failed:?}");
        load.goes_on(100, Duration::from_secs(5)).await;
        ground.signal(2, "redis", rustix::process::Signal::CONT).await;
        ground.driver.arm_failover(&ground.cx, None).await.unwrap();
        let seen = ground.healthy().await;
        assert_eq!(ground.primary_of(&seen).ordinal, 1);
        let written = load.stop().await;
        assert_eq!(lost(&ground, 1, &written).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_is_shown_as_such_is_no_candidate_and_comes_back() {
    for service in services() {
        let mut ground = Ground::new(service, Topology::PrimaryReplica, 3, 0).await;
        ground.healthy().await;
        ground.driver.set_candidate(&ground.cx, ground.node(2), false).await.unwrap();
        let priority = async |ground: &Ground| {
            let mut operator = ground.operator(2).await;
            let info: String =
                redis::cmd("INFO").arg("replication").query_async(&mut operator).await.unwrap();
            info.lines().find_map(|l| l.strip_prefix("slave_priority:")).unwrap().trim().to_owned()
        };
        assert_eq!(priority(&ground).await, "0");
        let set_drained = |ground: &mut Ground, drained| {
            ground.cx.spec.nodes.iter_mut().find(|n| n.ordinal == 2).unwrap().drained = drained;
        };
        set_drained(&mut ground, true);
        ground.driver.arm_failover(&ground.cx, None).await.unwrap();
        ground.apply().await.unwrap();
        ground.driver.stop_node(&ground.cx, ground.node(2)).await.unwrap();
        let seen = ground.observe().await;
        assert_eq!(seen.nodes[1].state, NodeState::Drained);
        assert!(seen.failover.ready, "the third can take over: {}", seen.failover.reason);
        assert_eq!(ground.machine(2).state("redis").await.unwrap(), UnitState::Stopped);
        // Back: it starts, catches up, and is a candidate again.
        let start_as = StartAs::ReplicaOf(ground.node(1).id.clone());
        ground.driver.start_node(&ground.cx, ground.node(2), &start_as).await.unwrap();
        ground.driver.join(&ground.cx, ground.node(2), &Progress::silent()).await.unwrap();
        set_drained(&mut ground, false);
        ground.driver.arm_failover(&ground.cx, None).await.unwrap();
        ground.apply().await.unwrap();
        ground.driver.set_candidate(&ground.cx, ground.node(2), true).await.unwrap();
        assert_eq!(priority(&ground).await, "100");
        ground.healthy().await;
    }
}
