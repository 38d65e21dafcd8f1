//! Running a program of a machine with its ends in our hands. It is our child and goes with us: whoever is killed in the
//! middle leaves a pipe without a reader, which ends it.

use super::unit::as_servers_run;
use crate::filter::{PIECE, Words, ended, our_end};
use clusterdeck_driver::{DriverError, Filter, Incoming, Outgoing, Result, widen};
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, Command},
};

fn start(root: &Path, filter: &Filter, input: Stdio, output: Stdio) -> Result<Child> {
    let mut command = Command::from(as_servers_run(root, &filter.program)?);
    command.args(&filter.args).stdin(input).stdout(output).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|e| {
        DriverError::rejected(
            format!("{} cannot be started: {e}", filter.program.display()),
            "`clusterdeck doctor` shows what is found and how to install it",
        )
    })
}

async fn listen(errors: Option<ChildStderr>) -> Words {
    let mut words = Words::default();
    let Some(mut errors) = errors else { return words };
    let mut piece = vec![0; PIECE];
    while let Ok(n @ 1..) = errors.read(&mut piece).await {
        words.hear(&piece[..n]);
    }
    words
}

async fn conclude(mut child: Child, filter: &Filter, words: Words) -> Result<String> {
    let status = child.wait().await.map_err(|e| our_end("waiting for a program", &e))?;
    let words = words.text();
    if status.success() { Ok(words) } else { Err(ended(filter, &status.to_string(), &words)) }
}

/// See [`clusterdeck_driver::Machine::output_of`].
pub(super) async fn output_of(root: &Path, filter: &Filter, output: &mut Outgoing) -> Result<String> {
    let mut child = start(root, filter, Stdio::null(), Stdio::piped())?;
    let (said, errors) = (child.stdout.take(), child.stderr.take());
    let pass_on = async {
        let Some(mut said) = said else { return Ok(()) };
        widen(&said);
        let mut piece = vec![0; PIECE];
        loop {
            match said.read(&mut piece).await.map_err(|e| our_end("reading what a program writes", &e))? {
                0 => return Ok::<_, DriverError>(()),
                n => output.write_all(&piece[..n]).await.map_err(|e| our_end("passing on a copy", &e))?,
            }
        }
    };
    let (passed, words) = tokio::join!(pass_on, listen(errors));
    passed?;
    conclude(child, filter, words).await
}

/// See [`clusterdeck_driver::Machine::feed`].
pub(super) async fn feed(root: &Path, filter: &Filter, input: &mut Incoming, bytes: u64) -> Result<String> {
    let mut child = start(root, filter, Stdio::piped(), Stdio::null())?;
    let (takes, errors) = (child.stdin.take(), child.stderr.take());
    let pass_on = async {
        let Some(mut takes) = takes else { return Ok(true) };
        widen(&takes);
        let (mut piece, mut left) = (vec![0; PIECE], bytes);
        while left > 0 {
            let most = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            let n = input.read(&mut piece[..most]).await.map_err(|e| our_end("reading a copy", &e))?;
            if n == 0 {
                return Err(DriverError::transient(format!("the copy ended {left} bytes too soon")));
            }
            // One that ends before it has read everything tells why by its status.
            if takes.write_all(&piece[..n]).await.is_err() {
                return Ok(false);
            }
            left -= n as u64;
        }
        Ok::<_, DriverError>(takes.flush().await.is_ok())
    };
    let (passed, words) = tokio::join!(pass_on, listen(errors));
    let took_all = passed?;
    let words = conclude(child, filter, words).await?;
    if took_all { Ok(words) } else { Err(ended(filter, "status 0 before it had read all", &words)) }
}
