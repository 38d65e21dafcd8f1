//! Whether other computers reach a cluster.

use crate::{
    allow::{limit, listed},
    builder::*,
};
use clusterdeck_domain::{
    Change, ClusterId, Exposure, Facts, NodeFence, Preview, ServiceKind, Subject, Topology, preview,
};

pub(crate) fn expose(on: Option<&str>, port: Option<u16>) -> Change {
    let on = on.map(|text| text.parse().unwrap());
    Change::ExposeEndpoint { cluster: "demo".to_owned(), on, port }
}

pub(crate) fn exposed(on: Option<&str>, port: u16) -> Option<Exposure> {
    Some(Exposure { on: on.map(|text| text.parse().unwrap()), port })
}

fn taken(scene: Scene, ports: &[u16]) -> Scene {
    scene.set(|s| {
        let place = s.exposable.as_mut().unwrap();
        place.taken = ports.iter().map(|port| (*port, Some("nginx (process 7)".to_owned()))).collect();
    })
}

#[test]
fn without_a_list_it_has_to_be_confirmed_by_name_and_says_what_travels_readable() {
    let open = three().preview(&expose(Some("192.0.2.7"), None));
    warned(&open, &["open-to-everybody", "not-encrypted"]);
    assert_eq!(open.confirm.as_deref(), Some("demo"));
    assert!(open.effects[0].contains("192.0.2.7:6379 for writes and at 192.0.2.7:6380"), "{open:#?}");
    let limited = three().spec(|s| s.allowlist = listed(&["10.0.0.0/8"]));
    let preview = limited.preview(&expose(Some("192.0.2.7"), None));
    warned(&preview, &["not-encrypted"]);
    assert_eq!(preview.confirm, None);
    let wide = three().spec(|s| s.allowlist = listed(&["10.0.0.0/8", "0.0.0.0/0"]));
    warned(&wide.preview(&expose(Some("192.0.2.7"), None)), &["open-to-everybody", "not-encrypted"]);
    let pg =
        of(ServiceKind::Postgresql, Topology::Single, 1, 0).spec(|s| s.allowlist = listed(&["10.0.0.0/8"]));
    warned(&pg.preview(&expose(Some("2001:db8::7"), None)), &["encrypted-on-request"]);
}

#[test]
fn an_address_that_leads_nowhere_is_refused_and_those_there_are_are_told() {
    for address in ["192.0.2.8", "127.0.0.1", "0.0.0.0", "::1"] {
        let preview = three().preview(&expose(Some(address), None));
        blocked(&preview, &["not-an-own-address"]);
        assert_eq!(
            preview.blockers[0].hint.as_deref(),
            Some("It has 192.0.2.7 and 2001:db8::7."),
            "{address}"
        );
    }
    let unknown = three().set(|s| s.exposable = None);
    blocked(&unknown.preview(&expose(Some("192.0.2.7"), None)), &["addresses-unknown"]);
    let refused = three().set(|s| s.exposable.as_mut().unwrap().refused = Some("Not there.".to_owned()));
    blocked(&refused.preview(&expose(Some("192.0.2.7"), None)), &["not-exposable"]);
    let sharded = six_in_three().spec(|s| s.gateway = three().spec.gateway);
    blocked(&sharded.preview(&expose(Some("192.0.2.7"), None)), &["sharded"]);
    blocked(&three().busy().preview(&expose(Some("192.0.2.7"), None)), &["busy"]);
}

#[test]
fn a_port_is_the_services_own_or_the_next_that_is_free_and_stays() {
    let first = |scene: Scene, port| scene.preview(&expose(Some("192.0.2.7"), port));
    let effect = |preview: Preview| preview.effects.first().cloned().unwrap_or_default();
    assert!(effect(first(taken(three(), &[6380]), None)).contains("192.0.2.7:6381 for writes"));
    let kept = || three().spec(|s| s.exposure = exposed(None, 7000));
    assert!(effect(first(kept(), None)).contains("192.0.2.7:7000 for writes"));
    let in_the_way = first(taken(kept(), &[7001]), None);
    blocked(&in_the_way, &["port-taken"]);
    assert!(
        in_the_way.blockers[0]
            .text
            .contains("Port 7001 of 192.0.2.7 is taken: nginx (process 7) listens there")
    );
    assert!(effect(first(taken(kept(), &[7001]), Some(7002))).contains("192.0.2.7:7002 for writes"));
    for port in [0, 80, 65_535] {
        blocked(&first(three(), Some(port)), &["not-a-port"]);
    }
    // What listens there is the cluster itself.
    let open = || taken(three().spec(|s| s.exposure = exposed(Some("192.0.2.7"), 6379)), &[6379, 6380]);
    warned(&first(open(), None), &[]);
    assert!(effect(first(open(), Some(6379))).ends_with("already; nothing changes."));
    let moved = first(taken(open(), &[6379, 6380]), Some(6380));
    assert!(effect(moved).contains("6380 for writes and at 192.0.2.7:6381"));
}

#[test]
fn a_port_that_is_kept_for_another_cluster_is_taken() {
    let scene = three();
    let other = three().spec(|s| (s.id, s.exposure) = (ClusterId::new(2), exposed(None, 6379))).spec;
    let clusters = [scene.spec.clone(), other];
    let subject = Subject {
        spec: &scene.spec,
        observed: None,
        busy: None,
        node: None,
        last_backup: None,
        backing_up: None,
    };
    let facts = Facts {
        now: now(),
        figures: scene.figures,
        clusters: &clusters,
        available: &[],
        subject: Some(subject),
        capacity: None,
        parameters: None,
        parameter_findings: &[],
        growth_findings: &[],
        backup: None,
        backups: &[],
        backup_used_by: None,
        vault: None,
        comes_from: scene.comes_from,
        sources_hidden: false,
        node_fence: &NodeFence::OnlyHere,
        exposable: scene.exposable.as_ref(),
        moment: None,
        no_log: None,
        source: None,
        following: None,
    };
    let chosen = preview(&expose(Some("192.0.2.7"), None), &facts);
    assert!(chosen.effects[0].contains("192.0.2.7:6381 for writes"), "{chosen:#?}");
    blocked(&preview(&expose(Some("192.0.2.7"), Some(6380)), &facts), &["port-taken"]);
}

#[test]
fn closing_says_what_ends_and_what_was_never_open_changes_nothing() {
    let open = three().spec(|s| s.exposure = exposed(Some("192.0.2.7"), 7000));
    let preview = open.preview(&expose(None, None));
    warned(&preview, &[]);
    assert!(
        preview.effects[0].contains("192.0.2.7:7000") && preview.effects[0].contains("closed"),
        "{preview:#?}"
    );
    let never = three().preview(&expose(None, None));
    assert_eq!(never.effects, ["demo is reached from this computer only already; nothing changes."]);
    // Also where nobody could ask what addresses there are.
    warned(&open.set(|s| s.exposable = None).preview(&expose(None, None)), &[]);
}

#[test]
fn giving_up_the_list_of_what_other_computers_reach_is_confirmed_by_name() {
    let open = three()
        .spec(|s| (s.exposure, s.allowlist) = (exposed(Some("192.0.2.7"), 7000), listed(&["10.0.0.0/8"])));
    let preview = open.preview(&limit(&[]));
    warned(&preview, &["open-to-everybody", "exposed-to-everybody"]);
    assert_eq!(preview.confirm.as_deref(), Some("demo"));
    let preview = open.preview(&limit(&["10.0.0.0/8", "::/0"]));
    warned(&preview, &["everybody", "exposed-to-everybody"]);
    warned(&open.preview(&limit(&["10.1.0.0/16"])), &[]);
}
