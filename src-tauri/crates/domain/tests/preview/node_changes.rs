//! Drain, undrain, reboot.

use crate::builder::*;
use clusterdeck_domain::{Health, Role, ServiceKind, Topology};

#[test]
fn a_replica_can_be_drained() {
    let five = cluster(Topology::PrimaryReplica, 5, 0).preview(&drain(3));
    warned(&five, &[]);
    assert_eq!((five.title.as_str(), five.expected_downtime_ms), ("Drain demo-3", 0));
    // Of three, two are left, and a primary does not insist on its only replica.
    warned(&three().preview(&drain(3)), &["writes-unguarded"]);
}

#[test]
fn draining_the_primary_offers_to_promote_the_best_replica() {
    let refused = three().node(2, |n| n.lag_bytes = Some(5)).preview(&drain(1));
    blocked(&refused, &["is-primary"]);
    assert_eq!(*way_out(&refused.blockers[0]), promote(3));
    let of_shard = six_in_three().preview(&drain(2));
    assert_eq!(*way_out(blocker(&of_shard, "is-primary")), promote(5));
}

#[test]
fn draining_a_primary_without_a_fit_replica_says_so() {
    let alone = three().dead(2).dead(3).preview(&drain(1));
    let finding = blocker(&alone, "is-primary");
    assert!(finding.way_out.is_none() && finding.hint.is_some(), "{finding:?}");
    blocker(&alone, "last-serving");
}

#[test]
fn the_last_node_able_to_serve_is_not_drained() {
    let members = || of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0);
    blocked(&members().preview(&drain(2)), &[]);
    blocked(&members().dead(1).preview(&drain(2)), &["last-serving"]);
    blocked(&members().drained(1).preview(&drain(2)), &["last-serving"]);
    blocked(&cluster(Topology::Single, 1, 0).preview(&drain(1)), &["last-serving"]);
    // In a shard only the nodes of the shard count.
    blocker(&six_in_three().dead(1).preview(&drain(4)), "last-serving");
}

#[test]
fn a_silent_node_is_drained_only_when_another_is_known_to_be_the_primary() {
    blocked(&three().dead(2).preview(&drain(2)), &[]);
    blocker(&three().dead(1).preview(&drain(1)), "role-unknown");
}

#[test]
fn a_drained_node_and_a_witness_are_not_drained() {
    blocked(&three().drained(3).preview(&drain(3)), &["already-drained"]);
    blocked(&cluster(Topology::PrimaryReplica, 2, 0).preview(&drain(3)), &["is-witness"]);
}

#[test]
fn the_replica_that_writes_depend_on_is_not_drained() {
    let scene = || cluster(Topology::PrimaryReplica, 4, 0).dead(2).dead(3);
    let refused = scene().preview(&drain(4));
    blocked(&refused, &["writes-would-stop"]);
    assert_eq!(*way_out(&refused.blockers[0]), stop_writes(false));
    let free = scene().spec(|s| s.options.stop_writes_without_replica = false);
    blocked(&free.preview(&drain(4)), &[]);
    // It makes nothing worse when writes have stopped already.
    blocked(&scene().dead(4).preview(&drain(4)), &[]);
}

#[test]
fn draining_takes_no_vote_of_its_own_away() {
    // Its voter stays until another has taken its vote.
    let few = three().seen(|s| s.votes.as_mut().unwrap().present = 2);
    blocked(&few.preview(&drain(3)), &[]);
}

#[test]
fn open_connections_are_counted() {
    let preview = three().node(3, |n| n.clients = Some(1)).preview(&drain(3));
    assert!(warning(&preview, "connections-open").text.starts_with("1 client is connected to demo-3"));
    warning(&three().node(3, |n| n.clients = None).preview(&drain(3)), "connections-open");
}

#[test]
fn only_a_drained_node_is_put_back_into_service() {
    blocked(&three().preview(&undrain(3)), &["not-drained"]);
    let preview = three().drained(3).preview(&undrain(3));
    warned(&preview, &[]);
    assert_eq!(preview.title, "Put demo-3 back into service");
}

#[test]
fn a_node_comes_back_only_when_there_is_a_primary_to_catch_up_with() {
    blocked(&three().drained(3).dead(1).preview(&undrain(3)), &["primary-unknown"]);
    blocked(&six_in_three().drained(4).dead(1).preview(&undrain(4)), &["primary-unknown"]);
    blocked(&six_in_three().drained(4).dead(2).preview(&undrain(4)), &[]);
}

#[test]
fn rebooting_a_replica_stops_no_writes() {
    let preview = three().preview(&reboot(2));
    warned(&preview, &[]);
    assert_eq!(preview.expected_downtime_ms, 0);
}

#[test]
fn rebooting_the_primary_warns_and_offers_to_promote_first() {
    let preview = three().preview(&reboot(1));
    warned(&preview, &["is-primary"]);
    assert_eq!(*way_out(&preview.warnings[0]), promote(2));
    // 2 s and 100 MiB at 100 MiB/s.
    assert_eq!(preview.expected_downtime_ms, 3_000);
}

#[test]
fn a_reboot_that_would_lose_the_majority_is_refused() {
    blocked(&three().dead(3).preview(&reboot(2)), &["quorum-lost"]);
    blocked(&three().seen(|s| s.votes = None).preview(&reboot(2)), &["votes-unknown"]);
    blocked(&six_in_three().dead(1).preview(&reboot(2)), &["quorum-lost"]);
    blocked(&six_in_three().dead(1).preview(&reboot(5)), &[]);
    // Nobody asks the voters when nothing fails over by itself.
    let manual = three().dead(3).spec(|s| s.auto_failover = false);
    blocked(&manual.preview(&reboot(2)), &[]);
}

#[test]
fn a_dead_node_can_be_rebooted() {
    blocked(&three().dead(3).preview(&reboot(3)), &[]);
    blocked(&three().dead(1).preview(&reboot(1)), &[]);
    blocked(&six_in_three().dead(1).preview(&reboot(1)), &[]);
}

#[test]
fn a_reboot_during_another_is_refused() {
    blocked(&three().busy().preview(&reboot(2)), &["busy"]);
}

#[test]
fn rebooting_the_only_node_stops_everything_for_a_while() {
    let preview = cluster(Topology::Single, 1, 0).preview(&reboot(1));
    warned(&preview, &["single-node"]);
    assert_eq!(preview.expected_downtime_ms, 3_000);
    let last = of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0).dead(2).preview(&reboot(1));
    warned(&last, &["last-serving"]);
}

#[test]
fn rebooting_the_replica_that_writes_depend_on_stops_them_for_a_while() {
    let scene = cluster(Topology::PrimaryReplica, 4, 0).dead(2).dead(3);
    let preview = scene.preview(&reboot(4));
    warned(&preview, &["writes-would-stop"]);
    assert_eq!(preview.expected_downtime_ms, 3_000);
}

#[test]
fn a_node_without_a_vote_is_rebooted_whatever_the_votes() {
    let scene = || cluster(Topology::PrimaryReplica, 4, 0).dead(2);
    blocked(&scene().preview(&reboot(4)), &[]);
    blocked(&scene().preview(&reboot(3)), &["quorum-lost"]);
}

#[test]
fn a_witness_may_be_rebooted_while_a_majority_stays() {
    let two = || cluster(Topology::PrimaryReplica, 2, 0);
    warned(&two().preview(&reboot(3)), &[]);
    blocked(&two().dead(2).preview(&reboot(3)), &["quorum-lost"]);
}

#[test]
fn a_drained_node_is_put_back_rather_than_rebooted() {
    let refused = three().drained(3).preview(&reboot(3));
    blocked(&refused, &["drained"]);
    assert_eq!(*way_out(&refused.blockers[0]), undrain(3));
}

#[test]
fn members_of_a_group_keep_their_majority() {
    let three = || of(ServiceKind::Mysql, Topology::MultiMaster, 3, 0);
    blocked(&three().preview(&reboot(1)), &[]);
    blocked(&three().dead(2).preview(&reboot(1)), &["quorum-lost"]);
    blocked(&three().node(2, |n| n.health = Health::Unknown).preview(&drain(1)), &["quorum-lost"]);
    blocked(&three().dead(2).preview(&reboot(2)), &[]);
    assert_eq!(three().seen.unwrap().nodes[0].role, Some(Role::Member));
}
