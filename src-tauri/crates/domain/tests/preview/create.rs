//! Create a cluster.

use crate::builder::*;
use clusterdeck_domain::{
    Capacity, Carrier, Change, ClusterOption, ComesFrom, CreateCluster, Facts, Figures, Instead,
    MissingSoftware, NodeFence, OptionWish, Plan, PlanId, Preview, ProviderId, ResolvedCreate, ServiceKind,
    Topology, plan, preview, resolve_create,
};

fn wish() -> CreateCluster {
    serde_json::from_value(serde_json::json!({"name": "demo", "service": "redis"})).unwrap()
}

fn wish_for(edit: impl FnOnce(&mut CreateCluster)) -> CreateCluster {
    let mut wish = wish();
    edit(&mut wish);
    wish
}

fn with<T>(capacity: Option<&Capacity>, look: impl FnOnce(&Facts<'_>) -> T) -> T {
    let others = [three().spec(|s| s.name = "taken".to_owned().try_into().unwrap()).spec];
    look(&Facts {
        now: now(),
        figures: Figures::default(),
        clusters: &others,
        available: &[ServiceKind::Redis, ServiceKind::Keydb, ServiceKind::Mysql, ServiceKind::Postgresql],
        subject: None,
        capacity,
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
    })
}

fn see(wish: CreateCluster) -> Preview {
    with(Some(&roomy()), |facts| preview(&Change::CreateCluster(wish), facts))
}

fn see_on(capacity: &Capacity, wish: CreateCluster) -> Preview {
    with(Some(capacity), |facts| preview(&Change::CreateCluster(wish), facts))
}

fn made(wish: &CreateCluster) -> ResolvedCreate {
    with(Some(&roomy()), |facts| resolve_create(wish, facts)).unwrap()
}

fn size(name: &str) -> Plan {
    plan(&PlanId::parse(name).unwrap()).unwrap()
}

#[test]
fn what_is_left_open_is_filled_in() {
    let made = made(&wish());
    assert_eq!(made.version, "7.0.15", "the newest found");
    assert_eq!(
        (made.topology, made.nodes, made.shards),
        (Topology::PrimaryReplica, 3, 0),
        "the service's default"
    );
    assert_eq!(made.slots.len(), 3, "no witness beside three");
    assert_eq!((made.provider.0.as_str(), made.region.as_str()), ("local", "this-computer"));
    assert_eq!(made.plan.id.as_str(), "SMALL-1C-1G");
    assert!(made.auto_failover && made.options.stop_writes_without_replica && !made.protected);
}

#[test]
fn the_usual_cluster_has_nothing_to_accept_and_nothing_to_type() {
    let usual = see(wish());
    warned(&usual, &[]);
    assert_eq!(usual.confirm, None);
    assert!(!usual.destructive);
    assert_eq!(usual.title, "Create demo");
    assert_eq!(
        usual.effects[0],
        "3 machines of SMALL-1C-1G: 3 GiB of memory and 30 GiB of disk on this computer."
    );
}

#[test]
fn six_nodes_follow_from_three_shards_and_the_other_way_round() {
    let sharded = |nodes, shards| {
        let made = made(&wish_for(|w| {
            w.topology = Some(Topology::Sharded);
            w.nodes = nodes;
            w.shards = shards;
        }));
        (made.nodes, made.shards)
    };
    assert_eq!(sharded(None, None), (6, 3));
    assert_eq!(sharded(None, Some(4)), (8, 4));
    assert_eq!(sharded(Some(9), None), (9, 3));
}

#[test]
fn the_beginning_of_a_version_picks_the_newest_that_has_it() {
    let version = |text: &str| made(&wish_for(|w| w.version = Some(text.to_owned()))).version;
    assert_eq!([version("7"), version("6.2"), version("7.0.15")], ["7.0.15", "6.2.14", "7.0.15"]);
}

#[test]
fn a_version_that_is_not_there_is_refused() {
    for wanted in ["8", "7.0.1", "7.", "70"] {
        let refused = see(wish_for(|w| w.version = Some(wanted.to_owned())));
        blocked(&refused, &["version-not-found"]);
        assert_eq!(refused.blockers[0].pointer.as_deref(), Some("/version"));
    }
    let mut nothing = roomy();
    nothing.versions.clear();
    blocked(&see_on(&nothing, wish()), &["version-unknown"]);
}

#[test]
fn a_name_that_is_no_dns_label_is_refused() {
    for bad in ["", "Demo", "1demo", "de mo", "-demo", "../demo", &"a".repeat(41)] {
        let refused = see(wish_for(|w| w.name = bad.to_owned()));
        blocked(&refused, &["name-invalid"]);
        assert_eq!(refused.blockers[0].pointer.as_deref(), Some("/name"));
    }
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let refused = see(wish_for(|w| w.name = "taken".to_owned()));
    blocked(&refused, &["name-taken"]);
    assert_eq!(refused.blockers[0].pointer.as_deref(), Some("/name"));
}

#[test]
fn a_service_without_a_driver_is_coming() {
    blocked(&see(wish_for(|w| w.service = ServiceKind::Clickhouse)), &["service-coming"]);
}

#[test]
fn a_topology_the_service_does_not_have_is_refused() {
    let refused = see(wish_for(|w| w.topology = Some(Topology::MultiMaster)));
    blocked(&refused, &["topology-unsupported"]);
    assert!(refused.blockers[0].hint.as_ref().unwrap().contains("primary-replica, sharded and single"));
}

#[test]
fn node_counts_that_do_not_fit_are_refused() {
    for (topology, nodes, shards, code) in [
        (Topology::PrimaryReplica, 1, None, "node-count"),
        (Topology::PrimaryReplica, 8, None, "node-count"),
        (Topology::Single, 2, None, "node-count"),
        (Topology::Sharded, 7, Some(3), "uneven-shards"),
        (Topology::Sharded, 4, Some(2), "shard-count"),
        (Topology::Sharded, 61, Some(3), "node-count"),
    ] {
        blocked(
            &see(wish_for(|w| {
                w.topology = Some(topology);
                w.nodes = Some(nodes);
                w.shards = shards;
            })),
            &[code],
        );
    }
}

#[test]
fn all_that_is_wrong_with_a_wish_is_told_at_once() {
    let refused = see(wish_for(|w| {
        w.name = "No".to_owned();
        w.nodes = Some(99);
        w.version = Some("9".to_owned());
    }));
    blocked(&refused, &["name-invalid", "node-count", "version-not-found"]);
}

#[test]
fn a_size_the_provider_does_not_have_is_refused() {
    let mut capacity = roomy();
    capacity.plan = None;
    blocked(
        &see_on(&capacity, wish_for(|w| w.plan = Some(PlanId::parse("HUGE").unwrap()))),
        &["plan-unknown"],
    );
    // What was measured for another size says nothing about this one.
    blocked(&see(wish_for(|w| w.plan = Some(PlanId::parse("MEDIUM-2C-4G").unwrap()))), &["plan-unknown"]);
}

#[test]
fn memory_must_suffice_for_all_nodes_the_small_machines_and_the_reserve() {
    // Three nodes of 1 GiB, an endpoint of 256 MiB, 512 MiB left alone.
    let enough = (3 << 30) + (256 << 20) + (512 << 20);
    let on = |free| see_on(&Capacity { memory_free_bytes: Some(free), ..roomy() }, wish());
    blocked(&on(enough), &[]);
    blocked(&on(enough - 1), &["memory-short"]);
    blocked(&see_on(&Capacity { memory_free_bytes: None, ..roomy() }, wish()), &["memory-unknown"]);
    let two = wish_for(|w| w.nodes = Some(2));
    let for_two = (2 << 30) + 2 * (256 << 20) + (512 << 20);
    let on = |free| see_on(&Capacity { memory_free_bytes: Some(free), ..roomy() }, two.clone());
    blocked(&on(for_two), &[]);
    blocked(&on(for_two - 1), &["memory-short"]);
}

#[test]
fn disk_addresses_and_ports_must_be_free() {
    let disk = (30 << 30) + (2 << 30);
    let on = |edit: &dyn Fn(&mut Capacity)| {
        let mut capacity = roomy();
        edit(&mut capacity);
        see_on(&capacity, wish())
    };
    blocked(&on(&|c| c.disk_free_bytes = Some(disk)), &[]);
    blocked(&on(&|c| c.disk_free_bytes = Some(disk - 1)), &["disk-short"]);
    blocked(&on(&|c| c.disk_free_bytes = None), &["disk-unknown"]);
    blocked(&on(&|c| c.addresses_free = None), &["addresses-unknown"]);
    blocked(&on(&|c| c.addresses_free = Some(false)), &["addresses-taken"]);
    let taken = on(&|c| c.ports_taken = vec!["0.0.0.0:6379".to_owned()]);
    assert!(blocker(&taken, "ports-taken").text.contains("0.0.0.0:6379"), "it names the port");
}

#[test]
fn where_only_ports_are_published_members_cannot_send_clients_to_each_other() {
    let there = Capacity { by_published_ports: true, ..roomy() };
    let sharded = wish_for(|w| (w.topology, w.nodes, w.shards) = (Some(Topology::Sharded), Some(6), Some(3)));
    let seen = see_on(&there, sharded.clone());
    blocked(&seen, &["addresses-out-of-reach"]);
    assert!(seen.blockers[0].hint.as_ref().unwrap().contains("runs as root"), "the way out");
    blocked(&see(sharded), &[]);
    blocked(&see_on(&there, wish()), &[]);
}

#[test]
fn a_disk_that_never_tells_how_much_is_free_warns_and_does_not_block_for_ever() {
    let unseen = Capacity { disk_free_bytes: None, disk_unseen: true, ..roomy() };
    let seen = see_on(&unseen, wish());
    warned(&seen, &["disk-unseen"]);
    assert!(seen.warnings[0].text.contains("32 GiB"), "what is needed: {}", seen.warnings[0].text);
    blocked(&see_on(&Capacity { memory_free_bytes: None, ..unseen }, wish()), &["memory-unknown"]);
}

#[test]
fn what_is_missing_here_is_offered_where_nothing_is_and_a_command_stays_a_command() {
    let mut capacity = roomy();
    capacity.versions.clear();
    capacity.missing = vec![MissingSoftware {
        program: "TimescaleDB".to_owned(),
        purpose: "splits tables by time".to_owned(),
        install: Some("apt-get install -y postgresql-17-timescaledb".to_owned()),
        elsewhere: Some("Its makers have it.".to_owned()),
        refused: false,
    }];
    let packaged = see_on(&capacity, wish()).blockers.remove(0);
    assert_eq!(packaged.hint.as_deref(), Some("apt-get install -y postgresql-17-timescaledb"));
    assert!(packaged.text.contains("Its makers have it.") && packaged.way_out.is_none(), "{packaged:?}");

    capacity.missing[0].install = None;
    capacity.instead =
        Some(Instead { provider: ProviderId("container".to_owned()), name: "Containers".to_owned() });
    let elsewhere = see_on(&capacity, wish()).blockers.remove(0);
    assert_eq!(elsewhere.hint.as_deref(), Some("Its makers have it."));
    let way = elsewhere.way_out.expect("a way out");
    let Change::CreateCluster(there) = way.change else { panic!("{way:?}") };
    assert_eq!(there.provider, Some(ProviderId("container".to_owned())));
    assert_eq!(there.name, wish().name, "the same cluster");
}

#[test]
fn the_server_that_a_version_is_loaded_into_is_named() {
    let carriers = vec![Carrier { version: "7.0.15".to_owned(), server: "PostgreSQL 17.11".to_owned() }];
    let seen = see_on(&Capacity { carriers, ..roomy() }, wish());
    assert!(seen.effects.iter().any(|e| e.contains("7.0.15 on PostgreSQL 17.11 is started")), "{seen:#?}");
}

#[test]
fn missing_software_comes_with_the_command_that_installs_it() {
    let mut capacity = roomy();
    capacity.versions.clear();
    capacity.missing = vec![MissingSoftware {
        program: "redis-server".to_owned(),
        purpose: "the server".to_owned(),
        install: Some("apt-get install redis-server".to_owned()),
        elsewhere: None,
        refused: false,
    }];
    let refused = see_on(&capacity, wish());
    blocked(&refused, &["software-missing"]);
    assert_eq!(refused.blockers[0].hint.as_deref(), Some("apt-get install redis-server"));
}

#[test]
fn a_place_that_could_not_be_asked_carries_nothing() {
    blocked(&with(None, |facts| preview(&Change::CreateCluster(wish()), facts)), &["capacity-unknown"]);
}

#[test]
fn one_node_means_no_failover() {
    let single = wish_for(|w| {
        w.topology = Some(Topology::Single);
        w.auto_failover = Some(true);
    });
    warned(&see(single.clone()), &["single-node"]);
    let made = made(&single);
    assert!(
        !made.auto_failover && !made.options.stop_writes_without_replica,
        "neither is possible with one node"
    );
}

#[test]
fn two_nodes_get_a_witness_and_may_write_without_a_replica() {
    let two = wish_for(|w| w.nodes = Some(2));
    let preview = see(two.clone());
    warned(&preview, &[]);
    assert!(preview.effects.iter().any(|e| e.contains("demo-3, a witness")), "{:?}", preview.effects);
    assert_eq!(made(&two).witnesses(), 1);
    assert!(!made(&two).options.stop_writes_without_replica);
    let strict = wish_for(|w| {
        w.nodes = Some(2);
        w.options = Some(OptionWish::only(ClusterOption::StopWritesWithoutReplica, true));
    });
    warned(&see(strict), &[]);
}

#[test]
fn a_switch_that_a_cluster_does_not_have_is_refused() {
    let single = wish_for(|w| {
        w.topology = Some(Topology::Single);
        w.options = Some(OptionWish::only(ClusterOption::StopWritesWithoutReplica, true));
    });
    blocked(&see(single), &["no-effect"]);
    blocked(
        &see(wish_for(|w| w.options = Some(OptionWish::only(ClusterOption::Synchronous, true)))),
        &["no-effect"],
    );
}

#[test]
fn a_primary_that_insists_on_a_replica_needs_one_that_is_synchronous() {
    let of = |strict, synchronous| {
        wish_for(|w| {
            w.service = ServiceKind::Postgresql;
            w.options = Some(OptionWish { stop_writes_without_replica: strict, synchronous });
        })
    };
    let see = |wish| {
        let capacity = Capacity { versions: vec!["15.20".to_owned()], ..roomy() };
        see_on(&capacity, wish)
    };
    blocked(&see(of(Some(true), None)), &["option-needs-another"]);
    let both = see(of(Some(true), Some(true)));
    warned(&both, &[]);
    assert!(both.effects.iter().any(|e| e.contains("only one node has")), "{:?}", both.effects);
    let plain = see(of(None, None));
    assert!(
        !plain.effects.iter().any(|e| e.contains("replica has it on disk")),
        "off from the start: {plain:?}"
    );
}

#[test]
fn an_even_number_of_voters_is_warned_about() {
    warned(&see(wish_for(|w| w.nodes = Some(4))), &["even-voters"]);
    warned(&see(wish_for(|w| w.nodes = Some(5))), &[]);
    let shards = wish_for(|w| {
        w.topology = Some(Topology::Sharded);
        w.shards = Some(4);
    });
    warned(&see(shards), &["even-voters"]);
}

#[test]
fn shards_without_a_replica_are_warned_about() {
    let bare = wish_for(|w| {
        w.topology = Some(Topology::Sharded);
        w.nodes = Some(3);
    });
    warned(&see(bare), &["shards-without-replica"]);
}

#[test]
fn failover_switched_off_from_the_start_is_warned_about() {
    warned(&see(wish_for(|w| w.auto_failover = Some(false))), &["failover-off"]);
}

#[test]
fn a_larger_size_is_counted_in_full() {
    let medium = size("MEDIUM-2C-4G");
    let capacity = Capacity { plan: Some(medium.clone()), ..roomy() };
    let preview = see_on(&capacity, wish_for(|w| w.plan = Some(medium.id.clone())));
    assert_eq!(
        preview.effects[0],
        "3 machines of MEDIUM-2C-4G: 12 GiB of memory and 120 GiB of disk on this computer."
    );
}

#[test]
fn another_makers_version_has_limits_of_its_own_and_does_not_run_in_the_smallest_plans() {
    let on = |plan: &str, topology, nodes| {
        let mut capacity = roomy();
        capacity.versions = vec!["9.7".to_owned()];
        capacity.plan = Some(size(plan));
        see_on(
            &capacity,
            wish_for(|w| {
                (w.service, w.plan) = (ServiceKind::Mysql, PlanId::parse(plan).ok());
                (w.topology, w.nodes) = (Some(topology), Some(nodes));
            }),
        )
    };
    blocked(&on("NANO-1C-256M", Topology::PrimaryReplica, 3), &["plan-too-small"]);
    let fits = on("SMALL-1C-1G", Topology::PrimaryReplica, 3);
    warned(&fits, &["topology-limits"]);
    assert!(fits.effects.iter().any(|e| e.contains("all 3 nodes vote")), "{:?}", fits.effects);
    let four = on("SMALL-1C-1G", Topology::PrimaryReplica, 4);
    warned(&four, &["topology-limits", "even-voters"]);
    let many = on("SMALL-1C-1G", Topology::MultiMaster, 3);
    assert!(many.warnings.iter().any(|w| w.text.contains("AUTO_INCREMENT")), "{:?}", many.warnings);
}

#[test]
fn of_several_makers_the_namesake_of_the_service_is_chosen_where_it_is_there() {
    let chosen = |versions: &[&str], wanted: Option<&str>| {
        let capacity = Capacity { versions: versions.iter().map(|v| (*v).to_owned()).collect(), ..roomy() };
        let wish = wish_for(|w| {
            w.service = ServiceKind::Mysql;
            w.version = wanted.map(str::to_owned);
        });
        with(Some(&capacity), |facts| resolve_create(&wish, facts)).unwrap().version
    };
    let both = ["11.8.3", "10.11.11", "9.7", "8.4"];
    assert_eq!(chosen(&both, None), "9.7");
    assert_eq!(chosen(&both, Some("11.8")), "11.8.3");
    assert_eq!(chosen(&["11.8.3", "10.11.11"], None), "11.8.3", "what is there is taken");
}
