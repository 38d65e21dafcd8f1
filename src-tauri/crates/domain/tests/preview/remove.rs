//! Remove a node.

use crate::builder::*;
use clusterdeck_domain::{Change, Role, ServiceKind, Topology};

#[test]
fn removing_a_replica_says_what_is_left() {
    let preview = cluster(Topology::PrimaryReplica, 5, 0).preview(&remove(5));
    warned(&preview, &["capacity-after"]);
    assert!(preview.warnings[0].text.contains("keeps 4 copies"), "{preview:?}");
    assert_eq!((preview.title.as_str(), preview.destructive), ("Remove demo-5", true));
    let one_left = cluster(Topology::PrimaryReplica, 4, 0).dead(2).preview(&remove(4));
    warned(&one_left, &["capacity-after", "writes-need-replica"]);
}

#[test]
fn removing_the_third_node_says_that_failover_ends() {
    warned(&three().preview(&remove(3)), &["capacity-after", "writes-unguarded", "no-failover-after"]);
    let manual = three().spec(|s| {
        s.auto_failover = false;
        s.options.stop_writes_without_replica = false;
    });
    warned(&manual.preview(&remove(3)), &["capacity-after"]);
}

#[test]
fn the_primary_is_not_removed_but_a_replica_is_offered_in_its_place() {
    let refused = three().preview(&remove(1));
    assert_eq!(*way_out(blocker(&refused, "is-primary")), promote(2));
    let of_shard = six_in_three().preview(&remove(3));
    assert_eq!(*way_out(blocker(&of_shard, "is-primary")), promote(6));
}

#[test]
fn a_node_that_may_be_the_primary_is_not_removed() {
    blocker(&three().dead(1).preview(&remove(1)), "role-unknown");
    blocker(
        &three()
            .node(2, |n| n.role = Some(Role::Primary))
            .node(1, |n| n.role = None)
            .node(2, |n| n.role = None)
            .preview(&remove(2)),
        "role-unknown",
    );
}

#[test]
fn a_dead_replica_can_be_removed() {
    blocked(&three().dead(3).preview(&remove(3)), &[]);
    blocked(&six_in_three().dead(4).preview(&remove(4)), &[]);
}

#[test]
fn a_removal_that_would_lose_the_majority_is_refused() {
    blocked(&three().dead(2).preview(&remove(3)), &["quorum-lost"]);
    blocked(&three().seen(|s| s.votes = None).preview(&remove(3)), &["votes-unknown"]);
    // Of five two are dead; of the four that stay three vote, one of them dead.
    let shaken = || cluster(Topology::PrimaryReplica, 5, 0).dead(4).dead(5);
    blocked(&shaken().preview(&remove(3)), &[]);
    blocked(&shaken().preview(&remove(4)), &[]);
    // The fourth node takes up the vote of the second.
    blocked(&cluster(Topology::PrimaryReplica, 4, 0).dead(3).preview(&remove(2)), &[]);
    blocked(
        &cluster(Topology::PrimaryReplica, 4, 0).dead(3).dead(4).preview(&remove(2)),
        &["quorum-lost", "writes-would-stop"],
    );
}

#[test]
fn the_last_copy_of_a_shard_is_not_removed() {
    blocker(&six_in_three().dead(1).preview(&remove(4)), "last-copy");
    blocked(&six_in_three().preview(&remove(4)), &[]);
    blocker(&three().dead(1).dead(2).preview(&remove(3)), "last-copy");
}

#[test]
fn a_topology_keeps_its_fewest_nodes() {
    blocked(&cluster(Topology::PrimaryReplica, 2, 0).preview(&remove(2)), &["too-few-nodes"]);
    blocked(&cluster(Topology::Sharded, 3, 3).preview(&remove(1)), &["too-few-nodes"]);
    blocked(&of(ServiceKind::Mysql, Topology::MultiMaster, 3, 0).preview(&remove(1)), &["too-few-nodes"]);
    let single = cluster(Topology::Single, 1, 0).preview(&remove(1));
    blocked(&single, &["too-few-nodes"]);
    assert_eq!(
        *way_out(&single.blockers[0]),
        Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: false }
    );
}

#[test]
fn the_witness_of_two_nodes_is_needed() {
    blocked(&cluster(Topology::PrimaryReplica, 2, 0).preview(&remove(3)), &["witness-needed"]);
}

#[test]
fn a_witness_beside_three_data_nodes_can_go() {
    let mut scene = three();
    let mut witness = scene.spec.nodes[2].clone();
    witness.id = clusterdeck_domain::NodeId::new(4);
    witness.name = "demo-4".to_owned();
    witness.kind = clusterdeck_domain::NodeKind::Witness;
    scene.spec.nodes.push(witness);
    let scene = scene.seen(|s| s.votes = Some(clusterdeck_domain::Votes { present: 4, needed: 3, total: 4 }));
    let preview = scene.preview(&remove(4));
    warned(&preview, &[]);
    assert_eq!(preview.effects.len(), 1, "no data is touched");
}

#[test]
fn the_replica_that_writes_depend_on_is_not_removed() {
    let scene =
        cluster(Topology::PrimaryReplica, 5, 0).dead(2).dead(3).dead(4).spec(|s| s.auto_failover = false);
    let refused = scene.preview(&remove(5));
    blocked(&refused, &["writes-would-stop"]);
    assert_eq!(*way_out(&refused.blockers[0]), stop_writes(false));
}

#[test]
fn a_missing_or_old_backup_is_warned_about() {
    let with = |at| three().set(|s| s.last_backup = at).preview(&remove(3));
    warning(&with(None), "no-backup");
    let old = with(Some(now() - hours(25)));
    assert!(warning(&old, "old-backup").text.contains("25 h"), "{old:?}");
    let young = with(Some(now() - hours(24)));
    assert!(!codes(&young.warnings).contains(&"old-backup"), "a day is not older than a day");
}

#[test]
fn a_drained_node_is_removed_without_waiting_for_anybody() {
    let preview = three().drained(3).seen(|s| s.votes.as_mut().unwrap().present = 3).preview(&remove(3));
    blocked(&preview, &[]);
    assert!(!codes(&preview.warnings).contains(&"connections-open"), "it serves nobody");
}
