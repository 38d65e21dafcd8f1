//! Rules that all or many changes have in common.

use crate::builder::*;
use clusterdeck_domain::{
    Change, ComesFrom, Facts, Figures, Health, Lifecycle, NodeFence, Subject, nodes_per_shard, preview,
    promotion_candidate,
};
use jiff::SignedDuration;

/// Every change of an existing cluster of three.
fn changes() -> Vec<Change> {
    vec![
        add(1),
        promote(2),
        drain(2),
        reboot(2),
        remove(3),
        resize("SMALL-1C-2G"),
        resync(),
        protect(true),
        failover(false),
        stop_writes(false),
        rotate(),
        delete(),
    ]
}

/// With the size that a change asks for at hand.
fn offering(scene: Scene, change: &Change) -> Scene {
    match change {
        Change::ResizeCluster { plan, .. } => scene.offers(plan.as_str()),
        _ => scene,
    }
}

#[test]
fn nothing_blocks_a_change_of_a_healthy_cluster() {
    for change in changes() {
        blocked(&offering(three(), &change).preview(&change), &[]);
    }
    for change in [
        add_shard(),
        promote(4),
        drain(4),
        reboot(4),
        remove(4),
        resize("SMALL-1C-2G"),
        resync(),
        failover(false),
        rotate(),
        delete(),
    ] {
        blocked(&offering(six_in_three(), &change).preview(&change), &[]);
    }
}

#[test]
fn a_cluster_that_another_operation_holds_takes_no_change() {
    for change in changes() {
        let busy = three().busy().preview(&change);
        assert!(blocker(&busy, "busy").text.contains("Reboot demo-3"), "it says what holds it");
        assert!(blocker(&busy, "busy").hint.is_some(), "and what to do");
    }
}

#[test]
fn a_cluster_that_is_being_made_takes_no_change_but_its_deletion() {
    let scene = three().spec(|s| s.lifecycle = Lifecycle::Creating);
    for change in changes().into_iter().filter(|c| *c != delete()) {
        blocker(&scene.preview(&change), "being-created");
    }
    blocked(&scene.preview(&delete()), &[]);
    let scene = three().spec(|s| s.lifecycle = Lifecycle::Deleting);
    for change in changes().into_iter().filter(|c| *c != delete()) {
        blocker(&scene.preview(&change), "being-deleted");
    }
    blocked(&scene.preview(&delete()), &[]);
}

#[test]
fn a_cluster_nobody_has_looked_at_is_not_decided_on() {
    for change in [
        add(1),
        promote(2),
        drain(2),
        reboot(2),
        remove(3),
        resize("SMALL-1C-2G"),
        resync(),
        failover(false),
        stop_writes(false),
        rotate(),
    ] {
        let unseen = offering(three(), &change).set(|s| s.seen = None).preview(&change);
        blocked(&unseen, &["not-observed"]);
    }
}

#[test]
fn an_observation_counts_for_ten_seconds_and_no_longer() {
    let aged = |ms: i64| three().seen(|s| s.at = now() - SignedDuration::from_millis(ms));
    let aged_for = |ms, change: &Change| offering(aged(ms), change).preview(change);
    for change in [
        add(1),
        promote(2),
        drain(2),
        reboot(2),
        remove(3),
        resize("SMALL-1C-2G"),
        resync(),
        failover(false),
        stop_writes(false),
        rotate(),
    ] {
        blocked(&aged_for(10_000, &change), &[]);
        blocked(&aged_for(10_001, &change), &["observation-too-old"]);
        blocked(&aged_for(-10_001, &change), &["observation-too-old"]);
    }
    let patient = aged(30_000).set(|s| s.figures.max_observation_age_ms = 60_000);
    blocked(&patient.preview(&promote(2)), &[]);
}

#[test]
fn protection_and_deletion_need_to_know_nothing_of_the_servers() {
    let unseen = three().set(|s| s.seen = None);
    blocked(&unseen.preview(&protect(true)), &[]);
    let discard = Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true };
    blocked(&unseen.preview(&discard), &[]);
}

#[test]
fn what_is_not_there_is_not_found() {
    let facts = Facts {
        now: now(),
        figures: Figures::default(),
        clusters: &[],
        available: &[],
        subject: None,
        capacity: None,
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
    for change in changes() {
        blocked(&preview(&change, &facts), &["not-found"]);
    }
    assert_eq!(preview(&promote(2), &facts).blockers[0].pointer.as_deref(), Some("/node"));
    assert_eq!(preview(&delete(), &facts).blockers[0].pointer.as_deref(), Some("/cluster"));

    let scene = three();
    let subject = Subject {
        spec: &scene.spec,
        observed: scene.seen.as_ref(),
        busy: None,
        node: None,
        last_backup: None,
        backing_up: None,
    };
    let gone = preview(&promote(9), &Facts { subject: Some(subject), ..facts });
    blocked(&gone, &["not-found"]);
    assert!(gone.blockers[0].text.contains("demo-9"), "it names what was looked for");
}

#[test]
fn a_name_is_typed_where_something_can_be_lost_and_nowhere_else() {
    let scene = three();
    let typed = |change: &Change| scene.preview(change).confirm;
    for (change, name) in
        [(promote(2), "demo-2"), (remove(3), "demo-3"), (resync(), "demo"), (delete(), "demo")]
    {
        assert_eq!(typed(&change).as_deref(), Some(name), "{change:?}");
    }
    for change in [add(1), drain(2), reboot(2), protect(true), failover(false), stop_writes(false), rotate()]
    {
        assert_eq!(typed(&change), None, "{change:?}");
    }
    assert_eq!(six_in_three().preview(&remove_shard(0)).confirm.as_deref(), Some("demo"));
}

#[test]
fn every_finding_says_something_in_a_sentence_and_has_a_stable_code() {
    let scenes = [
        three(),
        three().busy(),
        three().set(|s| s.seen = None),
        three().dead(1),
        three().dead(2).dead(3),
        three().drained(2),
        three().set(|s| s.capacity = None).set(|s| s.last_backup = None),
        six_in_three(),
        six_in_three().dead(1),
    ];
    let more = [
        add_shard(),
        remove_shard(1),
        undrain(2),
        promote(1),
        drain(1),
        reboot(1),
        remove(1),
        failover(true),
        stop_writes(true),
    ];
    for scene in &scenes {
        for change in changes().iter().chain(&more) {
            let preview = scene.preview(change);
            assert!(!preview.title.is_empty());
            for finding in preview.blockers.iter().chain(&preview.warnings) {
                let text = &finding.text;
                let code_fine = finding.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
                assert!(code_fine, "{} is kebab-case", finding.code);
                assert!(text.ends_with('.') && !text.ends_with(".."), "`{text}` is a sentence");
            }
            for effect in &preview.effects {
                assert!(
                    effect.ends_with('.')
                        && effect
                            .chars()
                            .next()
                            .is_some_and(|c| !c.is_lowercase() || effect.starts_with("demo")),
                    "`{effect}` is a sentence"
                );
            }
        }
    }
}

#[test]
fn the_best_candidate_is_the_healthy_replica_that_is_least_behind() {
    let pick = |scene: Scene, shard| {
        promotion_candidate(&scene.spec, scene.seen.as_ref().unwrap(), shard).map(|n| n.name.clone())
    };
    assert_eq!(pick(three(), None).as_deref(), Some("demo-2"), "the older one when both are equal");
    let lagging = three().node(2, |n| n.lag_bytes = Some(10));
    assert_eq!(pick(lagging, None).as_deref(), Some("demo-3"), "less behind");
    let unknown = three().node(2, |n| n.lag_bytes = None);
    assert_eq!(pick(unknown, None).as_deref(), Some("demo-3"), "an unknown lag is no candidate");
    let ill = three().node(2, |n| n.health = Health::Degraded);
    assert_eq!(pick(ill, None).as_deref(), Some("demo-3"), "not well is no candidate");
    let diverged = three().node(2, |n| n.diverged = true);
    assert_eq!(pick(diverged, None).as_deref(), Some("demo-3"), "one with writes of its own is no candidate");
    assert_eq!(pick(three().drained(2).dead(3), None), None, "nobody left");
    assert_eq!(pick(six_in_three(), Some(1)).as_deref(), Some("demo-5"), "of its own shard");
}

#[test]
fn a_shard_that_lost_a_replica_does_not_make_the_next_one_smaller() {
    assert_eq!(nodes_per_shard(&six_in_three().spec), 2);
    let mut spec = six_in_three().spec;
    spec.nodes.pop();
    assert_eq!(nodes_per_shard(&spec), 2);
}
