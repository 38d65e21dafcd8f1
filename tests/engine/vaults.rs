//! Each family in vaults that are not a folder: an S3-compatible store and a Borg repository behind ssh, both real. What was
//! copied there under writes is tried there, outlives the cluster, and comes back from either without a hole.

use crate::home::Home;
use clusterdeck_domain::{
    Backup, BackupState, Change, RestoreBackup, Sensitive, ServiceKind, Topology, VaultPlace, VaultSpec,
};
use clusterdeck_testkit::{
    ObjectStore, SshServer,
    containers::Ground,
    object_store::{BUCKET, SECRET},
};
use clusterdeck_tests::client::{Ledger, Writer, Written, connect};
use std::time::Instant;

const VAULTS: [&str; 2] = ["store", "repository"];

impl Home {
    pub(crate) async fn has_vault(&self, id: &str, place: VaultPlace, secret: &str) {
        let (id, secret) = (id.to_owned(), Sensitive::new(secret.to_owned()));
        self.engine.add_vault(VaultSpec { id, place }, Some(secret), "test").await.unwrap();
    }
    /// A copy in that vault, taken while a client writes, and what the client wrote.
    async fn copied_to(&self, vault: &str) -> (Backup, Written) {
        let writer = Writer::start(self.url().await, false);
        let begun = Instant::now();
        let change =
            Change::BackUp { cluster: "demo".to_owned(), vault: Some(vault.to_owned()), verify: Some(true) };
        let operation = self.done(change).await;
        println!("{vault}: copied and tried in {:?}", begun.elapsed());
        let written = tokio::task::block_in_place(|| writer.stop());
        let backup = self.engine.backup(operation.outcome.backup.unwrap().as_str()).await.unwrap();
        assert_eq!(backup.state, BackupState::Verified, "{vault}: {backup:#?}");
        assert!(written.acknowledged.len() > 50, "{vault}: the client must have written: {written:?}");
        (backup, written)
    }
    async fn comes_back_from(&self, (backup, during): &(Backup, Written), before: &Ledger) {
        let begun = Instant::now();
        let change = Change::RestoreBackup(RestoreBackup {
            backup: backup.id.to_string(),
            at: None,
            name: Some("demo".to_owned()),
            nodes: None,
            topology: None,
            provider: None,
            region: None,
            plan: None,
        });
        self.done(change).await;
        println!("{}: restored in {:?}", backup.vault, begun.elapsed());
        let url = self.url().await;
        let lacks = tokio::task::block_in_place(|| {
            before.check(&url, "all that was acknowledged before is there");
            connect(&url, false).unwrap().lacks(&during.acknowledged).unwrap()
        });
        assert!(!lacks.is_empty(), "what was written after the copy is not in it");
        let there = during.acknowledged.len() - lacks.len();
        assert_eq!(lacks, during.acknowledged[there..], "a beginning of what was written, without a hole");
    }
}

async fn goes_to_both_and_comes_back(service: ServiceKind, ground: Option<Ground>) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let store = tokio::task::spawn_blocking(ObjectStore::start).await.unwrap();
    let far = tempfile::tempdir().unwrap();
    let server = SshServer::start(far.path());
    let home = Home::open_that_reaches(Some(server.rsh()), ground).await;
    home.has_vault("store", store.place(BUCKET), SECRET).await;
    let repository = VaultPlace::Borg { repository: server.url(&far.path().join("repo")) };
    home.has_vault("repository", repository, "a passphrase").await;
    home.create(service, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let mut before = Ledger::new(false);
    let url = home.url().await;
    tokio::task::block_in_place(|| (0..20).for_each(|_| before.write(&url)));
    let mut copies = Vec::new();
    for vault in VAULTS {
        copies.push(home.copied_to(vault).await);
    }
    for copy in &copies {
        home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: false }).await;
        home.comes_back_from(copy, &before).await;
    }
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_back_from_a_store_and_from_a_repository_behind_ssh() {
    goes_to_both_and_comes_back(ServiceKind::Redis, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_comes_back_from_a_store_and_from_a_repository_behind_ssh() {
    goes_to_both_and_comes_back(ServiceKind::Postgresql, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_comes_back_from_a_store_and_from_a_repository_behind_ssh() {
    goes_to_both_and_comes_back(ServiceKind::Mysql, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_in_a_container_comes_back_from_a_store_and_from_a_repository_behind_ssh() {
    let Some(ground) = Ground::enter_with_mysql() else { return };
    goes_to_both_and_comes_back(ServiceKind::Mysql, Some(ground)).await;
}
