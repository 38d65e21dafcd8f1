//! Add nodes and shards, remove shards.

use crate::builder::*;
use clusterdeck_domain::{Carrier, Change, Finding, Health, PlanId, Role, ServiceKind, Topology, plan};

#[test]
fn adding_a_node_tells_how_long_it_takes_to_catch_up() {
    let two = add(2);
    let preview = three().preview(&two);
    warned(&preview, &["catch-up"]);
    // 100 MiB at 50 MiB/s and 3 s around it.
    assert!(preview.warnings[0].text.contains("copies 100 MiB from demo-1 first: about 5 s"), "{preview:?}");
    assert_eq!(preview.title, "Add 2 nodes to demo");
    assert!(preview.effects[1].starts_with("demo-4 and demo-5 start"), "names are foretold: {preview:?}");
}

#[test]
fn a_single_node_grows_by_two_and_a_sharded_cluster_by_shards() {
    blocked(&cluster(Topology::Single, 1, 0).preview(&add(1)), &["node-count"]);
    let two = cluster(Topology::Single, 1, 0).preview(&add(2));
    blocked(&two, &[]);
    assert!(two.effects.iter().any(|e| e.contains("demo-2 and demo-3 follow it")), "{two:?}");
    let service = ServiceKind::Rabbitmq;
    blocked(&of(service, Topology::Single, 1, 0).preview(&add(2)), &["single-does-not-grow"]);
    let sharded = six_in_three().preview(&add(1));
    blocked(&sharded, &["grows-by-shards"]);
    assert_eq!(*way_out(&sharded.blockers[0]), add_shard());
}

#[test]
fn a_single_node_that_grows_into_a_group_is_told_its_limits_and_blocked_by_what_it_holds() {
    let mysql = |topology, nodes| {
        of(ServiceKind::Mysql, topology, nodes, 0)
            .set(|s| s.spec.version = "9.7.4".to_owned())
            .capacity(|c| c.versions = vec!["9.7.4".to_owned()])
    };
    let grows = mysql(Topology::Single, 1).preview(&add(2));
    warned(&grows, &["topology-limits", "catch-up"]);
    assert!(grows.warnings[0].text.contains("needs a primary key"), "{grows:?}");
    warned(&mysql(Topology::PrimaryReplica, 3).preview(&add(1)), &["catch-up"]);
    let unfit = mysql(Topology::Single, 1)
        .set(|s| s.growth_findings = vec![Finding::new("tables-without-key", "They are: `app.log`.")]);
    blocked(&unfit.preview(&add(2)), &["tables-without-key"]);
}

#[test]
fn a_cluster_grows_up_to_what_its_topology_takes() {
    blocked(&three().preview(&add(4)), &[]);
    blocked(&three().preview(&add(5)), &["too-many-nodes"]);
    blocked(&three().preview(&add(u16::MAX)), &["too-many-nodes"]);
    blocked(&three().preview(&add(0)), &["node-count"]);
}

#[test]
fn the_primary_must_be_there_to_copy_from() {
    blocked(&three().dead(1).preview(&add(1)), &["primary-unknown"]);
    blocked(&three().node(1, |n| n.health = Health::Unknown).preview(&add(1)), &["primary-unhealthy"]);
    blocked(&three().node(2, |n| n.role = Some(Role::Primary)).preview(&add(1)), &["several-primaries"]);
    let strained = three().node(1, |n| n.health = Health::Degraded).preview(&add(2));
    warned(&strained, &["primary-degraded", "catch-up"]);
}

#[test]
fn the_new_disk_must_take_the_data_and_a_fifth_more() {
    // SMALL-1C-1G has 10 GiB: 8.33 GiB and 20 % fill it.
    let fits = (10_u64 << 30) * 100 / 120;
    blocked(&three().node(1, |n| n.data_bytes = Some(fits)).preview(&add(1)), &[]);
    blocked(&three().node(1, |n| n.data_bytes = Some(fits + 2)).preview(&add(1)), &["disk-too-small"]);
    blocked(&three().node(1, |n| n.data_bytes = None).preview(&add(1)), &["data-size-unknown"]);
    let generous =
        three().node(1, |n| n.data_bytes = Some(fits)).set(|s| s.figures.disk_headroom_percent = 50);
    blocked(&generous.preview(&add(1)), &["disk-too-small"]);
}

#[test]
fn the_new_machine_must_run_the_same_version() {
    let other = three().capacity(|c| c.versions = vec!["8.0.1".to_owned()]).preview(&add(1));
    blocked(&other, &["version-differs"]);
    assert!(other.blockers[0].text.contains("7.0.15") && other.blockers[0].text.contains("8.0.1"));
}

#[test]
fn a_newer_version_of_the_same_files_is_a_way_out() {
    let newer = three().capacity(|c| c.versions = vec!["7.2.4".to_owned()]).preview(&add(1));
    blocked(&newer, &["version-differs"]);
    let upgrade = Change::UpgradeCluster { cluster: "demo".to_owned(), version: None };
    assert_eq!(*way_out(&newer.blockers[0]), upgrade);
    for other in ["8.0.1", "7.0.9"] {
        let other = three().capacity(|c| c.versions = vec![other.to_owned()]).preview(&add(1));
        assert!(other.blockers[0].way_out.is_none(), "another line, and an older one: {other:?}");
    }
}

#[test]
fn a_node_for_an_extension_needs_the_same_server_not_the_same_package() {
    let on = |version: &str, server: &str| {
        let mut scene = of(ServiceKind::Timescaledb, Topology::PrimaryReplica, 3, 0);
        scene = scene.spec(|s| s.version = "2.19.2".to_owned());
        for node in 1..=3 {
            scene = scene.node(node, |n| n.version = Some("17.11".to_owned()));
        }
        let carrier = Carrier { version: version.to_owned(), server: server.to_owned() };
        let scene = scene.capacity(|c| {
            c.versions = vec![version.to_owned()];
            c.carriers = vec![carrier];
        });
        scene.preview(&add(1))
    };
    let same = on("2.19.2", "PostgreSQL 17.11");
    blocked(&same, &[]);
    warned(&same, &["catch-up"]);
    let newer = on("2.19.3", "PostgreSQL 17.12");
    blocked(&newer, &[]);
    warned(&newer, &["extension-newer", "catch-up"]);
    let other = on("2.19.3", "PostgreSQL 18.1");
    blocked(&other, &["version-differs"]);
    assert!(other.blockers[0].text.contains("17.11") && other.blockers[0].text.contains("18.1"), "{other:?}");
}

#[test]
fn a_newer_patch_on_the_new_machine_is_told_and_a_line_that_is_fetched_first_is_not() {
    let newer = three().capacity(|c| c.versions = vec!["7.0.16".to_owned()]).preview(&add(1));
    blocked(&newer, &[]);
    let told = newer.warnings.iter().find(|w| w.code == "version-near").unwrap();
    assert!(told.text.contains("7.0.15") && told.text.contains("7.0.16"), "{told:?}");
    let line = three().capacity(|c| c.versions = vec!["7.0".to_owned()]).preview(&add(1));
    blocked(&line, &[]);
    assert!(line.warnings.iter().all(|w| w.code != "version-near"));
}

#[test]
fn the_place_must_carry_the_new_machines() {
    blocked(&three().set(|s| s.capacity = None).preview(&add(1)), &["capacity-unknown"]);
    blocked(&three().capacity(|c| c.memory_free_bytes = Some(1 << 30)).preview(&add(1)), &["memory-short"]);
    blocked(&three().capacity(|c| c.disk_free_bytes = Some(1 << 30)).preview(&add(1)), &["disk-short"]);
    blocked(&three().capacity(|c| c.disk_free_bytes = None).preview(&add(1)), &["disk-unknown"]);
}

#[test]
fn a_disk_that_never_tells_how_much_is_free_warns() {
    let unseen = three().capacity(|c| (c.disk_free_bytes, c.disk_unseen) = (None, true));
    warned(&unseen.preview(&add(1)), &["disk-unseen", "catch-up"]);
}

#[test]
fn a_node_smaller_than_the_primary_is_warned_about() {
    let nano = PlanId::parse("NANO-1C-256M").unwrap();
    let change = Change::AddNode { cluster: "demo".to_owned(), count: Some(2), plan: Some(nano.clone()) };
    blocked(&three().preview(&change), &["plan-unknown"]);
    let scene = three().capacity(|c| c.plan = Some(plan(&nano).unwrap()));
    warned(&scene.preview(&change), &["smaller-than-primary", "catch-up"]);
}

#[test]
fn a_multi_master_grows_from_any_member_that_serves() {
    let two = || of(ServiceKind::Keydb, Topology::MultiMaster, 2, 0);
    warned(&two().dead(1).preview(&add(1)), &["catch-up"]);
    blocked(&two().dead(1).dead(2).preview(&add(1)), &["primary-unhealthy"]);
}

#[test]
fn a_new_shard_is_as_large_as_the_others_and_takes_its_share() {
    let preview = six_in_three().preview(&add_shard());
    warned(&preview, &["even-voters"]);
    assert_eq!(preview.effects[0], "2 machines of SMALL-1C-1G: 2 GiB of memory and 20 GiB of disk.");
    assert!(preview.effects[1].contains("takes 4096 of the 16384 slots"), "{preview:?}");
}

#[test]
fn a_shard_is_added_only_where_every_shard_is_led() {
    blocked(&three().preview(&add_shard()), &["not-sharded"]);
    blocked(&six_in_three().dead(2).preview(&add_shard()), &["primary-unknown"]);
    blocked(&six_in_three().dead(2).dead(3).preview(&add_shard()), &["primary-unknown", "primary-unknown"]);
    blocked(
        &six_in_three().capacity(|c| c.memory_free_bytes = None).preview(&add_shard()),
        &["memory-unknown"],
    );
    blocked(&cluster(Topology::Sharded, 60, 30).preview(&add_shard()), &["too-many-nodes"]);
}

#[test]
fn fewer_than_three_shards_are_refused() {
    blocked(&six_in_three().preview(&remove_shard(2)), &["too-few-shards"]);
    let four = cluster(Topology::Sharded, 8, 4);
    let preview = four.preview(&remove_shard(2));
    warned(&preview, &["capacity-after"]);
    assert!(preview.effects.iter().any(|e| e.starts_with("demo-3 and demo-7 leave")), "{preview:?}");
    blocked(&four.preview(&remove_shard(4)), &["not-found"]);
    blocked(&three().preview(&remove_shard(0)), &["not-sharded"]);
}

#[test]
fn what_a_removed_shard_held_must_fit_into_the_others() {
    let four = |bytes| {
        (1..=4).fold(cluster(Topology::Sharded, 8, 4), |scene, n| {
            scene.node(n, |node| node.data_bytes = Some(bytes))
        })
    };
    // Four times 768 MiB fill three nodes of 1 GiB.
    blocked(&four((768 << 20) - 1).preview(&remove_shard(0)), &[]);
    blocked(&four(768 << 20).preview(&remove_shard(0)), &["capacity-short"]);
    let unknown = four(1).node(3, |n| n.data_bytes = None);
    blocked(&unknown.preview(&remove_shard(0)), &["data-size-unknown"]);
}
