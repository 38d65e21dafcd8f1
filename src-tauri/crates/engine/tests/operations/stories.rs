//! The changes under test: each with the cluster it starts from.

use clusterdeck_domain::{
    AllowWish, Change, ClusterOption, CreateCluster, MigrateIn, OptionWish, PlanId, RestoreBackup,
    ServiceKind, SourceUrl, Topology,
};
use clusterdeck_testkit::Lab;

/// A change and what must be there before it.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) before: Vec<Change>,
    pub(crate) change: Change,
}

/// On servers that keep one password for an account.
pub(crate) const ROTATE_ONE: &str = "rotate one password";

pub(crate) fn create(topology: Topology, nodes: u16, shards: u16) -> Change {
    Change::CreateCluster(CreateCluster {
        name: "demo".to_owned(),
        service: ServiceKind::Redis,
        version: None,
        topology: Some(topology),
        nodes: Some(nodes),
        shards: Some(shards),
        provider: None,
        region: None,
        plan: PlanId::parse("SMALL-1C-1G").ok(),
        protected: false,
        auto_failover: None,
        options: None,
    })
}

pub(crate) fn resize(plan: &str) -> Change {
    let plan = PlanId::parse(plan).expect("the name of a plan");
    Change::ResizeCluster { cluster: "demo".to_owned(), plan }
}

pub(crate) fn upgrade() -> Change {
    Change::UpgradeCluster { cluster: "demo".to_owned(), version: None }
}

/// Who may come in, and how long that waits to be kept.
pub(crate) fn limit(entries: &[&str], keep_within_ms: Option<u64>) -> Change {
    let wish = |text: &&str| AllowWish { cidr: (*text).to_owned(), ..AllowWish::default() };
    let entries = entries.iter().map(wish).collect();
    Change::SetAllowlist { cluster: "demo".to_owned(), entries, keep_within_ms }
}

/// Lets other computers in at the fake provider's only address, or no longer.
fn expose(on: bool) -> Change {
    let on = on.then(|| "192.0.2.7".parse().expect("an address"));
    Change::ExposeEndpoint { cluster: "demo".to_owned(), on, port: None }
}

pub(crate) fn back_up() -> Change {
    Change::BackUp { cluster: "demo".to_owned(), vault: None, verify: None }
}

pub(crate) fn delete() -> Change {
    Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: false }
}

/// From a source that knows one password.
pub(crate) fn migrate(password: &str, follow: bool) -> Change {
    let from = SourceUrl::parse(&format!("redis://:{password}@source.example")).expect("an address");
    Change::Migrate(MigrateIn {
        cluster: "demo".to_owned(),
        from,
        password: None,
        ca: None,
        replace: false,
        follow,
    })
}

fn newest() -> String {
    "newest".to_owned()
}

/// The newest backup, as it was.
pub(crate) fn restore() -> Change {
    Change::RestoreBackup(RestoreBackup {
        backup: newest(),
        at: None,
        name: None,
        nodes: None,
        topology: None,
        provider: None,
        region: None,
        plan: None,
    })
}

/// The newest backup in the place of what the cluster holds.
pub(crate) fn restore_in_place() -> Change {
    Change::RestoreInPlace {
        cluster: "demo".to_owned(),
        backup: newest(),
        at: None,
        discard_present: false,
        keep_within_ms: None,
    }
}

fn node(name: &str) -> String {
    name.to_owned()
}

pub(crate) fn all() -> Vec<Story> {
    let three = || vec![create(Topology::PrimaryReplica, 3, 0)];
    let shards = || vec![create(Topology::Sharded, 6, 3)];
    let cluster = || "demo".to_owned();
    let story = |name, before, change| Story { name, before, change };
    vec![
        story("create single", vec![], create(Topology::Single, 1, 0)),
        story("create with a witness", vec![], create(Topology::PrimaryReplica, 2, 0)),
        story("create three", vec![], create(Topology::PrimaryReplica, 3, 0)),
        story("create sharded", vec![], create(Topology::Sharded, 6, 3)),
        story("add nodes", three(), Change::AddNode { cluster: cluster(), count: Some(2), plan: None }),
        story(
            "add a node where a list is in force",
            [three(), vec![limit(&["0.0.0.0/0"], None)]].concat(),
            Change::AddNode { cluster: cluster(), count: Some(1), plan: None },
        ),
        story("promote", three(), Change::PromoteNode { node: node("demo-2") }),
        story("drain", three(), Change::DrainNode { node: node("demo-3") }),
        story(
            "undrain",
            [three(), vec![Change::DrainNode { node: node("demo-3") }]].concat(),
            Change::UndrainNode { node: node("demo-3") },
        ),
        story("reboot a replica", three(), Change::RebootNode { node: node("demo-2") }),
        story("reboot the primary", three(), Change::RebootNode { node: node("demo-1") }),
        story(
            "remove",
            [three(), vec![Change::AddNode { cluster: cluster(), count: Some(1), plan: None }]].concat(),
            Change::RemoveNode { node: node("demo-4") },
        ),
        story("resize a single node", vec![create(Topology::Single, 1, 0)], resize("MEDIUM-2C-4G")),
        story("resize three", three(), resize("NANO-1C-256M")),
        story(
            "resize two and a witness",
            vec![create(Topology::PrimaryReplica, 2, 0)],
            resize("SMALL-1C-2G"),
        ),
        story("resize shards", shards(), resize("SMALL-1C-2G")),
        story("upgrade a single node", vec![create(Topology::Single, 1, 0)], upgrade()),
        story("upgrade three", three(), upgrade()),
        story("upgrade shards", shards(), upgrade()),
        story("resync", three(), Change::ResyncCluster { cluster: cluster() }),
        story("protect", three(), Change::SetProtection { cluster: cluster(), enabled: true }),
        story("failover off", three(), Change::SetAutoFailover { cluster: cluster(), enabled: false }),
        story(
            "options",
            three(),
            Change::SetOptions {
                cluster: cluster(),
                options: OptionWish::only(ClusterOption::StopWritesWithoutReplica, false),
            },
        ),
        story("limit access", three(), limit(&["0.0.0.0/0"], None)),
        story("expose", three(), expose(true)),
        story("close again", [three(), vec![expose(true)]].concat(), expose(false)),
        story("rotate", three(), Change::RotateCredentials { cluster: cluster() }),
        story(ROTATE_ONE, three(), Change::RotateCredentials { cluster: cluster() }),
        story("delete", three(), Change::DeleteCluster { cluster: cluster(), discard_backups: true }),
        story("delete with a last backup", three(), delete()),
        story("back up", three(), back_up()),
        story("back up shards", shards(), back_up()),
        story("verify", [three(), vec![back_up()]].concat(), Change::VerifyBackup { backup: newest() }),
        story(
            "delete a backup",
            [three(), vec![back_up()]].concat(),
            Change::DeleteBackup { backup: newest() },
        ),
        story("migrate", three(), migrate("secret", false)),
        story("restore three", [three(), vec![delete()]].concat(), restore()),
        story("restore shards", [shards(), vec![delete()]].concat(), restore()),
        story("restore three in place", [three(), vec![back_up()]].concat(), restore_in_place()),
        story("restore shards in place", [shards(), vec![back_up()]].concat(), restore_in_place()),
        story("add a shard", shards(), Change::AddShard { cluster: cluster() }),
        story(
            "remove a shard",
            [shards(), vec![Change::AddShard { cluster: cluster() }]].concat(),
            Change::RemoveShard { cluster: cluster(), shard: 3 },
        ),
    ]
}

/// A world in which everything before the story's change has happened.
pub(crate) async fn set_the_stage(story: &Story) -> Lab {
    let lab = Lab::new().await;
    for change in &story.before {
        let operation =
            lab.run(change.clone()).await.unwrap_or_else(|e| panic!("{}: {change:?}: {e}", story.name));
        assert!(operation.error.is_none(), "{}: {change:?}: {:?}", story.name, operation.error);
    }
    if story.name.starts_with("upgrade") {
        lab.world.publish("7.2.4");
    }
    if story.name == ROTATE_ONE {
        lab.world.keep_one_password();
    }
    assert_eq!(lab.complaints().await, Vec::<String>::new(), "{}: the stage must be in order", story.name);
    lab
}
