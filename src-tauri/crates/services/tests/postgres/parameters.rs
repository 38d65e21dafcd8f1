//! What parameters may not be together. No server is asked.

use crate::ground::spec;
use clusterdeck_domain::{Network, Topology};
use clusterdeck_driver::ServiceDriver as _;
use clusterdeck_services::Postgres;

/// What is wrong with these, each as `code at`.
fn wrong(chosen: &[(&str, &str)]) -> Vec<String> {
    let mut spec = spec("17.11", Topology::PrimaryReplica, Network("127.200.1.0/24".to_owned()));
    spec.parameters = chosen.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let found = Postgres::new().parameters_disagree(&spec);
    found.iter().map(|f| format!("{} {}", f.code, f.pointer.clone().unwrap_or_default())).collect()
}

#[test]
fn a_lock_lasts_as_long_as_a_round_and_two_tries_to_renew_it() {
    let timings = |ttl, wait, retry| {
        wrong(&[("failover_ttl", ttl), ("failover_loop_wait", wait), ("failover_retry_timeout", retry)])
    };
    assert_eq!(wrong(&[]), Vec::<String>::new(), "what is chosen here");
    assert_eq!(timings("7", "1", "3"), Vec::<String>::new(), "just so");
    assert_eq!(timings("7", "2", "3"), ["timings-disagree /parameters/failover_ttl"]);
    // One alone, with the others as they are: 5, 1 and 2.
    assert_eq!(wrong(&[("failover_ttl", "4")]), ["timings-disagree /parameters/failover_ttl"]);
    assert_eq!(wrong(&[("failover_retry_timeout", "3")]), ["timings-disagree /parameters/failover_ttl"]);
    assert_eq!(wrong(&[("failover_ttl", "6")]), Vec::<String>::new());
}

#[test]
fn the_nodes_themselves_need_some_connections_senders_and_slots() {
    assert_eq!(wrong(&[("max_connections", "19")]), ["parameter-too-small /parameters/max_connections"]);
    assert_eq!(wrong(&[("max_connections", "20")]), Vec::<String>::new());
    // Without nodes, what is needed beside them.
    assert_eq!(wrong(&[("max_wal_senders", "1")]), ["parameter-too-small /parameters/max_wal_senders"]);
    assert_eq!(
        wrong(&[("max_replication_slots", "0")]),
        ["parameter-too-small /parameters/max_replication_slots"]
    );
    assert_eq!(wrong(&[("max_wal_senders", "2"), ("max_replication_slots", "1")]), Vec::<String>::new());
}
