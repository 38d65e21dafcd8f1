//! Backups on real servers, taken while a client writes: what comes back is what was there at one moment, without a hole, and
//! the cluster that comes back lives on.

use crate::home::{Home, PATIENCE};
use clusterdeck_domain::{
    Backup, BackupKind, BackupReason, BackupState, Change, CloneCluster, Operation, OperationState,
    RestoreBackup, SNAPSHOT_VAULT, ServiceKind, Topology,
};
use clusterdeck_tests::client::{Ledger, Writer, Written, connect};
use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn back_up() -> Change {
    Change::BackUp { cluster: "demo".to_owned(), vault: None, verify: None }
}

pub(crate) fn delete() -> Change {
    Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: false }
}

pub(crate) fn in_place(backup: &Backup, keep_within_ms: Option<u64>) -> Change {
    let (cluster, backup) = ("demo".to_owned(), backup.id.to_string());
    Change::RestoreInPlace { cluster, backup, at: None, discard_present: false, keep_within_ms }
}

pub(crate) fn restore(backup: &Backup) -> Change {
    Change::RestoreBackup(RestoreBackup {
        backup: backup.id.to_string(),
        at: None,
        name: Some("demo".to_owned()),
        nodes: None,
        topology: None,
        provider: None,
        region: None,
        plan: None,
    })
}

impl Home {
    pub(crate) async fn made(&self, operation: &Operation) -> Backup {
        let id = operation.outcome.backup.as_ref().expect("an operation that made a backup");
        self.engine.backup(id.as_str()).await.unwrap()
    }
    /// Those of `written` that are not there.
    pub(crate) async fn lacks(&self, written: &Written, sharded: bool) -> Vec<u64> {
        let url = self.url().await;
        tokio::task::block_in_place(|| connect(&url, sharded).unwrap().lacks(&written.acknowledged).unwrap())
    }
    pub(crate) async fn holds(&self, ledger: &Ledger, when: &str) {
        let url = self.url().await;
        tokio::task::block_in_place(|| ledger.check(&url, when));
    }
    /// Does what waits to be kept; meanwhile clients are kept out, and the data can be read on a node itself.
    async fn looked_at_and_kept(&self, change: Change, service: ServiceKind) {
        let operation = self.begin(change).await;
        let begun = Instant::now();
        loop {
            let now = self.engine.operation(&operation.id).await.unwrap();
            if now.state == OperationState::Waiting {
                break;
            }
            assert!(!now.state.is_final() && begun.elapsed() < PATIENCE, "{now:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let url = self.url().await;
        tokio::task::block_in_place(|| {
            let put = connect(&url, false).and_then(|mut people| people.put(1));
            assert!(put.is_err(), "clients are kept out");
        });
        let client = self.engine.client("demo-1").await.unwrap();
        let password = self.engine.credentials("demo", true, "test").await.unwrap().password.unwrap();
        let ask = if service == ServiceKind::Redis { "DBSIZE\n" } else { "SELECT COUNT(*) FROM w;\n" };
        let mut asking = Command::new(&client.program);
        asking.args(&client.args).env(&client.password_variable, password.reveal());
        let mut asking = asking.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        asking.stdin.take().unwrap().write_all(ask.as_bytes()).unwrap();
        let said = asking.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let numbers = said.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
        assert!(numbers.max().is_some_and(|n| n > 20), "what is there can be looked at: {said}");
        self.engine.keep(&operation.id, "test").await.unwrap();
        let ended = self.engine.wait(&operation.id).await.unwrap();
        assert_eq!(ended.state, OperationState::Succeeded, "{:?}", ended.error);
    }
    fn piece(&self, backup: &Backup) -> PathBuf {
        self.dir.path().join("vault/backups").join(backup.id.as_str()).join("data.zst.age")
    }
}

/// Backs a cluster up under writes, destroys it, and brings it back from that backup: it holds a beginning of what was written,
/// all that was acknowledged before, and nothing has a hole. It then takes writes, on as many nodes as before.
async fn comes_back(home: &Home, service: ServiceKind, topology: Topology, nodes: u16, shards: u16) {
    let sharded = topology == Topology::Sharded;
    home.create(service, topology, nodes, shards).await;
    home.until_healthy().await;
    let mut before = Ledger::new(sharded);
    let url = home.url().await;
    tokio::task::block_in_place(|| (0..20).for_each(|_| before.write(&url)));
    let during = Writer::start(home.url().await, sharded);
    let begun = Instant::now();
    let operation = home.done(back_up()).await;
    let took = begun.elapsed();
    let during = during.stop();
    let backup = home.made(&operation).await;
    assert_eq!(backup.state, BackupState::Verified, "{:?}", operation.outcome.notes);
    assert!(during.acknowledged.len() > 50, "the client must have written: {during:?}");
    if topology == Topology::PrimaryReplica {
        let source = home.cluster().await.spec.find_node(&backup.parts[0].node).map(|n| n.name.clone());
        assert_ne!(source, Some(home.primary().await), "a replica gives the copy");
    }

    home.done(delete()).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
    let begun = Instant::now();
    home.done(restore(&backup)).await;
    println!(
        "{service} {topology}: backed up and tried in {took:?} ({} bytes of {}), restored in {:?}",
        backup.size_bytes,
        backup.data_bytes,
        begun.elapsed()
    );
    home.until_healthy().await;
    home.holds(&before, "all that was acknowledged before is there").await;
    let lacks = home.lacks(&during, sharded).await;
    assert!(!lacks.is_empty(), "what was written after the backup is not in it");
    if !sharded {
        let there = during.acknowledged.len() - lacks.len();
        assert_eq!(
            lacks,
            during.acknowledged[there..],
            "it is a beginning of what was written, without a hole"
        );
    }
    let cluster = home.cluster().await;
    assert_eq!(cluster.spec.data_nodes().count(), usize::from(nodes));
    let url = home.url().await;
    tokio::task::block_in_place(|| {
        let mut people = connect(&url, sharded).unwrap();
        (2_000_001..2_000_021).for_each(|number| people.put(number).expect("it takes writes"));
    });
    replaced_and_put_back(home, &before, &during, &lacks, &backup).await;
    if home.ground.is_none() {
        everything_comes_back(home, &before, &during, sharded).await;
    }
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// What the backup holds takes the place of all that was written since, on the same nodes; what was there then comes back the
/// same way.
async fn replaced_and_put_back(
    home: &Home,
    before: &Ledger,
    during: &Written,
    lacked: &[u64],
    backup: &Backup,
) {
    let cluster = home.cluster().await;
    let sharded = cluster.spec.topology == Topology::Sharded;
    let (nodes, url) = (cluster.spec.nodes.clone(), home.url().await);
    tokio::task::block_in_place(|| {
        let mut people = connect(&url, sharded).unwrap();
        lacked.iter().take(20).for_each(|number| people.put(*number).unwrap());
    });
    let since = home.lacks(during, sharded).await;
    assert_ne!(since, lacked);
    let begun = Instant::now();
    let replaced = home.done(in_place(backup, None)).await;
    println!("in place: {:?}", begun.elapsed());
    home.until_healthy().await;
    home.holds(before, "in place: all that was acknowledged before is there").await;
    assert_eq!(home.lacks(during, sharded).await, lacked, "nothing that came later is left");
    assert_eq!(
        (home.cluster().await.spec.nodes, home.url().await),
        (nodes, url),
        "names, addresses, passwords"
    );
    if home.ground.is_none() {
        let back = in_place(&home.made(&replaced).await, Some(60_000));
        home.looked_at_and_kept(back, cluster.spec.service).await;
        home.holds(before, "put back").await;
        assert_eq!(home.lacks(during, sharded).await, since, "put back: what was there");
    }
}

/// The backup that the first deletion began with holds all that was acknowledged by then.
async fn everything_comes_back(home: &Home, before: &Ledger, during: &Written, sharded: bool) {
    home.done(delete()).await;
    let all = home.engine.backups(Some("demo")).await;
    let first = all.iter().filter(|b| b.reason == BackupReason::BeforeDelete).nth(1).expect("two deletions");
    home.done(restore(first)).await;
    home.holds(before, "after the second time").await;
    assert_eq!(home.lacks(during, sharded).await, Vec::<u64>::new(), "all of it, up to the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_back_from_a_backup_taken_under_writes() {
    comes_back(&Home::open().await, ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sharded_redis_comes_back_from_a_backup_taken_under_writes() {
    comes_back(&Home::open().await, ServiceKind::Redis, Topology::Sharded, 6, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_in_containers_comes_back_from_a_backup_taken_under_writes() {
    let Some(home) = Home::in_containers().await else { return };
    comes_back(&home, ServiceKind::Valkey, Topology::PrimaryReplica, 3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_comes_back_from_a_backup_taken_under_writes() {
    comes_back(&Home::open().await, ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_17_in_containers_comes_back_from_a_backup_taken_under_writes() {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    comes_back(&home, ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_comes_back_from_a_backup_taken_under_writes() {
    comes_back(&Home::open().await, ServiceKind::Mysql, Topology::PrimaryReplica, 3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn galera_comes_back_from_a_backup_taken_under_writes() {
    comes_back(&Home::open().await, ServiceKind::Mysql, Topology::MultiMaster, 3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_in_containers_comes_back_from_a_backup_taken_under_writes() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    comes_back(&home, ServiceKind::Mysql, Topology::PrimaryReplica, 3, 0).await;
}

/// A byte that flips in the vault, a stream that was cut there, a key that is lost: each is told, nothing is shown as good that
/// is not, and the other backups stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_changed_in_its_vault_is_never_taken_for_good() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::Single, 1, 0).await;
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(500)).await;
    writer.stop();
    let good = home.made(&home.done(back_up()).await).await;
    let bad = home.made(&home.done(back_up()).await).await;
    let whole = fs::read(home.piece(&bad)).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (what, content) in [("flipped", flipped.as_slice()), ("cut", &whole[..middle]), ("empty", &[])] {
        fs::write(home.piece(&bad), content).unwrap();
        let verified = home.run(Change::VerifyBackup { backup: bad.id.to_string() }).await;
        assert_eq!(verified.state, OperationState::Failed, "{what}");
        assert!(verified.error.as_ref().unwrap().title.contains("damaged"), "{what}: {:?}", verified.error);
        let now = home.engine.backup(bad.id.as_str()).await.unwrap();
        assert_eq!((now.state, now.verified_at), (BackupState::Damaged, None), "{what}");
        let refused = home.engine.preview(restore(&bad)).await.unwrap().preview;
        assert!(refused.blockers.iter().any(|b| b.code == "backup-damaged"), "{what}: {refused:?}");
        assert_eq!(
            home.engine.backup(good.id.as_str()).await.unwrap(),
            good,
            "{what}: the other one is as it was"
        );
    }
    // What was mended by hand is good again once it was tried.
    fs::write(home.piece(&bad), &whole).unwrap();
    home.done(Change::VerifyBackup { backup: bad.id.to_string() }).await;
    assert_eq!(home.engine.backup(bad.id.as_str()).await.unwrap().state, BackupState::Verified);
    home.done(Change::DeleteBackup { backup: bad.id.to_string() }).await;
    assert!(!home.piece(&bad).parent().unwrap().exists(), "nothing of it is left");
    assert!(home.piece(&good).exists());
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert!(!home.piece(&good).exists(), "a deletion that does without them takes them all");
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// A schedule makes the first one at once, keeps as many as it says, and a deletion leaves the last one to recover from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_makes_a_backup_by_itself_and_tells_when_the_next_is_due() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::Single, 1, 0).await;
    // Two of one cluster, each for a vault of its own.
    for (vault, when) in [(None, "6h"), (Some(SNAPSHOT_VAULT), "1h")] {
        let schedule = serde_json::from_value(serde_json::json!({
            "kind": "set-backup-schedule", "cluster": "demo", "vault": vault,
            "schedule": {"when": when, "keep": {"last": 2}}
        }));
        home.done(schedule.unwrap()).await;
    }
    let begun = Instant::now();
    let [made, snapshot] = loop {
        let all = home.engine.backups(Some("demo")).await;
        let of = |kind| all.iter().find(|b| b.kind == kind && b.state == BackupState::Verified).cloned();
        if let (Some(made), Some(snapshot)) = (of(BackupKind::Local), of(BackupKind::Snapshot)) {
            break [made, snapshot];
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{:#?}", home.engine.backups(None).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let cluster = home.cluster().await;
    for (made, hours) in [(&made, 6), (&snapshot, 1)] {
        assert_eq!(made.reason, BackupReason::Scheduled);
        let (schedule, next) = cluster.schedules.iter().find(|(s, _)| s.vault == made.vault).expect("both");
        assert_eq!((schedule.keep.last, schedule.keep.daily), (2, 0));
        assert_eq!(next.unwrap().duration_since(made.created_at).as_secs(), hours * 3600);
    }
    let newest = made.created_at.max(snapshot.created_at);
    assert_eq!(cluster.last_verified_backup, Some(newest));
    home.done(delete()).await;
    let kept = home.engine.backups(Some("demo")).await;
    assert_eq!(kept.len(), 3, "the scheduled ones and the last one: {kept:#?}");
}

/// A clone made while a client writes: what was there at one moment, in another shape, and the one it is of goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_written_to_is_cloned_in_another_shape() {
    let home = Home::open().await;
    home.create(ServiceKind::Postgresql, Topology::Single, 1, 0).await;
    let mut before = Ledger::new(false);
    let url = home.url().await;
    tokio::task::block_in_place(|| (0..20).for_each(|_| before.write(&url)));
    let writer = Writer::start(url, false);
    let wish = CloneCluster {
        cluster: "demo".to_owned(),
        name: None,
        nodes: Some(2),
        topology: Some(Topology::PrimaryReplica),
        provider: None,
        region: None,
        plan: None,
    };
    let cloned = home.done(Change::CloneCluster(wish)).await;
    let during = tokio::task::block_in_place(|| writer.stop());
    assert_eq!(during.errors, 0, "the one it is of goes on: {during:?}");
    let backup = home.made(&cloned).await;
    assert_eq!((backup.reason, backup.state), (BackupReason::ForClone, BackupState::Verified));
    let clone = home.engine.cluster("demo-clone").await.unwrap();
    assert_eq!(clone.spec.data_nodes().count(), 2);
    let credentials = home.engine.credentials("demo-clone", true, "test").await.unwrap();
    let url = credentials.url.unwrap().reveal().clone();
    let lacks = tokio::task::block_in_place(|| {
        before.check(&url, "all that was acknowledged before is there");
        connect(&url, false).unwrap().lacks(&during.acknowledged).unwrap()
    });
    let there = during.acknowledged.len() - lacks.len();
    assert!(!lacks.is_empty() && lacks == during.acknowledged[there..], "one moment: {there}, {lacks:?}");
    for cluster in ["demo-clone", "demo"] {
        home.done(Change::DeleteCluster { cluster: cluster.to_owned(), discard_backups: true }).await;
    }
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
