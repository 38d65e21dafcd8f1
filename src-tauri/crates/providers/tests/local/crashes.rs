//! What happens when a server ends without being asked.

use crate::support::{Home, alive, crashed, pid_of, script, signal, sleeper, unit, until, with_argument};
use clusterdeck_driver::{DriverError, Machine, UnitState};
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

/// Waits until a restart is due; says how long that took.
async fn due(machine: &dyn Machine, name: &str) -> Duration {
    let begun = Instant::now();
    while !machine.restart_due(name).await.unwrap() {
        assert!(begun.elapsed() < crate::support::SOON, "never due");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_crash_tells_the_exit_status_and_the_last_lines_of_the_log() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&script("server", "echo all was well; echo then it was not >&2; exit 3")).await.unwrap();
    let (detail, restarts) = crashed(&*machine, "server").await;
    assert!(
        detail.contains("exit status 3") && detail.ends_with("all was well\nthen it was not"),
        "{detail}"
    );
    assert_eq!(restarts, 0);
}

#[tokio::test]
async fn a_crashed_unit_waits_twice_as_long_each_time_and_counts_its_restarts() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&script("server", "exit 1")).await.unwrap();
    crashed(&*machine, "server").await;
    assert!(!machine.restart("server").await.unwrap(), "not before it is due");
    let first = due(&*machine, "server").await;
    assert!(first > Duration::from_millis(350), "half a second, less what the looks took: {first:?}");
    assert!(machine.restart("server").await.unwrap(), "due now");
    assert_eq!(crashed(&*machine, "server").await.1, 1, "one restart");
    let second = due(&*machine, "server").await;
    assert!(second > Duration::from_millis(850), "a second, less what the looks took: {second:?}");
}

#[tokio::test]
async fn a_killed_server_comes_back_with_another_pid() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    let pid = pid_of(&*machine, "sleeper").await;
    signal(pid, "KILL");
    let (detail, _) = crashed(&*machine, "sleeper").await;
    assert!(detail.contains("signal 9"), "{detail}");
    due(&*machine, "sleeper").await;
    assert!(machine.restart("sleeper").await.unwrap());
    let UnitState::Running { pid: next, restarts, .. } = machine.state("sleeper").await.unwrap() else {
        panic!("it runs again")
    };
    assert!(next != pid && restarts == 1, "{next} {restarts}");
    assert!(!machine.restart("sleeper").await.unwrap(), "a running one is left alone");
}

#[tokio::test]
async fn a_start_after_a_crash_counts_as_a_restart_and_one_after_a_stop_does_not() {
    let home = Home::new();
    let machine = home.machine().await;
    let restarts = async || match machine.state("sleeper").await.unwrap() {
        UnitState::Running { restarts, .. } => restarts,
        other => panic!("{other:?}"),
    };
    machine.start(&sleeper()).await.unwrap();
    signal(pid_of(&*machine, "sleeper").await, "KILL");
    crashed(&*machine, "sleeper").await;
    machine.start(&sleeper()).await.unwrap();
    assert_eq!(restarts().await, 1);
    machine.stop("sleeper").await.unwrap();
    machine.start(&sleeper()).await.unwrap();
    assert_eq!(restarts().await, 0);
}

#[tokio::test]
async fn a_unit_that_shall_not_be_restarted_or_was_stopped_is_never_due() {
    let home = Home::new();
    let machine = home.machine().await;
    let mut once = script("once", "exit 1");
    once.restart = false;
    machine.start(&once).await.unwrap();
    crashed(&*machine, "once").await;
    machine.start(&script("server", "exit 1")).await.unwrap();
    crashed(&*machine, "server").await;
    machine.stop("server").await.unwrap();
    assert_eq!(machine.state("server").await.unwrap(), UnitState::Stopped, "a crashed one can be stopped");
    tokio::time::sleep(Duration::from_millis(600)).await; // Longer than the first wait: the absence of something.
    assert!(!machine.restart_due("once").await.unwrap());
    assert!(!machine.restart_due("server").await.unwrap());
    assert!(!machine.restart_due("never-started").await.unwrap());
}

#[tokio::test]
async fn what_a_dead_server_left_running_ends_before_it_is_started_again() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&script("server", "sleep 4321.1 & exec sleep 4321.2")).await.unwrap();
    until("both run", || with_argument("4321.1").len() + with_argument("4321.2").len() == 2).await;
    let worker = with_argument("4321.1")[0];
    signal(pid_of(&*machine, "server").await, "KILL");
    crashed(&*machine, "server").await;
    assert!(alive(worker), "a worker outlives its server");
    due(&*machine, "server").await;
    assert!(machine.restart("server").await.unwrap());
    until("the old worker ends", || !alive(worker)).await;
    machine.stop("server").await.unwrap();
    until("the new one ends with a stop", || with_argument("4321.1").is_empty()).await;
}

#[tokio::test]
async fn a_taken_port_is_told_as_such() {
    let home = Home::new();
    let machine = home.machine().await;
    let address = machine.address().to_string();
    let stranger = TcpListener::bind((machine.address(), 0)).unwrap();
    let port = stranger.local_addr().unwrap().port().to_string();
    let redis = unit("server", "/usr/bin/redis-server", &["--bind", &address, "--port", &port, "--save", ""]);
    // On a busy computer it may take longer than the first look to say so; the crash then tells it.
    let told = match machine.start(&redis).await {
        Err(DriverError::Rejected { what, hint }) => format!("{what}; {hint}"),
        Err(other) => panic!("{other:?}"),
        Ok(()) => crashed(&*machine, "server").await.0,
    };
    assert!(told.contains("port is taken") || told.contains("port it listens on is taken"), "{told}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_refused_with_what_to_do() {
    let home = Home::new();
    let machine = home.machine().await;
    let refused = machine.start(&unit("server", "/usr/bin/no-such-server", &[])).await.unwrap_err();
    assert!(matches!(&refused, DriverError::Rejected { hint, .. } if hint.contains("doctor")), "{refused:?}");
    assert!(matches!(machine.state("server").await.unwrap(), UnitState::Crashed { .. }));
}
