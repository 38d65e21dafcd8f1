//! PostgreSQL: every act is killed after each of its steps.

use super::{
    Story,
    nodes::{add, drain, grow, promote, reboot_primary, reboot_replica, remove, shrink, undrain},
    switches::{arm, disarm},
    under_writes,
    whole::{delete, resync, rotate},
    words,
};
use crate::home::{Home, create};
use clusterdeck_tests::client::Writer;

const THREE: [&str; 6] = ["--service", "postgresql", "--topology", "primary-replica", "--nodes", "3"];
const PAIR: [&str; 6] = ["--service", "postgresql", "--topology", "primary-replica", "--nodes", "2"];

fn make(_: &Home) -> Vec<String> {
    words(&create(&PAIR))
}

fn synchronous(_: &Home) -> Vec<String> {
    let both = ["--synchronous", "on", "--stop-writes-without-replica", "on"];
    words(&[&["cluster", "options", "demo", "--yes"], &both[..]].concat())
}

/// One that the servers read again, one that takes a restart, and one of the election.
fn tuned(_: &Home) -> Vec<String> {
    let all = ["--set", "work_mem=2MB", "--set", "max_connections=40", "--set", "failover_ttl=6"];
    words(&[&["cluster", "parameters", "demo", "--yes"], &all[..]].concat())
}

fn plain(_: &Home) -> Vec<String> {
    let all = ["--reset", "work_mem", "--reset", "max_connections", "--reset", "failover_ttl"];
    words(&[&["cluster", "parameters", "demo", "--yes"], &all[..]].concat())
}

fn asynchronous(_: &Home) -> Vec<String> {
    words(&["cluster", "options", "demo", "--synchronous", "off", "--yes"])
}

#[test]
fn making_and_deleting_postgresql_can_be_killed_at_any_step() {
    Story::only_after().kill_everywhere(&[make, delete]);
}

#[test]
fn postgresql_growing_shrinking_and_promoting_can_be_killed_at_any_step() {
    under_writes(Story::only_after(), &THREE, &[&[add, remove], &[promote]]);
}

#[test]
fn postgresql_drained_and_rebooted_can_be_killed_at_any_step() {
    under_writes(Story::only_after(), &THREE, &[&[drain, undrain], &[reboot_replica], &[reboot_primary]]);
}

/// Everything of it is killed everywhere on Redis, whose acts are faster; here where servers and what they share differ.
#[test]
fn a_change_of_plan_of_postgresql_can_be_killed_at_its_worst_moments() {
    let mut story = Story::only_after();
    story.home.create(&THREE);
    story.is_whole("just made");
    let writer = Writer::start(story.home.url(), false);
    let kind = "resize-cluster";
    story.kill_at(&[
        (grow, kind, "resize-1"),
        (shrink, kind, "share"),
        (grow, kind, "make-way-3"),
        (shrink, kind, "resize-3"),
    ]);
    let written = writer.stop();
    println!(
        "the client: {} writes, longest gap {:?}, {} errors",
        written.acknowledged.len(),
        written.longest_gap,
        written.errors
    );
    story.ledger().add(&written);
    story.is_whole("at the end");
    story.plainly(delete);
}

#[test]
fn new_passwords_and_copies_of_postgresql_can_be_killed_at_any_step() {
    let mut story = Story::only_after();
    story.plainly(make);
    story.kill_everywhere(&[rotate]);
    story.kill_everywhere(&[resync]);
    story.plainly(delete);
}

#[test]
fn switches_and_parameters_of_postgresql_can_be_killed_at_any_step() {
    let mut story = Story::only_after();
    story.plainly(make);
    story.kill_everywhere(&[disarm, arm]);
    story.kill_everywhere(&[synchronous, asynchronous]);
    story.kill_everywhere(&[tuned, plain]);
    story.plainly(delete);
}
