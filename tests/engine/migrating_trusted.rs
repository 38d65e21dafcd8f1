//! A source that an authority of its own vouches for comes in when that one is given, on every way into it, also after a kill; with
//! another one, with none, or under another name it is refused in words, and nothing of it stays on the machines.

use crate::{
    home::Home,
    migrating::{cut_over, failed, killed_while_it_copies, wish},
};
use clusterdeck_domain::{CaCertificates, Change, CheckState, MigrateIn, Preview, ServiceKind, Topology};
use clusterdeck_tests::{
    authority::Authority,
    outside::{Outside, PASSWORD},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// What stands against it when nobody who is trusted signed the source's certificate.
fn refusal(preview: &Preview) -> &str {
    assert_eq!(failed(preview), ["certificate"], "{preview:#?}");
    &preview.blockers[0].text
}

fn by(authority: &Authority, wish: MigrateIn) -> MigrateIn {
    MigrateIn { ca: Some(CaCertificates::parse(&authority.pem()).unwrap()), ..wish }
}

/// What is said of each authority that may be given; gives the wish that is let in.
async fn only_its_own(home: &Home, source: &Outside, url: &str) -> MigrateIn {
    let none = home.migration_preview(&wish(&format!("{url}?tls=verify"))).await;
    assert!(refusal(&none).contains("nobody signed whom this computer trusts"), "{none:#?}");
    let hint = none.blockers[0].hint.as_deref().unwrap_or_default();
    assert!(hint.contains("--source-ca"), "it says what to do: {none:#?}");
    let other = home.migration_preview(&by(&Authority::new("Another CA"), wish(url))).await;
    assert!(
        refusal(&other).contains("a certificate that was not signed by CN=Another CA (until "),
        "{other:#?}"
    );
    // One of the same name, which anybody can make.
    let alike = home.migration_preview(&by(&Authority::new("Outside CA"), wish(url))).await;
    assert!(refusal(&alike).contains("was not signed by"), "{alike:#?}");
    let named = by(&source.authority, wish(&url.replace("127.0.0.1", "localhost")));
    let named = home.migration_preview(&named).await;
    assert!(refusal(&named).contains("a certificate for 127.0.0.1, and not for localhost"), "{named:#?}");

    let good = by(&source.authority, wish(url));
    let preview = home.migration_preview(&good).await;
    let check = preview.checks.iter().find(|check| check.id == "certificate").expect("it is looked at");
    assert_eq!(check.state, CheckState::Passed, "{preview:#?}");
    assert!(check.text.contains("signed by CN=Outside CA (until "), "{check:#?}");
    assert!(preview.blockers.is_empty(), "{preview:#?}");
    assert!(preview.effects.iter().any(|e| e.contains("CN=Outside CA (until ")), "{preview:#?}");
    good
}

/// Where the authority's certificate lies on the machines of a home.
fn left(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(left(&entry.path())),
            _ if entry.file_name() == "migration.ca" => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// The machine of the one that is filled has it, for nobody else's eyes.
fn lies_on_one(home: &Home) {
    let found = left(home.dir.path());
    let modes: Vec<u32> =
        found.iter().map(|p| fs::metadata(p).unwrap().permissions().mode() & 0o777).collect();
    assert_eq!(modes, [0o600], "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_comes_in_by_the_authority_that_was_given_by_a_dump_and_followed() {
    let source = tokio::task::block_in_place(Outside::postgres);
    let mut home = Home::open().await;
    home.create(ServiceKind::Postgresql, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let url = format!("postgres://mover:{PASSWORD}@127.0.0.1:{}/shop", source.port);
    let good = only_its_own(&home, &source, &url).await;

    killed_while_it_copies(&mut home, &good).await;
    assert_eq!(left(home.dir.path()), Vec::<PathBuf>::new(), "it went with the other files");

    source.psql("shop", "ALTER TABLE \"Odd name\" ADD PRIMARY KEY (a)").unwrap();
    let follow = MigrateIn { follow: true, replace: true, ..good };
    let operation = home.begin(Change::Migrate(follow)).await;
    home.until_it_follows(&operation).await;
    lies_on_one(&home);
    home.crash().await;
    home.until_it_follows(&operation).await;
    source.psql("shop", "INSERT INTO orders (who) VALUES ('late')").unwrap();
    home.done(cut_over()).await;
    let ended = home.migrated(&operation).await;
    let rows = ended.outcome.migration.unwrap().compared.iter().map(|part| part.target).sum::<u64>();
    assert_eq!(rows, 151_001, "also what was written while it was followed");
    assert_eq!(left(home.dir.path()), Vec::<PathBuf>::new(), "it went with the other files");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_comes_in_by_the_authority_that_was_given_by_a_dump_and_followed() {
    let source = tokio::task::block_in_place(Outside::mariadb);
    let mut home = Home::open().await;
    home.create(ServiceKind::Mysql, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let url = format!("mysql://mover:{PASSWORD}@127.0.0.1:{}/store", source.port);
    let good = only_its_own(&home, &source, &url).await;

    killed_while_it_copies(&mut home, &good).await;
    assert_eq!(left(home.dir.path()), Vec::<PathBuf>::new(), "it went with the other files");

    let follow = MigrateIn { follow: true, replace: true, ..good };
    let operation = home.begin(Change::Migrate(follow)).await;
    home.until_it_follows(&operation).await;
    home.crash().await;
    home.until_it_follows(&operation).await;
    source.mysql("INSERT INTO store.orders (who) VALUES ('late')").unwrap();
    home.done(cut_over()).await;
    let ended = home.migrated(&operation).await;
    let rows = ended.outcome.migration.unwrap().compared.iter().map(|part| part.target).sum::<u64>();
    assert_eq!(rows, 101_001, "also what was written while it was followed");
    assert_eq!(left(home.dir.path()), Vec::<PathBuf>::new(), "it went with the other files");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_comes_in_by_the_authority_that_was_given() {
    let source = Outside::redis_with_tls();
    let write = |from: u32, to: u32| {
        let mut all = redis::pipe();
        for n in from..to {
            all.cmd("SET").arg(format!("key:{n}")).arg(n).ignore();
        }
        all.exec(&mut source.connection()).unwrap();
    };
    tokio::task::block_in_place(|| write(0, 5_000));
    let mut home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::Single, 1, 0).await;
    home.until_healthy().await;
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", source.port);
    let good = only_its_own(&home, &source, &url).await;

    let operation = home.begin(Change::Migrate(MigrateIn { follow: true, ..good })).await;
    home.until_it_follows(&operation).await;
    home.crash().await;
    home.until_it_follows(&operation).await;
    tokio::task::block_in_place(|| write(5_000, 5_100));
    home.done(cut_over()).await;
    home.migrated(&operation).await;
    let target = redis::Client::open(home.url().await).unwrap();
    let ask = || redis::cmd("DBSIZE").query::<u64>(&mut target.get_connection().unwrap()).unwrap();
    let keys = tokio::task::block_in_place(ask);
    assert_eq!(keys, 5_100, "also what was written while it was followed");
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
}
