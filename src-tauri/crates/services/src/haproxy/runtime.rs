//! Talking to a running HAProxy through its master's socket: one short conversation a call.
//!
//! After a reload the process before goes on serving the connections it had. Whatever is about connections is asked of,
//! or told to, all of them.

use clusterdeck_driver::{DriverError, Result};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// It answers within a millisecond; a busy machine may take longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// An answer about sixty nodes has some 30 KB.
const LONGEST_ANSWER: u64 = 1 << 20;

/// The worker processes: the one that takes new connections, and those before it.
pub(crate) struct Workers {
    pub(crate) current: u32,
    pub(crate) before: Vec<u32>,
}

/// Sends commands, separated by `;`, and reads all answers.
pub(crate) async fn tell(socket: &Path, commands: &str) -> Result<String> {
    let conversation = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(format!("{commands}\n").as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.take(LONGEST_ANSWER).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match tokio::time::timeout(ANSWERS_WITHIN, conversation).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(e)) => Err(DriverError::transient(format!("HAProxy cannot be reached on its socket: {e}"))),
        Err(_) => Err(DriverError::transient("HAProxy does not answer on its socket")),
    }
}

/// Asks the master for its workers.
pub(crate) async fn workers(socket: &Path) -> Result<Workers> {
    let text = tell(socket, "show proc").await?;
    read_workers(&text).ok_or_else(|| DriverError::transient("HAProxy has no worker process yet"))
}

fn read_workers(text: &str) -> Option<Workers> {
    let mut current = None;
    let mut before = Vec::new();
    let mut old = false;
    for line in text.lines() {
        old |= line.starts_with("# old workers");
        let mut words = line.split_whitespace();
        if let (Some(Ok(pid)), Some("worker")) = (words.next().map(str::parse), words.next()) {
            if old {
                before.push(pid);
            } else {
                current = Some(pid);
            }
        }
    }
    Some(Workers { current: current?, before })
}

/// Commands for one worker as the master passes them on.
pub(crate) fn to(worker: u32, commands: &[String]) -> String {
    commands.iter().map(|c| format!("@!{worker} {c}")).collect::<Vec<_>>().join(";")
}

/// Tells every worker the same. Those before the current may end at any time; only the current one must answer.
pub(crate) async fn tell_all(socket: &Path, workers: &Workers, commands: &[String]) -> Result<()> {
    refused(&tell(socket, &to(workers.current, commands)).await?)?;
    for worker in &workers.before {
        if let Err(e) = tell(socket, &to(*worker, commands)).await {
            tracing::debug!(worker, error = %e, "a former HAProxy worker has ended meanwhile");
        }
    }
    Ok(())
}

/// HAProxy answers a command that worked with nothing, or with what was asked for.
pub(crate) fn refused(answer: &str) -> Result<()> {
    match answer.lines().find(|line| {
        line.starts_with("No such") || line.starts_with("Unknown") || line.starts_with("Require")
    }) {
        None => Ok(()),
        Some(line) => Err(DriverError::rejected(
            format!("HAProxy refused: {}", line.trim_end_matches('.')),
            "its configuration does not hold that node; apply it again",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_before_a_reload_are_told_from_the_current_one() {
        let text = "#<PID> <type> <reloads>\n15195           master          1 [failed: 0]\n# workers\n15427    worker   0\n\
                    # old workers\n15198    worker     1  0d\n# programs\n";
        let workers = read_workers(text).unwrap();
        assert_eq!((workers.current, workers.before), (15427, vec![15198]));
        assert!(
            read_workers("# workers\n# programs\n").is_none(),
            "a master without a worker passes nothing on"
        );
    }
}
