//! Server software that is not there. Programs are hidden from the one process by a mount of its own, not from others.

use crate::home::{Ended, Home, PAIR, create, finish};
use std::process::{Command, Stdio};

/// Runs the program where these files are none.
fn without(hidden: &[&str], home: &Home, words: &[&str]) -> Ended {
    let plain = home.command(words);
    let hide: String =
        hidden.iter().map(|path| format!("mount --bind /dev/null {path} || exit 90\n")).collect();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{hide}exec \"$@\""), "sh"]);
    command.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = finish(command.spawn().expect("this test needs `unshare` (util-linux)"));
    assert!(
        ended.status != Some(90) && ended.status.is_some(),
        "this test needs to mount: run it as root ({ended})"
    );
    ended
}

fn program(name: &str) -> String {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
    let path = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    let real = std::fs::canonicalize(&path)
        .unwrap_or_else(|e| panic!("{name} is installed where this test runs: {e}"));
    real.display().to_string()
}

/// The command that installs a package here, as a person would type it.
fn install(package: &str) -> String {
    // Whoever can mount is root, and needs no sudo.
    format!("apt-get install -y {package}")
}

#[test]
fn missing_server_software_is_told_everywhere_with_the_command_that_installs_it() {
    let home = Home::new();
    let server = program("redis-server");
    let hidden = [server.as_str()];
    let command = install("redis-server");

    let doctor = without(&hidden, &home, &["doctor"]).status(0);
    assert!(doctor.out.contains("redis-server") && doctor.out.contains(&command), "{doctor}");
    let shown = without(&hidden, &home, &["--json", "service", "show", "redis"]).status(0).json();
    assert_eq!(shown["available"], false, "{shown:#}");
    assert_eq!(
        (&shown["missing"][0]["program"], &shown["missing"][0]["install"]),
        (&"redis-server".into(), &command.as_str().into()),
        "{shown:#}"
    );
    let listed = without(&hidden, &home, &["service", "list"]).status(0);
    let row = listed.out.lines().find(|l| l.starts_with("redis ")).unwrap_or_default();
    assert!(row.contains("not installed"), "the catalogue says so: {listed}");
    let refused = without(&hidden, &home, &[&["--json"][..], &create(&PAIR)].concat()).status(3).json();
    let said = refused.to_string();
    assert!(said.contains("redis-server") && said.contains(&command), "{refused:#}");
    assert_eq!(home.left_behind(), Vec::<String>::new());

    home.create(&PAIR);
    home.until_healthy();
    home.end();
}

#[test]
fn a_missing_gateway_is_told_before_anything_is_made() {
    let home = Home::new();
    let haproxy = program("haproxy");
    let refused = without(&[&haproxy], &home, &[&["--json"][..], &create(&PAIR)].concat()).status(3).json();
    let said = refused.to_string();
    assert!(said.contains("haproxy") && said.contains(&install("haproxy")), "{refused:#}");
    assert_eq!(home.left_behind(), Vec::<String>::new());
}

#[test]
fn software_that_was_taken_away_under_a_running_cluster_stops_no_server() {
    let home = Home::new();
    home.create(&PAIR);
    home.until_healthy();
    let servers = home.servers().len();
    let server = program("redis-server");
    let refused = without(&[&server], &home, &["--json", "node", "reboot", "demo-2", "--yes"]);
    assert_ne!(refused.status, Some(0), "what cannot be started again is not stopped: {refused}");
    assert!(refused.said().contains("redis-server is not installed"), "{refused}");
    let resync = ["--json", "cluster", "resync", "demo", "--yes", "--confirm", "demo"];
    let refused = without(&[&server], &home, &resync);
    assert!(
        refused.status == Some(1) && refused.said().contains("redis-server is not installed"),
        "{refused}"
    );
    assert_eq!(home.servers().len(), servers, "every server runs");
    home.until_healthy();
    home.end();
}
