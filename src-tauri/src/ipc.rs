//! The window's commands. `request` asks the router once, `stream` passes its events over a channel; `save` has a file of its own.
//!
//! Nothing is decided here: whatever may be asked is a route of the api, whatever is refused is refused there.

#![allow(clippy::let_underscore_must_use, reason = "what `tauri::command` expands to drops its own results")]

use crate::opening::Opening;
use axum::body::Body;
use base64::Engine as _;
use clusterdeck_api::{CONNECTION, Code, Notices, Problem, Streamed};
use futures::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tauri::State;
use tauri::ipc::Channel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Answers are pages of lists and drawn charts; one that is larger than this is a mistake.
const LARGEST_ANSWER: usize = 32 << 20;
/// A window shows a handful of live things; one that asks for more has lost count.
const MOST_STREAMS: usize = 64;

/// A request as the window sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ask {
    /// GET when left out.
    method: Option<String>,
    path: String,
    headers: HashMap<String, String>,
    body: Option<String>,
    connection: Option<String>,
}

/// An answer as the window gets it.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    /// `body` is base64.
    binary: bool,
}

/// One server-sent event.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StreamEvent {
    event: String,
    id: Option<String>,
    data: String,
}

impl StreamEvent {
    pub(crate) fn new(event: &str, data: String) -> Self {
        Self { event: event.to_owned(), id: None, data }
    }
}

impl From<Streamed> for StreamEvent {
    fn from(Streamed { event, id, data }: Streamed) -> Self {
        Self { event, id, data }
    }
}

/// Streams that are open, and the tasks behind them.
#[derive(Default)]
pub(crate) struct Streams {
    next: AtomicU64,
    open: Mutex<HashMap<u64, CancellationToken>>,
    tasks: TaskTracker,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one until that ends or the page closes it, and says then that it ended; its id.
    pub(crate) fn begin(
        self: &Arc<Self>,
        channel: Channel<StreamEvent>,
        serving: impl Future<Output = ()> + Send + 'static,
    ) -> Result<String, Answer> {
        let Some((id, token)) = self.open() else {
            return Err(Problem::new(Code::Busy, "too many live views are open")
                .hint("Close some of them and try again.")
                .into());
        };
        let owner = Arc::clone(self);
        self.tasks.spawn(async move {
            token.run_until_cancelled(serving).await;
            if channel.send(StreamEvent::new("stream-end", String::new())).is_err() {
                tracing::debug!("a stream ended after its page did");
            }
            owner.close(id);
        });
        Ok(id.to_string())
    }

    fn open(&self) -> Option<(u64, CancellationToken)> {
        let mut open = self.lock();
        if open.len() >= MOST_STREAMS {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let token = CancellationToken::new();
        open.insert(id, token.clone());
        Some((id, token))
    }

    /// Ends one; says whether it was there.
    fn close(&self, id: u64) -> bool {
        self.lock().remove(&id).inspect(CancellationToken::cancel).is_some()
    }

    /// Ends all: the page that listened is gone.
    pub(crate) fn close_all(&self) {
        for (_, token) in self.lock().drain() {
            token.cancel();
        }
    }

    /// Ends all and waits for their tasks.
    pub(crate) async fn shut(&self) {
        self.close_all();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Asks the router once.
///
/// # Errors
/// None: what goes wrong is an answer. (Tauri wants a `Result` of a command that borrows its state.)
#[tauri::command]
pub(crate) async fn request(
    opening: State<'_, Opening>,
    streams: State<'_, Arc<Streams>>,
    request: Ask,
) -> Result<Answer, Answer> {
    if request.method.as_deref() == Some("DELETE")
        && let Some(id) = request.path.strip_prefix("/v1/streams/")
    {
        let closed = id.parse().is_ok_and(|id| streams.close(id));
        return Ok(if closed { Answer::gone() } else { Problem::not_found("such stream").into() });
    }
    Ok(match request.into_http() {
        Ok(request) => collect(opening.front().await.handle(request).await).await,
        Err(problem) => problem.into(),
    })
}

/// Opens a stream and gives its id. It ends with an event `stream-end`, or when the window deletes `/v1/streams/<id>`,
/// or when the page goes.
///
/// # Errors
/// The answer that refuses it.
#[tauri::command]
pub(crate) async fn stream(
    opening: State<'_, Opening>,
    streams: State<'_, Arc<Streams>>,
    request: Ask,
    channel: Channel<StreamEvent>,
) -> Result<String, Answer> {
    let request = request.into_http()?;
    let path = request.uri().to_string();
    let notices = opening.front().await.stream(&path, request.headers().clone()).await?;
    let events = channel.clone();
    streams.begin(channel, pass_on(notices, events))
}

async fn pass_on(mut notices: Notices, channel: Channel<StreamEvent>) {
    while let Some(Ok(notice)) = notices.next().await {
        if channel.send(notice.into()).is_err() {
            return;
        }
    }
}

impl Ask {
    pub(crate) fn into_http(self) -> Result<http::Request<Body>, Problem> {
        let method = self.method.as_deref().unwrap_or("GET");
        let method: Method =
            method.parse().map_err(|_| Problem::invalid("/method", format!("`{method}` is no method")))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = || Problem::invalid("/headers", format!("the header `{name}` cannot be sent"));
            let key: HeaderName = name.parse().map_err(|_| wrong())?;
            headers.insert(key, HeaderValue::from_str(value).map_err(|_| wrong())?);
        }
        if let Some(connection) = &self.connection {
            let wrong = |_| Problem::invalid("/connection", "that is no name of a connection");
            headers.insert(CONNECTION, HeaderValue::from_str(connection).map_err(wrong)?);
        }
        if self.body.is_some() {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        clusterdeck_api::request(method, &self.path, headers, Body::from(self.body.unwrap_or_default()))
    }
}

impl Answer {
    fn gone() -> Self {
        Self { status: 204, headers: BTreeMap::new(), body: String::new(), binary: false }
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let headers = BTreeMap::from([(CONTENT_TYPE.to_string(), "application/problem+json".to_owned())]);
        // A problem is strings and numbers; it can always be written.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        Self { status: problem.status, headers, body, binary: false }
    }
}

/// Reads an answer to its end.
pub(crate) async fn collect(response: http::Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let bytes = match Limited::new(body, LARGEST_ANSWER).collect().await {
        Ok(all) => all.to_bytes(),
        Err(error) => {
            return Problem::new(Code::Failed, format!("the answer could not be read to its end: {error}"))
                .into();
        }
    };
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("text/plain");
    let text = is_text(kind).then(|| std::str::from_utf8(&bytes).ok().map(str::to_owned)).flatten();
    let binary = text.is_none();
    let body = text.unwrap_or_else(|| base64::engine::general_purpose::STANDARD.encode(&bytes));
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    Answer {
        status: head.status.as_u16(),
        headers: head.headers.iter().filter_map(header).collect(),
        body,
        binary,
    }
}

/// The same rule as the window's HTTP transport: `text/*` and JSON are text, pictures are not (SVG is a picture).
fn is_text(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or("").trim();
    essence.starts_with("text/") || essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_the_window_becomes_one_of_http() {
        let asked: Ask = serde_json::from_value(serde_json::json!({
            "method": "POST", "path": "/v1/previews?x=1", "headers": {"Idempotency-Key": "k"}, "body": "{}",
            "connection": "team"
        }))
        .expect("the window's shape");
        let http = asked.into_http().expect("a request");
        assert_eq!((http.method().as_str(), http.uri().path()), ("POST", "/v1/previews"), "method and path");
        assert_eq!(http.headers()["x-clusterdeck-connection"], "team", "the connection travels as a header");
        assert_eq!(http.headers()["content-type"], "application/json", "a body is JSON");
        assert_eq!(http.headers()["idempotency-key"], "k", "headers are passed on");
    }

    #[test]
    fn a_request_that_is_none_is_refused_and_not_sent() {
        let of = |method: &str, path: &str, header: &str| Ask {
            method: Some(method.to_owned()),
            path: path.to_owned(),
            headers: HashMap::from([("x".to_owned(), header.to_owned())]),
            ..Ask::default()
        };
        assert!(of("GET", "/v1/info", "fine").into_http().is_ok(), "a good one");
        assert!(of("G T", "/v1/info", "fine").into_http().is_err(), "no method");
        assert!(of("GET", "https://example.org/v1", "fine").into_http().is_err(), "another host");
        assert!(of("GET", "/v1/info", "a\nb").into_http().is_err(), "a header with a line break");
    }

    #[tokio::test]
    async fn pictures_travel_as_base64_and_json_as_text() {
        let of = |kind: &str, body: &'static [u8]| {
            http::Response::builder().header(CONTENT_TYPE, kind).body(Body::from(body)).expect("a response")
        };
        let json = collect(of("application/problem+json; charset=utf-8", b"{}")).await;
        assert_eq!((json.binary, json.body.as_str()), (false, "{}"), "a problem is text");
        let svg = collect(of("image/svg+xml", b"<svg/>")).await;
        assert_eq!(
            (svg.binary, svg.body.as_str()),
            (true, "PHN2Zy8+"),
            "a drawn chart is a picture, as over HTTP"
        );
        let broken = collect(of("text/plain", b"\xff")).await;
        assert!(broken.binary, "what is no UTF-8 arrives unharmed");
    }

    #[test]
    fn a_window_cannot_open_streams_without_bound_and_can_close_each() {
        let streams = Streams::default();
        let (first, token) = streams.open().expect("the first");
        for _ in 1..MOST_STREAMS {
            streams.open().expect("within the bound");
        }
        assert!(streams.open().is_none(), "one too many");
        assert!(streams.close(first) && token.is_cancelled(), "closing ends its task");
        assert!(!streams.close(first), "only once");
        let (_, token) = streams.open().expect("there is room again");
        streams.close_all();
        assert!(token.is_cancelled() && streams.lock().is_empty(), "a new page starts with none");
    }
}
