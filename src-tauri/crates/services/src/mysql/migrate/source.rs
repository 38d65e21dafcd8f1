//! The server that data comes from. We only read.

use crate::{
    mysql::sql::{number, text},
    outside::Refused,
};
use clusterdeck_domain::{SourceTls, SourceUrl};
use clusterdeck_driver::{DriverError, Result};
use mysql_async::{Conn, Error, OptsBuilder, Row, SslOpts, prelude::Queryable as _};
use std::time::Duration;
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
        other => Refused::Unreachable(format!("{at} cannot be reached: {other}")),
    }
}

pub(super) struct Source {
    conn: Conn,
    at: String,
}

impl Source {
    pub(super) async fn open(url: &SourceUrl) -> std::result::Result<Self, Refused> {
        let tls = match url.tls {
            SourceTls::Off => None,
            SourceTls::Verify => Some(SslOpts::default()),
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
            Ok(Ok(conn)) => Ok(Self { conn, at: url.place() }),
            Ok(Err(e)) => Err(refused(url, &e)),
            Err(_) => Err(Refused::Unreachable(format!(
                "{} does not answer within {} s",
                url.place(),
                CONNECT.as_secs()
            ))),
        }
    }
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.conn.query::<Row, _>(sql).await.map_err(|e| match e {
            Error::Server(said) => DriverError::rejected(
                format!("the source at {} refused: {} ({})", self.at, said.message, said.code),
                "Look at the rights of its user.",
            ),
            _ => DriverError::transient(format!("the source at {} closed the connection", self.at)),
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
