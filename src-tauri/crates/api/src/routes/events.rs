//! Notices of what changed, as server-sent events.

use crate::{problem::Problem, router::Rooms};
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event as Sent, KeepAlive, Sse},
};
use clusterdeck_engine::Event;
use futures::{Stream, StreamExt, stream};
use std::{convert::Infallible, time::Duration};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use tokio_util::sync::CancellationToken;

/// A comment is sent this often, so that a dead connection is noticed on both sides.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A stream that ends when everything ends, and keeps its connection alive until then.
pub(crate) fn lasting<S>(
    stream: S,
    closing: CancellationToken,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>>
where
    S: Stream<Item = Sent> + Send + 'static,
{
    // The first bytes go out at once: whoever waits for them knows that the stream is open.
    let hello = stream::iter([Sent::default().retry(Duration::from_secs(2))]);
    let until = closing.cancelled_owned();
    Sse::new(hello.chain(stream.take_until(until)).map(Ok)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// What `Last-Event-ID` says, when it is a number.
pub(crate) fn last_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

fn notice(event: &Event) -> Sent {
    let sent = Sent::default().id(event.id.to_string()).event(event.kind.id());
    sent.json_data(event).unwrap_or_else(|_| reset())
}

/// Too much was missed: read everything again. The empty id makes a listener forget the number it has.
fn reset() -> Sent {
    Sent::default().id("").event("reset").data("{}")
}

/// Small notices of what changed: `id` a growing number, `event` its kind, `data` an `Event`. `Last-Event-ID` resumes;
/// `event: reset` says that too much was missed.
#[utoipa::path(get, operation_id = "stream_events", path = "/v1/events", tag = "watch",
    params(("Last-Event-ID" = Option<String>, Header, description = "Go on after this notice")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 401, body = Problem)))]
pub(crate) async fn stream(
    State(rooms): State<Rooms>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    let (missed, live) = rooms.engine.events().listen(last_id(&headers));
    let first: Vec<Sent> = missed.map_or_else(|| vec![reset()], |missed| missed.iter().map(notice).collect());
    let live = BroadcastStream::new(live).map(|received| match received {
        Ok(event) => notice(&event),
        Err(BroadcastStreamRecvError::Lagged(_)) => reset(),
    });
    lasting(stream::iter(first).chain(live), rooms.closing)
}
