//! `state.db` and `cache.db`, damaged in every way a disk or a hand can.

use crate::home::{Home, PAIR};
use clusterdeck_tests::client::Ledger;
use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Does something to a file that nobody should.
type Damage = fn(&Path);

/// Writes garbage over the middle of a file, page after page.
fn scribble(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let garbage: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for page in 1..length / 4096 {
        file.write_all_at(&garbage, page * 4096).unwrap();
    }
}

fn truncate(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length / 2 + 100).unwrap();
}

fn empty(path: &Path) {
    std::fs::File::options().write(true).truncate(true).open(path).unwrap();
}

fn foreign(path: &Path) {
    std::fs::write(path, "this is a letter to my aunt, and no database at all\n".repeat(200)).unwrap();
}

/// The files of a database, with what is in them.
fn files(home: &Home, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let all = ["", "-wal"].map(|suffix| home.path().join(format!("{name}{suffix}")));
    all.into_iter().filter_map(|path| std::fs::read(&path).ok().map(|bytes| (path, bytes))).collect()
}

#[test]
fn a_damaged_state_is_told_with_its_meaning_and_the_way_back_and_never_written_over() {
    let home = Home::new();
    home.create(&PAIR);
    home.until_healthy();
    let url = home.url();
    let mut ledger = Ledger::new(false);
    ledger.write(&url);
    let servers = home.servers();
    let state = home.path().join("state.db");
    let sound = std::fs::read(&state).unwrap();
    let copy = home.path().join("state.db.copy");
    assert!(copy.exists(), "a copy is kept from the first operation on");

    let ways: [(&str, Damage); 4] = [
        ("garbage in the middle", scribble),
        ("cut off", truncate),
        ("empty", empty),
        ("another file", foreign),
    ];
    for (what, damage) in ways {
        damage(&state);
        let damaged = files(&home, "state.db");
        // A second time as well: the first one must not have made it worse.
        for _ in 0..2 {
            let ended = home.run(&["--json", "cluster", "list"]).status(1);
            let problem = ended.json();
            assert_eq!(problem["code"], "store-broken", "{what}: {problem:#}");
            let title = problem["title"].as_str().unwrap();
            assert!(
                title.contains("state.db") && title.contains("damaged"),
                "{what}: what happened: {title}"
            );
            assert!(title.contains("keep running"), "{what}: what it means: {title}");
            assert!(title.contains(&format!("copy `{}`", copy.display())), "{what}: the way back: {title}");
        }
        let changed = home.run(&["--json", "cluster", "rotate", "demo", "--yes"]).status(1).json();
        assert_eq!(changed["code"], "store-broken", "{what}: {changed:#}");
        let doctor = home.run(&["doctor"]).status(1);
        assert!(doctor.out.contains("state.db") && doctor.out.contains("damaged"), "{what}: {doctor}");
        assert_eq!(files(&home, "state.db"), damaged, "{what}: not a byte of it was changed");
        assert_eq!(home.servers(), servers, "{what}: the servers run on");
        ledger.check(&url, what);
    }

    // The way back, as it was told.
    for (path, _) in files(&home, "state.db") {
        std::fs::rename(&path, home.beside(path.file_name().unwrap().to_str().unwrap())).unwrap();
    }
    drop(std::fs::remove_file(home.path().join("state.db-shm")));
    std::fs::write(&state, sound).unwrap();
    home.until_healthy();
    ledger.check(&url, "after the way back");
    home.end();
}

#[test]
fn the_copy_that_is_named_as_the_way_back_is_one() {
    let home = Home::new();
    home.create(&PAIR);
    home.until_healthy();
    // Opened again after the creation, the way a next day does: the copy of the day has the cluster in it.
    let copy = home.path().join("state.db.copy");
    drop(std::fs::remove_file(&copy));
    home.run(&["cluster", "list"]).status(0);
    assert!(copy.exists(), "a copy is made where there is none");
    let state = home.path().join("state.db");
    foreign(&state);
    home.run(&["cluster", "list"]).status(1);
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(home.path().join(format!("state.db{suffix}"))));
    }
    std::fs::copy(&copy, &state).unwrap();
    assert_eq!(home.until_healthy()["name"], "demo", "the copy knows the cluster");
    home.end();
}

#[test]
fn a_missing_state_beside_its_copy_is_a_loss_and_not_a_first_start() {
    let home = Home::new();
    home.create(&PAIR);
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(home.path().join(format!("state.db{suffix}"))));
    }
    let problem = home.run(&["--json", "cluster", "list"]).status(1).json();
    let title = problem["title"].as_str().unwrap();
    assert!(title.contains("it is gone") && title.contains("state.db.copy"), "{title}");
    assert!(!home.path().join("state.db").exists(), "no empty one was put in its place");
}

#[test]
fn a_damaged_cache_is_made_anew_without_a_word_of_error() {
    let home = Home::new();
    home.create(&PAIR);
    home.until_healthy();
    let cache = home.path().join("cache.db");
    let ways: [Damage; 4] = [scribble, truncate, empty, foreign];
    for damage in ways {
        damage(&cache);
        let shown = home.run(&["--json", "cluster", "show", "demo"]).status(0);
        assert!(!shown.err.contains("error"), "{shown}");
        home.until_healthy();
        let metrics = home.ask(&["node", "metrics", "demo-1"]);
        assert!(metrics["metrics"]["memory_bytes"].is_number(), "it is measured again: {metrics:#}");
    }
    home.end();
}
