//! What is done to a node, while a client writes.

use super::{killed_under_writes, words};
use crate::home::Home;
use serde_json::Value;

const THREE: [&str; 4] = ["--topology", "primary-replica", "--nodes", "3"];

/// The newest node of the first of these roles that any node has. The roles of a busy computer's nodes may be unknown at
/// a first look.
fn newest(home: &Home, roles: &[&str]) -> String {
    let of = |cluster: &Value, role: &str| {
        let nodes = cluster["nodes"].as_array().unwrap().iter().rfind(|n| n["role"] == role);
        nodes.map(|n| n["name"].as_str().unwrap().to_owned())
    };
    let find = |cluster: &Value| roles.iter().find_map(|role| of(cluster, role));
    let cluster = home.until(&format!("one of {roles:?}"), |cluster| find(cluster).is_some());
    find(&cluster).unwrap()
}

/// One that does not lead, or where all of them do, any.
fn last_replica(home: &Home) -> String {
    newest(home, &["replica", "member"])
}

fn primary(home: &Home) -> String {
    newest(home, &["primary"])
}

pub(super) fn add(_: &Home) -> Vec<String> {
    words(&["node", "add", "demo", "--yes"])
}

pub(super) fn remove(home: &Home) -> Vec<String> {
    let node = last_replica(home);
    words(&["node", "remove", &node, "--yes", "--confirm", &node])
}

pub(super) fn promote(home: &Home) -> Vec<String> {
    let node = last_replica(home);
    words(&["node", "promote", &node, "--yes", "--confirm", &node])
}

pub(super) fn drain(home: &Home) -> Vec<String> {
    words(&["node", "drain", &last_replica(home), "--yes"])
}

pub(super) fn undrain(home: &Home) -> Vec<String> {
    let listed = home.ask(&["node", "list", "demo"]);
    let drained = listed["items"].as_array().unwrap().iter().find(|n| n["drained"] == true).cloned().unwrap();
    words(&["node", "drain", drained["name"].as_str().unwrap(), "--off", "--yes"])
}

pub(super) fn reboot_replica(home: &Home) -> Vec<String> {
    words(&["node", "reboot", &last_replica(home), "--yes"])
}

pub(super) fn reboot_primary(home: &Home) -> Vec<String> {
    words(&["node", "reboot", &primary(home), "--yes"])
}

/// Twice the memory of what clusters of these tests have, and more connections.
pub(super) fn grow(_: &Home) -> Vec<String> {
    words(&["cluster", "resize", "demo", "--plan", "SMALL-1C-1G", "--yes"])
}

pub(super) fn shrink(_: &Home) -> Vec<String> {
    words(&["cluster", "resize", "demo", "--plan", "NANO-1C-256M", "--yes"])
}

#[test]
fn a_change_of_plan_up_and_back_can_be_killed_at_any_moment() {
    killed_under_writes(false, &THREE, &[grow, shrink]);
}

#[test]
fn adding_and_removing_a_node_can_be_killed_at_any_moment() {
    killed_under_writes(false, &THREE, &[add, remove]);
}

#[test]
fn a_promotion_can_be_killed_at_any_moment() {
    killed_under_writes(false, &THREE, &[promote]);
}

#[test]
fn draining_a_node_and_putting_it_back_can_be_killed_at_any_moment() {
    killed_under_writes(false, &THREE, &[drain, undrain]);
}

#[test]
fn the_reboot_of_a_replica_can_be_killed_at_any_moment() {
    killed_under_writes(false, &THREE, &[reboot_replica]);
}

#[test]
fn the_reboot_of_a_primary_can_be_killed_at_any_moment() {
    killed_under_writes(false, &THREE, &[reboot_primary]);
}
