//! Vaults, real ones, and every way to break them; here the one in a folder.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions too")]

mod borg;
mod snapshots;
mod store;

use clusterdeck_domain::{BackupId, VaultFault};
use clusterdeck_driver::{DriverError, Vault as _};
use clusterdeck_vaults::{Folder, new_key};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    pin::Pin,
    process::{Command, Stdio},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, ReadBuf};

struct Ground {
    dir: tempfile::TempDir,
    vault: Folder,
    backup: BackupId,
}

fn ground() -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let vault = Folder::new("local", dir.path().join("vault"));
    Ground { dir, vault, backup: BackupId::new(7) }
}

impl Ground {
    fn file(&self) -> PathBuf {
        self.dir.path().join("vault").join(self.backup.as_str()).join("data.zst.age")
    }
}

/// Some megabytes in which every line differs, so that a piece in the wrong place is seen.
pub(crate) fn data() -> Vec<u8> {
    (0..300_000).flat_map(|n| format!("line {n} of the data\n").into_bytes()).collect()
}

pub(crate) fn stream(data: &[u8]) -> io::Cursor<Vec<u8>> {
    io::Cursor::new(data.to_vec())
}

#[tokio::test]
async fn what_is_put_is_given_back_and_lies_there_small_and_closed() {
    let (ground, key, data) = (ground(), new_key(), data());
    let stored = ground.vault.put(&ground.backup, "data", &mut stream(&data), &key).await.unwrap();
    let mut back = Vec::new();
    ground.vault.get(&ground.backup, "data", &mut back, &key).await.unwrap();
    assert!(back == data, "every byte");
    let meta = fs::metadata(ground.file()).unwrap();
    assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (stored, 0o600));
    assert!(stored < data.len() as u64 / 3, "{stored} of {}", data.len());
    let sealed = fs::read(ground.file()).unwrap();
    assert!(!sealed.windows(12).any(|w| w == b"line 7 of th"), "nothing of it can be read");
    assert_eq!(ground.vault.backups().await.unwrap(), std::slice::from_ref(&ground.backup));
    assert!(ground.vault.check().await.unwrap().free_bytes.unwrap() > 0);

    ground.vault.put(&ground.backup, "e1.0000", &mut stream(b"one"), &key).await.unwrap();
    for _ in 0..2 {
        ground.vault.remove_piece(&ground.backup, "e1.0000").await.unwrap();
    }
    let alone = ground.vault.get(&ground.backup, "e1.0000", &mut Vec::new(), &key).await.unwrap_err();
    assert!(matches!(alone, DriverError::Gone { .. }), "{alone}");
    assert!(ground.file().exists(), "the other piece stays");
    ground.vault.remove(&ground.backup).await.unwrap();
    ground.vault.remove(&ground.backup).await.unwrap();
    assert!(ground.vault.backups().await.unwrap().is_empty());
    let gone = ground.vault.get(&ground.backup, "data", &mut Vec::new(), &key).await.unwrap_err();
    assert!(matches!(gone, DriverError::Gone { .. }), "{gone}");
}

#[tokio::test]
async fn a_folder_whose_disk_is_not_mounted_is_no_vault() {
    let (dir, key, backup) = (tempfile::tempdir().unwrap(), new_key(), BackupId::new(7));
    let at = dir.path().join("disk");
    let vault = Folder::elsewhere("disk", at.clone());
    assert!(vault.check().await.unwrap_err().to_string().contains("is not there"));
    vault.make().await.unwrap();
    vault.check().await.unwrap();
    vault.put(&backup, "data", &mut stream(&data()), &key).await.unwrap();
    // What is mounted there goes, and leaves the folder.
    fs::rename(&at, dir.path().join("away")).unwrap();
    fs::create_dir(&at).unwrap();
    for told in [
        vault.check().await.map(drop),
        vault.put(&backup, "data", &mut stream(&data()), &key).await.map(drop),
        vault.get(&backup, "data", &mut Vec::new(), &key).await,
        vault.remove(&backup).await,
    ] {
        let told = told.unwrap_err();
        let away = matches!(told, DriverError::Vault { fault: VaultFault::Unreachable, passing: false, .. });
        assert!(away, "{told:?}");
    }
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0, "nothing was put beside it");
}

#[tokio::test]
async fn the_plain_tools_open_it_with_the_key_alone() {
    let (ground, key, data) = (ground(), new_key(), data());
    ground.vault.put(&ground.backup, "data", &mut stream(&data), &key).await.unwrap();
    let identity = ground.dir.path().join("key.txt");
    fs::write(&identity, key.secret.reveal()).unwrap();
    let opened = Command::new("sh")
        .args(["-c", r#"age -d -i "$1" "$2" | zstd -dc"#, "sh"])
        .args([&identity, &ground.file()])
        .output()
        .expect("a shell");
    assert!(opened.status.success(), "age and zstd: {}", String::from_utf8_lossy(&opened.stderr));
    assert!(opened.stdout == data);
}

#[tokio::test]
async fn a_flipped_byte_a_cut_stream_and_another_key_are_all_told_apart_from_what_is_whole() {
    let (ground, key, data) = (ground(), new_key(), data());
    ground.vault.put(&ground.backup, "data", &mut stream(&data), &key).await.unwrap();
    let whole = fs::read(ground.file()).unwrap();
    let get = async || ground.vault.get(&ground.backup, "data", &mut Vec::new(), &key).await;
    for at in [3, 120, 250, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(ground.file(), flipped).unwrap();
        let told = get().await.expect_err("a flipped byte is noticed");
        assert!(matches!(told, DriverError::Rejected { .. }), "byte {at}: {told:?}");
    }
    for length in [0, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(ground.file(), &whole[..length]).unwrap();
        let told = get().await.expect_err("a cut stream is noticed");
        assert!(told.to_string().contains("damaged"), "{length} bytes: {told}");
    }
    fs::write(ground.file(), &whole).unwrap();
    let told = ground.vault.get(&ground.backup, "data", &mut Vec::new(), &new_key()).await.unwrap_err();
    assert!(told.to_string().contains("another key"), "{told}");
    get().await.unwrap();
}

/// Gives some bytes, then fails.
pub(crate) struct Failing(pub(crate) usize);

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(io::Error::other("the server went away")));
        }
        let n = self.0.min(buf.remaining()).min(10_000);
        buf.put_slice(&vec![b'x'; n]);
        self.0 -= n;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_copy_that_is_cut_off_leaves_what_was_there_and_nothing_of_its_own() {
    let (ground, key, data) = (ground(), new_key(), data());
    ground.vault.put(&ground.backup, "data", &mut stream(&data), &key).await.unwrap();
    for bytes in [0, 5_000, 3_000_000] {
        let told = ground.vault.put(&ground.backup, "data", &mut Failing(bytes), &key).await.unwrap_err();
        assert!(told.is_transient() && told.to_string().contains("the server went away"), "{told}");
    }
    let mut back = Vec::new();
    ground.vault.get(&ground.backup, "data", &mut back, &key).await.unwrap();
    assert!(back == data, "the one before is untouched");
    let folder = ground.file().parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "no part of another lies there");
}

#[tokio::test]
async fn a_full_vault_says_so_and_keeps_what_it_has() {
    // A file system of 8 MiB in memory, in a namespace of its own: made and given back by this very command.
    let inside = std::env::var_os("CLUSTERDECK_TEST_FULL_VAULT");
    let Some(at) = inside else {
        let dir = tempfile::tempdir().unwrap();
        let me = std::env::current_exe().unwrap();
        let mut child = Command::new("unshare")
            .args(["--mount", "--map-root-user", "--", "sh", "-c"])
            .arg(r#"mount -t tmpfs -o size=8m none "$1" && exec "$2" --exact --nocapture a_full_vault_says_so_and_keeps_what_it_has"#)
            .arg("sh")
            .args([dir.path(), &me])
            .env("CLUSTERDECK_TEST_FULL_VAULT", dir.path())
            .stdout(Stdio::inherit())
            .spawn()
            .expect("unshare (util-linux)");
        assert!(child.wait().unwrap().success(), "the test inside");
        return;
    };
    let (vault, backup, key) = (Folder::new("local", PathBuf::from(at)), BackupId::new(7), new_key());
    vault.put(&backup, "data", &mut stream(&data()), &key).await.unwrap();
    let mut noise = Vec::with_capacity(16 << 20);
    let mut random = fs::File::open("/dev/urandom").unwrap();
    io::copy(&mut io::Read::take(&mut random, 16 << 20), &mut noise).unwrap();
    let told = vault.put(&BackupId::new(8), "data", &mut stream(&noise), &key).await.unwrap_err();
    let full = matches!(told, DriverError::Vault { fault: VaultFault::Full, .. });
    assert!(full && told.to_string().contains("the vault is full"), "{told:?}");
    let mut back = Vec::new();
    vault.get(&backup, "data", &mut back, &key).await.unwrap();
    assert!(back == data(), "what was there is as it was");
    io::stdout().flush().unwrap();
}
