//! Backups: made, tried and taken away; a deletion that begins with one, and what brings the cluster back.

use super::{Story, words};
use crate::home::{Home, LOOK, PAIR, PATIENCE, create};
use clusterdeck_tests::client::connect;
use serde_json::Value;
use std::time::Instant;

fn make(_: &Home) -> Vec<String> {
    words(&create(&PAIR))
}

fn back_up(_: &Home) -> Vec<String> {
    words(&["backup", "now", "demo", "--yes"])
}

fn newest(home: &Home) -> String {
    backups(home)[0]["id"].as_str().unwrap().to_owned()
}

fn verify(home: &Home) -> Vec<String> {
    words(&["backup", "verify", &newest(home), "--yes"])
}

/// From a backup that holds all that was acknowledged: what replaces it loses nothing.
fn in_place(home: &Home) -> Vec<String> {
    home.change(&["backup", "now", "demo", "--yes"]);
    words(&["backup", "restore", &newest(home), "--in-place", "--yes", "--confirm", "demo"])
}

fn take_away(home: &Home) -> Vec<String> {
    words(&["backup", "delete", &newest(home), "--yes", "--confirm", "demo"])
}

fn delete(_: &Home) -> Vec<String> {
    words(&["cluster", "delete", "demo", "--yes", "--confirm", "demo"])
}

fn recover(_: &Home) -> Vec<String> {
    words(&["cluster", "recover", "demo", "--yes"])
}

fn discard(_: &Home) -> Vec<String> {
    words(&["cluster", "delete", "demo", "--yes", "--confirm", "demo", "--discard-backups"])
}

fn backups(home: &Home) -> Vec<Value> {
    home.ask(&["backup", "list"])["items"].as_array().unwrap().clone()
}

fn clone(_: &Home) -> Vec<String> {
    words(&["cluster", "clone", "demo", "--yes"])
}

fn drop_the_clone(_: &Home) -> Vec<String> {
    words(&["cluster", "delete", "demo-clone", "--yes", "--confirm", "demo-clone", "--discard-backups"])
}

const ALONE: [&str; 4] = ["--service", "postgresql", "--topology", "single"];

fn make_alone(_: &Home) -> Vec<String> {
    words(&create(&ALONE))
}

fn archive_the_log(_: &Home) -> Vec<String> {
    words(&["backup", "schedule", "demo", "--every", "6h", "--point-in-time", "--no-verify", "--yes"])
}

/// The last moment that the archive holds.
fn last_moment(home: &Home) -> Option<String> {
    let range = home.ask(&["backup", "range", "demo"]);
    Some(range["ranges"].as_array()?.last()?["to"].as_str()?.to_owned())
}

fn to_the_last_moment(home: &Home) -> Vec<String> {
    let last = last_moment(home).expect("the log is archived");
    words(&["backup", "restore", &newest(home), "--at", &last, "--as", "back", "--yes"])
}

/// With what was written before; then it goes.
fn drop_what_came_back(home: &Home) -> Vec<String> {
    let revealed = home.ask(&["cluster", "credentials", "back", "--reveal"]);
    let found = connect(revealed["url"].as_str().unwrap(), false).unwrap().all().unwrap();
    assert!(found.starts_with(&[1, 2, 3, 4, 5, 6, 7, 8]), "what was written before it was copied: {found:?}");
    words(&["cluster", "delete", "back", "--yes", "--confirm", "back", "--discard-backups"])
}

/// Everything that is shown as good was seen to be, everything in the vault is known, and nothing is half made.
fn all_are_proven(home: &Home) {
    let known = backups(home);
    assert!(known.iter().all(|b| b["state"] == "verified"), "{known:#?}");
    let mut known: Vec<String> = known.iter().map(|b| b["id"].as_str().unwrap().to_owned()).collect();
    let vault = std::fs::read_dir(home.path().join("vault/backups")).into_iter().flatten().flatten();
    let mut there: Vec<String> = vault.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    known.sort();
    there.sort();
    assert_eq!(there, known);
}

#[test]
fn making_trying_and_taking_away_a_backup_can_be_killed_at_any_moment() {
    let mut story = Story::begin(false);
    story.plainly(make);
    story.kill_everywhere(&[back_up, verify, take_away]);
    all_are_proven(&story.home);
    story.the_key_stays();
    story.plainly(discard);
}

#[test]
fn a_restore_in_place_can_be_killed_at_any_moment() {
    let mut story = Story::begin(false);
    story.plainly(make);
    story.plainly(back_up);
    story.the_key_stays();
    story.kill_everywhere(&[in_place]);
    all_are_proven(&story.home);
    story.plainly(discard);
}

/// The cluster it is of is whole meanwhile and afterwards; of the clone nothing is left once it is deleted.
#[test]
fn a_clone_can_be_killed_at_any_moment() {
    let mut story = Story::begin(false);
    story.plainly(make);
    story.the_key_stays();
    story.kill_everywhere(&[clone, drop_the_clone]);
    all_are_proven(&story.home);
    story.plainly(discard);
}

/// The log of the cluster goes on meanwhile; what is half replayed is begun anew.
#[test]
fn a_restore_to_a_moment_can_be_killed_at_any_step() {
    let mut story = Story::only_after();
    story.plainly(make_alone);
    // Whoever serves has a secret of its own, which stays.
    drop(story.home.serve());
    story.the_key_stays();
    story.plainly(archive_the_log);
    story.plainly(back_up);
    // Whoever stays fetches the log.
    let app = story.home.serve();
    let begun = Instant::now();
    let first = loop {
        assert!(begun.elapsed() < PATIENCE, "the log must be archived");
        match last_moment(&story.home) {
            Some(moment) => break moment,
            None => std::thread::sleep(LOOK),
        }
    };
    println!("archived up to {first} after {:?}", begun.elapsed());
    drop(app);
    story.kill_everywhere(&[to_the_last_moment, drop_what_came_back]);
    story.plainly(discard);
}

#[test]
fn a_deletion_that_keeps_a_backup_and_the_way_back_can_be_killed_at_any_moment() {
    let mut story = Story::begin(false);
    story.plainly(make);
    story.plainly(back_up);
    story.the_key_stays();
    story.kill_everywhere(&[delete, recover]);
    all_are_proven(&story.home);
    story.plainly(discard);
}
