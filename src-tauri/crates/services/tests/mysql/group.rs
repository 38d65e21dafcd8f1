//! Oracle's MySQL on Group Replication, in containers: forming, promoting, failing and coming back.

use crate::{
    ground::{Ground, PATIENCE},
    load::Load,
};
use clusterdeck_domain::{Health, NodeKind, Sensitive, Topology};
use clusterdeck_driver::{DriverError, Progress, ServiceDriver as _, StartAs};
use mysql_async::prelude::Queryable as _;
use rustix::process::Signal;
use std::time::{Duration, Instant};

async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_takes_writes_and_does_so_again_after_a_crash() {
    let begun = Instant::now();
    let Some(ground) = Ground::of_a_group(Topology::Single, 1).await else { return };
    ground.driver.probe(&ground.cx).await.unwrap();
    ground.healthy().await;
    println!("a single node: {:.1} s", begun.elapsed().as_secs_f64());
    ground.kill(1).await;
    ground.repair(1).await;
    ground.healthy().await;
    ground.driver.probe(&ground.cx).await.unwrap();
}

/// A transaction that is left open is told by what it did last, once it is old enough.
pub(crate) async fn open_transactions_are_listed(ground: &Ground, last: &str) {
    let mut people = ground.people(1).await.unwrap();
    people.query_drop("CREATE TABLE held (n INT PRIMARY KEY)").await.unwrap();
    for sql in ["BEGIN", "INSERT INTO\n  held VALUES (1)"] {
        people.query_drop(sql).await.unwrap();
    }
    let now = ground.driver.observe(&ground.cx).await;
    assert!(now.nodes.iter().all(|n| n.open_transactions.is_empty()), "young ones come and go");
    sleep(6_500).await;
    let seen = ground.driver.observe(&ground.cx).await;
    let told = &seen.primary().unwrap().open_transactions;
    println!("{told:?}");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!((5..60).contains(&told[0].seconds) && told[0].user == "app", "{told:?}");
    assert_eq!(told[0].query, last);
    people.query_drop("ROLLBACK").await.unwrap();
    // The server's own table of them is up to a tenth of a second old.
    sleep(300).await;
    let seen = ground.driver.observe(&ground.cx).await;
    assert!(seen.nodes.iter().all(|n| n.open_transactions.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_does_not_begin_a_group_with_tables_that_a_group_refuses() {
    let Some(mut ground) = Ground::of_a_group(Topology::Single, 1).await else { return };
    ground.healthy().await;
    open_transactions_are_listed(&ground, "INSERT INTO held VALUES (1)").await;
    assert_eq!(ground.driver.growth_findings(&ground.cx).await.unwrap(), []);
    let mut people = ground.people(1).await.unwrap();
    for sql in [
        "CREATE TABLE log (t TEXT)",
        "CREATE TABLE kept (n INT PRIMARY KEY)",
        "CREATE TABLE old (n INT PRIMARY KEY) ENGINE = MyISAM",
    ] {
        people.query_drop(sql).await.unwrap();
    }
    let found = ground.driver.growth_findings(&ground.cx).await.unwrap();
    let told: Vec<_> = found.iter().map(|f| (f.code.as_str(), f.text.as_str())).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].0 == "tables-without-key" && told[0].1.ends_with(": `app.log`."), "{told:?}");
    assert!(told[1].0 == "tables-not-innodb" && told[1].1.ends_with(": `app.old`."), "{told:?}");
    // Made after the preview: whoever begins the group looks again.
    let two = ground.add_machine(2, NodeKind::Data).await;
    let spec = &mut ground.cx.spec;
    (spec.topology, spec.auto_failover) = (Topology::PrimaryReplica, true);
    ground.driver.start_node(&ground.cx, &two, &StartAs::Member).await.unwrap();
    let refused = ground.driver.join(&ground.cx, &two, &Progress::silent()).await.unwrap_err();
    assert!(matches!(refused, DriverError::Rejected { .. }), "{refused}");
    assert!(refused.to_string().contains("app.log"), "{refused}");
    assert!(ground.takes_writes(1).await, "the single node goes on");
    for sql in ["ALTER TABLE log ADD COLUMN id BIGINT AUTO_INCREMENT PRIMARY KEY", "DROP TABLE old"] {
        people.query_drop(sql).await.unwrap();
    }
    ground.driver.join(&ground.cx, &two, &Progress::silent()).await.unwrap();
    ground.people(1).await.unwrap().query_drop("INSERT INTO log (t) VALUES ('a')").await.unwrap();
    // It applies what it agreed to a moment later.
    let begun = Instant::now();
    while ground.count(2, "log").await != 1 {
        assert!(begun.elapsed() < PATIENCE, "the new member must have it");
        sleep(20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_form_and_hand_over_under_writes_without_losing_any() {
    let begun = Instant::now();
    let Some(ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.driver.probe(&ground.cx).await.unwrap();
    let seen = ground.healthy().await;
    println!("three members: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(ground.primary(&seen).ordinal, 1, "the first one leads");
    for target in [2, 1, 3] {
        let table = ["", "load_1", "load_2", "load_3"][usize::from(target)];
        let load = Load::begin(&ground, table).await;
        sleep(500).await;
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
        assert!(tally.gap < Duration::from_secs(2), "{:?}", tally.gap);
    }
}

/// For a group to be whole again.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_and_a_hung_primary_are_replaced_by_the_others_and_nothing_is_lost() {
    let Some(ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    for (table, signal) in [("load_1", Signal::KILL), ("load_2", Signal::STOP)] {
        let load = Load::begin(&ground, table).await;
        sleep(1000).await;
        let old = ground.primary(&ground.driver.observe(&ground.cx).await).ordinal;
        ground.signal(old, signal).await;
        sleep(15_000).await;
        if signal == Signal::STOP {
            assert!(!load.is_idle(Duration::from_secs(2)).await, "the others take writes while it hangs");
            ground.signal(old, Signal::CONT).await;
        }
        let tally = load.end().await;
        let seen = ground.seen("one must lead", |seen| seen.primary().is_some()).await;
        let new = ground.primary(&seen).ordinal;
        assert_ne!(new, old, "another one leads");
        let lost = tally.lost(&ground, new, table).await;
        println!(
            "primary {signal:?}: a client waited {:.1} s; {} acknowledged, {} failed, {lost} lost",
            tally.gap.as_secs_f64(),
            tally.acknowledged.len(),
            tally.failed
        );
        assert_eq!(lost, 0);
        assert!(tally.gap < Duration::from_secs(14), "{:?}", tally.gap);
        println!("it was back after {:.1} s", ground.watch_until_healthy(WHOLE_WITHIN).await.as_secs_f64());
        assert_eq!(tally.lost(&ground, old, table).await, 0, "it caught up");
        assert!(!ground.takes_writes(old).await, "and follows");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_were_killed_under_writes_the_group_begins_again_and_nothing_is_lost() {
    let Some(ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    for table in ["load_1", "load_2"] {
        let load = Load::begin(&ground, table).await;
        sleep(2000).await;
        // At once, as when the power goes.
        futures::future::join_all([1, 2, 3].map(|n| ground.signal(n, Signal::KILL))).await;
        sleep(500).await;
        if table == "load_2" {
            // One that cannot be asked may hold more than the others: the group waits for it.
            for ordinal in [1, 2] {
                ground.repair(ordinal).await;
            }
            sleep(8000).await;
            let told = ground.driver.heal(&ground.cx).await.unwrap_err();
            assert!(told.to_string().contains("demo-3"), "{told}");
            assert!(!ground.takes_writes(1).await && !ground.takes_writes(2).await);
        }
        println!(
            "all killed: back after {:.1} s",
            ground.watch_until_healthy(WHOLE_WITHIN).await.as_secs_f64()
        );
        let tally = load.end().await;
        for ordinal in [1, 2, 3] {
            let lost = tally.lost(&ground, ordinal, table).await;
            println!("{} acknowledged, {lost} lost on {ordinal}", tally.acknowledged.len());
            assert_eq!(lost, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_joins_under_writes_by_copying_everything_and_leaves_again() {
    let Some(mut ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    let load = Load::begin(&ground, "load_1").await;
    sleep(1000).await;
    let begun = Instant::now();
    let four = ground.add_machine(4, NodeKind::Data).await;
    ground.driver.start_node(&ground.cx, &four, &StartAs::Member).await.unwrap();
    ground.driver.join(&ground.cx, &four, &Progress::silent()).await.unwrap();
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    ground.apply().await;
    println!("a fourth one joined: {:.1} s", begun.elapsed().as_secs_f64());
    let copied = ground.operator(4, "SELECT STATE FROM performance_schema.clone_status").await;
    let copied: Option<String> = copied.first().and_then(|row| row.get(0));
    assert_eq!(copied.as_deref(), Some("Completed"), "it copied everything");
    let tally = load.end().await;
    ground.healthy().await;
    assert_eq!(tally.lost(&ground, 4, "load_1").await, 0, "it has everything");
    println!("{} acknowledged; a client waited {:?}", tally.acknowledged.len(), tally.gap);
    ground.driver.leave(&ground.cx, &four, &Progress::silent()).await.unwrap();
    ground.cx.spec.nodes.retain(|n| n.id != four.id);
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    ground.apply().await;
    ground.healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_transactions_of_its_own_stays_outside_until_a_resync_that_keeps_them() {
    let Some(ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    for sql in [
        "STOP GROUP_REPLICATION",
        "SET GLOBAL super_read_only = OFF",
        "CREATE TABLE app.own (n INT PRIMARY KEY)",
        "SET GLOBAL super_read_only = ON",
    ] {
        ground.operator(3, sql).await;
    }
    let refused = ground.driver.heal(&ground.cx).await.unwrap_err();
    assert!(matches!(refused, DriverError::Rejected { .. }), "{refused}");
    assert!(refused.to_string().contains("demo-3 holds transactions"), "{refused}");
    let seen = ground.driver.observe(&ground.cx).await;
    let third = seen.node(&ground.node(3).id).unwrap();
    assert!(third.diverged && third.health == Health::Degraded, "{third:#?}");
    // Interrupted as soon as its data was set aside, and asked again.
    let silent = Progress::silent();
    let set_aside = async {
        while !ground.machine(3).exists("mysql/data.diverged").await.unwrap() {
            sleep(50).await;
        }
    };
    tokio::select! {
        ended = ground.driver.resync(&ground.cx, ground.node(3), &silent) => panic!("not cut off: {ended:?}"),
        () = set_aside => {}
        () = sleep(60_000) => panic!("nothing was set aside"),
    }
    let note = ground.driver.resync(&ground.cx, ground.node(3), &Progress::silent()).await.unwrap();
    assert!(note.unwrap().contains("data.diverged"));
    assert!(
        ground.machine(3).exists("mysql/data.diverged/app/own.ibd").await.unwrap(),
        "its own table is kept"
    );
    ground.healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_stops_taking_writes_and_is_never_made_a_group() {
    let Some(ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    ground.people(0).await.unwrap().query_drop("CREATE TABLE t (n INT PRIMARY KEY)").await.unwrap();
    ground.signal(2, Signal::STOP).await;
    ground.signal(3, Signal::STOP).await;
    let begun = Instant::now();
    let mut n = 0;
    loop {
        n += 1;
        let written =
            async { ground.people(1).await?.query_drop(format!("INSERT INTO t VALUES ({n})")).await };
        let refused = match tokio::time::timeout(Duration::from_secs(20), written).await {
            Ok(written) => written.is_err(),
            Err(_) => panic!("a write must not wait for ever"),
        };
        if refused && !ground.takes_writes(1).await {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "a minority must refuse");
        sleep(200).await;
    }
    println!("refused after {:.1} s", begun.elapsed().as_secs_f64());
    for _ in 0..3 {
        let told = ground.driver.heal(&ground.cx).await.unwrap_err();
        assert!(told.is_transient(), "{told}");
        assert!(!ground.takes_writes(1).await);
    }
    ground.signal(2, Signal::CONT).await;
    ground.signal(3, Signal::CONT).await;
    println!("together again after {:.1} s", ground.watch_until_healthy(WHOLE_WITHIN).await.as_secs_f64());
    ground.driver.probe(&ground.cx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_change_under_writes_and_the_old_ones_stop() {
    let Some(mut ground) = Ground::of_a_group(Topology::PrimaryReplica, 3).await else { return };
    ground.healthy().await;
    let load = Load::begin(&ground, "load_1").await;
    let old = ground.cx.secrets.current.clone();
    let new = old.iter().map(|(name, secret)| match name.as_str() {
        "ca" => (name.clone(), secret.clone()),
        _ => (name.clone(), Sensitive::new(uuid::Uuid::new_v4().simple().to_string())),
    });
    ground.cx.secrets.next = Some(new.collect());
    ground.driver.accept_next_secrets(&ground.cx).await.unwrap();
    // A call that is made again, as after a kill, forgets none of the two.
    ground.driver.accept_next_secrets(&ground.cx).await.unwrap();
    let tally = load.end().await;
    assert_eq!((tally.refused, tally.failed), (0, 0), "nobody noticed, who has the old one");
    ground.cx.secrets.current = ground.cx.secrets.next.take().unwrap();
    ground.driver.retire_old_secrets(&ground.cx).await.unwrap();
    ground.healthy().await;
    ground.driver.probe(&ground.cx).await.unwrap();
    for ordinal in [1, 2, 3] {
        let at = ground.machine(ordinal);
        let with_old = crate::ground::connect((at.address(), at.port(3306)), old["people"].reveal()).await;
        assert!(with_old.is_err(), "the old password opens {ordinal} no more");
    }
    // A member that comes back signs in with the new one.
    ground.kill(2).await;
    ground.watch_until_healthy(WHOLE_WITHIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_all_take_writes_go_on_without_one_of_them() {
    let Some(ground) = Ground::of_a_group(Topology::MultiMaster, 3).await else { return };
    ground.driver.probe(&ground.cx).await.unwrap();
    let seen = ground.healthy().await;
    assert!(seen.failover.ready, "{}", seen.failover.reason);
    for ordinal in [1, 2, 3] {
        assert!(ground.takes_writes(ordinal).await);
    }
    let load = Load::begin(&ground, "load_1").await;
    sleep(500).await;
    ground.kill(1).await;
    sleep(10_000).await;
    let tally = load.end().await;
    let lost = tally.lost(&ground, 2, "load_1").await;
    println!(
        "a member killed: a client waited {:.1} s; {} acknowledged, {} failed, {lost} lost",
        tally.gap.as_secs_f64(),
        tally.acknowledged.len(),
        tally.failed
    );
    assert_eq!(lost, 0);
    println!("it was back after {:.1} s", ground.watch_until_healthy(WHOLE_WITHIN).await.as_secs_f64());
    assert_eq!(tally.lost(&ground, 1, "load_1").await, 0, "it caught up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_all_take_writes_hand_out_numbers_of_their_own_also_after_nodes_were_replaced() {
    let Some(mut ground) = Ground::of_a_group(Topology::MultiMaster, 3).await else { return };
    ground.healthy().await;
    let mut people = ground.people(1).await.unwrap();
    people.query_drop("CREATE TABLE made (id BIGINT AUTO_INCREMENT PRIMARY KEY, by_whom INT)").await.unwrap();
    // The second was replaced by the tenth: by its ordinal that has the numbers of the first.
    let two = ground.node(2).clone();
    ground.driver.leave(&ground.cx, &two, &Progress::silent()).await.unwrap();
    ground.cx.spec.nodes.retain(|n| n.id != two.id);
    ground.driver.arm_failover(&ground.cx, None).await.unwrap();
    let ten = ground.add_machine(10, NodeKind::Data).await;
    ground.driver.start_node(&ground.cx, &ten, &StartAs::Member).await.unwrap();
    ground.driver.join(&ground.cx, &ten, &Progress::silent()).await.unwrap();
    ground.apply().await;
    ground.healthy().await;
    let mut offsets = Vec::new();
    for ordinal in [1, 3, 10] {
        let asked = "SELECT @@global.auto_increment_increment, @@global.auto_increment_offset";
        let row = &ground.operator(ordinal, asked).await[0];
        assert_eq!(row.get::<u64, _>(0), Some(9), "the step that the preview tells");
        offsets.push(row.get::<u64, _>(1).unwrap());
        let mut people = ground.people(ordinal).await.unwrap();
        for _ in 0..20 {
            people.query_drop(format!("INSERT INTO made (by_whom) VALUES ({ordinal})")).await.unwrap();
        }
    }
    println!("offsets of 1, 3 and 10: {offsets:?}");
    assert_eq!(offsets, [1, 3, 2], "each its own; the tenth has those that became free");
    let whose =
        ground.operator(1, "SELECT by_whom, COUNT(DISTINCT id % 9) FROM app.made GROUP BY 1 ORDER BY 1");
    let whose: Vec<_> = whose.await.iter().map(|r| (r.get::<u16, _>(0), r.get::<u64, _>(1))).collect();
    assert_eq!(whose, [(Some(1), Some(1)), (Some(3), Some(1)), (Some(10), Some(1))]);
    // Once it is there, the first's numbers are the first's also when the tenth comes back before it.
    ground.kill(10).await;
    ground.watch_until_healthy(WHOLE_WITHIN).await;
    let again = ground.operator(10, "SELECT @@global.auto_increment_offset").await;
    assert_eq!(again[0].get::<u64, _>(0), Some(2));

    // A member that diverged is told, stays outside, and a resync brings it back.
    for sql in [
        "STOP GROUP_REPLICATION",
        "SET GLOBAL super_read_only = OFF",
        "CREATE TABLE app.own (n INT PRIMARY KEY)",
        "SET GLOBAL super_read_only = ON",
    ] {
        ground.operator(3, sql).await;
    }
    assert!(ground.driver.heal(&ground.cx).await.is_err(), "it stays outside");
    let seen = ground.driver.observe(&ground.cx).await;
    let copied = clusterdeck_domain::resync_order(&ground.cx.spec, Some(&seen));
    assert_eq!(copied.iter().map(|n| n.ordinal).collect::<Vec<_>>(), [3]);
    let note = ground.driver.resync(&ground.cx, ground.node(3), &Progress::silent()).await.unwrap();
    assert!(note.unwrap().contains("data.diverged"));
    ground.healthy().await;
    assert!(ground.takes_writes(3).await, "it takes writes again");
}
