//! Replicas of a server whose replication has no vote of its own: a person promotes.

use crate::builder::*;
use clusterdeck_domain::{Change, CreateCluster, Health, Link, ServiceKind, Topology};

const MARIADB: &str = "10.11.19";

fn three_of_mariadb() -> Scene {
    of(ServiceKind::Mysql, Topology::PrimaryReplica, 3, 0)
        .spec(|s| {
            s.version = MARIADB.to_owned();
            s.auto_failover = false;
            s.options.stop_writes_without_replica = false;
        })
        .seen(|s| s.votes = None)
}

/// Its primary is dead; the replicas have received so much less than the furthest.
fn headless(behind: [u64; 2]) -> Scene {
    let cut_off = |scene: Scene, n: usize, lag: u64| {
        scene.node(n, |node| {
            node.health = Health::Degraded;
            node.link = Some(Link::Down);
            node.lag_bytes = Some(lag);
        })
    };
    cut_off(cut_off(three_of_mariadb().dead(1), 2, behind[0]), 3, behind[1])
}

fn create(edit: impl FnOnce(&mut CreateCluster)) -> clusterdeck_domain::Preview {
    let mut wish = CreateCluster {
        name: "orders".to_owned(),
        service: ServiceKind::Mysql,
        version: None,
        topology: None,
        nodes: None,
        shards: None,
        provider: None,
        region: None,
        plan: None,
        protected: false,
        auto_failover: None,
        options: None,
    };
    edit(&mut wish);
    three()
        .capacity(|c| c.versions = vec![MARIADB.to_owned()])
        .set(|s| s.available = vec![ServiceKind::Mysql])
        .preview(&Change::CreateCluster(wish))
}

#[test]
fn automatic_failover_is_not_offered_and_says_why() {
    let usual = create(|_| ());
    warned(&usual, &["failover-by-hand"]);
    assert!(usual.effects.iter().any(|e| e.contains("MariaDB 10.11.19 is started")), "{:?}", usual.effects);
    let wished = create(|wish| wish.auto_failover = Some(true));
    blocked(&wished, &["failover-by-hand"]);
    assert!(wished.blockers[0].text.contains("no vote of its own"));
    assert_eq!(wished.blockers[0].pointer.as_deref(), Some("/auto_failover"));
    let Change::CreateCluster(left_off) = way_out(&wished.blockers[0]) else { panic!("{wished:#?}") };
    warned(&create(|wish| *wish = left_off.clone()), &["failover-by-hand"]);
    let switched = three_of_mariadb().preview(&failover(true));
    blocked(&switched, &["no-voters"]);
    assert!(switched.blockers[0].text.contains("by hand"), "{switched:#?}");
    blocked(&three_of_mariadb().preview(&stop_writes(true)), &["no-effect"]);
}

#[test]
fn two_nodes_need_no_witness_where_nobody_votes() {
    let two = create(|wish| wish.nodes = Some(2));
    warned(&two, &["failover-by-hand"]);
    assert!(!two.effects.iter().any(|e| e.contains("witness")), "{:?}", two.effects);
}

#[test]
fn the_limits_of_members_that_all_take_writes_are_shown() {
    let members = create(|wish| wish.topology = Some(Topology::MultiMaster));
    warned(&members, &["topology-limits"]);
    assert!(members.warnings[0].text.contains("primary key"));
}

#[test]
fn a_planned_promotion_needs_no_votes() {
    warned(&three_of_mariadb().preview(&promote(2)), &["write-gap"]);
}

#[test]
fn a_dead_primary_may_be_replaced_and_what_may_be_lost_is_said() {
    let preview = headless([0, 0]).preview(&promote(2));
    warned(&preview, &["writes-may-be-lost"]);
    assert!(preview.destructive && preview.confirm.as_deref() == Some("demo-2"));
    // The votes of others decide elsewhere.
    blocked(&three().dead(1).preview(&promote(2)), &["primary-unknown"]);
}

#[test]
fn a_primary_that_only_does_not_answer_is_not_replaced() {
    let hung = headless([0, 0]).node(1, |n| n.state = clusterdeck_domain::NodeState::Unresponsive);
    let preview = hung.preview(&promote(2));
    blocker(&preview, "primary-unknown");
}

#[test]
fn only_the_replica_that_received_most_is_promoted() {
    let preview = headless([4096, 0]).preview(&promote(2));
    blocked(&preview, &["another-is-ahead"]);
    assert_eq!(*way_out(&preview.blockers[0]), promote(3));
    blocked(&headless([0, 0]).node(2, |n| n.lag_bytes = None).preview(&promote(2)), &["lag-unknown"]);
    blocked(&headless([0, 0]).node(2, |n| n.diverged = true).preview(&promote(2)), &["diverged"]);
}
