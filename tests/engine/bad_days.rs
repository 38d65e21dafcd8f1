//! What must not go wrong when things go wrong.

use crate::home::{Home, missing, signal};
use clusterdeck_domain::{Change, NodeState, ServiceKind, Topology};
use clusterdeck_tests::client::Writer;
use std::time::Duration;

fn demo() -> String {
    "demo".to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_primary_is_replaced_and_never_leads_beside_the_new_one() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pid = home.pid("demo-1", "redis").await;
    signal(pid, "-STOP");
    let leads = |c: &clusterdeck_engine::ClusterReport, name: &str| {
        let node = c.spec.find_node(name).unwrap();
        c.observed.as_ref().unwrap().primary().is_some_and(|p| p.node == node.id)
    };
    home.until("hung is shown as hung", |c| {
        let node = c.spec.find_node("demo-1").unwrap();
        c.observed.as_ref().unwrap().node(&node.id).unwrap().state == NodeState::Unresponsive
    })
    .await;
    home.until("another one must lead", |c| leads(c, "demo-2") || leads(c, "demo-3")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    signal(pid, "-CONT");
    let machine = home.cluster().await.spec.find_node("demo-1").unwrap().machine.id.clone();
    home.until_healthy().await;
    let aside = home.dir.path().join(format!("machines/{machine}/redis/data.old-1"));
    assert!(aside.is_dir(), "it was started again as a replica, and what it alone had is kept");
    let written = writer.stop();
    let lost = missing(&home.url().await, &written);
    println!(
        "hung primary: gap {:?}, {} of {} lost",
        written.longest_gap,
        lost.len(),
        written.acknowledged.len()
    );
    // Replication is asynchronous: what the hung node acknowledged in its last moment may be lost, nothing after it.
    assert!(lost.len() < 50, "{} writes lost", lost.len());
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_outlive_the_engine_and_are_found_again() {
    let mut home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let before = home.pid("demo-1", "redis").await;
    let writer = Writer::start(home.url().await, false);
    home.reopen().await;
    home.until_healthy().await;
    let written = writer.stop();
    assert_eq!(written.errors, 0, "nobody who writes notices the app closing and opening");
    assert_eq!(home.pid("demo-1", "redis").await, before, "the same process, not a second one");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_every_process_died_comes_back_with_its_data() {
    let mut home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let written = writer.stop();
    // As after a reboot of the computer: nobody runs, then the app is opened.
    home.engine.shutdown(Duration::ZERO).await;
    for node in ["demo-1", "demo-2", "demo-3"] {
        signal(home.pid(node, "redis").await, "-9");
        signal(home.pid(node, "sentinel").await, "-9");
    }
    home.reopen().await;
    home.until_healthy().await;
    assert_eq!(missing(&home.url().await, &written), Vec::<u64>::new(), "the log on disk has every write");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_is_in_any_file_that_others_can_read_nor_in_any_argument_row_or_log() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    home.done(Change::PromoteNode { node: "demo-2".to_owned() }).await;
    let url = home.url().await;
    let password = url.split(':').nth(2).unwrap().split('@').next().unwrap().to_owned();
    assert!(password.len() >= 32);
    // The people's password is nowhere in clear; the servers' own only in files of mode 0600.
    let found = std::process::Command::new("grep")
        .args(["-rlaF", &password, &home.dir.path().display().to_string()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the password of people is in no file");
    let listed = std::process::Command::new("ps").args(["axeww", "-o", "args"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(&password), "nor in any process's arguments");
    for entry in walk(home.dir.path()) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions()) & 0o077;
        let secret = std::fs::read(&entry).is_ok_and(|c| {
            let text = String::from_utf8_lossy(&c);
            ["masterauth", "auth-pass", "requirepass", "AUTH "].iter().any(|w| text.contains(w))
        });
        assert!(!secret || mode == 0, "{} can be read by others", entry.display());
    }
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
