//! Snapshots on real servers, taken while a client writes: each costs little more than what changed, and is whole when the cluster
//! and the snapshots before it are gone.

use crate::{
    backups::{delete, in_place, restore},
    home::Home,
    moments::MUCH,
};
use clusterdeck_domain::{
    Backup, BackupFormat, BackupKind, BackupState, Change, SNAPSHOT_VAULT, ServiceKind, Topology, VaultFacts,
};
use clusterdeck_tests::client::{Ledger, Writer};
use std::time::Instant;
use tokio::io::AsyncReadExt as _;

impl Home {
    async fn snapshot(&self, verify: bool) -> Backup {
        let (cluster, vault) = ("demo".to_owned(), Some(SNAPSHOT_VAULT.to_owned()));
        let operation = self.done(Change::BackUp { cluster, vault, verify: Some(verify) }).await;
        self.made(&operation).await
    }
    async fn snapshots(&self) -> VaultFacts {
        let all = self.engine.vaults().await.unwrap();
        all.into_iter().find(|vault| vault.id == SNAPSHOT_VAULT).expect("it is always there")
    }
}

async fn comes_back(home: Home, service: ServiceKind) {
    home.create(service, Topology::Single, 1, 0).await;
    if service == ServiceKind::Postgresql {
        // Far more than a client writes while a snapshot is taken, and nothing left that a vacuum would touch.
        home.say(MUCH).await;
        home.say("VACUUM (FREEZE) much").await;
    }
    let mut before = Ledger::new(false);
    let url = home.url().await;
    tokio::task::block_in_place(|| (0..20).for_each(|_| before.write(&url)));
    let first = home.snapshot(false).await;
    assert_eq!((first.kind, first.state), (BackupKind::Snapshot, BackupState::Stored));
    let alone = home.snapshots().await.used_bytes;

    let during = Writer::start(home.url().await, false);
    let begun = Instant::now();
    let second = home.snapshot(true).await;
    let took = begun.elapsed();
    let during = during.stop();
    assert_eq!(second.state, BackupState::Verified, "{:?}", second.error);
    assert!(during.acknowledged.len() > 50, "the client must have written: {during:?}");
    let both = home.snapshots().await;
    println!(
        "{service}: {} bytes of {}, then {} in {took:?} with its test; {alone}, then {} on the disk",
        first.size_bytes, first.data_bytes, second.size_bytes, both.used_bytes
    );
    assert_eq!((both.backups, both.problem.clone()), (2, None));
    if service == ServiceKind::Postgresql {
        // A snapshot of Redis is less than a chunk here.
        assert!(
            second.size_bytes < first.size_bytes / 2,
            "{} beside {}",
            second.size_bytes,
            first.size_bytes
        );
        assert!(both.used_bytes < alone * 3 / 2, "{} beside {alone}", both.used_bytes);
    }

    home.done(Change::DeleteBackup { backup: first.id.to_string() }).await;
    home.done(delete()).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
    home.done(restore(&second)).await;
    home.until_healthy().await;
    home.holds(&before, "all that was acknowledged before is there").await;
    let lacks = home.lacks(&during, false).await;
    assert!(!lacks.is_empty(), "what was written after the snapshot is not in it");
    let there = during.acknowledged.len() - lacks.len();
    assert_eq!(lacks, during.acknowledged[there..], "a beginning of what was written, without a hole");
    if service == ServiceKind::Redis {
        as_any_other(&home, &second, &before).await;
    }
    home.done(Change::DeleteBackup { backup: second.id.to_string() }).await;
    assert_eq!(home.snapshots().await.used_bytes, 0, "nothing stays of the last one");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// It is tried again, fetched, and put in the place of what its cluster holds, as a backup in any vault is.
async fn as_any_other(home: &Home, snapshot: &Backup, before: &Ledger) {
    home.done(Change::VerifyBackup { backup: snapshot.id.to_string() }).await;
    let (name, mut content) =
        home.engine.download(snapshot.id.as_str(), BackupFormat::Copy, "test").await.unwrap();
    let mut tar = Vec::new();
    content.read_to_end(&mut tar).await.unwrap();
    assert!(name.ends_with(".tar") && tar.len() as u64 > snapshot.data_bytes, "{name}: {}", tar.len());
    home.done(in_place(snapshot, None)).await;
    home.until_healthy().await;
    home.holds(before, "in place: all that was acknowledged before is there").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_comes_back_from_a_snapshot_taken_under_writes() {
    comes_back(Home::open().await, ServiceKind::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_back_from_a_snapshot_taken_under_writes() {
    comes_back(Home::open().await, ServiceKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_comes_back_from_a_snapshot_taken_under_writes() {
    comes_back(Home::open().await, ServiceKind::Mysql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_in_a_container_comes_back_from_a_snapshot_taken_under_writes() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    comes_back(home, ServiceKind::Mysql).await;
}
