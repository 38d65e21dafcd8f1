//! Copies of running servers, and clusters that are made from them.

use crate::{
    ground::{Copied, Ground},
    load::Load,
};
use clusterdeck_domain::{Count, Topology, disagreements, spanning};
use clusterdeck_driver::ServiceDriver as _;
use mysql_async::{Conn, OptsBuilder, SslOpts, prelude::Queryable as _};
use std::time::{Duration, Instant};

/// For counting: a busy computer counts slowly.
const COUNTS_WITHIN: Duration = Duration::from_secs(20);

/// Whether an account is let in on a node.
async fn opens(ground: &Ground, ordinal: u16, user: &str, password: &str) -> bool {
    let at = ground.machine(ordinal);
    let opts = OptsBuilder::default()
        .ip_or_hostname(at.address().to_string())
        .tcp_port(at.port(3306))
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false)
        .ssl_opts(SslOpts::default().with_danger_accept_invalid_certs(true));
    match Conn::new(opts).await {
        Ok(_) => true,
        Err(mysql_async::Error::Server(e)) if e.code == 1045 => false,
        Err(e) => panic!("{user} is not answered: {e}"),
    }
}

/// Our accounts have the passwords of the new cluster and no others; those that people made are as they were.
async fn passwords_are_the_new_ones(old: &Ground, new: &Ground) {
    for node in new.cx.spec.data_nodes() {
        for (user, secret) in
            [("operator", "operator"), ("app", "people"), ("watch", "watch"), ("replica", "replica")]
        {
            let password = |ground: &Ground| ground.cx.secrets.current[secret].reveal().clone();
            assert!(opens(new, node.ordinal, user, &password(new)).await, "{user} on {}", node.name);
            assert!(!opens(new, node.ordinal, user, &password(old)).await, "{user} on {}", node.name);
        }
        assert!(opens(new, node.ordinal, "guest", "people-made-it").await, "on {}", node.name);
    }
}

async fn count(ground: &Ground, ordinal: u16) -> Vec<Count> {
    ground.driver.count(&ground.cx, ground.node(ordinal), COUNTS_WITHIN).await.unwrap()
}

/// Something to be found again: an account and a database that people made, and a table that nobody writes to any more.
async fn furnish(ground: &Ground, ordinal: u16) {
    for sql in [
        "CREATE USER guest IDENTIFIED BY 'people-made-it'",
        "GRANT SELECT ON app.* TO guest",
        "CREATE DATABASE app_two",
        "CREATE TABLE app_two.kept (n INT PRIMARY KEY)",
        "INSERT INTO app_two.kept VALUES (1), (2), (3)",
    ] {
        ground.operator(ordinal, sql).await;
    }
}

/// The numbers of a load, from 1 on without a hole; how many.
async fn numbers(ground: &Ground, ordinal: u16, table: &str) -> u64 {
    let mut conn = ground.people(ordinal).await.unwrap();
    let found: Option<(u64, u64, u64)> = conn
        .query_first(format!("SELECT COUNT(*), COALESCE(MIN(n), 1), COALESCE(MAX(n), 0) FROM {table}"))
        .await
        .unwrap();
    let (count, first, last) = found.unwrap();
    assert_eq!((first, last), (1, count), "there is a hole");
    count
}

async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    println!("{what}: {:.1} s", begun.elapsed().as_secs_f64());
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_copied_under_writes_and_a_single_node_starts_on_it_with_its_own_passwords() {
    let old = Ground::new(Topology::PrimaryReplica, 2).await;
    furnish(&old, 1).await;
    let load = Load::begin(&old, "load_1").await;
    while load.acknowledged() < 300 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (acknowledged, before) = (load.acknowledged(), count(&old, 2).await);
    let copy = timed("copied", old.copy_out(2)).await.unwrap();
    let counts = spanning(&before, &count(&old, 2).await);
    let tally = load.end().await;
    assert_eq!((tally.failed, tally.refused), (0, 0), "nobody noticed");
    println!("{} bytes up to {}; a client waited {:?}", copy.bytes, copy.position, tally.gap);
    assert!(copy.position.starts_with("GTID 0-1-"), "{}", copy.position);
    assert!(!old.machine(2).exists("mysql/tmp/copy-out").await.unwrap());

    let bare = old.bare_beside(Topology::Single, 1).await;
    let new = timed("restored", bare.restored(&copy)).await;
    new.healthy().await;
    new.driver.probe(&new.cx).await.unwrap();
    let n = numbers(&new, 1, "load_1").await;
    assert!((acknowledged..=*tally.acknowledged.last().unwrap()).contains(&n), "{acknowledged} ≤ {n}");
    passwords_are_the_new_ones(&old, &new).await;
    let found = count(&new, 1).await;
    println!("{found:?}");
    assert_eq!(disagreements(&counts, &found), [""; 0]);
    let told: Vec<_> = found.iter().map(|c| (c.of.as_str(), c.low)).collect();
    let known =
        [("databases", 2), ("tables in app", 1), ("tables in app_two", 1), ("rows in app_two.kept", 3)];
    assert!(known.iter().all(|k| told.contains(k)), "{told:?}");
    let rows = new.operator(1, "SHOW SLAVE STATUS").await;
    assert!(rows.is_empty(), "it follows nobody");
    new.kill(1).await;
    new.repair(1).await;
    new.healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_becomes_the_first_of_three_and_the_others_copy_from_it() {
    let old = Ground::new(Topology::PrimaryReplica, 2).await;
    furnish(&old, 1).await;
    old.healthy().await;
    let copy = old.copy_out(2).await.unwrap();
    let bare = old.bare_beside(Topology::PrimaryReplica, 3).await;
    let new = timed("three restored", bare.restored(&copy)).await;
    let seen = new.healthy().await;
    assert_eq!(new.primary(&seen).ordinal, 1, "the first one leads");
    passwords_are_the_new_ones(&old, &new).await;
    let load = Load::begin(&new, "load_1").await;
    new.promote(2).await.unwrap();
    let tally = load.end().await;
    new.healthy().await;
    for ordinal in [1, 2, 3] {
        assert_eq!(tally.lost(&new, ordinal, "load_1").await, 0);
        let rows = new.operator(ordinal, "SELECT COUNT(*) FROM app_two.kept").await;
        assert_eq!(rows[0].get::<u64, _>(0), Some(3));
    }
    let position = new.operator(1, "SELECT @@global.gtid_binlog_state").await;
    println!("{:?}", position[0].get::<String, _>(0));
}

/// The id of a group, new whenever one begins from nothing.
async fn group(ground: &Ground) -> String {
    let rows = ground.operator(1, "SHOW STATUS LIKE 'wsrep_cluster_state_uuid'").await;
    rows[0].get(1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_copied_and_a_new_group_begins_with_it() {
    let old = Ground::new(Topology::MultiMaster, 3).await;
    furnish(&old, 1).await;
    let load = Load::begin(&old, "load_1").await;
    while load.acknowledged() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let acknowledged = load.acknowledged();
    let copy = timed("copied", old.copy_out(3)).await.unwrap();
    let tally = load.end().await;
    println!("up to {}; a client waited {:?}, {} failed", copy.position, tally.gap, tally.failed);
    let of_old = group(&old).await;
    assert!(copy.position.starts_with(&format!("GTID {of_old}:")), "{}", copy.position);

    let bare = old.bare_beside(Topology::MultiMaster, 3).await;
    let new = timed("three restored", bare.restored(&copy)).await;
    new.healthy().await;
    assert_ne!(group(&new).await, of_old, "a group of its own");
    passwords_are_the_new_ones(&old, &new).await;
    for ordinal in [1, 2, 3] {
        assert_eq!(up_to(&new, ordinal, acknowledged).await, acknowledged);
    }
    new.driver.probe(&new.cx).await.unwrap();
    drop(new);
    let alone = old.bare_beside(Topology::Single, 1).await;
    let alone = timed("a single node restored", alone.restored(&copy)).await;
    alone.healthy().await;
    alone.driver.probe(&alone.cx).await.unwrap();
    assert_eq!(up_to(&alone, 1, acknowledged).await, acknowledged);
}

/// How many of a load's first numbers are there. A member that is copied leaves the endpoint for a moment, which may cost its
/// client one of those that come later.
async fn up_to(ground: &Ground, ordinal: u16, last: u64) -> u64 {
    let mut conn = ground.people(ordinal).await.unwrap();
    let sql = format!("SELECT COUNT(*) FROM load_1 WHERE n BETWEEN 1 AND {last}");
    conn.query_first(sql).await.unwrap().unwrap()
}

/// Nothing of a copy lies where a server would find it, nor anywhere else.
async fn nothing_is_left(ground: &Ground) {
    for path in ["mysql/data", "mysql/copied-in", "mysql/copy-in"] {
        assert!(!ground.machine(1).exists(path).await.unwrap(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_cut_short_is_refused_and_one_that_was_cut_off_is_laid_anew() {
    let old = Ground::new(Topology::Single, 1).await;
    furnish(&old, 1).await;
    cut_off_while(&old, "mysql/tmp/copy-out/log").await;
    let copy = old.copy_out(1).await.unwrap();
    assert!(!old.machine(1).exists("mysql/tmp/copy-out").await.unwrap());
    let bare = old.bare_beside(Topology::Single, 1).await;
    for missing in [1, 30, 5_000, copy.bytes / 2] {
        let refused = bare.copy_in(&copy, copy.bytes - missing).await.unwrap_err();
        println!("{missing} missing: {refused}");
        assert!(!refused.is_transient(), "{refused}");
        nothing_is_left(&bare).await;
    }
    let refused = bare.copy_in(&copy, copy.bytes + 1).await.unwrap_err();
    assert!(refused.is_transient(), "the vault gave less than it said: {refused}");
    nothing_is_left(&bare).await;
    cut_off(&bare, &copy).await;
    let new = bare.restored(&copy).await;
    new.healthy().await;
    assert!(opens(&new, 1, "guest", "people-made-it").await);
    let again = new.copy_in(&copy, copy.bytes).await.unwrap_err();
    assert!(again.to_string().contains("has a server already"), "{again}");
    assert!(new.takes_writes(1).await, "and is left alone");
}

/// Copies, and is killed as soon as something is there.
async fn cut_off_while(ground: &Ground, path: &str) {
    let look = async {
        while !ground.machine(1).exists(path).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        copied = ground.copy_out(1) => panic!("not cut off, but copied: {}", copied.is_ok()),
        () = look => {}
    }
}

/// Lays a copy, and is killed as soon as it is being made ready.
async fn cut_off(ground: &Ground, copy: &Copied) {
    let laying = ground.machine(1).here("mysql/copy-in").unwrap();
    let being_made_ready = || {
        let folders = std::fs::read_dir(&laying).into_iter().flatten().flatten();
        folders.into_iter().any(|folder| folder.path().join("accounts.sql").exists())
    };
    let look = async {
        while !being_made_ready() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        laid = ground.copy_in(copy, copy.bytes) => panic!("not cut off: {laid:?}"),
        () = look => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_of_mysql_becomes_a_group_of_three_and_one_of_its_members_a_single_node() {
    let Some(old) = Ground::of_a_group(Topology::Single, 1).await else { return };
    furnish(&old, 1).await;
    // As in the middle of a change of passwords.
    old.operator(1, "ALTER USER watch IDENTIFIED BY 'another' RETAIN CURRENT PASSWORD").await;
    // As in a group without automatic failover.
    let opens_nobody = "SELECT group_replication_disable_member_action('mysql_disable_super_read_only_if_primary', \
                        'AFTER_PRIMARY_ELECTION')";
    old.operator(1, opens_nobody).await;
    old.operator(1, "CREATE TABLE app.old (n INT) ENGINE = MyISAM").await;
    old.operator(1, "INSERT INTO app.old VALUES (1)").await;
    let refused = old.copy_out(1).await.err().expect("its rows would be lost").to_string();
    assert!(refused.contains("`app.old`"), "{refused}");
    old.operator(1, "DROP TABLE app.old").await;
    let before = count(&old, 1).await;
    cut_off_while(&old, "mysql/clone-out").await;
    let copy = timed("copied", old.copy_out(1)).await.unwrap();
    println!("{} bytes up to {}", copy.bytes, copy.position);
    assert!(!old.machine(1).exists("mysql/clone-out").await.unwrap());

    let bare = old.bare_beside(Topology::PrimaryReplica, 3).await;
    for missing in [1, copy.bytes / 2] {
        let refused = bare.copy_in(&copy, copy.bytes - missing).await.unwrap_err();
        assert!(refused.to_string().contains("no whole copy"), "{refused}");
        nothing_is_left(&bare).await;
    }
    let group = timed("three restored", bare.restored(&copy)).await;
    let seen = group.healthy().await;
    assert_eq!(group.primary(&seen).ordinal, 1, "the first one leads");
    passwords_are_the_new_ones(&old, &group).await;
    assert!(!opens(&group, 1, "watch", "another").await, "nor the second of two");
    assert_eq!(disagreements(&before, &count(&group, 3).await), [""; 0]);
    drop(old);

    let load = Load::begin(&group, "load_1").await;
    while load.acknowledged() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let acknowledged = load.acknowledged();
    let copy = timed("copied under writes", group.copy_out(3)).await.unwrap();
    let tally = load.end().await;
    println!("up to {}; a client waited {:?}", copy.position, tally.gap);
    assert_eq!((tally.failed, tally.refused), (0, 0), "nobody noticed");
    let bare = group.bare_beside(Topology::Single, 1).await;
    let alone = timed("a single node restored", bare.restored(&copy)).await;
    alone.healthy().await;
    alone.driver.probe(&alone.cx).await.unwrap();
    assert!(numbers(&alone, 1, "load_1").await >= acknowledged);
    passwords_are_the_new_ones(&group, &alone).await;
}
