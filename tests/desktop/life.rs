//! The life of a cluster, by mouse and keyboard.

use anyhow::{Context as _, Result};
use clusterdeck_tests::places::{Home, program};
use clusterdeck_tests::window::{EVENTUALLY, SOON};
use clusterdeck_tests::{Desk, Window};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const RUNNING: &str = "[data-testid=cluster-header][data-name=demo][data-state=running]";

#[tokio::test]
async fn a_cluster_is_made_by_the_wizard_outlives_the_window_and_is_deleted_without_a_trace() -> Result<()> {
    let (mut desk, home) = (Desk::new()?, Home::new()?);
    let window = Window::open(&mut desk, home.path()).await?;
    make(&window).await?;

    let servers = pids(&home)?;
    let running =
        |what: &str| home.servers().map(|all| all.iter().filter(|(_, line)| line.contains(what)).count());
    assert_eq!(running("redis-server")?, 6, "three servers, three sentinels: {:#?}", home.servers()?);
    assert!(running("haproxy")? > 0, "a gateway: {:#?}", home.servers()?);
    let url = password_url(&desk, &home)?;
    assert_eq!(redis(&url, &["SET", "kept", "yes"])?, "OK", "the address in the credentials takes writes");
    look_around(&window).await?;
    back_up_and_download(&window, &desk, &home).await?;

    window.close().await?;
    assert_eq!(pids(&home)?, servers, "servers outlive the window");
    let window = Window::open(&mut desk, home.path()).await?;
    window.press("demo").await?;
    window.until(RUNNING, EVENTUALLY).await?;
    assert_eq!(pids(&home)?, servers, "and are found again, not started twice");
    assert_eq!(redis(&url, &["GET", "kept"])?, "yes", "with their data");

    delete(&window).await?;
    assert_eq!(home.servers()?, Vec::new(), "no process is left");
    let machines = std::fs::read_dir(home.path().join("machines")).map(Iterator::count).unwrap_or(0);
    assert_eq!(machines, 0, "no machine's folder is left");
    window.close().await
}

async fn make(window: &Window) -> Result<()> {
    window.see("Deploy my first cluster", SOON).await?;
    window.press("Deploy my first cluster").await?;
    window.press_id("wizard-service-redis").await?;
    window.shot("wizard-service").await?;
    window.press("Next").await?;
    window.press_id("wizard-plan-NANO-1C-256M").await?;
    window.shot("wizard-place").await?;
    window.press("Next").await?;
    window.fill("Name", "demo").await?;
    window.press_id("wizard-topology-primary-replica").await?;
    window.see("Create demo", SOON).await?;
    window.shot("wizard-shape").await?;
    window.press("Create demo").await?;
    window.until(RUNNING, EVENTUALLY).await
}

async fn look_around(window: &Window) -> Result<()> {
    window.see("Can fail over", EVENTUALLY).await?;
    window.shot("overview").await?;
    for (tab, says) in [
        ("nodes", "In step"),
        ("metrics", "CPU"),
        ("activity", "demo"),
        ("audit", "demo"),
        ("overview", "Endpoints"),
    ] {
        window.press_id(&format!("cluster-tab-{tab}")).await?;
        window.see(says, SOON).await?;
        window.shot(&format!("tab-{tab}")).await?;
    }
    Ok(())
}

/// A backup becomes a file where people look for it; what cannot be read to its end becomes none.
async fn back_up_and_download(window: &Window, desk: &Desk, home: &Home) -> Result<()> {
    for press in ["cluster-tab-backups", "back-up-now", "change-confirm"] {
        window.press_id(press).await?;
    }
    window.until("[data-testid=backup-row][data-state=verified]", EVENTUALLY).await?;
    window.press_id("change-close").await?;
    for press in ["backup-menu", "backup-action-download", "download-begin"] {
        window.press_id(press).await?;
    }
    window.until("[data-testid=download-file]", SOON).await?;
    window.shot("downloaded").await?;
    let files = downloads(desk)?;
    assert!(files.len() == 1 && window.text().await?.contains(&*files[0].to_string_lossy()), "{files:?}");
    let tar = std::fs::read(&files[0])?;
    assert!(String::from_utf8_lossy(&tar).contains("A backup of demo: Redis"), "with its README");

    for piece in pieces(home)? {
        let whole = std::fs::metadata(&piece)?.len();
        std::fs::OpenOptions::new().write(true).open(&piece)?.set_len(whole / 2)?;
    }
    window.press_id("download-begin").await?;
    window.see("could not be read to its end", SOON).await?;
    window.shot("download-failed").await?;
    assert_eq!(downloads(desk)?, files, "nothing half, and what was there stays");
    window.press("Close").await
}

/// What lies among the downloads. The desk names no folder for them, so that is its home.
fn downloads(desk: &Desk) -> Result<Vec<PathBuf>> {
    let all = std::fs::read_dir(desk.folder())?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let ours =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("demo-"));
    Ok(all.into_iter().filter(ours).collect())
}

/// The sealed files of the backups in the home's own vault.
fn pieces(home: &Home) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for backup in std::fs::read_dir(home.path().join("vault/backups"))? {
        for piece in std::fs::read_dir(backup?.path())? {
            all.extend(
                Some(piece?.path()).filter(|path| path.extension().is_some_and(|ending| ending == "age")),
            );
        }
    }
    assert!(!all.is_empty(), "there is a backup");
    Ok(all)
}

async fn delete(window: &Window) -> Result<()> {
    window.press("Delete cluster").await?;
    window.see("What will happen", SOON).await?;
    window.shot("delete").await?;
    window.fill("Type demo to confirm", "demo").await?;
    window.press_id("change-confirm").await?;
    window.see("No clusters yet", EVENTUALLY).await
}

fn pids(home: &Home) -> Result<BTreeSet<u32>> {
    Ok(home.servers()?.into_iter().map(|(pid, _)| pid).collect())
}

/// Asked in a terminal while the window hosts the engine: the second way to the same home.
fn password_url(desk: &Desk, home: &Home) -> Result<String> {
    let mut command = Command::new(program("clusterdeck")?);
    command
        .args(["--json", "cluster", "credentials", "demo", "--reveal"])
        .env("CLUSTERDECK_HOME", home.path());
    let output = desk.seat(&mut command).stdin(Stdio::null()).output()?;
    assert!(
        output.status.success(),
        "the terminal reaches the window's engine: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said: Value = serde_json::from_slice(&output.stdout)?;
    Ok(said["url"].as_str().context("no address in the credentials")?.to_owned())
}

fn redis(url: &str, words: &[&str]) -> Result<String> {
    let output = Command::new("redis-cli").args(["-u", url, "--no-auth-warning"]).args(words).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
