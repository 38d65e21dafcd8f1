//! One home, several faces at once.

use crate::program::{Home, SMALL, finish, line, signal};
use std::process::{Child, Command};

#[test]
fn commands_at_the_same_time_share_one_engine() {
    let home = Home::new();
    let create = |name: &str| {
        let words =
            [&["cluster", "create", name, "--service", "redis", "--topology", "single", "--yes"], &SMALL[..]]
                .concat();
        home.begin(&words)
    };
    let all: Vec<Child> = ["a", "b", "c"].map(create).into();
    for child in all {
        finish(child).status(0);
    }
    let listed = home.run(&["--json", "cluster", "list"]).status(0).json();
    let names: Vec<_> =
        listed["items"].as_array().expect("items").iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn a_command_talks_to_serve_while_that_runs_and_hosts_itself_afterwards() {
    let home = Home::new();
    let (serve, said) = home.serve();
    assert!(said["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{said}");
    home.create("one", &["--topology", "single"]);
    let audit = home.run(&["--json", "audit", "list"]).status(0).json();
    assert_eq!(audit["items"][0]["actor"], "cli:anna", "the one who asked, not the one who hosts");
    signal(&serve, "TERM");
    finish(serve).status(0);
    let cluster = home.run(&["--json", "cluster", "show", "one"]).status(0).json();
    assert_eq!(cluster["health"], "healthy", "the servers ran on");
}

#[test]
fn an_operation_whose_host_is_killed_is_finished_by_the_one_who_watches() {
    let home = Home::new();
    let (mut serve, _) = home.serve();
    let words = [&["cluster", "create", "demo", "--service", "redis", "--yes"], &SMALL[..]].concat();
    let mut create = home.begin(&words);
    crate::program::await_word(&mut create, "Prepare");
    signal(&serve, "KILL");
    serve.wait().expect("dead");
    finish(create).status(0);
    let cluster = home.run(&["--json", "cluster", "show", "demo"]).status(0).json();
    assert_eq!(cluster["health"], "healthy");
}

#[test]
fn a_followed_log_shows_new_lines_and_ends_with_ctrl_c() {
    let home = Home::new();
    home.create("one", &["--topology", "single"]);
    let mut follow = home.begin(&["node", "logs", "one-1", "--follow", "--grep", "ready to accept"]);
    let first = line(follow.stdout.as_mut().expect("a pipe"));
    assert!(first.to_lowercase().contains("ready to accept"), "{first}");
    home.run(&["node", "reboot", "one-1", "--yes", "--confirm", "one-1"]).status(0);
    let second = line(follow.stdout.as_mut().expect("a pipe"));
    assert!(second.to_lowercase().contains("ready to accept") && second != first, "{second}");
    signal(&follow, "INT");
    finish(follow).status(130);
}

#[test]
fn two_that_serve_one_home_show_the_same_and_the_second_takes_over() {
    let home = Home::new();
    home.create("one", &["--topology", "single"]);
    let ((first, said_first), (second, said_second)) = (home.serve(), home.serve());
    assert_eq!(said_first["token"], said_second["token"], "one home, one token");
    let ask = |said: &serde_json::Value| {
        let bearer = format!("Authorization: Bearer {}", said["token"].as_str().expect("a token"));
        let url = format!("{}/v1/clusters", said["url"].as_str().expect("a url"));
        let output =
            Command::new("curl").args(["-s", "-m", "30", "-H", &bearer, &url]).output().expect("curl");
        let body: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        body["items"][0]["name"].clone()
    };
    assert_eq!((ask(&said_first), ask(&said_second)), ("one".into(), "one".into()));
    signal(&first, "TERM");
    finish(first).status(0);
    assert_eq!(ask(&said_second), "one", "it hosts the engine now");
    signal(&second, "TERM");
    finish(second).status(0);
}
