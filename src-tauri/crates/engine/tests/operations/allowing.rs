//! A list of addresses that is tried: kept, not kept, taken back, and with an engine that dies meanwhile.

use crate::stories::{create, limit};
use clusterdeck_domain::{ChangeKind, OperationId, OperationState, Topology};
use clusterdeck_testkit::Lab;
use std::time::Duration;

/// Nobody comes from there: it is kept for documentation (RFC 5737).
const NOBODY: &str = "203.0.113.0/24";

async fn stage() -> Lab {
    let lab = Lab::new().await;
    lab.run(create(Topology::PrimaryReplica, 3, 0)).await.unwrap();
    lab
}

/// Begins to try a list that leaves out whoever asks, and waits until it waits.
async fn tried(lab: &Lab, ms: u64) -> OperationId {
    let begun = lab.begin(limit(&[NOBODY], Some(ms))).await.unwrap();
    while lab.engine.operation(&begun.id).await.unwrap().state != OperationState::Waiting {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.id
}

async fn listed(lab: &Lab) -> (usize, bool) {
    let spec = lab.engine.cluster("demo").await.unwrap().spec;
    (spec.allowlist.len(), spec.allow_trial.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_kept_in_time_stays_and_keeping_it_twice_is_once() {
    let lab = stage().await;
    let id = tried(&lab, 60_000).await;
    assert_eq!(listed(&lab).await, (0, true), "it is tried, not in force for good");
    let access = lab.engine.access("demo", clusterdeck_engine::Asker::Here).await.unwrap();
    assert_eq!(access.trial.unwrap().1, Some(id.clone()), "what to keep can be found");
    for _ in 0..2 {
        assert!(lab.engine.keep(&id, "test").await.unwrap().trial.unwrap().kept);
    }
    let ended = lab.engine.wait(&id).await.unwrap();
    assert_eq!(ended.state, OperationState::Succeeded, "{:?}", ended.error);
    assert_eq!(listed(&lab).await, (1, false));
    assert!(lab.engine.keep(&id, "test").await.is_err(), "it has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_nobody_keeps_or_that_is_cancelled_never_was() {
    let lab = stage().await;
    let id = tried(&lab, 1_000).await;
    let ended = lab.engine.wait(&id).await.unwrap();
    assert_eq!(ended.state, OperationState::Failed);
    assert!(ended.error.unwrap().title.starts_with("Nobody kept"));
    assert_eq!(listed(&lab).await, (0, false));
    let id = tried(&lab, 60_000).await;
    lab.engine.cancel(&id, "test").await.unwrap();
    assert_eq!(lab.engine.wait(&id).await.unwrap().state, OperationState::Cancelled);
    assert_eq!(listed(&lab).await, (0, false));
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_while_a_list_is_tried_takes_it_back_or_keeps_it_when_it_is_there_again() {
    let mut lab = stage().await;
    let id = tried(&lab, 1_000).await;
    lab.restart().await;
    lab.settle().await;
    let ended = lab.engine.operation(&id).await.unwrap();
    assert_eq!((ended.state, ended.kind), (OperationState::Failed, ChangeKind::SetAllowlist));
    assert_eq!(listed(&lab).await, (0, false));
    // Still in time for whoever is there again.
    let id = tried(&lab, 60_000).await;
    lab.restart().await;
    while lab.engine.operation(&id).await.unwrap().state != OperationState::Waiting {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lab.engine.keep(&id, "test").await.unwrap();
    assert_eq!(lab.engine.wait(&id).await.unwrap().state, OperationState::Succeeded);
    assert_eq!(listed(&lab).await, (1, false));
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}
