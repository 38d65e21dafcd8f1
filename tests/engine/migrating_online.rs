//! Databases of servers outside come in while their clients write, and are followed until somebody cuts over: nothing is lost, nothing
//! is there twice, and nothing stays behind at the source.

use crate::{
    home::{Home, PATIENCE},
    migrating::{cut_over, failed, wish},
};
use clusterdeck_domain::{
    Change, CheckState, MigrateIn, Operation, OperationState, Preview, ServiceKind, Topology,
};
use clusterdeck_tests::outside::{Outside, PASSWORD, until};
use mysql_async::prelude::Queryable as _;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A client that writes to the source until it is stopped; says how many writes were acknowledged.
pub(crate) struct Client {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Client {
    /// One row is new, one is changed and one goes, and a sequence moves, in each transaction.
    async fn of_postgres(port: u16) -> Self {
        let way = format!("host=127.0.0.1 port={port} user=owner password={PASSWORD} dbname=shop");
        let (client, connection) = tokio_postgres::connect(&way, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut n = 0;
            while !stopped.load(Ordering::Relaxed) {
                client
                    .batch_execute(&format!(
                        "BEGIN; INSERT INTO orders (who, price) VALUES ('written {n}', {n}); \
                         UPDATE orders SET price = -1, who = who || '!' WHERE id = {}; DELETE FROM orders WHERE id = {}; COMMIT",
                        n % 140_000 + 1,
                        150_000 - n % 5_000
                    ))
                    .await
                    .unwrap();
                n += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            n
        });
        Self { stop, task }
    }
    /// The same at a MariaDB or MySQL, and something in a database that does not come along.
    pub(crate) async fn of_mysql(host: &str, port: u16) -> Self {
        let way = format!("mysql://owner:{PASSWORD}@{host}:{port}/store");
        let mut conn = mysql_async::Conn::from_url(&way).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut n = 0;
            while !stopped.load(Ordering::Relaxed) {
                for statement in [
                    "BEGIN".to_owned(),
                    format!("INSERT INTO orders (who, price) VALUES ('written {n}', {n})"),
                    format!(
                        "UPDATE orders SET price = -1, who = CONCAT(who, '!') WHERE id = {}",
                        n % 90_000 + 1
                    ),
                    format!("DELETE FROM orders WHERE id = {}", 100_000 - n % 5_000),
                    format!("INSERT INTO other.t VALUES ({n})"),
                    "COMMIT".to_owned(),
                ] {
                    conn.query_drop(statement).await.unwrap();
                }
                n += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            n
        });
        Self { stop, task }
    }
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

pub(crate) fn state(preview: &Preview, id: &str) -> Option<CheckState> {
    preview.checks.iter().find(|c| c.id == id).map(|c| c.state)
}

/// Kills the app as soon as it copies.
pub(crate) async fn killed_while_it_copies(home: &mut Home, operation: &Operation) {
    let begun = Instant::now();
    loop {
        let now = home.engine.operation(&operation.id).await.unwrap();
        assert!(begun.elapsed() < PATIENCE && !now.state.is_final(), "{now:#?}");
        let note = now.steps.iter().find(|s| s.name == "copy").and_then(|s| s.note.clone());
        if note.is_some_and(|note| note.contains("dumping") || note.starts_with("Copying")) {
            return home.crash().await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the log of an operation says something.
pub(crate) async fn until_said(home: &Home, operation: &Operation, what: &str) {
    let begun = Instant::now();
    loop {
        let log = home.engine.journal(&operation.id).await.unwrap();
        if log.iter().any(|line| line.text.as_deref().is_some_and(|text| text.contains(what))) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it must say {what}: {log:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const ALL_OF_SHOP: &str = "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric), \
    (SELECT count(*) FROM orders WHERE who LIKE 'written %'), (SELECT last_value FROM orders_id_seq) FROM orders t";
const LEFT_AT_POSTGRES: &str =
    "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_database_is_followed_under_writes_and_kills_until_it_is_cut_over() {
    let source = tokio::task::block_in_place(Outside::postgres);
    let mut home = Home::open().await;
    home.create(ServiceKind::Postgresql, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    // On each way into it, encrypted: it comes in so or not at all. Nobody here vouches for its certificate.
    let from = format!("postgres://mover:{PASSWORD}@127.0.0.1:{}/shop", source.port);
    for (way, why) in [("", "credentials"), ("?sslmode=verify-full", "certificate")] {
        let refused = home.migration_preview(&wish(&format!("{from}{way}"))).await;
        assert_eq!(failed(&refused), [why], "{refused:#?}");
    }
    let from = format!("{from}?sslmode=require");
    let follow = MigrateIn { follow: true, ..wish(&from) };

    // A table whose rows nobody can tell apart: it says so, and would take a dump.
    let dump = home.migration_preview(&follow).await;
    assert_eq!(
        (failed(&dump), state(&dump, "follow-tables")),
        (vec![], Some(CheckState::Warning)),
        "{dump:#?}"
    );
    assert!(dump.effects.iter().any(|e| e == "The source is only read."), "{dump:#?}");
    source.psql("shop", "ALTER TABLE \"Odd name\" ADD PRIMARY KEY (a)").unwrap();
    let online = home.migration_preview(&follow).await;
    assert!(online.checks.iter().all(|c| c.state == CheckState::Passed), "{:#?}", online.checks);
    assert!(online.effects.iter().any(|e| e.contains("replication slot")), "{online:#?}");

    // One that is cancelled while it follows leaves nothing anywhere.
    let operation = home.begin(Change::Migrate(follow.clone())).await;
    home.until_it_follows(&operation).await;
    assert_eq!(source.psql("shop", LEFT_AT_POSTGRES).unwrap(), "1|1");
    home.engine.cancel(&operation.id, "test").await.unwrap();
    let ended = home.engine.wait(&operation.id).await.unwrap();
    assert_eq!(ended.state, OperationState::Cancelled, "{ended:#?}");
    assert_eq!(source.psql("shop", LEFT_AT_POSTGRES).unwrap(), "0|0");

    // Killed while it copies it begins anew, killed while it follows it goes on.
    let writing = Client::of_postgres(source.port).await;
    let operation = home.begin(Change::Migrate(follow.clone())).await;
    killed_while_it_copies(&mut home, &operation).await;
    home.until_it_follows(&operation).await;
    home.crash().await;
    until_said(&home, &operation, "it goes on from there").await;
    home.until_it_follows(&operation).await;
    let acknowledged = writing.stop().await;
    assert!(acknowledged > 100, "clients must have written: {acknowledged}");
    home.done(cut_over()).await;
    let ended = home.migrated(&operation).await;
    assert!(ended.outcome.write_gap_ms.is_some_and(|gap| gap < 10_000.0), "{:?}", ended.outcome);

    let people = format!("{}/shop", home.url().await.strip_suffix("/app").unwrap());
    let (client, connection) = tokio_postgres::connect(&people, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let here = client.simple_query(ALL_OF_SHOP).await.unwrap();
    let here = here.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).filter_map(|n| row.get(n)).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    assert_eq!(
        here,
        Some(source.psql("shop", ALL_OF_SHOP).unwrap()),
        "every row is the same, and the sequence"
    );
    assert_eq!(
        here.unwrap().split('|').nth(2),
        Some(acknowledged.to_string().as_str()),
        "all that was acknowledged, once"
    );
    let id = client.query_one("INSERT INTO orders (who) VALUES ('me') RETURNING id", &[]).await.unwrap();
    assert!(id.get::<_, i64>(0) > 150_000);
    assert_eq!(source.psql("shop", LEFT_AT_POSTGRES).unwrap(), "0|0", "no slot and no publication is left");
    let own = client.query_one("SELECT count(*) FROM pg_subscription", &[]).await;
    assert!(own.is_err() || own.unwrap().get::<_, i64>(0) == 0);
    home.holds_no_password();
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
}

pub(crate) const ALL_OF_STORE: &str = "SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', id, who, price, at, HEX(raw)))), \
    SUM(who LIKE 'written %'), (SELECT COUNT(*) FROM `odd name`) FROM orders";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_database_is_followed_under_writes_and_kills_until_it_is_cut_over() {
    let source = tokio::task::block_in_place(Outside::mariadb);
    source.mysql("CREATE DATABASE other; CREATE TABLE other.t (n INT)").unwrap();
    let mut home = Home::open().await;
    home.create(ServiceKind::Mysql, Topology::PrimaryReplica, 2, 0).await;
    home.until_healthy().await;
    // On each way into it, encrypted: it comes in so or not at all. Nobody here vouches for its certificate.
    let from = format!("mysql://mover:{PASSWORD}@127.0.0.1:{}/store", source.port);
    for (way, why) in [("", "credentials"), ("?ssl-mode=verify-identity", "certificate")] {
        let refused = home.migration_preview(&wish(&format!("{from}{way}"))).await;
        assert_eq!(failed(&refused), [why], "{refused:#?}");
    }
    let from = format!("{from}?ssl-mode=required");
    let follow = MigrateIn { follow: true, ..wish(&from) };

    // A log of statements: it says so, and would take a dump.
    source.mysql("SET GLOBAL binlog_format = MIXED").unwrap();
    let dump = home.migration_preview(&follow).await;
    assert_eq!((failed(&dump), state(&dump, "follow-log")), (vec![], Some(CheckState::Warning)), "{dump:#?}");
    source.mysql("SET GLOBAL binlog_format = ROW").unwrap();
    let online = home.migration_preview(&follow).await;
    assert!(online.checks.iter().all(|c| c.state == CheckState::Passed), "{:#?}", online.checks);

    // Killed while it copies it begins anew, killed while it follows it goes on.
    let writing = Client::of_mysql("127.0.0.1", source.port).await;
    let operation = home.begin(Change::Migrate(follow.clone())).await;
    killed_while_it_copies(&mut home, &operation).await;
    home.until_it_follows(&operation).await;
    home.crash().await;
    until_said(&home, &operation, "it goes on from there").await;
    home.until_it_follows(&operation).await;
    // Accounts there are nobody's here, and its log goes on in another file.
    source
        .mysql("CREATE USER operator@'%' IDENTIFIED BY 'theirs'; CREATE USER somebody@'%'; FLUSH BINARY LOGS")
        .unwrap();
    let at = source.mysql("SELECT MAX(id) FROM store.orders").unwrap().parse::<u64>().unwrap();
    tokio::task::block_in_place(|| {
        until("clients go on writing in it", || {
            source.mysql("SELECT MAX(id) FROM store.orders").unwrap().parse::<u64>().unwrap() > at + 20
        });
    });
    let acknowledged = writing.stop().await;
    assert!(acknowledged > 100, "clients must have written: {acknowledged}");
    // One statement that is larger than what is applied at once.
    source.mysql("UPDATE store.orders SET price = price + 1 WHERE id <= 25000").unwrap();
    home.done(cut_over()).await;
    let ended = home.migrated(&operation).await;
    assert!(ended.outcome.write_gap_ms.is_some_and(|gap| gap < 30_000.0), "{:?}", ended.outcome);

    let people = home.url().await;
    let mut conn = mysql_async::Conn::from_url(people.as_str()).await.unwrap();
    conn.query_drop("USE store").await.unwrap();
    let row: Option<(String, String, String, String)> = conn.query_first(ALL_OF_STORE).await.unwrap();
    let (rows, sum, written, odd) = row.unwrap();
    let there = source.mysql(&format!("USE store; {ALL_OF_STORE}")).unwrap();
    assert_eq!(format!("{rows}\t{sum}\t{written}\t{odd}"), there, "every row is the same");
    assert_eq!(written, acknowledged.to_string(), "all that was acknowledged, once");
    let databases: Vec<String> = conn.query("SHOW DATABASES").await.unwrap();
    assert!(
        !databases.iter().any(|name| name == "other" || name.starts_with("clusterdeck")),
        "{databases:?}"
    );
    conn.query_drop("INSERT INTO orders (who) VALUES ('me')").await.unwrap();
    drop(conn);
    let reads = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    tokio::task::block_in_place(|| {
        until("nobody reads its log any more", || source.mysql(reads) == Ok("0".to_owned()))
    });
    home.until_healthy().await;
    home.holds_no_password();
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
}
