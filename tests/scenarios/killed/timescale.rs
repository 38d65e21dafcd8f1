//! TimescaleDB in containers: making and deleting it is killed after each of the steps.

use super::{Story, whole::delete, words};
use crate::home::{Home, create};

const ONE: [&str; 6] = ["--service", "timescaledb", "--topology", "single", "--provider", "container"];

fn make(_: &Home) -> Vec<String> {
    words(&create(&ONE))
}

#[test]
fn making_and_deleting_timescaledb_can_be_killed_at_any_step() {
    let Some(home) = Home::in_containers_with_postgres() else { return };
    Story::only_after_in(home).kill_everywhere(&[make, delete]);
}
