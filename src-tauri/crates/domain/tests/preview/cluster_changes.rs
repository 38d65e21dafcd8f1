//! Resync, protection, failover, options, credentials, deletion.

use crate::builder::*;
use clusterdeck_domain::{
    Busy, Change, ChangeKind, ClusterOptions, Health, NodeState, OpenTransaction, OptionWish, Parameter,
    ParameterKind, ServiceKind, Topology,
};

#[test]
fn resyncing_goes_one_replica_at_a_time_and_sets_the_old_data_aside() {
    let preview = three().preview(&resync());
    warned(&preview, &[]);
    assert!(preview.destructive);
    assert_eq!(
        preview.effects[0],
        "demo-2 and demo-3 are copied to anew, one after the other, and out of the endpoint meanwhile."
    );
    assert!(preview.effects[1].contains("set aside, not deleted"));
    // Two copies of 100 MiB at 50 MiB/s, 3 s around each.
    assert!(preview.effects[2].starts_with("200 MiB in all is copied: about 10 s"), "{preview:?}");
}

#[test]
fn there_is_nothing_to_resync_in_one_node_or_between_equals() {
    blocked(&cluster(Topology::Single, 1, 0).preview(&resync()), &["one-node"]);
    blocked(&of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0).preview(&resync()), &["no-replicas"]);
    blocked(&three().drained(2).drained(3).preview(&resync()), &["no-replicas"]);
}

#[test]
fn of_members_that_all_take_writes_the_one_that_diverged_is_copied_to_anew() {
    let three = || {
        of(ServiceKind::Mysql, Topology::MultiMaster, 3, 0).node(2, |n| {
            (n.diverged, n.health) = (true, Health::Degraded);
        })
    };
    let preview = three().preview(&resync());
    warned(&preview, &["diverged"]);
    assert!(preview.warnings[0].text.starts_with("demo-2 holds writes that the other members lack."));
    assert_eq!(preview.effects[0], "demo-2 is copied to anew, and out of the endpoint meanwhile.");
    assert!(preview.effects[2].starts_with("100 MiB in all is copied"), "{preview:?}");
    assert!(preview.effects[3].starts_with("The other members go on"), "{preview:?}");
    blocked(&three().drained(2).preview(&resync()), &["no-replicas"]);
    blocked(
        &three().dead(1).dead(3).node(2, |n| n.health = Health::Down).preview(&resync()),
        &["primary-unhealthy"],
    );
}

#[test]
fn resyncing_from_an_unhealthy_primary_is_refused() {
    blocked(&three().dead(1).preview(&resync()), &["primary-unknown"]);
    blocked(&three().node(1, |n| n.health = Health::Down).preview(&resync()), &["primary-unhealthy"]);
    blocked(&six_in_three().dead(3).preview(&resync()), &["primary-unknown"]);
}

#[test]
fn writes_that_only_a_replica_holds_are_shown_before_a_resync() {
    let preview = three().node(3, |n| n.diverged = true).preview(&resync());
    warned(&preview, &["diverged"]);
    assert!(preview.warnings[0].text.contains("demo-3 holds writes that its primary lacks"));
}

#[test]
fn resyncing_the_only_replica_that_follows_stops_writes_where_they_need_one() {
    let preview = cluster(Topology::PrimaryReplica, 4, 0).dead(2).dead(3).preview(&resync());
    warned(&preview, &["writes-would-stop"]);
    assert_eq!(preview.expected_downtime_ms, 5_000);
    // A primary with one replica in service does not insist on it.
    warned(&cluster(Topology::PrimaryReplica, 2, 0).preview(&resync()), &[]);
}

#[test]
fn a_drained_replica_is_left_out_of_a_resync_and_named() {
    let preview = three().drained(2).preview(&resync());
    warned(&preview, &["drained-left-out"]);
    assert_eq!(preview.effects[0], "demo-3 is copied to anew, and out of the endpoint meanwhile.");
}

#[test]
fn protection_is_switched_without_looking_at_a_server() {
    warned(&three().preview(&protect(true)), &[]);
    let again = three().spec(|s| s.protected = true).preview(&protect(true));
    warned(&again, &[]);
    assert!(again.effects[0].contains("nothing changes"));
}

#[test]
fn failover_needs_voters() {
    let off = |scene: Scene| scene.spec(|s| s.auto_failover = false);
    blocked(&cluster(Topology::Single, 1, 0).preview(&failover(true)), &["no-voters"]);
    blocked(&of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0).preview(&failover(true)), &["no-voters"]);
    warned(&off(three()).preview(&failover(true)), &[]);
    warned(&off(six_in_three()).preview(&failover(true)), &[]);
}

#[test]
fn failover_that_could_not_work_now_says_why() {
    let off = |scene: Scene| scene.spec(|s| s.auto_failover = false);
    let nobody = off(three()).dead(2).dead(3);
    warned(&nobody.preview(&failover(true)), &["no-candidate"]);
    let two = off(three()).spec(|s| s.nodes.truncate(2));
    warned(&two.preview(&failover(true)), &["failover-not-ready"]);
    warned(&off(six_in_three()).dead(4).preview(&failover(true)), &["no-candidate"]);
}

#[test]
fn turning_failover_off_is_warned_about() {
    warned(&three().preview(&failover(false)), &["failover-off"]);
    let again = three().spec(|s| s.auto_failover = false).preview(&failover(false));
    warned(&again, &[]);
}

#[test]
fn letting_a_cut_off_primary_write_is_warned_about() {
    warned(&three().preview(&stop_writes(false)), &["writes-may-be-discarded"]);
    warned(&three().preview(&stop_writes(true)), &[]);
}

#[test]
fn asking_for_a_replica_needs_one_that_follows() {
    let off = |scene: Scene| scene.spec(|s| s.options.stop_writes_without_replica = false);
    warned(&off(three()).preview(&stop_writes(true)), &[]);
    warned(&off(three()).dead(2).preview(&stop_writes(true)), &["writes-need-replica"]);
    blocked(&off(three()).dead(2).dead(3).preview(&stop_writes(true)), &["writes-would-stop"]);
}

#[test]
fn asking_for_a_replica_means_something_from_three_nodes_on_only() {
    let two = cluster(Topology::PrimaryReplica, 2, 0).preview(&stop_writes(true));
    warned(&two, &[]);
    assert!(two.effects[0].contains("from 3 on"), "{two:?}");
    for topology in
        [cluster(Topology::Single, 1, 0), six_in_three(), of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0)]
    {
        let scene = topology.spec(|s| s.options.stop_writes_without_replica = false);
        blocked(&scene.preview(&stop_writes(true)), &["no-effect"]);
    }
}

#[test]
fn synchronous_replication_is_switched_with_what_it_means() {
    let pg = || {
        of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).spec(|s| s.options = ClusterOptions::OFF)
    };
    let set = |synchronous, strict| Change::SetOptions {
        cluster: "demo".to_owned(),
        options: OptionWish { stop_writes_without_replica: strict, synchronous },
    };
    let on = pg().preview(&set(Some(true), None));
    warned(&on, &[]);
    assert!(on.effects[0].contains("a failover loses none"), "{on:?}");
    warned(&pg().dead(2).dead(3).preview(&set(Some(true), None)), &["no-replica-follows"]);
    let alone = pg().preview(&set(None, Some(true)));
    blocked(&alone, &["option-needs-another"]);
    assert_eq!(*way_out(&alone.blockers[0]), set(Some(true), Some(true)));
    warned(&pg().preview(&set(Some(true), Some(true))), &[]);
    blocked(&pg().dead(2).dead(3).preview(&set(Some(true), Some(true))), &["writes-would-stop"]);
    // What needs it goes off with it.
    let strict =
        || pg().spec(|s| s.options = ClusterOptions { stop_writes_without_replica: true, synchronous: true });
    let off = strict().preview(&set(Some(false), None));
    warned(&off, &["writes-may-be-discarded"]);
    assert_eq!(off.effects.len(), 3, "both are told: {off:?}");
}

#[test]
fn a_primary_that_waits_for_a_replica_says_how_long_a_promotion_takes() {
    let pg = || {
        of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).spec(|s| s.options = ClusterOptions::OFF)
    };
    assert_eq!(pg().preview(&promote(2)).expected_downtime_ms, 600);
    let newer = pg().spec(|s| s.version = "17.11".to_owned());
    assert_eq!(newer.preview(&promote(2)).expected_downtime_ms, 800, "it comes with another Patroni");
    let strict =
        pg().spec(|s| s.options = ClusterOptions { stop_writes_without_replica: true, synchronous: true });
    assert_eq!(strict.preview(&promote(2)).expected_downtime_ms, 3_500);
}

#[test]
fn each_line_of_mysql_says_how_long_its_own_promotion_takes() {
    let gap = |version: &str| {
        let scene = of(ServiceKind::Mysql, Topology::PrimaryReplica, 3, 0);
        scene.spec(|s| s.version = version.to_owned()).preview(&promote(2)).expected_downtime_ms
    };
    assert_eq!((gap("10.11.19"), gap("9.7.4")), (60, 500));
}

#[test]
fn credentials_of_an_unhealthy_cluster_are_not_rotated() {
    warned(&three().preview(&rotate()), &[]);
    let dead = three().dead(3).preview(&rotate());
    blocked(&dead, &["cluster-unhealthy"]);
    assert!(dead.blockers[0].text.contains("demo-3"), "it names who");
    blocked(&three().seen(|s| s.endpoint_up = None).preview(&rotate()), &["cluster-unhealthy"]);
    let drained = three().drained(2).preview(&rotate());
    blocked(&drained, &["drained"]);
    assert_eq!(*way_out(&drained.blockers[0]), undrain(2));
}

#[test]
fn where_a_server_keeps_one_password_nobody_is_promised_two() {
    let two = three().preview(&rotate()).effects.join(" ");
    assert!(two.contains("beside the old one"), "{two}");
    for kind in [ServiceKind::Postgresql, ServiceKind::Timescaledb, ServiceKind::Hydra] {
        let one = of(kind, Topology::PrimaryReplica, 3, 0).preview(&rotate()).effects.join(" ");
        assert!(!one.contains("beside the old one"), "{kind}: {one}");
        assert!(one.contains("from then on a new connection needs it"), "{kind}: {one}");
        assert!(one.contains("takes the old one again"), "{kind}: what a failure means: {one}");
    }
}

#[test]
fn clients_that_need_the_new_password_are_counted() {
    let two = three().node(1, |n| n.clients = Some(2)).node(2, |n| n.clients = Some(1)).preview(&rotate());
    assert!(warning(&two, "clients-connected").text.starts_with("3 clients are connected"), "{two:?}");
    let unknown = three().node(2, |n| n.clients = None).preview(&rotate());
    assert!(warning(&unknown, "clients-connected").text.starts_with("An unknown number"), "{unknown:?}");
    // A witness serves nobody.
    warned(&cluster(Topology::PrimaryReplica, 2, 0).preview(&rotate()), &[]);
}

#[test]
fn a_protected_cluster_is_not_deleted_whatever_its_state() {
    for scene in [three(), three().dead(1).dead(2).dead(3), three().set(|s| s.seen = None)] {
        let refused = scene.spec(|s| s.protected = true).preview(&delete());
        blocked(&refused, &["protected"]);
        assert_eq!(*way_out(&refused.blockers[0]), protect(false));
    }
}

#[test]
fn a_cluster_is_deleted_in_whatever_state_its_servers_are() {
    let discard = Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true };
    let dead = || three().dead(1).dead(2).dead(3);
    for scene in [dead(), three().set(|s| s.seen = None)] {
        blocked(&scene.preview(&discard), &[]);
        // With the backup that it begins with, only while one can be taken.
        let kept = scene.preview(&delete());
        blocked(&kept, &["no-last-backup"]);
        assert_eq!(*way_out(&kept.blockers[0]), discard);
    }
    // A replica gives the copy of a primary that hangs.
    let hung = three().node(1, |n| n.state = NodeState::Unresponsive);
    blocked(&hung.preview(&delete()), &[]);
    let full = three().set(|s| s.vault.as_mut().unwrap().problem = Some("it is full".to_owned()));
    assert!(blocker(&full.preview(&delete()), "no-last-backup").text.contains("it is full"));
}

#[test]
fn deleting_begins_with_a_backup_and_lists_what_goes() {
    let preview = three().preview(&delete());
    warned(&preview, &[]);
    assert!(preview.effects[0].contains("kept for 15 days"), "{preview:?}");
    assert_eq!(preview.effects[1], "All data, 100 MiB, is copied from demo-2 while writes go on.");
    assert_eq!(preview.effects[3], "demo-1, demo-2 and demo-3, and the endpoint, are stopped.");
    assert_eq!(preview.effects[4], "All its data, 100 MiB in each full copy, is erased with 4 machines.");
    let discarded = Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true };
    warned(&three().preview(&discarded), &["backups-discarded"]);
    let none = three().set(|s| s.last_backup = None).preview(&discarded);
    assert_eq!(warning(&none, "no-backup").text, "No last backup is taken: nothing can be brought back.");
    let used = three().node(1, |n| n.clients = Some(4)).preview(&delete());
    warned(&used, &["clients-connected"]);
    let backing_up = Busy { kind: ChangeKind::BackUp, title: "Back up demo".to_owned() };
    blocked(&three().set(|s| s.backing_up = Some(backing_up)).preview(&delete()), &["backup-under-way"]);
}

/// A parameter that is read again, one that takes a restart, one that is fixed.
fn parameters() -> Vec<Parameter> {
    let parameter = |name: &str, restart, fixed: Option<&str>| Parameter {
        name: name.to_owned(),
        group: "Memory".to_owned(),
        about: String::new(),
        value: "4MB".to_owned(),
        chosen: None,
        unit: Some("kB".to_owned()),
        takes: ParameterKind::Number { min: 64.0, max: 1_048_576.0, whole: true },
        restart,
        fixed: fixed.map(str::to_owned),
    };
    vec![
        parameter("work", false, None),
        parameter("shared", true, None),
        parameter("port", true, Some("the nodes need it")),
    ]
}

fn set(wish: &[(&str, Option<&str>)]) -> Change {
    let parameters = wish.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
    Change::SetParameters { cluster: "demo".to_owned(), parameters: parameters.collect() }
}

#[test]
fn parameters_are_judged_by_what_they_take_and_told_with_what_they_cost() {
    let known = || three().set(|s| s.parameters = Some(parameters()));
    let read_again = known().preview(&set(&[("work", Some("8MB"))]));
    warned(&read_again, &[]);
    assert_eq!(read_again.effects[0], "work goes from 4MB to `8MB` on every node.");
    let restarted = known().preview(&set(&[("shared", Some("8MB"))]));
    warned(&restarted, &["restart-needed"]);
    assert_eq!(restarted.expected_downtime_ms, 2_000);
    blocked(&known().preview(&set(&[("work", Some("1TB"))])), &["parameter-invalid"]);
    blocked(&known().preview(&set(&[("port", Some("80"))])), &["parameter-invalid"]);
    blocked(&known().preview(&set(&[("none", Some("1"))])), &["parameter-unknown"]);
    blocked(&three().preview(&set(&[("work", Some("8MB"))])), &["parameters-unknown"]);
    // Back to a default that it has: nothing.
    assert!(known().preview(&set(&[("work", None)])).effects[0].contains("nothing changes"));
    let chosen = known().spec(|s| drop(s.parameters.insert("work".to_owned(), "8MB".to_owned())));
    assert_eq!(
        chosen.preview(&set(&[("work", None)])).effects[0],
        "work goes from 4MB to its default on every node."
    );
}

#[test]
fn a_text_can_be_set_to_nothing_and_a_number_cannot() {
    let text = Parameter { value: "public".to_owned(), takes: ParameterKind::Text, ..parameters().remove(0) };
    let known = || three().set(|s| s.parameters = Some(vec![text.clone()]));
    let emptied = known().preview(&set(&[("work", Some(""))]));
    warned(&emptied, &[]);
    assert_eq!(emptied.effects[0], "work goes from public to an empty text on every node.");
    let number = three().set(|s| s.parameters = Some(parameters()));
    blocked(&number.preview(&set(&[("work", Some(" "))])), &["parameter-invalid"]);
}

#[test]
fn open_transactions_are_listed_before_they_are_cut_off() {
    let open =
        |seconds| OpenTransaction { seconds, user: "app".to_owned(), query: "LOCK TABLE t".to_owned() };
    let one = three().node(1, |n| n.open_transactions = vec![open(90), open(3)]).preview(&promote(2));
    let text = &warning(&one, "open-transactions").text;
    assert!(
        text.contains("1 transaction open on demo-1") && text.contains("app for 90 s: LOCK TABLE t"),
        "{text}"
    );
}
