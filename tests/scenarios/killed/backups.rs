//! Backups: made, tried and taken away; a deletion that begins with one, and what brings the cluster back.

use super::{Story, words};
use crate::home::{Home, PAIR, create};
use serde_json::Value;

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
