//! What a process and its children cost, as the kernel counts it.

use anyhow::{Context as _, Result};
use std::collections::HashMap;
use std::time::Duration;

/// A process and those below it, without servers (which have sessions of their own and outlive the app).
pub(crate) fn tree(root: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (vec![root], 0);
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.get(&pid).into_iter().flatten().filter(|pid| !is_server(**pid)));
        next += 1;
    }
    Ok(found)
}

/// Proportional set size in MiB: shared pages are divided among those who share them.
pub(crate) fn pss(pids: &[u32]) -> Result<f64> {
    let mut kib = 0.0;
    for pid in pids {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("the memory of process {pid} cannot be read"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        kib += line.trim().trim_end_matches(" kB").parse::<f64>()?;
    }
    Ok(kib / 1024.0)
}

/// Per cent of one core that these processes use over a while.
pub(crate) async fn cpu(pids: &[u32], over: Duration) -> f64 {
    let before: f64 = pids.iter().filter_map(|pid| ticks(*pid)).sum();
    tokio::time::sleep(over).await;
    let after: f64 = pids.iter().filter_map(|pid| ticks(*pid)).sum();
    // A tick is 10 ms on every Linux that Rust runs on (USER_HZ).
    (after - before) / over.as_secs_f64()
}

/// When a process started, in milliseconds since 1970, to 10 ms.
pub(crate) fn started(pid: u32) -> Result<f64> {
    let ticks: f64 = stat(pid).and_then(|fields| fields.get(19)?.parse().ok()).context("it is gone")?;
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split_whitespace().next().context("no uptime")?.parse()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    Ok((now - uptime + ticks / 100.0) * 1000.0)
}

fn ticks(pid: u32) -> Option<f64> {
    let fields = stat(pid)?;
    Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
}

/// The fields of `/proc/<pid>/stat` after the name: the first is the state, the second the parent.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn is_server(pid: u32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd"))
        .is_ok_and(|cwd| cwd.components().any(|part| part.as_os_str() == "machines"))
}
