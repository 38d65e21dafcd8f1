//! Files of a machine stay inside it and are whole or not there.

use crate::support::{Home, script};
use clusterdeck_driver::DriverError;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_file_has_exactly_the_mode_asked_for_and_nobody_else_sees_the_folders() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.write("conf/server.conf", b"secret", 0o600).await.unwrap();
    machine.write("conf/readable", b"", 0o644).await.unwrap();
    let root = home.root(&*machine);
    assert_eq!(mode(&root.join("conf/server.conf")), 0o600);
    assert_eq!(mode(&root.join("conf/readable")), 0o644);
    for folder in ["", "conf", "units", "logs"] {
        assert_eq!(mode(&root.join(folder)), 0o700, "{folder}");
    }
    machine.start(&script("server", "echo said")).await.unwrap();
    assert_eq!(mode(&root.join("units/server.json")), 0o600);
    assert_eq!(mode(&root.join("logs/server.log")), 0o600);
}

#[tokio::test]
async fn a_reader_sees_the_old_file_or_the_new_one_and_nothing_between() {
    let home = Home::new();
    let machine = home.machine().await;
    let text = |letter: u8| vec![letter; 300_000];
    machine.write("file", &text(b'a'), 0o600).await.unwrap();
    let path = machine.path("file");
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reader = std::thread::spawn({
        let done = std::sync::Arc::clone(&done);
        move || {
            let mut looks = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || looks == 0 {
                let seen = fs::read(&path).unwrap();
                assert_eq!(seen.len(), 300_000, "a whole file");
                assert!(seen.iter().all(|b| *b == seen[0]), "of one write");
                looks += 1;
            }
            looks
        }
    });
    for i in 0..30 {
        machine.write("file", &text(b'a' + i % 26), 0o600).await.unwrap();
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);
    let names: Vec<_> = fs::read_dir(home.root(&*machine)).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        !names.iter().any(|n| n.to_string_lossy().ends_with(".new")),
        "nothing is left beside it: {names:?}"
    );
}

#[tokio::test]
async fn what_a_killed_writer_left_goes_with_the_next_write() {
    let home = Home::new();
    let machine = home.machine().await;
    let mut dead = std::process::Command::new("/bin/true").spawn().unwrap();
    dead.wait().unwrap();
    let left = home.root(&*machine).join(format!(".conf.{}.0.new", dead.id()));
    fs::write(&left, "half a secr").unwrap();
    let busy = home.root(&*machine).join(format!(".conf.{}.7.new", std::process::id()));
    fs::write(&busy, "being written by a living one").unwrap();
    machine.write("conf", b"whole", 0o600).await.unwrap();
    assert!(!left.exists(), "gone");
    assert!(busy.exists(), "not ours to take");
}

#[tokio::test]
async fn paths_that_leave_the_machine_are_refused() {
    let home = Home::new();
    let machine = home.machine().await;
    for path in
        ["/etc/passwd", "../x", "a/../../x", "a/..", "units/server.json", "machine.json", "./units/x", "a\\b"]
    {
        let refused = machine.write(path, b"", 0o600).await.unwrap_err();
        assert!(matches!(refused, DriverError::Rejected { .. }), "write {path}: {refused:?}");
        assert!(machine.remove(path).await.is_err(), "remove {path}");
        assert!(machine.read(path).await.is_err(), "read {path}");
        assert!(machine.rename("a", path).await.is_err(), "rename to {path}");
    }
    for path in ["", ".", "//"] {
        assert!(machine.remove(path).await.is_err(), "the machine's own folder is not removed by `{path}`");
    }
    let root = home.root(&*machine);
    assert_eq!(machine.path("../../x"), root.join("x"), "not even as text");
}

#[tokio::test]
async fn links_that_lead_out_are_refused_and_ones_inside_are_not() {
    let home = Home::new();
    let machine = home.machine().await;
    let root = home.root(&*machine);
    let outside = home.dir.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "x").unwrap();
    symlink(&outside, root.join("out")).unwrap();
    symlink(outside.join("secret"), root.join("secret")).unwrap();
    for path in ["out/file", "out/deeper/file"] {
        assert!(matches!(machine.write(path, b"", 0o600).await, Err(DriverError::Rejected { .. })), "{path}");
    }
    assert!(matches!(machine.remove("out/secret").await, Err(DriverError::Rejected { .. })));
    assert!(matches!(machine.read("secret").await, Err(DriverError::Rejected { .. })));
    machine.write("secret", b"mine", 0o600).await.unwrap();
    assert_eq!(
        fs::read_to_string(outside.join("secret")).unwrap(),
        "x",
        "a write replaces the link, not its target"
    );
    machine.remove("out").await.unwrap();
    assert!(outside.join("secret").exists(), "removing a link does not follow it");
    machine.create_dir("data").await.unwrap();
    symlink(root.join("data"), root.join("alias")).unwrap();
    machine.write("alias/file", b"y", 0o600).await.unwrap();
    assert_eq!(machine.read("data/file").await.unwrap(), b"y");
}

#[tokio::test]
async fn files_come_go_and_move_and_doing_it_twice_is_the_same() {
    let home = Home::new();
    let machine = home.machine().await;
    assert!(matches!(machine.read("data/x").await, Err(DriverError::Gone { .. })));
    assert_eq!(machine.disk_bytes("data").await.unwrap(), 0, "not there");
    machine.write("data/x", &[7; 10_000], 0o600).await.unwrap();
    assert!(machine.disk_bytes("data").await.unwrap() >= 10_000);
    for _ in 0..2 {
        machine.rename("data", "set-aside/data").await.unwrap();
        assert!(machine.exists("set-aside/data/x").await.unwrap() && !machine.exists("data").await.unwrap());
    }
    for _ in 0..2 {
        machine.create_dir("data").await.unwrap();
    }
    assert!(matches!(machine.rename("no", "nowhere").await, Err(DriverError::Gone { .. })));
    machine.remove("set-aside").await.unwrap();
    machine.remove("set-aside").await.unwrap();
    assert!(!machine.exists("set-aside").await.unwrap());
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_and_not_loaded() {
    let home = Home::new();
    let machine = home.machine().await;
    let file = fs::File::create(home.root(&*machine).join("large")).unwrap();
    file.set_len((8 << 20) + 1).unwrap();
    assert!(matches!(machine.read("large").await, Err(DriverError::Rejected { .. })));
    file.set_len(8 << 20).unwrap();
    assert_eq!(machine.read("large").await.unwrap().len(), 8 << 20);
}
