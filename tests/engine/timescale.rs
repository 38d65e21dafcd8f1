//! TimescaleDB on real servers: what makes it more than PostgreSQL, and what is told where it cannot run.

use crate::{
    home::Home,
    life::{grows, whole_life},
};
use clusterdeck_domain::{Change, ClusterOption, CreateCluster, OptionWish, Preview, ServiceKind, Topology};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
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

/// A setting as it is shown, and what was chosen of it.
async fn setting(home: &Home, name: &str) -> (String, Option<String>) {
    let all = home.engine.parameters("demo").await.unwrap();
    let found = all.into_iter().find(|p| p.name == name).unwrap_or_else(|| panic!("{name} can be set"));
    (found.value, found.chosen)
}

const LIBRARIES: &str = "shared_preload_libraries";
const EXTENSIONS: &str = "SELECT coalesce(string_agg(extname, ',' ORDER BY extname), '') FROM pg_extension WHERE extname <> 'plpgsql'";

/// What is offered in one click where this computer cannot.
async fn offered_in_containers(home: &Home) {
    let Change::CreateCluster(wish) = home.wish(ServiceKind::Timescaledb, Topology::Single, 1, 0) else {
        unreachable!()
    };
    let here = Change::CreateCluster(CreateCluster { provider: None, ..wish });
    let refused = home.engine.preview(here).await.unwrap().preview;
    let way = refused.blockers.into_iter().find_map(|b| b.way_out).expect("a way out");
    assert_eq!(way.label, "Use Containers instead");
    let there = home.engine.preview(way.change).await.unwrap().preview;
    assert_eq!(there.blockers, [], "what is offered can be done");
    let started = there.effects.iter().find(|e| e.contains("TimescaleDB 2.19"));
    assert!(started.is_some_and(|e| e.contains("on PostgreSQL 17.")), "{:?}", there.effects);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_timescaledb_has_its_extension_in_the_database_of_people_and_nowhere_else() {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    offered_in_containers(&home).await;
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
    let workers: i32 = text(&app, "SHOW max_worker_processes").await.parse().unwrap();
    assert!(workers >= 8 + 11, "there is room for its workers: {workers}");
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chosen_libraries_are_loaded_beside_the_own_one_which_nobody_can_lose() {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    home.create(ServiceKind::Timescaledb, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    assert_eq!(setting(&home, LIBRARIES).await, ("timescaledb".to_owned(), None));
    let set = |value: Option<&str>| Change::SetParameters {
        cluster: demo(),
        parameters: [(LIBRARIES.to_owned(), value.map(str::to_owned))].into(),
    };
    home.done(set(Some("pg_stat_statements"))).await;
    let both = "timescaledb,pg_stat_statements".to_owned();
    assert_eq!(setting(&home, LIBRARIES).await, (both, Some("pg_stat_statements".to_owned())));
    // Only seen in the database that has the extension.
    assert_eq!(setting(&home, "timescaledb.license").await.0, "apache");
    home.done(set(Some(""))).await;
    assert_eq!(setting(&home, LIBRARIES).await.0, "timescaledb", "it cannot be lost");
    home.done(set(None)).await;
    home.until_healthy().await;
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// Runs SQL in the database of people as the server's superuser, without what is loaded into it.
fn as_superuser(home: &Home, machine: &str, sql: &str) {
    const RUN: &str = "import glob, json, os, subprocess, sys\n\
        conf = [p for r in ('/machine', '/clusterdeck', '/data', '/srv', '/var/lib') for p in \
                glob.glob(r + '/**/patroni.yml', recursive=True)][0]\n\
        pg = json.load(open(conf))['postgresql']; su = pg['authentication']['superuser']\n\
        host, port = pg['listen'].rsplit(':', 1)\n\
        env = dict(os.environ, PGPASSWORD=su['password'], PGOPTIONS='-c timescaledb.disable_load=on')\n\
        subprocess.check_call(['psql', '-X', '-h', host, '-p', port, '-U', su['username'], '-d', 'app', \
                               '-v', 'ON_ERROR_STOP=1', '-c', sys.argv[1]], env=env)\n";
    let container = format!("clusterdeck-{machine}-patroni");
    home.ground.as_ref().unwrap().podman(&["exec", &container, "python3", "-c", RUN, sql]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_an_update_of_the_package_left_behind_is_told_with_the_command_and_nothing_else_fails()
 {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    home.create(ServiceKind::Timescaledb, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let spec = home.cluster().await.spec;
    let machine = spec.find_node("demo-1").unwrap().machine.id.to_string();
    let noted = |version: &str| {
        format!("UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'timescaledb'")
    };
    // As Debian's update does it: the library that the database was made with is not there any more.
    as_superuser(&home, &machine, &noted("2.19.0"));
    let said = until_told(&home, "demo-1", "extension-update").await;
    assert!(said.contains("ALTER EXTENSION timescaledb UPDATE") && said.contains("2.19.0"), "{said}");
    assert!(said.contains("cannot be used"), "{said}");
    assert_eq!(home.primary().await, "demo-1", "Patroni works in a database of its own");
    home.done(Change::SetProtection { cluster: demo(), enabled: true }).await;
    home.done(Change::SetProtection { cluster: demo(), enabled: false }).await;
    as_superuser(&home, &machine, &noted(&spec.version));
    home.until_healthy().await;
    home.done(Change::DeleteCluster { cluster: demo(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// A table split by time, with a row of each minute of two weeks: three chunks and more.
const HYPERTABLE: &str = "CREATE TABLE m (at timestamptz NOT NULL, n int8); \
    SELECT create_hypertable('m', 'at', chunk_time_interval => INTERVAL '4 days'); \
    INSERT INTO m SELECT TIMESTAMPTZ '2026-01-01' + n * INTERVAL '1 minute', n FROM generate_series(1, 20160) n";

/// Goes on writing rows, through a new connection after each that ended; how many were acknowledged.
async fn measure(url: String, end: Arc<AtomicBool>) -> i64 {
    let (mut acknowledged, mut open) = (0, None);
    while !end.load(Ordering::Relaxed) {
        if open.is_none() {
            let connected =
                tokio::time::timeout(Duration::from_secs(1), tokio_postgres::connect(&url, NoTls));
            open = connected.await.ok().and_then(Result::ok).map(|(client, connection)| {
                tokio::spawn(connection);
                client
            });
        }
        let written = match &open {
            Some(client) => {
                let put = client.execute("INSERT INTO m VALUES (now(), -1)", &[]);
                matches!(tokio::time::timeout(Duration::from_secs(1), put).await, Ok(Ok(1)))
            }
            None => false,
        };
        acknowledged += i64::from(written);
        if !written {
            open = None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_every_node_has_every_row_of_a_hypertable() {
    let Some(home) = Home::in_containers_with_postgres().await else { return };
    // Synchronous, so that what was acknowledged must be there.
    let Change::CreateCluster(wish) = home.wish(ServiceKind::Timescaledb, Topology::PrimaryReplica, 3, 0)
    else {
        unreachable!()
    };
    let options = Some(OptionWish::only(ClusterOption::Synchronous, true));
    home.done(Change::CreateCluster(CreateCluster { options, ..wish })).await;
    home.until_healthy().await;
    let url = home.url().await;
    connect(&url).await.batch_execute(HYPERTABLE).await.unwrap();
    let end = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(measure(url.clone(), end.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;

    let old = home.primary().await;
    let begun = Instant::now();
    home.kill_server(&old, ServiceKind::Timescaledb).await;
    home.until_another_leads(&old).await;
    println!("a killed TimescaleDB is replaced after {:?}", begun.elapsed());
    home.until_healthy().await;
    home.failed_over().await;
    end.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.unwrap();
    assert!(acknowledged > 50, "the client must have written: {acknowledged}");

    let count =
        async |url: &str, sql: &str| -> i64 { connect(url).await.query_one(sql, &[]).await.unwrap().get(0) };
    let rows = count(&url, "SELECT count(*) FROM m").await;
    assert!(rows >= 20_160 + acknowledged, "{rows} rows, {acknowledged} acknowledged");
    for node in ["demo-1", "demo-2", "demo-3"] {
        let url = on(&home, node, "app").await;
        let begun = Instant::now();
        // A replica may apply the last ones a moment later.
        while count(&url, "SELECT count(*) FROM m").await != rows {
            assert!(begun.elapsed() < Duration::from_secs(10), "{node} must have all {rows} rows");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let chunks = count(&url, "SELECT count(*) FROM show_chunks('m')").await;
        assert!(chunks >= 4, "{node} has {chunks} chunks");
    }
    println!("{rows} rows on every node, {acknowledged} of them written while the primary was killed");
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
