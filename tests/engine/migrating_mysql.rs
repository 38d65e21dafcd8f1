//! Databases of a server of Oracle's MySQL come into clusters of it: copied, and followed under writes through kills of the app and of
//! the member that leads. Servers outside are containers of the same image: no package beside MariaDB's has one.

use crate::{
    home::{Home, PATIENCE},
    migrating::{cut_over, failed, killed_while_it_copies as killed_and_copied, wish},
    migrating_online::{ALL_OF_STORE, Client, killed_while_it_copies, state, until_said},
};
use clusterdeck_domain::{Change, CheckState, MigrateIn, OperationState, ServiceKind, Topology};
use clusterdeck_testkit::containers::Ground;
use clusterdeck_tests::outside::PASSWORD;
use mysql_async::prelude::Queryable as _;
use std::time::{Duration, Instant};

const NAME: &str = "outside";
const PORT: u16 = 13_306;
/// In the network of the test itself, where the containers of a cluster reach it at their gateway.
const SERVER: &str = "set -e; mkdir /tmp/d; chown mysql /tmp/d; printf '%s' \"$1\" > /tmp/init.sql; \
    own='--no-defaults --user=mysql --datadir=/tmp/d --server-id=77'; \
    mysqld $own --initialize-insecure; \
    exec mysqld $own --port=$2 --bind-address=0.0.0.0 --socket=/tmp/s --mysqlx=OFF --init-file=/tmp/init.sql \
    --gtid-mode=ON --enforce-gtid-consistency=ON --innodb-buffer-pool-size=64M \
    --plugin-load-add=group_replication.so --loose-group-replication-group-name=01234567-89ab-cdef-0123-456789abcdef \
    --loose-group-replication-local-address=127.0.0.1:13307";
/// The tables of the other stories, and rows that another table's take with them.
const STORE: &str = "CREATE DATABASE store; USE store; SET cte_max_recursion_depth = 100000; \
    CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, who VARCHAR(200) NOT NULL, price DECIMAL(12, 2), at DATETIME(6), \
      raw VARBINARY(64), KEY (who)); \
    INSERT INTO orders (who, price, at, raw) WITH RECURSIVE n AS (SELECT 1 seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 100000) \
      SELECT CONCAT('customer ', SHA2(seq, 256)), seq * 1.25, '2026-01-01', UNHEX(SHA2(seq, 256)) FROM n; \
    CREATE TABLE `odd name` (a INT, b DOUBLE, c TEXT, d JSON, e ENUM('one', 'two'), f BIT(9), g VECTOR(3), h POINT); \
    INSERT INTO `odd name` SELECT id, id / 3, IF(id % 2, NULL, '\\\\N'), JSON_OBJECT('n', id), 'two', id % 500, STRING_TO_VECTOR('[1, 2, 3]'), POINT(id, 2) \
      FROM orders WHERE id <= 1000; \
    CREATE TABLE parts (id BIGINT AUTO_INCREMENT PRIMARY KEY, bought BIGINT, FOREIGN KEY (bought) REFERENCES orders (id) ON DELETE CASCADE); \
    INSERT INTO parts (bought) SELECT id FROM orders WHERE id > 94000; \
    CREATE VIEW dear AS SELECT * FROM orders WHERE price > 1000; \
    CREATE TRIGGER up BEFORE INSERT ON orders FOR EACH ROW SET NEW.at = NOW(6); \
    CREATE DATABASE other; CREATE TABLE other.t (n INT PRIMARY KEY)";

/// A server outside Clusterdeck.
struct Source {
    host: String,
}

impl Source {
    /// To be reached from the cluster of this home.
    fn beside(home: &Home) -> Self {
        let ground = ground(home);
        let networks = ground.podman(&["network", "ls", "--format", "{{.Name}}"]);
        let network = networks.lines().find(|name| name.starts_with("clusterdeck")).expect("a network");
        let gateway = "{{(index .Subnets 0).Gateway}}";
        let host = ground.podman(&["network", "inspect", network, "--format", gateway]);
        let accounts = format!(
            "CREATE USER owner@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO owner@'%' WITH GRANT OPTION;\n\
             CREATE USER mover@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;\n\
             GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, SHOW_ROUTINE, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO mover@'%';\n"
        );
        let (image, port) = ("docker.io/library/mysql:9.7", PORT.to_string());
        let run = ["run", "-d", "--name", NAME, "--network", "host", image];
        ground.podman(&[&run[..], &["sh", "-c", SERVER, "sh", &accounts, &port]].concat());
        ground.podman(&["exec", NAME, "mysqladmin", "--socket=/tmp/s", "-uroot", "--wait=60", "ping"]);
        let source = Self { host };
        source.says(home, STORE);
        source
    }
    fn says(&self, home: &Home, sql: &str) -> String {
        ground(home).podman(&["exec", NAME, "mysql", "--socket=/tmp/s", "-uroot", "-N", "-B", "-e", sql])
    }
    fn url(&self, user: &str, way: &str) -> String {
        format!("mysql://{user}:{PASSWORD}@{}:{PORT}/store{way}", self.host)
    }
    fn end(self, home: &Home) {
        ground(home).podman(&["rm", "-f", "-t", "0", NAME]);
    }
}

fn ground(home: &Home) -> &Ground {
    home.ground.as_ref().expect("machines in containers")
}

/// What the cluster holds is what the source holds; gives how many rows clients wrote.
async fn is_the_same(home: &Home, source: &Source) -> u64 {
    let mut conn = mysql_async::Conn::from_url(home.url().await.as_str()).await.unwrap();
    conn.query_drop("USE store").await.unwrap();
    let row: Option<(String, String, String, String)> = conn.query_first(ALL_OF_STORE).await.unwrap();
    let (rows, sum, written, odd) = row.unwrap();
    let there = source.says(home, &format!("USE store; {ALL_OF_STORE}"));
    assert_eq!(format!("{rows}\t{sum}\t{written}\t{odd}"), there, "every row is the same");
    let parts: Option<u64> = conn.query_first("SELECT COUNT(*) FROM parts").await.unwrap();
    assert_eq!(parts.unwrap().to_string(), source.says(home, "SELECT COUNT(*) FROM store.parts"));
    let databases: Vec<String> = conn.query("SHOW DATABASES").await.unwrap();
    assert!(
        !databases.iter().any(|name| name == "other" || name.starts_with("clusterdeck")),
        "{databases:?}"
    );
    // People may use it, and what runs in it runs as them.
    conn.query_drop("INSERT INTO orders (who) VALUES ('me')").await.unwrap();
    conn.query_drop("DELETE FROM orders WHERE who = 'me'").await.unwrap();
    let dear: Option<u64> = conn.query_first("SELECT COUNT(*) > 0 FROM dear").await.unwrap();
    assert_eq!(dear, Some(1));
    written.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_database_comes_into_a_single_node_copied_and_followed() {
    let Some(mut home) = Home::in_containers_with_mysql().await else { return };
    home.create(ServiceKind::Mysql, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let source = tokio::task::block_in_place(|| Source::beside(&home));
    // On each way into it, encrypted: it comes in so or not at all. Nobody here vouches for its certificate.
    for (way, why) in [("", "credentials"), ("?ssl-mode=verify-identity", "certificate")] {
        let refused = home.migration_preview(&wish(&source.url("mover", way))).await;
        assert_eq!(failed(&refused), [why], "{refused:#?}");
    }
    // Who may not stop its writes for a moment does not follow it. A table without a key is for a single node alone.
    let mover = MigrateIn { follow: true, ..wish(&source.url("mover", "?ssl-mode=required")) };
    let dump = home.migration_preview(&mover).await;
    assert!(dump.blockers.is_empty(), "{dump:#?}");
    for (id, is) in [
        ("follow-rights", CheckState::Warning),
        ("follow-log", CheckState::Passed),
        ("group-tables", CheckState::Warning),
        ("version", CheckState::Passed),
    ] {
        assert_eq!(state(&dump, id), Some(is), "{id}: {dump:#?}");
    }
    let ended = killed_and_copied(&mut home, &MigrateIn { follow: false, ..mover }).await;
    let report = ended.outcome.migration.unwrap();
    let counted: Vec<_> = report.compared.iter().map(|part| (part.of.as_str(), part.target)).collect();
    assert_eq!(counted, [("store.odd name", 1_000), ("store.orders", 100_000), ("store.parts", 6_000)]);
    is_the_same(&home, &source).await;

    // Once more, over what is there, while clients write.
    let replacing =
        MigrateIn { follow: true, replace: true, ..wish(&source.url("owner", "?ssl-mode=required")) };
    let writing = Client::of_mysql(&source.host, PORT).await;
    let operation = home.begin(Change::Migrate(replacing.clone())).await;
    home.until_it_follows(&operation).await;
    let acknowledged = writing.stop().await;
    assert!(acknowledged > 50, "clients must have written: {acknowledged}");
    home.done(cut_over()).await;
    home.migrated(&operation).await;
    assert_eq!(is_the_same(&home, &source).await, acknowledged, "all that was acknowledged, once");

    // What rows do not tell ends it in words, and what came in is taken out.
    for (said, why) in [
        (
            "SET binlog_transaction_compression = ON; DELETE FROM store.parts WHERE id < 9",
            "compressed transaction",
        ),
        ("ALTER TABLE store.parts ADD COLUMN more INT", "change of what lies in"),
    ] {
        let operation = home.begin(Change::Migrate(replacing.clone())).await;
        home.until_it_follows(&operation).await;
        source.says(&home, said);
        let ended = home.engine.wait(&operation.id).await.unwrap();
        assert_eq!(ended.state, OperationState::Failed, "{ended:#?}");
        assert!(ended.error.as_ref().is_some_and(|e| e.title.contains(why)), "{ended:#?}");
        let mut conn = mysql_async::Conn::from_url(home.url().await.as_str()).await.unwrap();
        let databases: Vec<String> = conn.query("SHOW DATABASES").await.unwrap();
        let left = databases.iter().any(|name| name == "store" || name.starts_with("clusterdeck"));
        assert!(!left, "{databases:?}");
    }
    home.holds_no_password();
    source.end(&home);
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

/// Waits until the cluster has what is written from now on.
async fn goes_on(home: &Home, source: &Source) {
    let (begun, at) = (Instant::now(), source.says(home, "SELECT MAX(id) + 20 FROM store.orders"));
    let asked = format!("SELECT COUNT(*) > 0 FROM store.orders WHERE id > {at}");
    loop {
        // While nobody leads nobody answers at the endpoint.
        if let Ok(mut conn) = mysql_async::Conn::from_url(home.url().await.as_str()).await
            && conn.query_first::<u8, _>(&asked).await.is_ok_and(|there| there == Some(1))
        {
            return println!("it goes on after {:?}", begun.elapsed());
        }
        assert!(begun.elapsed() < PATIENCE, "what is written since must come in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_database_is_followed_into_a_group_through_kills_of_the_app_and_of_its_primary() {
    let Some(mut home) = Home::in_containers_with_mysql().await else { return };
    home.create(ServiceKind::Mysql, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let source = tokio::task::block_in_place(|| Source::beside(&home));
    let follow = MigrateIn { follow: true, ..wish(&source.url("owner", "")) };

    // What a group refuses is told by name before anything is copied; what it cannot follow would be copied.
    let refused = home.migration_preview(&follow).await;
    assert_eq!(failed(&refused), ["group-tables"], "{refused:#?}");
    assert!(refused.checks.iter().any(|c| c.text.contains("`store.odd name`")), "{:#?}", refused.checks);
    source.says(
        &home,
        "ALTER TABLE store.`odd name` ADD PRIMARY KEY (a); SET GLOBAL binlog_row_image = MINIMAL",
    );
    // It is in a group of its own from now on.
    source.says(&home, "SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION");
    let dump = home.migration_preview(&follow).await;
    assert_eq!((failed(&dump), state(&dump, "follow-log")), (vec![], Some(CheckState::Warning)), "{dump:#?}");
    source.says(&home, "SET GLOBAL binlog_row_image = FULL");
    let online = home.migration_preview(&follow).await;
    assert!(online.checks.iter().all(|c| c.state == CheckState::Passed), "{:#?}", online.checks);

    // Killed while it copies it begins anew, killed while it follows it goes on; so it does when another member leads.
    let writing = Client::of_mysql(&source.host, PORT).await;
    let operation = home.begin(Change::Migrate(follow)).await;
    killed_while_it_copies(&mut home, &operation).await;
    home.until_it_follows(&operation).await;
    home.crash().await;
    until_said(&home, &operation, "it goes on from there").await;
    home.until_it_follows(&operation).await;
    let old = home.primary().await;
    home.kill_server(&old, ServiceKind::Mysql).await;
    home.until_another_leads(&old).await;
    // Accounts there are nobody's here, and its log goes on in another file.
    source.says(&home, "CREATE USER operator@'%' IDENTIFIED BY 'theirs'; FLUSH BINARY LOGS");
    goes_on(&home, &source).await;
    let acknowledged = writing.stop().await;
    assert!(acknowledged > 100, "clients must have written: {acknowledged}");
    // One statement that is larger than what is applied at once.
    source.says(&home, "UPDATE store.orders SET price = price + 1 WHERE id <= 25000");
    home.done(cut_over()).await;
    let ended = home.migrated(&operation).await;
    assert!(ended.outcome.write_gap_ms.is_some_and(|gap| gap < 30_000.0), "{:?}", ended.outcome);
    assert_eq!(is_the_same(&home, &source).await, acknowledged, "all that was acknowledged, once");
    home.until_healthy().await;
    home.holds_no_password();
    source.end(&home);
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_database_without_keys_that_cascade_is_copied_into_a_group_whose_members_all_take_writes() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    home.create(ServiceKind::Mysql, Topology::MultiMaster, 3, 0).await;
    home.until_healthy().await;
    let source = tokio::task::block_in_place(|| Source::beside(&home));
    source.says(&home, "ALTER TABLE store.`odd name` ADD PRIMARY KEY (a)");
    let follow = MigrateIn { follow: true, ..wish(&source.url("owner", "?ssl-mode=required")) };
    let refused = home.migration_preview(&follow).await;
    assert_eq!(failed(&refused), ["group-tables"], "{refused:#?}");
    assert!(refused.checks.iter().any(|c| c.text.contains("`store.parts`")), "{:#?}", refused.checks);
    source.says(&home, "ALTER TABLE store.parts DROP FOREIGN KEY parts_ibfk_1");
    let dump = home.migration_preview(&follow).await;
    assert_eq!(
        (failed(&dump), state(&dump, "follow-target")),
        (vec![], Some(CheckState::Warning)),
        "{dump:#?}"
    );
    let operation = home.begin(Change::Migrate(follow)).await;
    home.migrated(&operation).await;
    is_the_same(&home, &source).await;
    source.end(&home);
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
