//! Clusters of ours, made and changed by the real program, through a `serve` that hosts the home as the window does.

use crate::raw::{self, Raw};
use crate::table::{RUNS, Table};
use anyhow::{Context as _, Result, bail};
use clusterdeck_tests::client::{Writer, missing};
use clusterdeck_tests::places::{Home, program};
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// A while of writing before and after what is measured.
pub(crate) const WHILE: Duration = Duration::from_millis(500);

/// A home with a vault of its own.
pub(crate) fn home() -> Result<Home> {
    let home = Home::new()?;
    let key = home.path().join("key");
    std::fs::write(&key, "a key for measuring that is long enough, 0123456789abcdef\n")?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    Ok(home)
}

/// `clusterdeck serve`, ended with it.
pub(crate) struct Serve {
    child: Child,
    pub(crate) port: u16,
    home: std::path::PathBuf,
}

impl Drop for Serve {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status());
        drop(self.child.wait());
    }
}

impl Serve {
    pub(crate) async fn start(home: &Path) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = command(home)?
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let serve = Self { child, port, home: home.to_owned() };
        let began = Instant::now();
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            if began.elapsed() > PATIENCE {
                bail!("serve does not answer");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(serve)
    }

    /// A command against its home, and what it says as JSON.
    pub(crate) async fn run(&self, words: &str) -> Result<Value> {
        let mut command = command(&self.home)?;
        command.arg("--json").args(words.split_whitespace());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if !output.status.success() {
            bail!("{words}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Most memory that its process had at once, in MiB.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak")?;
        let kib: f64 = peak.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    pub(crate) async fn create(&self) -> Result<()> {
        self.run("cluster create demo --service redis --topology primary-replica --nodes 3 --plan NANO-1C-256M --yes").await?;
        self.healthy().await
    }

    pub(crate) async fn healthy(&self) -> Result<()> {
        let began = Instant::now();
        while self.run("cluster show demo").await?["health"] != "healthy" {
            if began.elapsed() > PATIENCE {
                bail!("demo does not become healthy");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub(crate) async fn delete(&self) -> Result<Value> {
        self.run("cluster delete demo --confirm demo --discard-backups --yes").await
    }

    pub(crate) async fn url(&self) -> Result<String> {
        let said = self.run("cluster credentials demo --reveal").await?;
        Ok(said["url"].as_str().context("no address")?.to_owned())
    }

    /// The first node with this role.
    pub(crate) async fn node(&self, role: &str) -> Result<Value> {
        let nodes = self.run("cluster show demo").await?["nodes"].take();
        let found = nodes.as_array().and_then(|all| all.iter().find(|n| n["role"] == role).cloned());
        found.with_context(|| format!("no {role}"))
    }
}

fn command(home: &Path) -> Result<Command> {
    let mut command = Command::new(program("clusterdeck")?);
    command
        .env("CLUSTERDECK_HOME", home)
        .env("CLUSTERDECK_VAULT_KEY_FILE", home.join("key"))
        .stdin(Stdio::null());
    Ok(command)
}

pub(crate) fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// Creation, promotion and failover, ours and the raw tool's in turn.
pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if !table.wants("create promote failover") {
        return Ok(());
    }
    let home = home()?;
    let serve = Serve::start(home.path()).await?;
    let mut ours = Figures::default();
    let mut theirs = Figures::default();
    for _ in 0..RUNS {
        one_of_ours(&serve, &home, &mut ours).await?;
        one_of_theirs(&mut theirs).await?;
    }
    table.add("create 3 nodes, command to healthy", "ms", &ours.create, &theirs.create, "≤ 2500 ms");
    table.add("promote: longest wait of a writer", "ms", &ours.promote, &theirs.promote, "");
    table.add("promote: write gap as reported", "ms", &ours.reported, &[], "< 20 ms");
    table.add("promote: acknowledged writes lost", "", &ours.promote_lost, &theirs.promote_lost, "0");
    table.add("kill -9 to the next write", "ms", &ours.failover, &theirs.failover, "< 3000 ms");
    table.add("delete 3 nodes", "ms", &ours.delete, &[], "");
    Ok(())
}

#[derive(Default)]
struct Figures {
    create: Vec<f64>,
    promote: Vec<f64>,
    reported: Vec<f64>,
    promote_lost: Vec<f64>,
    failover: Vec<f64>,
    delete: Vec<f64>,
}

#[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
async fn one_of_ours(serve: &Serve, home: &Home, figures: &mut Figures) -> Result<()> {
    let began = Instant::now();
    serve.create().await?;
    figures.create.push(ms(began.elapsed()));
    let url = serve.url().await?;

    let replica = serve.node("replica").await?["name"].as_str().context("no name")?.to_owned();
    let writer = Writer::without_pause(url.clone());
    tokio::time::sleep(WHILE).await;
    let done = serve.run(&format!("node promote {replica} --confirm {replica} --yes")).await?;
    tokio::time::sleep(WHILE).await;
    let written = writer.stop();
    figures.promote.push(ms(written.longest_gap));
    figures.reported.push(done["outcome"]["write_gap_ms"].as_f64().context("no gap reported")?);
    figures.promote_lost.push(missing(&url, false, &written.acknowledged).len() as f64);

    serve.healthy().await?;
    let pid = server_at(home, serve.node("primary").await?["address"].as_str().context("no address")?)?;
    let writer = Writer::without_pause(url);
    tokio::time::sleep(WHILE).await;
    let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status()?;
    anyhow::ensure!(killed.success(), "{pid} could not be killed");
    // Longer than the slowest failover seen; the writer notes its own wait.
    tokio::time::sleep(Duration::from_secs(6)).await;
    figures.failover.push(ms(writer.stop().longest_gap));
    serve.healthy().await?;

    let began = Instant::now();
    serve.delete().await?;
    figures.delete.push(ms(began.elapsed()));
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
async fn one_of_theirs(figures: &mut Figures) -> Result<()> {
    let (mut raw, took) = Raw::start().await?;
    figures.create.push(ms(took));
    let client = raw::Client::start();
    tokio::time::sleep(WHILE).await;
    raw::failover().await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (gap, lost) = client.stop().await?;
    figures.promote.push(ms(gap));
    figures.promote_lost.push(lost as f64);
    drop(raw);

    (raw, _) = Raw::start().await?;
    let client = raw::Client::start();
    tokio::time::sleep(WHILE).await;
    raw.kill_primary()?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    figures.failover.push(ms(client.stop().await?.0));
    Ok(())
}

/// The process of the data server at this address: its command line names it.
fn server_at(home: &Home, address: &str) -> Result<u32> {
    let servers = home.servers()?;
    let at = format!("{address}:6379");
    let found = servers.iter().find(|(_, line)| line.contains(&at));
    found.map(|(pid, _)| *pid).with_context(|| format!("no server at {at}: {servers:?}"))
}
