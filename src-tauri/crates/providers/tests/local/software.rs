//! Programs are found where they are, several versions side by side.

use crate::support::Home;
use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

fn install(home: &Home, folder: &str, program: &str, text: &str) {
    let dir = home.dir.join("software").join(folder).join("bin");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(program);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn versions_side_by_side_are_all_found_newest_first() {
    let home = Home::new();
    install(&home, "old", "toy-server", "echo Toy server v=7.0.9 sha=0");
    install(&home, "new", "toy-server", "echo Toy server v=7.0.15 sha=0");
    install(&home, "twin", "toy-server", "echo Toy server v=7.0.15 sha=0");
    install(&home, "newest", "toy-server", "echo Toy server v=10.1 sha=0");
    let machine = home.machine().await;
    let found = machine.software("toy-server").await.unwrap();
    let versions: Vec<&str> = found.iter().map(|s| s.version.as_str()).collect();
    assert_eq!(versions, ["10.1", "7.0.15", "7.0.9"]);
    assert!(found[0].path.starts_with(home.dir.join("software/newest")), "{:?}", found[0]);
    install(&home, "newest", "toy-server", "echo Toy server v=10.2.1 sha=0");
    let path = home.dir.join("software/newest/bin/toy-server");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(machine.software("toy-server").await.unwrap()[0].version, "10.2.1", "an update is noticed");
}

#[tokio::test]
async fn what_a_program_told_is_known_to_the_next_process_until_its_file_changes() {
    let home = Home::new();
    install(&home, "toy", "toy-server", "echo asked >> ${0%/*}/asked; echo Toy server v=7.0.9");
    let asked = home.dir.join("software/toy/bin/asked");
    let times = || fs::read_to_string(&asked).unwrap_or_default().lines().count();
    for _ in 0..3 {
        // A provider of its own, as each command has.
        let machine = home.machine().await;
        assert_eq!(machine.software("toy-server").await.unwrap()[0].version, "7.0.9");
    }
    assert_eq!(times(), 1, "asked once");
    fs::write(home.dir.join("versions.json"), "{\"no\": ").unwrap();
    assert_eq!(home.machine().await.software("toy-server").await.unwrap()[0].version, "7.0.9");
    assert_eq!(times(), 2, "a note that is damaged is made anew");
}

#[tokio::test]
async fn a_program_that_does_not_answer_is_found_without_a_version() {
    let home = Home::new();
    install(&home, "stuck", "stuck-server", "exec sleep 1000");
    let machine = home.machine().await;
    let begun = Instant::now();
    let found = machine.software("stuck-server").await.unwrap();
    assert_eq!(found.iter().map(|s| s.version.as_str()).collect::<Vec<_>>(), [""]);
    assert!(begun.elapsed().as_secs() < 10, "asked for five seconds: {:?}", begun.elapsed());
    let begun = Instant::now();
    machine.software("stuck-server").await.unwrap();
    assert!(begun.elapsed().as_secs() < 1, "and only once");
}

#[tokio::test]
async fn the_redis_of_this_computer_is_found_and_nothing_outside_by_a_path() {
    let home = Home::new();
    let machine = home.machine().await;
    let found = machine.software("redis-server").await.unwrap();
    assert!(!found.is_empty() && found[0].path.is_absolute(), "the tests need redis-server: {found:?}");
    assert!(found[0].version.starts_with(|c: char| c.is_ascii_digit()), "{found:?}");
    assert!(machine.software("../../bin/sh").await.unwrap().is_empty());
    assert!(machine.software("no-such-server").await.unwrap().is_empty());
}
