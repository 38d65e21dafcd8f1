//! Creations that are taken back, killed while they are.

use super::{Point, Story, points};
use crate::home::{Ended, LOOK, PAIR, PATIENCE, create, finish};
use serde_json::Value;
use std::{
    net::TcpListener,
    process::Child,
    time::{Duration, Instant},
};

/// A creation passes its last step before somebody can come between now and then; so often is it tried again.
const TRIES: usize = 8;

fn begin(story: &Story, fault: Option<&str>) -> Child {
    let mut command = story.home.command(&[&["--json"][..], &create(&PAIR)].concat());
    if let Some(fault) = fault {
        command.env("CLUSTERDECK_FAULT", fault);
    }
    command.spawn().unwrap()
}

/// What is known of the creation while another process makes it.
fn until_seen(
    story: &Story,
    words: &[&str],
    child: &mut Child,
    find: impl Fn(&Value) -> Option<String>,
) -> Option<String> {
    let begun = Instant::now();
    // Before the program has its home, a command of ours would be the first to open it: wait for its socket.
    while !story.home.path().join("api.sock").exists() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE, "the program opens its home");
        std::thread::sleep(Duration::from_millis(2));
    }
    while child.try_wait().unwrap().is_none() {
        if let Some(found) = find(&story.home.ask(words)["items"][0]) {
            return Some(found);
        }
        assert!(begun.elapsed() < PATIENCE, "the creation is seen");
        std::thread::sleep(LOOK / 10);
    }
    None
}

/// Cancels a creation from another terminal as soon as it is under way.
fn cancelled(story: &mut Story, fault: Option<&str>) -> Option<Ended> {
    let mut child = begin(story, fault);
    let id = until_seen(story, &["operation", "list", "--unfinished"], &mut child, |o| {
        // Something must be there to take back.
        let begun = o["steps"].as_array()?.iter().filter(|s| s["state"] == "succeeded").count() >= 3;
        o["id"].as_str().filter(|_| begun).map(str::to_owned)
    });
    if let Some(id) = id {
        let cancel = story.home.command(&["operation", "cancel", &id, "--detach"]).spawn().unwrap();
        drop(finish(cancel));
    }
    let ended = finish(child);
    (ended.status != Some(0)).then_some(ended)
}

/// Takes the port of the endpoint while the servers start, so that the creation fails near its end.
fn failing(story: &mut Story, fault: Option<&str>) -> Option<Ended> {
    let mut child = begin(story, fault);
    let address = until_seen(story, &["cluster", "list"], &mut child, |c| {
        let all = c["endpoints"].as_array()?;
        let found = all.iter().find(|e| e["kind"] == "read-write")?;
        Some(format!("{}:{}", found["host"].as_str()?, found["port"].as_u64()?))
    });
    let taken = address.and_then(|a| TcpListener::bind(a).ok());
    let ended = finish(child);
    drop(taken);
    (ended.status != Some(0)).then_some(ended)
}

type Way = fn(&mut Story, Option<&str>) -> Option<Ended>;

fn insist(story: &mut Story, way: Way, fault: Option<&str>) -> Ended {
    for _ in 0..TRIES {
        if let Some(ended) = way(story, fault) {
            return ended;
        }
        story.home.change(&["cluster", "delete", "demo", "--yes", "--confirm", "demo", "--discard-backups"]);
        story.is_gone("after one that was too fast");
    }
    panic!("the creation was done before anybody could come between, {TRIES} times");
}

fn unwinds_killed_at_every_step(way: Way, state: &str, why: Option<&str>) {
    let mut story = Story::begin(false);
    let ended = insist(&mut story, way, None).status(1);
    let operation = ended.json();
    assert_eq!(operation["state"], state, "{operation:#}");
    if let Some(why) = why {
        assert!(operation["error"]["title"].as_str().is_some_and(|t| t.contains(why)), "{operation:#}");
    }
    story.is_gone("taken back");
    let undone: Vec<Point> = points(&operation)
        .into_iter()
        .filter(|p| p.point == "noted")
        .filter(|p| {
            operation["steps"]
                .as_array()
                .unwrap()
                .iter()
                .any(|s| s["name"] == p.step.as_str() && s["state"] == "undone")
        })
        .map(|p| Point { point: "undoing", ..p })
        .collect();
    assert!(undone.len() >= 3, "name, passwords and machines are taken back: {operation:#}");
    for point in &undone {
        let fault = format!("{}:{}:{}", point.kind, point.step, point.point);
        let ended = insist(&mut story, way, Some(&fault));
        story.was_killed(&ended, point);
        // Whoever starts next takes it up: the next command, or the one that asked for the cancel and found nobody there.
        let (operation, when) = story.taken_up(point);
        assert_eq!(operation["state"], state, "{when}: {operation:#}");
        story.is_gone(&when);
    }
}

#[test]
fn a_cancelled_creation_that_is_killed_while_it_is_taken_back_leaves_nothing() {
    unwinds_killed_at_every_step(cancelled, "cancelled", None);
}

#[test]
fn a_failed_creation_that_is_killed_while_it_is_taken_back_leaves_nothing() {
    unwinds_killed_at_every_step(failing, "failed", Some("port"));
}
