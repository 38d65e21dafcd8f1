//! Running a short shell script in a container. What it is given goes in as input or as arguments, never into the script.

use super::{
    engines::Engine,
    failure::{ANSWERS_WITHIN, asked, failed},
};
use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
};
use clusterdeck_driver::{DriverError, Result};
use futures::StreamExt as _;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// A script works on files; the largest takes a second, on a busy disk ten.
const RUNS_WITHIN: Duration = Duration::from_secs(60);
/// Words of complaint that are kept.
const COMPLAINT: usize = 4096;

/// What a script did.
#[derive(Debug)]
pub(super) struct Ran {
    /// Its exit status.
    pub status: i64,
    /// What it wrote, at most as much as was asked for.
    pub output: Vec<u8>,
    /// What it complained about.
    pub complaint: String,
}

/// A script and what it gets.
pub(super) struct Script<'a> {
    pub text: &'a str,
    pub args: &'a [&'a str],
    /// Exactly these bytes can be read from its input. It must not wait for an end: none is sent.
    pub input: &'a [u8],
    /// `None` is the user of the container.
    pub user: Option<&'a str>,
    /// Output beyond this is dropped.
    pub keep: usize,
}

/// Runs a script in a running container.
pub(super) async fn run(engine: &Engine, container: &str, script: &Script<'_>) -> Result<Ran> {
    let what = "running a command on the machine";
    let mut cmd = vec!["/bin/sh", "-c", script.text, "sh"];
    cmd.extend_from_slice(script.args);
    let options = CreateExecOptions {
        attach_stdin: Some(!script.input.is_empty()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(cmd),
        user: script.user,
        ..Default::default()
    };
    let created = asked(what, ANSWERS_WITHIN, engine.docker.create_exec(container, options)).await?;
    let talk = async {
        let begun = StartExecOptions { detach: false, ..Default::default() };
        let started =
            engine.docker.start_exec(&created.id, Some(begun)).await.map_err(|e| failed(what, e))?;
        let StartExecResults::Attached { mut output, mut input } = started else {
            return Err(DriverError::broken("a command was detached that should not be"));
        };
        let feed = async {
            // One that ends before it has read everything tells why by its status.
            drop(input.write_all(script.input).await);
            drop(input.flush().await);
            // Kept until the end: some engines take a closed input for the end of the conversation.
            input
        };
        let listen = async {
            let (mut said, mut complaint) = (Vec::new(), Vec::new());
            while let Some(piece) = output.next().await {
                let (into, bytes, limit) = match piece.map_err(|e| failed(what, e))? {
                    LogOutput::StdErr { message } => (&mut complaint, message, COMPLAINT),
                    LogOutput::StdOut { message }
                    | LogOutput::Console { message }
                    | LogOutput::StdIn { message } => (&mut said, message, script.keep),
                };
                let room = limit.saturating_sub(into.len());
                into.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Ok::<_, DriverError>((said, complaint))
        };
        let (input, heard) = futures::join!(feed, listen);
        drop(input);
        heard
    };
    let (output, complaint) = tokio::time::timeout(RUNS_WITHIN, talk)
        .await
        .map_err(|_| DriverError::transient("a command on the machine did not end in time"))??;
    let seen = asked(what, ANSWERS_WITHIN, engine.docker.inspect_exec(&created.id)).await?;
    let status =
        seen.exit_code.ok_or_else(|| DriverError::transient("a command on the machine was cut short"))?;
    let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
    Ok(Ran { status, output, complaint })
}
