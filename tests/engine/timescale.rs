//! TimescaleDB on real servers: what makes it more than PostgreSQL, and what is told where it cannot run.

use crate::{
    home::Home,
    life::{grows, whole_life},
};
use clusterdeck_domain::{Change, Preview, ServiceKind, Topology};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

fn demo() -> String {
    "demo".to_owned()
}

/// Somebody connected as people are, for one or more questions.
async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// The address of a database on one node.
async fn on(home: &Home, node: &str, database: &str) -> String {
    let url = home.url().await;
    let cluster = home.cluster().await;
    let address = cluster.spec.find_node(node).expect("a node").machine.address;
    format!("{}@{address}:5432/{database}", url.split_once('@').unwrap().0)
}

/// A fact of a node, as it is shown.
async fn fact(home: &Home, node: &str, id: &str) -> Option<String> {
    let cluster = home.cluster().await;
    let seen = cluster.observed?;
    let facts = &seen.node(&cluster.spec.find_node(node)?.id)?.facts;
    facts.iter().find(|f| f.id == id).map(|f| f.value.clone())
}

async fn until_told(home: &Home, node: &str, id: &str) -> String {
    let begun = Instant::now();
    loop {
        if let Some(value) = fact(home, node, id).await {
            return value;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{node} must tell its {id}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const LIBRARIES: &str = "SHOW shared_preload_libraries";
const EXTENSIONS: &str = "SELECT coalesce(string_agg(extname, ',' ORDER BY extname), '') FROM pg_extension WHERE extname <> 'plpgsql'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_timescaledb_has_its_extension_in_the_database_of_people_and_nowhere_else() {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    let begun = Instant::now();
    home.create(ServiceKind::Timescaledb, Topology::Single, 1, 0).await;
    println!("a single TimescaleDB is created in {:?}", begun.elapsed());
    home.until_healthy().await;
    let spec = home.cluster().await.spec;
    assert!(spec.version.starts_with("2.19."), "the version is the extension's: {}", spec.version);
    assert_eq!(until_told(&home, "demo-1", "extension").await, spec.version);
    assert!(until_told(&home, "demo-1", "server").await.starts_with("17."));
    assert_eq!(until_told(&home, "demo-1", "edition").await, "apache", "Debian's edition");

    let app = connect(&home.url().await).await;
    assert_eq!(text(&app, EXTENSIONS).await, "timescaledb");
    for database in ["postgres", "template1"] {
        let other = connect(&on(&home, "demo-1", database).await).await;
        assert_eq!(text(&other, EXTENSIONS).await, "", "{database} is not people's");
    }
    assert_eq!(text(&app, "SHOW timescaledb.telemetry_level").await, "off");
    assert_eq!(text(&app, LIBRARIES).await, "timescaledb");
    let workers: i32 = text(&app, "SHOW max_worker_processes").await.parse().unwrap();
    assert!(workers >= 8 + 11, "there is room for its workers: {workers}");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timescaledb_cluster_lives_its_whole_life_without_losing_a_write() {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    whole_life(&home, ServiceKind::Timescaledb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_timescaledb_grows_into_a_cluster_while_a_client_writes() {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    grows(&home, ServiceKind::Timescaledb).await;
}

fn refused(preview: &Preview) -> (String, String) {
    let found = preview.blockers.iter().find(|b| b.code == "software-missing");
    let found = found.unwrap_or_else(|| panic!("it must be missing here: {:#?}", preview.blockers));
    (found.text.clone(), found.hint.clone().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_extension_is_not_installed_creating_is_refused_with_the_ways_to_get_it() {
    let home = Home::open().await;
    for (service, name, ways) in [
        (ServiceKind::Timescaledb, "TimescaleDB", ["timescaledb-2-postgresql-N", "timescaledb-ha"]),
        (ServiceKind::Hydra, "Hydra", ["Nobody packages it", "hydradatabase/hydra"]),
    ] {
        let wish = home.wish(service, Topology::PrimaryReplica, 3, 0);
        let prepared = home.engine.preview(wish).await.unwrap();
        let (what, how) = refused(&prepared.preview);
        assert!(what.contains(name) && what.contains("PostgreSQL"), "{what}");
        assert!(ways.iter().all(|way| how.contains(way)), "{how}");
        home.engine.confirm(&prepared.id, None, "test", None).await.expect_err("it is refused");
    }
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
