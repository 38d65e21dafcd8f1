//! Termination protection, automatic failover, options, who may come in.

use super::{Story, words};
use crate::home::{Home, PAIR};

fn protect(_: &Home) -> Vec<String> {
    words(&["cluster", "protect", "demo", "on", "--yes"])
}

fn unprotect(_: &Home) -> Vec<String> {
    words(&["cluster", "protect", "demo", "off", "--yes"])
}

pub(super) fn disarm(_: &Home) -> Vec<String> {
    words(&["cluster", "failover", "demo", "off", "--yes"])
}

pub(super) fn arm(_: &Home) -> Vec<String> {
    words(&["cluster", "failover", "demo", "on", "--yes"])
}

fn strict(_: &Home) -> Vec<String> {
    words(&["cluster", "options", "demo", "--stop-writes-without-replica", "on", "--yes"])
}

fn lenient(_: &Home) -> Vec<String> {
    words(&["cluster", "options", "demo", "--stop-writes-without-replica", "off", "--yes"])
}

fn limit(_: &Home) -> Vec<String> {
    words(&["cluster", "allow", "demo", "127.0.0.1", "--yes"])
}

fn open(_: &Home) -> Vec<String> {
    words(&["cluster", "allow", "demo", "--open", "--yes"])
}

#[test]
fn every_switch_can_be_killed_while_it_is_turned() {
    let mut story = Story::begin(false);
    story.home.create(&PAIR);
    story.is_whole("just made");
    story.kill_everywhere(&[protect, unprotect]);
    story.kill_everywhere(&[disarm, arm]);
    story.kill_everywhere(&[strict, lenient]);
    story.kill_everywhere(&[limit, open]);
    let cluster = story.home.until_healthy();
    assert_eq!(cluster["protected"], false, "{cluster:#}");
    assert_eq!(cluster["auto_failover"]["enabled"], true, "{cluster:#}");
    assert_eq!(cluster["options"]["stop_writes_without_replica"], false, "{cluster:#}");
    story.plainly(|_| {
        words(&["cluster", "delete", "demo", "--yes", "--confirm", "demo", "--discard-backups"])
    });
}
