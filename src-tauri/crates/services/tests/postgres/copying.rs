//! Data that is copied out of a running cluster and started on in another one.

use crate::ground::{Ground, PATIENCE, Wish};
use clusterdeck_domain::{Count, NodeSpec, ServiceKind, Topology, disagreements, spanning};
use clusterdeck_driver::{CopyFrom, DriverError, Progress, Result, ServiceDriver as _};
use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    io::Cursor,
    os::unix::fs::FileExt as _,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::sleep,
};

const COUNTED_WITHIN: Duration = Duration::from_secs(3);
const MANIFEST: &[u8] = b"backup_manifest\0";

/// What people have: tables that refer to each other, one in parts, one that is not logged, a view, a role and a database of
/// their own.
const THINGS: [&str; 4] = [
    "CREATE TABLE numbers (n int PRIMARY KEY); \
     CREATE TABLE kinds (k text PRIMARY KEY); INSERT INTO kinds VALUES ('a'), ('b'); \
     CREATE TABLE \"Odd ones\" (k text REFERENCES kinds, t text); \
     ALTER TABLE \"Odd ones\" ALTER t SET STORAGE plain; \
     INSERT INTO \"Odd ones\" SELECT 'a', repeat('x', 500) FROM generate_series(1, 2000); \
     CREATE TABLE parted (d int, t text) PARTITION BY RANGE (d); \
     CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (500); \
     CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (500) TO (2000); \
     INSERT INTO parted SELECT n, 'y' FROM generate_series(1, 1000) n; \
     CREATE UNLOGGED TABLE fleeting AS SELECT generate_series(1, 100); \
     CREATE VIEW seen AS SELECT * FROM kinds",
    "CREATE ROLE reporting LOGIN PASSWORD 'kept'",
    "CREATE DATABASE ledger",
    "CREATE SCHEMA late CREATE TABLE entries (n int)",
];

/// A table that TimescaleDB splits by time, with a chunk a day.
const SPLIT: &str = "CREATE TABLE metrics (at timestamptz NOT NULL, n int); \
     SELECT create_hypertable('metrics', 'at', chunk_time_interval => interval '1 day'); \
     INSERT INTO metrics SELECT '2026-01-01'::timestamptz + n * interval '1 hour', n FROM generate_series(1, 200) n";

async fn fill(ground: &Ground) {
    let people = ground.people(0).await.unwrap();
    for thing in THINGS {
        people.batch_execute(thing).await.unwrap();
    }
    if ground.cx.spec.service == ServiceKind::Timescaledb {
        people.batch_execute(SPLIT).await.unwrap();
    }
}

async fn copy(ground: &Ground, node: &NodeSpec, progress: &Progress) -> Result<(Vec<u8>, String)> {
    let mut bytes = Vec::new();
    let from = CopyFrom { shard: None, node: node.id.clone() };
    let place = ground.driver.copy_out(&ground.cx, &from, &mut bytes, progress).await?;
    Ok((bytes, place))
}

/// Lays a copy on the first node: these bytes, said to be so many.
async fn lay(ground: &Ground, bytes: &[u8], said: usize) -> Result<()> {
    let (first, mut input) = (ground.node(1), Cursor::new(bytes.to_vec()));
    ground.driver.copy_in(&ground.cx, first, &mut input, said as u64, &Progress::silent()).await
}

async fn nothing_is_left(ground: &Ground, why: &str, also: &[&str]) {
    for path in ["pg/data.laid", "pg/data.laying", "pg/laid.conf", "pg/laid.sql"].iter().chain(also) {
        assert!(!ground.machine(1).exists(path).await.unwrap(), "{why}: {path} is left");
    }
}

async fn count(ground: &Ground, node: &NodeSpec) -> Vec<Count> {
    ground.driver.count(&ground.cx, node, COUNTED_WITHIN).await.unwrap()
}

/// Whether a role comes in with this password, over TLS.
fn opens(ground: &Ground, role: &str, password: &str) -> bool {
    let (at, port) = (ground.machine(1).address(), ground.machine(1).port(5432));
    let whom = format!("host={at} port={port} user={role} dbname=postgres sslmode=require");
    let asked =
        Command::new("psql").args(["-X", "-c", "SELECT 1", &whom]).env("PGPASSWORD", password).output();
    let asked = asked.unwrap();
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success() || said.contains("password authentication failed"), "{role}: {said}");
    asked.status.success()
}

/// Writes 1, 2, 3… through the endpoint; `last` is the last that was acknowledged.
async fn write(ground: &Ground, last: &AtomicI64, stop: &AtomicBool) {
    let people = ground.people(0).await.unwrap();
    for n in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        people.batch_execute(&format!("INSERT INTO numbers VALUES ({n})")).await.unwrap();
        last.store(n, Ordering::Relaxed);
    }
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Until a replica has what has been written so far.
async fn caught_up(ground: &Ground, replica: u16) {
    let people = ground.people(0).await.unwrap();
    let written: String = people.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
    let (people, begun) = (ground.people(replica).await.unwrap(), Instant::now());
    let asked = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
    while !people.query_one(asked, &[&written]).await.unwrap().get::<_, bool>(0) {
        assert!(begun.elapsed() < PATIENCE, "the replica must get to {written}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The numbers that a node has.
async fn numbers(ground: &Ground, ordinal: u16) -> BTreeSet<i32> {
    let people = ground.people(ordinal).await.unwrap();
    people.query("SELECT n FROM numbers", &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

struct Copied {
    bytes: Vec<u8>,
    /// What was counted before and after.
    meant: Vec<Count>,
    /// The last number that was acknowledged before it was begun.
    acknowledged: i64,
}

/// A copy while clients write: of a replica where there is one, which then lags behind.
async fn copied_under_load(ground: &Ground) -> Copied {
    let seen = ground.healthy().await;
    let primary = ground.primary(&seen).id.clone();
    let nodes: Vec<&NodeSpec> = ground.cx.spec.data_nodes().collect();
    let lagging = nodes.len() > 1;
    let from = nodes.iter().find(|n| n.id != primary).unwrap_or(&nodes[0]);
    fill(ground).await;
    let (last, stop) = (AtomicI64::new(0), AtomicBool::new(false));
    let story = async {
        until("the writer must write", || last.load(Ordering::Relaxed) > 100).await;
        if lagging {
            caught_up(ground, from.ordinal).await;
        }
        let before = count(ground, from).await;
        let replays = || ground.servants(from.ordinal, "startup");
        if lagging {
            Ground::signal(replays(), Signal::STOP);
        }
        let behind = last.load(Ordering::Relaxed);
        until("the writer must write", || last.load(Ordering::Relaxed) > behind + 100).await;
        let acknowledged = last.load(Ordering::Relaxed);
        let waits = Arc::new(AtomicBool::new(!lagging));
        let told = waits.clone();
        let progress = Progress::new(move |note, _| {
            if note.contains("catches up") {
                told.store(true, Ordering::Relaxed);
            }
        });
        let begun = Instant::now();
        let goes_on = async {
            until("it must wait for the replica", || waits.load(Ordering::Relaxed)).await;
            if lagging {
                Ground::signal(replays(), Signal::CONT);
            }
        };
        let copying = async { copy(ground, from, &progress).await.unwrap() };
        let ((bytes, place), ()) = tokio::join!(copying, goes_on);
        let meanwhile = last.load(Ordering::Relaxed) - acknowledged;
        println!("{} MB in {:?}, up to {place}; {meanwhile} rows meanwhile", mb(&bytes), begun.elapsed());
        assert!(place.starts_with("timeline 1, 0/"), "{place}");
        assert!(meanwhile > 0, "it was copied while clients wrote");
        let meant = spanning(&before, &count(ground, from).await);
        stop.store(true, Ordering::Relaxed);
        Copied { bytes, meant, acknowledged }
    };
    tokio::join!(story, write(ground, &last, &stop)).0
}

fn mb(bytes: &[u8]) -> usize {
    bytes.len() / 1_000_000
}

/// What was laid starts as a cluster of its own, with all that was acknowledged and passwords of its own.
async fn starts_on(old: &Ground, new: &mut Ground, copied: &Copied) {
    let begun = Instant::now();
    lay(new, &copied.bytes, copied.bytes.len()).await.unwrap();
    let laid = begun.elapsed();
    new.create().await;
    println!("laid in {laid:?}, formed in {:?}", begun.elapsed() - laid);
    nothing_is_left(new, "it is the data by now", &[]).await;

    let there = numbers(new, 1).await;
    let most = *there.last().unwrap();
    assert_eq!(there.len(), usize::try_from(most).unwrap(), "from 1 on, without a hole");
    assert!(i64::from(most) >= copied.acknowledged, "{most} of {}", copied.acknowledged);
    let found = count(new, new.node(1)).await;
    assert_eq!(disagreements(&copied.meant, &found), [""; 0], "{found:#?}");
    new.people(0).await.unwrap().batch_execute("INSERT INTO numbers VALUES (-1)").await.unwrap();
    new.healthy().await;
    nothing_of_the_old_machines_is_in(new, old).await;

    for (role, secret) in
        [("operator", "operator"), ("rewind", "rewind"), ("watch", "watch"), ("app", "people")]
    {
        let password = |ground: &Ground| ground.cx.secrets.get(secret).unwrap().reveal().clone();
        assert!(opens(new, role, &password(new)), "{role} has the password of the new cluster");
        assert!(!opens(new, role, &password(old)), "{role} no longer has that of the old one");
        assert!(opens(old, role, &password(old)), "{role} of the old one is as it was");
    }
    assert!(opens(new, "reporting", "kept"), "a role that people made is as it was");
}

/// A cluster of the smallest size.
async fn nothing_of_the_old_machines_is_in(new: &Ground, old: &Ground) {
    let machine = new.machine(1);
    for file in
        ["postgresql.conf", "postgresql.base.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"]
    {
        let text = machine.read(&format!("pg/data/{file}")).await.unwrap();
        let text = String::from_utf8_lossy(&text);
        for other in old.cx.machines.values() {
            let path = other.path("pg").display().to_string();
            let here = machine.path("pg").display().to_string();
            assert!(
                !text.contains(&other.address().to_string()),
                "{file} names a machine of the old cluster"
            );
            assert!(path == here || !text.contains(&path), "{file} names a folder of the old cluster");
        }
    }
    let asked = "SELECT current_setting('max_connections'), left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    let row = new.people(1).await.unwrap().query_one(asked, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "25", "it has the size of its machine");
    assert_eq!(new.driver.restarts_due(&new.cx).await.unwrap(), [], "and waits for no restart");
    assert_eq!(row.get::<_, &str>(1), "00000002", "in a timeline of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_copied_under_load_and_a_smaller_cluster_starts_on_it() {
    let old = Ground::new(Topology::PrimaryReplica, 2).await;
    let copied = copied_under_load(&old).await;
    let of = |name: &str| copied.meant.iter().find(|c| c.of == name).map(|c| (c.low, c.high));
    assert_eq!(of("databases"), Some((3, 3)), "{:#?}", copied.meant);
    assert_eq!(of("tables in app"), Some((8, 8)));
    assert_eq!(of("rows in app.public.Odd ones"), Some((2000, 2000)));
    assert_eq!(of("rows in app.public.parted"), Some((1000, 1000)), "with its parts");
    assert_eq!(of("rows in app.public.parted_1"), None, "which are not told alone");
    assert_eq!(of("rows in app.public.fleeting"), None, "nor what is not logged");
    assert_eq!(of("rows in app.late.entries"), Some((0, 0)));
    assert_eq!(of("tables in ledger"), Some((0, 0)));
    let mut new = Ground::to_be_made(Wish::small(ServiceKind::Postgresql)).await;
    starts_on(&old, &mut new, &copied).await;
}

/// TimescaleDB on PostgreSQL 17, by Patroni 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_with_an_extension_is_copied_under_load_and_another_one_starts_on_it() {
    let wish = Wish::small(ServiceKind::Timescaledb);
    let Some(old) = Ground::wished_in_containers(Wish { plan: "SMALL-1C-1G", ..wish }).await else { return };
    let copied = copied_under_load(&old).await;
    let of = |name: &str| copied.meant.iter().find(|c| c.of == name).map(|c| (c.low, c.high));
    assert_eq!(of("rows in app.public.metrics"), Some((200, 200)), "{:#?}", copied.meant);
    assert_eq!(of("tables in app"), Some((9, 9)), "the pieces of a split table are not told");
    let mut new = old.beside(wish).await;
    starts_on(&old, &mut new, &copied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_are_made_from_a_copy() {
    let old = Ground::new(Topology::Single, 1).await;
    fill(&old).await;
    old.people(0)
        .await
        .unwrap()
        .batch_execute("INSERT INTO numbers SELECT generate_series(1, 5000)")
        .await
        .unwrap();
    let (bytes, _) = copy(&old, old.node(1), &Progress::silent()).await.unwrap();
    drop(old);
    let mut new = Ground::to_be_made(Wish::of(Topology::PrimaryReplica, 3)).await;
    lay(&new, &bytes, bytes.len()).await.unwrap();
    let begun = Instant::now();
    new.create().await;
    println!("three nodes on {} MB in {:?}", mb(&bytes), begun.elapsed());
    let seen = new.healthy().await;
    assert_eq!(new.primary(&seen).ordinal, 1, "the one with the copy leads");
    for ordinal in 1..=3 {
        assert_eq!(numbers(&new, ordinal).await.len(), 5000, "on node {ordinal}");
    }
    new.driver.probe(&new.cx).await.unwrap();
}

/// Where in an archive a file begins: with a block that holds its name, padded with nothing.
fn header(bytes: &[u8], name: &[u8]) -> usize {
    bytes.chunks(512).position(|block| block.starts_with(name)).unwrap() * 512
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_whole_is_refused_and_nothing_of_it_is_left() {
    let old = Ground::new(Topology::Single, 1).await;
    fill(&old).await;
    let (bytes, _) = copy(&old, old.node(1), &Progress::silent()).await.unwrap();
    drop(old);
    let mut new = Ground::to_be_made(Wish::of(Topology::Single, 1)).await;
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let row = bytes.windows(400).position(|text| text.iter().all(|b| *b == b'x')).unwrap();
    let log = header(&bytes, b"pg_wal/0000");
    let cases = [
        ("a cut in the middle", bytes[..bytes.len() / 2].to_vec(), "tar"),
        ("a cut between two files", bytes[..header(&bytes, MANIFEST)].to_vec(), "backup_manifest"),
        ("another row", changed(row), "checksum mismatch"),
        ("another log", changed(log + 512 + 48), "WAL"),
        ("something else", vec![b'?'; 100_000], "tar"),
    ];
    for (case, bytes, says) in cases {
        let e = lay(&new, &bytes, bytes.len()).await.unwrap_err();
        println!("{case}: {e}");
        assert!(matches!(&e, DriverError::Rejected { what, .. } if what.contains(says)), "{case}: {e:?}");
        nothing_is_left(&new, case, &["pg/laid.version"]).await;
    }
    let ends_early = lay(&new, &bytes[..bytes.len() / 2], bytes.len()).await.unwrap_err();
    assert!(ends_early.is_transient(), "who feeds it may do better: {ends_early}");
    nothing_is_left(&new, "an input that ends early", &["pg/laid.version"]).await;

    let runs = std::mem::replace(&mut new.cx.spec.version, "13.1".to_owned());
    let e = lay(&new, &bytes, bytes.len()).await.unwrap_err();
    println!("another version: {e}");
    assert!(e.to_string().contains("the cluster runs PostgreSQL 13"), "{e}");
    nothing_is_left(&new, "another version", &["pg/laid.version"]).await;
    new.cx.spec.version = runs;

    // Cut off in the middle, by whoever feeds it: the next call begins anew, also over a whole one.
    let (mut feeds, mut input) = tokio::io::duplex(1 << 16);
    let (first, progress) = (new.node(1), Progress::silent());
    let laying = new.driver.copy_in(&new.cx, first, &mut input, bytes.len() as u64, &progress);
    tokio::select! {
        done = laying => panic!("it was not fed all: {done:?}"),
        fed = feeds.write_all(&bytes[..bytes.len() / 2]) => fed.unwrap(),
    }
    assert!(!new.machine(1).exists("pg/data.laid").await.unwrap(), "until it is whole nothing is there");
    for _ in 0..2 {
        lay(&new, &bytes, bytes.len()).await.unwrap();
        assert!(new.machine(1).exists("pg/data.laid").await.unwrap());
    }
    new.create().await;
    assert_eq!(count(&new, new.node(1)).await[0], Count::exactly("databases", 3));
    let e = lay(&new, &bytes, bytes.len()).await.unwrap_err();
    assert!(e.to_string().contains("holds data already"), "{e}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_copy_needs_goes_with_it_and_what_it_would_lack_is_told() {
    let mut ground = Ground::new(Topology::Single, 1).await;
    fill(&ground).await;
    let (node, silent) = (&ground.node(1).clone(), Progress::silent());
    let people = ground.people(1).await.unwrap();
    let slots = async || -> i64 {
        people.query_one("SELECT count(*) FROM pg_replication_slots", &[]).await.unwrap().get(0)
    };

    // Nobody reads any more: as for a process that was killed.
    let (mut output, mut reads) = tokio::io::duplex(1 << 16);
    let from = CopyFrom { shard: None, node: node.id.clone() };
    let mut piece = vec![0; 1 << 20];
    tokio::select! {
        done = ground.driver.copy_out(&ground.cx, &from, &mut output, &silent) => panic!("nobody read it: {done:?}"),
        read = reads.read_exact(&mut piece) => drop(read.unwrap()),
    }
    let begun = Instant::now();
    while slots().await > 0 {
        assert!(begun.elapsed() < PATIENCE, "the log is kept for nobody");
        sleep(Duration::from_millis(10)).await;
    }
    while ground.machine(1).exists("pg/copy.pass").await.unwrap() {
        assert!(begun.elapsed() < PATIENCE, "a password is left, and nobody who would take it away");
        sleep(Duration::from_millis(10)).await;
    }
    // While passwords are changed a server may not know the newest one yet.
    let unknown = clusterdeck_domain::Sensitive::new("not yet known here".to_owned());
    ground.cx.secrets.next = Some([("replica".to_owned(), unknown)].into());
    copy(&ground, node, &silent).await.unwrap();
    ground.cx.secrets.next = None;
    assert_eq!(slots().await, 0);
    assert!(!ground.machine(1).exists("pg/copy.pass").await.unwrap(), "the password goes with the copy");

    ground.machine(1).create_dir("space").await.unwrap();
    let space = ground.machine(1).path("space").display().to_string();
    ground.operate(1, &format!("CREATE TABLESPACE extra LOCATION '{space}'"));
    let e = copy(&ground, node, &silent).await.unwrap_err();
    assert!(matches!(&e, DriverError::Rejected { what, .. } if what.ends_with("not copied: extra")), "{e:?}");
    ground.operate(1, "DROP TABLESPACE extra");

    let row = people.query_one("SELECT pg_relation_filepath('\"Odd ones\"')", &[]).await.unwrap();
    let file = ground.machine(1).here(&format!("pg/data/{}", row.get::<_, &str>(0))).unwrap();
    ground.operate(1, "CHECKPOINT");
    std::fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(b"?", 8000).unwrap();
    let e = copy(&ground, node, &silent).await.unwrap_err();
    println!("a damaged page: {e}");
    assert!(matches!(&e, DriverError::Rejected { what, .. } if what.contains("checksum")), "{e:?}");
    assert_eq!(slots().await, 0);
}
