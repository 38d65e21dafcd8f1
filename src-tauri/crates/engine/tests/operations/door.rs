//! The rules of the door: nothing happens without a preview that is confirmed and still true.

use crate::stories::{Story, create, set_the_stage};
use clusterdeck_domain::{Change, OperationState, Topology};
use clusterdeck_engine::EngineError;
use clusterdeck_testkit::{Kill, Lab};

async fn three_nodes() -> Lab {
    let before = vec![create(Topology::PrimaryReplica, 3, 0)];
    set_the_stage(&Story { name: "the door", before, change: create(Topology::Single, 1, 0) }).await
}

#[tokio::test]
async fn a_promotion_must_be_typed() {
    let lab = three_nodes().await;
    let prepared = lab.engine.preview(Change::PromoteNode { node: "demo-2".to_owned() }).await.unwrap();
    assert_eq!(prepared.preview.confirm.as_deref(), Some("demo-2"));
    for typed in [None, Some("demo-1"), Some("")] {
        let refused = lab.engine.confirm(&prepared.id, typed, "test", None).await;
        assert!(matches!(refused, Err(EngineError::ConfirmationMissing { .. })), "{typed:?}: {refused:?}");
    }
    assert!(
        lab.engine.confirm(&prepared.id, Some("demo-2"), "test", None).await.is_ok(),
        "the right name opens it"
    );
}

#[tokio::test]
async fn a_preview_is_confirmed_once_and_a_repeated_request_is_the_same_operation() {
    let lab = three_nodes().await;
    let prepared = lab
        .engine
        .preview(Change::SetProtection { cluster: "demo".to_owned(), enabled: true })
        .await
        .unwrap();
    let first = lab.engine.confirm(&prepared.id, None, "test", Some("key-1")).await.unwrap();
    let again = lab.engine.confirm(&prepared.id, None, "test", Some("key-1")).await.unwrap();
    assert_eq!(first.id, again.id, "the same key is the same operation");
    let twice = lab.engine.confirm(&prepared.id, None, "test", Some("key-2")).await;
    assert!(matches!(twice, Err(EngineError::PreviewExpired)), "a confirmed preview is used up: {twice:?}");
}

#[tokio::test]
async fn a_preview_of_a_cluster_that_has_changed_is_stale() {
    let lab = three_nodes().await;
    let prepared = lab.engine.preview(Change::RebootNode { node: "demo-2".to_owned() }).await.unwrap();
    lab.run(Change::PromoteNode { node: "demo-2".to_owned() }).await.unwrap();
    let stale = lab.engine.confirm(&prepared.id, Some("demo-2"), "test", None).await;
    assert!(matches!(stale, Err(EngineError::PreviewStale)), "{stale:?}");
}

#[tokio::test]
async fn a_protected_cluster_cannot_be_deleted() {
    let lab = three_nodes().await;
    lab.run(Change::SetProtection { cluster: "demo".to_owned(), enabled: true }).await.unwrap();
    let refused = lab.run(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert!(matches!(refused, Err(EngineError::Blocked { .. })), "{refused:?}");
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_cluster_does_one_thing_at_a_time() {
    let lab = three_nodes().await;
    let one = lab
        .engine
        .preview(Change::SetProtection { cluster: "demo".to_owned(), enabled: true })
        .await
        .unwrap();
    let two = lab.engine.preview(Change::RotateCredentials { cluster: "demo".to_owned() }).await.unwrap();
    lab.kill_at(Some(Kill::Before(1)));
    lab.engine.confirm(&one.id, None, "test", None).await.unwrap();
    let busy = lab.engine.confirm(&two.id, None, "test", None).await;
    assert!(matches!(busy, Err(EngineError::Busy { .. })), "{busy:?}");
}

#[tokio::test]
async fn a_cancelled_operation_is_taken_back() {
    let lab = three_nodes().await;
    // Held before its fourth entry: the machines are there, nothing has started yet.
    lab.kill_at(Some(Kill::Before(5)));
    let change = Change::AddNode { cluster: "demo".to_owned(), count: Some(1), plan: None };
    let operation = lab.begin(change).await.unwrap();
    lab.until_killed_or_done().await;
    let mut lab = lab;
    lab.restart().await;
    // The new engine takes it up at once; a cancel may come too late, and then it must have succeeded.
    let cancelled = lab.engine.cancel(&operation.id, "test").await;
    lab.settle().await;
    let ended = lab.engine.operation(&operation.id).await.unwrap();
    match cancelled {
        Ok(_) => assert!(matches!(ended.state, OperationState::Cancelled | OperationState::Succeeded)),
        Err(_) => assert_eq!(ended.state, OperationState::Succeeded),
    }
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_replica_that_leads_by_the_time_it_would_be_stopped_goes_on() {
    for change in
        [Change::DrainNode { node: "demo-2".to_owned() }, Change::RebootNode { node: "demo-2".to_owned() }]
    {
        let before = vec![create(Topology::PrimaryReplica, 2, 0)];
        let mut lab = set_the_stage(&Story { name: "elected", before, change: change.clone() }).await;
        lab.kill_at(Some(Kill::Before(2)));
        let operation = lab.begin(change.clone()).await.unwrap();
        lab.until_killed_or_done().await;
        assert!(!lab.world.log().contains(&"stop_node".to_owned()), "it was not stopped yet");
        lab.world.fail_over();
        lab.restart().await;
        lab.settle().await;
        let ended = lab.engine.operation(&operation.id).await.unwrap();
        assert_eq!(ended.state, OperationState::Failed, "{change:?}: {ended:#?}");
        assert!(!lab.world.log().contains(&"stop_node".to_owned()), "{change:?}: {:?}", lab.world.log());
        assert_eq!(lab.complaints().await, Vec::<String>::new(), "{change:?}");
    }
}

#[tokio::test]
async fn nodes_are_not_added_to_data_that_does_not_fit_more_or_that_cannot_be_looked_at() {
    let lab = three_nodes().await;
    let change = Change::AddNode { cluster: "demo".to_owned(), count: Some(1), plan: None };
    for (what, code) in [("growth", "unfit"), ("growth_findings", "data-unknown")] {
        lab.world.refuse(what);
        let refused = lab.run(change.clone()).await;
        let Err(EngineError::Blocked { blockers }) = refused else { panic!("{what}: {refused:?}") };
        assert_eq!(blockers.iter().map(|b| b.code.as_str()).collect::<Vec<_>>(), [code]);
    }
    lab.world.heal();
    assert_eq!(lab.run(change).await.unwrap().state, OperationState::Succeeded);
}
