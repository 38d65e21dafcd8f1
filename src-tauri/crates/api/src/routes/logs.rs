//! Logs of a node's units.

use super::events::{last_id, lasting};
use crate::{extract::Params, problem::Problem, router::Rooms};
use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response, sse},
};
use clusterdeck_engine::{EngineError, LogPage};
use futures::{Stream, stream};
use std::time::Duration;

/// How far back a search looks, and the most one answer holds.
const MOST_LINES: usize = 5_000;
/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Wanted {
    node: String,
    unit: Option<String>,
    lines: usize,
    grep: Option<String>,
}

impl Wanted {
    /// The lines that match, at most as many as were asked for. A search reads the last [`MOST_LINES`] lines.
    async fn read(&self, rooms: &Rooms, after: Option<u64>) -> Result<LogPage, EngineError> {
        let reach = if self.grep.is_some() { MOST_LINES } else { self.lines };
        let mut page = rooms.engine.log(&self.node, self.unit.as_deref(), reach, after).await?;
        if let Some(sought) = &self.grep {
            page.lines.retain(|line| line.to_lowercase().contains(sought));
        }
        page.lines.drain(..page.lines.len().saturating_sub(self.lines));
        Ok(page)
    }
}

/// The last lines of a unit's log, or those after a position. With `follow=true` server-sent events (`event: lines`)
/// whose `data` is the same shape and whose `id` is the position.
#[utoipa::path(get, operation_id = "show_logs", path = "/v1/nodes/{id}/logs", tag = "watch",
    params(("id" = String, Path, description = "Name or id"),
        ("unit" = Option<String>, Query, description = "The server's when left out"),
        ("lines" = Option<u32>, Query, description = "200 when left out, at most 5000"),
        ("after" = Option<u64>, Query, description = "Only what came after this position (`next` of the answer before)"),
        ("grep" = Option<String>, Query, description = "Only lines that contain this text, in any case of letters"),
        ("follow" = Option<bool>, Query)),
    responses((status = 200, body = LogPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(rooms): State<Rooms>,
    Path(node): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let lines = params.parse("lines")?.unwrap_or(200);
    if !(1..=MOST_LINES).contains(&lines) {
        return Err(Problem::invalid("/lines", format!("`lines` is a number from 1 to {MOST_LINES}")));
    }
    let grep = params.text("grep").map(str::to_lowercase);
    if grep.as_ref().is_some_and(|text| text.len() > 200) {
        return Err(Problem::invalid("/grep", "`grep` has at most 200 characters"));
    }
    let wanted = Wanted { node, unit: params.text("unit").map(ToOwned::to_owned), lines, grep };
    let after = params.parse("after")?.or_else(|| last_id(&headers));
    if params.flag("follow")? {
        // The first look happens before the answer, so that a node that is not there is a 404 and not a silent stream.
        let first = wanted.read(&rooms, after).await?;
        let closing = rooms.closing.clone();
        return Ok(lasting(follow(rooms, wanted, first), closing).into_response());
    }
    Ok(Json(wanted.read(&rooms, after).await?).into_response())
}

/// New lines as they come, until the node is gone.
fn follow(rooms: Rooms, wanted: Wanted, first: LogPage) -> impl Stream<Item = sse::Event> {
    let next = first.next;
    stream::unfold((rooms, wanted, Some(first), next), |(rooms, wanted, mut ready, mut next)| async move {
        loop {
            let page = match ready.take() {
                Some(page) => page,
                None => {
                    tokio::time::sleep(LOOK).await;
                    wanted.read(&rooms, Some(next)).await.ok()?
                }
            };
            next = page.next;
            if !page.lines.is_empty() {
                let sent = sse::Event::default().event("lines").id(next.to_string()).json_data(&page).ok()?;
                return Some((sent, (rooms, wanted, None, next)));
            }
        }
    })
}
