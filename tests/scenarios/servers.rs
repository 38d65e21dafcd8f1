//! Servers that are killed or hang while an app watches, and the restart of the whole computer.

use crate::home::{Home, PAIR, signal};
use clusterdeck_tests::client::{Ledger, Writer};
use serde_json::Value;
use std::time::Duration;

fn node<'a>(cluster: &'a Value, name: &str) -> &'a Value {
    cluster["nodes"].as_array().unwrap().iter().find(|n| n["name"] == name).unwrap()
}

#[test]
fn a_killed_replica_comes_back_by_itself_and_no_client_notices() {
    let home = Home::new();
    home.create(&PAIR);
    home.until_healthy();
    let _app = home.serve();
    let writer = Writer::start(home.url(), false);
    let before = home.pid(Some("demo-2"), "redis");
    signal(before, "-KILL");
    home.until("the dead replica must be shown", |c| node(c, "demo-2")["health"] != "healthy");
    home.until_healthy();
    let written = writer.stop();
    assert_ne!(home.pid(Some("demo-2"), "redis"), before, "a new process");
    assert_eq!(written.errors, 0, "who writes to the primary does not notice");
    assert!(written.longest_gap < Duration::from_secs(1), "{:?}", written.longest_gap);
    let mut ledger = Ledger::new(false);
    ledger.add(&written);
    assert!(ledger.len() > 50, "the client must have written");
    ledger.check(&home.url(), "the replica is back");
    home.end();
}

#[test]
fn hung_voters_are_counted_and_readiness_says_so_until_they_answer_again() {
    let home = Home::new();
    home.create(&PAIR);
    let ready = home.until("all vote", |c| c["votes"]["present"] == 3 && c["auto_failover"]["ready"] == true);
    assert_eq!((&ready["votes"]["needed"], &ready["votes"]["total"]), (&2.into(), &3.into()), "{ready:#}");
    let _app = home.serve();
    let one = home.pid(Some("demo-3"), "sentinel");
    let other = home.pid(Some("demo-2"), "sentinel");
    signal(one, "-STOP");
    let two = home.until("two vote", |c| c["votes"]["present"] == 2);
    assert_eq!(two["auto_failover"]["ready"], true, "two of three are a majority: {two:#}");
    signal(other, "-STOP");
    let alone = home.until("one votes, which is no majority", |c| {
        c["votes"]["present"] == 1 && c["auto_failover"]["ready"] == false
    });
    assert!(!alone["auto_failover"]["reason"].as_str().unwrap().is_empty(), "it says why: {alone:#}");
    signal(one, "-CONT");
    signal(other, "-CONT");
    home.until("all vote again", |c| c["votes"]["present"] == 3 && c["auto_failover"]["ready"] == true);
    let cluster = home.until_healthy();
    assert_eq!(node(&cluster, "demo-1")["role"], "primary", "nobody was replaced meanwhile");
    home.end();
}

#[test]
fn a_killed_gateway_is_started_again_and_clients_are_without_it_for_seconds_only() {
    let home = Home::new();
    home.create(&PAIR);
    home.until_healthy();
    let _app = home.serve();
    let writer = Writer::start(home.url(), false);
    std::thread::sleep(Duration::from_millis(300));
    let master = home.pid(None, "haproxy");
    signal(master, "-KILL");
    home.until("another one must run", |c| {
        home.find_pid(None, "haproxy").is_some_and(|pid| pid != master) && c["health"] == "healthy"
    });
    // Writing again is what counts, not that a process is there.
    std::thread::sleep(Duration::from_millis(500));
    let written = writer.stop();
    println!(
        "the gateway was killed: clients were without it for {:?}, {} errors",
        written.longest_gap, written.errors
    );
    assert!(written.longest_gap < Duration::from_secs(10), "{:?}", written.longest_gap);
    let mut ledger = Ledger::new(false);
    ledger.add(&written);
    ledger.check(&home.url(), "the gateway is back");
    assert_eq!(
        home.servers().iter().filter(|(_, line)| line.contains("haproxy")).count(),
        2,
        "one master, one worker"
    );
    home.end();
}

/// As a power cut: everything is gone at once, then somebody starts the app.
fn computer_restarts(shape: &[&str], sharded: bool) {
    let home = Home::new();
    home.create(shape);
    home.until_healthy();
    let mut app = home.serve();
    let url = home.url();
    let mut ledger = Ledger::new(sharded);
    ledger.write(&url);
    let writer = Writer::start(url, sharded);
    std::thread::sleep(Duration::from_millis(500));
    let written = writer.stop();
    assert!(written.acknowledged.len() > 20, "{}", written.acknowledged.len());
    ledger.add(&written);
    app.kill();
    let before = home.servers();
    for (pid, _) in &before {
        // A worker may have ended with its master.
        drop(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).output());
    }
    let begun = std::time::Instant::now();
    let _app = home.serve();
    home.until_healthy();
    println!("everything was killed: healthy {:?} after the app was started", begun.elapsed());
    ledger.check(&home.url(), "after the restart");
    ledger.write(&home.url());
    assert_eq!(
        home.servers().len(),
        before.len(),
        "as many servers as before, none twice: {:#?}",
        home.servers()
    );
    home.end();
}

#[test]
fn after_a_restart_of_the_computer_a_cluster_is_up_again_with_every_write() {
    computer_restarts(&PAIR, false);
}

#[test]
fn after_a_restart_of_the_computer_a_sharded_cluster_is_up_again_with_every_write() {
    computer_restarts(&["--topology", "sharded", "--shards", "3", "--nodes", "6"], true);
}

/// `node shell` becomes the client: nobody types a password, and none is in an argument.
#[test]
fn each_services_own_client_is_signed_in() {
    for (service, words, says) in [
        ("redis", &["acl", "whoami"][..], "default"),
        ("postgresql", &["-Atc", "SELECT current_user"], "app"),
        ("mysql", &["-N", "-e", "SELECT USER()"], "app@"),
    ] {
        let home = Home::new();
        home.ask(&["cluster", "create", "demo", "--service", service, "--topology", "single", "--yes"]);
        let said = home.run(&[&["node", "shell", "demo-1", "--"], words].concat()).status(0);
        assert!(said.out.starts_with(says), "{service}: {said}");
    }
}
