//! Talking to a running HAProxy's master: one short conversation a call.
//!
//! After a reload the process before goes on serving the connections it had. Whatever is about connections is asked of,
//! or told to, all of them.

use clusterdeck_driver::{DriverError, Result};
use rustls::pki_types::ServerName;
use std::{io::ErrorKind, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

/// It answers within a millisecond; a busy machine may take longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// An answer about sixty nodes has some 30 KB, one about 8000 connections 3 MB.
const LONGEST_ANSWER: u64 = 8 << 20;

/// The worker processes: the one that takes new connections, and those before it.
pub(crate) struct Workers {
    pub(crate) current: u32,
    pub(crate) before: Vec<u32>,
}

/// The way to a master.
#[derive(Clone)]
pub(crate) enum Channel {
    /// Its socket.
    Socket(PathBuf),
    /// A door of its own in front of that, for those who have the key.
    Tls { at: SocketAddr, connector: TlsConnector },
}

/// Sends commands, separated by `;`, and reads all answers.
pub(crate) async fn tell(channel: &Channel, commands: &str) -> Result<String> {
    let conversation = async {
        match channel {
            Channel::Socket(path) => converse(UnixStream::connect(path).await?, commands).await,
            Channel::Tls { at, connector } => {
                let stream = TcpStream::connect(at).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::IpAddress(at.ip().into());
                converse(connector.connect(name, stream).await?, commands).await
            }
        }
    };
    match tokio::time::timeout(ANSWERS_WITHIN, conversation).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(e)) => Err(DriverError::transient(format!("HAProxy's master cannot be reached: {e}"))),
        Err(_) => Err(DriverError::transient("HAProxy's master does not answer")),
    }
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    commands: &str,
) -> std::io::Result<String> {
    stream.write_all(format!("{commands}\n").as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    match stream.take(LONGEST_ANSWER).read_to_string(&mut answer).await {
        // A worker that makes room for the next one closes without the farewell of TLS.
        Err(e) if e.kind() != ErrorKind::UnexpectedEof => Err(e),
        _ => Ok(answer),
    }
}

/// Asks the master for its workers.
pub(crate) async fn workers(socket: &Channel) -> Result<Workers> {
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
pub(crate) async fn tell_all(socket: &Channel, workers: &Workers, commands: &[String]) -> Result<()> {
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
