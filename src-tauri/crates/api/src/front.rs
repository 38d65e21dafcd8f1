//! What window, browser and command line talk to: one place that takes a request and gives an answer, whoever holds the
//! home and wherever the clusters are.

use crate::{
    connections::{CONNECTION, EMBEDDED, Notices},
    extract::{Actor, MAX_BODY},
    home::{self, Compose, Guest, Host, Lock, Refused},
    problem::{Code, Problem},
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header, request::Parts},
    response::IntoResponse,
};
use clusterdeck_engine::{Engine, repository::SecretRepository};
use http_body_util::{BodyExt, Limited};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How long a home whose holder is ending is waited for before that is an error.
const TAKE_OVER: Duration = Duration::from_secs(15);
/// How often the lock is tried in that time. A lock tells nobody when it is let go.
const TRY: Duration = Duration::from_millis(50);

#[derive(Clone)]
enum Role {
    /// This process holds the home.
    Host(Arc<Host>),
    /// Another one does.
    Guest(Guest),
    /// Nothing more is answered, but for this.
    Closed(Problem),
}

/// See the module. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Front {
    inner: Arc<Inner>,
}

struct Inner {
    home: PathBuf,
    actor: Actor,
    compose: Option<Arc<dyn Compose>>,
    role: RwLock<Role>,
    /// Only one of many waiting requests takes the home over.
    turn: tokio::sync::Mutex<()>,
}

impl Front {
    /// Opens a home: hosts the engine when nobody does, else talks to whoever does. `actor` is who asks, for the audit
    /// trail (`cli:anna`, see [`crate::host::actor`]).
    ///
    /// # Errors
    /// When the folder, the lock or state.db cannot be used. An engine that does not start is not an error here: every
    /// request is then answered with what is wrong, until it starts.
    pub async fn open(home: &Path, actor: String, compose: Arc<dyn Compose>) -> Result<Self, Problem> {
        // Whatever needs TLS later finds the one provider that is linked. A second call changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let home = home::prepare(home)?;
        let role = match Lock::take(&home)? {
            Some(lock) => Role::Host(Host::open(&home, lock, compose.clone()).await?),
            None => Role::Guest(Guest::new(&home)),
        };
        let inner = Inner {
            home,
            actor: Actor(actor),
            compose: Some(compose),
            role: RwLock::new(role),
            turn: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A front that answers everything with the same problem: for a window that shall show why its home cannot be opened.
    pub fn broken(problem: Problem) -> Self {
        let inner = Inner {
            home: PathBuf::new(),
            actor: Actor("nobody".to_owned()),
            compose: None,
            role: RwLock::new(Role::Closed(problem)),
            turn: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The home's folder.
    pub fn home(&self) -> &Path {
        &self.inner.home
    }

    /// Whether this process hosts the engine right now.
    pub fn is_host(&self) -> bool {
        matches!(self.role(), Role::Host(_))
    }

    /// The engine when this process hosts it, once it has started.
    ///
    /// # Errors
    /// What keeps the engine from starting.
    pub async fn hosted_engine(&self) -> Result<Option<Engine>, Problem> {
        match self.role() {
            Role::Host(host) => Ok(Some(host.engine().await?)),
            Role::Guest(_) => Ok(None),
            Role::Closed(problem) => Err(problem),
        }
    }

    /// Where secrets live, when this process hosts the engine.
    pub fn secrets(&self) -> Option<Arc<dyn SecretRepository>> {
        match self.role() {
            Role::Host(host) => Some(host.secrets()),
            _ => None,
        }
    }

    /// Cancelled when the engine that this process hosts ends; `None` when it hosts none.
    pub fn closing(&self) -> Option<CancellationToken> {
        match self.role() {
            Role::Host(host) => Some(host.closing().clone()),
            _ => None,
        }
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => {
                let problem = Problem::new(Code::Invalid, "the body is too large or broke off");
                return problem.status(axum::http::StatusCode::PAYLOAD_TOO_LARGE).into_response();
            }
        };
        let actor = parts.extensions.get::<Actor>().unwrap_or(&self.inner.actor).clone();
        let until = Instant::now() + TAKE_OVER;
        loop {
            let guest = match self.role() {
                Role::Closed(problem) => return problem.into_response(),
                Role::Host(host) => return host.answer(again(&parts, &body), &actor).await,
                Role::Guest(guest) => guest,
            };
            match guest.send(again(&parts, &body), &actor).await {
                Ok(response) => match unless_ending(response).await {
                    Ok(response) => return response,
                    Err(ending) if Instant::now() >= until => return ending,
                    // Nothing was changed; either it is gone in a moment, or its place becomes free.
                    Err(_) => tokio::time::sleep(TRY).await,
                },
                Err(Refused::Broken(_)) if parts.method == Method::GET && Instant::now() < until => {
                    tokio::time::sleep(TRY).await;
                }
                Err(Refused::Broken(problem)) => return problem.into_response(),
                Err(Refused::Nobody) => {}
            }
            if let Err(problem) = self.take_over(until).await {
                return problem.into_response();
            }
        }
    }

    /// Becomes the host when the lock is free; returns as well when somebody else is there again.
    async fn take_over(&self, until: Instant) -> Result<(), Problem> {
        let inner = &self.inner;
        let _turn = inner.turn.lock().await;
        let Role::Guest(guest) = self.role() else { return Ok(()) };
        let Some(compose) = &inner.compose else { return Ok(()) };
        loop {
            if let Some(lock) = Lock::take(&inner.home)? {
                tracing::info!("the home is free: this process hosts the engine from now on");
                let host = Host::open(&inner.home, lock, compose.clone()).await?;
                if !self.becomes(&host) {
                    host.close(Duration::ZERO).await;
                }
                return Ok(());
            }
            if guest.is_there().await {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Problem::new(
                    Code::Offline,
                    "another Clusterdeck holds this home and does not answer",
                )
                .detail(format!("The lock of {} is held. The servers keep running.", inner.home.display()))
                .hint("Wait until it has ended, or end the other `clusterdeck` process."));
            }
            tokio::time::sleep(TRY).await;
        }
    }

    /// The host from now on, unless this front was closed in the meantime.
    fn becomes(&self, host: &Arc<Host>) -> bool {
        let mut role = self.inner.role.write().unwrap_or_else(PoisonError::into_inner);
        let open = matches!(&*role, Role::Guest(_));
        if open {
            *role = Role::Host(host.clone());
        }
        open
    }

    /// A GET or another request without a body, as the text of its path.
    pub async fn get(&self, path: &str, headers: HeaderMap) -> Response<Body> {
        match request(Method::GET, path, headers, Body::empty()) {
            Ok(request) => self.handle(request).await,
            Err(problem) => problem.into_response(),
        }
    }

    /// Opens a stream of events (`/v1/events`, live metrics, a followed log). It is read as it is asked for; dropping it
    /// closes it.
    ///
    /// # Errors
    /// The problem that was answered instead of a stream.
    pub async fn stream(&self, path: &str, mut headers: HeaderMap) -> Result<Notices, Problem> {
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let response = self.get(path, headers).await;
        let kind =
            response.headers().get(header::CONTENT_TYPE).map(|v| v.as_bytes().to_vec()).unwrap_or_default();
        if response.status().is_success() && kind.starts_with(b"text/event-stream") {
            return Ok(Notices::new(response.into_body()));
        }
        Err(problem_of(response).await)
    }

    /// The same front for requests that are only for the engine of this computer: what `serve` shows to others.
    pub(crate) async fn handle_embedded(&self, mut request: Request<Body>) -> Response<Body> {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static(EMBEDDED));
        self.handle(request).await
    }

    /// Ends: takes no new operations, gives those under way `patience` to end, then lets go of the home. Operations that
    /// have not ended go on when somebody opens the home again. A guest only stops asking.
    pub async fn close(&self, patience: Duration) {
        let role = self.role();
        if let Role::Host(host) = role {
            host.close(patience).await;
        }
        let mut role = self.inner.role.write().unwrap_or_else(PoisonError::into_inner);
        *role = Role::Closed(Problem::from(clusterdeck_engine::EngineError::ShuttingDown));
    }

    fn role(&self) -> Role {
        self.inner.role.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A request from its parts.
///
/// # Errors
/// `invalid` when the path is none.
pub fn request(method: Method, path: &str, headers: HeaderMap, body: Body) -> Result<Request<Body>, Problem> {
    let uri: Uri = path.parse().map_err(|_| Problem::invalid("/path", format!("`{path}` is no address")))?;
    if !uri.path().starts_with('/') || uri.authority().is_some() {
        return Err(Problem::invalid("/path", "an address begins with /"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The problem in an answer that is none of what was asked for.
pub async fn problem_of(response: Response<Body>) -> Problem {
    let status = response.status();
    let bytes = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let bytes = bytes.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        Problem::new(Code::Failed, format!("an answer that is not understood (status {})", status.as_u16()))
            .hint("What answers there may be no Clusterdeck, or another version of it.")
    })
}

fn again(parts: &Parts, body: &Bytes) -> Request<Body> {
    let mut request = Request::new(Body::from(body.clone()));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    request
}

/// The answer, unless it says that whoever answers is about to end.
async fn unless_ending(response: Response<Body>) -> Result<Response<Body>, Response<Body>> {
    if response.status() != axum::http::StatusCode::SERVICE_UNAVAILABLE {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let ending = serde_json::from_slice::<Problem>(&bytes).is_ok_and(|p| p.code == Code::ShuttingDown);
    let response = Response::from_parts(parts, Body::from(bytes));
    if ending { Err(response) } else { Ok(response) }
}
