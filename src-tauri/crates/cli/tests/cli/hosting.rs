//! Commands that end in the middle, however they end, and the next one that takes up what they left.

use crate::program::{Home, SMALL, WORN, await_word, files, finish, signal};
use std::time::Instant;

fn create(home: &Home, more: &[&str]) -> std::process::Child {
    let words = [&["cluster", "create", "demo", "--service", "redis", "--yes"], &SMALL[..], more].concat();
    home.begin(&words)
}

/// Whatever was left, it is whole afterwards: a healthy cluster, or nothing at all.
fn is_whole(home: &Home) {
    let operations = home.run(&["--json", "operation", "list"]).status(0).json();
    assert_eq!(operations["items"].as_array().map(Vec::len), Some(1), "{operations}");
    let state = operations["items"][0]["state"].as_str().expect("a state").to_owned();
    let clusters = home.run(&["--json", "cluster", "list"]).status(0).json();
    match state.as_str() {
        "succeeded" => assert_eq!(clusters["items"][0]["health"], "healthy", "{clusters}"),
        "failed" => {
            assert_eq!(clusters["items"], serde_json::json!([]));
            assert_eq!(files(&home.path().join("machines")).len(), 0, "nothing is left behind");
        }
        other => panic!("the operation is {other}"),
    }
}

#[test]
fn a_command_that_is_killed_is_taken_up_by_the_next_one() {
    let home = Home::new();
    let mut child = create(&home, &[]);
    await_word(&mut child, "Start the servers");
    signal(&child, "KILL");
    finish(child);
    let next = home.run(&["--json", "cluster", "list"]).status(0);
    assert!(next.err.contains("Taking up what was left unfinished: Create demo"), "{}", next.err);
    assert_eq!(next.json()["items"].as_array().map(Vec::len), Some(1), "shown after it was finished");
    is_whole(&home);
}

#[test]
fn ctrl_c_and_a_polite_end_leave_everything_at_a_safe_point() {
    for name in ["INT", "TERM"] {
        let home = Home::new();
        let mut child = create(&home, &[]);
        await_word(&mut child, "Make the passwords");
        signal(&child, name);
        let ended = finish(child).status(130);
        assert!(
            ended.err.contains("Interrupted") && ended.err.contains("takes it up"),
            "{name}: {}",
            ended.err
        );
        let next = home.run(&["cluster", "list"]).status(0);
        assert!(next.err.contains("Taking up"), "{}", next.err);
        is_whole(&home);
    }
}

#[test]
fn a_detached_change_goes_on_by_itself_and_its_host_ends_with_it() {
    let home = Home::new();
    let begun = Instant::now();
    let words =
        [&["--json", "cluster", "create", "demo", "--service", "redis", "--yes", "--detach"], &SMALL[..]]
            .concat();
    let operation = home.run(&words).status(0).json();
    assert_ne!(operation["state"], "succeeded", "it did not wait for the end");
    let id = operation["id"].as_str().expect("an id").to_owned();
    let watched = home.run(&["--json", "operation", "watch", &id]).status(0).json();
    assert_eq!(watched["state"], "succeeded");
    while home.path().join("api.sock").exists() {
        assert!(begun.elapsed() < WORN, "the host must end when nothing is under way");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    is_whole(&home);
}

#[test]
fn an_operation_can_be_cancelled_from_another_terminal() {
    let home = Home::new();
    let mut child = create(&home, &[]);
    await_word(&mut child, "Prepare");
    let listed = home.run(&["--json", "operation", "list", "--unfinished"]).status(0).json();
    let Some(id) = listed["items"][0]["id"].as_str() else {
        // It was quicker than the second terminal: nothing is left to cancel.
        finish(child).status(0);
        return;
    };
    let cancelled = home.run(&["--json", "operation", "cancel", id]);
    if cancelled.status == 2 {
        finish(child).status(0);
        return;
    }
    assert_eq!(cancelled.json()["state"], "cancelled", "{}", cancelled.err);
    let ended = finish(child).status(1);
    assert!(ended.err.contains("cancelled"), "{}", ended.err);
    assert_eq!(files(&home.path().join("machines")).len(), 0, "all of it was taken away");
}
