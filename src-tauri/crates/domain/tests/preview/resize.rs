//! Give every node another size.

use crate::builder::*;
use clusterdeck_domain::{
    Change, ClusterOptions, ComesFrom, Facts, Figures, Health, Lifecycle, MissingSoftware, NodeFence, NodeId,
    PlanId, Role, ServiceKind, Subject, Topology, preview, resize_order,
};

const LARGER: &str = "SMALL-1C-2G";
const SMALLER: &str = "MICRO-1C-512M";

/// All is well and the provider has the larger size.
fn larger() -> Scene {
    three().offers(LARGER)
}

#[test]
fn the_plan_it_has_already_is_refused_by_that_name_and_nothing_else_is_said() {
    let same = three().preview(&resize("SMALL-1C-1G"));
    blocked(&same, &["same-plan"]);
    assert_eq!((same.effects.len(), same.warnings.len()), (0, 0), "{same:?}");
    // One that was added with another size gets the cluster's.
    let mixed = three().meant(3, |n| n.plan = PlanId::parse(LARGER).unwrap());
    blocked(&mixed.preview(&resize("SMALL-1C-1G")), &[]);
}

#[test]
fn a_plan_that_nobody_has_is_refused() {
    blocked(&three().preview(&resize("HUGE-99C-1T")), &["plan-unknown"]);
    blocked(&larger().set(|s| s.capacity = None).preview(&resize(LARGER)), &["capacity-unknown"]);
}

#[test]
fn a_cluster_that_is_busy_or_not_there_yet_is_left_alone() {
    blocker(&larger().busy().preview(&resize(LARGER)), "busy");
    let made = larger().spec(|s| s.lifecycle = Lifecycle::Creating);
    blocker(&made.preview(&resize(LARGER)), "being-created");
}

#[test]
fn every_node_must_be_healthy_and_in_service() {
    let scene = || larger();
    blocked(&scene().dead(2).preview(&resize(LARGER)), &["node-unhealthy"]);
    blocked(&scene().node(2, |n| n.health = Health::Unknown).preview(&resize(LARGER)), &["node-unhealthy"]);
    blocked(&scene().node(2, |n| n.health = Health::Degraded).preview(&resize(LARGER)), &["node-unhealthy"]);
    let unseen = scene().seen(|s| drop(s.nodes.remove(1)));
    blocked(&unseen.preview(&resize(LARGER)), &["node-unhealthy"]);
    let drained = scene().drained(3).preview(&resize(LARGER));
    blocked(&drained, &["drained"]);
    assert_eq!(*way_out(&drained.blockers[0]), undrain(3));
}

#[test]
fn two_primaries_or_none_are_not_resized() {
    let two = larger().node(2, |n| n.role = Some(Role::Primary));
    blocked(&two.preview(&resize(LARGER)), &["several-primaries"]);
    let none = larger().node(1, |n| n.role = Some(Role::Replica));
    blocked(&none.preview(&resize(LARGER)), &["primary-unknown"]);
}

#[test]
fn a_majority_must_be_left_while_a_voter_is_away() {
    let few = larger().seen(|s| s.votes.as_mut().unwrap().present = 2);
    blocker(&few.preview(&resize(LARGER)), "quorum-lost");
    let silent = larger().seen(|s| s.votes = None);
    blocker(&silent.preview(&resize(LARGER)), "votes-unknown");
}

#[test]
fn termination_protection_does_not_matter() {
    blocked(&larger().spec(|s| s.protected = true).preview(&resize(LARGER)), &[]);
}

#[test]
fn only_what_is_needed_beyond_today_must_be_free() {
    // Three nodes grow by 1 GiB of memory and 10 GiB of disk each; 512 MiB are kept for everything else.
    let with = |memory: u64, disk: u64| {
        let scene =
            larger().capacity(|c| (c.memory_free_bytes, c.disk_free_bytes) = (Some(memory), Some(disk)));
        scene.preview(&resize(LARGER))
    };
    let (memory, disk) = ((3 << 30) + (512 << 20), 30 << 30);
    blocked(&with(memory, disk), &[]);
    blocked(&with(memory - 1, disk), &["memory-short"]);
    blocked(&with(memory, disk - 1), &["disk-short"]);
    let unknown = larger().capacity(|c| (c.memory_free_bytes, c.disk_free_bytes) = (None, None));
    blocked(&unknown.preview(&resize(LARGER)), &["memory-unknown", "disk-unknown"]);
    let full = three().offers(SMALLER).capacity(|c| {
        (c.memory_free_bytes, c.disk_free_bytes) = (Some(0), Some(0));
    });
    blocked(&full.preview(&resize(SMALLER)), &[]);
}

#[test]
fn software_that_is_gone_would_not_start_again() {
    let bare = larger().capacity(|c| {
        c.missing.push(MissingSoftware {
            program: "redis-server".to_owned(),
            purpose: "the server".to_owned(),
            install: None,
            elsewhere: None,
            refused: false,
        });
    });
    blocked(&bare.preview(&resize(LARGER)), &["software-missing"]);
}

#[test]
fn what_lies_in_memory_may_fill_three_quarters_of_the_new_plan() {
    let holding = |bytes| three().offers(SMALLER).node(2, |n| n.data_bytes = Some(bytes));
    let most = (512 << 20) / 100 * 75;
    blocked(&holding(most).preview(&resize(SMALLER)), &[]);
    blocked(&holding(most + 1).preview(&resize(SMALLER)), &["memory-too-small"]);
    let disk = of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).offers(SMALLER);
    let disk = disk.node(2, |n| n.data_bytes = Some(most + 1));
    blocked(&disk.preview(&resize(SMALLER)), &[]);
}

#[test]
fn the_new_disk_must_take_the_data_and_a_fifth_more() {
    // MICRO-1C-512M has 5 GiB.
    let holding = |bytes| {
        let scene = of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).offers(SMALLER);
        scene.node(3, |n| n.data_bytes = Some(bytes)).preview(&resize(SMALLER))
    };
    let most = (5_u64 << 30) * 100 / 120;
    blocked(&holding(most), &[]);
    blocked(&holding(most + 2), &["disk-too-small"]);
}

#[test]
fn data_of_unknown_size_blocks() {
    let unknown = larger().node(3, |n| n.data_bytes = None);
    blocked(&unknown.preview(&resize(LARGER)), &["data-size-unknown"]);
}

#[test]
fn a_service_that_needs_more_memory_than_the_plan_has_is_not_put_there() {
    let mysql = |version: &str| {
        let scene = of(ServiceKind::Mysql, Topology::PrimaryReplica, 3, 0).offers(SMALLER);
        scene.spec(|s| s.version = version.to_owned())
    };
    blocker(&mysql("8.4.1").preview(&resize(SMALLER)), "plan-too-small");
    let maria = mysql("10.11.19").preview(&resize(SMALLER));
    blocked(&maria, &[]);
    // Nor is it made there, nor is a node added.
    let add =
        Change::AddNode { cluster: "demo".to_owned(), count: Some(1), plan: PlanId::parse(SMALLER).ok() };
    let there = mysql("8.4.1").capacity(|c| c.versions = vec!["8.4.1".to_owned()]);
    blocker(&there.preview(&add), "plan-too-small");
    let wish = serde_json::json!({"name": "new", "service": "mysql", "plan": SMALLER});
    let made = created(&there, serde_json::from_value(wish).unwrap());
    blocker(&made, "plan-too-small");
}

fn created(scene: &Scene, wish: clusterdeck_domain::CreateCluster) -> clusterdeck_domain::Preview {
    let facts = Facts {
        now: now(),
        figures: Figures::default(),
        clusters: &[],
        available: &[ServiceKind::Mysql],
        subject: None::<Subject<'_>>,
        capacity: scene.capacity.as_ref(),
        parameters: None,
        parameter_findings: &[],
        growth_findings: &[],
        backup: None,
        backups: &[],
        backup_used_by: None,
        vault: None,
        comes_from: ComesFrom::Nobody,
        following: None,
        moment: None,
        no_log: None,
        source: None,
        sources_hidden: false,
        node_fence: &NodeFence::OnlyHere,
        exposable: None,
    };
    preview(&Change::CreateCluster(wish), &facts)
}

#[test]
fn replicas_come_first_and_whoever_leads_last_also_in_each_shard() {
    let order = |scene: &Scene| {
        let to = PlanId::parse(LARGER).unwrap();
        let nodes = resize_order(&scene.spec, scene.seen.as_ref().unwrap(), &to);
        nodes.iter().map(|n| n.ordinal).collect::<Vec<_>>()
    };
    assert_eq!(order(&three()), [2, 3, 1]);
    assert_eq!(order(&six_in_three()), [4, 5, 6, 1, 2, 3]);
    let moved = three().node(1, |n| n.role = Some(Role::Replica)).node(2, |n| n.role = Some(Role::Primary));
    assert_eq!(order(&moved), [1, 3, 2], "who leads now, not who led first");
    let begun = three().meant(2, |n| n.plan = PlanId::parse(LARGER).unwrap());
    assert_eq!(order(&begun), [3, 1], "one that has it already is left alone");
}

#[test]
fn the_effects_say_what_happens_to_each_node_and_in_which_order() {
    let done = larger().preview(&resize(LARGER));
    warned(&done, &["write-gap"]);
    let at = |name: &str| done.effects.iter().position(|e| e.starts_with(name)).unwrap();
    assert!(at("demo-2") < at("demo-3") && at("demo-3") < at("demo-1"), "{done:?}");
    assert!(done.effects[at("demo-1")].contains("hands the writes over"), "{done:?}");
    assert!(!done.effects[at("demo-2")].contains("hands"), "{done:?}");
    assert_eq!(done.expected_downtime_ms, 20, "the gap of a hand-over");
}

#[test]
fn writes_of_a_single_node_stop() {
    let single = cluster(Topology::Single, 1, 0).offers(LARGER).preview(&resize(LARGER));
    warned(&single, &["single-node"]);
    assert_eq!(single.expected_downtime_ms, 3_000, "two seconds, and 100 MiB to load");
}

#[test]
fn members_that_all_take_writes_hand_nothing_over() {
    let members =
        of(ServiceKind::Mysql, Topology::MultiMaster, 3, 0).spec(|s| s.version = "10.11.19".to_owned());
    let done = members.offers(LARGER).preview(&resize(LARGER));
    warned(&done, &[]);
    assert_eq!(done.expected_downtime_ms, 0);
}

#[test]
fn a_shard_without_a_replica_is_away_for_a_moment() {
    let bare = cluster(Topology::Sharded, 3, 3).offers(LARGER).preview(&resize(LARGER));
    let texts: Vec<&str> = bare.warnings.iter().map(|w| w.code.as_str()).collect();
    assert_eq!(texts, ["shard-without-replica"; 3], "{bare:?}");
    assert_eq!(bare.expected_downtime_ms, 3_000);
}

#[test]
fn a_primary_that_insists_on_its_only_replica_refuses_writes_meanwhile() {
    let strict = of(ServiceKind::Postgresql, Topology::PrimaryReplica, 2, 0).offers(LARGER);
    let options = ClusterOptions { stop_writes_without_replica: true, synchronous: true };
    let done = strict.spec(|s| s.options = options).preview(&resize(LARGER));
    warning(&done, "writes-would-stop");
    assert_eq!(done.expected_downtime_ms, 3_500, "a hand-over that waits for a replica takes longer still");
}

#[test]
fn a_smaller_postgresql_restarts_its_primary_where_it_is_and_a_larger_one_does_not() {
    let pg = || of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0);
    let restarts = |size: &str| {
        let done = pg().offers(size).preview(&resize(size));
        (done.effects.iter().any(|e| e.contains("restarts where it is")), done.expected_downtime_ms)
    };
    assert_eq!(restarts(SMALLER), (true, 2_000));
    assert_eq!(restarts(LARGER), (false, 600));
}

#[test]
fn open_connections_are_told_and_unknown_ones_too() {
    let with = |clients| larger().node(1, |n| n.clients = clients).preview(&resize(LARGER));
    assert!(warning(&with(Some(3)), "connections-open").text.starts_with("3 "));
    assert!(warning(&with(None), "connections-open").text.starts_with("An unknown number"));
    let gone = NodeId::new(99);
    assert!(three().spec.node(&gone).is_none());
}
