//! Units: each a container; started, stopped, ended by force, found again.

use crate::support::{Home, SOON, container, crashed, pid_of, script, sleeper, unit, until};
use clusterdeck_driver::{DriverError, Provider, UnitState};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_unit_starts_once_runs_as_nobody_and_stops_in_order() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    assert_eq!(machine.state("server").await.unwrap(), UnitState::Absent);
    let text = "trap 'echo bye; exit 0' TERM; echo \"$(id -u) $(pwd)\"; while :; do sleep 0.1; done";
    let server = script("server", text);
    let begun = Instant::now();
    machine.start(&server).await.unwrap();
    println!("a unit starts in {:?}", begun.elapsed());
    let pid = pid_of(&*machine, "server").await;
    machine.start(&server).await.unwrap();
    assert_eq!(pid_of(&*machine, "server").await, pid, "not started twice");
    let other = script("server", "sleep 1000");
    assert!(matches!(machine.start(&other).await, Err(DriverError::Rejected { .. })), "not in another way");
    assert_eq!(machine.units().await.unwrap(), ["server"]);
    let begun = Instant::now();
    machine.stop("server").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "it stops when asked, not at the end of its grace");
    machine.stop("server").await.unwrap();
    assert_eq!(machine.state("server").await.unwrap(), UnitState::Stopped);
    let (lines, _) = machine.log("server", 100, None).await.unwrap();
    assert_eq!(lines, ["65534 /clusterdeck", "bye"]);
    machine.start(&other).await.unwrap();
    assert!(machine.state("server").await.unwrap().is_running(), "another way after a stop");
}

#[tokio::test]
async fn one_that_does_not_stop_when_asked_is_ended_after_its_grace() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    let mut deaf = script("deaf", "trap '' TERM; while :; do sleep 0.05; done");
    deaf.stop_grace = Duration::from_secs(1);
    machine.start(&deaf).await.unwrap();
    machine.stop("deaf").await.unwrap();
    assert_eq!(machine.state("deaf").await.unwrap(), UnitState::Stopped);
    // A suspended one would never see that it is asked.
    let polite = script("polite", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done");
    machine.start(&polite).await.unwrap();
    home.ground.podman(&["kill", "--signal", "STOP", &container("polite")]);
    machine.stop("polite").await.unwrap();
    assert_eq!(machine.log("polite", 10, None).await.unwrap().0, ["bye"]);
}

#[tokio::test]
async fn a_killed_unit_is_a_crash_that_waits_and_is_started_again_by_the_watcher_only() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    let mut server = script("server", "echo started; exec sleep 1000");
    server.restart_not_before = Duration::from_secs(2);
    machine.start(&server).await.unwrap();
    home.kill(&container("server"), "KILL");
    let (detail, restarts) = crashed(&*machine, "server").await;
    assert!(detail.contains("signal 9") && detail.contains("started"), "{detail}");
    assert_eq!(restarts, 0);
    assert!(!machine.restart_due("server").await.unwrap(), "an election goes first");
    assert!(!machine.restart("server").await.unwrap());
    let begun = Instant::now();
    until("the wait ends", async || machine.restart_due("server").await.unwrap()).await;
    assert!(begun.elapsed() > Duration::from_millis(700), "{:?}", begun.elapsed());
    assert!(
        matches!(machine.state("server").await.unwrap(), UnitState::Crashed { .. }),
        "by us, not by the engine"
    );
    assert!(machine.restart("server").await.unwrap());
    let state = machine.state("server").await.unwrap();
    assert!(matches!(state, UnitState::Running { restarts: 1, .. }), "{state:?}");
    assert!(!machine.restart("server").await.unwrap(), "a running one is left alone");

    let mut once = script("once", "exit 3");
    once.restart = false;
    machine.start(&once).await.unwrap();
    let (detail, _) = crashed(&*machine, "once").await;
    assert!(detail.contains("status 3"), "{detail}");
    machine.stop("server").await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_200)).await; // The absence of something.
    assert!(!machine.restart_due("once").await.unwrap(), "shall not be restarted");
    assert!(!machine.restart_due("server").await.unwrap(), "was stopped");
}

#[tokio::test]
async fn a_unit_outlives_the_provider_and_is_found_by_the_next() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    let pid = pid_of(&*machine, "sleeper").await;
    drop(machine);
    let next = home.provider();
    let spec = next.machine_spec(&home.request(1)).unwrap();
    let machine = next.machine(&spec).await.unwrap();
    assert_eq!(pid_of(&*machine, "sleeper").await, pid);
    machine.start(&sleeper()).await.unwrap();
    assert_eq!(pid_of(&*machine, "sleeper").await, pid, "and not started again");
    let usage = machine.usage("sleeper").await.unwrap();
    assert!(usage.memory_bytes.is_some_and(|b| b > 10_000), "{usage:?}");
    assert!(usage.cpu_ms.is_some(), "{usage:?}");
    machine.stop("sleeper").await.unwrap();
    assert_eq!(machine.state("sleeper").await.unwrap(), UnitState::Stopped);
}

#[tokio::test]
async fn killed_between_the_wish_and_the_deed_a_unit_counts_as_crashed_and_can_be_started() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    home.ground.podman(&["rm", "-f", &container("sleeper")]);
    let (detail, _) = crashed(&*machine, "sleeper").await;
    assert!(detail.contains("gone"), "{detail}");
    machine.start(&sleeper()).await.unwrap();
    assert!(machine.state("sleeper").await.unwrap().is_running());
    // Many at once give one.
    machine.stop("sleeper").await.unwrap();
    let spec = sleeper();
    let starts = (0..6).map(|_| machine.start(&spec));
    assert!(futures::future::join_all(starts).await.iter().all(Result::is_ok));
    assert!(machine.state("sleeper").await.unwrap().is_running());
}

#[tokio::test]
async fn after_the_machine_s_container_ended_its_units_come_back_into_the_network() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    let address = machine.address().to_string();
    let redis = unit(
        "server",
        "/usr/bin/redis-server",
        &["--bind", &address, "--save", "", "--protected-mode", "no"],
    );
    machine.start(&redis).await.unwrap();
    let at = (machine.address(), 6379);
    until("it listens", async || tokio::net::TcpStream::connect(at).await.is_ok()).await;
    home.ground.podman(&["kill", &format!("clusterdeck-{}", machine.id())]);
    let next = home.provider();
    let spec = next.machine_spec(&home.request(1)).unwrap();
    let machine = next.machine(&spec).await.unwrap();
    until("the watcher starts it again", async || {
        machine.restart("server").await.unwrap() || machine.state("server").await.unwrap().is_running()
    })
    .await;
    until("it listens again", async || tokio::net::TcpStream::connect(at).await.is_ok()).await;
}

#[tokio::test]
async fn a_program_that_is_not_in_the_image_is_refused_and_a_taken_port_is_told_as_such() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    // On a busy computer it may take longer than the first look to say so; the crash then tells it.
    let tells = |told: &str| told.contains("no-such-server") || told.contains("failed to exec");
    match machine.start(&unit("server", "/usr/bin/no-such-server", &[])).await {
        Err(DriverError::Rejected { what, .. }) => assert!(tells(&what), "{what}"),
        Err(other) => panic!("{other:?}"),
        Ok(()) => until("the crash tells why", async || tells(&crashed(&*machine, "server").await.0)).await,
    }
    crashed(&*machine, "server").await;
    let args = ["--bind", "127.0.0.1", "--save", ""];
    machine.start(&unit("one", "/usr/bin/redis-server", &args)).await.unwrap();
    let told = match machine.start(&unit("two", "/usr/bin/redis-server", &args)).await {
        Err(DriverError::Rejected { what, .. }) => what,
        Err(other) => panic!("{other:?}"),
        // On a busy computer it may take longer than the first look to say so.
        Ok(()) => crashed(&*machine, "two").await.0.to_lowercase(),
    };
    assert!(
        told.contains("port it listens on is taken") || told.contains("address already in use"),
        "{told}"
    );
}

#[tokio::test]
async fn a_log_is_read_to_its_end_and_on_from_there_with_nothing_twice() {
    let Some(home) = Home::enter().await else { return };
    let machine = home.machine().await;
    let text = "for i in 1 2 3 4 5; do echo line $i; done; while [ ! -e go ]; do sleep 0.05; done; echo more >&2; exec sleep 100";
    machine.start(&script("server", text)).await.unwrap();
    until("it has spoken", async || machine.log("server", 10, None).await.unwrap().0.len() == 5).await;
    let (lines, position) = machine.log("server", 2, None).await.unwrap();
    assert_eq!(lines, ["line 4", "line 5"]);
    assert_eq!(machine.log("server", 10, Some(position)).await.unwrap(), (Vec::new(), position));
    machine.write("go", b"", 0o600).await.unwrap();
    let begun = Instant::now();
    loop {
        let (lines, next) = machine.log("server", 10, Some(position)).await.unwrap();
        if !lines.is_empty() {
            assert_eq!(lines, ["more"]);
            assert!(next > position);
            return;
        }
        assert!(begun.elapsed() < SOON, "the next line must come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
