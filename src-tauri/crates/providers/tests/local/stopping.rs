//! Servers stop in order, and end when they do not.

use crate::support::{Home, alive, crashed, pid_of, script, signal, sleeper, unit, until, with_argument};
use clusterdeck_driver::{Progress, UnitState};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_server_that_does_not_stop_when_asked_is_ended_after_its_grace() {
    let home = Home::new();
    let machine = home.machine().await;
    let mut deaf = script("deaf", "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    deaf.stop_grace = Duration::from_millis(400);
    machine.start(&deaf).await.unwrap();
    let log = home.root(&*machine).join("logs/deaf.log");
    until("it has set its trap", || std::fs::read_to_string(&log).is_ok_and(|l| l.contains("ready"))).await;
    let pid = pid_of(&*machine, "deaf").await;
    let begun = Instant::now();
    machine.stop("deaf").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(400), "it got its grace");
    assert!(!alive(pid), "and then ended");
    assert_eq!(machine.state("deaf").await.unwrap(), UnitState::Stopped);
}

#[tokio::test]
async fn a_server_that_stops_when_asked_is_not_waited_for_longer() {
    let home = Home::new();
    let machine = home.machine().await;
    let mut polite = sleeper();
    polite.stop_grace = Duration::from_secs(60);
    machine.start(&polite).await.unwrap();
    let begun = Instant::now();
    machine.stop("sleeper").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_suspended_server_can_be_stopped() {
    let home = Home::new();
    let machine = home.machine().await;
    machine
        .start(&script(
            "server",
            "trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
        ))
        .await
        .unwrap();
    let log = home.root(&*machine).join("logs/server.log");
    until("it is ready", || std::fs::read_to_string(&log).is_ok_and(|l| l.contains("ready"))).await;
    let pid = pid_of(&*machine, "server").await;
    signal(pid, "STOP");
    until("it is suspended", || crate::support::field(pid, 0).as_deref() == Some("T")).await;
    machine.stop("server").await.unwrap();
    assert!(std::fs::read_to_string(&log).unwrap().contains("goodbye"), "in order, not by force");
}

#[tokio::test]
async fn a_redis_that_is_stopped_saves_its_data_first() {
    let home = Home::new();
    let machine = home.machine().await;
    let address = machine.address().to_string();
    machine.create_dir("data").await.unwrap();
    let data = machine.path("data").display().to_string();
    let args = ["--bind", &address, "--port", "6379", "--dir", &data, "--save", "3600 1"];
    machine.start(&unit("server", "/usr/bin/redis-server", &args)).await.unwrap();
    until("it answers", || std::net::TcpStream::connect((machine.address(), 6379)).is_ok()).await;
    let set =
        std::process::Command::new("redis-cli").args(["-h", &address, "set", "a", "b"]).output().unwrap();
    assert!(set.status.success(), "{set:?}");
    machine.stop("server").await.unwrap();
    assert!(machine.exists("data/dump.rdb").await.unwrap(), "it was asked, not killed");
    assert!(machine.disk_bytes("data").await.unwrap() > 0);
}

#[tokio::test]
async fn stopping_what_does_not_run_is_fine_and_stopping_twice_too() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.stop("never-started").await.unwrap();
    assert_eq!(machine.state("never-started").await.unwrap(), UnitState::Absent);
    machine.start(&sleeper()).await.unwrap();
    machine.stop("sleeper").await.unwrap();
    machine.stop("sleeper").await.unwrap();
    assert_eq!(machine.units().await.unwrap(), ["sleeper"], "stopped, not cleared");
}

#[tokio::test]
async fn a_stop_that_was_cut_short_is_finished_by_the_next_start() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    let pid = pid_of(&*machine, "sleeper").await;
    // As a kill right after the wish was noted leaves it.
    crate::support::rewrite_note(&home.root(&*machine), "sleeper", |note| note["intent"] = "stop".into());
    signal(pid, "STOP");
    machine.start(&sleeper()).await.unwrap();
    assert!(!alive(pid), "the old one has ended");
    assert_ne!(pid_of(&*machine, "sleeper").await, pid, "and a new one runs");
}

#[tokio::test]
async fn a_machine_that_is_taken_away_leaves_no_process_and_no_folder() {
    use clusterdeck_driver::Provider;
    let home = Home::new();
    let local = home.local();
    let request = home.request(&local, 1).await;
    let spec = local.machine_spec(&request).unwrap();
    let machine = local.ensure_machine(&request, &Progress::silent()).await.unwrap();
    machine.start(&sleeper()).await.unwrap();
    machine.start(&script("pair", "sleep 5432.1 & sleep 5432.2")).await.unwrap();
    machine.start(&script("dead", "exit 1")).await.unwrap();
    crashed(&*machine, "dead").await;
    until("all run", || with_argument("5432.1").len() + with_argument("5432.2").len() == 2).await;
    let pid = pid_of(&*machine, "sleeper").await;
    local.remove_machine(&spec).await.unwrap();
    assert!(!alive(pid), "no process");
    until("no child of one", || with_argument("5432.1").is_empty() && with_argument("5432.2").is_empty())
        .await;
    assert_eq!(std::fs::read_dir(home.dir.join("machines")).unwrap().count(), 0, "no folder");
    local.remove_machine(&spec).await.unwrap();
    assert!(matches!(local.machine(&spec).await, Err(clusterdeck_driver::DriverError::Gone { .. })));
    let gone = machine.start(&sleeper()).await.unwrap_err();
    assert!(
        matches!(gone, clusterdeck_driver::DriverError::Gone { .. }),
        "nothing starts on it any more: {gone:?}"
    );
    assert!(
        machine.write("x", b"", 0o600).await.is_err() && !home.root(&*machine).exists(),
        "nor comes it back"
    );
}
