//! Promote a replica.

use crate::builder::*;
use clusterdeck_domain::{Health, Link, Role, ServiceKind, Topology};

#[test]
fn a_healthy_replica_can_be_promoted_with_a_short_write_gap() {
    let preview = three().preview(&promote(2));
    warned(&preview, &["write-gap"]);
    assert_eq!(preview.title, "Promote demo-2");
    assert_eq!(preview.expected_downtime_ms, 20);
    assert_eq!(preview.confirm.as_deref(), Some("demo-2"));
}

#[test]
fn promoting_an_unhealthy_replica_is_refused() {
    for health in [Health::Degraded, Health::Down, Health::Unknown] {
        blocked(&three().node(2, |n| n.health = health).preview(&promote(2)), &["target-unhealthy"]);
    }
}

#[test]
fn promoting_a_replica_of_unknown_lag_is_refused() {
    blocked(&three().node(2, |n| n.lag_bytes = None).preview(&promote(2)), &["lag-unknown"]);
}

#[test]
fn promoting_a_lagging_replica_is_refused() {
    let behind = |bytes| three().node(2, |n| n.lag_bytes = Some(bytes));
    blocked(&behind(1 << 20).preview(&promote(2)), &[]);
    let refused = behind((1 << 20) + 1).preview(&promote(2));
    blocked(&refused, &["lag-too-large"]);
    assert!(refused.blockers[0].text.contains("1 MiB"), "the limit is named");
    let strict = behind(1).set(|s| s.figures.max_promotion_lag_bytes = 0);
    blocked(&strict.preview(&promote(2)), &["lag-too-large"]);
}

#[test]
fn promoting_the_primary_is_refused() {
    blocked(&three().preview(&promote(1)), &["already-primary"]);
    blocked(&six_in_three().preview(&promote(1)), &["already-primary"]);
}

#[test]
fn promoting_what_is_no_replica_is_refused() {
    blocked(&three().node(2, |n| n.role = None).preview(&promote(2)), &["role-unknown"]);
    blocked(&three().node(2, |n| n.role = Some(Role::Member)).preview(&promote(2)), &["not-a-replica"]);
    blocked(&three().seen(|s| s.nodes.truncate(1)).preview(&promote(2)), &["target-unknown"]);
    let with_witness = cluster(Topology::PrimaryReplica, 2, 0);
    blocked(&with_witness.preview(&promote(3)), &["is-witness"]);
}

#[test]
fn promoting_a_replica_that_is_cut_off_is_refused() {
    blocked(&three().node(2, |n| n.link = Some(Link::Down)).preview(&promote(2)), &["link-down"]);
    blocked(&three().node(2, |n| n.link = Some(Link::Syncing)).preview(&promote(2)), &["copying"]);
    blocked(&three().node(2, |n| n.link = None).preview(&promote(2)), &["link-unknown"]);
}

#[test]
fn promoting_a_drained_node_offers_to_put_it_back_first() {
    let refused = three().drained(2).preview(&promote(2));
    blocked(&refused, &["drained"]);
    assert_eq!(*way_out(&refused.blockers[0]), undrain(2));
}

#[test]
fn promoting_a_replica_with_writes_of_its_own_offers_to_resync_first() {
    let refused = three().node(2, |n| n.diverged = true).preview(&promote(2));
    blocked(&refused, &["diverged"]);
    assert_eq!(*way_out(&refused.blockers[0]), resync());
}

#[test]
fn a_planned_promotion_needs_the_old_primary() {
    blocked(&three().dead(1).preview(&promote(2)), &["primary-unknown"]);
    blocked(&three().node(1, |n| n.health = Health::Down).preview(&promote(2)), &["primary-unhealthy"]);
    blocked(&three().node(1, |n| n.health = Health::Unknown).preview(&promote(2)), &["primary-unhealthy"]);
    blocked(&three().node(3, |n| n.role = Some(Role::Primary)).preview(&promote(2)), &["several-primaries"]);
    let strained = three().node(1, |n| n.health = Health::Degraded).preview(&promote(2));
    warned(&strained, &["primary-degraded", "write-gap"]);
}

#[test]
fn topologies_without_replicas_have_nothing_to_promote() {
    blocked(&cluster(Topology::Single, 1, 0).preview(&promote(1)), &["nothing-to-promote"]);
    let members = of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0);
    blocked(&members.preview(&promote(1)), &["nothing-to-promote"]);
}

#[test]
fn a_missing_majority_is_warned_about_when_failover_is_wanted() {
    let few = || three().seen(|s| s.votes.as_mut().unwrap().present = 1);
    warned(&few().preview(&promote(2)), &["quorum-missing", "write-gap"]);
    warned(&three().seen(|s| s.votes = None).preview(&promote(2)), &["quorum-missing", "write-gap"]);
    warned(&few().spec(|s| s.auto_failover = false).preview(&promote(2)), &["write-gap"]);
}

#[test]
fn clients_of_the_old_primary_are_counted() {
    let some = three().node(1, |n| n.clients = Some(12)).preview(&promote(2));
    assert!(warning(&some, "clients-connected").text.starts_with("12 clients are connected to demo-1"));
    let unknown = three().node(1, |n| n.clients = None).preview(&promote(2));
    assert!(warning(&unknown, "clients-connected").text.starts_with("An unknown number"));
    let others = three().node(2, |n| n.clients = Some(12)).preview(&promote(2));
    warned(&others, &["write-gap"]);
}

#[test]
fn a_shard_replica_is_promoted_within_its_shard() {
    let preview = six_in_three().preview(&promote(5));
    warned(&preview, &["write-gap"]);
    assert!(preview.effects.iter().any(|e| e == "demo-2 stops taking writes."), "{preview:?}");
    // A dead primary elsewhere is no reason against it; its own is.
    blocked(&six_in_three().dead(1).preview(&promote(5)), &[]);
    blocked(&six_in_three().dead(2).preview(&promote(5)), &["primary-unknown"]);
}
