//! Machines in containers: killed after each step, and no container, network or volume is left. Other acts are killed on
//! processes: what they do to machines is the same, and a kill here takes ten times as long.

use super::{Story, whole::delete, words};
use crate::home::{Home, create};

const PAIR: [&str; 6] = ["--topology", "primary-replica", "--nodes", "2", "--provider", "container"];

fn make(_: &Home) -> Vec<String> {
    words(&create(&PAIR))
}

#[test]
fn making_and_deleting_containers_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers() else { return };
    Story::only_after_in(home).kill_everywhere(&[make, delete]);
}
