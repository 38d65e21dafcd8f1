//! `clusterdeck serve`: the router and the web UI on an address. Loopback by default; a token always; TLS for any other
//! address. Whoever asks here reaches the engine of this computer and nothing else.

mod guard;
mod sessions;
mod tls;
mod token;
mod web;

pub(crate) use token::bears;
#[cfg(not(unix))]
pub(crate) use token::fresh_token;

use crate::{
    converse,
    front::Front,
    problem::{Code, Problem},
};
use clusterdeck_domain::Sensitive;
use clusterdeck_engine::repository::SecretRepository;
use guard::Guard;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Where and how to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate chain and key, as PEM files. Without them an address that is not loopback gets a certificate made here.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Other names under which this address is known (a DNS name): accepted as `Host`, and named in a certificate made here.
    pub names: Vec<String>,
}

/// What is served until it is stopped.
pub struct Serving {
    address: SocketAddr,
    fingerprint: Option<String>,
    secure: bool,
    guard: Arc<Guard>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

/// The token scripts show; made at the first call and kept in the keyring.
///
/// # Errors
/// When the keyring cannot be used.
pub async fn token(secrets: &dyn SecretRepository) -> Result<Sensitive<String>, Problem> {
    token::kept(secrets).await
}

/// Begins to serve.
///
/// # Errors
/// When the address is taken, the certificate cannot be used, or the keyring does not give the token.
pub async fn start(
    front: Front,
    secrets: &dyn SecretRepository,
    options: Options,
) -> Result<Serving, Problem> {
    let token = token::kept(secrets).await?;
    let secure = options.tls.is_some() || !options.listen.ip().is_loopback();
    let identity = if secure { Some(tls::identity(&options, front.home())?) } else { None };
    let listener = TcpListener::bind(options.listen).await.map_err(|error| {
        Problem::new(Code::Failed, format!("{} cannot be opened: {error}", options.listen))
            .detail("Nothing is served.")
            .hint("Choose another address with --listen, or end what listens there.")
    })?;
    let address = listener.local_addr().unwrap_or(options.listen);
    let closing = CancellationToken::new();
    let tasks = TaskTracker::new();
    let guard = Arc::new(Guard::new(front, token, address, secure, options.names));
    let handler = guard.clone().handler();
    let (until, connections) = (closing.clone(), tasks.clone());
    let fingerprint = identity.as_ref().map(|i| i.fingerprint.clone());
    match identity {
        None => tasks.spawn(async move { converse::accept(listener, handler, until, connections).await }),
        Some(identity) => {
            let greet = move |stream| {
                let acceptor = identity.acceptor.clone();
                async move { tls::greet(&acceptor, stream).await }
            };
            tasks
                .spawn(async move { converse::accept_as(listener, greet, handler, until, connections).await })
        }
    };
    Ok(Serving { address, fingerprint, secure, guard, closing, tasks })
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// SHA-256 of the certificate, as people compare it; `None` without TLS.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }
    /// The address for people.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => crate::host::name(),
            IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        format!("{scheme}://{host}:{}", self.address.port())
    }
    /// A link that signs one browser in, once, within ten minutes.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn sign_in_link(&self) -> Result<String, Problem> {
        Ok(format!("{}/signin?code={}", self.url(), self.guard.new_code()?))
    }
    /// Stops serving: no new connections, open ones get a moment to end.
    pub async fn stop(self) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(8), self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }
}

/// Whether a host name or address means this computer itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
