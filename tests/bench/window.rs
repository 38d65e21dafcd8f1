//! The real window on a virtual screen: from the start of the process to a list that can be used, memory, idleness.

use crate::generated;
use crate::ours::home;
use crate::table::{RUNS, Table};
use crate::tree;
use anyhow::{Result, bail};
use clusterdeck_tests::places::Home;
use clusterdeck_tests::{Desk, Window};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for caches of the web view to settle.
const SETTLED: Duration = Duration::from_secs(15);
const IDLE: Duration = Duration::from_secs(30);

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if !table.wants("window start memory idle") {
        return Ok(());
    }
    let empty = home()?;
    let mut figures = Vec::new();
    for _ in 0..RUNS {
        figures.push(usable(&empty).await?);
    }
    table.add("window: start to usable, no cluster", "ms", &figures, &[], "700 ms");

    let many = generated::generate().await?;
    let mut figures = Vec::new();
    for _ in 0..RUNS {
        figures.push(usable(&many).await?);
    }
    table.add("window: start to usable, 200 clusters", "ms", &figures, &[], "700 ms");

    let (memory, cpu) = idle(&empty).await?;
    table.add("window: memory of the process tree, no cluster", "MiB PSS", &[memory], &[], "< 250");
    table.add("window: idle, no cluster", "% of a core", &[cpu], &[], "< 1");
    let (memory, cpu) = idle(&many).await?;
    table.add("window: memory, 200 clusters that are gone", "MiB PSS", &[memory], &[], "");
    table.add("window: idle, 200 clusters that are gone", "% of a core", &[cpu], &[], "");

    let one = home()?;
    let serve = crate::ours::Serve::start(one.path()).await?;
    serve.create().await?;
    drop(serve);
    let (memory, cpu) = idle(&one).await?;
    table.add("window: memory, one cluster of 3 nodes", "MiB PSS", &[memory], &[], "< 250");
    table.add("window: idle, one cluster of 3 nodes", "% of a core", &[cpu], &[], "< 1");
    let serve = crate::ours::Serve::start(one.path()).await?;
    serve.delete().await.map(drop)
}

/// Milliseconds from the process's start to the moment the page says that its list can be used.
async fn usable(home: &Home) -> Result<f64> {
    let mut desk = Desk::new()?;
    let window = Window::open(&mut desk, home.path()).await?;
    let began = Instant::now();
    let mark = loop {
        let said = window
            .script(
                "const mark = performance.getEntriesByName('clusterdeck:list')[0]; \
                 return mark ? performance.timeOrigin + mark.startTime : null",
            )
            .await?;
        if let Some(at) = said.as_f64() {
            break at;
        }
        if began.elapsed() > PATIENCE {
            bail!("the list does not become usable; the page says:\n{}", window.text().await?);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let took = mark - tree::started(process(home)?)?;
    window.close().await?;
    Ok(took)
}

async fn idle(home: &Home) -> Result<(f64, f64)> {
    let mut desk = Desk::new()?;
    let window = Window::open(&mut desk, home.path()).await?;
    tokio::time::sleep(SETTLED).await;
    let pids = tree::tree(process(home)?)?;
    let memory = tree::pss(&pids)?;
    let cpu = tree::cpu(&pids, IDLE).await;
    window.close().await?;
    Ok((memory, cpu))
}

/// The window's process with this home.
fn process(home: &Home) -> Result<u32> {
    let wanted = format!("CLUSTERDECK_HOME={}", home.path().display());
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let is = std::fs::read_link(entry.path().join("exe"))
            .is_ok_and(|exe| exe.ends_with("clusterdeck-desktop"));
        let here = std::fs::read(entry.path().join("environ"))
            .is_ok_and(|environ| environ.split(|b| *b == 0).any(|var| var == wanted.as_bytes()));
        if is && here {
            return Ok(pid);
        }
    }
    bail!("the window's process was not found")
}
