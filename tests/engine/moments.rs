//! A cluster brought back to a second: with what was acknowledged by then, through a failover and a closed app, without what
//! came after; and a log with a hole says so.

use crate::home::{Home, PATIENCE, processes_of};
use clusterdeck_domain::{
    Backup, Change, Operation, OperationState, PointInTime, RestoreBackup, ServiceKind, StepState, Topology,
};
use clusterdeck_testkit::{
    ObjectStore,
    object_store::{BUCKET, SECRET},
};
use clusterdeck_tests::client::{Numbers, Writer, Written, connect};
use jiff::{SignedDuration, Timestamp};
use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// What was promised of how far the archive is behind, and the looks that see it.
const BEHIND: Duration = Duration::from_secs(70);

fn restore(backup: &Backup, at: Timestamp, name: &str) -> Change {
    Change::RestoreBackup(RestoreBackup {
        backup: backup.id.to_string(),
        at: Some(at),
        name: Some(name.to_owned()),
        nodes: Some(1),
        topology: Some(Topology::Single),
        provider: None,
        region: None,
        plan: None,
    })
}

fn in_place(backup: &Backup, at: Timestamp) -> Change {
    let (cluster, backup) = ("demo".to_owned(), backup.id.to_string());
    Change::RestoreInPlace { cluster, backup, at: Some(at), discard_present: false, keep_within_ms: None }
}

impl Home {
    async fn archives_its_log(&self, vault: Option<&str>) {
        let schedule = serde_json::json!({
            "kind": "set-backup-schedule", "cluster": "demo", "vault": vault,
            "schedule": {"when": "6h", "verify": false, "point_in_time": true}
        });
        self.done(serde_json::from_value(schedule).unwrap()).await;
    }
    async fn backed_up(&self) -> Backup {
        self.backed_up_to(None).await
    }
    async fn backed_up_to(&self, vault: Option<&str>) -> Backup {
        let vault = vault.map(str::to_owned);
        let change = Change::BackUp { cluster: "demo".to_owned(), vault, verify: Some(false) };
        let operation: Operation = self.done(change).await;
        let id = operation.outcome.backup.expect("a backup");
        self.engine.backup(id.as_str()).await.unwrap()
    }
    async fn range(&self) -> PointInTime {
        self.engine.point_in_time("demo").await.unwrap()
    }
    /// Waits until the archive is as wanted.
    async fn until_range(
        &self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&PointInTime) -> bool,
    ) -> PointInTime {
        let begun = Instant::now();
        loop {
            let range = self.range().await;
            if fits(&range) {
                return range;
            }
            assert!(begun.elapsed() < limit, "{what}: {range:#?}\n{:?}", Timestamp::now());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    /// Waits until all that was written by now is in the archive, which has no hole; when that was asked.
    async fn archived_without_a_hole(&self) -> Timestamp {
        let (end, begun) = (Timestamp::now(), Instant::now());
        let holds = |range: &PointInTime| range.ranges.iter().any(|r| r.holds(end));
        let range = self.until_range("the archive must follow", BEHIND, holds).await;
        println!("{:?} until the end was archived, {} bytes", begun.elapsed(), range.stored_bytes);
        assert_eq!((range.ranges.len(), range.problem.as_deref()), (1, None), "no hole: {range:#?}");
        end
    }
    async fn open_as(&self, cluster: &str) -> Box<dyn Numbers> {
        let credentials = self.engine.credentials(cluster, true, "test").await.unwrap();
        let url = credentials.url.unwrap().reveal().clone();
        tokio::task::block_in_place(|| connect(&url, false)).unwrap()
    }
    /// The numbers that are there.
    async fn all_of(&self, cluster: &str) -> Vec<u64> {
        let mut open = self.open_as(cluster).await;
        tokio::task::block_in_place(|| {
            let found = open.all().unwrap();
            drop(open);
            found
        })
    }
    pub(crate) async fn say(&self, sql: &str) {
        let mut open = self.open_as("demo").await;
        tokio::task::block_in_place(|| open.say(sql).unwrap());
        tokio::task::block_in_place(|| drop(open));
    }
    async fn writes_for(&self, time: Duration) -> Written {
        let writer = Writer::start(self.url().await, false);
        tokio::time::sleep(time).await;
        tokio::task::block_in_place(|| writer.stop())
    }
    /// Brings a moment back as another cluster; the numbers in it. That cluster goes again.
    async fn brought_back(&self, backup: &Backup, at: Timestamp) -> Vec<u64> {
        let begun = Instant::now();
        let operation = self.done(restore(backup, at, "back")).await;
        println!("a moment was brought back in {:?}: {}", begun.elapsed(), operation.title);
        let found = self.all_of("back").await;
        self.done(Change::DeleteCluster { cluster: "back".to_owned(), discard_backups: true }).await;
        found
    }
    /// Waits until this step of an operation is under way.
    async fn until_step(&self, operation: &Operation, name: &str) {
        let begun = Instant::now();
        loop {
            let now = self.engine.operation(&operation.id).await.unwrap();
            if now.steps.iter().any(|step| step.name == name && step.state == StepState::Running) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE && !now.state.is_final(), "{name}: {now:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    async fn refused(&self, backup: &Backup, at: Timestamp) {
        let preview = self.engine.preview(restore(backup, at, "back")).await.unwrap().preview;
        let codes: Vec<&str> = preview.blockers.iter().map(|b| b.code.as_str()).collect();
        assert_eq!(codes, ["moment-out-of-range"], "{at}: {preview:#?}");
    }
}

fn soon() -> Duration {
    Duration::from_millis(100)
}

/// What two clients wrote, one after the other, who may have begun with the same numbers.
fn both(mut first: Written, second: Written) -> Written {
    first.acknowledged.extend(second.acknowledged);
    first.acknowledged.sort_unstable();
    first.acknowledged.dedup();
    first.errors += second.errors;
    first
}

/// All of these, in this order, each in what is there, and nothing else.
#[track_caller]
fn exactly(found: &[u64], written: &[&Written], when: &str) {
    let meant: Vec<u64> = written.iter().flat_map(|w| w.acknowledged.iter().copied()).collect();
    let lost: Vec<_> = meant.iter().filter(|n| !found.contains(n)).collect();
    assert_eq!(lost, Vec::<&u64>::new(), "{when}: acknowledged before and not there");
    // A write whose answer never came may be there.
    let unsure: u64 = written.iter().map(|w| w.errors).sum();
    let more = found.iter().filter(|n| !meant.contains(n)).count();
    assert!(more as u64 <= unsure, "{when}: {more} that came after, {unsure} were not answered");
}

/// Much log, which does not pack well: two or three pieces of PostgreSQL's.
pub(crate) const MUCH: &str = "DROP TABLE IF EXISTS much; CREATE TABLE much AS SELECT n, (SELECT string_agg(md5(random()::text || g || n), '') \
                    FROM generate_series(1, 55) g) AS t FROM generate_series(1, 20000) n";
/// Fails while nobody has taken over since the beginning.
const TAKEN_OVER: &str = "DO $$BEGIN IF pg_walfile_name(pg_current_wal_lsn()) LIKE '00000001%' THEN \
                          RAISE 'still the first timeline'; END IF; END$$";

impl Home {
    /// Kills all that runs of a node.
    async fn kill_node(&self, node: &str) {
        let machine = self.cluster().await.spec.find_node(node).unwrap().machine.id.to_string();
        for pid in processes_of(self.dir.path()) {
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            if cwd.to_string_lossy().contains(&machine) {
                drop(Command::new("kill").args(["-9", &pid.to_string()]).output());
            }
        }
    }
    /// Pieces that wait on each node.
    fn waiting(&self) -> Vec<PathBuf> {
        let machines = std::fs::read_dir(self.dir.path().join("machines")).unwrap().flatten();
        let folders = machines.filter_map(|m| std::fs::read_dir(m.path().join("pg/log")).ok());
        let files = folders.flat_map(|folder| folder.flatten().map(|file| file.path()));
        files.filter(|file| file.extension().is_none()).collect()
    }
}

/// The engine is gone while `work` goes on, and comes back.
async fn closed_for(home: &mut Home, work: impl FnOnce(&Home, &mut dyn Numbers)) {
    let mut open = home.open_as("demo").await;
    home.engine.shutdown(Duration::ZERO).await;
    tokio::task::block_in_place(|| {
        work(home, open.as_mut());
        drop(open);
    });
    home.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_brought_back_to_just_before_a_table_was_dropped() {
    let mut home = Home::open().await;
    home.create(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let before = Timestamp::now();
    home.archives_its_log(None).await;
    let backup = home.backed_up().await;

    // Writes, a failover in the middle of them, and the app closed for a while.
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let old = home.primary().await;
    home.kill_node(&old).await;
    home.until("somebody must take over", |c| c.observed.as_ref().is_some_and(|o| o.primary().is_none()))
        .await;
    home.until_healthy().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let through = tokio::task::block_in_place(|| writer.stop());
    assert!(through.acknowledged.len() > 100, "{through:?}");
    home.say(TAKEN_OVER).await;
    // Nobody waits for replicas here, so a failover may cost a write. What it left is what comes back.
    let there = home.all_of("demo").await;
    closed_for(&mut home, |_, open| open.say(MUCH).unwrap()).await;

    tokio::time::sleep(soon()).await;
    let good = Timestamp::now();
    tokio::time::sleep(soon()).await;
    home.say("DROP TABLE w").await;
    let after = home.writes_for(Duration::from_secs(1)).await;
    home.archived_without_a_hole().await;

    assert_eq!(home.brought_back(&backup, good).await, there, "before the table was dropped");
    assert!(!after.acknowledged.is_empty());
    home.refused(&backup, before).await;
    home.refused(&backup, Timestamp::now() + SignedDuration::from_hours(1)).await;

    // A piece that nobody has any more.
    closed_for(&mut home, |home, open| {
        open.say(MUCH).unwrap();
        let begun = Instant::now();
        while home.waiting().len() < 4 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", home.waiting());
            std::thread::sleep(soon());
        }
        let first = home.waiting().iter().map(|file| file.file_name().unwrap().to_owned()).min().unwrap();
        for file in home.waiting().iter().filter(|file| file.file_name() == Some(&first)) {
            std::fs::remove_file(file).unwrap();
        }
    })
    .await;
    let told = |range: &PointInTime| range.problem.as_ref().is_some_and(|problem| problem.contains("hole"));
    let range = home.until_range("a hole must be told", BEHIND, told).await;
    assert!(range.ranges.last().unwrap().to < Timestamp::now() - SignedDuration::from_secs(1), "{range:#?}");
    home.refused(&backup, Timestamp::now()).await;
    home.backed_up().await;
    let range = home.until_range("a backup ends it", BEHIND, |r| r.ranges.len() == 2).await;
    assert_eq!(range.problem, None, "{range:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_brought_back_to_just_before_a_table_was_dropped() {
    let home = Home::open().await;
    home.create(ServiceKind::Mysql, Topology::PrimaryReplica, 2, 0).await;
    home.until_healthy().await;
    home.archives_its_log(None).await;
    let backup = home.backed_up().await;
    let first = home.writes_for(Duration::from_secs(1)).await;
    home.done(Change::PromoteNode { node: "demo-2".to_owned() }).await;
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = tokio::task::block_in_place(|| writer.stop());
    // Its log knows whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let good = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    tokio::time::sleep(soon()).await;
    home.say("DROP TABLE w").await;
    let after = home.writes_for(Duration::from_millis(500)).await;
    assert!(!after.acknowledged.is_empty());
    let end = home.archived_without_a_hole().await;
    let all = both(first, second);
    let found = home.brought_back(&backup, good).await;
    exactly(&found, &[&all], "before the table was dropped");
    home.refused(&backup, Timestamp::from_second(end.as_second() + 3600).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_mysql_is_brought_back_to_just_before_a_table_was_dropped() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    home.create(ServiceKind::Mysql, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    home.archives_its_log(None).await;
    let backup = home.backed_up().await;
    // The one who leads dies in the middle of the writes, and another one takes over by itself.
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let old = home.primary().await;
    home.kill_server(&old, ServiceKind::Mysql).await;
    let took_over = home.found("another one must lead", |c| {
        let seen = c.observed.as_ref().and_then(|o| o.primary())?;
        c.spec.node(&seen.node).map(|n| n.name.clone()).filter(|name| *name != old)
    });
    println!("{} took over from {old}", took_over.await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let written = tokio::task::block_in_place(|| writer.stop());
    assert!(written.acknowledged.len() > 100, "{written:?}");
    tokio::time::sleep(soon()).await;
    let good = Timestamp::now();
    tokio::time::sleep(soon()).await;
    home.say("DROP TABLE w").await;
    let after = home.writes_for(Duration::from_millis(500)).await;
    assert!(!after.acknowledged.is_empty());
    home.archived_without_a_hole().await;
    let found = home.brought_back(&backup, good).await;
    exactly(&found, &[&written], "before the table was dropped");
    home.refused(&backup, Timestamp::now() + SignedDuration::from_hours(1)).await;
}

/// What was there before a table was dropped takes the place of what the cluster holds, under the same address, and the app is killed
/// in the middle of it. The log goes on from there, and what lies behind that moment in the past that was left can still be had.
async fn is_taken_back_in_place(mut home: Home, service: ServiceKind, nodes: u16) {
    let topology = if nodes == 1 { Topology::Single } else { Topology::PrimaryReplica };
    home.create(service, topology, nodes, 0).await;
    home.until_healthy().await;
    home.archives_its_log(None).await;
    let backup = home.backed_up().await;
    let first = home.writes_for(Duration::from_secs(1)).await;
    // Some logs know whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let good = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    home.say("DROP TABLE w").await;
    let after = home.writes_for(Duration::from_millis(500)).await;
    assert!(!after.acknowledged.is_empty());
    let end = home.archived_without_a_hole().await;
    let idle = Timestamp::from_second(end.as_second()).unwrap();
    let url = home.url().await;

    let begun = Instant::now();
    let operation = home.begin(in_place(&backup, good)).await;
    home.until_step(&operation, "bring-back").await;
    home.crash().await;
    let ended = home.engine.wait(&operation.id).await.unwrap();
    assert_eq!(ended.state, OperationState::Succeeded, "{ended:#?}");
    println!("{service}: taken back in place in {:?}, with a kill", begun.elapsed());
    home.until_healthy().await;
    assert_eq!(home.url().await, url, "the same address and password");
    exactly(&home.all_of("demo").await, &[&first], "before the table was dropped");

    let left = home.engine.preview(restore(&backup, idle, "back")).await.unwrap().preview;
    assert_eq!(left.blockers, [], "the last moment of the past that was left: {:?}", home.range().await);
    let anew = |range: &PointInTime| range.ranges.last().is_some_and(|r| r.from > idle);
    home.until_range("the new past gets a backup of its own", BEHIND, anew).await;
    let second = home.writes_for(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let later = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let reached = |range: &PointInTime| range.ranges.last().is_some_and(|r| r.holds(later));
    let range = home.until_range("and is archived", BEHIND, reached).await;
    assert_eq!(range.problem, None, "{range:#?}");
    home.done(in_place(&backup, later)).await;
    home.until_healthy().await;
    let all = both(first, second);
    exactly(&home.all_of("demo").await, &[&all], "a moment of the new past, whichever backup was named");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_taken_back_in_place() {
    is_taken_back_in_place(Home::open().await, ServiceKind::Postgresql, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_taken_back_in_place() {
    is_taken_back_in_place(Home::open().await, ServiceKind::Mysql, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_mysql_is_taken_back_in_place() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    is_taken_back_in_place(home, ServiceKind::Mysql, 3).await;
}

/// The copy and the log lie in a store that speaks S3, and what is there is gone when nobody needs it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_of_postgresql_comes_back_out_of_a_store() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let store = tokio::task::spawn_blocking(ObjectStore::start).await.unwrap();
    let home = Home::open().await;
    home.has_vault("store", store.place(BUCKET), SECRET).await;
    home.create(ServiceKind::Postgresql, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    home.archives_its_log(Some("store")).await;
    let backup = home.backed_up_to(Some("store")).await;
    let first = home.writes_for(Duration::from_secs(1)).await;
    home.say(MUCH).await;
    let second = home.writes_for(Duration::from_secs(1)).await;
    tokio::time::sleep(soon()).await;
    let good = Timestamp::now();
    tokio::time::sleep(soon()).await;
    home.say("DROP TABLE w").await;
    home.writes_for(Duration::from_millis(500)).await;
    home.archived_without_a_hole().await;
    let all = both(first, second);
    exactly(&home.brought_back(&backup, good).await, &[&all], "before the table was dropped");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
