//! Servers outlive the program that started them, and are found again.

use crate::support::{
    Home, alive, field, pid_of, processes, rewrite_note, sleeper, unit, until, with_argument,
};
use clusterdeck_driver::UnitState;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

const HOME: &str = "CLUSTERDECK_TEST_HOME";

/// By itself: a started unit runs and stops. Started by the tests below with a home: it stays until it is killed.
#[tokio::test]
async fn a_started_unit_runs_in_a_session_of_its_own() {
    let Ok(given) = std::env::var(HOME) else {
        let home = Home::new();
        let machine = home.machine().await;
        machine.start(&sleeper()).await.unwrap();
        let pid = pid_of(&*machine, "sleeper").await;
        assert_eq!(field(pid, 3).unwrap(), pid.to_string(), "it leads its own session");
        machine.stop("sleeper").await.unwrap();
        assert!(!alive(pid), "stopped");
        return;
    };
    let local = clusterdeck_providers::Local::new(given.into());
    let request = serde_json::from_str(&std::env::var("CLUSTERDECK_TEST_REQUEST").unwrap()).unwrap();
    let machine = clusterdeck_driver::Provider::ensure_machine(
        &local,
        &request,
        &clusterdeck_driver::Progress::silent(),
    )
    .await
    .unwrap();
    machine.start(&sleeper()).await.unwrap();
    println!("\nrunning {}", pid_of(&*machine, "sleeper").await);
    // Until the one who started us kills us, or is gone.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Starts `sleeper` from another process, which is then killed; gives the unit's pid.
async fn started_by_somebody_who_was_killed(home: &Home) -> u32 {
    let request = serde_json::to_string(&home.request(&home.local(), 1).await).unwrap();
    // Through a shell that leaves a descriptor open, as build tools and terminals do.
    let mut parent = Command::new("/bin/sh")
        .args(["-c", r#"exec 9>/dev/null "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "outliving::a_started_unit_runs_in_a_session_of_its_own", "--nocapture"])
        .env(HOME, &home.dir)
        .env("CLUSTERDECK_TEST_REQUEST", request)
        .env("REDISCLI_AUTH", "hunter2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pid =
        lines.find_map(|line| line.unwrap().strip_prefix("running ")?.parse().ok()).expect("it says its pid");
    assert_eq!(field(pid, 1).unwrap(), parent.id().to_string(), "its parent lives");
    parent.kill().unwrap();
    parent.wait().unwrap();
    pid
}

#[tokio::test]
async fn a_unit_outlives_the_program_that_started_it_and_is_found_by_the_next() {
    let home = Home::new();
    let pid = started_by_somebody_who_was_killed(&home).await;
    assert!(alive(pid), "it outlives its parent");
    let machine = home.machine().await;
    assert_eq!(pid_of(&*machine, "sleeper").await, pid, "the next one finds the same process");
    machine.start(&sleeper()).await.unwrap();
    assert_eq!(pid_of(&*machine, "sleeper").await, pid, "and does not start it again");
    machine.stop("sleeper").await.unwrap();
    assert!(!alive(pid), "and can stop it");
    assert_eq!(machine.state("sleeper").await.unwrap(), UnitState::Stopped);
}

#[tokio::test]
async fn a_unit_gets_no_secret_and_no_open_file_of_the_program_that_started_it() {
    let home = Home::new();
    let pid = started_by_somebody_who_was_killed(&home).await;
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let names: Vec<&str> =
        environment.split('\0').filter_map(|one| one.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.contains(&"PATH"), "{names:?}");
    let strangers: Vec<&&str> =
        names.iter().filter(|n| !["PATH", "LANG", "TZ", "CLUSTERDECK_UNIT"].contains(n)).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    let mut files: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["0", "1", "2"], "nothing that we or our parent had open");
}

/// The note as it is between the start of a process and the writing down of its pid.
fn forget_the_process(note: &mut Value) {
    note["process"] = Value::Null;
}

#[tokio::test]
async fn killed_between_the_start_and_the_note_of_it_nothing_is_started_twice() {
    let home = Home::new();
    let pid = started_by_somebody_who_was_killed(&home).await;
    let local = home.local();
    let machine = home.machine_of(&local, 1).await;
    rewrite_note(&home.root(&*machine), "sleeper", forget_the_process);
    machine.start(&sleeper()).await.unwrap();
    assert_eq!(pid_of(&*machine, "sleeper").await, pid, "found by its mark");
    let log = home.root(&*machine).join("logs/sleeper.log");
    let running: Vec<u32> = processes()
        .into_iter()
        .filter(|pid| fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|out| out == log))
        .collect();
    assert_eq!(running, [pid], "one process");
}

#[tokio::test]
async fn a_server_that_wipes_its_environment_is_found_by_its_output() {
    let home = Home::new();
    let machine = home.machine().await;
    let address = machine.address().to_string();
    let redis =
        unit("server", "/usr/bin/redis-server", &["--bind", &address, "--port", "6379", "--save", ""]);
    machine.start(&redis).await.unwrap();
    let pid = pid_of(&*machine, "server").await;
    until("Redis sets its title", || {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| !e.windows(11).any(|w| w == b"CLUSTERDECK"))
    })
    .await;
    rewrite_note(&home.root(&*machine), "server", forget_the_process);
    assert_eq!(pid_of(&*machine, "server").await, pid, "a look finds it");
    rewrite_note(&home.root(&*machine), "server", forget_the_process);
    machine.stop("server").await.unwrap();
    assert!(!alive(pid), "and so does a stop");
}

#[tokio::test]
async fn killed_before_the_start_the_unit_counts_as_crashed_and_can_be_started() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    machine.stop("sleeper").await.unwrap();
    rewrite_note(&home.root(&*machine), "sleeper", |note| note["intent"] = "run".into());
    let (detail, _) = crate::support::crashed(&*machine, "sleeper").await;
    assert!(detail.contains("about to be started"), "{detail}");
    machine.start(&sleeper()).await.unwrap();
    pid_of(&*machine, "sleeper").await;
}

/// A process that no unit knows, ended with the test.
struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

#[tokio::test]
async fn a_pid_that_went_to_somebody_else_is_not_mistaken_for_the_unit() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    machine.stop("sleeper").await.unwrap();
    let mut stranger = Stranger(Command::new("/usr/bin/sleep").arg("1000").spawn().unwrap());
    let pid = stranger.0.id();
    rewrite_note(&home.root(&*machine), "sleeper", |note| {
        note["intent"] = "run".into();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
        note["process"] = serde_json::json!({"pid": pid, "started": 1, "boot": boot});
    });
    let state = machine.state("sleeper").await.unwrap();
    let usage = machine.usage("sleeper").await.unwrap();
    machine.stop("sleeper").await.unwrap();
    let spared = stranger.0.try_wait().unwrap().is_none();
    assert!(matches!(state, UnitState::Crashed { .. }), "{state:?}");
    assert_eq!(usage.memory_bytes, None, "a stranger's memory is not the unit's");
    assert!(spared, "and is never signalled");
}

#[tokio::test]
async fn a_process_of_an_earlier_boot_is_gone_whatever_has_its_pid() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    rewrite_note(&home.root(&*machine), "sleeper", |note| note["process"]["boot"] = "another".into());
    let (detail, _) = crate::support::crashed(&*machine, "sleeper").await;
    assert!(detail.contains("started anew"), "{detail}");
}

#[tokio::test]
async fn many_starts_at_once_from_two_programs_give_one_process() {
    let home = Home::new();
    let (one, other) = (home.local(), home.local());
    let machines = [home.machine_of(&one, 1).await, home.machine_of(&other, 1).await];
    let spec = unit("sleeper", "/usr/bin/sleep", &["1234.5678"]);
    let starts = (0..8).map(|i| machines[i % 2].start(&spec));
    let started = futures::future::join_all(starts).await;
    assert!(started.iter().all(Result::is_ok), "{started:?}");
    assert_eq!(with_argument("1234.5678").len(), 1);
}

#[tokio::test]
async fn a_running_unit_is_not_started_in_another_way() {
    let home = Home::new();
    let machine = home.machine().await;
    machine.start(&sleeper()).await.unwrap();
    let other = unit("sleeper", "/usr/bin/sleep", &["2000"]);
    let refused = machine.start(&other).await.unwrap_err();
    assert!(matches!(refused, clusterdeck_driver::DriverError::Rejected { .. }), "{refused:?}");
    machine.stop("sleeper").await.unwrap();
    machine.start(&other).await.unwrap();
}
