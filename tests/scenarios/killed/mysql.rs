//! MariaDB: every act is killed after each of its steps; a primary with replicas, and members that all take writes.

use super::{
    Story,
    nodes::{add, drain, promote, reboot_primary, reboot_replica, remove, undrain},
    under_writes,
    whole::{delete, resync, rotate},
    words,
};
use crate::home::{Home, create};

const THREE: [&str; 6] = ["--service", "mysql", "--topology", "primary-replica", "--nodes", "3"];
const PAIR: [&str; 6] = ["--service", "mysql", "--topology", "primary-replica", "--nodes", "2"];
const MEMBERS: [&str; 6] = ["--service", "mysql", "--topology", "multi-master", "--nodes", "3"];

fn make(_: &Home) -> Vec<String> {
    words(&create(&PAIR))
}

fn make_members(_: &Home) -> Vec<String> {
    words(&create(&MEMBERS))
}

#[test]
fn making_changing_and_deleting_mariadb_can_be_killed_at_any_step() {
    let mut story = Story::only_after();
    story.kill_everywhere(&[make, delete]);
    story.plainly(make);
    story.kill_everywhere(&[rotate]);
    story.kill_everywhere(&[resync]);
    story.plainly(delete);
}

#[test]
fn mariadb_growing_shrinking_and_promoting_can_be_killed_at_any_step() {
    under_writes(Story::only_after(), &THREE, &[&[add, remove], &[promote]]);
}

#[test]
fn mariadb_drained_and_rebooted_can_be_killed_at_any_step() {
    under_writes(Story::only_after(), &THREE, &[&[drain, undrain], &[reboot_replica], &[reboot_primary]]);
}

#[test]
fn making_changing_and_deleting_members_of_galera_can_be_killed_at_any_step() {
    let mut story = Story::only_after();
    story.kill_everywhere(&[make_members, delete]);
    story.plainly(make_members);
    story.kill_everywhere(&[rotate]);
    story.plainly(delete);
}

#[test]
fn members_of_galera_that_come_and_go_can_be_killed_at_any_step() {
    under_writes(Story::only_after(), &MEMBERS, &[&[add, remove], &[drain, undrain]]);
}
