//! Talking SQL to a server as one of the cluster's accounts: ours over TLS with the cluster's own authority.

use super::{accounts, config};
use crate::tls;
use clusterdeck_domain::{NodeSpec, Sensitive};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result};
use mysql_async::{Conn, Error, OptsBuilder, Row, SslOpts, prelude::Queryable as _};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::timeout;

/// For connecting and for each answer, when something is changed.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);
/// How long a node has to say who it is.
pub(crate) const GLANCE: Duration = Duration::from_millis(900);
/// What one answer may have; ours are small.
const MOST_BYTES: usize = 16 << 20;

/// Whom we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// May do everything.
    Operator,
    /// May look.
    Watch,
    /// As a member of a group does that catches up.
    Replica,
    /// As people do.
    People,
}

impl As {
    /// The name of the account.
    pub(crate) const fn user(self) -> &'static str {
        match self {
            Self::Operator => accounts::OPERATOR,
            Self::Watch => accounts::WATCH,
            Self::Replica => accounts::REPLICA,
            Self::People => accounts::PEOPLE,
        }
    }
    /// The secret that is its password.
    pub(crate) const fn secret(self) -> &'static str {
        match self {
            Self::Operator => accounts::OPERATOR,
            Self::Watch => accounts::WATCH,
            Self::Replica => accounts::REPLICA,
            Self::People => "people",
        }
    }
}

/// A connection that ends with this value.
pub(crate) struct Session {
    conn: Conn,
    whom: String,
    limit: Duration,
}

impl Session {
    /// Connects to a node's server.
    pub(crate) async fn open(
        cx: &ClusterContext,
        node: &NodeSpec,
        user: As,
        limit: Duration,
    ) -> Result<Self> {
        let at = cx.machine(node)?.reach(config::PORT);
        Self::connect(cx, &node.name, at, user, limit).await
    }

    /// Connects to any address. The newest password is tried first: while passwords are changed some servers know it
    /// already, the others still the one before.
    pub(crate) async fn connect(
        cx: &ClusterContext,
        whom: &str,
        at: SocketAddr,
        user: As,
        limit: Duration,
    ) -> Result<Self> {
        let newest = cx.secrets.newest(user.secret())?;
        let current = cx.secrets.get(user.secret())?;
        match Self::sign_in(cx, whom, at, user, newest, limit).await {
            Err(Failure::Theirs(e)) if newest != current && is_refused_password(&e) => {
                Self::sign_in(cx, whom, at, user, current, limit).await.map_err(|e| error(whom, e))
            }
            opened => opened.map_err(|e| error(whom, e)),
        }
    }

    async fn sign_in(
        cx: &ClusterContext,
        whom: &str,
        at: SocketAddr,
        user: As,
        password: &Sensitive<String>,
        limit: Duration,
    ) -> std::result::Result<Self, Failure> {
        let tls = match user {
            // The endpoint has no certificate of its own: a node's is shown there, for another address.
            As::People => None,
            _ => {
                let trusted = tls::trusted(cx).map_err(Failure::Ours)?.into_bytes();
                Some(
                    SslOpts::default()
                        .with_root_certs(vec![trusted.into()])
                        .with_disable_built_in_roots(true),
                )
            }
        };
        let opts = OptsBuilder::default()
            .ip_or_hostname(at.ip().to_string())
            .tcp_port(at.port())
            .user(Some(user.user()))
            .pass(Some(password.reveal()))
            .db_name((user == As::People).then_some(accounts::PEOPLE))
            // Given here, so that they need not be asked for.
            .max_allowed_packet(Some(MOST_BYTES))
            .wait_timeout(Some(60))
            .prefer_socket(false)
            .stmt_cache_size(0)
            .ssl_opts(tls);
        match timeout(limit, Conn::new(opts)).await {
            Ok(Ok(conn)) => Ok(Self { conn, whom: whom.to_owned(), limit }),
            Ok(Err(e)) => Err(Failure::Theirs(e)),
            Err(_) => Err(Failure::Silent),
        }
    }

    /// Whether a node's server lets somebody in with this password.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(crate) async fn opens(
        cx: &ClusterContext,
        node: &NodeSpec,
        user: As,
        password: &Sensitive<String>,
    ) -> Result<bool> {
        let at = cx.machine(node)?.reach(config::PORT);
        match Self::sign_in(cx, &node.name, at, user, password, ANSWER).await {
            Ok(_) => Ok(true),
            Err(Failure::Theirs(e)) if is_refused_password(&e) => Ok(false),
            Err(e) => Err(error(&node.name, e)),
        }
    }

    /// The same with another limit for each answer.
    pub(crate) const fn patient(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Whether it is still open.
    pub(crate) async fn answers(&mut self) -> bool {
        self.rows("SELECT 1").await.is_ok()
    }

    /// Whose server this is.
    pub(crate) fn whom(&self) -> &str {
        &self.whom
    }

    /// Does something that answers with no rows.
    pub(crate) async fn run(&mut self, sql: impl AsRef<str>) -> Result<()> {
        self.run_within(sql, self.limit).await
    }

    /// As [`Session::run`], with another limit.
    pub(crate) async fn run_within(&mut self, sql: impl AsRef<str>, limit: Duration) -> Result<()> {
        match timeout(limit, self.conn.query_drop(sql.as_ref())).await {
            Ok(done) => done.map_err(|e| error(&self.whom, Failure::Theirs(e))),
            Err(_) => Err(error(&self.whom, Failure::Silent)),
        }
    }

    /// Asks.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        match timeout(self.limit, self.conn.query::<Row, _>(sql)).await {
            Ok(rows) => rows.map_err(|e| error(&self.whom, Failure::Theirs(e))),
            Err(_) => Err(error(&self.whom, Failure::Silent)),
        }
    }

    /// Asks for one row.
    pub(crate) async fn row(&mut self, sql: &str) -> Result<Row> {
        let whom = self.whom.clone();
        let first = self.rows(sql).await?.into_iter().next();
        first.ok_or_else(|| DriverError::broken(format!("{whom} gave no answer")))
    }

    /// Asks for one word.
    pub(crate) async fn word(&mut self, sql: &str) -> Result<String> {
        Ok(text(&self.row(sql).await?, 0).unwrap_or_default())
    }
}

/// A column as text; nothing when it is NULL or not there.
pub(crate) fn text<I: mysql_async::prelude::ColumnIndex>(row: &Row, column: I) -> Option<String> {
    row.get_opt::<Option<String>, I>(column)?.ok()?
}

/// A column as a number.
pub(crate) fn number<I: mysql_async::prelude::ColumnIndex>(row: &Row, column: I) -> Option<u64> {
    text(row, column)?.parse().ok()
}

/// Why somebody could not be asked.
enum Failure {
    Ours(DriverError),
    Theirs(Error),
    Silent,
}

fn is_refused_password(e: &Error) -> bool {
    matches!(e, Error::Server(e) if e.code == 1045)
}

/// Conditions that pass by themselves: too many connections, shutting down, a lock that was not given in time, a deadlock,
/// a read-only server, a killed connection, a member without its group or whose group did not take the transaction, a stopped
/// replica that is asked to wait.
const PASSES: [u16; 11] = [1040, 1047, 1053, 1205, 1213, 1290, 1317, 1927, 1198, 1969, 3101];

fn error(whom: &str, failure: Failure) -> DriverError {
    let said = match failure {
        Failure::Ours(e) => return e,
        Failure::Silent => return DriverError::transient(format!("{whom} does not answer")),
        Failure::Theirs(Error::Server(said)) => said,
        Failure::Theirs(_) => return DriverError::transient(format!("{whom} accepts no connections")),
    };
    match said.code {
        1045 => DriverError::rejected(
            format!("{whom} does not accept the password of this cluster"),
            "somebody changed its accounts; rotate the credentials to write them again",
        ),
        code if PASSES.contains(&code) => {
            DriverError::transient(format!("{whom} is not ready: {}", said.message))
        }
        // It quotes the statement, which may hold a password.
        1064 => DriverError::broken(format!("{whom} does not understand what it was told")),
        code => DriverError::rejected(
            format!("{whom} refused: {} ({code})", said.message),
            "the log of its server says more",
        ),
    }
}

/// Where a node's server listens, as the other servers know it.
pub(crate) fn address(machine: &dyn Machine) -> (IpAddr, u16) {
    (machine.address(), machine.port(config::PORT))
}
