//! A cluster's state and health in one word each.

use crate::builder::*;
use clusterdeck_domain::{
    ClusterState, Health, Lifecycle, NodeState, Role, ServiceKind, Topology, cluster_state,
};

fn state(scene: &Scene) -> (ClusterState, Health) {
    cluster_state(&scene.spec, scene.seen.as_ref(), scene.busy.is_some())
}

/// Nobody could look at node `n`.
fn unseen(scene: Scene, n: usize) -> Scene {
    scene.node(n, |node| {
        node.state = NodeState::Unknown;
        node.health = Health::Unknown;
        node.role = None;
    })
}

const RUNNING: (ClusterState, Health) = (ClusterState::Running, Health::Healthy);
const DEGRADED: (ClusterState, Health) = (ClusterState::Degraded, Health::Degraded);
const DOWN: (ClusterState, Health) = (ClusterState::Down, Health::Down);

#[test]
fn a_cluster_whose_nodes_are_all_well_runs() {
    for scene in [
        three(),
        six_in_three(),
        cluster(Topology::Single, 1, 0),
        cluster(Topology::PrimaryReplica, 2, 0),
        of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0),
    ] {
        assert_eq!(state(&scene), RUNNING, "{} nodes, {}", scene.spec.nodes.len(), scene.spec.topology);
    }
}

#[test]
fn a_dead_replica_or_witness_degrades_it() {
    assert_eq!(state(&three().dead(3)), DEGRADED);
    assert_eq!(state(&three().dead(2).dead(3)), DEGRADED, "the primary still takes writes");
    assert_eq!(state(&cluster(Topology::PrimaryReplica, 2, 0).dead(3)), DEGRADED, "the witness");
    assert_eq!(state(&six_in_three().dead(4)), DEGRADED);
    assert_eq!(state(&of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0).dead(1)), DEGRADED);
}

#[test]
fn it_is_down_when_nobody_takes_writes() {
    assert_eq!(state(&three().dead(1)), DOWN, "replicas take none");
    assert_eq!(state(&cluster(Topology::Single, 1, 0).dead(1)), DOWN);
    assert_eq!(state(&of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0).dead(1).dead(2)), DOWN);
    let says_so = three().node(1, |n| n.health = Health::Down);
    assert_eq!(state(&says_so), DOWN, "a primary that is down takes no writes");
}

#[test]
fn one_shard_without_a_primary_is_enough_to_be_down() {
    assert_eq!(state(&six_in_three().dead(2)), DOWN);
}

#[test]
fn a_hung_primary_takes_no_writes_either() {
    let hung = three().node(1, |n| {
        n.state = NodeState::Unresponsive;
        n.health = Health::Down;
        n.role = None;
    });
    assert_eq!(state(&hung), DOWN);
}

#[test]
fn what_nobody_has_looked_at_is_unknown_and_raises_no_alarm() {
    let unseen = three().set(|s| s.seen = None);
    assert_eq!(state(&unseen), (ClusterState::Running, Health::Unknown));
}

#[test]
fn a_primary_that_could_not_be_looked_at_is_not_taken_for_dead() {
    let unknown = (ClusterState::Degraded, Health::Unknown);
    assert_eq!(state(&unseen(three(), 1)), unknown);
    assert_eq!(state(&unseen(six_in_three(), 2)), unknown);
    assert_eq!(state(&unseen(unseen(unseen(three(), 1), 2), 3)), unknown);
    assert_eq!(
        state(&three().seen(|s| {
            s.nodes.remove(0);
        })),
        unknown,
        "not even a line about it"
    );
    assert_eq!(state(&unseen(three(), 2)), DEGRADED, "an unseen replica takes no writes away");
    assert_eq!(state(&unseen(six_in_three().dead(1), 2)), DOWN, "one shard is known to be without");
}

#[test]
fn two_primaries_are_not_healthy() {
    assert_eq!(state(&three().node(2, |n| n.role = Some(Role::Primary))), DEGRADED);
    assert_eq!(state(&six_in_three().node(4, |n| n.role = Some(Role::ShardPrimary))), DEGRADED);
}

#[test]
fn an_endpoint_that_does_not_answer_degrades_it() {
    assert_eq!(state(&three().seen(|s| s.endpoint_up = Some(false))), DEGRADED);
    assert_eq!(state(&three().seen(|s| s.endpoint_up = None)), DEGRADED, "unknown is not healthy");
    let none = three().spec(|s| s.gateway = None).seen(|s| s.endpoint_up = None);
    assert_eq!(state(&none), RUNNING, "where there is no endpoint none is missed");
}

#[test]
fn a_drained_node_degrades_it_and_is_not_the_one_that_takes_writes() {
    assert_eq!(state(&three().drained(3)), DEGRADED);
    let all = three().drained(2).drained(3).dead(1);
    assert_eq!(state(&all), DOWN);
}

#[test]
fn a_primary_that_is_not_well_degrades_it() {
    assert_eq!(state(&three().node(1, |n| n.health = Health::Degraded)), DEGRADED);
}

#[test]
fn its_life_and_an_operation_come_before_its_health() {
    let lives = |lifecycle, busy: bool| {
        let scene = three().dead(1).spec(|s| s.lifecycle = lifecycle);
        state(&if busy { scene.busy() } else { scene })
    };
    assert_eq!(lives(Lifecycle::Creating, true), (ClusterState::Creating, Health::Down));
    assert_eq!(lives(Lifecycle::Deleting, false), (ClusterState::Deleting, Health::Down));
    assert_eq!(lives(Lifecycle::Active, true), (ClusterState::Changing, Health::Down));
    assert_eq!(lives(Lifecycle::Active, false), DOWN);
}
