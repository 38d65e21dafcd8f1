//! Machines in containers: every act is killed after each of its steps, and no container, network or volume is left.

use super::{
    Act, Story,
    nodes::{add, drain, grow, promote, reboot_primary, reboot_replica, remove, shrink, undrain},
    under_writes,
    whole::{delete, resync, rotate},
    words,
};
use crate::home::{Home, create};

const PAIR: [&str; 6] = ["--topology", "primary-replica", "--nodes", "2", "--provider", "container"];
const THREE: [&str; 6] = ["--topology", "primary-replica", "--nodes", "3", "--provider", "container"];

fn make(_: &Home) -> Vec<String> {
    words(&create(&PAIR))
}

#[test]
fn making_and_deleting_containers_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers() else { return };
    Story::only_after_in(home).kill_everywhere(&[make, delete]);
}

#[test]
fn nodes_in_containers_can_be_killed_at_any_step_of_coming_and_going() {
    let Some(home) = Home::in_containers() else { return };
    let acts: [&[Act]; 3] = [&[add, remove], &[promote], &[drain, undrain]];
    under_writes(Story::only_after_in(home), &THREE, &acts);
}

#[test]
fn reboots_and_changes_of_plan_in_containers_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers() else { return };
    let acts: [&[Act]; 3] = [&[reboot_replica], &[reboot_primary], &[grow, shrink]];
    under_writes(Story::only_after_in(home), &THREE, &acts);
}

#[test]
fn new_passwords_and_copies_in_containers_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers() else { return };
    let mut story = Story::only_after_in(home);
    story.plainly(make);
    story.kill_everywhere(&[rotate]);
    story.kill_everywhere(&[resync]);
    story.plainly(delete);
}

/// Oracle's MySQL, whose servers take 3 s to start and whose group takes its time.
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

#[test]
fn making_and_deleting_a_group_of_mysql_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers_with_mysql() else { return };
    Story::only_after_in(home).kill_everywhere(&[make_group, delete]);
}

#[test]
fn members_of_a_group_of_mysql_can_be_killed_at_any_step_of_coming_and_going() {
    let Some(home) = Home::in_containers_with_mysql() else { return };
    under_writes(Story::only_after_in(home), &GROUP, &[&[add, remove], &[promote]]);
}

#[test]
fn a_group_of_mysql_drained_and_rebooted_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers_with_mysql() else { return };
    under_writes(
        Story::only_after_in(home),
        &GROUP,
        &[&[drain, undrain], &[reboot_replica], &[reboot_primary]],
    );
}

#[test]
fn new_passwords_and_copies_of_a_group_of_mysql_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers_with_mysql() else { return };
    let mut story = Story::only_after_in(home);
    story.plainly(make_group);
    story.kill_everywhere(&[rotate]);
    story.kill_everywhere(&[resync]);
    story.plainly(delete);
}
