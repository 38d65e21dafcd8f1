//! Where things lie.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A program of ours, built beside this test.
///
/// # Errors
/// When it is not built: cargo builds no programs of other crates for a test.
pub fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // target/debug/deps/desktop-0123…: two folders up are the programs.
    let folder = test.ancestors().nth(2).unwrap_or(Path::new("."));
    let path = folder.join(name);
    if !path.exists() {
        bail!(
            "{} is not built; run `cargo xtask test`, or `cargo build --workspace --bins --tests` first",
            path.display()
        );
    }
    Ok(path)
}

/// A home of one's own. When it is dropped, the servers that were started in it end too: they outlive the app by design.
pub struct Home(tempfile::TempDir);

impl Home {
    /// An empty one.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("cd-").tempdir()?))
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Process ids and command lines of the servers that run in it.
    ///
    /// # Errors
    /// When the system does not list its processes.
    pub fn servers(&self) -> Result<Vec<(u32, String)>> {
        servers(self.path())
    }
}

/// Process ids and command lines of the servers that run in a home.
///
/// # Errors
/// When the system does not list its processes, or there is no such folder.
pub fn servers(home: &Path) -> Result<Vec<(u32, String)>> {
    let machines = home.canonicalize()?.join("machines");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process that ends while we look is none.
        let inside = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&machines));
        let zombie = std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|s| s.contains(") Z "));
        if inside && !zombie {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned()));
        }
    }
    Ok(found)
}

/// Prints how the logs in a home end, when its test fails: the folder is gone a moment later.
pub fn tell_logs_of_a_failure(home: &Path) {
    /// Lines of each, and characters of a line: what failed must not drown in them.
    const LINES: usize = 30;
    const WIDTH: usize = 240;
    if !std::thread::panicking() {
        return;
    }
    let below = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let machines = below(home.join("machines")).flat_map(|machine| below(machine.join("logs")));
    for log in machines.filter(|log| log.extension().is_some_and(|e| e == "log")) {
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // etcd tells of each of its connections, twice.
        let told =
            text.lines().filter(|line| !line.contains("rafthttp/")).map(|line| line.chars().take(WIDTH));
        let lines: Vec<String> = told.map(Iterator::collect).collect();
        println!("--- {}", log.display());
        println!("{}", lines[lines.len().saturating_sub(LINES)..].join("\n"));
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        tell_logs_of_a_failure(self.path());
        for (pid, _) in self.servers().unwrap_or_default() {
            drop(Command::new("kill").args(["-KILL", &pid.to_string()]).status());
        }
    }
}
