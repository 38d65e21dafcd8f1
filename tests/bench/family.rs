//! One round of a family's life on our clusters: made, handed over, its leading node killed, taken away.

use crate::ours::{Serve, WHILE, ms};
use crate::table::Table;
use anyhow::{Context as _, Result};
use clusterdeck_tests::client::{Writer, missing};
use clusterdeck_tests::places::Home;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Each takes half a minute.
pub(crate) const RUNS: usize = 3;
/// Longer than the slowest failover seen; the writer notes its own wait.
pub(crate) const FAILS_OVER_WITHIN: Duration = Duration::from_secs(10);

/// What was measured, a value for each round.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) create: Vec<f64>,
    pub(crate) promote: Vec<f64>,
    pub(crate) reported: Vec<f64>,
    pub(crate) promote_lost: Vec<f64>,
    pub(crate) failover: Vec<f64>,
    pub(crate) delete: Vec<f64>,
}

/// Keeps a figure and says it at once: a round that fails later does not take it along.
pub(crate) fn keep(what: &str, figures: &mut Vec<f64>, figure: f64) {
    eprintln!("  {what}: {figure:.1}");
    figures.push(figure);
}

/// A kind of cluster, and which parts of a life it has.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) service: &'static str,
    pub(crate) topology: &'static str,
    /// A replica can be given the writes.
    pub(crate) promotes: bool,
    /// The others go on by themselves when the node that takes the writes is dead.
    pub(crate) fails_over: bool,
    /// More words of its creation: size and place.
    pub(crate) how: &'static str,
    /// Kills everything that runs on the node at an address.
    pub(crate) kill: fn(&Home, &str) -> Result<()>,
}

/// As small as there is, on this computer.
pub(crate) const SMALL: &str = "--plan NANO-1C-256M";

impl Kind {
    pub(crate) async fn round(&self, serve: &Serve, home: &Home, figures: &mut Figures) -> Result<()> {
        let began = Instant::now();
        let Self { service, topology, how, .. } = self;
        let made = serve
            .run(&format!(
                "cluster create demo --service {service} --topology {topology} --nodes 3 {how} --yes"
            ))
            .await?;
        serve.healthy().await?;
        eprintln!("  {}", steps_of(&made));
        keep("create", &mut figures.create, ms(began.elapsed()));
        let url = serve.url().await?;

        if self.promotes {
            let replica = serve.node("replica").await?["name"].as_str().context("no name")?.to_owned();
            let writer = Writer::without_pause(url.clone());
            tokio::time::sleep(2 * WHILE).await;
            let done = serve.run(&format!("node promote {replica} --confirm {replica} --yes")).await?;
            tokio::time::sleep(2 * WHILE).await;
            let written = writer.stop();
            keep("promote", &mut figures.promote, ms(written.longest_gap));
            keep(
                "reported",
                &mut figures.reported,
                done["outcome"]["write_gap_ms"].as_f64().context("no gap reported")?,
            );
            keep("promote lost", &mut figures.promote_lost, lost(&url, &written.acknowledged));
            serve.healthy().await?;
        }
        if self.fails_over {
            let address = writes_of(serve, &url).await?;
            let writer = Writer::without_pause(url);
            tokio::time::sleep(2 * WHILE).await;
            (self.kill)(home, &address)?;
            tokio::time::sleep(FAILS_OVER_WITHIN).await;
            keep("failover", &mut figures.failover, ms(writer.stop().longest_gap));
            serve.healthy().await?;
        }
        let began = Instant::now();
        let deleted = serve.delete().await?;
        eprintln!("  {}", steps_of(&deleted));
        keep("delete", &mut figures.delete, ms(began.elapsed()));
        Ok(())
    }

    /// Adds a line for each part of a life.
    pub(crate) fn tell(&self, table: &mut Table, name: &str, ours: &Figures, raw: &Figures, aims: Aims) {
        let mut line = |what: &str, unit, ours: &[f64], raw: &[f64], aim| {
            table.add(&format!("{name}: {what}"), unit, ours, raw, aim);
        };
        line("create 3 nodes, command to healthy", "ms", &ours.create, &raw.create, aims.create);
        if self.promotes {
            line("promote: longest wait of a writer", "ms", &ours.promote, &raw.promote, aims.promote);
            line("promote: write gap as reported", "ms", &ours.reported, &[], "");
            line("promote: acknowledged writes lost", "", &ours.promote_lost, &raw.promote_lost, "0");
        }
        if self.fails_over {
            line("node killed to the next write", "ms", &ours.failover, &raw.failover, aims.failover);
        }
        line("delete 3 nodes", "ms", &ours.delete, &[], "");
    }
}

/// What is to be reached.
#[derive(Clone, Copy)]
pub(crate) struct Aims {
    pub(crate) create: &'static str,
    pub(crate) promote: &'static str,
    pub(crate) failover: &'static str,
}

/// How many of the acknowledged writes are gone.
#[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
pub(crate) fn lost(url: &str, acknowledged: &[u64]) -> f64 {
    tokio::task::block_in_place(|| missing(url, false, acknowledged)).len() as f64
}

/// How long each step of an operation took, those of a tenth of a second and more.
fn steps_of(operation: &Value) -> String {
    let took = |step: &Value| {
        let at = |when: &str| step[when].as_str()?.parse::<jiff::Timestamp>().ok();
        let ms = at("ended_at")?.duration_since(at("started_at")?).as_millis();
        (ms >= 100).then(|| format!("{} {ms} ms", step["name"].as_str().unwrap_or_default()))
    };
    let steps = operation["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().filter_map(took).collect::<Vec<_>>().join(", ")
}

/// The address of the node that a client writes to: where several take writes, the one that answers it.
async fn writes_of(serve: &Serve, url: &str) -> Result<String> {
    if let Ok(primary) = serve.node("primary").await {
        return Ok(primary["address"].as_str().context("no address")?.to_owned());
    }
    use mysql_async::prelude::Queryable as _;
    let mut open = mysql_async::Conn::new(mysql_async::Opts::from_url(url)?).await?;
    let address: Option<String> = open.query_first("SELECT @@bind_address").await?;
    open.disconnect().await?;
    address.context("no address")
}

/// Kills everything that runs on the node at this address of this computer.
pub(crate) fn kill_node(home: &Home, address: &str) -> Result<()> {
    let folder = folder_of(home, address)?;
    let inside =
        |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&folder));
    let pids: Vec<String> =
        home.servers()?.iter().map(|(pid, _)| *pid).filter(inside).map(|pid| pid.to_string()).collect();
    anyhow::ensure!(!pids.is_empty(), "nothing runs at {address}");
    drop(Command::new("kill").arg("-KILL").args(pids).output()?);
    Ok(())
}

fn folder_of(home: &Home, address: &str) -> Result<PathBuf> {
    for entry in std::fs::read_dir(home.path().canonicalize()?.join("machines"))? {
        let folder = entry?.path();
        let Ok(note) = std::fs::read(folder.join("machine.json")) else { continue };
        if serde_json::from_slice::<Value>(&note)?["spec"]["address"] == address {
            return Ok(folder);
        }
    }
    anyhow::bail!("no machine at {address}")
}
