//! The side of a process that found the home taken: it asks the holder over the local socket.

use super::socket;
use crate::{
    extract::Actor,
    problem::{Code, Problem},
};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Request, Response, header},
};
use hyper_util::rt::TokioIo;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

/// Who asks, told by one process of a user to another.
pub(crate) const ACTOR: HeaderName = HeaderName::from_static("x-clusterdeck-actor");
/// How long the holder may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no answer.
pub(crate) enum Refused {
    /// Nobody listens: the request did not reach anybody.
    Nobody,
    /// The connection broke; whether the request was worked on is not known.
    Broken(Problem),
}

/// Talks to the holder.
#[derive(Clone)]
pub(crate) struct Guest {
    home: PathBuf,
}

impl Guest {
    pub(crate) fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    /// Whether somebody listens.
    pub(crate) async fn is_there(&self) -> bool {
        socket::connect(&self.home).await.is_ok()
    }

    /// Sends a request, each on a connection of its own: the socket is local, and a refused connection then always
    /// means that nothing was sent.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
        actor: &Actor,
    ) -> Result<Response<Body>, Refused> {
        let (stream, token) = match socket::connect(&self.home).await {
            Ok(connected) => connected,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::ConnectionReset
                ) =>
            {
                return Err(Refused::Nobody);
            }
            Err(error) => return Err(Refused::Broken(unreachable(&error.to_string()))),
        };
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        if let Ok(value) = HeaderValue::from_str(&actor.0) {
            headers.insert(ACTOR, value);
        }
        if let Some(value) = token.and_then(|t| HeaderValue::from_str(&format!("Bearer {t}")).ok()) {
            headers.insert(header::AUTHORIZATION, value);
        }
        let broken = |error: hyper::Error| Refused::Broken(unreachable(&error.to_string()));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The task ends with the connection: when the answer's body has been read or dropped.
        let conversation = tokio::spawn(async move { drop(connection.await) });
        match tokio::time::timeout(PATIENCE, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(response.map(Body::new)),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => {
                conversation.abort();
                Err(Refused::Broken(unreachable("no answer within two minutes")))
            }
        }
    }
}

fn unreachable(why: &str) -> Problem {
    Problem::new(Code::Offline, "the Clusterdeck that holds this home does not answer")
        .detail(format!("{why}. The servers keep running; whether the request was worked on is not known."))
        .hint("Look at what is under way with `clusterdeck operation list` before you try again.")
}
