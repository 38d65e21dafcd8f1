//! Binary logs have a bound, and what a node still needs stays within reason.

use crate::ground::{Ground, PATIENCE};
use clusterdeck_domain::{BackupSchedule, Keep, Topology};
use clusterdeck_driver::{LogTaken, Progress, ServiceDriver as _, StartAs};
use mysql_async::prelude::Queryable as _;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// Makes small log files: a row of 1 MiB is changed over and over.
async fn write(ground: &Ground, times: u32) {
    // Not through the endpoint, which a busy computer may close for a moment.
    let mut people = ground.people(1).await.unwrap();
    for sql in [
        "CREATE TABLE IF NOT EXISTS big (n INT PRIMARY KEY, times INT, b LONGBLOB)",
        "INSERT IGNORE INTO big VALUES (1, 0, REPEAT('a', 1048576))",
    ] {
        people.query_drop(sql).await.unwrap();
    }
    for _ in 0..times {
        let more = "UPDATE big SET times = times + 1, b = REPEAT(CHAR(97 + times % 26), 1048576)";
        people.query_drop(more).await.unwrap();
    }
}

/// Bytes of a node's logs, and how many files. The newest one grows by itself now and then: the server notes in it up to where
/// its tables are on disk.
async fn logs(ground: &Ground, ordinal: u16) -> (u64, usize) {
    let rows = ground.operator(ordinal, "SHOW BINARY LOGS").await;
    (rows.iter().map(|row| row.get::<u64, _>(1).unwrap()).sum(), rows.len())
}

async fn small_files(ground: &Ground) {
    for node in ground.cx.spec.data_nodes() {
        ground.operator(node.ordinal, "SET GLOBAL max_binlog_size = 1048576").await;
    }
}

async fn until_same(ground: &Ground, ordinals: &[u16]) {
    let begun = Instant::now();
    for ordinal in ordinals {
        let last = "SELECT times FROM app.big";
        let at = |row: &[mysql_async::Row]| row.first().and_then(|row| row.get::<u32, _>(0));
        while at(&ground.operator(*ordinal, last).await) != at(&ground.operator(1, last).await) {
            assert!(begun.elapsed() < PATIENCE, "{ordinal} must catch up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_stay_within_a_tenth_of_the_disk_but_not_what_a_stopped_replica_needs() {
    let disk = 400 * MIB;
    let ground = Ground::with_disks(Topology::PrimaryReplica, 2, disk).await;
    ground.healthy().await;
    small_files(&ground).await;
    write(&ground, 30).await;
    until_same(&ground, &[2]).await;
    let before = logs(&ground, 1).await;
    assert!(before.0 > disk / 10, "{before:?}");
    ground.driver.tidy(&ground.cx).await.unwrap();
    for ordinal in [1, 2] {
        let after = logs(&ground, ordinal).await;
        println!("node {ordinal}: {before:?} → {after:?}");
        assert!(after.0 <= disk / 10 && after.0 > disk / 20, "{after:?}");
    }
    // One that is stopped needs all from here on.
    ground.driver.stop_node(&ground.cx, ground.node(2)).await.unwrap();
    write(&ground, 30).await;
    let before = logs(&ground, 1).await;
    ground.driver.tidy(&ground.cx).await.unwrap();
    assert_eq!(logs(&ground, 1).await.1, before.1, "nobody knows what it has");
    let follows = StartAs::ReplicaOf(ground.node(1).id.clone());
    ground.driver.start_node(&ground.cx, ground.node(2), &follows).await.unwrap();
    ground.healthy().await;
    until_same(&ground, &[2]).await;
    ground.driver.tidy(&ground.cx).await.unwrap();
    assert!(logs(&ground, 1).await.0 <= disk / 10, "it has them, so they go");
    // With the disk nearly full they go whoever needs them.
    ground.driver.stop_node(&ground.cx, ground.node(2)).await.unwrap();
    write(&ground, 30).await;
    let machine = ground.machine(1);
    let mut filled = 0;
    while machine.disk_bytes("mysql").await.unwrap() <= disk / 100 * 91 {
        machine.write(&format!("mysql/tmp/fill-{filled}"), &vec![1; 8 << 20], 0o600).await.unwrap();
        filled += 1;
    }
    ground.driver.tidy(&ground.cx).await.unwrap();
    assert!(logs(&ground, 1).await.0 <= disk / 10, "the primary's own disk comes first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_group_keep_within_the_bound_what_one_that_is_away_lacks() {
    let disk = 1200 * MIB;
    let Some(ground) = Ground::of_a_group_with_disks(Topology::PrimaryReplica, 3, Some(disk)).await else {
        return;
    };
    ground.healthy().await;
    small_files(&ground).await;
    write(&ground, 80).await;
    until_same(&ground, &[2, 3]).await;
    let before = logs(&ground, 1).await;
    assert!(before.0 > disk / 10, "{before:?}");
    let mut archiving = ground.cx.clone();
    archiving.spec.backup_schedules.push(BackupSchedule {
        vault: "local".to_owned(),
        when: "6h".to_owned(),
        time_zone: "UTC".to_owned(),
        keep: Keep::USUAL,
        verify: false,
        point_in_time: true,
        since: None,
    });
    ground.driver.tidy(&archiving).await.unwrap();
    // The first file holds nothing.
    assert!(logs(&ground, 1).await.1 + 1 >= before.1, "nothing of it is archived");
    let waiting = ground.driver.log_ready(&archiving).await.unwrap().waiting;
    let taken =
        waiting.iter().map(|p| LogTaken { name: p.name.clone(), sha256: String::new() }).collect::<Vec<_>>();
    ground.driver.log_taken(&archiving, &taken).await.unwrap();
    ground.driver.tidy(&archiving).await.unwrap();
    for ordinal in [1, 2, 3] {
        let after = logs(&ground, ordinal).await;
        println!("member {ordinal}: {before:?} → {after:?}");
        assert!(after.0 <= disk / 10 && after.0 > disk / 20, "{after:?}");
    }
    ground.driver.stop_node(&ground.cx, ground.node(3)).await.unwrap();
    write(&ground, 40).await;
    let before = logs(&ground, 1).await;
    ground.driver.tidy(&ground.cx).await.unwrap();
    assert_eq!(logs(&ground, 1).await.1, before.1, "nobody knows what it has");
    ground.driver.start_node(&ground.cx, ground.node(3), &StartAs::Member).await.unwrap();
    ground.driver.join(&ground.cx, ground.node(3), &Progress::silent()).await.unwrap();
    until_same(&ground, &[3]).await;
    ground.driver.tidy(&ground.cx).await.unwrap();
    assert!(logs(&ground, 1).await.0 <= disk / 10, "it has them, so they go");
}
