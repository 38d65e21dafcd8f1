//! Copies of what was read, in cache.db: what a window shows while the other side cannot be reached, or while the engine
//! of this computer is still starting. A copy always says how old it is.
//!
//! Never copied: credentials and whatever else is `private`, logs, streams, and anything but JSON.

use super::{AS_OF, list::EMBEDDED};
use crate::problem::Problem;
use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts},
};
use clusterdeck_store::Cache;
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The largest answer that is copied; a larger one is an error in itself, no list of ours is as long.
const LARGEST: usize = 16 << 20;
/// An answer of this computer's own engine is copied this often at most: it is only needed at the next start.
const NOW_AND_THEN: Duration = Duration::from_secs(5);
/// Different questions of that kind that are remembered.
const MOST: usize = 64;
/// What a window shows first. Read from the copy while the engine starts.
const FIRST: [&str; 5] = ["/v1/clusters", "/v1/services", "/v1/providers", "/v1/settings", "/v1/operations"];

/// The copies of a home.
pub(crate) struct Copies {
    cache: Arc<Cache>,
    /// What was copied of [`FIRST`] last, and when.
    last: Mutex<HashMap<String, ([u8; 32], Instant)>>,
}

impl Copies {
    pub(crate) fn new(cache: Arc<Cache>) -> Self {
        Self { cache, last: Mutex::default() }
    }

    /// Under which name an answer to this request is kept; `None` when it may not be.
    pub(crate) fn key(&self, request: &Parts) -> Option<String> {
        let path = request.uri.path();
        let streams = request
            .headers
            .get(header::ACCEPT)
            .is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
        let never =
            ["/credentials", "/backup-key", "/download", "/logs", "/events", "/chart", "/openapi.json"]
                .iter()
                .any(|end| path.ends_with(end));
        if request.method != Method::GET || !path.starts_with("/v1/") || streams || never {
            return None;
        }
        // A chart's range moves on with every look: one copy, of the last look, is enough. It says which range it is.
        let moving = path.ends_with("/metrics");
        let query = request.uri.query().unwrap_or_default();
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .filter(|pair| !moving || !["from=", "to=", "step="].iter().any(|name| pair.starts_with(name)))
            .collect();
        Some(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
    }

    /// The same, for what a window shows first of this computer.
    pub(crate) fn glance_key(&self, request: &Request<Body>) -> Option<String> {
        let plain = request.method() == Method::GET && FIRST.contains(&request.uri().path());
        plain.then(|| request.uri().path_and_query().map_or_else(String::new, |p| p.as_str().to_owned()))
    }

    /// Hands an answer on and keeps a copy of it. Fails when the answer breaks off.
    pub(crate) async fn keep(
        &self,
        connection: &str,
        key: &str,
        answer: Response<Body>,
    ) -> Result<Response<Body>, Problem> {
        if !may_be_kept(&answer) {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let broken = |_| Problem::new(crate::problem::Code::Offline, "the answer broke off");
        let bytes = Limited::new(body, LARGEST).collect().await.map_err(broken)?.to_bytes();
        self.put(connection, key, &bytes).await;
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }

    /// The same for this computer's own engine: only when something differs and some time has passed.
    pub(crate) async fn keep_now_and_then(
        &self,
        connection: &str,
        key: &str,
        answer: Response<Body>,
    ) -> Response<Body> {
        if !may_be_kept(&answer) {
            return answer;
        }
        let (parts, body) = answer.into_parts();
        // The body is in memory already: it came from our own router.
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let mark: [u8; 32] = Sha256::digest(&bytes).into();
        let due = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let known = last.get(key).map(|(before, at)| *before != mark && at.elapsed() >= NOW_AND_THEN);
            let due = known.unwrap_or(last.len() < MOST);
            if due {
                last.insert(key.to_owned(), (mark, Instant::now()));
            }
            due
        };
        if due {
            self.put(connection, key, &bytes).await;
        }
        Response::from_parts(parts, Body::from(bytes))
    }

    async fn put(&self, connection: &str, key: &str, bytes: &[u8]) {
        // A copy that cannot be kept is no reason to hold back the answer.
        if let Err(error) = self.cache.put_copy(connection, key, bytes, Timestamp::now()).await {
            tracing::warn!(%error, connection, "an answer could not be copied");
        }
    }

    /// The copy, as an answer that says how old it is.
    pub(crate) async fn read(&self, connection: &str, key: &str) -> Option<Response<Body>> {
        let copy = self.cache.get_copy(connection, key).await.ok()??;
        let body = if key == "/v1/info" { said_offline(&copy.body) } else { copy.body };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(AS_OF, HeaderValue::from_str(&copy.at.to_string()).ok()?);
        Some(response)
    }

    /// When the newest of what people look at first was copied.
    pub(crate) async fn newest(&self, connection: &str) -> Option<Timestamp> {
        let mut newest = None;
        for key in ["/v1/info", "/v1/clusters"] {
            newest =
                newest.max(self.cache.get_copy(connection, key).await.ok().flatten().map(|copy| copy.at));
        }
        newest
    }

    /// Forgets everything of a connection.
    pub(crate) async fn forget(&self, connection: &str) {
        debug_assert_ne!(connection, EMBEDDED);
        if let Err(error) = self.cache.forget_connection(connection).await {
            tracing::warn!(%error, connection, "copies could not be removed");
        }
    }
}

fn may_be_kept(answer: &Response<Body>) -> bool {
    let headers = answer.headers();
    let json =
        headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    let forbidden = headers.get(header::CACHE_CONTROL).is_some_and(|v| v.as_bytes().starts_with(b"private"));
    answer.status() == StatusCode::OK && json && !forbidden
}

fn said_offline(body: &[u8]) -> Vec<u8> {
    let Ok(Value::Object(mut info)) = serde_json::from_slice(body) else { return body.to_vec() };
    info.insert("offline".to_owned(), Value::Bool(true));
    serde_json::to_vec(&info).unwrap_or_else(|_| body.to_vec())
}
