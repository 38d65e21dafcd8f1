//! The server that data comes from: one database of it, which we only read.

use crate::outside::{Refused, tls};
use clusterdeck_domain::{SourceTls, SourceUrl};
use clusterdeck_driver::{DriverError, Result};
use std::time::Duration;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, Row, config::SslMode, error::SqlState, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;

/// For connecting and signing in.
const CONNECT: Duration = Duration::from_secs(5);

/// An open session, with the same words for values as the cluster's.
pub(super) struct Source {
    client: Client,
    connection: JoinHandle<()>,
    at: String,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn refused(url: &SourceUrl, e: &tokio_postgres::Error) -> Refused {
    let at = url.place();
    let Some(said) = e.as_db_error() else {
        let unreachable = || Refused::Unreachable(format!("{at} cannot be reached: {}", below(e)));
        return tls::distrusted(url, e).unwrap_or_else(unreachable);
    };
    match *said.code() {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            Refused::Credentials(format!("{at} does not let us in: {}", said.message()))
        }
        SqlState::INVALID_CATALOG_NAME => Refused::Database(format!("{at}: {}", said.message())),
        _ => Refused::Other(format!("{at} refused: {}", said.message())),
    }
}

/// The lowest cause: the library's own words say only that something failed.
fn below(e: &tokio_postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

impl Source {
    pub(super) async fn open(url: &SourceUrl, name: &str) -> std::result::Result<Self, Refused> {
        let mut config = Config::new();
        config
            .host(&url.host)
            .port(url.port())
            .user(url.user.as_deref().unwrap_or("postgres"))
            .dbname(url.database.as_deref().unwrap_or("postgres"))
            .application_name(name)
            .options(same_words())
            .ssl_mode(if url.tls == SourceTls::Off { SslMode::Disable } else { SslMode::Require })
            .keepalives_idle(Duration::from_secs(30))
            .connect_timeout(CONNECT);
        if let Some(password) = &url.password {
            config.password(password.reveal());
        }
        let opened = timeout(CONNECT, config.connect(MakeRustlsConnect::new(tls::config(url)?))).await;
        let silent = || {
            Refused::Unreachable(format!("{} does not answer within {} s", url.place(), CONNECT.as_secs()))
        };
        let (client, connection) = opened.map_err(|_| silent())?.map_err(|e| refused(url, &e))?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { client, connection, at: url.place() })
    }
    fn broke(&self, e: &tokio_postgres::Error) -> DriverError {
        match e.as_db_error() {
            None => DriverError::transient(format!("the source at {} closed the connection", self.at)),
            // It is stopped or started again, or somebody ended this session.
            Some(said) if said.code().code().starts_with("57") => {
                DriverError::transient(format!("the source at {} is not ready: {}", self.at, said.message()))
            }
            Some(said) => DriverError::rejected(
                format!("the source at {} refused: {} ({})", self.at, said.message(), said.code().code()),
                "Look at the rights of its user.",
            ),
        }
    }
    pub(super) async fn rows(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.client.query(sql, values).await.map_err(|e| self.broke(&e))
    }
    pub(super) async fn row(&self, sql: &str) -> Result<Row> {
        self.client.query_one(sql, &[]).await.map_err(|e| self.broke(&e))
    }
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| self.broke(&e))
    }
}

/// Settings by which both sides write values down in the same words, and wait as long as it takes.
pub(super) const SAME_WORDS: [(&str, &str); 8] = [
    ("search_path", "pg_catalog"),
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

fn same_words() -> String {
    SAME_WORDS.map(|(name, value)| format!("-c {name}={value}")).join(" ")
}
