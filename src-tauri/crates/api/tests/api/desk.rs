//! A home with an engine over the fake world, and shorthands to ask it.

use async_trait::async_trait;
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use clusterdeck_api::{Compose, Front, Kept, Problem, request};
use clusterdeck_domain::Sensitive;
use clusterdeck_engine::{Engine, EngineError};
use clusterdeck_secrets::OpenOptions;
use clusterdeck_store::{Cache, State};
use clusterdeck_testkit::Lab;
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;

/// Longer than anything here takes; only a hang gets there.
pub(crate) const WORN: Duration = Duration::from_secs(20);

/// Real files, a vault, and an engine over the fake world.
pub(crate) struct Composed {
    pub(crate) engine: Engine,
    /// What keeps the engine from starting, while there is something.
    pub(crate) ailment: Mutex<Option<Problem>>,
    /// Taken by whoever shall wait with the start.
    pub(crate) gate: tokio::sync::Mutex<()>,
}

#[async_trait]
impl Compose for Composed {
    async fn open(&self, home: &Path) -> Result<Kept, Problem> {
        let mut options = OpenOptions::new(home);
        options.vault_key = Some(Sensitive::new("a key for tests only, 0123456789abcdef".to_owned()));
        Ok(Kept {
            state: Arc::new(State::open(home).map_err(EngineError::from)?),
            cache: Arc::new(Cache::open(home).map_err(EngineError::from)?),
            secrets: clusterdeck_secrets::open(options).map_err(EngineError::from)?,
        })
    }
    async fn start(&self, _: &Path, _: &Kept) -> Result<Engine, Problem> {
        let _gate = self.gate.lock().await;
        match self.ailment.lock().expect("not poisoned").clone() {
            Some(problem) => Err(problem),
            None => Ok(self.engine.clone()),
        }
    }
}

/// An answer, read.
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text))
    }
    /// Status and code of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], self.status, "the body repeats the status");
        assert!(!body["title"].as_str().unwrap_or_default().is_empty(), "a problem has a title");
        (self.status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// See the module.
pub(crate) struct Desk {
    pub(crate) folder: TempDir,
    pub(crate) lab: Lab,
    pub(crate) front: Front,
}

pub(crate) fn composed(lab: &Lab) -> Arc<Composed> {
    Arc::new(Composed {
        engine: lab.engine.clone(),
        ailment: Mutex::default(),
        gate: tokio::sync::Mutex::default(),
    })
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lab = Lab::new().await;
        let front = Front::open(folder.path(), "test:anna".to_owned(), composed(&lab)).await.expect("a home");
        Self { folder, lab, front }
    }
    pub(crate) async fn get(&self, path: &str) -> Told {
        ask(&self.front, Method::GET, path, &[], None).await
    }
    pub(crate) async fn post(&self, path: &str, body: Value) -> Told {
        ask(&self.front, Method::POST, path, &[], Some(body)).await
    }
    pub(crate) async fn put(&self, path: &str, body: Value) -> Told {
        ask(&self.front, Method::PUT, path, &[], Some(body)).await
    }
    /// Previews a change and confirms it with what it asks to be typed; returns the operation once it has ended.
    pub(crate) async fn change(&self, change: Value) -> Value {
        let preview = self.post("/v1/previews", change).await;
        assert_eq!(preview.status, 201, "{}", preview.text);
        let preview = preview.json();
        let confirmation = json!({"preview_id": preview["id"], "typed": preview["confirm"]});
        let begun = self.post("/v1/operations", confirmation).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        let id = begun.json()["id"].as_str().expect("an id").to_owned();
        let parsed = clusterdeck_domain::OperationId::parse(&id).expect("an id");
        tokio::time::timeout(WORN, self.lab.engine.wait(&parsed)).await.expect("it must end").expect("known");
        self.get(&format!("/v1/operations/{id}")).await.json()
    }
    /// A cluster called `demo` with three nodes.
    pub(crate) async fn with_cluster() -> Self {
        let desk = Self::new().await;
        let ended = desk.change(create("demo")).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        desk
    }
}

pub(crate) fn create(name: &str) -> Value {
    json!({"kind": "create-cluster", "name": name, "service": "redis"})
}

pub(crate) async fn ask(
    front: &Front,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: Option<Value>,
) -> Told {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"));
    }
    let body = match body {
        Some(value) => {
            map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Body::from(value.to_string())
        }
        None => Body::empty(),
    };
    let answered = front.handle(request(method, path, map, body).expect("a request"));
    let (parts, body) = tokio::time::timeout(WORN, answered).await.expect("an answer").into_parts();
    let bytes = to_bytes(body, usize::MAX).await.expect("a body");
    Told {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}
