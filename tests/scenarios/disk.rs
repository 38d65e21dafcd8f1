//! A home on a disk that is full or may not be written. The disks are file systems in memory of a size that is changed
//! under the program's feet.

use crate::home::{Home, LOOK, PAIR, PATIENCE, create, finish};
use clusterdeck_tests::client::Ledger;
use std::{path::PathBuf, process::Command, time::Instant};

/// A file system of its own; gone at the end.
struct Disk(PathBuf);

impl Disk {
    /// Below a home.
    fn mount(home: &Home, size: &str) -> Self {
        Self::mount_at(home.path().to_owned(), size)
    }
    fn mount_at(path: PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let options = format!("size={size},mode=700");
        let ended = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "clusterdeck-test"])
            .arg(&path)
            .output();
        let ended = ended.expect("this test needs `mount` (util-linux)");
        assert!(
            ended.status.success(),
            "this test needs to mount a tmpfs: run it as root, or with CAP_SYS_ADMIN in a container ({})",
            String::from_utf8_lossy(&ended.stderr).trim()
        );
        Self(path)
    }
    fn try_remount(&self, options: &str) -> Result<(), String> {
        let options = format!("remount,{options}");
        let ended = Command::new("mount").args(["-o", &options]).arg(&self.0).output().unwrap();
        let why = || format!("{options}: {}", String::from_utf8_lossy(&ended.stderr));
        if ended.status.success() { Ok(()) } else { Err(why()) }
    }
    /// No byte more. What is written while this looks makes it too small a size, which is refused: then it looks again.
    fn fill(&self) {
        let begun = Instant::now();
        while !self.try_fill() {
            assert!(begun.elapsed() < PATIENCE, "it can be filled");
        }
    }
    fn try_fill(&self) -> bool {
        let used = Command::new("df").args(["--output=used", "-B4096"]).arg(&self.0).output().unwrap();
        let used = String::from_utf8_lossy(&used.stdout);
        let pages: u64 = used.lines().last().unwrap().trim().parse().unwrap();
        self.try_remount(&format!("size={}", pages.max(1) * 4096)).is_ok()
    }
    fn free(&self) {
        self.try_remount(&format!("size={ROOMY}")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Servers have it open until their home ends them, after this.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Enough for the plans; memory is used for what is written only.
const ROOMY: &str = "12g";

#[test]
fn a_small_disk_refuses_a_creation_before_anything_is_made() {
    let home = Home::new();
    let disk = Disk::mount(&home, "24m");
    let refused = home.run(&[&["--json"][..], &create(&PAIR)].concat()).status(3).json();
    assert_eq!(refused["code"], "blocked");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("of disk are needed") && detail.contains("are free"), "{detail}");
    assert_eq!(home.left_behind(), Vec::<String>::new());
    disk.free();
    home.create(&PAIR);
    home.until_healthy();
    home.end();
}

#[test]
fn a_disk_that_fills_up_while_a_cluster_is_made_leaves_a_whole_one_or_nothing() {
    let home = Home::new();
    let disk = Disk::mount(&home, ROOMY);
    // The home itself is there before the disk fills up.
    assert_eq!(home.left_behind(), Vec::<String>::new());
    let child = home.command(&[&["--json"][..], &create(&PAIR)].concat()).spawn().unwrap();
    let begun = Instant::now();
    let machines = home.path().join("machines");
    while std::fs::read_dir(&machines).map_or(0, Iterator::count) < 2 {
        assert!(begun.elapsed() < PATIENCE, "the first machines are made");
        std::thread::sleep(LOOK / 50);
    }
    disk.fill();
    let ended = finish(child);
    assert_ne!(ended.status, Some(0), "there was no room for it: {ended}");
    let said = ended.said().to_lowercase();
    assert!(
        said.contains("disk") && (said.contains("full") || said.contains("space")),
        "it says why: {ended}"
    );
    disk.free();
    // What could not be written down while it was full is taken up: all of it is there then, or nothing.
    match home.cluster() {
        Some(_) => {
            assert!(
                ended.said().contains("the next start takes the operation up again"),
                "that was told: {ended}"
            );
            home.until_healthy();
            home.end();
        }
        None => assert_eq!(home.left_behind(), Vec::<String>::new()),
    }
    home.create(&PAIR);
    home.until_healthy();
    home.end();
}

#[test]
fn on_a_full_disk_changes_are_refused_nothing_is_lost_and_it_goes_on_when_there_is_space() {
    let home = Home::new();
    let disk = Disk::mount(&home, ROOMY);
    home.create(&PAIR);
    home.until_healthy();
    let url = home.url();
    let mut ledger = Ledger::new(false);
    ledger.write(&url);
    let mut app = home.serve();
    home.until_healthy();
    disk.fill();
    let listed = home.ask(&["cluster", "list"]);
    assert_eq!(listed["items"][0]["name"], "demo", "an app that runs shows what is there");
    let rotate = ["--json", "cluster", "rotate", "demo", "--yes"];
    let refused = home.run(&rotate).status(1).json();
    assert_eq!(refused["code"], "disk-full", "a change that cannot be written down is refused: {refused:#}");
    ledger.check(&url, "the disk is full");
    // One that starts now cannot open the home, and says so.
    app.kill();
    let refused = home.run(&rotate).status(1).json();
    assert_eq!(refused["code"], "disk-full", "{refused:#}");
    assert!(
        refused["detail"].as_str().unwrap().contains("servers keep running"),
        "what it means: {refused:#}"
    );
    assert!(refused["hint"].as_str().unwrap().contains("disk space"), "what to do: {refused:#}");
    ledger.check(&url, "the disk is full, and no app runs");
    disk.free();
    home.until_healthy();
    home.change(&["cluster", "rotate", "demo", "--yes"]);
    let url = home.url();
    ledger.check(&url, "there is space again");
    ledger.write(&url);
    ledger.check(&url, "writes are taken again");
    home.end();
}

#[test]
fn a_disk_that_may_not_be_written_is_told_and_the_servers_run_on() {
    let home = Home::new();
    let disk = Disk::mount(&home, ROOMY);
    home.create(&PAIR);
    home.until_healthy();
    let url = home.url();
    let mut ledger = Ledger::new(false);
    ledger.write(&url);
    let servers = home.servers();
    // The kernel lets a file system become read-only under open files only by a bind; this is what a user sees of it.
    let seen = home.beside("seen");
    std::fs::create_dir_all(&seen).unwrap();
    let bind = |words: &[&str]| {
        let ended = Command::new("mount").args(words).output().unwrap();
        assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    };
    bind(&["--bind", &disk.0.display().to_string(), &seen.display().to_string()]);
    bind(&["-o", "remount,bind,ro", &seen.display().to_string()]);
    let mut command = home.command(&["--json", "cluster", "list"]);
    command.env("CLUSTERDECK_HOME", &seen);
    let ended = finish(command.spawn().unwrap());
    drop(Command::new("umount").arg("-l").arg(&seen).status());
    let problem = ended.status(1).json();
    assert_eq!(problem["code"], "store-broken", "{problem:#}");
    let said = problem.to_string().to_lowercase();
    assert!(
        said.contains("read-only") && said.contains("permissions"),
        "what happened and what to do: {problem:#}"
    );
    assert!(
        said.contains("servers keep running") || said.contains("nothing was"),
        "what it means: {problem:#}"
    );
    assert_eq!(home.servers(), servers, "the same servers run");
    ledger.check(&url, "the home may not be written");
    home.end();
}

#[test]
fn a_download_that_does_not_fit_is_told_and_leaves_nothing_half() {
    let home = Home::new();
    home.create(&["--service", "redis", "--topology", "single"]);
    home.until_healthy();
    home.change(&["backup", "now", "demo", "--no-verify", "--yes"]);
    let id = home.ask(&["backup", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    // Too small for anything, and for the last of it only.
    let (whole, folder) = (home.beside("whole.tar"), home.beside("downloads"));
    home.run(&["backup", "download", &id, &whole.display().to_string()]).status(0);
    let pages = std::fs::metadata(&whole).unwrap().len().div_ceil(4096);
    assert!(pages > 1, "{pages} pages");
    for room in 1..pages {
        let disk = Disk::mount_at(folder.clone(), &(room * 4096).to_string());
        let file = folder.join("demo.tar").display().to_string();
        let refused = home.run(&["--json", "backup", "download", &id, &file]).status(1).json();
        assert_eq!(refused["code"], "disk-full", "{room} of {pages} pages: {refused:#}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing half");
        drop(disk);
    }
    home.end();
}
