//! Members that all take writes: one dies, all die, most die, one comes and goes.

use crate::{ground::Ground, load::Load};
use clusterdeck_domain::{Health, NodeKind, Topology};
use clusterdeck_driver::{Progress, ServiceDriver as _, StartAs};
use mysql_async::prelude::Queryable as _;
use std::time::{Duration, Instant};

async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// For members to be together again: 36 s alone, 100 to 140 s were seen beside two compilers.
const TOGETHER_WITHIN: Duration = Duration::from_secs(210);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_member_is_missed_for_less_than_three_seconds_and_nothing_is_lost() {
    let begun = Instant::now();
    let mut ground = Ground::new(Topology::MultiMaster, 3).await;
    ground.driver.probe(&ground.cx).await.unwrap();
    let seen = ground.healthy().await;
    println!("three members: {:.1} s", begun.elapsed().as_secs_f64());
    assert!(seen.failover.ready, "{}", seen.failover.reason);
    let load = Load::begin(&ground, "load_1").await;
    sleep(500).await;
    ground.kill(1).await;
    sleep(4000).await;
    let tally = load.end().await;
    let lost = tally.lost(&ground, 2, "load_1").await;
    println!(
        "a member killed: a client waited {:.0} ms; {} acknowledged, {} failed, {lost} lost",
        tally.gap.as_secs_f64() * 1000.0,
        tally.acknowledged.len(),
        tally.failed
    );
    assert_eq!(lost, 0);
    assert!(tally.gap < Duration::from_secs(3), "{:?}", tally.gap);
    println!("it was back after {:.1} s", ground.watch_until_healthy(TOGETHER_WITHIN).await.as_secs_f64());
    assert_eq!(tally.lost(&ground, 1, "load_1").await, 0, "it caught up");

    let begun = Instant::now();
    let four = ground.add_machine(4, NodeKind::Data).await;
    ground.driver.start_node(&ground.cx, &four, &StartAs::Member).await.unwrap();
    ground.driver.join(&ground.cx, &four, &Progress::silent()).await.unwrap();
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    ground.apply().await;
    println!("a fourth one joined: {:.1} s", begun.elapsed().as_secs_f64());
    ground.healthy().await;
    assert_eq!(tally.lost(&ground, 4, "load_1").await, 0, "it has everything");
    ground.driver.leave(&ground.cx, &four, &Progress::silent()).await.unwrap();
    ground.cx.spec.nodes.retain(|n| n.id != four.id);
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    ground.apply().await;
    ground.healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_were_killed_the_one_that_has_most_begins_again() {
    let ground = Ground::new(Topology::MultiMaster, 3).await;
    ground.healthy().await;
    let load = Load::begin(&ground, "load_1").await;
    sleep(1000).await;
    let tally = load.end().await;
    for ordinal in [1, 2, 3] {
        ground.kill(ordinal).await;
    }
    println!(
        "all killed: back after {:.1} s",
        ground.watch_until_healthy(TOGETHER_WITHIN).await.as_secs_f64()
    );
    assert_eq!(tally.lost(&ground, 0, "load_1").await, 0);
    // Stopped in order, one after the other: the last one has most.
    for ordinal in [2, 3, 1] {
        ground.driver.stop_node(&ground.cx, ground.node(ordinal)).await.unwrap();
        if ordinal == 2 {
            ground.people(3).await.unwrap().query_drop("INSERT INTO load_1 VALUES (1000001)").await.unwrap();
        }
    }
    let begun = Instant::now();
    'started: loop {
        let mut left = 0;
        for ordinal in [2, 3, 1] {
            let (node, machine) = (ground.node(ordinal), ground.machine(ordinal));
            if machine.state("mysql").await.unwrap().is_running() {
                continue;
            }
            left += 1;
            match ground.driver.restart_as(&ground.cx, node).await {
                Ok(start_as) => ground.driver.start_node(&ground.cx, node, &start_as).await.unwrap(),
                Err(e) => assert!(e.is_transient(), "{e}"),
            }
        }
        if left == 0 {
            break 'started;
        }
        assert!(begun.elapsed() < Duration::from_secs(100), "they must start");
        sleep(300).await;
    }
    ground.watch_until_healthy(TOGETHER_WITHIN).await;
    println!("all stopped in order: back after {:.1} s", begun.elapsed().as_secs_f64());
    let mut people = ground.people(0).await.unwrap();
    let there: Option<u64> = people.query_first("SELECT n FROM load_1 WHERE n = 1000001").await.unwrap();
    assert_eq!(there, Some(1_000_001), "the one that has most began");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_has_left_its_group_and_goes_on_running_is_brought_back() {
    let ground = Ground::new(Topology::MultiMaster, 3).await;
    ground.healthy().await;
    // As after a failed attempt to catch up: no connection, nothing that looks for one, and a server that answers.
    ground.operator(2, "SET GLOBAL wsrep_cluster_address = ''").await;
    ground
        .seen("it is not in step", |seen| {
            seen.node(&ground.node(2).id).is_some_and(|n| n.health == Health::Degraded)
        })
        .await;
    ground.people(0).await.unwrap().query_drop("CREATE TABLE t (n INT PRIMARY KEY)").await.unwrap();
    println!("left: back after {:.1} s", ground.watch_until_healthy(TOGETHER_WITHIN).await.as_secs_f64());
    let there = ground.operator(2, "SHOW TABLES IN app LIKE 't'").await;
    assert_eq!(there.len(), 1, "it has what was written without it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_its_group_refuses_reads_and_writes() {
    let ground = Ground::new(Topology::MultiMaster, 3).await;
    ground.healthy().await;
    ground.people(0).await.unwrap().query_drop("CREATE TABLE t (n INT PRIMARY KEY)").await.unwrap();
    // Cut off: two hang, so nobody knows whether they are dead.
    ground.signal(2, rustix::process::Signal::STOP).await;
    ground.signal(3, rustix::process::Signal::STOP).await;
    let begun = Instant::now();
    loop {
        let refused = async {
            let mut people = ground.people(1).await?;
            people.query_drop("SELECT COUNT(*) FROM t").await
        };
        if matches!(refused.await, Err(mysql_async::Error::Server(e)) if e.code == 1047) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "a minority must refuse");
        sleep(100).await;
    }
    println!("refused after {:.1} s", begun.elapsed().as_secs_f64());
    let seen = ground.driver.observe(&ground.cx).await;
    assert!(seen.nodes.iter().all(|n| n.health != Health::Healthy), "{seen:#?}");
    ground.signal(2, rustix::process::Signal::CONT).await;
    ground.signal(3, rustix::process::Signal::CONT).await;
    println!("together again after {:.1} s", ground.watch_until_healthy(TOGETHER_WITHIN).await.as_secs_f64());
    // All of them lose each other at once.
    for _ in 0..2 {
        for ordinal in [1, 2, 3] {
            ground.signal(ordinal, rustix::process::Signal::STOP).await;
            sleep(400).await;
        }
        sleep(4000).await;
        for ordinal in [3, 1, 2] {
            ground.signal(ordinal, rustix::process::Signal::CONT).await;
            sleep(1500).await;
        }
    }
    println!(
        "all hung: together again after {:.1} s",
        ground.watch_until_healthy(TOGETHER_WITHIN).await.as_secs_f64()
    );
}
