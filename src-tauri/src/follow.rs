//! Follows what happens on this computer while the app runs: keeps the tray's line true and tells the desktop what is
//! worth telling. It asks the same routes as the window, so it does not matter which process hosts the engine.

use crate::notify::{self, Told};
use crate::opening::Opening;
use crate::tray::Tray;
use crate::window;
use clusterdeck_api::{CONNECTION, EMBEDDED, Front, Problem, problem_of, wire};
use clusterdeck_domain::Operation;
use clusterdeck_engine::{Event, EventKind, Settings};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use tauri::{AppHandle, Manager as _};
use tokio::time::Instant;

/// The tray's line follows at most so often; a cluster that changes each round must not keep the desktop busy.
const TRAY_PACE: Duration = Duration::from_secs(3);
/// How long to wait before listening again to an engine that ended or does not start.
const RETRY: Duration = Duration::from_secs(3);
/// The largest answer that is read here.
const LARGEST: usize = 16 << 20;
/// A page of clusters. A tray line does not need a second one to name the worst of the first 500.
const CLUSTERS: &str = "/v1/clusters?limit=500";

/// The settings as last read; the defaults until then.
#[derive(Default)]
pub(crate) struct Wishes(RwLock<Settings>);

impl Wishes {
    /// As last read.
    pub(crate) fn now(&self) -> Settings {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learned(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

/// Follows until it is dropped.
pub(crate) async fn follow(app: AppHandle, opening: Opening, tray: Option<Tray>) {
    let front = opening.front().await;
    let mut follower = Follower { app, front, tray, told: Told::default(), last: None };
    let mut complained = false;
    loop {
        match follower.listen().await {
            Ok(()) => complained = false,
            Err(problem) if !complained => {
                complained = true;
                tracing::warn!(code = problem.code.id(), title = %problem.title, "nothing can be followed yet");
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

struct Follower {
    app: AppHandle,
    front: Front,
    tray: Option<Tray>,
    told: Told,
    /// The last notice seen, to go on after it.
    last: Option<String>,
}

impl Follower {
    /// Listens until the stream ends.
    async fn listen(&mut self) -> Result<(), Problem> {
        let mut headers = here();
        if let Some(last) = self.last.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert("last-event-id", last);
        }
        let mut notices = self.front.stream("/v1/events", headers).await?;
        self.read_settings().await?;
        let mut tray_due = Some(Instant::now());
        loop {
            let due = async {
                match tray_due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    tray_due = None;
                    self.tell_tray().await?;
                }
                notice = notices.next() => {
                    let Some(notice) = notice else { return Ok(()) };
                    let notice = notice?;
                    self.last = notice.id.or(self.last.take());
                    if notice.event == "reset" {
                        self.last = None;
                        tray_due = Some(Instant::now());
                    } else if let Ok(event) = serde_json::from_str::<Event>(&notice.data) {
                        if matches!(event.kind, EventKind::ClusterChanged | EventKind::ClusterRemoved) {
                            tray_due.get_or_insert_with(|| Instant::now() + TRAY_PACE);
                        }
                        self.hear(&event).await?;
                    }
                }
            }
        }
    }

    async fn hear(&mut self, event: &Event) -> Result<(), Problem> {
        if event.kind == EventKind::SettingsChanged {
            return self.read_settings().await;
        }
        let operation: Option<Operation> = match (&event.operation_id, event.kind) {
            (Some(id), EventKind::OperationChanged) if !self.told.has(id) => {
                Some(ask(&self.front, &format!("/v1/operations/{id}")).await?)
            }
            _ => None,
        };
        if let Some(ended) = operation.as_ref().filter(|o| o.state.is_final()) {
            self.told.remember(&ended.id);
        }
        if let Some(words) = notify::words_for(event, operation.as_ref())
            && self.app.state::<Wishes>().now().notifications
            && (words.urgent || !window::is_focused(&self.app))
        {
            notify::say(&self.app, &words);
        }
        Ok(())
    }

    async fn tell_tray(&self) -> Result<(), Problem> {
        if let Some(tray) = &self.tray {
            let page: Page<wire::Cluster> = ask(&self.front, CLUSTERS).await?;
            tray.tell(&page.items);
        }
        Ok(())
    }

    async fn read_settings(&self) -> Result<(), Problem> {
        let settings: Settings = ask(&self.front, "/v1/settings").await?;
        window::set_theme(&self.app, &settings.theme);
        self.app.state::<Wishes>().learned(settings);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
}

/// Whatever the window looks at, what is followed is this computer.
fn here() -> HeaderMap {
    HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static(EMBEDDED))])
}

async fn ask<T: DeserializeOwned>(front: &Front, path: &str) -> Result<T, Problem> {
    let response = front.get(path, here()).await;
    if !response.status().is_success() {
        return Err(problem_of(response).await);
    }
    let strange = |why: String| {
        Problem::new(clusterdeck_api::Code::Failed, format!("{path} was not understood: {why}"))
    };
    let body =
        Limited::new(response.into_body(), LARGEST).collect().await.map_err(|e| strange(e.to_string()))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|e| strange(e.to_string()))
}
