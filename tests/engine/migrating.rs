//! Data of servers that this test starts outside Clusterdeck comes into clusters, while clients write to the source: in the end both
//! sides are the same, also when the app was killed in the middle.

use crate::home::{Home, PATIENCE};
use clusterdeck_domain::{
    Change, CheckState, MigrateIn, Operation, OperationState, Preview, ServiceKind, SourceUrl, Topology,
};
use clusterdeck_tests::outside::{Outside, PASSWORD, free_port};
use redis::Commands as _;
use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Keys of all types, each third with a time to live.
fn fill(source: &Outside, keys: u32) {
    let mut to = source.connection();
    for some in (0..keys).collect::<Vec<_>>().chunks(5_000) {
        let mut all = redis::pipe();
        for n in some {
            let key = format!("key:{n}");
            match n % 5 {
                0 => all.cmd("SET").arg(&key).arg(format!("value {n}")),
                1 => all.cmd("HSET").arg(&key).arg("a").arg(*n).arg("b").arg(format!("{n} b")),
                2 => all.cmd("RPUSH").arg(&key).arg(*n).arg("x").arg("y"),
                3 => all.cmd("ZADD").arg(&key).arg(*n).arg("one").arg(7).arg("two"),
                _ => all.cmd("SADD").arg(&key).arg(*n).arg(n + 1).arg("three"),
            }
            .ignore();
            if n % 3 == 0 {
                all.cmd("PEXPIRE").arg(&key).arg(3_600_000 + n).ignore();
            }
        }
        all.exec(&mut to).unwrap();
    }
}

/// Writes all the time: new keys, changed ones, ones that go.
struct Writing {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u32>>,
}

impl Writing {
    fn to(source: &Outside, keys: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut to, stopped) = (source.connection(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut n = 0_u32;
            while !stopped.load(Ordering::Relaxed) {
                let old = n.wrapping_mul(2_654_435_761) % keys;
                let mut all = redis::pipe();
                all.cmd("SET").arg(format!("new:{n}")).arg(n).ignore();
                all.cmd("SET").arg(format!("key:{old}")).arg(format!("changed {n}")).ignore();
                all.cmd("DEL").arg(format!("key:{}", (old + 1) % keys)).ignore();
                all.cmd("INCR").arg("counter").ignore();
                all.exec(&mut to).unwrap();
                n += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            n
        });
        Self { stop, thread: Some(thread) }
    }
    fn stop(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Everything a server holds: each key as the server writes it down, and when it goes. Sets by their members, which each server
/// writes down in an order of its own.
fn content(connection: &mut redis::Connection) -> BTreeMap<String, (Vec<u8>, i64)> {
    let keys: Vec<String> = connection.scan().unwrap().map(Result::unwrap).collect();
    let mut found = BTreeMap::new();
    for some in keys.chunks(2_000) {
        let mut all = redis::pipe();
        for key in some {
            all.cmd("DUMP").arg(key).cmd("PEXPIRETIME").arg(key);
        }
        let mut kinds = redis::pipe();
        for key in some {
            kinds.cmd("TYPE").arg(key);
        }
        let kinds: Vec<String> = kinds.query(connection).unwrap();
        let answers: Vec<redis::Value> = all.query(connection).unwrap();
        for ((key, kind), pair) in some.iter().zip(kinds).zip(answers.chunks_exact(2)) {
            if let ("set", redis::Value::Int(ends)) = (kind.as_str(), &pair[1]) {
                let mut members: Vec<Vec<u8>> = connection.smembers(key).unwrap();
                members.sort();
                found.insert(key.clone(), (members.join(&b' '), *ends));
                continue;
            }
            if let (redis::Value::BulkString(value), redis::Value::Int(ends)) = (&pair[0], &pair[1]) {
                found.insert(key.clone(), (value[..value.len() - 10].to_vec(), *ends));
            }
        }
    }
    found
}

pub(crate) fn wish(url: &str) -> MigrateIn {
    MigrateIn {
        cluster: "demo".to_owned(),
        from: SourceUrl::parse(url).unwrap(),
        password: None,
        replace: false,
        follow: false,
    }
}

pub(crate) fn cut_over() -> Change {
    Change::CutOver { cluster: "demo".to_owned() }
}

impl Home {
    pub(crate) async fn migration_preview(&self, wish: &MigrateIn) -> Preview {
        self.engine.preview(Change::Migrate(wish.clone())).await.unwrap().preview
    }
    /// Waits until a migration follows its source.
    pub(crate) async fn until_it_follows(&self, operation: &Operation) {
        let begun = Instant::now();
        loop {
            let now = self.engine.operation(&operation.id).await.unwrap();
            assert!(!now.state.is_final(), "{now:#?}");
            let note = now.steps.iter().find(|s| s.name == "copy").and_then(|s| s.note.clone());
            if note.is_some_and(|note| note.starts_with("Following")) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "it must follow: {now:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    pub(crate) async fn migrated(&self, operation: &Operation) -> Operation {
        let ended = tokio::time::timeout(PATIENCE, self.engine.wait(&operation.id)).await.unwrap().unwrap();
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:#?}");
        let report = ended.outcome.migration.clone().expect("a report");
        assert_eq!(report.differences, Vec::<String>::new());
        assert!(report.compared.iter().all(|part| part.equal()), "{report:#?}");
        println!(
            "{}: {} things, {} bytes, gap {:?} ms",
            ended.title, report.items, report.bytes, report.gap_ms
        );
        ended
    }
    /// The password of a source lies nowhere any more.
    pub(crate) fn holds_no_password(&self) {
        let mut left = vec![self.dir.path().to_owned()];
        while let Some(place) = left.pop() {
            // What a server makes for a moment may be gone by now.
            let Ok(entries) = std::fs::read_dir(&place) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    left.push(path);
                } else if kind.is_file()
                    && let Ok(bytes) = std::fs::read(&path)
                {
                    let found = bytes.windows(PASSWORD.len()).any(|some| some == PASSWORD.as_bytes());
                    assert!(!found, "the password stands in {}", path.display());
                }
            }
        }
    }
}

pub(crate) fn failed(preview: &Preview) -> Vec<&str> {
    preview.checks.iter().filter(|c| c.state == CheckState::Failed).map(|c| c.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_in_under_writes_also_when_the_app_is_killed_and_equals_its_source() {
    const KEYS: u32 = 100_000;
    let source = Outside::redis();
    fill(&source, KEYS);
    let mut home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", source.port);

    // What stands against it is told apart, and nothing is changed.
    let wrong = home.migration_preview(&wish(&format!("redis://:nothing@127.0.0.1:{}", source.port))).await;
    assert_eq!(failed(&wrong), ["credentials"]);
    let nobody = home.migration_preview(&wish(&format!("redis://127.0.0.1:{}", free_port()))).await;
    assert_eq!(failed(&nobody), ["reachable"]);
    let good = home.migration_preview(&wish(&url)).await;
    assert!(good.blockers.is_empty() && good.confirm.is_none(), "{good:#?}");
    assert!(good.checks.iter().all(|c| c.state == CheckState::Passed), "{:#?}", good.checks);

    // It comes in while clients write. In the middle the app is killed, and what was brought already goes at the source.
    let writing = Writing::to(&source, KEYS);
    let operation = home.begin(Change::Migrate(MigrateIn { follow: true, ..wish(&url) })).await;
    let begun = Instant::now();
    loop {
        let now = home.engine.operation(&operation.id).await.unwrap();
        let copied =
            now.steps.iter().find(|s| s.name == "copy").and_then(|s| s.progress).map_or(0, |p| p.done);
        if copied > u64::from(KEYS / 5) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE && !now.state.is_final(), "{now:#?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    home.crash().await;
    let gone: u64 = redis::cmd("EVAL")
        .arg("local n = 0; for i = 0, 99999, 7 do n = n + redis.call('DEL', 'key:' .. i) end; return n")
        .arg(0)
        .query(&mut source.connection())
        .unwrap();
    assert!(gone > 10_000);
    home.until_it_follows(&operation).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let writes = writing.stop();
    assert!(writes > 100, "clients must have written: {writes}");
    home.done(cut_over()).await;
    let ended = home.migrated(&operation).await;
    assert!(ended.outcome.write_gap_ms.is_some_and(|gap| gap < 5_000.0), "{:?}", ended.outcome);
    let there = tokio::task::block_in_place(|| content(&mut source.connection()));
    let target = redis::Client::open(home.url().await).unwrap();
    let here = tokio::task::block_in_place(|| content(&mut target.get_connection().unwrap()));
    assert!(there.len() > 50_000);
    assert_eq!(there.len(), here.len());
    let differ: Vec<&String> = there
        .iter()
        .filter(|(key, value)| here.get(*key) != Some(value))
        .map(|(key, _)| key)
        .take(5)
        .collect();
    assert!(there == here, "every value and every end is the same: {differ:?}");
    home.holds_no_password();
    let log = home.engine.journal(&operation.id).await.unwrap();
    let said =
        |what: &str| log.iter().any(|line| line.text.as_deref().is_some_and(|text| text.contains(what)));
    assert!(said("Copying") && said("Cut over") && said("both sides are the same"), "{log:#?}");

    // The same names again: refused, unless it is said that they are replaced; a cancel leaves what was there before.
    let again = home.migration_preview(&wish(&url)).await;
    assert_eq!(failed(&again), ["names"]);
    let replacing = home.migration_preview(&MigrateIn { replace: true, ..wish(&url) }).await;
    assert!(replacing.blockers.is_empty() && replacing.confirm.as_deref() == Some("demo"), "{replacing:#?}");
    // Too much for its nodes.
    redis::cmd("DEBUG")
        .arg("POPULATE")
        .arg(250)
        .arg("large")
        .arg(1 << 20)
        .exec(&mut source.connection())
        .unwrap();
    redis::cmd("EVAL")
        .arg("for i = 0, 249 do redis.call('SETRANGE', 'big:' .. i, 1048575, 'x') end")
        .arg(0)
        .exec(&mut source.connection())
        .unwrap();
    let large = home.migration_preview(&MigrateIn { replace: true, ..wish(&url) }).await;
    assert_eq!(failed(&large), ["size"]);
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_into_a_sharded_cluster_and_a_cancelled_migration_is_taken_away() {
    let source = Outside::redis();
    fill(&source, 20_000);
    let home = Home::open().await;
    home.create(ServiceKind::Valkey, Topology::Sharded, 3, 3).await;
    home.until_healthy().await;
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", source.port);
    let operation = home.begin(Change::Migrate(MigrateIn { follow: true, ..wish(&url) })).await;
    home.until_it_follows(&operation).await;
    home.engine.cancel(&operation.id, "test").await.unwrap();
    let ended = home.engine.wait(&operation.id).await.unwrap();
    assert_eq!(ended.state, OperationState::Cancelled, "{ended:#?}");
    home.holds_no_password();

    // It is empty again: it comes in once more, and ends by itself as soon as everything is there.
    let operation = home.begin(Change::Migrate(wish(&url))).await;
    home.migrated(&operation).await;
    let there = tokio::task::block_in_place(|| content(&mut source.connection()));
    let mut here = BTreeMap::new();
    let password = home.url().await;
    let nodes = home.cluster().await.spec;
    for node in nodes.data_nodes() {
        let mut at: redis::ConnectionInfo =
            redis::IntoConnectionInfo::into_connection_info(password.as_str()).unwrap();
        at = at.set_addr(redis::ConnectionAddr::Tcp(
            node.machine.address.to_string(),
            6379 + node.machine.port_offset,
        ));
        let client = redis::Client::open(at).unwrap();
        here.extend(tokio::task::block_in_place(|| content(&mut client.get_connection().unwrap())));
    }
    assert_eq!(there.len(), here.len());
    let differ: Vec<&String> = there
        .iter()
        .filter(|(key, value)| here.get(*key) != Some(value))
        .map(|(key, _)| key)
        .take(5)
        .collect();
    assert!(there == here, "every value and every end is the same: {differ:?}");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
}

/// Killed while it copies, it comes in all the same: once.
pub(crate) async fn killed_while_it_copies(home: &mut Home, wish: &MigrateIn) -> Operation {
    let operation = home.begin(Change::Migrate(wish.clone())).await;
    let begun = Instant::now();
    loop {
        let now = home.engine.operation(&operation.id).await.unwrap();
        let copying = now.steps.iter().find(|s| s.name == "copy").is_some_and(|s| s.note.is_some());
        if copying {
            break;
        }
        assert!(begun.elapsed() < PATIENCE && !now.state.is_final(), "{now:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    home.crash().await;
    home.migrated(&operation).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_database_comes_in_also_when_the_app_is_killed_and_equals_its_source() {
    let source = tokio::task::block_in_place(Outside::postgres);
    let mut home = Home::open().await;
    home.create(ServiceKind::Postgresql, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let url = |password: &str, database: &str| {
        format!("postgres://owner:{password}@127.0.0.1:{}/{database}", source.port)
    };
    let wrong = home.migration_preview(&wish(&url("nothing", "shop"))).await;
    assert_eq!(failed(&wrong), ["credentials"], "{wrong:#?}");
    let none = home.migration_preview(&wish(&url(PASSWORD, "none"))).await;
    assert_eq!(failed(&none), ["database"], "{none:#?}");
    let nobody = home.migration_preview(&wish(&format!("postgres://127.0.0.1:{}/shop", free_port()))).await;
    assert_eq!(failed(&nobody), ["reachable"], "{nobody:#?}");

    let good = wish(&url(PASSWORD, "shop"));
    let preview = home.migration_preview(&good).await;
    assert!(preview.blockers.is_empty() && preview.confirm.is_none(), "{preview:#?}");
    let ended = killed_while_it_copies(&mut home, &good).await;
    let report = ended.outcome.migration.unwrap();
    let counted: Vec<_> = report.compared.iter().map(|part| (part.of.as_str(), part.target)).collect();
    assert_eq!(counted, [("public.Odd name", 1_000), ("public.orders", 150_000)]);
    // It belongs to people, who find it beside their own.
    let people = format!("{}/shop", home.url().await.strip_suffix("/app").unwrap());
    let asked = Command::new("psql")
        .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", &people, "-c"])
        .arg("INSERT INTO orders (who, price) VALUES ('me', 7); SELECT count(*), max(id), twice(21), (SELECT count(*) > 0 FROM dear) FROM orders")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&asked.stdout).trim(),
        "150001|150001|42|t",
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    home.holds_no_password();
    let again = home.migration_preview(&good).await;
    assert_eq!(failed(&again), ["names"], "{again:#?}");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_databases_come_in_also_when_the_app_is_killed_and_equal_their_source() {
    let source = tokio::task::block_in_place(Outside::mariadb);
    let mut home = Home::open().await;
    home.create(ServiceKind::Mysql, Topology::PrimaryReplica, 2, 0).await;
    home.until_healthy().await;
    let url = |password: &str| format!("mysql://owner:{password}@127.0.0.1:{}", source.port);
    let wrong = home.migration_preview(&wish(&url("nothing"))).await;
    assert_eq!(failed(&wrong), ["credentials"], "{wrong:#?}");
    let none = home.migration_preview(&wish(&format!("{}/none", url(PASSWORD)))).await;
    assert_eq!(failed(&none), ["database"], "{none:#?}");
    let nobody = home.migration_preview(&wish(&format!("mysql://127.0.0.1:{}", free_port()))).await;
    assert_eq!(failed(&nobody), ["reachable"], "{nobody:#?}");

    let good = wish(&url(PASSWORD));
    let preview = home.migration_preview(&good).await;
    assert!(preview.blockers.is_empty() && preview.confirm.is_none(), "{preview:#?}");
    let ended = killed_while_it_copies(&mut home, &good).await;
    let report = ended.outcome.migration.unwrap();
    let counted: Vec<_> = report.compared.iter().map(|part| (part.of.as_str(), part.target)).collect();
    assert_eq!(counted, [("store.odd name", 1_000), ("store.orders", 100_000)]);
    // People may use it, and what runs in it runs as them.
    let people = home.url().await;
    let pool = mysql_async::Pool::new(people.as_str());
    let mut conn = pool.get_conn().await.unwrap();
    use mysql_async::prelude::Queryable as _;
    conn.query_drop("INSERT INTO store.orders (who, price) VALUES ('me', 7)").await.unwrap();
    let rows: Option<(u64, u64)> = conn
        .query_first("SELECT COUNT(*), (SELECT COUNT(*) > 0 FROM store.dear) FROM store.orders")
        .await
        .unwrap();
    assert_eq!(rows, Some((100_001, 1)));
    drop(conn);
    home.holds_no_password();
    let again = home.migration_preview(&good).await;
    assert_eq!(failed(&again), ["names"], "{again:#?}");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
}
