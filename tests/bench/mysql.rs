//! Oracle's MySQL on Group Replication beside a script that does what its manual says, both in containers of one engine,
//! which the benchmark brings along: nothing else here carries it.

use crate::family::{Aims, Figures, Kind, RUNS, keep, lost};
use crate::mysql_raw::{self, Raw};
use crate::ours::{Serve, WHILE, home, ms};
use crate::table::Table;
use anyhow::{Context as _, Result, bail, ensure};
use clusterdeck_testkit::containers::Ground;
use clusterdeck_tests::client::Writer;
use clusterdeck_tests::places::Home;
use std::process::Command;
use std::time::Duration;

const KIND: Kind = Kind {
    service: "mysql",
    topology: "primary-replica",
    promotes: true,
    fails_over: true,
    how: "--plan LEAN-1C-1G --provider container",
    kill: kill_machine,
};
/// The group suspects a silent member after 5 s, which cannot be set.
const FAILS_OVER_WITHIN: Duration = Duration::from_secs(15);

/// Creation, promotion and failover, ours and the script's in turn. Outside it starts the benchmark again inside, with
/// nothing but this to measure and a table of its own.
pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if !table.wants("mysql group") {
        return Ok(());
    }
    let Some(ground) = tokio::task::block_in_place(|| Ground::enter_program_with_mysql(&["mysql group"]))
    else {
        return Ok(());
    };
    let home = home()?;
    let serve = Serve::start(home.path()).await?;
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for _ in 0..RUNS {
        KIND.round(&serve, &home, &mut ours).await?;
        one_of_theirs(&ground, &mut theirs).await?;
    }
    let aims = Aims { create: "≤ 1.2 × raw", promote: "≤ 1000 ms", failover: "as measured" };
    KIND.tell(table, "MySQL, group", &ours, &theirs, aims);
    Ok(())
}

async fn one_of_theirs(ground: &Ground, figures: &mut Figures) -> Result<()> {
    let (raw, took) = Raw::start(ground).await?;
    keep("raw: create", &mut figures.create, ms(took));
    let url = mysql_raw::url();
    let writer = Writer::without_pause(url.clone());
    tokio::time::sleep(2 * WHILE).await;
    raw.promote().await?;
    tokio::time::sleep(2 * WHILE).await;
    let written = writer.stop();
    keep("raw: promote", &mut figures.promote, ms(written.longest_gap));
    keep("raw: promote lost", &mut figures.promote_lost, lost(&url, &written.acknowledged));

    let writer = Writer::without_pause(url);
    tokio::time::sleep(2 * WHILE).await;
    raw.kill_primary();
    tokio::time::sleep(FAILS_OVER_WITHIN).await;
    keep("raw: failover", &mut figures.failover, ms(writer.stop().longest_gap));
    Ok(())
}

/// What the engine's client says; the environment of a [`Ground`] leads to its engine.
fn podman(args: &[&str]) -> Result<String> {
    let said = Command::new("podman").args(args).output().context("podman is missing")?;
    if !said.status.success() {
        bail!("podman {args:?}: {}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// Kills every server of the machine at this address; its own container, which only holds the address, stays.
fn kill_machine(_: &Home, address: &str) -> Result<()> {
    let names = podman(&["ps", "--format", "{{.Names}}"])?;
    let format = "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let all: Vec<&str> = names.lines().collect();
    let said = podman(&[&["inspect", "--format", format], &all[..]].concat())?;
    let holder = said.lines().find_map(|line| line.strip_suffix(&format!(" {address}")));
    let holder = holder.with_context(|| format!("no machine at {address}"))?;
    let units: Vec<&str> = all.iter().copied().filter(|n| n.starts_with(&format!("{holder}-"))).collect();
    ensure!(!units.is_empty(), "nothing runs at {address}");
    podman(&[&["kill"], &units[..]].concat()).map(drop)
}
