//! Talking to a server: over HTTPS, with its token from the keyring. Whoever asks never sees the token.

use super::{copies::Copies, list::Server, pin};
use crate::problem::{Code, Problem};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, Method, Request, Response, header},
    response::IntoResponse,
};
use clusterdeck_domain::{SecretRef, Sensitive};
use clusterdeck_engine::{EngineError, repository::SecretRepository};
use futures::TryStreamExt;
use http_body_util::BodyExt;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(60);
/// A stream that is silent for longer than four of its keep-alives is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the list of connections waits for a server.
const GLANCE: Duration = Duration::from_secs(2);
/// A server that was asked so short a time ago is not asked again for the list.
const FRESH: Duration = Duration::from_secs(10);

/// What a request may carry to a server. Nothing about this computer's own sign-in goes there.
const CARRIED: [HeaderName; 4] = [header::ACCEPT, header::CONTENT_TYPE, IDEMPOTENCY, LAST_EVENT];
const IDEMPOTENCY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// What of an answer is handed on.
const RETURNED: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CACHE_CONTROL, header::LOCATION, header::CONTENT_DISPOSITION];

/// When a server was asked last and what came of it.
#[derive(Clone, Copy)]
struct Seen {
    asked: Instant,
    reachable: bool,
    answered: Option<Timestamp>,
}

/// The servers this home talks to.
pub(super) struct Remotes {
    secrets: Arc<dyn SecretRepository>,
    clients: Mutex<HashMap<String, (Server, reqwest::Client)>>,
    seen: Mutex<HashMap<String, Seen>>,
}

impl Remotes {
    pub(super) fn new(secrets: Arc<dyn SecretRepository>) -> Self {
        Self { secrets, clients: Mutex::default(), seen: Mutex::default() }
    }

    /// Whether a server was reachable when last asked, and when it last answered.
    pub(super) fn seen(&self, name: &str) -> (Option<bool>, Option<Timestamp>) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        (seen.map(|s| s.reachable), seen.and_then(|s| s.answered))
    }

    fn note(&self, name: &str, reachable: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(name).and_then(|s| s.answered);
        let answered = if reachable { Some(Timestamp::now()) } else { before };
        seen.insert(name.to_owned(), Seen { asked: Instant::now(), reachable, answered });
    }

    /// Asks a server whether it is there, unless that was asked a moment ago.
    pub(super) async fn glance(&self, server: &Server) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&server.name).copied();
        if seen.is_some_and(|s| s.asked.elapsed() < FRESH) {
            return;
        }
        let asked = async {
            let token = self.token(&server.name).await.ok()?;
            self.ask(server, &token, Method::GET, "/v1/info", HeaderMap::new(), Vec::new()).await.ok()
        };
        let answer = tokio::time::timeout(GLANCE, asked).await;
        self.note(&server.name, matches!(answer, Ok(Some(_))));
    }

    /// Makes sure that a new connection works.
    pub(super) async fn greet(&self, server: &Server, token: &Sensitive<String>) -> Result<(), Problem> {
        let answer = self.ask(server, token, Method::GET, "/v1/info", HeaderMap::new(), Vec::new()).await;
        let answer = answer.map_err(|why| why.problem(server, &Method::POST))?;
        let ours = |r: &reqwest::Response| {
            r.headers().get(header::CONTENT_TYPE).is_some_and(|v| v == "application/json")
        };
        match answer.status().as_u16() {
            200 if ours(&answer) => {
                self.note(&server.name, true);
                Ok(())
            }
            401 => Err(Problem::new(Code::Unauthorized, "the server does not know this token")
                .field("/token", "the server does not know this token")
                .hint("`clusterdeck serve --show-token` prints it there.")),
            status => Err(Problem::invalid(
                "/url",
                format!("what answers there is no Clusterdeck (status {status})"),
            )),
        }
    }

    pub(super) async fn keep_token(&self, name: &str, token: &Sensitive<String>) -> Result<(), Problem> {
        Ok(self.secrets.put(&SecretRef::of_connection(name), token).await.map_err(EngineError::from)?)
    }

    /// Forgets a server's token and the open connections to it.
    pub(super) async fn forget(&self, name: &str) -> Result<(), Problem> {
        self.secrets.remove(&SecretRef::of_connection(name)).await.map_err(EngineError::from)?;
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    async fn token(&self, name: &str) -> Result<Sensitive<String>, Problem> {
        let found = self.secrets.get(&SecretRef::of_connection(name)).await.map_err(EngineError::from)?;
        found.ok_or_else(|| {
            Problem::new(
                Code::Unauthorized,
                format!("the token of connection `{name}` is not in the keyring"),
            )
            .hint("Remove the connection and add it again.")
        })
    }

    /// One client per server: it keeps connections open.
    fn client(&self, server: &Server) -> Result<reqwest::Client, Problem> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = clients.get(&server.name)
            && of == server
        {
            return Ok(client.clone());
        }
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_idle_timeout(Duration::from_secs(20))
            // A redirect would carry the token to somewhere else.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("clusterdeck/", env!("CARGO_PKG_VERSION")));
        let builder = match &server.fingerprint {
            Some(fingerprint) => builder.tls_backend_preconfigured(pin::config(fingerprint)?),
            None => builder,
        };
        let broken =
            |e: reqwest::Error| Problem::new(Code::Internal, format!("no HTTPS client could be made: {e}"));
        let client = builder.build().map_err(broken)?;
        clients.insert(server.name.clone(), (server.clone(), client.clone()));
        Ok(client)
    }

    async fn ask(
        &self,
        server: &Server,
        token: &Sensitive<String>,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<reqwest::Response, Away> {
        let client = self.client(server).map_err(Away::Refused)?;
        let url = format!("{}{path}", server.url);
        let mut request = client.request(method, url).headers(headers).bearer_auth(token.reveal());
        if !body.is_empty() {
            request = request.body(body);
        }
        match tokio::time::timeout(ANSWER, request.send()).await {
            Ok(sent) => sent.map_err(Away::Unreachable),
            Err(_) => Err(Away::Silent),
        }
    }

    /// Answers a request from a server. A read that cannot be answered comes from the copy; a change is refused.
    pub(super) async fn answer(
        &self,
        server: &Server,
        request: Request<Body>,
        copies: &Copies,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let key = copies.key(&parts);
        let body = match BodyExt::collect(http_body_util::Limited::new(body, crate::extract::MAX_BODY)).await
        {
            Ok(collected) => collected.to_bytes().to_vec(),
            Err(_) => return Problem::new(Code::Invalid, "the body is too large").into_response(),
        };
        let token = match self.token(&server.name).await {
            Ok(token) => token,
            Err(problem) => return problem.into_response(),
        };
        let headers = parts.headers.iter().filter(|(name, _)| CARRIED.contains(name));
        let headers = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
        let answered = self.ask(server, &token, parts.method.clone(), &path, headers, body).await;
        let answer = match answered {
            Ok(answer) => handed_on(answer),
            Err(Away::Refused(problem)) => return problem.into_response(),
            Err(why) => {
                self.note(&server.name, false);
                return self.without(server, &parts.method, key.as_deref(), why, copies).await;
            }
        };
        self.note(&server.name, true);
        match key {
            // A connection that breaks in the middle of an answer is the same as none.
            Some(key) => match copies.keep(&server.name, &key, answer).await {
                Ok(kept) => kept,
                Err(_) => self.without(server, &parts.method, Some(&key), Away::Silent, copies).await,
            },
            None => answer,
        }
    }

    async fn without(
        &self,
        server: &Server,
        method: &Method,
        key: Option<&str>,
        why: Away,
        copies: &Copies,
    ) -> Response<Body> {
        tracing::info!(connection = %server.name, %why, "the server cannot be reached");
        if let Some(key) = key
            && let Some(copy) = copies.read(&server.name, key).await
        {
            return copy;
        }
        why.problem(server, method).into_response()
    }
}

/// Why a server did not answer.
#[derive(Debug, thiserror::Error)]
enum Away {
    #[error("{}", reason(.0))]
    Unreachable(reqwest::Error),
    #[error("it did not answer in time")]
    Silent,
    #[error("{0}")]
    Refused(Problem),
}

impl Away {
    fn problem(self, server: &Server, method: &Method) -> Problem {
        if let Self::Refused(problem) = self {
            return problem;
        }
        let untrusted = self.to_string().contains("certificate");
        let hint = if untrusted {
            "Its certificate is not one that this computer trusts. Compare the fingerprint it prints at its start and \
             add the connection with it."
        } else {
            "Check the address and the network; it is tried again with the next request."
        };
        let nothing = if *method == Method::GET {
            "There is no copy of this."
        } else {
            "Nothing was changed, and nothing is queued."
        };
        Problem::new(Code::Offline, format!("`{}` cannot be reached", server.name))
            .detail(format!("{}: {self}. {nothing} Its clusters are not affected.", server.url))
            .hint(hint)
    }
}

/// The innermost cause, without the address (it may hold a query).
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { "it did not answer in time".to_owned() } else { cause.to_string() }
}

/// The answer as ours: status, the headers that matter, and the body as it comes.
fn handed_on(answer: reqwest::Response) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    for name in RETURNED {
        if let Some(value) = answer.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    *response.body_mut() = Body::from_stream(answer.bytes_stream().map_err(axum::Error::new));
    response
}
