//! Copying a server's data out and laying it for a new one.
//!
//! The copy is what a replica gets when it links for the first time: a snapshot of one moment, made by a child process while
//! clients write. A new server finds it as the base of its append-only log, which is what it reads when it starts.

use super::{
    config::{DATA, FOLDER},
    flavour::{self, Flavour},
    session::{ANSWER, PORT, Session},
};
use clusterdeck_domain::{Count, NodeSpec, Sensitive};
use clusterdeck_driver::{
    ClusterContext, CopyFormat, CopyFrom, DriverError, Filter, Incoming, Outgoing, Progress, Result,
};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// A server that forks for a snapshot says something every second; one that says nothing for so long hangs.
const SILENT: Duration = Duration::from_secs(30);
/// The longest line of an answer.
const LINE: u64 = 512;
/// Bytes passed on at once.
const PIECE: usize = 64 << 10;

/// A copy is a snapshot as the server itself writes one.
pub(crate) const FORMAT: CopyFormat = CopyFormat {
    ending: "rdb",
    restore: "1. Stop the server you restore to, and empty its data folder (`dir` in its configuration).\n\
              2. Put FILE there under the name that `dbfilename` says, usually dump.rdb.\n\
              3. Start the server with `appendonly no`: it reads the snapshot.\n\
              4. Say `CONFIG SET appendonly yes` if you want the log, and write that into its configuration.\n\
              Of a sharded cluster each file is one shard: one server each, or `redis-cli --cluster import`.\n",
};

/// A link as a replica has it.
struct Link<'a> {
    stream: BufReader<TcpStream>,
    whom: &'a str,
}

impl Link<'_> {
    fn broke(&self, what: &str) -> DriverError {
        DriverError::transient(format!("the copy from {} {what}", self.whom))
    }
    async fn line(&mut self) -> Result<String> {
        loop {
            let mut line = Vec::new();
            let mut short = (&mut self.stream).take(LINE);
            match timeout(SILENT, short.read_until(b'\n', &mut line)).await {
                Err(_) => return Err(self.broke("does not begin: the server is silent")),
                Ok(Err(_) | Ok(0)) => return Err(self.broke("was cut off by the server")),
                Ok(Ok(_)) => {}
            }
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            // Bare line ends are signs of life while the snapshot is begun.
            if !text.is_empty() {
                return Ok(text);
            }
        }
    }
    /// Says something and takes the answer, without its sign; what the server refuses is `Err`.
    async fn ask(&mut self, words: &[&str]) -> Result<std::result::Result<String, String>> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let text = Sensitive::new(text);
        let written = self.stream.get_mut().write_all(text.reveal().as_bytes()).await;
        written.map_err(|_| self.broke("was cut off by the server"))?;
        let line = self.line().await?;
        Ok(match line.split_at(1) {
            ("-", why) => Err(why.to_owned()),
            (_, said) => Ok(said.to_owned()),
        })
    }
    async fn some(&mut self, piece: &mut [u8]) -> Result<usize> {
        match timeout(SILENT, self.stream.read(piece)).await {
            Err(_) => Err(self.broke("stands still: the server is silent")),
            Ok(Err(_) | Ok(0)) => Err(self.broke("was cut off by the server before its end")),
            Ok(Ok(n)) => Ok(n),
        }
    }
}

async fn open<'a>(cx: &ClusterContext, node: &'a NodeSpec) -> Result<Link<'a>> {
    let at = cx.machine(node)?.reach(PORT);
    let silent = || DriverError::transient(format!("{} accepts no connections", node.name));
    let stream =
        timeout(ANSWER, TcpStream::connect(at)).await.map_err(|_| silent())?.map_err(|_| silent())?;
    let mut link = Link { stream: BufReader::with_capacity(PIECE, stream), whom: &node.name };
    // In a rotation some servers know the newest already, the others still know the one before.
    let (newest, current) = (cx.secrets.newest("replica")?, cx.secrets.get("replica")?);
    for password in [newest, current] {
        if link.ask(&["AUTH", "replica", password.reveal()]).await?.is_ok() {
            return Ok(link);
        }
    }
    Err(DriverError::rejected(
        format!("{} does not accept the password with which replicas link", node.name),
        "somebody changed its users; restart the node to write them again",
    ))
}

/// See [`clusterdeck_driver::ServiceDriver::copy_out`].
pub(crate) async fn out(
    cx: &ClusterContext,
    from: &CopyFrom,
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<String> {
    let node = cx.node(&from.node)?;
    let mut link = open(cx, node).await?;
    progress.note(&format!("{} begins its snapshot", node.name));
    // Only the snapshot: else the server keeps what clients write meanwhile for us, and cuts us off when that is much. Those
    // from before Redis 7 do not know it.
    drop(link.ask(&["REPLCONF", "rdb-only", "1"]).await?);
    drop(link.ask(&["REPLCONF", "capa", "eof"]).await?);
    let said = link.ask(&["PSYNC", "?", "-1"]).await?;
    let position = match said {
        Ok(said) => place(&said).ok_or_else(|| {
            DriverError::broken(format!("{} answered a request for a copy with `{said}`", node.name))
        })?,
        // A replica whose own link is down, or a server that still reads its data.
        Err(why) => return Err(DriverError::transient(format!("{} gives no copy: {why}", node.name))),
    };
    let header = link.line().await?;
    let to = |e: std::io::Error| DriverError::transient(format!("passing on a copy: {e}"));
    match header.strip_prefix("$EOF:") {
        Some(mark) => until_mark(&mut link, mark.as_bytes(), output).await?,
        None => {
            let length = header.strip_prefix('$').and_then(|n| n.parse::<u64>().ok());
            let mut left = length.ok_or_else(|| link.broke("began with something that is no snapshot"))?;
            let mut piece = vec![0; PIECE];
            while left > 0 {
                let most = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
                let n = link.some(&mut piece[..most]).await?;
                output.write_all(&piece[..n]).await.map_err(to)?;
                left -= n as u64;
            }
        }
    }
    Ok(position)
}

/// `FULLRESYNC <history> <offset>`.
fn place(said: &str) -> Option<String> {
    let mut words = said.split_whitespace();
    let (what, history, offset) = (words.next()?, words.next()?, words.next()?);
    (what == "FULLRESYNC").then(|| format!("offset {offset} of {history}"))
}

/// A snapshot that was never a file has no length: it ends with a mark of 40 bytes that was told before.
async fn until_mark(link: &mut Link<'_>, mark: &[u8], output: &mut Outgoing) -> Result<()> {
    let mut held: Vec<u8> = Vec::with_capacity(PIECE + mark.len());
    let mut piece = vec![0; PIECE];
    while mark.is_empty() || !held.ends_with(mark) {
        let n = link.some(&mut piece).await?;
        held.extend_from_slice(&piece[..n]);
        let sure = held.len().saturating_sub(mark.len());
        if !held.ends_with(mark) && sure > 0 {
            let to = |e: std::io::Error| DriverError::transient(format!("passing on a copy: {e}"));
            output.write_all(&held[..sure]).await.map_err(to)?;
            held.drain(..sure);
        }
    }
    held.truncate(held.len() - mark.len());
    output.write_all(&held).await.map_err(|e| DriverError::transient(format!("passing on a copy: {e}")))
}

/// `$1` bytes of input, `$2` the folder of the new data, `$3` where in it, `$4` a manifest beside that, if any. Renamed when
/// whole.
const LAY: &str = r#"
umask 077
rm -rf "$2.laid" && mkdir -p "$2.laid/$(dirname "$3")" || exit 1
head -c "$1" > "$2.laid/$3" || exit 1
[ "$(head -c 5 "$2.laid/$3")" = REDIS ] || { echo 'it is no snapshot of such a server' >&2; exit 1; }
[ "$(wc -c < "$2.laid/$3")" -eq "$1" ] || { echo 'it was cut short' >&2; exit 1; }
[ -z "$4" ] || printf 'file %s seq 1 type b\n' "$(basename "$3")" > "$2.laid/$4" || exit 1
sync "$2.laid/$3" 2>/dev/null
rm -rf "$2" && mv "$2.laid" "$2"
"#;

/// See [`clusterdeck_driver::ServiceDriver::copy_in`].
pub(crate) async fn lay(
    cx: &ClusterContext,
    node: &NodeSpec,
    input: &mut Incoming,
    bytes: u64,
) -> Result<()> {
    let machine = cx.machine(node)?;
    let software = flavour::software(&cx.spec, machine.as_ref()).await?;
    // From Redis 7 on the log is several files, and a manifest says which; before, one file that may begin with a snapshot.
    let (file, manifest) = if Flavour::of(cx.spec.service).knows_redis_7(&software.version) {
        ("appendonlydir/appendonly.aof.1.base.rdb", "appendonlydir/appendonly.aof.manifest")
    } else {
        ("appendonly.aof", "")
    };
    machine.create_dir(FOLDER).await?;
    let data = machine.path(DATA).to_string_lossy().into_owned();
    let args = [bytes.to_string(), data, file.to_owned(), manifest.to_owned()];
    machine.feed(&Filter::script(LAY, args), input, bytes).await.map(drop)
}

/// See [`clusterdeck_driver::ServiceDriver::count`]. Keys with a time to live go by themselves: there are between those without
/// one and all.
pub(crate) async fn count(cx: &ClusterContext, node: &NodeSpec) -> Result<Vec<Count>> {
    let said: String = Session::open(cx, node).await?.say("INFO keyspace").await?;
    let mut counts: Vec<Count> = said.lines().filter_map(counted).collect();
    // A server with nothing in it lists no database.
    let sum = |of: fn(&Count) -> u64| counts.iter().map(of).sum();
    counts.push(Count::moving("keys in all", sum(|c| c.low), sum(|c| c.high)));
    Ok(counts)
}

/// `db0:keys=12,expires=3,avg_ttl=0`.
fn counted(line: &str) -> Option<Count> {
    let (database, figures) = line.trim().strip_prefix("db")?.split_once(':')?;
    let figure = |name: &str| {
        let found = figures.split(',').find_map(|f| f.strip_prefix(name)?.strip_prefix('='));
        found.and_then(|n| n.parse::<u64>().ok())
    };
    let keys = figure("keys")?;
    let lasting = keys.saturating_sub(figure("expires")?);
    Some(Count::moving(format!("keys in database {database}"), lasting, keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_copy_and_its_counts_are_read_as_servers_write_them() {
        assert_eq!(place("FULLRESYNC 8371b4fb 1024").as_deref(), Some("offset 1024 of 8371b4fb"));
        assert_eq!(place("CONTINUE"), None);
        let found = counted("db3:keys=12,expires=3,avg_ttl=0,subexpiry=0");
        assert_eq!(found, Some(Count::moving("keys in database 3", 9, 12)));
        assert_eq!(counted("# Keyspace"), None);
    }
}
