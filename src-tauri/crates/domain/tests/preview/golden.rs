//! Whole previews as people read them. A difference fails; `UPDATE_GOLDEN=1 cargo test` writes them anew.

use crate::builder::*;
use clusterdeck_domain::{
    Capacity, Change, ComesFrom, CreateCluster, Facts, Figures, Finding, MissingSoftware, NodeFence,
    NodeState, Preview, ServiceKind, Topology, preview,
};
use std::{fmt::Write, path::PathBuf};

fn render(situation: &str, preview: &Preview) -> String {
    let mut text = format!(
        "# {situation}\n\n{}{}\n",
        preview.title,
        if preview.destructive { " (destructive)" } else { "" }
    );
    for effect in &preview.effects {
        writeln!(text, "  - {effect}").unwrap();
    }
    findings(&mut text, "warnings", &preview.warnings);
    findings(&mut text, "blockers", &preview.blockers);
    writeln!(text, "\nwithout writes: {} ms", preview.expected_downtime_ms).unwrap();
    writeln!(text, "to type: {}", preview.confirm.as_deref().unwrap_or("nothing")).unwrap();
    text
}

fn findings(text: &mut String, title: &str, found: &[Finding]) {
    if found.is_empty() {
        return;
    }
    writeln!(text, "\n{title}").unwrap();
    for f in found {
        let at = f.pointer.as_ref().map(|p| format!(" at {p}")).unwrap_or_default();
        writeln!(text, "  [{}{at}] {}", f.code, f.text).unwrap();
        if let Some(hint) = &f.hint {
            writeln!(text, "      hint: {hint}").unwrap();
        }
        if let Some(way_out) = &f.way_out {
            let change = serde_json::to_string(&way_out.change).unwrap();
            writeln!(text, "      way out: {} {change}", way_out.label).unwrap();
        }
    }
}

#[track_caller]
fn golden(name: &str, situation: &str, preview: &Preview) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    let found = render(situation, preview);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&file)
        .unwrap_or_else(|e| panic!("{}: {e}; write it with UPDATE_GOLDEN=1", file.display()));
    assert_eq!(found, expected, "{} differs; look at it and write it with UPDATE_GOLDEN=1", file.display());
}

fn create(capacity: &Capacity, edit: impl FnOnce(&mut CreateCluster)) -> Preview {
    let mut wish: CreateCluster =
        serde_json::from_value(serde_json::json!({"name": "demo", "service": "redis"})).unwrap();
    edit(&mut wish);
    let facts = Facts {
        now: now(),
        figures: Figures::default(),
        clusters: &[],
        available: &[ServiceKind::Redis],
        subject: None,
        capacity: Some(capacity),
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

/// A primary with clients and two replicas, one of them a little behind.
fn busy_day() -> Scene {
    three()
        .node(1, |n| {
            n.clients = Some(42);
            n.data_bytes = Some(700 << 20);
        })
        .node(2, |n| {
            n.clients = Some(7);
            n.lag_bytes = Some(1_200);
        })
}

#[test]
fn creating_the_usual_cluster() {
    golden("create-three", "Redis, everything left open", &create(&roomy(), |_| {}));
}

#[test]
fn creating_two_nodes_with_a_witness() {
    golden("create-two", "Redis, two nodes", &create(&roomy(), |w| w.nodes = Some(2)));
}

#[test]
fn creating_four_nodes() {
    golden("create-four", "Redis, four nodes", &create(&roomy(), |w| w.nodes = Some(4)));
}

#[test]
fn creating_shards() {
    golden("create-sharded", "Redis, sharded", &create(&roomy(), |w| w.topology = Some(Topology::Sharded)));
}

#[test]
fn creating_on_a_computer_that_is_full_and_lacks_the_software() {
    let full = Capacity { memory_free_bytes: Some(2 << 30), disk_free_bytes: Some(9 << 30), ..roomy() };
    golden("create-no-room", "Redis, 2 GiB of memory and 9 GiB of disk free", &create(&full, |_| {}));
    let bare = Capacity {
        versions: Vec::new(),
        missing: vec![MissingSoftware {
            program: "redis-server".to_owned(),
            purpose: "the server".to_owned(),
            install: Some("sudo apt-get install redis-server".to_owned()),
            elsewhere: None,
            refused: false,
        }],
        ..roomy()
    };
    golden(
        "create-no-software",
        "Redis, not installed, and a bad name",
        &create(&bare, |w| w.name = "Demo".to_owned()),
    );
}

#[test]
fn adding_a_node() {
    golden("add-node", "a healthy three with clients", &busy_day().preview(&add(1)));
}

#[test]
fn adding_a_shard() {
    golden("add-shard", "three shards with a replica each", &six_in_three().preview(&add_shard()));
}

#[test]
fn removing_a_shard() {
    let four = cluster(Topology::Sharded, 8, 4).set(|s| s.last_backup = None);
    golden("remove-shard", "four shards with a replica each, no backup", &four.preview(&remove_shard(3)));
}

#[test]
fn promoting_a_replica() {
    golden("promote", "a healthy three with clients", &busy_day().preview(&promote(2)));
}

#[test]
fn promoting_a_replica_that_is_not_fit() {
    let unfit = busy_day().node(2, |n| {
        n.lag_bytes = Some(5 << 20);
        n.health = clusterdeck_domain::Health::Degraded;
        n.detail = Some("its link to the primary breaks again and again".to_owned());
    });
    golden("promote-unfit", "the replica is 5 MiB behind and not well", &unfit.preview(&promote(2)));
}

#[test]
fn promoting_while_the_primary_hangs() {
    let hung = busy_day().node(1, |n| {
        n.state = NodeState::Unresponsive;
        n.health = clusterdeck_domain::Health::Down;
        n.role = None;
        n.detail = Some("its process is there but does not answer".to_owned());
    });
    golden("promote-primary-hung", "the primary is there but does not answer", &hung.preview(&promote(2)));
}

#[test]
fn draining_a_replica_and_the_primary() {
    golden("drain-replica", "a healthy three with clients", &busy_day().preview(&drain(2)));
    golden("drain-primary", "a healthy three with clients", &busy_day().preview(&drain(1)));
}

#[test]
fn undraining_a_node() {
    golden("undrain", "the third node was drained", &busy_day().drained(3).preview(&undrain(3)));
}

#[test]
fn rebooting_the_primary() {
    golden("reboot-primary", "a healthy three with clients", &busy_day().preview(&reboot(1)));
}

#[test]
fn removing_a_replica() {
    let scene = busy_day().set(|s| s.last_backup = None);
    golden("remove-replica", "a healthy three with clients and no backup", &scene.preview(&remove(3)));
}

#[test]
fn removing_the_last_replica_that_follows() {
    golden("remove-last-replica", "the other replica is dead", &busy_day().dead(2).preview(&remove(3)));
    let four = cluster(Topology::PrimaryReplica, 4, 0).dead(2).dead(3);
    golden("drain-last-replica", "two of three replicas are dead", &four.preview(&drain(4)));
}

#[test]
fn resizing() {
    let scene = busy_day().offers("MEDIUM-2C-4G");
    golden("resize", "a healthy three with clients", &scene.preview(&resize("MEDIUM-2C-4G")));
    let small = busy_day().offers("MICRO-1C-512M");
    golden("resize-too-small", "the primary holds 700 MiB", &small.preview(&resize("MICRO-1C-512M")));
    let single = cluster(Topology::Single, 1, 0).offers("SMALL-1C-2G");
    golden("resize-single", "a single node", &single.preview(&resize("SMALL-1C-2G")));
    let shards = six_in_three().offers("SMALL-1C-2G");
    golden("resize-sharded", "three shards with a replica each", &shards.preview(&resize("SMALL-1C-2G")));
    let pg = of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).offers("MICRO-1C-512M");
    golden("resize-postgres-smaller", "a healthy PostgreSQL of three", &pg.preview(&resize("MICRO-1C-512M")));
}

#[test]
fn resyncing_with_a_diverged_replica() {
    let scene = busy_day().node(3, |n| n.diverged = true);
    golden("resync-diverged", "the third node holds writes of its own", &scene.preview(&resync()));
}

#[test]
fn switching() {
    golden("protect", "an unprotected cluster", &three().preview(&protect(true)));
    golden("failover-off", "failover is on", &three().preview(&failover(false)));
    golden("options-off", "writes stop without a replica", &three().preview(&stop_writes(false)));
}

#[test]
fn rotating_credentials() {
    golden("rotate", "a healthy three with clients", &busy_day().preview(&rotate()));
}

#[test]
fn backing_up_and_restoring() {
    golden("back-up", "a three with clients", &busy_day().preview(&crate::backups::back_up(None)));
    golden(
        "restore",
        "a verified backup of a cluster that is there",
        &three().with_backup(|_| {}).preview(&crate::backups::restore()),
    );
    golden(
        "verify",
        "a backup that nobody has tried",
        &three()
            .with_backup(|b| b.state = clusterdeck_domain::BackupState::Stored)
            .preview(&crate::backups::verify()),
    );
    golden("delete-backup", "the last one", &three().with_backup(|_| {}).preview(&crate::backups::delete()));
}

#[test]
fn deleting() {
    let scene = busy_day().set(|s| s.last_backup = None);
    golden("delete", "a three with clients and no backup", &scene.preview(&delete()));
    let dead = three().dead(1).dead(2).dead(3);
    golden("delete-dead", "nobody answers", &dead.preview(&delete()));
    golden(
        "delete-protected",
        "protected and busy",
        &three().busy().spec(|s| s.protected = true).preview(&delete()),
    );
}

#[test]
fn limiting_access() {
    use crate::allow::{from, limit, listed};
    let wide = from(busy_day(), "127.0.0.1");
    let entries = ["10.1.2.3/8", "10.2.0.0/16", "::ffff:192.0.2.7", "192.0.2.7", "2001:DB8::/32"];
    golden("allow", "an open three, asked from a loopback address", &wide.preview(&limit(&entries)));
    let pg = of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0)
        .spec(|s| s.allowlist = listed(&["10.0.0.0/8", "192.0.2.7"]));
    golden(
        "allow-postgres",
        "a PostgreSQL with a list, asked from it",
        &from(pg, "10.0.0.5").preview(&limit(&["10.0.0.0/8", "198.51.100.0/24"])),
    );
    let listed = three().spec(|s| s.allowlist = listed(&["10.0.0.0/8"]));
    golden("allow-open", "a three with a list", &listed.preview(&limit(&[])));
}

#[test]
fn letting_other_computers_in() {
    use crate::{
        allow::listed,
        expose::{expose, exposed},
    };
    golden("expose", "an open three", &three().preview(&expose(Some("192.0.2.7"), None)));
    let pg = of(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0)
        .spec(|s| (s.allowlist, s.exposure) = (listed(&["10.0.0.0/8"]), exposed(Some("2001:db8::7"), 5432)));
    golden(
        "expose-moved",
        "PostgreSQL with a list, open elsewhere",
        &pg.preview(&expose(Some("192.0.2.7"), None)),
    );
    golden("expose-off", "the same, closed again", &pg.preview(&expose(None, None)));
}
