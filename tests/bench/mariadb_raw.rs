//! The raw tool for MariaDB: three servers as the manual has them, without TLS and without anything in front; a client is
//! given all three addresses. Galera has the timings that ours has, so that only the ways differ.

use anyhow::{Context as _, Result, bail, ensure};
use mysql_async::{Conn, OptsBuilder, Row, prelude::Queryable as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const NODES: std::ops::RangeInclusive<u8> = 1..=3;

/// How they share what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Gtid,
    Galera,
}

pub(crate) struct Raw {
    servers: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Drop for Raw {
    fn drop(&mut self) {
        for server in &mut self.servers {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

const fn address(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 254, 79, node)
}

/// Where the client connects: all three, and the first that takes writes is chosen.
pub(crate) fn url() -> String {
    let hosts: Vec<String> = NODES.map(|node| format!("{}:3306", address(node))).collect();
    format!("mysql://app:raw@{}/app", hosts.join(","))
}

impl Raw {
    /// Starts them and waits until all follow; how long that took.
    pub(crate) async fn start(way: Way) -> Result<(Self, Duration)> {
        let folder = tempfile::Builder::new().prefix("cd-raw-my-").tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let began = Instant::now();
        let mut raw = Self { servers: Vec::new(), folder };
        // Side by side, as a script would; members of a Galera group copy everything when they join.
        let first = if way == Way::Galera { 1..=1 } else { NODES };
        let made: Vec<_> = first.map(|node| raw.install(node)).collect::<Result<_>>()?;
        for one in made {
            let ended = tokio::task::spawn_blocking(move || one.wait_with_output()).await??;
            ensure!(ended.status.success(), "no data folder: {}", String::from_utf8_lossy(&ended.stderr));
        }
        for node in NODES {
            raw.serve(node, way)?;
            if way == Way::Galera {
                until(|| async { synced(node).await.unwrap_or(false) })
                    .await
                    .with_context(|| format!("member {node}"))?;
            }
        }
        if way == Way::Gtid {
            for node in NODES {
                until(|| async { ask(node, "DO 1").await.is_ok() }).await?;
            }
            for node in 2..=3 {
                follow(node, 1).await?;
            }
            for node in 2..=3 {
                until(|| async { follows(node).await.unwrap_or(false) })
                    .await
                    .context("a replica does not follow")?;
            }
        }
        Ok((raw, began.elapsed()))
    }

    fn dir(&self, node: u8) -> Result<PathBuf> {
        let dir = self.folder.path().join(format!("n{node}"));
        std::fs::create_dir_all(dir.join("data"))?;
        let (user, group) = account();
        if user.is_some() {
            chown(&dir, user, group)?;
            chown(dir.join("data"), user, group)?;
        }
        Ok(dir)
    }

    fn install(&self, node: u8) -> Result<Child> {
        let mut install = Command::new("mariadb-install-db");
        install.arg("--no-defaults").arg(option("datadir", &self.dir(node)?.join("data")));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        // A server that starts clears its folder for temporary files, whoever else has some there.
        install.arg(option("tmpdir", &self.dir(node)?)).args(as_user());
        quiet(&mut install).stderr(Stdio::piped()).spawn().context("mariadb-install-db is missing")
    }

    fn serve(&mut self, node: u8, way: Way) -> Result<()> {
        let dir = self.dir(node)?;
        let at = address(node);
        let init = dir.join("init.sql");
        let accounts = "SET sql_log_bin = 0;\nCREATE DATABASE IF NOT EXISTS app;\n\
             CREATE USER IF NOT EXISTS raw@'%' IDENTIFIED BY 'raw';\nGRANT ALL ON *.* TO raw@'%';\n\
             CREATE USER IF NOT EXISTS app@'%' IDENTIFIED BY 'raw';\nGRANT ALL ON app.* TO app@'%';\n";
        std::fs::write(&init, accounts)?;
        let mut server = Command::new("mariadbd");
        server.arg("--no-defaults").args(as_user()).arg(option("datadir", &dir.join("data")));
        server.arg(option("socket", &dir.join("s"))).arg(option("pid-file", &dir.join("pid")));
        server.arg(option("tmpdir", &dir));
        server.args([
            format!("--bind-address={at}"),
            "--port=3306".to_owned(),
            format!("--server-id={node}"),
        ]);
        server.args(["--skip-name-resolve", "--log-bin=b", "--binlog-format=ROW", "--log-slave-updates"]);
        // What ours have: each commit is on the disk before it is acknowledged.
        server.args(["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"]);
        // The others have a copy of the first, accounts included.
        if node == 1 || way == Way::Gtid {
            server.arg(option("init-file", &init));
        }
        match way {
            Way::Gtid if node > 1 => drop(server.arg("--read-only")),
            Way::Gtid => {}
            Way::Galera => drop(server.args(galera(node))),
        }
        self.servers.push(quiet(&mut server).spawn().context("mariadbd is missing")?);
        Ok(())
    }

    /// The second leads instead of the first, as its manual plans a switchover.
    pub(crate) async fn promote(&self) -> Result<()> {
        ask(1, "SET GLOBAL read_only = ON").await?;
        let last: String = word(1, "SELECT @@gtid_binlog_pos").await?.context("no position")?;
        let waited: Option<i64> = word(2, &format!("SELECT MASTER_GTID_WAIT('{last}', 10)")).await?;
        ensure!(waited == Some(0), "the replica does not catch up");
        for sql in ["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF"] {
            ask(2, sql).await?;
        }
        follow(1, 2).await?;
        ask(3, "STOP SLAVE").await?;
        follow(3, 2).await
    }

    /// Kills the first, which the client writes to.
    pub(crate) fn kill_first(&mut self) -> Result<()> {
        Ok(self.servers.first_mut().context("no server")?.kill()?)
    }
}

fn galera(node: u8) -> Vec<String> {
    let at = address(node);
    let members: Vec<String> = NODES.map(|node| address(node).to_string()).collect();
    let mut words = vec![
        "--wsrep-on=ON".to_owned(),
        "--wsrep-provider=/usr/lib/galera/libgalera_smm.so".to_owned(),
        "--wsrep-cluster-name=raw".to_owned(),
        format!("--wsrep-cluster-address=gcomm://{}", members.join(",")),
        format!("--wsrep-node-name=n{node}"),
        format!("--wsrep-node-address={at}"),
        format!("--wsrep-sst-receive-address={at}:4444"),
        "--wsrep-sst-method=rsync".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
        // What ours have (`services/mysql/galera.rs`).
        format!(
            "--wsrep-provider-options=gmcast.listen_addr=tcp://{at}:4567;ist.recv_addr={at}:4568;\
             evs.keepalive_period=PT0.2S;evs.inactive_check_period=PT0.2S;evs.suspect_timeout=PT1.5S;\
             evs.inactive_timeout=PT10S;evs.install_timeout=PT8S;evs.join_retrans_period=PT0.3S"
        ),
    ];
    if node == 1 {
        words.push("--wsrep-new-cluster".to_owned());
    }
    words
}

fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Who runs the servers where root, whom they refuse, starts them.
fn account() -> (Option<u32>, Option<u32>) {
    let me = std::fs::metadata("/proc/self").ok().map(|me| std::os::unix::fs::MetadataExt::uid(&me));
    if me != Some(0) {
        return (None, None);
    }
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = known.lines().find_map(|line| line.strip_prefix("mysql:")).unwrap_or_default();
    let mut numbers = fields.split(':').skip(1).map(|field| field.parse().ok());
    (numbers.next().flatten(), numbers.next().flatten())
}

fn as_user() -> Option<&'static str> {
    account().0.map(|_| "--user=mysql")
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

async fn connect(node: u8) -> Result<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname(address(node).to_string())
        .tcp_port(3306)
        .user(Some("raw"))
        .pass(Some("raw"))
        .prefer_socket(false);
    Ok(tokio::time::timeout(Duration::from_secs(2), Conn::new(options)).await??)
}

async fn ask(node: u8, sql: &str) -> Result<()> {
    Ok(connect(node).await?.query_drop(sql).await?)
}

async fn word<T: mysql_async::prelude::FromValue + Send>(node: u8, sql: &str) -> Result<Option<T>> {
    let row: Option<Row> = connect(node).await?.query_first(sql).await?;
    Ok(row.and_then(|mut row| row.take(0)))
}

async fn follow(node: u8, leader: u8) -> Result<()> {
    let whom = format!(
        "CHANGE MASTER TO master_host = '{}', master_user = 'raw', master_password = 'raw', master_use_gtid = {}",
        address(leader),
        if node == 1 { "current_pos" } else { "slave_pos" }
    );
    ask(node, &whom).await?;
    ask(node, "START SLAVE").await
}

async fn follows(node: u8) -> Result<bool> {
    let row: Option<Row> = connect(node).await?.query_first("SHOW SLAVE STATUS").await?;
    let row = row.context("no replica")?;
    let yes = |name: &str| row.get::<String, _>(name).is_some_and(|v| v == "Yes");
    Ok(yes("Slave_IO_Running") && yes("Slave_SQL_Running"))
}

async fn synced(node: u8) -> Result<bool> {
    let state = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_local_state'";
    Ok(word::<String>(node, state).await?.as_deref() == Some("4"))
}

pub(crate) async fn until<F: Future<Output = bool>>(fits: impl Fn() -> F) -> Result<()> {
    let began = Instant::now();
    while !fits().await {
        if began.elapsed() > PATIENCE {
            bail!("not in time");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
