//! The server that data comes from, and its binary log. We only read.

use crate::{
    mysql::{
        flavour::Flavour,
        sql::{number, text},
    },
    outside::{Refused, tls},
};
use clusterdeck_domain::{SourceTls, SourceUrl};
use clusterdeck_driver::{DriverError, Result};
use futures::StreamExt as _;
use mysql_async::{
    BinlogStream, BinlogStreamRequest, Conn, Error, OptsBuilder, Row, SslOpts, binlog::events::Event,
    prelude::Queryable as _,
};
use std::{
    cmp::Ordering,
    fmt,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// For connecting and signing in.
const CONNECT: Duration = Duration::from_secs(5);
/// What one answer may have; ours are small.
const MOST_BYTES: usize = 16 << 20;

fn refused(url: &SourceUrl, e: &Error) -> Refused {
    let at = url.place();
    match e {
        Error::Server(said) => match said.code {
            1045 | 1698 => Refused::Credentials(format!("{at} does not let us in: {}", said.message)),
            1044 | 1049 => Refused::Database(format!("{at}: {}", said.message)),
            _ => Refused::Other(format!("{at} refused: {}", said.message)),
        },
        other => {
            let unreachable = || Refused::Unreachable(format!("{at} cannot be reached: {other}"));
            tls::distrusted(url, other).unwrap_or_else(unreachable)
        }
    }
}

/// A place in a binary log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) at: u64,
}

impl Place {
    /// Files are numbered, with more digits when those are used up.
    fn order(&self) -> (u64, u64) {
        let number = self.file.rsplit('.').next().and_then(|digits| digits.parse().ok());
        (number.unwrap_or_default(), self.at)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.order().cmp(&other.order()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.file, self.at)
    }
}

/// The binary log, as a replica gets it.
pub(super) struct Log {
    stream: BinlogStream,
    heard: Instant,
    at: String,
}

impl Log {
    pub(super) async fn open(url: &SourceUrl, from: &Place, id: u32) -> Result<Self> {
        let mut source = Source::open(url).await?;
        // In nanoseconds: so often it says that it is there. Newer servers of Oracle's have the other name for it.
        source
            .rows("SET @master_heartbeat_period = 2000000000, @source_heartbeat_period = 2000000000")
            .await?;
        let request = BinlogStreamRequest::new(id).with_filename(from.file.as_bytes()).with_pos(from.at);
        let at = source.at.clone();
        let stream = source.conn.get_binlog_stream(request).await.map_err(|e| broke(&at, e))?;
        Ok(Self { stream, heard: Instant::now(), at })
    }
    /// The next event; `None` when none comes for so long.
    pub(super) async fn next(&mut self, within: Duration) -> Result<Option<Event>> {
        match timeout(within, self.stream.next()).await {
            Err(_) => Ok(None),
            Ok(Some(Ok(event))) => {
                self.heard = Instant::now();
                Ok(Some(event))
            }
            Ok(Some(Err(e))) => Err(broke(&self.at, e)),
            Ok(None) => Err(DriverError::transient(format!("the source at {} ended its log", self.at))),
        }
    }
    /// How long it has said nothing.
    pub(super) fn silent(&self) -> Duration {
        self.heard.elapsed()
    }
}

fn broke(at: &str, e: Error) -> DriverError {
    match e {
        // It ends: 1053, 1927, 1152; somebody else took our name: 1236 with words of a duplicate, and what it purged has 1236 too.
        Error::Server(said) if ![1053, 1152, 1927].contains(&said.code) => DriverError::rejected(
            format!("the source at {at} refused: {} ({})", said.message, said.code),
            "Look at the rights of its user.",
        ),
        other => DriverError::transient(format!("the source at {at} closed the connection: {other}")),
    }
}

pub(super) struct Source {
    conn: Conn,
    at: String,
    pub(super) maker: Flavour,
    /// Its numbers, without what a distribution adds.
    pub(super) version: String,
}

/// The first two numbers of a version.
pub(super) fn line(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

impl Source {
    pub(super) async fn open(url: &SourceUrl) -> std::result::Result<Self, Refused> {
        let tls = match url.tls {
            SourceTls::Off => None,
            SourceTls::Verify => {
                let roots = tls::roots(url)?.into_iter().map(|der| der.to_vec().into()).collect();
                Some(SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(true))
            }
            SourceTls::Encrypt => Some(
                SslOpts::default()
                    .with_danger_accept_invalid_certs(true)
                    .with_danger_skip_domain_validation(true),
            ),
        };
        let opts = OptsBuilder::default()
            .ip_or_hostname(url.host.clone())
            .tcp_port(url.port())
            .user(Some(url.user.as_deref().unwrap_or("root")))
            .pass(url.password.as_ref().map(|password| password.reveal().as_str()))
            .db_name(url.database.clone())
            .max_allowed_packet(Some(MOST_BYTES))
            .prefer_socket(false)
            .stmt_cache_size(0)
            .ssl_opts(tls);
        match timeout(CONNECT, Conn::new(opts)).await {
            Ok(Ok(conn)) => Self::named(conn, url).await.map_err(|e| refused(url, &e)),
            Ok(Err(e)) => Err(refused(url, &e)),
            Err(_) => Err(Refused::Unreachable(format!(
                "{} does not answer within {} s",
                url.place(),
                CONNECT.as_secs()
            ))),
        }
    }
    async fn named(mut conn: Conn, url: &SourceUrl) -> std::result::Result<Self, Error> {
        let said = conn.query_first::<String, _>("SELECT VERSION()").await?.unwrap_or_default();
        let maker = if said.contains("MariaDB") { Flavour::MariaDb } else { Flavour::MySql };
        let version = said.split('-').next().unwrap_or_default().to_owned();
        Ok(Self { conn, at: url.place(), maker, version })
    }
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.conn.query::<Row, _>(sql).await.map_err(|e| broke(&self.at, e))
    }
    /// Where its binary log ends.
    pub(super) async fn place(&mut self) -> Result<Place> {
        let renamed = self.maker == Flavour::MySql && line(&self.version) >= (8, 2);
        let asked = if renamed { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
        let rows = self.rows(asked).await?;
        let place = rows.first().and_then(|row| Some(Place { file: text(row, 0)?, at: number(row, 1)? }));
        place.ok_or_else(|| {
            DriverError::rejected(
                format!("the source at {} writes no binary log any more", self.at),
                "Ask for a new preview.",
            )
        })
    }
    pub(super) async fn word(&mut self, sql: &str) -> Result<String> {
        let rows = self.rows(sql).await?;
        Ok(rows.first().and_then(|row| text(row, 0)).unwrap_or_default())
    }
    pub(super) async fn number(&mut self, sql: &str) -> Result<u64> {
        let rows = self.rows(sql).await?;
        Ok(rows.first().and_then(|row| number(row, 0)).unwrap_or_default())
    }
    /// Statements that wrote something so far, of whomever: the same twice means that nobody wrote in between.
    pub(super) async fn writes(&mut self) -> Result<u64> {
        const WRITE: &str = "'Com_insert', 'Com_insert_select', 'Com_update', 'Com_update_multi', 'Com_delete', 'Com_delete_multi', \
                             'Com_replace', 'Com_replace_select', 'Com_load', 'Com_truncate', 'Com_alter_table', 'Com_create_table', \
                             'Com_drop_table', 'Com_call_procedure'";
        let rows = self.rows(&format!("SHOW GLOBAL STATUS WHERE Variable_name IN ({WRITE})")).await?;
        Ok(rows.iter().filter_map(|row| number(row, 1)).sum())
    }
}
