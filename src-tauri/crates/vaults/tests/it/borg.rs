//! A vault in a real Borg repository, on this computer and over ssh.

use crate::{Failing, data, stream};
use clusterdeck_domain::{BackupId, Sensitive, VaultFault};
use clusterdeck_driver::{DriverError, Vault as _};
use clusterdeck_testkit::SshServer;
use clusterdeck_vaults::{Repository, new_key};
use std::{fs, path::Path};

fn repository(at: &str, passphrase: &str, notes: &Path) -> Repository {
    Repository::new("borg", at, Sensitive::new(passphrase.to_owned()), notes.join("borg"))
}

/// What holds wherever the repository is.
async fn keeps_what_it_is_given(vault: &Repository) {
    let (key, backup, other) = (new_key(), BackupId::new(7), BackupId::new(8));
    let told = vault.check().await.unwrap_err();
    assert!(
        told.to_string().contains("there is no repository"),
        "it is made when it is added, and by nothing else: {told}"
    );
    vault.make().await.unwrap();
    vault.check().await.unwrap();
    let get = async |backup: &BackupId| {
        let mut back = Vec::new();
        vault.get(backup, "data", &mut back, &key).await.map(|()| back)
    };
    let first = vault.put(&backup, "data", &mut stream(&data()), &key).await.unwrap();
    vault.put_note(&backup, "manifest.json", b"{}").await.unwrap();
    let second = vault.put(&other, "data", &mut stream(&data()), &key).await.unwrap();
    assert!(second < first / 4, "what is alike lies there once: {first}, then {second} bytes");
    assert!(get(&backup).await.unwrap() == data(), "every byte");
    // One that is cut off is not there, and the repository can be worked in at once.
    let cut = BackupId::new(9);
    for bytes in [0, 3_000_000] {
        let told = vault.put(&cut, "data", &mut Failing(bytes), &key).await.unwrap_err();
        assert!(told.to_string().contains("the server went away"), "{told}");
        vault.remove(&cut).await.unwrap();
        assert!(matches!(get(&cut).await, Err(DriverError::Gone { .. })));
    }
    assert_eq!(vault.backups().await.unwrap(), [backup.clone(), other.clone()]);
    vault.remove(&backup).await.unwrap();
    vault.remove(&backup).await.unwrap();
    assert_eq!(vault.backups().await.unwrap(), std::slice::from_ref(&other));
    assert!(get(&other).await.unwrap() == data(), "the other one is whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_keeps_what_is_alike_once_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("deep/repo").to_string_lossy().into_owned();
    keeps_what_it_is_given(&repository(&at, "a passphrase", dir.path())).await;

    let wrong = repository(&at, "another passphrase", dir.path()).check().await.unwrap_err();
    let refused = matches!(wrong, DriverError::Vault { fault: VaultFault::Refused, .. });
    assert!(refused && wrong.to_string().contains("passphrase"), "{wrong:?}");
    // A byte that flips in a segment is noticed when it is read.
    let (vault, key) = (repository(&at, "a passphrase", dir.path()), new_key());
    let mut segments: Vec<_> = walk(Path::new(&at).join("data").as_path());
    segments.sort_by_key(|file| fs::metadata(file).unwrap().len());
    let largest = segments.pop().unwrap();
    let mut content = fs::read(&largest).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&largest, content).unwrap();
    let told = vault.get(&BackupId::new(8), "data", &mut Vec::new(), &key).await.unwrap_err();
    assert!(matches!(told, DriverError::Rejected { .. }), "{told:?}");
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() { found.extend(walk(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_over_ssh_keeps_what_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let server = SshServer::start(dir.path());
    let at = server.url(&dir.path().join("repo"));
    let vault = repository(&at, "a passphrase", dir.path()).over(&server.rsh());
    keeps_what_it_is_given(&vault).await;
    // Another host's key is refused, not taken.
    server.is_not_who_it_was();
    let told = vault.check().await.unwrap_err();
    assert!(told.to_string().contains("Host key verification failed"), "{told}");
}
