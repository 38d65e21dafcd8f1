//! The raw tool for PostgreSQL: three etcd and three Patroni as their manuals have them, without TLS, with the timings ours
//! have, and a client that is given all three addresses.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;
const NODES: std::ops::RangeInclusive<u8> = 1..=3;

pub(crate) struct Raw {
    etcd: Vec<Child>,
    patroni: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Drop for Raw {
    fn drop(&mut self) {
        for child in self.patroni.iter_mut().chain(&mut self.etcd) {
            // Its own group: Patroni and the PostgreSQL below it.
            drop(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).output());
            drop(child.wait());
        }
        NODES.for_each(|node| kill_postgres(&self.folder.path().join(format!("n{node}"))));
    }
}

fn kill_postgres(folder: &Path) {
    let pid = std::fs::read_to_string(folder.join("pg/postmaster.pid")).unwrap_or_default();
    if let Some(pid) = pid.lines().next() {
        drop(Command::new("kill").args(["-KILL", pid]).output());
    }
}

const fn address(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 254, 78, node)
}

/// Where the client connects: all three, and the one that takes writes is chosen.
pub(crate) fn url() -> String {
    let hosts: Vec<String> = NODES.map(|node| format!("{}:5432", address(node))).collect();
    format!("postgresql://postgres:raw@{}/postgres?target_session_attrs=read-write", hosts.join(","))
}

impl Raw {
    /// Starts them and waits until both replicas follow; how long that took.
    pub(crate) async fn start() -> Result<(Self, Duration)> {
        let folder = tempfile::Builder::new().prefix("cd-raw-pg-").tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let began = Instant::now();
        let mut raw = Self { etcd: Vec::new(), patroni: Vec::new(), folder };
        let peers: Vec<String> = NODES.map(|n| format!("n{n}=http://{}:2380", address(n))).collect();
        for node in NODES {
            let dir = raw.dir(node)?;
            let (client, peer) =
                (format!("http://{}:2379", address(node)), format!("http://{}:2380", address(node)));
            let mut etcd = Command::new("etcd");
            etcd.args(["--name", &format!("n{node}"), "--data-dir"]).arg(dir.join("etcd"));
            etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            etcd.args(["--initial-cluster", &peers.join(","), "--log-level", "error"]);
            raw.etcd.push(spawn(etcd, &dir)?);
        }
        for node in NODES {
            let dir = raw.dir(node)?;
            let conf = dir.join("patroni.yml");
            std::fs::write(&conf, conf_of(node, &dir)?.to_string())?;
            let mut patroni = Command::new("patroni");
            patroni.arg(&conf);
            raw.patroni.push(spawn(patroni, &dir)?);
        }
        until(|| async { members().await.is_some_and(|m| whole(&m)) }).await.context("three members")?;
        Ok((raw, began.elapsed()))
    }

    fn dir(&self, node: u8) -> Result<PathBuf> {
        let dir = self.folder.path().join(format!("n{node}"));
        std::fs::create_dir_all(&dir)?;
        if rustix_is_root() {
            chown(&dir, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(dir)
    }

    /// `patronictl switchover` to the first replica.
    pub(crate) async fn switch_over(&self) -> Result<()> {
        let all = members().await.context("no member answers")?;
        let name = |role: &str| all.iter().find(|m| m["role"] == role).and_then(|m| m["name"].as_str());
        let (leader, candidate) =
            (name("leader").context("nobody leads")?, name("replica").context("no replica")?);
        let mut switch = Command::new("patronictl");
        switch.arg("-c").arg(self.folder.path().join("n1/patroni.yml"));
        switch.args(["switchover", "--force", "--master", leader, "--candidate", candidate, "raw"]);
        let ended = tokio::task::spawn_blocking(move || switch.output()).await??;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    }

    /// Kills Patroni and PostgreSQL of the node that leads.
    pub(crate) async fn kill_primary(&mut self) -> Result<()> {
        let all = members().await.context("no member answers")?;
        let leader = all.iter().find(|m| m["role"] == "leader").context("nobody leads")?;
        let node: u8 =
            leader["name"].as_str().and_then(|n| n.strip_prefix('n')?.parse().ok()).context("a name")?;
        self.patroni.get_mut(usize::from(node) - 1).context("no such node")?.kill()?;
        kill_postgres(&self.folder.path().join(format!("n{node}")));
        Ok(())
    }

    /// Waits until all are well again.
    pub(crate) async fn healthy(&self) -> Result<()> {
        until(|| async { members().await.is_some_and(|m| whole(&m)) }).await
    }
}

fn rustix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

fn spawn(mut command: Command, folder: &Path) -> Result<Child> {
    command
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if rustix_is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let name = command.get_program().to_string_lossy().into_owned();
    command.spawn().with_context(|| format!("{name} is missing"))
}

fn conf_of(node: u8, dir: &Path) -> Result<Value> {
    let at = address(node);
    let bin = std::fs::read_dir("/usr/lib/postgresql")?
        .flatten()
        .map(|version| version.path().join("bin"))
        .find(|bin| bin.join("pg_ctl").exists())
        .context("PostgreSQL is missing")?;
    let hosts: Vec<String> = NODES.map(|n| format!("{}:2379", address(n))).collect();
    let account = |user: &str| json!({ "username": user, "password": "raw" });
    Ok(json!({
        "scope": "raw",
        "name": format!("n{node}"),
        "restapi": { "listen": format!("{at}:8008"), "connect_address": format!("{at}:8008") },
        "etcd3": { "hosts": hosts },
        "bootstrap": {
            // What ours have (`services/postgres/patroni.rs`), so that only the ways differ.
            "dcs": { "ttl": 5, "loop_wait": 1, "retry_timeout": 2, "master_start_timeout": 0,
                "postgresql": { "use_pg_rewind": true, "parameters": { "wal_log_hints": "on" } } },
            "initdb": [{ "encoding": "UTF8" }, "data-checksums"],
        },
        "postgresql": {
            "listen": format!("{at}:5432"),
            "connect_address": format!("{at}:5432"),
            "data_dir": dir.join("pg"),
            "bin_dir": bin,
            "pgpass": dir.join("pgpass"),
            "parameters": { "unix_socket_directories": dir },
            "pg_hba": ["host all all 127.0.0.0/8 md5", "host replication all 127.0.0.0/8 md5", "local all all trust"],
            "authentication": {
                "superuser": account("postgres"), "replication": account("replica"), "rewind": account("rewind"),
            },
        },
        "watchdog": { "mode": "off" },
    }))
}

/// What `GET /cluster` of the first that answers says.
async fn members() -> Option<Vec<Value>> {
    for node in NODES {
        let asked = async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut stream = tokio::net::TcpStream::connect((address(node), 8008)).await.ok()?;
            stream.write_all(b"GET /cluster HTTP/1.0\r\n\r\n").await.ok()?;
            let mut said = String::new();
            stream.read_to_string(&mut said).await.ok()?;
            let body: Value = serde_json::from_str(said.split_once("\r\n\r\n")?.1).ok()?;
            body["members"].as_array().cloned()
        };
        if let Ok(Some(found)) = tokio::time::timeout(Duration::from_secs(1), asked).await {
            return Some(found);
        }
    }
    None
}

fn whole(members: &[Value]) -> bool {
    let running = |m: &&Value| matches!(m["state"].as_str(), Some("running" | "streaming"));
    members.iter().filter(running).count() == 3
        && members.iter().any(|m| m["role"] == "leader")
        && members.iter().filter(|m| m["role"] == "replica").all(|m| m["lag"].is_u64())
}

async fn until<F: Future<Output = bool>>(fits: impl Fn() -> F) -> Result<()> {
    let began = Instant::now();
    while !fits().await {
        if began.elapsed() > PATIENCE {
            bail!("not in time");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
