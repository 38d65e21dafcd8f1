//! Backups handed out as logical dumps: what plain servers make of them with their own programs alone, and that nothing is left of
//! the machine that they are made on.

use crate::home::{Home, PATIENCE};
use clusterdeck_domain::{Backup, BackupFormat, Change, ServiceKind, Topology};
use clusterdeck_tests::{
    client::{Ledger, connect},
    outside::{Outside, PASSWORD},
};
use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::io::AsyncReadExt as _;

impl Home {
    /// Machines that are there, whoever's they are.
    fn machines(&self) -> BTreeSet<PathBuf> {
        let there = std::fs::read_dir(self.dir.path().join("machines"));
        there.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }
    async fn until_machines(&self, what: &str, fit: impl Fn(&BTreeSet<PathBuf>) -> bool) {
        let begun = Instant::now();
        while !fit(&self.machines()) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", self.machines());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    async fn untried_backup(&self) -> Backup {
        let change = Change::BackUp { cluster: "demo".to_owned(), vault: None, verify: Some(false) };
        self.made(&self.done(change).await).await
    }
    /// The dump of a backup, in a file.
    async fn dumped(&self, backup: &Backup, file: &Path) -> String {
        let before = self.machines();
        let begun = Instant::now();
        let (name, mut content) =
            self.engine.download(backup.id.as_str(), BackupFormat::Logical, "test").await.unwrap();
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).await.unwrap();
        println!("{}: {} bytes dumped in {:?}", backup.of.service, bytes.len(), begun.elapsed());
        std::fs::write(file, bytes).unwrap();
        self.until_machines("the throw-away machine is given back", |now| *now == before).await;
        name
    }
}

/// Unpacks a dump with the plain tool and lets a plain client load it.
fn load(file: &Path, client: &mut Command) {
    let mut unpack =
        Command::new("zstd").args(["-dc", "-q"]).arg(file).stdout(Stdio::piped()).spawn().expect("zstd");
    let loaded = client.stdin(unpack.stdout.take().unwrap()).stdout(Stdio::null()).output().unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    assert!(unpack.wait().unwrap().success());
}

fn head(file: &Path) -> String {
    let plain = Command::new("zstd").args(["-dc", "-q"]).stdin(File::open(file).unwrap()).output().unwrap();
    assert!(plain.status.success());
    String::from_utf8_lossy(&plain.stdout).lines().take(20).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_postgresql_loads_into_a_plain_server_and_leaves_no_machine_whatever_ends_it() {
    let mut home = Home::open().await;
    home.create(ServiceKind::Postgresql, Topology::Single, 1, 0).await;
    let (mut before, url) = (Ledger::new(false), home.url().await);
    tokio::task::block_in_place(|| {
        (0..20).for_each(|_| before.write(&url));
        let sql = "CREATE TABLE \"Odd name\" (a int PRIMARY KEY, b text, c bytea);
             INSERT INTO \"Odd name\" SELECT n, E'\\\\connect nowhere\\nCREATE ROLE nobody;', decode(md5(n::text), 'hex') FROM generate_series(1, 500) n;
             CREATE VIEW few AS SELECT * FROM \"Odd name\" WHERE a < 10;
             CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1'";
        connect(&url, false).unwrap().say(sql).unwrap();
    });
    let backup = home.untried_backup().await;
    tokio::task::block_in_place(|| {
        connect(&url, false).unwrap().say("DROP TABLE w, \"Odd name\" CASCADE").unwrap()
    });

    let plain = tokio::task::block_in_place(Outside::postgres);
    let file = home.dir.path().join("demo.sql.zst");
    let name = home.dumped(&backup, &file).await;
    assert!(name.starts_with("demo-") && name.ends_with(".sql.zst"), "{name}");
    let head = head(&file);
    assert!(head.starts_with("-- A logical dump of a backup of demo: PostgreSQL"), "{head}");
    assert!(head.contains(&format!("zstd -dc {name} | psql")), "{head}");
    tokio::task::block_in_place(|| {
        load(
            &file,
            Command::new("psql")
                .env("PGPASSWORD", PASSWORD)
                .args([
                    "-X",
                    "-q",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "owner",
                    "-d",
                    "postgres",
                ])
                .args(["-p", &plain.port.to_string()]),
        );
        let says = |sql: &str| plain.psql("app", sql).unwrap();
        assert_eq!(says("SELECT count(*), min(n), max(n) FROM w"), format!("{0}|1|{0}", before.len()));
        assert_eq!(says("SELECT count(*), count(DISTINCT c), twice(21) FROM \"Odd name\""), "500|500|42");
        assert_eq!(says("SELECT count(*) FROM few"), "9");
        assert_eq!(says("SELECT tableowner FROM pg_tables WHERE tablename = 'w'"), "app");
        // `mover` was there before.
        let roles = "SELECT string_agg(rolname || ' ' || rolcanlogin, ', ' ORDER BY rolname) FROM pg_roles \
                     WHERE rolname !~ '^pg_' AND rolname <> 'mover'";
        assert_eq!(says(roles), "app true, operator false, owner true");
        let secrets = "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname NOT IN ('owner', 'mover')";
        assert_eq!(says(secrets), "0", "no password comes along");
    });

    // Whoever goes away while it is restored, and another who asks meanwhile.
    let ours = home.machines();
    let (engine, id) = (home.engine.clone(), backup.id.clone());
    let asked = tokio::spawn(async move {
        engine.download(id.as_str(), BackupFormat::Logical, "test").await.map(|(name, _)| name)
    });
    home.until_machines("a machine is made", |now| now.len() > ours.len()).await;
    let told =
        home.engine.download(backup.id.as_str(), BackupFormat::Logical, "test").await.map(|(name, _)| name);
    assert!(told.unwrap_err().to_string().contains("dump of a backup"), "one at a time");
    asked.abort();
    home.until_machines("it is given back", |now| *now == ours).await;

    // The program that makes it is killed: the next one to open the home gives the machine back.
    home.engine.shutdown(Duration::from_secs(5)).await;
    let program = clusterdeck_tests::places::program("clusterdeck").unwrap();
    let mut child = Command::new(program)
        .arg("--home")
        .arg(home.dir.path())
        .args(["backup", "download", backup.id.as_str(), "--format", "logical"])
        .arg(home.dir.path().join("never"))
        .env("CLUSTERDECK_VAULT_KEY_FILE", home.dir.path().join("key"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    home.until_machines("a machine is made", |now| now.len() > ours.len()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(home.machines().len() > ours.len(), "it was killed in the middle");
    home.reopen().await;
    home.until_machines("it is given back", |now| *now == ours).await;
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_mariadb_loads_into_a_plain_server() {
    let home = Home::open().await;
    home.create(ServiceKind::Mysql, Topology::Single, 1, 0).await;
    let (mut before, url) = (Ledger::new(false), home.url().await);
    tokio::task::block_in_place(|| {
        (0..20).for_each(|_| before.write(&url));
        let mut people = connect(&url, false).unwrap();
        for sql in [
            "CREATE TABLE `odd name` (a INT PRIMARY KEY, b TEXT, c VARBINARY(16))",
            "INSERT INTO `odd name` SELECT seq, '-- no remark;\\n', UNHEX(MD5(seq)) FROM seq_1_to_500",
            "CREATE PROCEDURE counted() SELECT COUNT(*) FROM w",
            "CREATE VIEW few AS SELECT * FROM `odd name` WHERE a < 10",
        ] {
            people.say(sql).unwrap();
        }
    });
    let backup = home.untried_backup().await;
    tokio::task::block_in_place(|| connect(&url, false).unwrap().say("DROP TABLE w").unwrap());
    let plain = tokio::task::block_in_place(Outside::mariadb);
    let file = home.dir.path().join("demo.sql.zst");
    home.dumped(&backup, &file).await;
    let head = head(&file);
    assert!(head.starts_with("-- A logical dump of a backup of demo: MariaDB"), "{head}");
    tokio::task::block_in_place(|| {
        load(
            &file,
            Command::new("mariadb")
                .env("MYSQL_PWD", PASSWORD)
                .args(["--no-defaults", "--default-character-set=utf8mb4", "-h", "127.0.0.1", "-u", "owner"])
                .args(["-P", &plain.port.to_string()]),
        );
        let says = |sql: &str| plain.mysql(sql).unwrap();
        assert_eq!(says("SELECT COUNT(*), MIN(n), MAX(n) FROM app.w"), format!("{0}\t1\t{0}", before.len()));
        assert_eq!(
            says("SELECT COUNT(*), COUNT(DISTINCT c), COUNT(DISTINCT b) FROM app.`odd name`"),
            "500\t500\t1"
        );
        says("CREATE USER app@'%'; GRANT ALL ON app.* TO app@'%'");
        assert_eq!(says("CALL app.counted()"), before.len().to_string());
        assert_eq!(says("SELECT COUNT(*) FROM app.few"), "9");
    });
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_redis_there_is_none_and_the_reason_is_told() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::Single, 1, 0).await;
    let backup = home.untried_backup().await;
    let offers = home.engine.backup_formats(backup.id.as_str()).await.unwrap();
    assert!(offers[0].why_not.is_none() && offers[1].why_not.as_ref().unwrap().contains("RDB"), "{offers:?}");
    let told =
        home.engine.download(backup.id.as_str(), BackupFormat::Logical, "test").await.map(|(name, _)| name);
    assert!(told.unwrap_err().to_string().contains("RDB"));
    assert_eq!(home.machines().len(), home.cluster().await.spec.nodes.len() + 1, "nothing was made for it");
}

/// There is no plain server of its maker here: the dump is loaded into the cluster that lost what is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_mysql_in_a_container_loads_again() {
    let Some(home) = Home::in_containers_with_mysql().await else { return };
    home.create(ServiceKind::Mysql, Topology::Single, 1, 0).await;
    let (mut before, url) = (Ledger::new(false), home.url().await);
    tokio::task::block_in_place(|| (0..20).for_each(|_| before.write(&url)));
    let backup = home.untried_backup().await;
    let file = home.dir.path().join("demo.sql.zst");
    home.dumped(&backup, &file).await;
    assert!(head(&file).contains("| mysql --default-character-set"), "{}", head(&file));
    tokio::task::block_in_place(|| {
        connect(&url, false).unwrap().say("DROP TABLE w").unwrap();
        let (user, rest) = url.strip_prefix("mysql://").unwrap().split_once(':').unwrap();
        let (password, rest) = rest.split_once('@').unwrap();
        let (host, port) = rest.split(['/', '?']).next().unwrap().rsplit_once(':').unwrap();
        load(
            &file,
            Command::new("mariadb")
                .env("MYSQL_PWD", password)
                .args([
                    "--no-defaults",
                    "--default-character-set=utf8mb4",
                    "--ssl",
                    "--skip-ssl-verify-server-cert",
                ])
                .args(["-h", host, "-P", port, "-u", user]),
        );
    });
    home.holds(&before, "what was dumped is there again").await;
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
