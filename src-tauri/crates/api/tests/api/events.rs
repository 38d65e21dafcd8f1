//! Streams: notices that resume, live measurements, followed logs, and their end.

use crate::desk::{Desk, WORN, create};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use clusterdeck_api::{Notices, Streamed};
use futures::StreamExt;
use serde_json::Value;
use std::time::Duration;

async fn next(notices: &mut Notices) -> Streamed {
    let next = tokio::time::timeout(WORN, notices.next()).await.expect("in time");
    next.expect("the stream goes on").expect("an event")
}

fn after(id: &str) -> HeaderMap {
    let value = HeaderValue::from_str(id).expect("a header");
    HeaderMap::from_iter([(HeaderName::from_static("last-event-id"), value)])
}

#[tokio::test]
async fn notices_tell_of_a_change_and_resume_where_they_ended() {
    let desk = Desk::new().await;
    let mut notices = desk.front.stream("/v1/events", HeaderMap::new()).await.expect("a stream");
    desk.change(create("demo")).await;
    let first = next(&mut notices).await;
    let told: Value = serde_json::from_str(&first.data).expect("JSON");
    for member in ["id", "at", "kind", "cluster_id", "cluster", "node", "operation_id", "level", "text"] {
        assert!(told.get(member).is_some(), "`{member}` is missing in {told}");
    }
    assert_eq!(told["kind"].as_str(), Some(first.event.as_str()), "the event's name is its kind");
    assert_eq!(first.id.as_deref(), Some(told["id"].to_string().as_str()), "its number is its id");
    let second = next(&mut notices).await;
    drop(notices);

    let mut resumed =
        desk.front.stream("/v1/events", after(first.id.as_deref().expect("an id"))).await.expect("a stream");
    assert_eq!(next(&mut resumed).await, second, "what came after the last id comes first");
}

#[tokio::test]
async fn a_number_of_another_run_is_answered_with_reset() {
    let desk = Desk::new().await;
    for id in ["1", "18446744073709551615"] {
        let mut notices = desk.front.stream("/v1/events", after(id)).await.expect("a stream");
        let first = next(&mut notices).await;
        assert_eq!((first.event.as_str(), first.id.as_deref()), ("reset", None), "after {id}");
    }
}

#[tokio::test]
async fn live_measurements_come_in_rounds() {
    let desk = Desk::with_cluster().await;
    let mut samples =
        desk.front.stream("/v1/clusters/demo/metrics", HeaderMap::new()).await.expect("a stream");
    let one = next(&mut samples).await;
    let other = next(&mut samples).await;
    assert_eq!((one.event.as_str(), other.event.as_str()), ("sample", "sample"));
    let told: Value = serde_json::from_str(&one.data).expect("JSON");
    assert_eq!(told["nodes"].as_array().map(Vec::len), Some(3), "{told}");
    assert_ne!(one.data, other.data, "another round, another moment");
}

#[tokio::test]
async fn a_stream_of_what_is_not_there_is_a_problem_and_not_a_silence() {
    let desk = Desk::new().await;
    let refused = desk.front.stream("/v1/clusters/nope/metrics", HeaderMap::new()).await;
    assert_eq!(refused.err().map(|p| p.status), Some(404));
    let refused = desk.front.stream("/v1/nodes/nope/logs?follow=true", HeaderMap::new()).await;
    assert_eq!(refused.err().map(|p| p.status), Some(404));
}

#[tokio::test]
async fn streams_end_when_everything_ends() {
    let desk = Desk::new().await;
    let mut notices = desk.front.stream("/v1/events", HeaderMap::new()).await.expect("a stream");
    let front = desk.front.clone();
    let closing = tokio::spawn(async move { front.close(Duration::ZERO).await });
    let rest = tokio::time::timeout(WORN, async { while notices.next().await.is_some() {} });
    rest.await.expect("the stream must end");
    closing.await.expect("closed");
}
