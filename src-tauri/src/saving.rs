//! `save`: a download that is too large for the window's messages goes from the router to a file, where a browser would put it.

#![allow(clippy::let_underscore_must_use, reason = "what `tauri::command` expands to drops its own results")]

use crate::ipc::{Answer, Ask, StreamEvent, Streams, collect};
use crate::opening::Opening;
use crate::window;
use clusterdeck_api::{Code, Problem};
use http::header::CONTENT_DISPOSITION;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tauri::ipc::Channel;
use tauri::{AppHandle, State};

/// So often the page hears how far it is.
const PACE: Duration = Duration::from_millis(250);
/// Longer names are no name of a backup.
const LONGEST_NAME: usize = 200;

/// Fetches an answer into a file among the downloads, under the name that the answer has, and gives the id of a stream: its events
/// are `written` (bytes so far), then `saved` (the file) or `failed` (a problem). Closing the stream ends it without a trace.
///
/// # Errors
/// The answer that refuses it.
#[tauri::command]
pub(crate) async fn save(
    app: AppHandle,
    opening: State<'_, Opening>,
    streams: State<'_, Arc<Streams>>,
    request: Ask,
    channel: Channel<StreamEvent>,
) -> Result<String, Answer> {
    let response = opening.front().await.handle(request.into_http()?).await;
    if !response.status().is_success() {
        return Err(collect(response).await);
    }
    let told = response.headers().get(CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
    let named = told.and_then(name_in).and_then(|name| window::place_for(&app, &name));
    let Some(file) = named else {
        return Err(Problem::new(Code::Failed, "there is no folder for downloads on this computer")
            .detail("Nothing was written.")
            .into());
    };
    let events = channel.clone();
    streams.begin(channel, async move {
        let say = |event: &str, data: String| {
            // Without its page it is closed, and this goes nowhere.
            drop(events.send(StreamEvent::new(event, data)));
        };
        let mut last: Option<Instant> = None;
        let written = |bytes: u64| {
            if last.is_none_or(|last| last.elapsed() >= PACE) {
                last = Some(Instant::now());
                say("written", bytes.to_string());
            }
        };
        match clusterdeck_api::save(response.into_body(), &file, written).await {
            Ok(_) => say("saved", file.display().to_string()),
            Err(problem) => say("failed", serde_json::to_string(&problem).unwrap_or_default()),
        }
    })
}

/// The name in `attachment; filename="…"`. It may be another server's, so what could lead out of a folder or hide there is no
/// name.
fn name_in(disposition: &str) -> Option<PathBuf> {
    let (_, rest) = disposition.split_once("filename=\"")?;
    let (name, _) = rest.split_once('"')?;
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = !name.starts_with('.') && name.len() <= LONGEST_NAME && name.chars().all(harmless);
    (fits && !name.is_empty()).then(|| PathBuf::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        let of = |text: &str| name_in(&format!("attachment; filename=\"{text}\""));
        assert_eq!(
            of("demo-20261130T120000Z.sql.zst"),
            Some("demo-20261130T120000Z.sql.zst".into()),
            "a backup's"
        );
        for bad in ["", "../demo.tar", "a/b", "a\\b", "C:demo", ".bashrc", "a b", &"x".repeat(300)] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(name_in("inline"), None, "none at all");
    }
}
