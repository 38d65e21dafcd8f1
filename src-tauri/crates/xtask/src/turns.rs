//! Long tests take turns by the day, so that one run stays under an hour: most say again, in another place, of another
//! version or at another moment, what tests that always run say as well.
//! `cargo xtask test --thorough` runs all of them.

/// Every how many days, and which by the beginning of their names. They are dealt out like cards: neighbours, which should be
/// about as long, run on days that follow each other.
const TURNS: [(usize, &[&str]); 2] = [
    (
        2,
        &[
            "postgres::no_failure_makes",
            "cut::a_primary_that_is_cut_off",
            "moments::mariadb_is_brought_back",
            "moments::postgresql_is_brought_back",
            "life::members_of_galera",
            "life::a_mariadb_cluster_lives",
            "migrating::a_postgresql",
            "migrating::redis_comes_in_under",
            "group::three_members_form_and_hand_over",
            "group::a_killed_and_a_hung_primary",
            "access::postgresql",
            "access::redis",
            "killed::backups::making_trying",
            "killed::backups::a_restore_in_place",
            "killed::nodes::a_promotion",
            "killed::whole::creating_and_deleting",
            "alone::a_single_postgresql",
            "alone::a_single_redis",
            "fencing::a_patroni_that_hangs",
            "diverging::what_a_dead_primary",
            "copying::a_replica_is_copied_under",
            "backing_up::a_replica_is_copied_under",
        ],
    ),
    (
        6,
        &[
            // Lives in containers.
            "containers::a_valkey_8_cluster_in_containers_lives",
            "containers::a_mariadb_11_cluster_in_containers_lives",
            "containers::a_mysql_9_cluster_in_containers_lives",
            "containers::a_postgresql_17_cluster_in_containers_lives",
            "containers::a_redis_8_cluster_in_containers_lives",
            "timescale::a_timescaledb_cluster_lives",
            // Groups of MySQL.
            "group::a_single_node_does_not_begin_a_group",
            "group::passwords_change_under_writes",
            "group::when_all_were_killed_under_writes",
            "group::members_that_all_take_writes_hand_out_numbers",
            "group::a_member_with_transactions_of_its_own",
            "group::a_minority_stops_taking_writes",
            "logs::members_of_a_group_keep_within_the_bound",
            "group::a_member_joins_under_writes",
            "containers::members_of_a_mysql_9_group_in_containers",
            "containers::a_single_mysql_9_in_a_container_grows",
            "backing_up::a_clone_of_mysql_becomes_a_group",
            "killed::containers::a_group_of_mysql",
            "group::a_single_node_takes_writes",
            "group::members_that_all_take_writes_go_on",
            // Copies, and what is made of them.
            "moments::a_single_mysql",
            "moments::a_group_of_mysql_is_brought_back_to_moments",
            "moments::a_group_that_numbers_in_blocks",
            "moments::a_group_of_mysql_is_brought_back_to_just",
            "backups::postgresql_17_in_containers_comes_back",
            "backups::mysql_in_containers_comes_back",
            "backups::sharded_redis_comes_back",
            "backups::mariadb_comes_back",
            "backups::postgresql_comes_back",
            "backups::galera_comes_back",
            "backups::a_cluster_that_is_written_to_is_cloned",
            "backups::valkey_in_containers_comes_back",
            "vaults::postgresql_comes_back_from_a_store",
            "vaults::mariadb_comes_back_from_a_store",
            "vaults::redis_comes_back_from_a_store",
            "vaults::mysql_in_a_container",
            "migrating_online::a_mariadb",
            "migrating_online::a_postgresql",
            "migrating_trusted::a_postgresql",
            "migrating_trusted::a_mariadb",
            "migrating_mysql::a_mysql_database_comes",
            "migrating_mysql::a_mysql_database_is_followed",
            "migrating_mysql::a_mysql_database_without_keys",
            "migrating::mariadb",
            "migrating::redis_comes_into_a_sharded",
            "moments::a_moment_of_postgresql_comes_back",
            "moments::postgresql_is_taken_back",
            "moments::mariadb_is_taken_back",
            "moments::a_group_of_mysql_is_taken_back",
            "snapshots::postgresql_comes_back",
            "snapshots::mariadb_comes_back",
            "snapshots::mysql_in_a_container",
            "dumps::a_dump_of_mysql_in_a_container",
            "copying::a_container_with_an_extension",
            "copying::three_nodes_are_made_from_a_copy",
            "backing_up::a_copy_becomes_the_first_of_three",
            "backing_up::a_member_is_copied",
            // Newer packages, other places, other shapes.
            "upgrade::a_postgresql_cluster_takes",
            "upgrade::a_mariadb_cluster_takes",
            "upgrade::killed_again_and_again",
            "upgrade::a_valkey_cluster_goes",
            "timescale::a_single_timescaledb_grows",
            "timescale::after_a_failover",
            "life::a_valkey_cluster_lives",
            "life::a_single_postgresql_grows",
            "life::a_single_mariadb_grows",
            "life::a_single_redis_grows",
            "life::two_nodes_get_a_witness",
            "life::three_nodes_do_the_same_in_containers",
            "exposed::a_mariadb",
            "exposed::the_network_of_containers",
            "access::mariadb",
            "alone::a_single_mariadb",
            "rotation::a_rotation_of_postgresql",
            "sharded::a_sharded_valkey",
            "sharded::nodes_of_a_sharded_cluster",
            "postgres::without_automatic_failover",
            "postgres::a_replica_that_is_far_behind",
            // Kills.
            "containers::killed_at_any_moment_of_making_and_deleting",
            "killed::containers::making_and_deleting_timescaledb",
            "killed::containers::making_and_deleting_containers",
            "killed::containers::nodes_in_containers",
            "killed::containers::reboots_changes_of_plan",
            "killed::postgres::postgresql_growing_shrinking",
            "killed::postgres::new_passwords_and_copies",
            "killed::postgres::a_change_of_plan",
            "killed::postgres::postgresql_drained_and_rebooted",
            "killed::postgres::switches_and_parameters",
            "killed::postgres::making_and_deleting",
            "killed::mysql::mariadb_growing",
            "killed::mysql::members_of_galera",
            "killed::mysql::mariadb_drained",
            "killed::mysql::making_changing_and_deleting_members",
            "killed::mysql::making_changing_and_deleting_mariadb",
            "killed::backups::a_clone_can",
            "killed::backups::a_restore_to_a_moment",
            "killed::backups::a_deletion_that_keeps",
            "killed::nodes::adding_and_removing",
            "killed::nodes::draining",
            "killed::nodes::the_reboot_of_a_replica",
            "killed::nodes::a_change_of_plan",
            "killed::nodes::the_reboot_of_a_primary",
            "killed::whole::rotating",
            "killed::whole::a_resync",
            "killed::whole::the_growth_of_a_single",
            "killed::whole::whoever_takes",
            "killed::sharded::a_promotion",
            "killed::sharded::adding_and_removing",
            "killed::switches::every_switch",
            "killed::unwinding::a_failed",
            "killed::unwinding::a_cancelled",
        ],
    ),
];

/// Which tests run today, in nextest's words: all but those whose turn is on another day.
pub(crate) fn today() -> String {
    let days = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() / 86_400;
    let day = usize::try_from(days).unwrap_or_default();
    let every = TURNS.map(|(every, _)| format!("{} of {every}", day % every + 1));
    println!("tests of turns {} run today, beside all that run always", every.join(" and "));
    format!("not test(/^({})/)", others(day).join("|"))
}

/// Those whose turn is on another day.
fn others(day: usize) -> Vec<&'static str> {
    let of = |(every, names): &(usize, &'static [&'static str])| {
        let every = *every;
        let not_today = move |(place, _): &(usize, &&str)| place % every != day % every;
        names.iter().enumerate().filter(not_today).map(|(_, name)| *name)
    };
    TURNS.iter().flat_map(of).collect()
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
        for name in TURNS.iter().flat_map(|(_, names)| *names) {
            let begins = format!("fn {}", name.rsplit("::").next().unwrap());
            assert!(all.contains(&begins), "{name} is no test");
        }
    }

    #[test]
    fn each_runs_on_its_days_and_no_more_than_its_share_on_any() {
        for (every, names) in TURNS {
            let left_out = |day: usize| others(day).into_iter().filter(|n| names.contains(n)).count();
            for day in 0..every {
                let run = names.len() - left_out(day);
                assert!(run.abs_diff(names.len() / every) <= 1, "{run} of {} on day {day}", names.len());
            }
            let ever = |name: &&str| (0..every).filter(|day| !others(*day).contains(name)).count();
            assert!(names.iter().all(|name| ever(name) == 1), "each once in {every} days");
        }
    }
}
