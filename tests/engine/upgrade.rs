//! A newer minor version for a cluster that a client writes to: from one image to another, and from one package of this
//! computer to the next.

use crate::home::{Home, missing};
use clusterdeck_domain::{Change, NodeSpec, Operation, OperationState, ServiceKind, Topology};
use clusterdeck_testkit::{
    containers::NEWER_REDIS,
    packages::{self, Older},
};
use clusterdeck_tests::client::Writer;
use std::time::{Duration, Instant};

fn upgrade() -> Change {
    Change::UpgradeCluster { cluster: "demo".to_owned(), version: None }
}

/// Three nodes on the older image; then the settings name the newer one, as a person would. Its version.
async fn three_with_a_newer_image_at_hand(home: &Home) -> String {
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let before = home.engine.preview(upgrade()).await.unwrap().preview;
    let codes: Vec<_> = before.blockers.iter().map(|b| b.code.as_str()).collect();
    assert_eq!(codes, ["same-version"], "nothing newer is there yet: {before:#?}");
    let ground = home.ground.as_ref().unwrap();
    let said = ground.podman(&["run", "--rm", "--network=none", NEWER_REDIS, "redis-server", "--version"]);
    let version = said.split("v=").nth(1).and_then(|v| v.split(' ').next()).unwrap().to_owned();
    let mut settings = home.engine.settings().await;
    settings.images.own.insert(format!("redis:{version}"), NEWER_REDIS.to_owned());
    home.engine.set_settings(settings).await.unwrap();
    version
}

/// What each data node says that it runs; a witness runs no server.
async fn versions(home: &Home) -> Vec<String> {
    let cluster = home.cluster().await;
    let seen = cluster.observed.unwrap();
    let says = |node: &NodeSpec| seen.node(&node.id).and_then(|n| n.version.clone()).unwrap_or_default();
    cluster.spec.data_nodes().map(says).collect()
}

fn tell(done: &Operation) {
    for step in &done.steps {
        let took = step.ended_at.zip(step.started_at).map(|(end, start)| end.duration_since(start));
        println!("  {}: {took:?}", step.name);
    }
}

/// Upgrades it while a client writes, who waits less than `patience` and loses nothing.
async fn upgraded_under_writes(home: &Home, from: &str, patience: Duration) {
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let done = home.done(upgrade()).await;
    let took = begun.elapsed();
    let written = writer.stop();
    tell(&done);
    println!(
        "{from} to {:?} in {:.1} s: measured gap {:?} ms, the client saw {:?} and {} errors in {} writes",
        versions(home).await,
        took.as_secs_f64(),
        done.outcome.write_gap_ms,
        written.longest_gap,
        written.errors,
        written.acknowledged.len()
    );
    assert!(written.acknowledged.len() > 100, "the client must have written: {written:?}");
    assert_eq!(missing(&home.url().await, &written), Vec::<u64>::new(), "nothing is lost");
    assert!(written.longest_gap < patience, "the client waited {:?}", written.longest_gap);
    home.until_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_takes_a_newer_minor_version_node_by_node_without_losing_a_write() {
    let Some(home) = Home::in_containers_with_newer().await else { return };
    let newer = three_with_a_newer_image_at_hand(&home).await;
    let old = home.cluster().await.spec.version;
    assert_eq!(versions(&home).await, [old.as_str(); 3]);
    let addresses: Vec<_> = home.cluster().await.spec.machines().cloned().collect();
    let preview = home.engine.preview(upgrade()).await.unwrap().preview;
    println!("{}: {:#?}", preview.title, preview.effects);

    upgraded_under_writes(&home, &format!("redis {old}"), Duration::from_secs(2)).await;
    assert_eq!(versions(&home).await, [newer.as_str(); 3]);
    let spec = home.cluster().await.spec;
    assert_eq!(spec.version, newer);
    assert_eq!(spec.machines().cloned().collect::<Vec<_>>(), addresses, "names and addresses are as before");
    let images = home.ground.as_ref().unwrap().podman(&["ps", "--format", "{{.Names}} {{.Image}}"]);
    let nodes = images.lines().filter(|line| line.contains("-redis ") || line.contains("-sentinel "));
    assert!(nodes.clone().count() == 6 && nodes.clone().all(|line| line.ends_with(NEWER_REDIS)), "{images}");

    home.done(Change::PromoteNode { node: "demo-1".to_owned() }).await;
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_in_the_middle_an_upgrade_goes_on_and_loses_nothing() {
    let Some(mut home) = Home::in_containers_with_newer().await else { return };
    let newer = three_with_a_newer_image_at_hand(&home).await;
    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let operation = home.begin(upgrade()).await;
    // Each moment falls somewhere else: before, while and after a machine is made anew.
    for moment in [700, 1_100, 1_700, 1_300, 900, 2_300, 1_500] {
        tokio::time::sleep(Duration::from_millis(moment)).await;
        home.crash().await;
    }
    let done = home.engine.wait(&operation.id).await.unwrap();
    let written = writer.stop();
    tell(&done);
    assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
    println!("redis: killed seven times: the client saw {:?}", written.longest_gap);
    assert_eq!(missing(&home.url().await, &written), Vec::<u64>::new(), "nothing is lost");
    home.until_healthy().await;
    assert_eq!(versions(&home).await, [newer.as_str(); 3]);
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valkey_cluster_goes_from_one_line_of_its_major_version_to_the_next() {
    let Some(home) = Home::in_containers_with_older().await else { return };
    let mut change = home.wish(ServiceKind::Valkey, Topology::PrimaryReplica, 3, 0);
    if let Change::CreateCluster(wish) = &mut change {
        wish.version = Some("8.0".to_owned());
    }
    home.done(change).await;
    home.until_healthy().await;
    let old = home.cluster().await.spec.version;
    assert!(old.starts_with("8.0"), "{old}");

    // An image whose programs are not what it is named for stops nobody.
    let settings = home.engine.settings().await;
    let mut wrong = settings.clone();
    wrong.images.own.insert("valkey:8.1".to_owned(), "docker.io/valkey/valkey:8.0".to_owned());
    home.engine.set_settings(wrong).await.unwrap();
    let refused = home.engine.preview(upgrade()).await.unwrap().preview;
    assert!(!refused.blockers.is_empty(), "{refused:#?}");
    home.engine.set_settings(settings).await.unwrap();

    let writer = Writer::start(home.url().await, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let done = home.done(upgrade()).await;
    let written = writer.stop();
    tell(&done);
    println!(
        "valkey: {old} to {:?}: measured gap {:?} ms, the client saw {:?} and {} errors in {} writes",
        versions(&home).await,
        done.outcome.write_gap_ms,
        written.longest_gap,
        written.errors,
        written.acknowledged.len()
    );
    assert_eq!(missing(&home.url().await, &written), Vec::<u64>::new(), "nothing is lost");
    home.until_healthy().await;
    assert!(versions(&home).await.iter().all(|v| v.starts_with("8.1")), "{:?}", versions(&home).await);
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// Two nodes on an older package, written to while the newer one, which was installed meanwhile, is taken. At most how long
/// the client may wait.
async fn takes_the_newer_package(home: &Home, older: &Older, service: ServiceKind, patience: Duration) {
    home.create(service, Topology::PrimaryReplica, 2, 0).await;
    home.until_healthy().await;
    let old = home.cluster().await.spec.version;
    assert_eq!(versions(home).await, [old.as_str(); 2]);
    let before = home.engine.preview(upgrade()).await.unwrap().preview;
    let codes: Vec<_> = before.blockers.iter().map(|b| b.code.as_str()).collect();
    assert_eq!(codes, ["same-version"], "nothing newer is there yet: {before:#?}");
    older.upgrade();

    upgraded_under_writes(home, &format!("{service} {old}"), patience).await;
    let spec = home.cluster().await.spec;
    assert_ne!(spec.version, old);
    assert_eq!(versions(home).await, [spec.version.as_str(); 2]);
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_cluster_takes_a_newer_package_node_by_node_without_losing_a_write() {
    let Some(older) = Older::enter(&packages::POSTGRES) else { return };
    let home = Home::open().await;
    takes_the_newer_package(&home, &older, ServiceKind::Postgresql, Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_cluster_takes_a_newer_package_node_by_node_without_losing_a_write() {
    let Some(older) = Older::enter(&packages::MARIADB) else { return };
    let home = Home::open().await;
    takes_the_newer_package(&home, &older, ServiceKind::Mysql, Duration::from_secs(3)).await;
}
