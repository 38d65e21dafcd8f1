//! The home a command works in: opened first, closed last. A command that finds nobody there hosts the engine itself; it
//! takes up what an earlier one left unfinished and ends only when nothing is under way any more.

use crate::{
    answer::{Answer, ask, piece},
    args::{Args, ClusterVerb, NodeVerb, Noun},
    background,
    compose::Real,
    failure::Failure,
    log,
    output::Output,
    watch,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use clusterdeck_api::{CONNECTION, EMBEDDED, Front, Notices, Problem, default_home, host, wire};
use clusterdeck_domain::{Operation, OperationState};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a command that hosts the engine waits for the first look at the clusters.
const FIRST_LOOK: Duration = Duration::from_secs(4);

/// See the module.
pub(crate) struct Session {
    front: Front,
    pub(crate) output: Output,
    connection: Option<String>,
    /// The operation that is being watched, for the last words of a command that is interrupted.
    watched: Mutex<Option<Operation>>,
    _host: Option<background::Host>,
}

/// The home of these arguments.
pub(crate) fn home(args: &Args) -> PathBuf {
    args.global.home.clone().unwrap_or_else(default_home)
}

impl Session {
    /// Opens the home, takes up what was left unfinished, and lets the first look at the clusters happen where it matters.
    pub(crate) async fn open(args: &Args, output: &Output) -> Result<Self, Failure> {
        let home = home(args);
        // Kept until this command ends: the host ends when nobody needs it any more.
        let host = if args.noun.detaches() { background::start(&home).await? } else { None };
        let front = Front::open(&home, host::actor("cli"), Arc::new(Real)).await?;
        log::begin(front.home());
        let session = Self {
            front,
            output: *output,
            connection: args.global.connection.clone(),
            watched: Mutex::default(),
            _host: host,
        };
        if session.front.is_host() {
            session.front.hosted_engine().await?;
            let opened = tokio::select! {
                opened = session.take_up(&args.noun) => opened,
                signal = stopped() => Err(Failure::Interrupted(signal)),
            };
            if let Err(failure) = opened {
                return match session.close(Err(failure)).await {
                    Err(failure) => Err(failure),
                    Ok(()) => Err(Failure::Closed),
                };
            }
        }
        Ok(session)
    }

    pub(crate) fn front(&self) -> &Front {
        &self.front
    }

    async fn take_up(&self, noun: &Noun) -> Result<(), Failure> {
        let unfinished = self.unfinished().await?;
        for operation in &unfinished {
            self.output
                .note(&format!("Taking up what was left unfinished: {} ({})", operation.title, operation.id));
        }
        if waits(noun) {
            for operation in unfinished {
                let ended =
                    watch::watch_quietly(self, &self.embedded(), operation.id.as_str()).await?.operation;
                self.output.note(&format!("{}: {}", ended.title, said(ended.state)));
            }
        }
        let rates = matches!(noun, Noun::Node(NodeVerb::Metrics { .. }));
        if looks(noun) && self.connection.as_deref().is_none_or(|name| name == EMBEDDED) {
            self.first_look(rates).await?;
        }
        Ok(())
    }

    /// The operations of this computer that have not ended.
    async fn unfinished(&self) -> Result<Vec<Operation>, Failure> {
        let answer = self.ask_embedded("/v1/operations?state=unfinished&limit=500").await?;
        Ok(answer.read::<wire::List<Operation>>()?.items)
    }

    /// Waits until every cluster was looked at since the engine started, so that nothing old is shown as new. There is
    /// no notice for a look that found nothing new, so this asks now and then.
    /// `rates` waits for the second look: what is used per second is not known before.
    async fn first_look(&self, rates: bool) -> Result<(), Failure> {
        let info: wire::Info = self.ask_embedded("/v1/info").await?.read()?;
        let until = Instant::now() + FIRST_LOOK;
        let seen = |at: Option<Timestamp>| at.is_some_and(|at| at >= info.engine_started_at);
        loop {
            let clusters: wire::List<wire::Cluster> =
                self.ask_embedded("/v1/clusters?limit=500").await?.read()?;
            let measured =
                |c: &wire::Cluster| !rates || c.nodes.iter().any(|n| n.metrics.cpu_percent.is_some());
            if clusters.items.iter().all(|c| seen(c.observed_at) && measured(c)) || Instant::now() >= until {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(name) = &self.connection {
            let value = HeaderValue::from_str(name);
            headers.insert(
                CONNECTION,
                value.map_err(|_| Problem::invalid("/connection", "that is no connection's name"))?,
            );
        }
        Ok(headers)
    }

    /// The headers that name the engine of this computer.
    pub(crate) fn embedded(&self) -> HeaderMap {
        HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static(EMBEDDED))])
    }

    async fn ask_embedded(&self, path: &str) -> Result<Answer, Failure> {
        ask(&self.front, Method::GET, path, self.embedded(), None).await
    }

    /// Reads from the chosen connection.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let answer = ask(&self.front, Method::GET, path, self.headers()?, None).await?;
        if let Some(age) = answer.age() {
            let name = self.connection.as_deref().unwrap_or("the current connection");
            self.output.note(&format!("{name} cannot be reached: this is what was seen {age}."));
        }
        Ok(answer)
    }

    /// Sends a body to the chosen connection.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        ask(&self.front, method, path, self.headers()?, body).await
    }

    /// The same under a key that makes a retry safe.
    pub(crate) async fn send_once(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let mut headers = self.headers()?;
        let key = uuid::Uuid::now_v7().to_string();
        headers.insert("idempotency-key", HeaderValue::from_str(&key).map_err(|_| Failure::other("no key"))?);
        ask(&self.front, Method::POST, path, headers, Some(body)).await
    }

    /// The body of a large answer, as it comes.
    pub(crate) async fn body(&self, path: &str) -> Result<axum::body::Body, Failure> {
        let response = self.front.get(path, self.headers()?).await;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(clusterdeck_api::problem_of(response).await.into())
    }

    /// Opens a stream of the chosen connection.
    pub(crate) async fn stream(&self, path: &str) -> Result<Notices, Failure> {
        Ok(self.front.stream(path, self.headers()?).await?)
    }

    /// Watches an operation of the chosen connection and shows its steps.
    pub(crate) async fn watch(&self, id: &str) -> Result<watch::Ended, Failure> {
        watch::watch(self, &self.headers()?, id).await
    }

    /// One operation.
    pub(crate) async fn operation(
        &self,
        headers: &HeaderMap,
        id: &str,
    ) -> Result<(Operation, Answer), Failure> {
        let path = format!("/v1/operations/{}", piece(id));
        let answer = ask(&self.front, Method::GET, &path, headers.clone(), None).await?;
        let operation: Operation = answer.read()?;
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) =
            (!operation.state.is_final()).then(|| operation.clone());
        Ok((operation, answer))
    }

    /// Ends the command. A host waits until nothing is under way; one that was interrupted lets go, and what is under way
    /// goes on when somebody opens the home again.
    pub(crate) async fn close(&self, ended: Result<(), Failure>) -> Result<(), Failure> {
        if self.output.is_live() && matches!(ended, Err(Failure::Interrupted(_))) {
            self.output.draw("");
        }
        let ended = match ended {
            Err(Failure::Interrupted(_)) => Err(Failure::Interrupted(self.last_words().await)),
            ended if self.front.is_host() => self.until_idle(ended).await,
            ended => ended,
        };
        tokio::select! {
            () = self.front.close(Duration::ZERO) => {}
            // A second Ctrl-C: what is under way is taken up from its journal, as after a crash.
            _ = stopped() => {}
        }
        ended
    }

    async fn until_idle(&self, ended: Result<(), Failure>) -> Result<(), Failure> {
        let Ok(Some(engine)) = self.front.hosted_engine().await else { return ended };
        let idle = engine.idle();
        tokio::pin!(idle);
        if tokio::time::timeout(Duration::from_millis(200), idle.as_mut()).await.is_ok() {
            return ended;
        }
        for operation in self.unfinished().await.unwrap_or_default() {
            self.output.note(&format!(
                "Waiting for the end of what is under way: {} ({})",
                operation.title, operation.id
            ));
        }
        tokio::select! {
            () = idle => ended,
            _ = stopped() => Err(Failure::Interrupted(self.last_words().await)),
        }
    }

    /// What becomes of what is under way.
    async fn last_words(&self) -> String {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.front.is_host() {
            let waiting = tokio::time::timeout(Duration::from_secs(1), self.unfinished()).await;
            let titles: Vec<String> =
                waiting.ok().and_then(Result::ok).unwrap_or_default().into_iter().map(|o| o.title).collect();
            if titles.is_empty() {
                return "Interrupted.".to_owned();
            }
            return format!(
                "Interrupted: {} stands still at a safe point. The servers keep running; the next `clusterdeck` command \
                 for this home takes it up.",
                titles.join(", ")
            );
        }
        match watched {
            Some(operation) => format!(
                "No longer watching: {} goes on. `clusterdeck operation watch {}` shows it, `clusterdeck operation cancel \
                 {}` stops it.",
                operation.title, operation.id, operation.id
            ),
            None => "Interrupted.".to_owned(),
        }
    }
}

/// Whether a command waits until what was left unfinished has ended, before it does its own work. One that is about
/// operations must see them while they are under way.
fn waits(noun: &Noun) -> bool {
    !matches!(
        noun,
        Noun::Operation(_) | Noun::Connection(_) | Noun::Serve(_) | Noun::HostUntilIdle | Noun::Doctor
    )
}

/// Whether a command shows what was observed.
fn looks(noun: &Noun) -> bool {
    match noun {
        Noun::Cluster(verb) => {
            matches!(verb, ClusterVerb::List(_) | ClusterVerb::Show { .. } | ClusterVerb::Endpoints { .. })
        }
        Noun::Node(verb) => matches!(verb, NodeVerb::List { .. } | NodeVerb::Metrics { .. }),
        _ => false,
    }
}

/// An operation's state in a word.
pub(crate) const fn said(state: OperationState) -> &'static str {
    match state {
        OperationState::Queued => "queued",
        OperationState::Running => "running",
        OperationState::Waiting => "waiting",
        OperationState::Unwinding => "unwinding",
        OperationState::Succeeded => "done",
        OperationState::Failed => "failed",
        OperationState::Cancelled => "cancelled",
    }
}

/// Ends when this program is asked to stop.
pub(crate) async fn stopped() -> String {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut hangup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
    String::new()
}
