//! Talking to one server: a connection with limits, and errors in the words of the driver contract.

use clusterdeck_domain::{NodeSpec, Sensitive};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// The standard port of a server.
pub(crate) const PORT: u16 = 6379;
/// The standard port of a Sentinel.
pub(crate) const VOTER_PORT: u16 = 26379;
/// The standard port of the bus between the members of a sharded cluster.
pub(crate) const BUS_PORT: u16 = 16379;
/// How long a change waits for one answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(3);

/// As whom we speak. The names are those of the ACL users and of the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// Ourselves.
    Operator,
    /// Who only looks at roles.
    Watch,
    /// Who uses the cluster.
    People,
    /// A Sentinel's only user.
    Voter,
}

impl As {
    /// The name of its password.
    pub(crate) const fn secret(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Watch => "watch",
            Self::People => "people",
            Self::Voter => "voter",
        }
    }
    const fn user(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Watch => "watch",
            Self::People | Self::Voter => "default",
        }
    }
}

/// An open connection. Its answers come within the limit it was opened with, or as an error.
pub(crate) struct Session {
    connection: MultiplexedConnection,
    /// Whom we talk to, for errors: `demo-1`.
    whom: String,
}

impl Session {
    /// Connects to a node's server as ourselves, for a change.
    pub(crate) async fn open(cx: &ClusterContext, node: &NodeSpec) -> Result<Self> {
        Self::open_within(cx, node, ANSWER).await
    }
    /// The same, with a limit for connecting and for each answer.
    pub(crate) async fn open_within(cx: &ClusterContext, node: &NodeSpec, limit: Duration) -> Result<Self> {
        let at = cx.machine(node)?.reach(PORT);
        Self::connect(cx, &node.name, at, As::Operator, limit).await
    }
    /// Connects to the Sentinel of a node.
    pub(crate) async fn voter(cx: &ClusterContext, node: &NodeSpec, limit: Duration) -> Result<Self> {
        let at = cx.machine(node)?.reach(VOTER_PORT);
        Self::connect(cx, &format!("the Sentinel of {}", node.name), at, As::Voter, limit).await
    }
    /// Connects to any address. The newest password is tried first: in a rotation some servers know it already, the
    /// others still know the one before.
    pub(crate) async fn connect(
        cx: &ClusterContext,
        whom: &str,
        at: SocketAddr,
        user: As,
        limit: Duration,
    ) -> Result<Self> {
        let newest = cx.secrets.newest(user.secret())?;
        let current = cx.secrets.get(user.secret())?;
        match authenticated(at, user, newest, limit).await {
            Err(e) if e.kind() == ErrorKind::AuthenticationFailed && newest != current => {
                match authenticated(at, user, current, limit).await {
                    Ok(connection) => Ok(Self { connection, whom: whom.to_owned() }),
                    Err(e) => Err(error(whom, &e)),
                }
            }
            Ok(connection) => Ok(Self { connection, whom: whom.to_owned() }),
            Err(e) => Err(error(whom, &e)),
        }
    }
    /// Asks, and reads the answer as `T`.
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T> {
        command.query_async(&mut self.connection).await.map_err(|e| error(&self.whom, &e))
    }
    /// Asks several things in one go. The first error is the answer when there is one.
    pub(crate) async fn ask_together<T: FromRedisValue>(&mut self, commands: &redis::Pipeline) -> Result<T> {
        commands.query_async(&mut self.connection).await.map_err(|e| error(&self.whom, &e))
    }
    /// Asks in words that hold no blanks and no secret.
    pub(crate) async fn say<T: FromRedisValue>(&mut self, words: &str) -> Result<T> {
        self.ask(&command(words)).await
    }
    /// Asks a member of a sharded cluster, which may answer that somebody else has the key: then `Ok(Err(address))`.
    pub(crate) async fn redirected<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
    ) -> Result<std::result::Result<T, SocketAddr>> {
        match command.query_async(&mut self.connection).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(e) => match e.redirect_node().and_then(|(place, _)| place.parse::<SocketAddr>().ok()) {
                Some(place) => Ok(Err(place)),
                None => Err(error(&self.whom, &e)),
            },
        }
    }
    /// Whom we talk to.
    pub(crate) fn whom(&self) -> &str {
        &self.whom
    }
    /// Waits differently from now on.
    pub(crate) fn answer_within(&mut self, limit: Duration) {
        self.connection.set_response_timeout(limit);
    }
}

/// A command from words separated by blanks.
pub(crate) fn command(words: &str) -> Cmd {
    let mut parts = words.split(' ');
    let mut command = redis::cmd(parts.next().unwrap_or_default());
    for part in parts {
        command.arg(part);
    }
    command
}

async fn authenticated(
    at: SocketAddr,
    user: As,
    password: &Sensitive<String>,
    limit: Duration,
) -> std::result::Result<MultiplexedConnection, RedisError> {
    // RESP2 and no library name: two round trips less, and the same answers from all three servers.
    let settings = RedisConnectionInfo::default()
        .set_username(user.user())
        .set_password(password.reveal())
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name();
    let info = ConnectionAddr::Tcp(at.ip().to_string(), at.port())
        .into_connection_info()?
        .set_redis_settings(settings);
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(Some(limit));
    let open = Client::open(info)?;
    let connecting = open.get_multiplexed_async_connection_with_config(&config);
    // The library's connection limit does not cover the password exchange in every version: a stopped server accepts
    // the connection and stays silent.
    match tokio::time::timeout(limit, connecting).await {
        Ok(done) => done,
        Err(_) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
    }
}

/// What a server says when it will do it in a moment.
const NOT_READY: [&str; 8] =
    ["LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "INPROG", "IOERR"];

/// A server's or the network's answer in the words of the contract. Never the command: it may hold a password.
pub(crate) fn error(whom: &str, e: &RedisError) -> DriverError {
    if e.is_connection_refusal() {
        return DriverError::transient(format!("{whom} accepts no connections"));
    }
    if e.is_timeout() {
        return DriverError::transient(format!("{whom} does not answer"));
    }
    if e.is_connection_dropped() || e.is_io_error() {
        return DriverError::transient(format!("the connection to {whom} broke"));
    }
    let code = e.code().unwrap_or_default();
    let detail = e.detail().unwrap_or_default();
    match e.kind() {
        ErrorKind::AuthenticationFailed => DriverError::rejected(
            format!("{whom} does not accept the password of this cluster"),
            "somebody changed its users; restart the node to write them again",
        ),
        _ if NOT_READY.contains(&code) => DriverError::transient(format!("{whom} is not ready: {code}")),
        // A member that passes on what another one said.
        _ if NOT_READY.iter().any(|not| detail.contains(&format!("replied with error: {not}"))) => {
            DriverError::transient(format!("{whom} says: {detail}"))
        }
        // The first error of several commands sent together has its words elsewhere.
        _ if detail.is_empty() => {
            DriverError::rejected(format!("{whom} refused: {e}"), "the log of its server says more")
        }
        _ => DriverError::rejected(
            format!("{whom} refused: {code} {detail}").trim_end().to_owned(),
            "the log of its server says more",
        ),
    }
}

/// Where a node's server listens, as the other servers know it.
pub(crate) fn address(machine: &dyn Machine) -> (IpAddr, u16) {
    (machine.address(), machine.port(PORT))
}
