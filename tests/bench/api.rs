//! Reads through `clusterdeck serve`: one client, one connection, one question after the other.

use crate::generated;
use crate::ours::{Serve, home};
use crate::table::Table;
use anyhow::{Context as _, Result, bail};
use std::net::Ipv4Addr;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const READS: usize = 200;

/// Reads of a home with one real cluster, and of the generated one. "Raw" is `redis-server`'s own PING on loopback: what any
/// question and answer costs here.
pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    if !table.wants("api reads") {
        return Ok(());
    }
    {
        let home = home()?;
        let serve = Serve::start(home.path()).await?;
        serve.create().await?;
        let ping = pings(&home).await?;
        table.add("api: one cluster", "ms", &reads(&serve, "/v1/clusters/demo").await?, &ping, "");
        serve.delete().await?;
    }
    let many = generated::generate().await?;
    let serve = Serve::start(many.path()).await?;
    table.add("api: one of 200 clusters", "ms", &reads(&serve, "/v1/clusters/cluster-100").await?, &[], "");
    table.add("api: list of 200 clusters, 2,000 nodes", "ms", &reads(&serve, "/v1/clusters").await?, &[], "");
    Ok(())
}

async fn reads(serve: &Serve, path: &str) -> Result<Vec<f64>> {
    let token = token(serve).await?;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, serve.port)).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut took = Vec::with_capacity(READS);
    for _ in 0..READS {
        let began = Instant::now();
        let ask = format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {token}\r\n\r\n",
            serve.port
        );
        stream.get_mut().write_all(ask.as_bytes()).await?;
        let mut length = 0_usize;
        let mut line = String::new();
        let mut first = true;
        loop {
            line.clear();
            stream.read_line(&mut line).await?;
            if first && !line.contains(" 200 ") {
                bail!("{path}: {line}");
            }
            first = false;
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}

async fn token(serve: &Serve) -> Result<String> {
    let said = serve.run("serve --token-only").await;
    match said {
        Ok(value) => value["token"].as_str().map(str::to_owned).context("no token"),
        Err(error) => Err(error),
    }
}

async fn pings(home: &clusterdeck_tests::places::Home) -> Result<Vec<f64>> {
    let servers = home.servers()?;
    let at = servers.iter().find_map(|(_, line)| {
        line.split_whitespace().find_map(|word| word.strip_suffix(":6379").map(str::to_owned))
    });
    let stream = TcpStream::connect((at.context("no server")?.as_str(), 6379)).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut took = Vec::with_capacity(READS);
    let mut line = String::new();
    for _ in 0..READS {
        let began = Instant::now();
        stream.get_mut().write_all(b"PING\r\n").await?;
        line.clear();
        // Without a password it answers that it wants one: an answer all the same.
        stream.read_line(&mut line).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}
