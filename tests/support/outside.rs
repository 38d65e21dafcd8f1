//! Servers of databases that a test starts outside Clusterdeck, to be moved from.

#![expect(clippy::unwrap_used, reason = "it is a part of tests, which end where such a server cannot be had")]

use crate::authority::Authority;
use std::{
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for a server.
const PATIENCE: Duration = Duration::from_secs(120);
/// The password of each.
pub const PASSWORD: &str = "outside-7f3a91";

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Servers of databases refuse to be root.
const NOBODY: u32 = 65_534;

/// A folder of somebody else's.
fn foreign() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("outside-").tempdir().unwrap();
    if is_root() {
        chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    dir
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

fn as_nobody(command: &mut Command) -> &mut Command {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/")
}

trait Run {
    fn run(&mut self);
}
impl Run for Command {
    fn run(&mut self) {
        let ended = self.output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}

/// A certificate of a server of ours, and its key, in a folder.
fn certificate(authority: &Authority, dir: &Path) -> (PathBuf, PathBuf) {
    let (cert, key) = authority.certificate(dir);
    if is_root() {
        chown(&key, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    (cert, key)
}

fn newest_postgres() -> PathBuf {
    let all = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten().map(|e| e.path().join("bin"));
    all.filter(|bin: &PathBuf| Path::new(bin).join("initdb").exists()).max().expect("PostgreSQL is installed")
}

/// Tables with an index, a sequence, a view, an extension and a function.
const SHOP: &str = "CREATE EXTENSION pg_trgm; \
    CREATE TABLE orders (id bigserial PRIMARY KEY, who text NOT NULL, price numeric(12, 2), at timestamptz DEFAULT now(), extra jsonb); \
    CREATE INDEX ON orders USING gin (who gin_trgm_ops); \
    CREATE TABLE \"Odd name\" (a int, b float8, c bytea); \
    INSERT INTO orders (who, price, extra) SELECT 'customer ' || md5(n::text), n * 1.25, jsonb_build_object('n', n) FROM generate_series(1, 150000) n; \
    INSERT INTO \"Odd name\" SELECT n, n / 3.0, decode(md5(n::text), 'hex') FROM generate_series(1, 1000) n; \
    CREATE VIEW dear AS SELECT * FROM orders WHERE price > 1000; \
    CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1'";

const STORE: &str = "CREATE DATABASE store CHARACTER SET utf8mb4; USE store; \
    CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, who VARCHAR(200) NOT NULL, price DECIMAL(12, 2), at DATETIME(6), raw VARBINARY(64), KEY (who)); \
    INSERT INTO orders (who, price, at, raw) SELECT CONCAT('customer ', MD5(seq), ' ', REPEAT('x', 100)), seq * 1.25, '2026-01-01', UNHEX(MD5(seq)) FROM seq_1_to_100000; \
    CREATE TABLE `odd name` (a INT, b DOUBLE, c TEXT); INSERT INTO `odd name` SELECT seq, seq / 3, IF(seq % 2, NULL, '\\\\N') FROM seq_1_to_1000; \
    CREATE VIEW dear AS SELECT * FROM orders WHERE price > 1000; \
    CREATE TRIGGER up BEFORE INSERT ON orders FOR EACH ROW SET NEW.at = NOW(6)";

/// A server outside Clusterdeck; it ends with this value.
pub struct Outside {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// Who signed its certificate.
    pub authority: Authority,
    tls: bool,
    _dir: tempfile::TempDir,
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Outside {
    /// A Redis.
    pub fn redis() -> Self {
        Self::redis_by(false)
    }
    /// A Redis that is reached by TLS only.
    pub fn redis_with_tls() -> Self {
        Self::redis_by(true)
    }
    fn redis_by(tls: bool) -> Self {
        let (dir, port, authority) =
            (tempfile::tempdir().unwrap(), free_port(), Authority::new("Outside CA"));
        let (cert, key) = authority.certificate(dir.path());
        let mut server = Command::new("redis-server");
        if tls {
            server.args(["--port", "0", "--tls-auth-clients", "no", "--tls-cert-file"]);
            server.arg(cert).arg("--tls-key-file").arg(key);
        }
        let child = server
            .args([
                if tls { "--tls-port" } else { "--port" },
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--enable-debug-command",
                "yes",
            ])
            .args(["--requirepass", PASSWORD, "--dir"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server");
        let outside = Self { child, port, authority, tls, _dir: dir };
        until("the source must answer", || {
            outside.client().get_connection().is_ok_and(|mut c| redis::cmd("PING").exec(&mut c).is_ok())
        });
        outside
    }
    /// With a database `shop` of a user `owner`, some 30 MB; `mover` may do the same and comes in with TLS only.
    pub fn postgres() -> Self {
        let (dir, port) = (foreign(), free_port());
        let bin = newest_postgres();
        let data = dir.path().join("data");
        let pass = dir.path().join("pass");
        std::fs::write(&pass, PASSWORD).unwrap();
        as_nobody(&mut Command::new(bin.join("initdb")))
            .args(["-A", "scram-sha-256", "-U", "owner", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D"])
            .arg(&data)
            .arg("--pwfile")
            .arg(&pass)
            .run();
        // One role comes in encrypted or not at all.
        let hba = data.join("pg_hba.conf");
        let others = std::fs::read_to_string(&hba).unwrap();
        std::fs::write(&hba, format!("hostnossl all mover all reject\n{others}")).unwrap();
        let authority = Authority::new("Outside CA");
        let (cert, key) = certificate(&authority, dir.path());
        let child = as_nobody(&mut Command::new(bin.join("postgres")))
            .arg("-D")
            .arg(&data)
            .args(["-c", "ssl=on", "-c"])
            .arg(format!("ssl_cert_file={}", cert.display()))
            .arg("-c")
            .arg(format!("ssl_key_file={}", key.display()))
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
                "-c",
                "wal_level=logical",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let outside = Self { child, port, authority, tls: true, _dir: dir };
        until("the source must answer", || outside.psql("postgres", "SELECT 1").is_ok());
        outside.psql("postgres", "CREATE DATABASE shop").unwrap();
        let mover = format!("CREATE ROLE mover SUPERUSER LOGIN PASSWORD '{PASSWORD}'");
        outside.psql("postgres", &mover).unwrap();
        outside.psql("shop", SHOP).unwrap();
        outside
    }
    /// What it answers to SQL, or why it does not.
    ///
    /// # Errors
    /// What `psql` says.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let ended = Command::new("psql")
            .env("PGPASSWORD", PASSWORD)
            .args([
                "-X",
                "-q",
                "-t",
                "-A",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
            ])
            .args(["-U", "owner", "-d", database, "-c", sql])
            .output()
            .expect("psql");
        match ended.status.success() {
            true => Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&ended.stderr).into_owned()),
        }
    }
    /// The same with MariaDB.
    pub fn mariadb() -> Self {
        let (dir, port) = (foreign(), free_port());
        let data = dir.path().join("data");
        let tmp = dir.path().to_owned();
        as_nobody(&mut Command::new("mariadb-install-db"))
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", tmp.display()))
            .run();
        let init = dir.path().join("init.sql");
        let account = format!(
            "CREATE USER IF NOT EXISTS owner@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO owner@'%' WITH GRANT OPTION;\n\
             CREATE USER IF NOT EXISTS mover@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;\nGRANT ALL ON *.* TO mover@'%';\n"
        );
        std::fs::write(&init, account).unwrap();
        chown(&init, Some(NOBODY), Some(NOBODY)).unwrap();
        let authority = Authority::new("Outside CA");
        let (cert, key) = certificate(&authority, dir.path());
        let child = as_nobody(&mut Command::new("mariadbd"))
            .args([
                "--no-defaults",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--innodb-buffer-pool-size=64M",
                "--log-bin=binlog",
                "--binlog-format=ROW",
            ])
            .arg(format!("--ssl-cert={}", cert.display()))
            .arg(format!("--ssl-key={}", key.display()))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", tmp.display()))
            .arg(format!("--socket={}", dir.path().join("s").display()))
            .arg(format!("--port={port}"))
            .arg(format!("--init-file={}", init.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let outside = Self { child, port, authority, tls: true, _dir: dir };
        until("the source must answer", || outside.mysql("SELECT 1").is_ok());
        outside.mysql(STORE).unwrap();
        outside
    }
    /// What it answers to SQL, or why it does not.
    ///
    /// # Errors
    /// What `mariadb` says.
    pub fn mysql(&self, sql: &str) -> Result<String, String> {
        let ended = Command::new("mariadb")
            .env("MYSQL_PWD", PASSWORD)
            .args([
                "--no-defaults",
                "-N",
                "-B",
                "-h",
                "127.0.0.1",
                "-P",
                &self.port.to_string(),
                "-u",
                "owner",
                "-e",
                sql,
            ])
            .output()
            .expect("mariadb");
        match ended.status.success() {
            true => Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&ended.stderr).into_owned()),
        }
    }
    /// A client of a Redis.
    pub fn client(&self) -> redis::Client {
        let (scheme, way) = if self.tls { ("rediss", "/#insecure") } else { ("redis", "") };
        redis::Client::open(format!("{scheme}://:{PASSWORD}@127.0.0.1:{}{way}", self.port)).unwrap()
    }
    /// A session at a Redis.
    pub fn connection(&self) -> redis::Connection {
        self.client().get_connection().unwrap()
    }
}
