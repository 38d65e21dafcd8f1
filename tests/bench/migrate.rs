//! A gigabyte, or a million keys, of a server outside comes in while a client writes to it, and is cut over: how long the copy takes, how far behind the
//! cluster is then, the gap, and how much memory the process that hosts the home took at most. Only when it is asked for by name:
//! it takes minutes and some gigabytes of disk.

use crate::{
    ours::{Serve, home, ms},
    table::Table,
};
use anyhow::{Context as _, Result, bail, ensure};
use clusterdeck_tests::outside::{Outside, PASSWORD};
use mysql_async::prelude::Queryable as _;
use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Longest wait for a copy.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// A client writes so often.
const EVERY: Duration = Duration::from_millis(5);
/// Lag at which it is cut over, in kB of the source's log or in keys.
const BEHIND: f64 = 100.0;
/// How long it is followed at least before it is cut over.
const FOLLOWS: Duration = Duration::from_secs(10);
/// A row of about a kilobyte of text that packs badly, and so many of them.
const ROWS: u32 = 1_000_000;
/// Of the raw tools: as many as there are cores here.
const JOBS: &str = "2";
const AIM: &str = "≤ 1.1 × raw";

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if table.wants_by_name("migrate postgresql") {
        let source = tokio::task::spawn_blocking(Outside::postgres).await?;
        let port = source.port;
        let filled = tokio::task::spawn_blocking(move || {
            let filled = source.psql(
                "shop",
                &format!(
                    "ALTER TABLE \"Odd name\" ADD PRIMARY KEY (a); CREATE TABLE large (id int PRIMARY KEY, what text); \
                     INSERT INTO large SELECT n, (SELECT string_agg(md5(n::text || k), '') FROM generate_series(1, 30) k) \
                     FROM generate_series(1, {ROWS}) n; CHECKPOINT"
                ),
            );
            (source, filled)
        });
        let (source, filled) = filled.await?;
        filled.map_err(anyhow::Error::msg)?;
        let way = format!("host=127.0.0.1 port={port} user=owner password={PASSWORD} dbname=shop");
        let (client, connection) = tokio_postgres::connect(&way, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let client = Arc::new(client);
        let writes = Writes::begin(move |n| {
            let client = client.clone();
            let sql = format!(
                "BEGIN; INSERT INTO orders (who, price) VALUES ('written {n}', {n}); UPDATE large SET what = what || '!' WHERE id = {}; COMMIT",
                n * 7 % u64::from(ROWS) + 1
            );
            async move { Ok(client.batch_execute(&sql).await?) }
        });
        let from = format!("postgres://owner:{PASSWORD}@127.0.0.1:{port}/shop");
        let copied = one(table, "PostgreSQL, 1 GB", "postgresql", &from, writes).await?;
        let raw = tokio::task::spawn_blocking(move || raw_postgres(&source)).await??;
        table.add(
            "migrate PostgreSQL, 1 GB: until it follows; pg_dump -j, pg_restore -j",
            "s",
            &[copied],
            &[raw],
            AIM,
        );
    }
    if table.wants_by_name("migrate mariadb") {
        let source = tokio::task::spawn_blocking(Outside::mariadb).await?;
        let port = source.port;
        let filled = tokio::task::spawn_blocking(move || {
            let texts: Vec<String> = (1..=30).map(|k| format!("MD5(seq * 31 + {k})")).collect();
            let filled = source.mysql(&format!(
                "USE store; CREATE TABLE store.large (id INT PRIMARY KEY, what TEXT); INSERT INTO store.large SELECT seq, CONCAT({}) FROM seq_1_to_{ROWS}",
                texts.join(", ")
            ));
            (source, filled)
        });
        let (source, filled) = filled.await?;
        filled.map_err(anyhow::Error::msg)?;
        let way = format!("mysql://owner:{PASSWORD}@127.0.0.1:{port}/store");
        let conn = Arc::new(tokio::sync::Mutex::new(mysql_async::Conn::from_url(&way).await?));
        let writes = Writes::begin(move |n| {
            let conn = conn.clone();
            async move {
                let mut conn = conn.lock().await;
                conn.query_drop("BEGIN").await?;
                conn.query_drop(format!("INSERT INTO orders (who, price) VALUES ('written {n}', {n})"))
                    .await?;
                let id = n * 7 % u64::from(ROWS) + 1;
                conn.query_drop(format!("UPDATE large SET what = CONCAT(what, '!') WHERE id = {id}")).await?;
                Ok(conn.query_drop("COMMIT").await?)
            }
        });
        let from = format!("mysql://owner:{PASSWORD}@127.0.0.1:{port}/store");
        let copied = one(table, "MariaDB, 1 GB", "mysql", &from, writes).await?;
        let raw = tokio::task::spawn_blocking(move || raw_mariadb(&source)).await??;
        table.add(
            "migrate MariaDB, 1 GB: until it follows; mariadb-dump into mariadb",
            "s",
            &[copied],
            &[raw],
            AIM,
        );
    }
    if table.wants_by_name("migrate redis") {
        let source = tokio::task::spawn_blocking(|| {
            let source = Outside::redis();
            fill_redis(&source);
            source
        });
        let source = source.await?;
        let port = source.port;
        let client = source.client().get_multiplexed_async_connection().await?;
        let writes = Writes::begin(move |n| {
            let mut client = client.clone();
            async move {
                let old = n * 7 % u64::from(ROWS);
                let mut all = redis::pipe();
                all.cmd("SET").arg(format!("new:{n}")).arg(n).ignore();
                all.cmd("SET").arg(format!("key:{old}")).arg(n).arg("PX").arg(9_000_000).ignore();
                all.cmd("DEL").arg(format!("key:{}", (old + 1) % u64::from(ROWS))).ignore();
                Ok(all.exec_async(&mut client).await?)
            }
        });
        let from = format!("redis://:{PASSWORD}@127.0.0.1:{port}");
        let copied = one(table, "Redis, 1 M keys", "redis", &from, writes).await?;
        table.add("migrate Redis, 1 M keys: until it follows", "s", &[copied], &[], "");
        drop(source);
    }
    Ok(())
}

/// Keys of three types, each third with a time to live.
fn fill_redis(source: &Outside) {
    let mut to = source.connection();
    for some in (0..ROWS).collect::<Vec<_>>().chunks(10_000) {
        let mut all = redis::pipe();
        for n in some {
            let key = format!("key:{n}");
            match n % 3 {
                0 => all.cmd("SET").arg(&key).arg(format!("value {n}")).arg("PX").arg(7_200_000 + n),
                1 => all.cmd("HSET").arg(&key).arg("a").arg(*n).arg("b").arg(format!("{n} b")),
                _ => all.cmd("RPUSH").arg(&key).arg(*n).arg("x").arg("y"),
            }
            .ignore();
        }
        all.exec(&mut to).expect("the source takes keys");
    }
}

/// A client of the source.
struct Writes {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Writes {
    fn begin<F>(mut write: impl FnMut(u64) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send,
    {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (stop.clone(), done.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let n = counted.fetch_add(1, Ordering::Relaxed);
                write(n).await?;
                tokio::time::sleep(EVERY).await;
            }
            Ok(())
        });
        Self { stop, done, task }
    }
    async fn end(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??;
        Ok(self.done.load(Ordering::Relaxed))
    }
}

/// What the server's own tools take to bring the same into an empty server, beside nobody. It is not written to by now.
fn raw_postgres(source: &Outside) -> Result<f64> {
    let target = Outside::postgres();
    target.psql("postgres", "CREATE DATABASE raw").map_err(anyhow::Error::msg)?;
    let dump = tempfile::Builder::new().prefix("cd-dump-").tempdir()?;
    let file = dump.path().join("shop");
    let at = |port: u16, database: &str| format!("postgres://owner@127.0.0.1:{port}/{database}");
    let run = |program: &str, args: &[&str]| -> Result<()> {
        let mut tool = Command::new(program);
        let ended = tool.args(args).arg(&file).env("PGPASSWORD", PASSWORD).output()?;
        ensure!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    };
    let begun = Instant::now();
    run("pg_dump", &["-Fd", "-j", JOBS, "-d", &at(source.port, "shop"), "-f"])?;
    run("pg_restore", &["-j", JOBS, "-d", &at(target.port, "raw")])?;
    Ok(ms(begun.elapsed()) / 1e3)
}

/// The same of MariaDB.
fn raw_mariadb(source: &Outside) -> Result<f64> {
    let target = Outside::mariadb();
    let at = |port: u16| format!("--no-defaults -h 127.0.0.1 -P {port} -u owner");
    let pipe = format!(
        "set -o pipefail; mariadb-dump {} --single-transaction --quick --databases store | mariadb {}",
        at(source.port),
        at(target.port)
    );
    let begun = Instant::now();
    let ended = Command::new("bash").args(["-c", &pipe]).env("MYSQL_PWD", PASSWORD).output()?;
    ensure!(ended.status.success(), "mariadb-dump: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(ms(begun.elapsed()) / 1e3)
}

/// Gives the seconds until it followed.
async fn one(table: &mut Table, name: &str, service: &str, from: &str, writes: Writes) -> Result<f64> {
    let home = home()?;
    let serve = Serve::start(home.path()).await?;
    let made = format!("cluster create demo --service {service} --topology single --plan LEAN-1C-2G --yes");
    serve.run(&made).await?;
    serve.healthy().await?;
    let before = serve.peak_mib()?;
    let begun = Instant::now();
    let words = format!("migrate demo --from {from} --follow --yes");
    let (copied_after, note, migrated) = {
        let migrating = serve.run(&words);
        tokio::pin!(migrating);
        // Somebody else looks on meanwhile: how far it is stands in the operation.
        let mut copied = None;
        let copied_after = loop {
            tokio::select! {
                ended = &mut migrating => bail!("it ended before it was cut over: {ended:?}"),
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            let all = serve.run("operation list --cluster demo").await?;
            let steps = all["items"][0]["steps"].as_array().cloned().unwrap_or_default();
            let note = steps
                .iter()
                .find(|s| s["name"] == "copy")
                .and_then(|s| s["note"].as_str())
                .unwrap_or_default()
                .to_owned();
            if begun.elapsed() > PATIENCE {
                bail!("it does not follow: {note}");
            }
            if note.starts_with("Following") {
                let since = *copied.get_or_insert_with(Instant::now);
                // Nobody cuts over while the lag is large.
                let behind =
                    note.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap_or(f64::MAX);
                if since.elapsed() > FOLLOWS && behind < BEHIND {
                    let took = since.duration_since(begun);
                    eprintln!("{name}: {behind} behind after another {:.1} s", since.elapsed().as_secs_f64());
                    break took.as_secs_f64();
                }
            }
        };
        let written = writes.end().await?;
        let cut = serve.run("migrate demo --cut-over --yes");
        let (migrated, cut) = tokio::join!(&mut migrating, cut);
        cut?;
        (copied_after, format!("{written} transactions were written meanwhile"), migrated?)
    };
    let outcome = &migrated["outcome"];
    let gap = outcome["write_gap_ms"].as_f64().context("no gap")?;
    table.add(&format!("migrate {name}: gap at the cut-over"), "ms", &[gap], &[], "");
    table.add(&format!("migrate {name}: all of it, compared"), "s", &[ms(begun.elapsed()) / 1e3], &[], "");
    table.add(
        &format!("migrate {name}: peak memory of our process"),
        "MiB",
        &[serve.peak_mib()?],
        &[before],
        "",
    );
    let differ = outcome["migration"]["differences"].as_array().map_or(0, Vec::len);
    eprintln!("{name}: {note}; {differ} differences; {}", outcome["migration"]["notes"]);
    if differ > 0 || migrated["state"] != "succeeded" {
        bail!("both sides differ: {outcome}");
    }
    serve.delete().await?;
    Ok(copied_after)
}
