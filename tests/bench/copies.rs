//! Backups of a large cluster beside the tools that make the same copy: how fast, and what our process takes meanwhile. The raw
//! tool copies the same server, signed in as we are, into a file: alone, and packed and encrypted by `zstd` and `age` as ours is.

use crate::ours::{Serve, home, ms};
use crate::table::Table;
use anyhow::{Context as _, Result, bail, ensure};
use clusterdeck_domain::{ClusterId, SecretRef};
use clusterdeck_tests::places::Home;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Of each; a copy takes long enough for a median of few.
const RUNS: usize = 3;
const SIZE: &str = "SMALL-1C-2G";
/// Rows of 10 KiB, of which a packer can spare about half.
const ROWS: u32 = 100_000;

/// A family: how its server is filled, and its own tool.
struct Kind {
    service: &'static str,
    name: &'static str,
    fill: fn(&str) -> Result<()>,
    /// The command that writes a copy to its standard output.
    tool: fn(&Server) -> Command,
}

const KINDS: [Kind; 3] = [
    Kind { service: "redis", name: "Redis, redis-cli --rdb", fill: fill_redis, tool: rdb },
    Kind { service: "postgresql", name: "PostgreSQL, pg_basebackup", fill: fill_postgres, tool: base_backup },
    Kind { service: "mysql", name: "MariaDB, mariadb-backup", fill: fill_mariadb, tool: mariadb_backup },
];

/// The server that is copied, and the way in.
struct Server {
    address: String,
    machine: PathBuf,
    /// For what a tool keeps meanwhile.
    work: PathBuf,
    /// By name, one a line.
    passwords: String,
}

impl Server {
    fn password(&self, of: &str) -> &str {
        let found =
            self.passwords.lines().find_map(|line| line.split_once(' ').filter(|(name, _)| *name == of));
        found.map_or("", |(_, password)| password)
    }
}

/// See the module.
pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if !table.wants_by_name("copies") {
        return Ok(());
    }
    for kind in &KINDS {
        of_family(kind, table).await.with_context(|| kind.name)?;
    }
    Ok(())
}

async fn of_family(kind: &Kind, table: &mut Table) -> Result<()> {
    let home = home()?;
    let serve = Serve::start(home.path()).await?;
    let words =
        format!("cluster create demo --service {} --topology single --plan {SIZE} --yes", kind.service);
    serve.run(&words).await?;
    serve.healthy().await?;
    let url = serve.url().await?;
    let fill = kind.fill;
    tokio::task::spawn_blocking(move || fill(&url)).await??;
    serve.healthy().await?;
    let work = tempfile::Builder::new().prefix("cd-copies-").tempdir()?;
    let server = server(&home, &serve, work.path()).await?;
    let (repository, passphrase) = (work.path().join("repo"), work.path().join("passphrase"));
    std::fs::write(&passphrase, "raw")?;
    let add = format!(
        "vault add repository --borg {} --secret-file {}",
        repository.display(),
        passphrase.display()
    );
    serve.run(&add).await?;
    let (mut ours, mut alone, mut packed, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut ours_borg, mut raw_borg, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
    for run in 0..RUNS {
        serve.forget_peak()?;
        let (rate, copied) = ours_to(&serve, "local").await?;
        memory.push(serve.peak_mib()?);
        ours.push(rate);
        bytes = copied;
        let file = work.path().join("raw");
        // It is made with the first backup.
        let key = serve.run("vault key").await?["public"].as_str().context("no key")?.to_owned();
        alone.push(raw(&server, kind, &file, "cat", copied)?);
        packed.push(raw(&server, kind, &file, &format!("zstd -q -1 -c | age -r {key}"), copied)?);
        // What borg has seen already costs it nothing, so each first copy counts, in a repository of its own.
        if run == 0 {
            serve.forget_peak()?;
            ours_borg.push(ours_to(&serve, "repository").await?.0);
            memory.push(serve.peak_mib()?);
            let repository = work.path().join("raw-repo");
            let create = format!(
                "export BORG_PASSPHRASE=raw BORG_BASE_DIR={0}/base; borg init -e repokey {1} >/dev/null 2>&1; \
                 borg create --compression zstd,1 {1}::a - >/dev/null",
                work.path().display(),
                repository.display()
            );
            raw_borg.push(raw(&server, kind, &file, &create, copied)?);
        }
    }
    let name = |what: &str| format!("{} of {} MiB, {what}", kind.name, bytes >> 20);
    table.add(&name("tool alone"), "MiB/s", &ours, &alone, "≥ 0.9 × raw");
    table.add(&name("tool | zstd -1 | age"), "MiB/s", &ours, &packed, "≥ 0.9 × raw");
    table.add(&name("into borg create"), "MiB/s", &ours_borg, &raw_borg, "≥ 0.9 × raw");
    table.add(&name("most memory of ours"), "MiB", &memory, &[], "< 200 MiB");
    serve.delete().await?;
    Ok(())
}

/// The step that copies, in MiB of data a second, and the bytes of data.
#[allow(clippy::cast_precision_loss, reason = "bytes of a bench")]
async fn ours_to(serve: &Serve, vault: &str) -> Result<(f64, u64)> {
    let done = serve.run(&format!("backup now demo --to {vault} --no-verify --yes")).await?;
    let steps = done["steps"].as_array().context("no steps")?;
    let copy = steps.iter().find(|s| s["name"] == "copy").context("no copy")?;
    let at =
        |key: &str| copy[key].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()).context("no time");
    let took = at("ended_at")?.duration_since(at("started_at")?).as_secs_f64();
    let id = done["outcome"]["backup"].as_str().context("no backup")?;
    let backups = serve.run("backup list").await?;
    let all = backups["items"].as_array().context("no list")?;
    let made = all.iter().find(|b| b["id"] == id).context("it is not listed")?;
    let bytes = made["data_bytes"].as_u64().context("no size")?;
    serve.run(&format!("backup delete {id} --confirm demo --yes")).await?;
    Ok((mib(bytes) / took, bytes))
}

/// The tool, through `then`, into a file.
fn raw(server: &Server, kind: &Kind, file: &Path, then: &str, bytes: u64) -> Result<f64> {
    let began = Instant::now();
    let mut tool = (kind.tool)(server);
    let log = server.work.join("log");
    let mut copying =
        tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log)?).spawn()?;
    let stream = copying.stdout.take().context("no stream")?;
    let into = std::fs::File::create(file)?;
    let mut packing = Command::new("bash");
    packing.args(["-c", then]).stdin(stream).stdout(into);
    let packed = packing.status()?;
    let copied = copying.wait()?;
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    // Ours is on the disk when it is called done.
    std::fs::File::open(file)?.sync_all()?;
    ensure!(copied.success() && packed.success(), "{}: {copied}, {packed}: {}", kind.name, said());
    Ok(mib(bytes) / (ms(began.elapsed()) / 1000.0))
}

#[allow(clippy::cast_precision_loss, reason = "bytes of a bench")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Its passwords are in the vault of the home, to which the bench made the key.
async fn server(home: &Home, serve: &Serve, work: &Path) -> Result<Server> {
    let cluster = serve.run("cluster show demo").await?;
    let node = cluster["nodes"][0].clone();
    let id = ClusterId::parse(cluster["id"].as_str().context("no id")?)?;
    let mut options = clusterdeck_secrets::OpenOptions::new(home.path());
    options.vault_key_file = Some(home.path().join("key"));
    let kept = clusterdeck_secrets::open(options)?.get(&SecretRef::of_cluster(&id, "passwords-1")).await?;
    let address = node["address"].as_str().context("no address")?.to_owned();
    let machines = std::fs::read_dir(home.path().join("machines"))?.flatten().map(|entry| entry.path());
    let holds = |machine: &PathBuf| ["redis", "pg", "mysql"].iter().any(|name| machine.join(name).exists());
    let machine = machines.into_iter().find(holds).context("no machine of a server")?;
    let passwords = kept.context("no passwords")?.reveal().clone();
    Ok(Server { address, machine, work: work.to_owned(), passwords })
}

fn rdb(server: &Server) -> Command {
    let mut tool = Command::new("redis-cli");
    tool.args(["-h", &server.address, "--user", "operator", "--rdb", "-"]);
    tool.env("REDISCLI_AUTH", server.password("operator"));
    tool
}

fn base_backup(server: &Server) -> Command {
    let mut tool = Command::new("pg_basebackup");
    tool.args(["-h", &server.address, "-U", "replica", "-D", "-", "-Ft", "-X", "fetch", "-c", "fast"]);
    tool.env("PGPASSWORD", server.password("replica"));
    tool
}

fn mariadb_backup(server: &Server) -> Command {
    let home = server.machine.join("mysql");
    let conf = server.work.join("copy.cnf");
    let text = format!("[client]\nuser=copy\npassword=\"{}\"\nsocket=../s.sock\n", server.password("copy"));
    drop(std::fs::write(&conf, text));
    let mut tool = Command::new("mariadb-backup");
    tool.arg(format!("--defaults-file={}", conf.display()))
        .arg(format!("--datadir={}", home.join("data").display()))
        .arg(format!("--target-dir={}", server.work.join("target").display()))
        .args(["--backup", "--stream=mbstream"])
        .current_dir(home.join("data"));
    tool
}

fn told(command: &mut Command) -> Result<()> {
    let said = command.stdin(Stdio::null()).output()?;
    if said.status.success() {
        return Ok(());
    }
    bail!("{}", String::from_utf8_lossy(&said.stderr));
}

fn fill_redis(url: &str) -> Result<()> {
    // Noise, as hexadecimal digits: Redis itself packs what repeats.
    let script = "for i = ARGV[1], ARGV[1] + 49 do local t = {} for n = 1, 240 do t[n] = redis.sha1hex(i .. ':' .. n) end \
                  redis.call('SET', 'key:' .. i, table.concat(t)) end";
    for from in (0..ROWS).step_by(50) {
        let mut cli = Command::new("redis-cli");
        told(cli.args(["-u", url, "--no-auth-warning", "EVAL", script, "0", &from.to_string()]))?;
    }
    Ok(())
}

/// Half of it is noise, and none of it is stored apart or packed by the server.
const PIECE: &str =
    "SELECT string_agg(md5(random()::text || g || n) || repeat('x', 32), '') FROM generate_series(1, 30) g";

fn fill_postgres(url: &str) -> Result<()> {
    let rows = ROWS * 5;
    let sql = format!("CREATE TABLE big AS SELECT n, ({PIECE}) AS t FROM generate_series(1, {rows}) n");
    told(Command::new("psql").args([url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &sql]))
}

fn fill_mariadb(url: &str) -> Result<()> {
    let rest = url.strip_prefix("mysql://").context("another address")?;
    let (who, at) = rest.split_once('@').context("no account")?;
    let (user, password) = who.split_once(':').context("no password")?;
    let at = at.split('?').next().unwrap_or(at);
    let (host, database) = at.split_once('/').context("no database")?;
    let host = host.split(':').next().unwrap_or(host);
    let piece: Vec<String> = (1..=30).map(|g| format!("MD5(RAND(seq*{g})), REPEAT('x', 32)")).collect();
    let sql = format!(
        "CREATE TABLE big (n INT PRIMARY KEY, t TEXT); INSERT INTO big SELECT seq, CONCAT({}) FROM seq_1_to_{}",
        piece.join(", "),
        ROWS * 5
    );
    let mut cli = Command::new("mariadb");
    cli.args(["-h", host, "-u", user, database, "-e", &sql]).env("MYSQL_PWD", password);
    told(&mut cli)
}
