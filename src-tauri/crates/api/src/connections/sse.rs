//! Server-sent events as they come in: one at a time, when asked for, with a bound on the size of each.

use crate::problem::{Code, Problem};
use axum::body::{Body, BodyDataStream, Bytes};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// The largest event that is taken in. A page of a log is the largest we send.
const LARGEST: usize = 4 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streamed {
    /// Its kind; `message` when it has none.
    pub event: String,
    /// Its number, to go on after.
    pub id: Option<String>,
    /// What it says.
    pub data: String,
}

/// A stream of events. Nothing is read ahead of what is asked for; dropping it closes the connection.
pub struct Notices {
    body: BodyDataStream,
    buffer: Vec<u8>,
    event: String,
    id: Option<String>,
    data: Option<String>,
    ended: bool,
}

impl Notices {
    /// Reads events from an answer's body.
    pub fn new(body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
            buffer: Vec::new(),
            event: String::new(),
            id: None,
            data: None,
            ended: false,
        }
    }

    /// The next event in what has been read already.
    fn parsed(&mut self) -> Option<Streamed> {
        while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(event) = self.line(line.trim_end_matches(['\n', '\r'])) {
                return Some(event);
            }
        }
        None
    }

    /// One line, as the WHATWG's *event stream interpretation* has it; an empty one sends what came before.
    fn line(&mut self, line: &str) -> Option<Streamed> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            let data = self.data.take()?;
            let event = if event.is_empty() { "message".to_owned() } else { event };
            return Some(Streamed { event, id: self.id.clone(), data });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "id" => self.id = Some(value.to_owned()).filter(|id| !id.is_empty()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }

    fn held(&self) -> usize {
        self.buffer.len() + self.data.as_ref().map_or(0, String::len)
    }
}

impl Stream for Notices {
    type Item = Result<Streamed, Problem>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.parsed() {
                return Poll::Ready(Some(Ok(event)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let read: Option<Result<Bytes, axum::Error>> = std::task::ready!(this.body.poll_next_unpin(cx));
            match read {
                Some(Ok(bytes)) if this.held() + bytes.len() <= LARGEST => {
                    this.buffer.extend_from_slice(&bytes)
                }
                Some(Ok(_)) => {
                    this.ended = true;
                    this.buffer.clear();
                    return Poll::Ready(Some(Err(Problem::new(Code::Failed, "an event is too large"))));
                }
                // A broken stream is an ended one: whoever listens comes back with the last id.
                Some(Err(_)) | None => this.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    fn body(pieces: Vec<&'static str>) -> Notices {
        let pieces = pieces.into_iter().map(|p| Ok::<_, std::convert::Infallible>(Bytes::from(p)));
        Notices::new(Body::from_stream(stream::iter(pieces)))
    }

    #[tokio::test]
    async fn events_are_whole_however_they_are_cut_into_pieces() {
        let events = body(vec![
            "retry: 2000\n\n: keep",
            "-alive\n\nid: 7\nevent: no",
            "de-down\ndata: {\"a\"",
            ":1}\r\n\r",
            "\ndata: x\ndata: y\n\nid:\nevent: reset\ndata: {}\n\ndata: cut",
        ]);
        let events: Vec<Streamed> = events.map(|e| e.expect("fine")).collect().await;
        let short: Vec<_> =
            events.iter().map(|e| (e.event.as_str(), e.id.as_deref(), e.data.as_str())).collect();
        assert_eq!(
            short,
            [("node-down", Some("7"), "{\"a\":1}"), ("message", Some("7"), "x\ny"), ("reset", None, "{}")],
            "comments and an event without its end are left out"
        );
    }

    #[tokio::test]
    async fn an_endless_event_ends_the_stream_instead_of_the_memory() {
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let endless = stream::repeat(Ok::<_, std::convert::Infallible>(piece));
        let mut events = Notices::new(Body::from_stream(endless));
        assert!(events.next().await.expect("told").is_err());
        assert!(events.next().await.is_none(), "and nothing after it");
    }
}
