//! Running a program in a machine's container with its ends in our hands.
//!
//! No end of its input is ever sent: some engines take that for the end of the conversation. A conversation that breaks off
//! leaves the program to itself: it ends when it writes the next time, or waits for input for good; it holds nothing.

use super::{
    engines::Engine,
    failure::{ANSWERS_WITHIN, asked, failed},
};
use crate::filter::{PIECE, Words, ended, our_end};
use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
};
use clusterdeck_driver::{DriverError, Filter, Incoming, Outgoing, Result};
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const WHAT: &str = "running a program on the machine";

/// Runs it; `input` is what it is given and how much of that.
pub(super) async fn run(
    engine: &Engine,
    container: &str,
    filter: &Filter,
    input: Option<(&mut Incoming, u64)>,
    output: Option<&mut Outgoing>,
) -> Result<String> {
    let mut cmd = vec![filter.program.to_string_lossy().into_owned()];
    cmd.extend(filter.args.iter().cloned());
    let options = CreateExecOptions {
        attach_stdin: Some(input.is_some()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(cmd),
        ..Default::default()
    };
    let created = asked(WHAT, ANSWERS_WITHIN, engine.docker.create_exec(container, options)).await?;
    let begun = StartExecOptions { detach: false, output_capacity: Some(PIECE), ..Default::default() };
    let started = asked(WHAT, ANSWERS_WITHIN, engine.docker.start_exec(&created.id, Some(begun))).await?;
    let StartExecResults::Attached { output: mut said, input: mut takes } = started else {
        return Err(DriverError::broken("a program was detached that should not be"));
    };
    let feed = async {
        let Some((input, bytes)) = input else { return Ok(None) };
        let (mut piece, mut left) = (vec![0; PIECE], bytes);
        while left > 0 {
            let most = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            let n = input.read(&mut piece[..most]).await.map_err(|e| our_end("reading a copy", &e))?;
            if n == 0 {
                return Err(DriverError::transient(format!("the copy ended {left} bytes too soon")));
            }
            // One that ends before it has read everything tells why by its status.
            if takes.write_all(&piece[..n]).await.is_err() {
                break;
            }
            left -= n as u64;
        }
        drop(takes.flush().await);
        // Kept until the program ends.
        Ok::<_, DriverError>(Some(takes))
    };
    let listen = async {
        let (mut words, mut output) = (Words::default(), output);
        while let Some(piece) = said.next().await {
            match piece.map_err(|e| failed(WHAT, e))? {
                LogOutput::StdErr { message } => words.hear(&message),
                LogOutput::StdOut { message }
                | LogOutput::Console { message }
                | LogOutput::StdIn { message } => {
                    if let Some(output) = output.as_mut() {
                        output.write_all(&message).await.map_err(|e| our_end("passing on a copy", &e))?;
                    }
                }
            }
        }
        Ok::<_, DriverError>(words)
    };
    let (fed, words) = futures::try_join!(feed, listen)?;
    drop(fed);
    let seen = asked(WHAT, ANSWERS_WITHIN, engine.docker.inspect_exec(&created.id)).await?;
    let words = words.text();
    match seen.exit_code {
        Some(0) => Ok(words),
        Some(status) => Err(ended(filter, &format!("status {status}"), &words)),
        None => Err(DriverError::transient("a program on the machine was cut short")),
    }
}
