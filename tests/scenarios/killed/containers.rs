//! Machines in containers: the program is killed in every act, and no container, network or volume is left.

use super::{
    Act, Story,
    nodes::{add, drain, grow, promote, reboot_replica, remove, shrink, undrain},
    under_writes,
    whole::{delete, resync, rotate},
    words,
};
use crate::home::{Home, create};
use clusterdeck_tests::client::Writer;

const PAIR: [&str; 6] = ["--topology", "primary-replica", "--nodes", "2", "--provider", "container"];
const THREE: [&str; 6] = ["--topology", "primary-replica", "--nodes", "3", "--provider", "container"];

fn make(_: &Home) -> Vec<String> {
    words(&create(&PAIR))
}

/// What is its own about it, the extension, is made with the cluster.
fn make_timescale(_: &Home) -> Vec<String> {
    words(&create(&["--service", "timescaledb", "--topology", "single", "--provider", "container"]))
}

#[test]
fn making_and_deleting_containers_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers() else { return };
    Story::only_after_in(home).kill_everywhere(&[make, delete]);
}

#[test]
fn making_and_deleting_timescaledb_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers_with_postgres() else { return };
    Story::only_after_in(home).kill_everywhere(&[make_timescale, delete]);
}

#[test]
fn nodes_in_containers_can_be_killed_at_any_step_of_coming_and_going() {
    let Some(home) = Home::in_containers() else { return };
    let acts: [&[Act]; 3] = [&[add, remove], &[promote], &[drain, undrain]];
    under_writes(Story::only_after_in(home), &THREE, &acts);
}

/// Everything of a change of plan is killed everywhere on Redis as processes; here where containers are made anew.
#[test]
fn reboots_changes_of_plan_passwords_and_copies_in_containers_can_be_killed() {
    let Some(home) = Home::in_containers() else { return };
    let mut story = Story::only_after_in(home);
    story.plainly(make);
    story.kill_everywhere(&[reboot_replica]);
    story.kill_everywhere(&[rotate]);
    story.kill_everywhere(&[resync]);
    let kind = "resize-cluster";
    story.kill_at(&[(grow, kind, "resize-1"), (shrink, kind, "resize-2")]);
    story.plainly(delete);
}

/// Oracle's MySQL, whose servers take seconds to start and whose group takes its time.
const GROUP: [&str; 10] = [
    "--service",
    "mysql",
    "--plan",
    "LEAN-1C-1G",
    "--topology",
    "primary-replica",
    "--nodes",
    "3",
    "--provider",
    "container",
];

fn make_group(_: &Home) -> Vec<String> {
    words(&create(&GROUP))
}

/// Each act where its servers have just done what only they can do: a kill at every step takes half an hour.
#[test]
fn a_group_of_mysql_can_be_killed_at_the_worst_moment_of_each_act() {
    let Some(home) = Home::in_containers_with_mysql() else { return };
    let mut story = Story::only_after_in(home);
    story.kill_at(&[(make_group, "create-cluster", "form")]);
    let writer = Writer::start(story.home.url(), false);
    story.kill_at(&[
        (add, "add-node", "join-*"),
        (remove, "remove-node", "leave"),
        (promote, "promote-node", "hand-over"),
        (drain, "drain-node", "stop"),
        (undrain, "undrain-node", "start"),
        (reboot_replica, "reboot-node", "stop"),
    ]);
    let written = writer.stop();
    println!("the client: {} writes, longest gap {:?}", written.acknowledged.len(), written.longest_gap);
    story.ledger().add(&written);
    story.is_whole("at the end of the writing");
    story.kill_at(&[
        (rotate, "rotate-credentials", "accept"),
        (resync, "resync-cluster", "copy-*"),
        (delete, "delete-cluster", "machines"),
    ]);
}
