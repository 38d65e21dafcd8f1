//! Let every node run a newer minor version.

use crate::builder::*;
use clusterdeck_domain::{Health, Role, ServiceKind, Topology, upgrade_order};

/// All is well, and these versions are there.
fn offering(scene: Scene, versions: &[&str]) -> Scene {
    scene.set(|s| {
        s.capacity.as_mut().unwrap().versions = versions.iter().map(|v| (*v).to_owned()).collect();
    })
}

fn newer() -> Scene {
    offering(three(), &["8.0.2", "7.2.4", "7.0.15"])
}

#[test]
fn the_newest_of_its_major_version_is_taken_and_another_major_is_never() {
    let preview = newer().preview(&upgrade(None));
    blocked(&preview, &[]);
    assert_eq!(preview.title, "Upgrade demo to Redis 7.2.4");
    blocked(&newer().preview(&upgrade(Some("8.0.2"))), &["other-major"]);
    blocked(&newer().preview(&upgrade(Some("8"))), &["other-major"]);
    blocked(&newer().preview(&upgrade(Some("newest"))), &["other-major"]);
    blocked(&newer().preview(&upgrade(Some("7.2"))), &[]);
    blocked(&newer().preview(&upgrade(Some("7.4"))), &["version-not-found"]);
}

#[test]
fn of_the_mysql_family_the_first_two_numbers_must_be_the_same() {
    let maria = |versions: &[&str]| {
        let scene = of(ServiceKind::Mysql, Topology::PrimaryReplica, 3, 0);
        let scene = scene.spec(|s| s.version = "10.11.6".to_owned());
        let scene = scene.seen(|s| s.nodes.iter_mut().for_each(|n| n.version = Some("10.11.6".to_owned())));
        offering(scene, versions)
    };
    let both = maria(&["11.8.6", "10.11.19", "10.11.6"]);
    blocked(&both.preview(&upgrade(None)), &[]);
    assert!(both.preview(&upgrade(None)).title.ends_with("10.11.19"));
    blocked(&both.preview(&upgrade(Some("11.8.6"))), &["other-major"]);
    blocked(&maria(&["11.8.6"]).preview(&upgrade(None)), &["version-not-found"]);
}

#[test]
fn the_version_that_every_node_runs_is_refused_by_that_name() {
    for wanted in [Some("7.0.15"), Some("7.0")] {
        blocked(&newer().preview(&upgrade(wanted)), &["same-version"]);
    }
    let nothing = offering(three(), &["7.0.15"]).preview(&upgrade(None));
    blocked(&nothing, &["same-version"]);
    assert!(nothing.blockers[0].text.contains("7.0.15"), "it says what is there");
    assert!(nothing.blockers[0].hint.as_ref().unwrap().contains("newer package"), "and what to do first");
    assert_eq!((nothing.effects.len(), nothing.warnings.len()), (0, 0));
}

#[test]
fn a_version_never_goes_down() {
    let ahead = newer().node(2, |n| n.version = Some("7.2.4".to_owned()));
    blocked(&ahead.preview(&upgrade(Some("7.0.15"))), &["version-older"]);
    let all = offering(three(), &["7.0.9"]);
    blocked(&all.preview(&upgrade(None)), &["version-older"]);
    let unknown = newer().node(2, |n| n.version = None);
    blocked(&unknown.preview(&upgrade(None)), &["version-unknown"]);
}

#[test]
fn asked_again_only_the_rest_has_its_turn_and_whoever_leads_comes_last() {
    let order = |scene: &Scene| -> Vec<u16> {
        let seen = scene.seen.as_ref().unwrap();
        upgrade_order(&scene.spec, seen, "7.2.4").iter().map(|n| n.ordinal).collect()
    };
    assert_eq!(order(&newer()), [2, 3, 1]);
    let half = newer().node(2, |n| n.version = Some("7.2.4".to_owned()));
    assert_eq!(order(&half), [3, 1]);
    let half = half.spec(|s| s.version = "7.2.4".to_owned());
    blocked(&half.preview(&upgrade(None)), &[]);
    let led = newer().node(1, |n| n.role = Some(Role::Replica)).node(3, |n| n.role = Some(Role::Primary));
    assert_eq!(order(&led), [1, 2, 3]);
}

#[test]
fn the_usual_guards_hold() {
    blocker(&newer().busy().preview(&upgrade(None)), "busy");
    blocked(&newer().dead(2).preview(&upgrade(None)), &["node-unhealthy"]);
    blocked(&newer().node(2, |n| n.health = Health::Degraded).preview(&upgrade(None)), &["node-unhealthy"]);
    blocked(&newer().drained(3).preview(&upgrade(None)), &["drained"]);
    blocked(&newer().set(|s| s.seen = None).preview(&upgrade(None)), &["not-observed"]);
    blocked(&newer().set(|s| s.capacity = None).preview(&upgrade(None)), &["capacity-unknown"]);
    let extension = of(ServiceKind::Timescaledb, Topology::PrimaryReplica, 3, 0);
    blocked(&extension.preview(&upgrade(None)), &["extension-by-hand"]);
}

#[test]
fn it_says_the_order_what_people_notice_and_that_there_is_no_way_back() {
    let preview = newer().preview(&upgrade(None));
    let turns: Vec<_> = preview.effects.iter().filter(|e| e.contains("goes from 7.0.15 to 7.2.4")).collect();
    assert_eq!(turns.len(), 3);
    assert!(
        turns[0].starts_with("demo-2") && turns[2].starts_with("demo-1 hands the writes over"),
        "{turns:?}"
    );
    let codes: Vec<_> = preview.warnings.iter().map(|w| w.code.as_str()).collect();
    assert_eq!(codes, ["write-gap", "no-way-back"]);
    assert!(preview.expected_downtime_ms > 0);
}
