//! Snapshots that share what did not change between them: what each costs, and what is left when one goes, is cut off or changed.

use crate::{Failing, data, stream};
use clusterdeck_domain::{BackupId, VaultFault};
use clusterdeck_driver::{DriverError, SealKey, Vault as _};
use clusterdeck_vaults::{Snapshots, new_key};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

struct Ground {
    dir: tempfile::TempDir,
    vault: Snapshots,
    key: SealKey,
}

fn ground() -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let vault = Snapshots::new("snapshots", dir.path().join("snapshots"));
    Ground { dir, vault, key: new_key() }
}

fn id(n: u128) -> BackupId {
    BackupId::new(n)
}

impl Ground {
    async fn put(&self, n: u128, data: &[u8]) -> u64 {
        self.vault.put(&id(n), "data", &mut stream(data), &self.key).await.unwrap()
    }
    async fn get(&self, n: u128) -> Result<Vec<u8>, DriverError> {
        let mut back = Vec::new();
        self.vault.get(&id(n), "data", &mut back, &self.key).await?;
        Ok(back)
    }
    async fn used(&self) -> u64 {
        self.vault.check().await.unwrap().used_bytes.unwrap()
    }
    fn at(&self, n: u128) -> PathBuf {
        self.dir.path().join("snapshots").join(id(n).as_str())
    }
    /// The files of the chunks, the largest first: the index is not among them.
    fn chunks(&self, n: u128) -> Vec<PathBuf> {
        let there = fs::read_dir(self.at(n).join("data.chunks")).unwrap();
        let mut found: Vec<PathBuf> = there.map(|e| e.unwrap().path()).collect();
        found.retain(|path| !path.ends_with("index.zst.age"));
        found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
        found
    }
}

/// So many bytes that cannot be compressed.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes);
    fs::File::open("/dev/urandom").unwrap().take(bytes as u64).read_to_end(&mut noise).unwrap();
    noise
}

fn size_of(at: &Path) -> u64 {
    let entries = fs::read_dir(at).unwrap().map(|e| e.unwrap());
    entries.map(|e| if e.path().is_dir() { size_of(&e.path()) } else { e.metadata().unwrap().len() }).sum()
}

#[tokio::test]
async fn a_second_snapshot_costs_what_changed_and_is_whole_when_the_first_is_gone() {
    let ground = ground();
    let first = noise(64 << 20);
    // One percent in one place, and some bytes that came in before the middle: what follows them moves.
    let mut second = first.clone();
    second[10 << 20..][..650_000].fill(7);
    second.splice(30 << 20..30 << 20, *b"some bytes that were not there");
    let begun = Instant::now();
    let cost = ground.put(1, &first).await;
    let took = begun.elapsed();
    assert!(cost > 64 << 20, "noise does not get smaller: {cost}");
    let used = ground.used().await;
    let begun = Instant::now();
    let more = ground.put(2, &second).await;
    println!("64 MiB: {cost} bytes in {took:?}, then {more} in {:?}", begun.elapsed());
    assert!(more < cost / 10, "{more} beside {cost}");
    let both = ground.used().await;
    assert!(both - used < cost / 10, "on the disk as well: {used}, then {both}");
    assert!(ground.get(1).await.unwrap() == first && ground.get(2).await.unwrap() == second);
    let mode = |at: &Path| fs::metadata(at).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&ground.at(1)), mode(&ground.chunks(1)[0])), (0o700, 0o600));

    ground.vault.remove(&id(1)).await.unwrap();
    assert!(ground.get(2).await.unwrap() == second, "it is whole by itself");
    let left = ground.used().await;
    assert!(left > 60 << 20 && left < both, "what only the first one had is gone: {left} of {both}");
    ground.vault.remove(&id(2)).await.unwrap();
    assert_eq!(ground.used().await, 0, "and nothing stays of the last one");
    assert!(matches!(ground.get(2).await.unwrap_err(), DriverError::Gone { .. }));
}

#[tokio::test]
async fn what_lies_there_tells_nothing_without_the_key_and_the_plain_tools_open_it_with_it() {
    let (ground, data) = (ground(), data());
    ground.put(1, &data).await;
    for chunk in ground.chunks(1) {
        assert!(!fs::read(&chunk).unwrap().windows(12).any(|w| w.starts_with(b"line ")), "it is sealed");
    }
    let identity = ground.dir.path().join("key.txt");
    fs::write(&identity, ground.key.secret.reveal()).unwrap();
    let opened = Command::new("sh")
        .args([
            "-c",
            r#"cd "$2" && age -d -i "$1" index.zst.age | zstd -dc | grep -E '^[0-9a-f]{64} ' |
               while read -r name _; do age -d -i "$1" "$name.zst.age" | zstd -dc; done"#,
            "sh",
        ])
        .args([&identity, &ground.at(1).join("data.chunks")])
        .output()
        .expect("a shell");
    assert!(opened.status.success(), "age and zstd: {}", String::from_utf8_lossy(&opened.stderr));
    assert!(opened.stdout == data);
    // The same data for another key: no name is the same, so nobody can look for what he knows.
    let other = new_key();
    ground.vault.put(&id(2), "data", &mut stream(&data), &other).await.unwrap();
    let names =
        |n| ground.chunks(n).into_iter().map(|p| p.file_name().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(names(1).iter().all(|name| !names(2).contains(name)));
    let told = ground.get(2).await.unwrap_err();
    assert!(told.to_string().contains("another key"), "{told}");
}

#[tokio::test]
async fn what_was_changed_in_a_snapshot_is_told_and_the_next_one_does_not_take_it_over() {
    let (ground, data) = (ground(), noise(8 << 20));
    ground.put(1, &data).await;
    let chunk = ground.chunks(1)[0].clone();
    let other = ground.chunks(1)[1].clone();
    let index = chunk.with_file_name("index.zst.age");
    let damaged = async |what: &str| {
        let told = ground.get(1).await.expect_err(what);
        assert!(matches!(told, DriverError::Rejected { .. }), "{what}: {told:?}");
        told.to_string()
    };
    for at in [&chunk, &index] {
        let whole = fs::read(at).unwrap();
        for place in [3, 120, whole.len() / 2, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(at, flipped).unwrap();
            damaged(&format!("byte {place} of {}", at.display())).await;
        }
        for length in [0, 100, whole.len() - 1] {
            fs::write(at, &whole[..length]).unwrap();
            assert!(damaged("a cut one").await.contains("damaged"));
        }
        fs::remove_file(at).unwrap();
        assert!(damaged("a missing one").await.contains("is missing"));
        fs::write(at, whole).unwrap();
    }
    // Sealed as it should be, in the place of another.
    let (mine, its) = (fs::read(&chunk).unwrap(), fs::read(&other).unwrap());
    fs::write(&chunk, &its).unwrap();
    assert!(damaged("another one").await.contains("not the one that its name says"));
    // The next snapshot of the same data finds out and writes that one anew.
    let more = ground.put(2, &data).await;
    assert!(more >= mine.len() as u64 && more < 6 << 20, "{more}");
    assert!(ground.get(2).await.unwrap() == data);
    damaged("the first one is as it was").await;
    fs::write(&chunk, mine).unwrap();
    assert!(ground.get(1).await.unwrap() == data);
}

#[tokio::test]
async fn a_snapshot_that_is_cut_off_leaves_what_was_there_and_nothing_of_its_own() {
    let (ground, data) = (ground(), data());
    ground.put(1, &data).await;
    let before = size_of(&ground.at(1));
    for bytes in [0, 5_000, 9_000_000] {
        let put = ground.vault.put(&id(1), "data", &mut Failing(bytes), &ground.key).await.unwrap_err();
        assert!(put.is_transient() && put.to_string().contains("the server went away"), "{put}");
        assert_eq!((fs::read_dir(ground.at(1)).unwrap().count(), size_of(&ground.at(1))), (1, before));
    }
    // Over one that is there: the new one takes its place, and what is the same is not written again.
    let longer: Vec<u8> = data.iter().copied().chain(*b"and a line more\n").collect();
    assert!(ground.put(1, &longer).await < before / 2);
    assert!(ground.get(1).await.unwrap() == longer);
    // Pieces go one by one as well.
    ground.vault.put(&id(1), "e1.0000", &mut stream(b"one"), &ground.key).await.unwrap();
    for _ in 0..2 {
        ground.vault.remove_piece(&id(1), "e1.0000").await.unwrap();
    }
    let alone = ground.vault.get(&id(1), "e1.0000", &mut Vec::new(), &ground.key).await.unwrap_err();
    assert!(matches!(alone, DriverError::Gone { .. }), "{alone}");
    assert!(ground.get(1).await.unwrap() == longer);
}

#[tokio::test]
async fn where_files_cannot_be_linked_they_are_copied() {
    let (ground, data) = (ground(), noise(4 << 20));
    ground.put(1, &data).await;
    // The earlier one lies on another file system, to which no link leads.
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let there = elsewhere.path().join("there");
    let copied = Command::new("cp").arg("-r").args([&ground.at(1), &there]).status().unwrap();
    assert!(copied.success());
    fs::remove_dir_all(ground.at(1)).unwrap();
    std::os::unix::fs::symlink(&there, ground.at(1)).unwrap();
    let more = ground.put(2, &data).await;
    assert!(more < 4096, "nothing is sealed anew: {more}");
    assert!(ground.chunks(2).iter().all(|chunk| fs::metadata(chunk).unwrap().nlink() == 1));
    drop(elsewhere);
    assert!(ground.get(2).await.unwrap() == data, "a copy of its own");
}

/// Gives bytes without an end, until it is killed.
struct Endless;

impl tokio::io::AsyncRead for Endless {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        buf.put_slice(&noise(buf.remaining().min(64 << 10)));
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_a_killed_snapshot_left_is_none_and_goes_with_the_next() {
    let inside = std::env::var_os("CLUSTERDECK_TEST_KILLED_SNAPSHOT");
    if let Some(at) = inside {
        let vault = Snapshots::new("snapshots", PathBuf::from(at));
        vault.put(&id(2), "data", &mut Endless, &new_key()).await.unwrap();
        return;
    }
    let (ground, data) = (ground(), data());
    ground.put(1, &data).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "snapshots::what_a_killed_snapshot_left_is_none_and_goes_with_the_next"])
        .env("CLUSTERDECK_TEST_KILLED_SNAPSHOT", ground.dir.path().join("snapshots"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !ground.at(2).exists() || size_of(&ground.at(2)) < 4 << 20 {
        assert!(
            begun.elapsed() < Duration::from_secs(30) && child.try_wait().unwrap().is_none(),
            "it writes"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ground.vault.backups().await.unwrap().len(), 2, "there is something that must go");
    assert!(matches!(ground.get(2).await.unwrap_err(), DriverError::Gone { .. }), "and it is no snapshot");
    ground.put(2, &data).await;
    assert_eq!(fs::read_dir(ground.at(2)).unwrap().count(), 1, "the remains went");
    assert!(ground.get(2).await.unwrap() == data && ground.get(1).await.unwrap() == data);
    fs::create_dir(ground.at(2).join(".data.chunks.part-1-0")).unwrap();
    ground.vault.remove(&id(2)).await.unwrap();
    assert!(!ground.at(2).exists());
}

#[tokio::test]
async fn a_full_disk_says_so_and_the_snapshots_on_it_stay() {
    // A file system of 24 MiB in memory, in a namespace of its own: made and given back by this very command.
    let inside = std::env::var_os("CLUSTERDECK_TEST_FULL_SNAPSHOTS");
    let Some(at) = inside else {
        let dir = tempfile::tempdir().unwrap();
        let me = std::env::current_exe().unwrap();
        let mut child = Command::new("unshare")
            .args(["--mount", "--map-root-user", "--", "sh", "-c"])
            .arg(r#"mount -t tmpfs -o size=24m none "$1" && exec "$2" --exact --nocapture snapshots::a_full_disk_says_so_and_the_snapshots_on_it_stay"#)
            .arg("sh")
            .args([dir.path(), &me])
            .env("CLUSTERDECK_TEST_FULL_SNAPSHOTS", dir.path())
            .stdout(Stdio::inherit())
            .spawn()
            .expect("unshare (util-linux)");
        assert!(child.wait().unwrap().success(), "the test inside");
        return;
    };
    let (vault, key) = (Snapshots::new("snapshots", PathBuf::from(at)), new_key());
    let held = noise(12 << 20);
    vault.put(&id(1), "data", &mut stream(&held), &key).await.unwrap();
    let free = vault.check().await.unwrap().free_bytes;
    let told = vault.put(&id(2), "data", &mut stream(&noise(16 << 20)), &key).await.unwrap_err();
    assert!(matches!(told, DriverError::Vault { fault: VaultFault::Full, .. }), "{told:?}");
    assert_eq!(vault.check().await.unwrap().free_bytes, free, "nothing of it is left");
    // One that is the same still fits.
    vault.put(&id(2), "data", &mut stream(&held), &key).await.unwrap();
    vault.remove(&id(1)).await.unwrap();
    let mut back = Vec::new();
    vault.get(&id(2), "data", &mut back, &key).await.unwrap();
    assert!(back == held);
    io::stdout().flush().unwrap();
}
