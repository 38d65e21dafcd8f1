//! The raw tool: three servers and three Sentinels as their manual has them, with the timings ours have, and a client that
//! asks the Sentinels where to write.

use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

/// Ends with it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) struct Raw {
    servers: Vec<Server>,
    _folder: tempfile::TempDir,
}

const fn address(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 254, 77, node)
}

fn server(node: u8) -> String {
    format!("redis://{}:6379", address(node))
}

fn sentinel(node: u8) -> String {
    format!("redis://{}:26379", address(node))
}

impl Raw {
    /// Starts them and waits until both replicas stream and every Sentinel knows the others; how long that took.
    pub(crate) async fn start() -> Result<(Self, Duration)> {
        let folder = tempfile::Builder::new().prefix("cd-raw-").tempdir()?;
        let began = Instant::now();
        let mut servers = Vec::new();
        for node in 1..=3 {
            let dir = folder.path().join(format!("n{node}"));
            std::fs::create_dir(&dir)?;
            let ip = address(node);
            let follow = if node == 1 { String::new() } else { format!("replicaof {} 6379\n", address(1)) };
            let conf = format!(
                "bind {ip}\nport 6379\nprotected-mode no\ndir {}\nappendonly yes\nrepl-diskless-sync-delay 0\n\
                 replica-announce-ip {ip}\n{follow}",
                dir.display()
            );
            servers.push(spawn(dir.join("redis.conf"), &conf, false)?);
        }
        // Their first question to a primary is asked again only ten seconds later: replicas must be there before.
        until(streaming).await.context("the replicas do not stream")?;
        for node in 1..=3 {
            let (dir, ip) = (folder.path().join(format!("n{node}")), address(node));
            let conf = format!(
                "bind {ip}\nport 26379\nprotected-mode no\ndir {}\nsentinel announce-ip {ip}\nsentinel monitor raw {} 6379 2\n\
                 sentinel down-after-milliseconds raw {}\nsentinel failover-timeout raw 10000\n",
                dir.display(),
                address(1),
                DOWN_AFTER_MS,
            );
            servers.push(spawn(dir.join("sentinel.conf"), &conf, true)?);
        }
        let raw = Self { servers, _folder: folder };
        for node in 1..=3 {
            until(|| ready(node)).await.with_context(|| format!("sentinel {node}"))?;
        }
        Ok((raw, began.elapsed()))
    }

    /// Kills the first primary.
    pub(crate) fn kill_primary(&mut self) -> Result<()> {
        Ok(self.servers.first_mut().context("no server")?.0.kill()?)
    }
}

/// What our Sentinels have (`services/redis/sentinel.rs`), so that only the ways differ.
const DOWN_AFTER_MS: u32 = 1300;

fn spawn(path: PathBuf, conf: &str, sentinel: bool) -> Result<Server> {
    std::fs::write(&path, conf)?;
    let mut command = Command::new("redis-server");
    command.arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    if sentinel {
        command.arg("--sentinel");
    }
    Ok(Server(command.spawn().context("redis-server is missing")?))
}

async fn until<F: Future<Output = bool>>(fits: impl Fn() -> F) -> Result<()> {
    let began = Instant::now();
    while !fits().await {
        if began.elapsed() > PATIENCE {
            bail!("not in time");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A Sentinel that knows two others and two replicas can fail over.
async fn ready(node: u8) -> bool {
    let Ok(mut c) = connect(&sentinel(node)).await else { return false };
    let fields: Vec<String> =
        redis::cmd("SENTINEL").arg("MASTER").arg("raw").query_async(&mut c).await.unwrap_or_default();
    let field = |name: &str| fields.iter().skip_while(|f| *f != name).nth(1).cloned().unwrap_or_default();
    if field("num-other-sentinels") != "2" || field("num-slaves") != "2" {
        return false;
    }
    true
}

/// Both replicas have their copy and follow.
async fn streaming() -> bool {
    let Ok(mut c) = connect(&server(1)).await else { return false };
    let info: String = redis::cmd("INFO").arg("replication").query_async(&mut c).await.unwrap_or_default();
    info.matches("state=online").count() == 2
}

/// `SENTINEL FAILOVER`, as its manual plans a promotion.
pub(crate) async fn failover() -> Result<()> {
    let mut c = connect(&sentinel(1)).await?;
    redis::cmd("SENTINEL").arg("FAILOVER").arg("raw").query_async::<()>(&mut c).await?;
    Ok(())
}

/// Where the Sentinels say that writes go.
async fn primary() -> Option<String> {
    for node in 1..=3 {
        let Ok(mut c) = connect(&sentinel(node)).await else { continue };
        let found: redis::RedisResult<(String, u16)> =
            redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg("raw").query_async(&mut c).await;
        if let Ok((ip, port)) = found {
            return Some(format!("redis://{ip}:{port}"));
        }
    }
    None
}

/// A client of the raw tool, which writes as fast as it can and asks the Sentinels after every error.
pub(crate) struct Client {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(BTreeSet<u64>, Duration)>,
}

impl Client {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(write(stop.clone()));
        Self { stop, task }
    }

    /// Its longest wait between two acknowledged writes, and how many of those are gone.
    pub(crate) async fn stop(self) -> Result<(Duration, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        let (written, gap) = self.task.await?;
        let mut c = connect(&primary().await.context("nobody leads")?).await?;
        let mut lost = 0;
        for number in written {
            let found: Option<u64> = redis::cmd("GET").arg(number).query_async(&mut c).await?;
            lost += usize::from(found.is_none());
        }
        Ok((gap, lost))
    }
}

async fn write(stop: Arc<AtomicBool>) -> (BTreeSet<u64>, Duration) {
    let (mut written, mut gap, mut last) = (BTreeSet::new(), Duration::ZERO, None::<Instant>);
    let (mut open, mut number) = (None, 0_u64);
    while !stop.load(Ordering::Relaxed) {
        if open.is_none()
            && let Some(at) = primary().await
        {
            open = connect(&at).await.ok();
        }
        let Some(c) = open.as_mut() else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        number += 1;
        let done: redis::RedisResult<()> = redis::cmd("SET").arg(number).arg(number).query_async(c).await;
        if done.is_ok() {
            let now = Instant::now();
            gap = gap.max(last.map_or(Duration::ZERO, |last| now - last));
            last = Some(now);
            written.insert(number);
        } else {
            open = None;
        }
    }
    (written, gap)
}

async fn connect(url: &str) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_millis(500)))
        .set_response_timeout(Some(Duration::from_millis(1000)));
    redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}
