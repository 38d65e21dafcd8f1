//! Talking SQL to a server, as one of the cluster's roles, over TLS with the cluster's own authority.

use super::{config, http};
use clusterdeck_domain::{NodeSpec, Sensitive};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, Row, config::SslMode, error::SqlState, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;

/// For connecting and for each answer, when something is changed.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// Whom we are: a role, the name of its secret, and where it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// May do everything.
    Operator,
    /// The same in the database of people.
    OperatorInside,
    /// May look.
    Watch,
    /// The same in the database of people.
    WatchInside,
    /// The same where what is loaded into the server for that database cannot be.
    WatchUnloaded,
    /// Reads everything, in any database, and changes nothing.
    Reader,
    /// As people do.
    People,
}

impl As {
    const fn role(self) -> &'static str {
        match self {
            Self::Operator | Self::OperatorInside | Self::Reader => config::OPERATOR,
            Self::Watch | Self::WatchInside | Self::WatchUnloaded => config::WATCH,
            Self::People => config::PEOPLE,
        }
    }
    const fn secret(self) -> &'static str {
        match self {
            Self::People => "people",
            other => other.role(),
        }
    }
    const fn database(self) -> &'static str {
        match self {
            Self::Operator | Self::Watch | Self::Reader => "postgres",
            _ => config::PEOPLE,
        }
    }
    /// In a database of people, names are ours: nobody's function there is called by us.
    const fn options(self) -> &'static str {
        match self {
            Self::OperatorInside | Self::WatchInside => "-c search_path=pg_catalog",
            // What somebody has locked, it does not wait for.
            Self::Reader => {
                "-c search_path=pg_catalog -c default_transaction_read_only=on -c statement_timeout=5s -c lock_timeout=200ms"
            }
            Self::WatchUnloaded => "-c search_path=pg_catalog -c timescaledb.disable_load=on",
            _ => "",
        }
    }
}

/// A connection that ends with this value.
pub(crate) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    whom: String,
    limit: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
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

    /// Connects to a database of a node's server to read in it.
    pub(crate) async fn read(
        cx: &ClusterContext,
        node: &NodeSpec,
        database: &str,
        limit: Duration,
    ) -> Result<Self> {
        let at = cx.machine(node)?.reach(config::PORT);
        Self::enter(cx, &node.name, at, (As::Reader, database), limit).await
    }

    /// Connects to a database of a node's server to change something in it.
    pub(crate) async fn inside(
        cx: &ClusterContext,
        node: &NodeSpec,
        database: &str,
        limit: Duration,
    ) -> Result<Self> {
        let at = cx.machine(node)?.reach(config::PORT);
        Self::enter(cx, &node.name, at, (As::Operator, database), limit).await
    }

    /// Connects to any address.
    pub(crate) async fn connect(
        cx: &ClusterContext,
        whom: &str,
        at: SocketAddr,
        user: As,
        limit: Duration,
    ) -> Result<Self> {
        Self::enter(cx, whom, at, (user, user.database()), limit).await
    }

    /// The newest password is tried first: while passwords are changed some servers know it already, the others still the one
    /// before.
    async fn enter(
        cx: &ClusterContext,
        whom: &str,
        at: SocketAddr,
        (user, database): (As, &str),
        limit: Duration,
    ) -> Result<Self> {
        let newest = cx.secrets.newest(user.secret())?;
        let current = cx.secrets.get(user.secret())?;
        match Self::sign_in(cx, whom, at, (user, database), newest, limit).await {
            Err(e) if newest != current && is_refused_password(&e) => {
                let opened = Self::sign_in(cx, whom, at, (user, database), current, limit).await;
                opened.map_err(|e| error(whom, &e))
            }
            opened => opened.map_err(|e| error(whom, &e)),
        }
    }

    async fn sign_in(
        cx: &ClusterContext,
        whom: &str,
        at: SocketAddr,
        (user, database): (As, &str),
        password: &Sensitive<String>,
        limit: Duration,
    ) -> std::result::Result<Self, Failure> {
        let mut config = Config::new();
        config
            .hostaddr(at.ip())
            .host(at.ip().to_string())
            .port(at.port())
            .user(user.role())
            .password(password.reveal())
            .dbname(database)
            .options(user.options())
            .application_name("clusterdeck")
            // The endpoint has no certificate of its own: a node's is shown there, for another address.
            .ssl_mode(if user == As::People { SslMode::Disable } else { SslMode::Require })
            .connect_timeout(limit);
        let tls = MakeRustlsConnect::new(http::config(cx).map_err(Failure::Ours)?);
        let (client, connection) = match timeout(limit, config.connect(tls)).await {
            Ok(connected) => connected.map_err(Failure::Theirs)?,
            Err(_) => return Err(Failure::Silent),
        };
        // Its end shows in the next question.
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { client, connection, whom: whom.to_owned(), limit })
    }

    /// The same with another limit for each answer.
    pub(crate) fn patient(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks.
    pub(crate) async fn rows(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.within(self.client.query(sql, values)).await
    }

    /// Asks for one row.
    pub(crate) async fn row(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        self.within(self.client.query_one(sql, values)).await
    }

    /// Does something without an answer. No secret in clear: it would stand in the server's log when it fails.
    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        self.within(self.client.batch_execute(sql)).await
    }

    async fn within<T>(
        &self,
        asked: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match timeout(self.limit, asked).await {
            Ok(answer) => answer.map_err(|e| error(&self.whom, &Failure::Theirs(e))),
            Err(_) => Err(error(&self.whom, &Failure::Silent)),
        }
    }
}

/// Why somebody could not be asked.
enum Failure {
    Ours(DriverError),
    Theirs(tokio_postgres::Error),
    Silent,
}

fn is_refused_password(failure: &Failure) -> bool {
    matches!(failure, Failure::Theirs(e) if e.code() == Some(&SqlState::INVALID_PASSWORD))
}

/// Conditions that pass by themselves: starting, stopping, a standby that was asked to write, too many connections.
fn passes(code: &SqlState) -> bool {
    let class = &code.code()[..2];
    matches!(class, "57" | "53" | "08" | "40" | "25" | "55")
}

fn error(whom: &str, failure: &Failure) -> DriverError {
    let e = match failure {
        Failure::Ours(e) => return e.clone(),
        Failure::Silent => return DriverError::transient(format!("{whom} does not answer")),
        Failure::Theirs(e) => e,
    };
    match e.as_db_error() {
        None => DriverError::transient(format!("{whom} accepts no connections")),
        Some(said) if *said.code() == SqlState::INVALID_PASSWORD => DriverError::rejected(
            format!("{whom} does not accept the password of this cluster"),
            "somebody changed its roles; rotate the credentials to write them again",
        ),
        Some(said) if passes(said.code()) => {
            DriverError::transient(format!("{whom} is not ready: {}", said.message()))
        }
        // Never the statement: it may hold a password.
        Some(said) => DriverError::rejected(
            format!("{whom} refused: {} ({})", said.message(), said.code().code()),
            "the log of its server says more",
        ),
    }
}

/// Where a node's server listens, as the other servers know it.
pub(crate) fn address(machine: &dyn Machine) -> (IpAddr, u16) {
    (machine.address(), machine.port(config::PORT))
}
