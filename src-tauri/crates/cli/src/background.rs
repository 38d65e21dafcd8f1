//! A host for what goes on after its command has returned (`--detach`): this same program, started without a terminal. It
//! hosts the engine for as long as the command lives and until nothing is under way, then ends. Where somebody hosts the
//! home already, it ends at once.

use crate::failure::Failure;
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{ChildStdin, Command},
};

/// How long the host may take to open the home.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host that was started. It notices when this is dropped, also by the end of this process.
pub(crate) struct Host(#[allow(dead_code, reason = "held open for as long as the command lives")] ChildStdin);

/// Starts a host and waits until it hosts.
pub(crate) async fn start(home: &Path) -> Result<Option<Host>, Failure> {
    let failed = |what: &str| Failure::other(format!("no engine could be started in the background: {what}"));
    let program = std::env::current_exe().map_err(|e| failed(&e.to_string()))?;
    let mut child = Command::new(program)
        .arg("--home")
        .arg(home)
        .arg("host-until-idle")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(&e.to_string()))?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("no pipes"));
    };
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    match tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await {
        Ok(Ok(_)) if line.trim() == "ready" => Ok(Some(Host(stdin))),
        // It could not open the home: opening it here says why.
        Ok(_) => Ok(None),
        Err(_) => Err(failed("it did not answer")),
    }
}

/// Leaves the terminal, so that neither its Ctrl-C nor its end reach this process.
#[cfg(unix)]
pub(crate) fn leave_terminal() {
    let _kept = rustix::process::setsid().is_err();
}

/// Leaves the terminal; a process without a console has none.
#[cfg(not(unix))]
pub(crate) fn leave_terminal() {}
