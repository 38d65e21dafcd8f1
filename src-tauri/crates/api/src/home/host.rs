//! The holder of a home: starts the engine, answers requests by the connection they are for, and listens for other
//! processes on the local socket.

use super::{Compose, Kept, Lock, guest::ACTOR, socket};
use crate::{
    connections::{Connections, EMBEDDED},
    converse::{self, Handler},
    extract::Actor,
    problem::{Code, Problem},
    router::{Rooms, router},
};
use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response},
    response::IntoResponse,
};
use clusterdeck_engine::{Engine, repository::SecretRepository};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// How long a read waits for an engine that is starting before it is answered from the copy.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a request waits for an engine that is starting: as long as a person may take to unlock a keyring.
const START: Duration = Duration::from_secs(60);
/// A start that failed is tried again by a request that comes at least this much later.
const AGAIN: Duration = Duration::from_secs(3);

/// How far the engine is.
#[derive(Clone)]
enum Stage {
    Starting,
    Ready(Engine, Router),
    Failed(Problem, Instant),
    Ended,
}

/// The holder of a home.
pub(crate) struct Host {
    home: PathBuf,
    compose: Arc<dyn Compose>,
    kept: Kept,
    connections: Connections,
    stage: watch::Sender<Stage>,
    /// Ends streams, the local socket and whoever serves.
    closing: CancellationToken,
    tasks: TaskTracker,
    /// Let go of last of all.
    lock: Mutex<Option<Lock>>,
}

impl Host {
    /// Opens what is remembered, starts the engine in the background, and listens on the local socket.
    pub(crate) async fn open(
        home: &Path,
        lock: Lock,
        compose: Arc<dyn Compose>,
    ) -> Result<Arc<Self>, Problem> {
        let kept = compose.open(home).await?;
        let connections = Connections::open(&kept).await?;
        let host = Arc::new(Self {
            home: home.to_owned(),
            compose,
            kept,
            connections,
            stage: watch::Sender::new(Stage::Starting),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            lock: Mutex::new(Some(lock)),
        });
        host.listen()?;
        host.start();
        Ok(host)
    }

    fn start(self: &Arc<Self>) {
        let host = self.clone();
        self.tasks.spawn(async move {
            let started = tokio::select! {
                started = host.compose.start(&host.home, &host.kept) => started,
                () = host.closing.cancelled() => return,
            };
            let stage = match started {
                Ok(engine) => {
                    let closing = host.closing.clone();
                    let rooms = Rooms { engine: engine.clone(), home: host.home.clone(), closing };
                    Stage::Ready(engine, router(rooms))
                }
                Err(problem) => {
                    tracing::error!(code = problem.code.id(), title = %problem.title, "the engine did not start");
                    Stage::Failed(problem, Instant::now())
                }
            };
            // It may have come too late: everything has ended in the meantime.
            let late = match &stage {
                Stage::Ready(engine, _) if host.closing.is_cancelled() => Some(engine.clone()),
                _ => None,
            };
            match late {
                Some(engine) => engine.shutdown(Duration::ZERO).await,
                None => drop(host.stage.send_replace(stage)),
            }
        });
    }

    #[cfg(unix)]
    fn listen(self: &Arc<Self>) -> Result<(), Problem> {
        let (listener, path) = socket::listen(&self.home)?;
        let handler = self.handler(None);
        let closing = self.closing.clone();
        let connections = self.tasks.clone();
        self.tasks.spawn(async move {
            converse::accept(listener, handler, closing, connections).await;
            // The next holder replaces a file that is left; this one is ours as long as the lock is.
            drop(std::fs::remove_file(path));
        });
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen(self: &Arc<Self>) -> Result<(), Problem> {
        let (listener, path, token) = socket::listen(&self.home)?;
        let handler = self.handler(Some(token));
        let closing = self.closing.clone();
        let connections = self.tasks.clone();
        self.tasks.spawn(async move {
            converse::accept(listener, handler, closing, connections).await;
            drop(std::fs::remove_file(path));
        });
        Ok(())
    }

    /// Answers other processes of the same user. They are who they say they are: only that user can open the socket, or
    /// read the token where there is one.
    fn handler(self: &Arc<Self>, token: Option<String>) -> Handler {
        let host = Arc::downgrade(self);
        Arc::new(move |request: Request<Body>| {
            let host = host.upgrade();
            let token = token.clone();
            Box::pin(async move {
                let Some(host) = host else { return shutting_down().into_response() };
                if token.is_some_and(|t| !crate::serve::bears(request.headers(), &t)) {
                    return Problem::new(Code::Unauthorized, "this is a local address of Clusterdeck")
                        .into_response();
                }
                let said = request.headers().get(ACTOR).and_then(|v| v.to_str().ok());
                let actor = Actor(said.unwrap_or("local").chars().take(80).collect());
                host.answer(request, &actor).await
            })
        })
    }

    /// Answers a request by the connection it is for.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        mut request: Request<Body>,
        actor: &Actor,
    ) -> Response<Body> {
        request.extensions_mut().insert(actor.clone());
        if request.uri().path().starts_with("/v1/connections") {
            return self.connections.answer(request).await;
        }
        match self.connections.chosen(request.headers()) {
            Err(problem) => problem.into_response(),
            Ok(None) => self.embedded(request).await,
            Ok(Some(server)) => self.connections.remote(&server, request).await,
        }
    }

    /// Answers from the engine of this home. While it starts, a read is answered with what was seen last.
    async fn embedded(self: &Arc<Self>, request: Request<Body>) -> Response<Body> {
        let mut stage = self.stage.subscribe();
        let again = self.stage.send_if_modified(|stage| {
            let due = matches!(stage, Stage::Failed(_, at) if at.elapsed() >= AGAIN);
            if due {
                *stage = Stage::Starting;
            }
            due
        });
        if again {
            self.start();
        }
        let copies = self.connections.copies();
        let key = copies.glance_key(&request);
        if let Some(key) = &key
            && tokio::time::timeout(GLANCE, stage.wait_for(|s| !matches!(s, Stage::Starting))).await.is_err()
            && let Some(copy) = copies.read(EMBEDDED, key).await
        {
            return copy;
        }
        match ready(&mut stage).await {
            Err(problem) => problem.into_response(),
            Ok((_, router)) => {
                let get = request.method() == Method::GET;
                let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
                match key.filter(|_| get) {
                    Some(key) => copies.keep_now_and_then(EMBEDDED, &key, response).await,
                    None => response,
                }
            }
        }
    }

    /// The engine, once it has started.
    pub(crate) async fn engine(&self) -> Result<Engine, Problem> {
        Ok(ready(&mut self.stage.subscribe()).await?.0)
    }

    /// Where secrets live.
    pub(crate) fn secrets(&self) -> Arc<dyn SecretRepository> {
        self.kept.secrets.clone()
    }

    /// Cancelled when this host ends.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Takes no new operations, gives those under way `patience` to end, then lets go of everything, the lock last.
    pub(crate) async fn close(&self, patience: Duration) {
        let ready = match &*self.stage.borrow() {
            Stage::Ready(engine, _) => Some(engine.clone()),
            _ => None,
        };
        if let Some(engine) = ready {
            engine.shutdown(patience).await;
        }
        self.stage.send_replace(Stage::Ended);
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(8), self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

async fn ready(stage: &mut watch::Receiver<Stage>) -> Result<(Engine, Router), Problem> {
    let settled = tokio::time::timeout(START, stage.wait_for(|s| !matches!(s, Stage::Starting))).await;
    match settled {
        Err(_) => Err(Problem::new(Code::ShuttingDown, "the engine is still starting")
            .detail("Nothing was changed; the servers keep running.")
            .hint("It may wait for the keyring to be unlocked. Try again in a moment.")),
        Ok(Err(_)) => Err(shutting_down()),
        Ok(Ok(stage)) => match &*stage {
            Stage::Ready(engine, router) => Ok((engine.clone(), router.clone())),
            Stage::Failed(problem, _) => Err(problem.clone()),
            Stage::Starting | Stage::Ended => Err(shutting_down()),
        },
    }
}

/// What is answered while everything ends.
pub(crate) fn shutting_down() -> Problem {
    Problem::from(clusterdeck_engine::EngineError::ShuttingDown)
}
