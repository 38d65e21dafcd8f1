//! A cluster as a whole: made, given new passwords, copied again, taken down.

use super::{Act, Point, Story, points, words};
use crate::home::{Home, PAIR, create};

fn make(_: &Home) -> Vec<String> {
    words(&create(&PAIR))
}

pub(super) fn delete(_: &Home) -> Vec<String> {
    words(&["cluster", "delete", "demo", "--yes", "--confirm", "demo", "--discard-backups"])
}

pub(super) fn rotate(_: &Home) -> Vec<String> {
    words(&["cluster", "rotate", "demo", "--yes"])
}

pub(super) fn resync(_: &Home) -> Vec<String> {
    words(&["cluster", "resync", "demo", "--yes", "--confirm", "demo"])
}

#[test]
fn creating_and_deleting_can_be_killed_at_any_moment() {
    Story::begin(false).kill_everywhere(&[make, delete]);
}

fn make_one(_: &Home) -> Vec<String> {
    words(&create(&["--topology", "single"]))
}

fn grow(_: &Home) -> Vec<String> {
    words(&["node", "add", "demo", "--yes"])
}

#[test]
fn the_growth_of_a_single_node_can_be_killed_at_any_moment() {
    let mut story = Story::begin(false);
    story.kill_everywhere(&[make_one, grow, delete]);
}

#[test]
fn rotating_passwords_can_be_killed_at_any_moment() {
    let mut story = Story::begin(false);
    story.plainly(make);
    let before = story.home.url();
    story.kill_everywhere(&[rotate]);
    assert_ne!(story.home.url(), before, "there is a new password");
    assert!(clusterdeck_tests::client::connect(&before, false).is_err(), "the old password is refused");
    story.plainly(delete);
}

#[test]
fn a_resync_can_be_killed_at_any_moment() {
    let mut story = Story::begin(false);
    story.plainly(make);
    story.kill_everywhere(&[resync]);
    story.plainly(delete);
}

/// Each process that takes the operation up is killed one step further on; the last one finds everything done but the end.
fn each_heir_is_killed(story: &mut Story, act: Act, all: &[Point]) {
    let (first, rest) = all.split_first().unwrap();
    story.abort(act, first);
    for point in rest {
        story.abort(|_| words(&["cluster", "list"]), point);
    }
    let (operation, when) = story.taken_up(all.last().unwrap());
    assert_eq!(operation["state"], "succeeded", "{when}: {operation:#}");
    story.is_whole(&when);
}

#[test]
fn whoever_takes_an_operation_up_can_be_killed_at_every_step_as_well() {
    let mut story = Story::begin(false);
    let making = story.plainly(make);
    let deleting = story.plainly(delete);
    each_heir_is_killed(&mut story, make, &points(&making));
    each_heir_is_killed(&mut story, delete, &points(&deleting));
}
