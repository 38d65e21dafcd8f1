//! What happens when the files are not what was written.

use crate::made;
use clusterdeck_engine::repository::{CacheRepository, Page, RepositoryError, StateRepository};
use clusterdeck_store::{Cache, State};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A home with some history in it, closed.
async fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let state = State::open(home.path()).expect("opens");
    for number in 0..30 {
        let spec = made::cluster(number, &format!("demo{number}"));
        let row = made::operation(number, &spec, Some(&format!("key{number}")));
        let (line, audit) = (made::line(&row, "begins"), made::audit(&row, "asked"));
        state.create_operation(&row, &line, &audit, Some(&spec)).await.expect("creates");
        state.record(&row, &made::line(&row, "goes on")).await.expect("records");
    }
    home
}

/// Everything that steers the engine, as text; an error where anything cannot be read.
async fn read_all(home: &Path) -> Result<String, RepositoryError> {
    let state = State::open(home)?;
    let everything = Page { limit: 500, ..Page::default() };
    let mut steers = format!("{:?}{:?}", state.clusters().await?, state.unfinished().await?);
    for operation in state.operations(&everything).await?.0 {
        let row = state.operation(&operation.id).await?;
        let key = row.as_ref().and_then(|row| row.idempotency_key.clone()).unwrap_or_default();
        steers += &format!("{row:?}{:?}", state.operation_by_key(&key).await?);
        state.journal(&operation.id).await?;
    }
    state.audit(&everything).await?;
    Ok(steers)
}

fn contents(home: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(home).expect("lists") {
        let path = entry.expect("an entry").path();
        // The index of the log is rebuilt by whoever opens the file; it holds nothing.
        if !path.to_string_lossy().ends_with("-shm") {
            found.insert(path.clone(), fs::read(&path).expect("reads"));
        }
    }
    found
}

#[tokio::test]
async fn a_damaged_state_is_refused_with_the_way_back_and_left_as_it_is() {
    for (damage, size) in [("header", 0), ("half", 50), ("one page", 90), ("empty", 0), ("gone", 0)] {
        let home = home().await;
        let path = home.path().join("state.db");
        let whole = fs::read(&path).expect("reads");
        match damage {
            "header" => {
                let mut bytes = whole.clone();
                bytes[..16].fill(b'x');
                fs::write(&path, bytes).expect("writes");
            }
            "empty" => fs::write(&path, []).expect("writes"),
            "gone" => fs::remove_file(&path).expect("removes"),
            _ => fs::write(&path, &whole[..whole.len() * size / 100]).expect("writes"),
        }
        let before = contents(home.path());
        let Err(RepositoryError::Broken { file, what }) = State::open(home.path()) else {
            panic!("{damage}: must be refused")
        };
        assert_eq!(file, path.display().to_string(), "{damage}: it names the file");
        for word in
            ["damaged", "servers keep running", "nothing was changed or deleted", "state.db.copy", "UTC"]
        {
            assert!(what.contains(word), "{damage}: `{word}` is missing from: {what}");
        }
        assert_eq!(contents(home.path()), before, "{damage}: nothing in the home was changed");
    }
}

#[tokio::test]
async fn the_way_back_that_the_error_names_works() {
    let home = home().await;
    let path = home.path().join("state.db");
    let whole = fs::read(&path).expect("reads");
    fs::write(&path, &whole[..whole.len() / 2]).expect("damages");
    assert!(State::open(home.path()).is_err(), "damaged");
    let aside = home.path().join("aside");
    fs::create_dir(&aside).expect("a folder");
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        if home.path().join(name).exists() {
            fs::rename(home.path().join(name), aside.join(name)).expect("aside");
        }
    }
    fs::copy(home.path().join("state.db.copy"), &path).expect("back");
    let state = State::open(home.path()).expect("opens");
    // The copy was made after the first operation: one cluster, and its operation to take up again.
    assert_eq!(state.clusters().await.expect("reads"), [made::cluster(0, "demo0")], "what the copy held");
    assert_eq!(state.unfinished().await.expect("reads").len(), 1, "its operation too");
    state.put_cluster(&made::cluster(50, "new")).await.expect("and it can be written");
}

#[tokio::test]
async fn flipped_bytes_are_found_or_harmless_but_never_taken_for_the_truth() {
    let home = home().await;
    let path = home.path().join("state.db");
    let truth = read_all(home.path()).await.expect("whole");
    let whole = fs::read(&path).expect("reads");
    let mut found = 0;
    let mut round = 0;
    // A step that is prime to the page size meets every part of a page.
    for place in (0..whole.len()).step_by((whole.len() / 150) | 1) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        for name in ["state.db-wal", "state.db-shm"] {
            let _absent = fs::remove_file(home.path().join(name)).is_err();
        }
        fs::write(&path, &bytes).expect("writes");
        round += 1;
        match read_all(home.path()).await {
            Err(_) => found += 1,
            // The words of the audit trail and the journal carry no checksum; they steer nothing.
            Ok(read) => assert_eq!(read, truth, "byte {place} was flipped and taken for the truth"),
        }
    }
    assert!(found * 3 > round, "much of the file matters: {found} of {round} were found");
}

#[tokio::test]
async fn a_log_without_its_file_is_not_thrown_away() {
    let home = tempfile::tempdir().expect("a folder");
    fs::write(home.path().join("state.db-wal"), [7; 4096]).expect("a log");
    let error = State::open(home.path()).err().expect("refused").to_string();
    assert!(error.contains("it is gone"), "{error}");
    assert_eq!(fs::read(home.path().join("state.db-wal")).expect("still there").len(), 4096, "untouched");
}

#[tokio::test]
async fn a_row_changed_by_another_hand_is_not_believed() {
    let home = home().await;
    let file = rusqlite::Connection::open(home.path().join("state.db")).expect("opens");
    let changed = file
        .execute(
            "UPDATE clusters SET body = replace(body, '127.20.1.1', '127.20.1.9') WHERE name = 'demo3'",
            [],
        )
        .expect("changes");
    assert_eq!(changed, 1, "one row");
    drop(file);
    let state = State::open(home.path()).expect("the file itself is sound");
    let error = state.clusters().await.expect_err("its row is not").to_string();
    assert!(error.contains("checksum of the row of cluster `demo3`"), "{error}");
}

#[tokio::test]
async fn a_copy_is_kept_daily_and_three_of_them() {
    let home = home().await;
    let copy = |age: &str| home.path().join(format!("state.db.copy{age}"));
    let yesterday = || {
        let file = fs::File::options().write(true).open(copy("")).expect("the copy");
        let day = std::time::Duration::from_secs(25 * 60 * 60);
        file.set_modified(std::time::SystemTime::now() - day).expect("made older");
    };
    let clusters = |path: PathBuf| -> i64 {
        let copy = rusqlite::Connection::open(path).expect("a copy");
        copy.query_row("SELECT count(*) FROM clusters", [], |row| row.get(0)).expect("its rows")
    };
    assert_eq!(clusters(copy("")), 1, "the first is made as soon as there is something to lose");
    drop(State::open(home.path()).expect("opens"));
    assert_eq!(clusters(copy("")), 1, "it is fresh");
    assert!(!copy(".1").exists(), "so there is no second one");

    for day in 1..=4 {
        yesterday();
        let state = State::open(home.path()).expect("opens");
        state.put_cluster(&made::cluster(100 + day, &format!("day{day}"))).await.expect("writes");
    }
    assert_eq!(clusters(copy("")), 33, "the newest is of the start of the last day");
    assert_eq!((clusters(copy(".1")), clusters(copy(".2"))), (32, 31), "then the days before");
    assert!(!copy(".3").exists(), "three are kept");
    let left: Vec<_> =
        contents(home.path()).into_keys().filter(|p| p.to_string_lossy().contains("draft")).collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "nothing half made is left");
}

#[tokio::test]
async fn a_damaged_cache_is_moved_aside_and_made_anew() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("cache.db");
    let spec = made::cluster(1, "demo");
    for damage in ["nonsense", "truncated", "flipped"] {
        {
            let cache = Cache::open(home.path()).expect("opens");
            cache.put_observed(&spec.id, &made::observed(&spec)).await.expect("writes");
        }
        let mut bytes = fs::read(&path).expect("reads");
        match damage {
            "nonsense" => bytes.fill(7),
            "truncated" => bytes.truncate(bytes.len() / 2),
            _ => bytes[100..200].fill(0xff),
        }
        fs::write(&path, &bytes).expect("damages");
        let cache = Cache::open(home.path()).unwrap_or_else(|e| panic!("{damage}: {e}"));
        assert!(cache.observed().await.expect("reads").is_empty(), "{damage}: it begins anew");
        assert_eq!(
            fs::read(home.path().join("cache.db.damaged")).expect("kept"),
            bytes,
            "{damage}: moved aside"
        );
    }
}

#[tokio::test]
async fn a_cache_that_is_damaged_while_it_runs_is_made_anew_too() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(home.path()).expect("opens");
    let spec = made::cluster(1, "demo");
    cache.put_observed(&spec.id, &made::observed(&spec)).await.expect("writes");
    let other = rusqlite::Connection::open(home.path().join("cache.db")).expect("opens");
    other.execute("UPDATE observed SET body = body || ' '", []).expect("changes a row without its checksum");
    drop(other);
    assert!(cache.observed().await.expect("answers").is_empty(), "what cannot be believed is given up");
    cache.put_observed(&spec.id, &made::observed(&spec)).await.expect("writes");
    assert_eq!(cache.observed().await.expect("reads").len(), 1, "and it goes on");
}

#[tokio::test]
async fn a_cache_of_a_newer_program_is_made_anew() {
    let home = tempfile::tempdir().expect("a folder");
    drop(Cache::open(home.path()).expect("opens"));
    let file = rusqlite::Connection::open(home.path().join("cache.db")).expect("opens");
    file.pragma_update(None, "user_version", 99).expect("newer");
    drop(file);
    let cache = Cache::open(home.path()).expect("opens");
    assert!(cache.observed().await.expect("reads").is_empty(), "and can be used");
}
