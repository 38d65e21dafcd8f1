//! Long tests take turns by the day, so that one run stays under an hour: most say again, in another place, of another
//! version or at another moment, what tests that always run say as well; those of Oracle's MySQL are spread over the days.
//! `cargo xtask test --thorough` runs all of them.

/// Tests of one day each, by the beginning of their names.
const TURNS: [&[&str]; 4] = [
    &[
        "containers::a_valkey_8_cluster_in_containers_lives",
        "backing_up::a_clone_of_mysql_becomes_a_group",
        "group::a_single_node_does_not_begin_a_group",
        "backups::sharded_redis_comes_back",
        "moments::a_single_mysql",
        "containers::members_of_a_mysql_9_group_in_containers",
        "killed::postgres::postgresql_growing_shrinking",
        "group::a_member_with_transactions_of_its_own",
        "dumps::a_dump_of_mysql_in_a_container",
        "vaults::postgresql_comes_back_from_a_store",
        "backups::postgresql_17_in_containers_comes_back",
        "killed::containers::making_and_deleting_timescaledb",
        "group::a_member_joins_under_writes",
        "snapshots::postgresql_comes_back",
        "upgrade::a_postgresql_cluster_takes",
    ],
    &[
        "containers::a_mariadb_11_cluster_in_containers_lives",
        "containers::killed_at_any_moment_of_making_and_deleting",
        "backups::mysql_in_containers_comes_back",
        "copying::a_container_with_an_extension",
        "timescale::a_timescaledb_cluster_lives",
        "killed::containers::reboots_changes_of_plan",
        "killed::postgres::new_passwords_and_copies",
        "group::passwords_change_under_writes",
        "group::a_minority_stops_taking_writes",
        "backups::mariadb_comes_back",
        "moments::a_group_of_mysql_is_brought_back_to_moments",
        "killed::backups::a_clone_can",
        "migrating_online::a_mariadb",
        "upgrade::a_mariadb_cluster_takes",
    ],
    &[
        "containers::a_mysql_9_cluster_in_containers_lives",
        "containers::a_redis_8_cluster_in_containers_lives",
        "timescale::a_single_timescaledb_grows",
        "killed::containers::a_group_of_mysql",
        "killed::postgres::a_change_of_plan",
        "group::when_all_were_killed_under_writes",
        "logs::members_of_a_group_keep_within_the_bound",
        "vaults::mariadb_comes_back_from_a_store",
        "backups::postgresql_comes_back",
        "moments::a_group_that_numbers_in_blocks",
        "backups::a_cluster_that_is_written_to_is_cloned",
        "migrating_online::a_postgresql",
        "upgrade::killed_again_and_again",
    ],
    &[
        "containers::a_postgresql_17_cluster_in_containers_lives",
        "containers::a_single_mysql_9_in_a_container_grows",
        "backups::valkey_in_containers_comes_back",
        "killed::containers::making_and_deleting_containers",
        "killed::containers::nodes_in_containers",
        "killed::postgres::postgresql_drained_and_rebooted",
        "killed::postgres::switches_and_parameters",
        "group::members_that_all_take_writes_hand_out_numbers",
        "vaults::redis_comes_back_from_a_store",
        "backups::galera_comes_back",
        "upgrade::a_valkey_cluster_goes",
        "moments::a_group_of_mysql_is_brought_back_to_just",
    ],
];

/// Kills that every second day is enough for.
const HALVES: [&[&str]; 2] = [
    &[
        "killed::nodes::adding_and_removing",
        "killed::nodes::draining",
        "killed::nodes::the_reboot_of_a_replica",
        "killed::mysql::mariadb_growing",
        "killed::mysql::members_of_galera",
        "killed::whole::rotating",
        "killed::sharded::a_promotion",
        "killed::unwinding::a_failed",
    ],
    &[
        "killed::nodes::a_change_of_plan",
        "killed::nodes::a_promotion",
        "killed::nodes::the_reboot_of_a_primary",
        "killed::mysql::mariadb_drained",
        "killed::mysql::making_changing_and_deleting_members",
        "killed::whole::a_resync",
        "killed::switches::every_switch",
        "killed::unwinding::a_cancelled",
    ],
];

/// Which tests run today, in nextest's words: all but those whose turn is on another day.
pub(crate) fn today() -> String {
    let days = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() / 86_400;
    let turn = usize::try_from(days).unwrap_or_default() % TURNS.len();
    println!("tests of turn {} of {} run today, beside all that run always", turn + 1, TURNS.len());
    others(turn)
}

fn others(turn: usize) -> String {
    let not_today = |all: &'static [&'static [&'static str]]| {
        let others = all.iter().enumerate().filter(move |(t, _)| *t != turn % all.len());
        others.flat_map(|(_, names)| *names).copied()
    };
    let names: Vec<_> = not_today(&TURNS).chain(not_today(&HALVES)).collect();
    format!("not test(/^({})/)", names.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn sources(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                sources(&entry.path(), all);
            } else if entry.path().extension().is_some_and(|e| e == "rs") {
                all.push_str(&fs::read_to_string(entry.path()).unwrap());
            }
        }
    }

    #[test]
    fn who_has_a_turn_is_there() {
        let mut all = String::new();
        for folder in ["tests", "src-tauri/crates/services/tests"] {
            sources(&crate::host::root().join(folder), &mut all);
        }
        for name in TURNS.iter().chain(&HALVES).flat_map(|names| *names) {
            let begins = format!("fn {}", name.rsplit("::").next().unwrap());
            assert!(all.contains(&begins), "{name} is no test");
        }
    }

    #[test]
    fn each_is_left_out_but_on_its_day() {
        for turn in 0..TURNS.len() {
            let left_out = others(turn);
            for all in [&TURNS[..], &HALVES[..]] {
                for (other, names) in all.iter().enumerate() {
                    let out = names.iter().all(|n| left_out.contains(n) == (turn % all.len() != other));
                    assert!(out, "of {other} on {turn}: {left_out}");
                }
            }
        }
    }
}
