//! The raw tool for MySQL: three servers of the same image in containers, brought together as the manual has it, without
//! anything in front; a client is given all three addresses.

use crate::mariadb_raw::until;
use anyhow::{Context as _, Result};
use clusterdeck_testkit::containers::Ground;
use mysql_async::{Conn, OptsBuilder, prelude::Queryable as _};
use std::time::{Duration, Instant};

const NODES: std::ops::RangeInclusive<u8> = 1..=3;
const IMAGE: &str = "docker.io/library/mysql:9.7";
const NETWORK: &str = "raw";
const GROUP: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";

/// Accounts in each server, known to no log, so that none of them has anything of its own; then the server itself.
const SERVE: &str = r#"
set -e
mysqld --no-defaults --initialize-insecure --user=root --datadir=/data
cat > /tmp/init.sql <<END
SET sql_log_bin = 0;
CREATE DATABASE app;
CREATE USER raw@'%' IDENTIFIED BY 'raw';
GRANT ALL ON *.* TO raw@'%' WITH GRANT OPTION;
CREATE USER app@'%' IDENTIFIED BY 'raw';
GRANT ALL ON app.* TO app@'%';
END
exec mysqld --no-defaults --user=root --datadir=/data --socket=/tmp/mysqld.sock --pid-file=/tmp/mysqld.pid \
  --init-file=/tmp/init.sql "$@"
"#;

pub(crate) struct Raw<'a> {
    ground: &'a Ground,
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        for node in NODES {
            self.ground.podman(&["rm", "-f", "-t", "0", &name(node)]);
            // Named, so it does not go with its container, and the next round would find a folder that is made already.
            self.ground.podman(&["volume", "rm", "-f", &name(node)]);
        }
        self.ground.podman(&["network", "rm", "-f", NETWORK]);
    }
}

fn name(node: u8) -> String {
    format!("raw-{node}")
}

fn address(node: u8) -> String {
    format!("10.89.77.{}", node + 1)
}

/// Where the client connects: all three, and the first that takes writes is chosen.
pub(crate) fn url() -> String {
    let hosts: Vec<String> = NODES.map(|node| format!("{}:3306", address(node))).collect();
    format!("mysql://app:raw@{}/app", hosts.join(","))
}

impl<'a> Raw<'a> {
    /// Starts them and waits until all are members; how long that took.
    pub(crate) async fn start(ground: &'a Ground) -> Result<(Self, Duration)> {
        let began = Instant::now();
        ground.podman(&["network", "create", "--subnet", "10.89.77.0/24", NETWORK]);
        let raw = Self { ground };
        NODES.for_each(|node| raw.serve(node));
        for node in NODES {
            until(|| async { ask(node, "DO 1").await.is_ok() }).await.context("a server does not answer")?;
        }
        ask(1, "SET GLOBAL group_replication_bootstrap_group = ON").await?;
        for node in NODES {
            ask(node, "START GROUP_REPLICATION USER = 'raw', PASSWORD = 'raw'").await?;
        }
        ask(1, "SET GLOBAL group_replication_bootstrap_group = OFF").await?;
        until(|| async { members().await.is_ok_and(|n| n == 3) }).await.context("no group of three")?;
        Ok((raw, began.elapsed()))
    }

    fn serve(&self, node: u8) {
        let at = address(node);
        let seeds: Vec<String> = NODES.map(|node| format!("{}:33061", address(node))).collect();
        let (name, volume) = (name(node), format!("{}:/data", name(node)));
        let of_the_server = [
            format!("--server-id={node}"),
            format!("--report-host={at}"),
            format!("--loose-group-replication-group-name={GROUP}"),
            format!("--loose-group-replication-local-address={at}:33061"),
            format!("--loose-group-replication-group-seeds={}", seeds.join(",")),
        ];
        let mut words = vec!["run", "-d", "--name", &name, "--network", NETWORK, "--ip", &at, "-v", &volume];
        words.extend(["--memory", "1g", "--init", IMAGE, "sh", "-c", SERVE, "sh"]);
        // What ours have where it decides how long something takes (`services/mysql/group/config.rs`).
        words.extend([
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--log-bin=binlog",
            "--skip-name-resolve",
            "--mysqlx=OFF",
            "--plugin-load-add=group_replication.so",
            "--loose-group-replication-start-on-boot=OFF",
            "--loose-group-replication-communication-stack=XCOM",
            "--loose-group-replication-recovery-get-public-key=ON",
            "--loose-group-replication-member-expel-timeout=0",
            "--loose-group-replication-consistency=BEFORE_ON_PRIMARY_FAILOVER",
        ]);
        words.extend(of_the_server.iter().map(String::as_str));
        self.ground.podman(&words);
    }

    /// The second leads instead of the first.
    pub(crate) async fn promote(&self) -> Result<()> {
        let id: Option<String> = connect(2).await?.query_first("SELECT @@server_uuid").await?;
        let id = id.context("a server has an id")?;
        ask(1, &format!("SELECT group_replication_set_as_primary('{id}')")).await
    }

    /// Kills the second, which leads after a promotion.
    pub(crate) fn kill_primary(&self) {
        self.ground.podman(&["kill", &name(2)]);
    }
}

async fn connect(node: u8) -> Result<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname(address(node))
        .tcp_port(3306)
        .user(Some("raw"))
        .pass(Some("raw"))
        .prefer_socket(false);
    Ok(tokio::time::timeout(Duration::from_secs(2), Conn::new(options)).await??)
}

async fn ask(node: u8, sql: &str) -> Result<()> {
    Ok(connect(node).await?.query_drop(sql).await?)
}

async fn members() -> Result<u64> {
    let sql =
        "SELECT count(*) FROM performance_schema.replication_group_members WHERE member_state = 'ONLINE'";
    Ok(connect(1).await?.query_first(sql).await?.unwrap_or(0))
}
