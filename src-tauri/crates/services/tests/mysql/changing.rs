//! Changes to a running cluster.

use crate::{ground::Ground, load::Load};
use clusterdeck_domain::{Link, NodeKind, NodeSpec, Role, Sensitive, Topology};
use clusterdeck_driver::{Progress, Secrets, ServiceDriver as _, StartAs};
use mysql_async::prelude::Queryable as _;
use std::{collections::BTreeMap, time::Instant};

async fn fill(ground: &Ground, rows: u32) {
    let mut people = ground.people(0).await.unwrap();
    people.query_drop("CREATE TABLE t (n INT PRIMARY KEY AUTO_INCREMENT, w VARCHAR(200))").await.unwrap();
    people
        .query_drop(format!("INSERT INTO t (w) SELECT REPEAT('x', 200) FROM seq_1_to_{rows}"))
        .await
        .unwrap();
}

async fn follows_again(ground: &Ground, node: &NodeSpec, leader: u16) {
    let leader = ground.node(leader).id.clone();
    ground.driver.start_node(&ground.cx, node, &StartAs::ReplicaOf(leader)).await.unwrap();
    ground.driver.join(&ground.cx, node, &Progress::silent()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_added_drained_rebooted_copied_again_and_removed() {
    let mut ground = Ground::new(Topology::PrimaryReplica, 3).await;
    fill(&ground, 100_000).await;
    ground.healthy().await;

    let begun = Instant::now();
    let four = ground.add_machine(4, NodeKind::Data).await;
    follows_again(&ground, &four, 1).await;
    println!("added with 30 MB: {:.1} s", begun.elapsed().as_secs_f64());
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    ground.apply().await;
    let seen = ground.healthy().await;
    assert_eq!(ground.count(4, "t").await, 100_000, "the new node has everything");
    assert!(seen.nodes.iter().all(|n| n.data_bytes.is_some_and(|b| b > 20 << 20)), "{seen:#?}");

    // It can lead, and the others follow it although it began with a copy.
    ground.promote(4).await.unwrap();
    let seen = ground.healthy().await;
    assert_eq!(ground.primary(&seen).ordinal, 4);
    ground.people(0).await.unwrap().query_drop("INSERT INTO t (w) VALUES ('after')").await.unwrap();
    ground.promote(1).await.unwrap();
    ground.healthy().await;

    // Drained and put back while others write.
    let load = Load::begin(&ground, "load_1").await;
    ground.driver.stop_node(&ground.cx, ground.node(2)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let two = ground.node(2).clone();
    follows_again(&ground, &two, 1).await;
    let tally = load.end().await;
    assert_eq!(tally.failed, 0, "nobody noticed");
    ground.healthy().await;

    let begun = Instant::now();
    ground.driver.restart_in_place(&ground.cx, ground.node(1)).await.unwrap();
    let seen = ground.healthy().await;
    println!("primary rebooted where it is: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(ground.primary(&seen).ordinal, 1, "it leads again");

    let note = ground.driver.resync(&ground.cx, ground.node(3), &Progress::silent()).await.unwrap();
    assert_eq!(note, None, "it held nothing of its own");
    ground.healthy().await;
    assert_eq!(ground.count(3, "t").await, 100_001, "copied again");

    assert!(ground.driver.leave(&ground.cx, ground.node(1), &Progress::silent()).await.is_err(), "it leads");
    ground.driver.leave(&ground.cx, &four, &Progress::silent()).await.unwrap();
    ground.cx.spec.nodes.retain(|n| n.id != four.id);
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    ground.apply().await;
    ground.healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_change_while_clients_sign_in_and_write() {
    let mut ground = Ground::new(Topology::PrimaryReplica, 3).await;
    ground.healthy().await;
    let load = Load::begin(&ground, "load_1").await;
    let old = ground.cx.secrets.current.clone();
    let next: BTreeMap<_, _> = ground
        .driver
        .secret_names()
        .iter()
        .map(|name| {
            let kept = ground.driver.make_secret(name).map(|_| old[*name].clone());
            let fresh = || Sensitive::new(uuid::Uuid::new_v4().simple().to_string());
            ((*name).to_owned(), kept.unwrap_or_else(fresh))
        })
        .collect();
    ground.cx.secrets.next = Some(next.clone());
    ground.driver.accept_next_secrets(&ground.cx).await.unwrap();
    ground.healthy().await;
    // Both open, on every node.
    for password in [&old["people"], &next["people"]] {
        for ordinal in 1..=3 {
            let at = ground.machine(ordinal);
            crate::ground::connect((at.address(), at.port(3306)), password.reveal()).await.unwrap();
        }
    }
    let tally = load.end().await;
    println!(
        "while both open: {} acknowledged, {} failed, {} refused",
        tally.acknowledged.len(),
        tally.failed,
        tally.refused
    );
    assert_eq!((tally.failed, tally.refused), (0, 0), "no client noticed");
    ground.cx.secrets = Secrets { current: next.clone(), next: None };
    ground.driver.retire_old_secrets(&ground.cx).await.unwrap();
    ground.healthy().await;
    ground.driver.probe(&ground.cx).await.unwrap();
    for ordinal in 1..=3 {
        let at = ground.machine(ordinal);
        let at = (at.address(), at.port(3306));
        assert!(crate::ground::connect(at, old["people"].reveal()).await.is_err(), "the old one is gone");
    }
    // Ours come over TLS only, and nobody is left without a password.
    let rows = ground
        .operator(1, "SELECT User, Host FROM mysql.user WHERE plugin = '' OR (authentication_string = '' AND User <> 'mariadb.sys')")
        .await;
    assert!(rows.is_empty(), "{rows:?}");
    ground.promote(2).await.unwrap();
    ground.healthy().await;
    // Its link signs in anew with the new password after a restart.
    ground.kill(3).await;
    ground.repair(3).await;
    ground.healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_wrote_by_itself_is_not_promoted_and_a_resync_sets_its_data_aside() {
    let ground = Ground::new(Topology::PrimaryReplica, 2).await;
    fill(&ground, 10).await;
    ground.healthy().await;
    ground.operator(2, "CREATE DATABASE errant").await;
    let seen = ground.seen("it must be seen", |seen| seen.nodes[1].diverged).await;
    assert_eq!(seen.nodes[1].role, Some(Role::Replica));
    let refused = ground.promote(2).await.unwrap_err().to_string();
    assert!(refused.contains("lacks"), "{refused}");
    assert!(ground.takes_writes(1).await, "nothing was changed");
    // Also when it was away and comes back.
    ground.kill(2).await;
    ground.people(0).await.unwrap().query_drop("INSERT INTO t (w) VALUES ('meanwhile')").await.unwrap();
    ground.repair(2).await;
    ground.seen("it must be seen again", |seen| seen.nodes[1].diverged).await;
    let joined = ground.driver.join(&ground.cx, ground.node(2), &Progress::silent()).await;
    assert!(joined.unwrap_err().to_string().contains("lacks"), "it does not join");
    // Cut off as soon as its data is out of the way, and again later: what comes after does not take the copy for its data.
    for later in [0, 300] {
        let put_away = async {
            while !ground.machine(2).exists("mysql/data.before-copy/why").await.unwrap() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(later)).await;
        };
        let silent = Progress::silent();
        tokio::select! {
            done = ground.driver.resync(&ground.cx, ground.node(2), &silent) => panic!("not cut off: {done:?}"),
            () = put_away => {}
        }
    }
    let note = ground.driver.resync(&ground.cx, ground.node(2), &Progress::silent()).await.unwrap();
    assert!(note.is_some_and(|note| note.contains("data.old")), "its data is kept");
    assert!(ground.machine(2).exists("mysql/data.old/errant").await.unwrap(), "with what it wrote");
    let seen = ground.healthy().await;
    assert!(!seen.nodes[1].diverged);
    assert_eq!(ground.count(2, "t").await, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_is_replaced_by_hand_and_comes_back_as_a_follower() {
    let ground = Ground::new(Topology::PrimaryReplica, 3).await;
    fill(&ground, 10).await;
    ground.healthy().await;
    // Hung is not dead.
    ground.signal(1, rustix::process::Signal::STOP).await;
    let refused = ground.take_over(2).await.unwrap_err().to_string();
    assert!(refused.contains("hung is not dead"), "{refused}");
    ground.signal(1, rustix::process::Signal::CONT).await;
    ground.healthy().await;

    let load = Load::begin(&ground, "load_1").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    ground.kill(1).await;
    let seen = ground.seen("nobody leads", |seen| seen.primary().is_none()).await;
    assert!(seen.nodes[1].lag_bytes.is_some(), "measured against the furthest: {seen:#?}");
    let gap = ground.take_over(2).await;
    let gap = match gap {
        // The other one may have received more.
        Err(e) if e.to_string().contains("has received more") => ground.take_over(3).await,
        other => other,
    };
    let tally = load.end().await;
    println!(
        "taken over by hand: {:.0} ms; a client waited {:.0} ms, {} lost of {}",
        gap.unwrap(),
        tally.gap.as_secs_f64() * 1000.0,
        tally.lost(&ground, 0, "load_1").await,
        tally.acknowledged.len()
    );
    let seen = ground.seen("the old one follows or is seen to have parted", |seen| {
        seen.nodes[0].link == Some(Link::Up) || seen.nodes[0].diverged
    });
    println!("the old primary came back with writes of its own: {}", seen.await.nodes[0].diverged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_leads_again_and_a_server_started_by_nobody_is_read_only() {
    let ground = Ground::new(Topology::PrimaryReplica, 2).await;
    fill(&ground, 10).await;
    ground.healthy().await;
    ground.kill(1).await;
    ground.repair(1).await;
    let seen = ground.healthy().await;
    assert_eq!(ground.primary(&seen).ordinal, 1);
    // As a machine would that starts its servers again by itself.
    ground.kill(1).await;
    while !ground.machine(1).restart("mysql").await.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let seen = ground.seen("it is back", |seen| seen.nodes[0].role.is_some()).await;
    assert!(!ground.takes_writes(1).await, "nobody told it to lead: {seen:#?}");
    // The next round of whoever watches does.
    ground.driver.heal(&ground.cx).await.unwrap();
    ground.healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_or_is_open_on_the_old_primary_ends_and_is_not_half_done() {
    let ground = Ground::new(Topology::PrimaryReplica, 2).await;
    fill(&ground, 10).await;
    ground.healthy().await;
    let mut open = ground.people(1).await.unwrap();
    open.query_drop("START TRANSACTION").await.unwrap();
    open.query_drop("INSERT INTO t (w) VALUES ('open')").await.unwrap();
    let mut long = ground.people(1).await.unwrap();
    let long = tokio::spawn(async move {
        long.query_drop("INSERT INTO t (w) SELECT CONCAT('long', SLEEP(0.01)) FROM seq_1_to_3000").await
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let gap = ground.promote(2).await.unwrap();
    println!("with a statement of 30 s under way: {gap:.0} ms");
    assert!(open.query_drop("COMMIT").await.is_err(), "it was not acknowledged");
    assert!(long.await.unwrap().is_err(), "nor was the other");
    ground.healthy().await;
    assert_eq!((ground.count(1, "t").await, ground.count(2, "t").await), (10, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_serves_and_starts_again() {
    let ground = Ground::new(Topology::Single, 1).await;
    ground.driver.probe(&ground.cx).await.unwrap();
    let seen = ground.healthy().await;
    assert!(!seen.failover.ready, "nobody can take over: {}", seen.failover.reason);
    ground.kill(1).await;
    ground.repair(1).await;
    ground.healthy().await;
    // People make databases of their own, and see nothing of the server's.
    let mut people = ground.people(0).await.unwrap();
    people.query_drop("CREATE DATABASE app_two").await.unwrap();
    for forbidden in
        ["CREATE DATABASE other", "SELECT * FROM mysql.global_priv", "SET GLOBAL read_only = OFF"]
    {
        assert!(people.query_drop(forbidden).await.is_err(), "{forbidden}");
    }
    ground.driver.restart_in_place(&ground.cx, ground.node(1)).await.unwrap();
    ground.healthy().await;
}
