//! Starting other programs, and where the workspace lies.

use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's root: three folders above this crate.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The window's folder.
pub(crate) fn ui() -> PathBuf {
    root().join("ui")
}

/// A program that runs in the workspace's root.
pub(crate) fn program<I, S>(name: &str, args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(name);
    command.args(args).current_dir(root());
    command
}

/// Cargo, the one that started us.
pub(crate) fn cargo<I, S>(args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    program(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), args)
}

/// npm, in the window's folder.
pub(crate) fn npm<I, S>(args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = program("npm", args);
    command.current_dir(ui());
    command
}

/// A command as one would type it.
pub(crate) fn spelled(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs it with our terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let words = spelled(command);
    println!("$ {words}");
    let status = command.status().with_context(|| format!("`{words}` could not be started"))?;
    if !status.success() {
        bail!("`{words}` ended with {status}");
    }
    Ok(())
}

/// Runs it, shows each line it writes (both streams) and gives it to `line` too. Says whether it succeeded.
pub(crate) fn run_seen(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let words = spelled(command);
    println!("$ {words}");
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let mut child = command
        .stdout(writer.try_clone().context("no pipe")?)
        .stderr(writer)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("`{words}` could not be started"))?;
    // The command keeps its ends of the pipe open; without this the reading would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines = BufReader::new(reader);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes).context("the output could not be read")? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        println!("{text}");
        line(text);
        bytes.clear();
    }
    Ok(child.wait().with_context(|| format!("`{words}` was lost"))?.success())
}

/// What it writes to standard output, or `None` when it cannot be started or fails.
pub(crate) fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is on the path.
pub(crate) fn has(name: &str) -> bool {
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .chain(extra)
        .any(|folder| folder.join(name).is_file())
}

/// Whether a window can be opened from here.
pub(crate) fn has_display() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}
