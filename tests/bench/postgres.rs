//! PostgreSQL clusters of ours beside Patroni as it comes.

use crate::ours::{Serve, WHILE, home, ms};
use crate::patroni::{self, Raw};
use crate::table::Table;
use anyhow::{Context as _, Result};
use clusterdeck_tests::client::{Writer, missing};
use clusterdeck_tests::places::Home;
use std::process::Command;
use std::time::{Duration, Instant};

/// Each takes half a minute.
const RUNS: usize = 3;
/// Longer than the slowest failover seen; the writer notes its own wait.
const FAILS_OVER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Figures {
    create: Vec<f64>,
    promote: Vec<f64>,
    reported: Vec<f64>,
    promote_lost: Vec<f64>,
    failover: Vec<f64>,
    delete: Vec<f64>,
}

/// Creation, promotion and failover, ours and the raw tool's in turn.
pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if !table.wants("postgresql") {
        return Ok(());
    }
    let home = home()?;
    let serve = Serve::start(home.path()).await?;
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for _ in 0..RUNS {
        one_of_ours(&serve, &home, &mut ours).await?;
        one_of_theirs(&mut theirs).await?;
    }
    table.add(
        "PostgreSQL: create 3 nodes, command to healthy",
        "ms",
        &ours.create,
        &theirs.create,
        "≤ 1.2 × raw",
    );
    table.add(
        "PostgreSQL: promote: longest wait of a writer",
        "ms",
        &ours.promote,
        &theirs.promote,
        "≤ 1000 ms",
    );
    table.add("PostgreSQL: promote: write gap as reported", "ms", &ours.reported, &[], "");
    table.add(
        "PostgreSQL: promote: acknowledged writes lost",
        "",
        &ours.promote_lost,
        &theirs.promote_lost,
        "0",
    );
    table.add(
        "PostgreSQL: node killed to the next write",
        "ms",
        &ours.failover,
        &theirs.failover,
        "≤ 6000 ms",
    );
    table.add("PostgreSQL: delete 3 nodes", "ms", &ours.delete, &[], "");
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
async fn one_of_ours(serve: &Serve, home: &Home, figures: &mut Figures) -> Result<()> {
    let began = Instant::now();
    serve
        .run("cluster create demo --service postgresql --topology primary-replica --nodes 3 --plan NANO-1C-256M --yes")
        .await?;
    serve.healthy().await?;
    figures.create.push(ms(began.elapsed()));
    let url = serve.url().await?;

    let replica = serve.node("replica").await?["name"].as_str().context("no name")?.to_owned();
    let writer = Writer::without_pause(url.clone());
    tokio::time::sleep(2 * WHILE).await;
    let done = serve.run(&format!("node promote {replica} --confirm {replica} --yes")).await?;
    tokio::time::sleep(2 * WHILE).await;
    let written = writer.stop();
    figures.promote.push(ms(written.longest_gap));
    figures.reported.push(done["outcome"]["write_gap_ms"].as_f64().context("no gap reported")?);
    figures.promote_lost.push(lost(&url, &written.acknowledged));

    serve.healthy().await?;
    let primary = serve.node("primary").await?;
    let pids = processes_at(home, primary["address"].as_str().context("no address")?)?;
    let writer = Writer::without_pause(url);
    tokio::time::sleep(2 * WHILE).await;
    drop(Command::new("kill").arg("-KILL").args(pids).output()?);
    tokio::time::sleep(FAILS_OVER_WITHIN).await;
    figures.failover.push(ms(writer.stop().longest_gap));
    serve.healthy().await?;

    let began = Instant::now();
    serve.delete().await?;
    figures.delete.push(ms(began.elapsed()));
    Ok(())
}

async fn one_of_theirs(figures: &mut Figures) -> Result<()> {
    let (mut raw, took) = Raw::start().await?;
    figures.create.push(ms(took));
    let writer = Writer::without_pause(patroni::url());
    tokio::time::sleep(2 * WHILE).await;
    raw.switch_over().await?;
    tokio::time::sleep(4 * WHILE).await;
    let written = writer.stop();
    figures.promote.push(ms(written.longest_gap));
    figures.promote_lost.push(lost(&patroni::url(), &written.acknowledged));

    raw.healthy().await?;
    let writer = Writer::without_pause(patroni::url());
    tokio::time::sleep(2 * WHILE).await;
    raw.kill_primary().await?;
    tokio::time::sleep(FAILS_OVER_WITHIN).await;
    figures.failover.push(ms(writer.stop().longest_gap));
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
fn lost(url: &str, acknowledged: &[u64]) -> f64 {
    tokio::task::block_in_place(|| missing(url, false, acknowledged)).len() as f64
}

/// Everything that runs on the node at this address: its server's command line names both the address and the folder.
fn processes_at(home: &Home, address: &str) -> Result<Vec<String>> {
    let servers = home.servers()?;
    let at = format!("--listen_addresses={address}");
    let (_, line) = servers.iter().find(|(_, line)| line.contains(&at)).context("no server there")?;
    let (folder, _) = line.split_once("/pg/data").context("no folder")?;
    let folder = folder.split_whitespace().next_back().context("no folder")?;
    Ok(servers.iter().filter(|(_, line)| line.contains(folder)).map(|(pid, _)| pid.to_string()).collect())
}
