//! Backups: what comes back, and what is told of those that cannot be relied on.

use crate::stories::{Story, back_up, create, delete, restore, restore_in_place, set_the_stage};
use clusterdeck_domain::{
    Backup, BackupReason, BackupState, Change, Lifecycle, OperationId, OperationState, Topology,
};
use clusterdeck_engine::EngineError;
use clusterdeck_testkit::Lab;
use std::{collections::BTreeSet, time::Duration};

async fn three_with_data() -> Lab {
    let before = vec![create(Topology::PrimaryReplica, 3, 0)];
    let lab = set_the_stage(&Story { name: "backups", before, change: back_up() }).await;
    lab.world.write(4711);
    lab
}

async fn newest(lab: &Lab) -> Backup {
    lab.engine.backups(None).await.into_iter().next().expect("a backup")
}

#[tokio::test]
async fn what_a_cluster_held_when_it_was_deleted_comes_back_under_its_name() {
    let lab = three_with_data().await;
    let deleted = lab.run(delete()).await.unwrap();
    assert_eq!(deleted.state, OperationState::Succeeded, "{:?}", deleted.error);
    assert!(lab.engine.clusters().await.is_empty());
    let last = newest(&lab).await;
    assert_eq!((last.reason, last.state), (BackupReason::BeforeDelete, BackupState::Verified));
    assert_eq!(deleted.outcome.backup.as_ref(), Some(&last.id));
    let kept = last.expires_at.unwrap().duration_since(last.created_at).as_hours();
    assert!((15 * 24 - 1..=15 * 24).contains(&kept), "{kept} hours");
    let restored = lab.run(restore()).await.unwrap();
    assert_eq!(restored.state, OperationState::Succeeded, "{:?}", restored.error);
    assert_eq!(lab.engine.clusters().await[0].spec.name.as_str(), "demo");
    assert_eq!(lab.world.written(), BTreeSet::from([4711]), "on every node");
}

#[tokio::test]
async fn what_a_backup_holds_takes_the_place_of_what_is_there_and_the_way_back_is_a_backup_too() {
    let lab = three_with_data().await;
    lab.run(back_up()).await.unwrap();
    lab.world.write(4712);
    let name = |lab: &Lab| lab.world.written();
    let restored = lab.run(restore_in_place()).await.unwrap();
    assert_eq!(restored.state, OperationState::Succeeded, "{:?}", restored.error);
    assert_eq!(name(&lab), BTreeSet::from([4711]), "on every node");
    let safety = newest(&lab).await;
    assert_eq!((safety.reason, safety.state), (BackupReason::BeforeRestore, BackupState::Verified));
    assert!(safety.expires_at.is_some());
    assert_eq!(lab.complaints().await, Vec::<String>::new());
    let back = lab.run(restore_in_place()).await.unwrap();
    assert_eq!(back.state, OperationState::Succeeded, "{:?}", back.error);
    assert_eq!(name(&lab), BTreeSet::from([4712]), "what was there before");
}

/// Brings a backup back in place and waits until it can be looked at.
async fn shown(lab: &Lab, backup: &Backup, ms: u64) -> OperationId {
    let change = Change::RestoreInPlace {
        cluster: "demo".to_owned(),
        backup: backup.id.to_string(),
        at: None,
        discard_present: false,
        keep_within_ms: Some(ms),
    };
    let begun = lab.begin(change).await.unwrap();
    while lab.engine.operation(&begun.id).await.unwrap().state != OperationState::Waiting {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_looked_at_before_the_endpoints_open_stays_only_when_it_is_kept() {
    let mut lab = three_with_data().await;
    lab.run(back_up()).await.unwrap();
    let old = newest(&lab).await;
    lab.world.write(4712);
    let now = BTreeSet::from([4712]);
    // Nobody keeps it; somebody takes it back; the engine is away until it is too late.
    let id = shown(&lab, &old, 1_000).await;
    let ended = lab.engine.wait(&id).await.unwrap();
    assert!(ended.error.unwrap().title.starts_with("Nobody kept"));
    assert_eq!(lab.world.written(), now);
    let id = shown(&lab, &old, 60_000).await;
    assert_eq!(lab.world.written(), BTreeSet::from([4711]), "it is there to be looked at");
    assert_eq!(lab.engine.cluster("demo").await.unwrap().spec.lifecycle, Lifecycle::Restoring);
    lab.engine.cancel(&id, "test").await.unwrap();
    assert_eq!(lab.engine.wait(&id).await.unwrap().state, OperationState::Cancelled);
    assert_eq!(lab.world.written(), now);
    let id = shown(&lab, &old, 1_000).await;
    lab.restart().await;
    lab.settle().await;
    assert_eq!(lab.engine.operation(&id).await.unwrap().state, OperationState::Failed);
    assert_eq!(lab.world.written(), now);
    assert_eq!(lab.complaints().await, Vec::<String>::new());
    // Kept, also after the engine died meanwhile, and until the time that was noted before.
    let id = shown(&lab, &old, 60_000).await;
    let until = lab.engine.operation(&id).await.unwrap().trial.unwrap().until;
    lab.restart().await;
    while lab.engine.operation(&id).await.unwrap().state != OperationState::Waiting {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(lab.engine.keep(&id, "test").await.unwrap().trial.unwrap().until, until);
    let ended = lab.engine.wait(&id).await.unwrap();
    assert_eq!(ended.state, OperationState::Succeeded, "{:?}", ended.error);
    assert_eq!(lab.world.written(), BTreeSet::from([4711]));
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_restore_in_place_that_fails_leaves_what_was_there() {
    for call in ["copy_in", "form", "vault_get"] {
        let lab = three_with_data().await;
        lab.run(back_up()).await.unwrap();
        lab.world.write(4712);
        lab.world.refuse(call);
        let failed = lab.begin(restore_in_place()).await.unwrap();
        let until = || async {
            let now = lab.engine.operation(&failed.id).await.unwrap();
            now.state == OperationState::Unwinding || now.state.is_final()
        };
        while !until().await {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        lab.world.heal();
        let failed = lab.engine.wait(&failed.id).await.unwrap();
        assert_eq!(failed.state, OperationState::Failed, "{call}");
        assert_eq!(lab.world.written(), BTreeSet::from([4712]), "{call}: {:?}", failed.error);
        assert_eq!(lab.complaints().await, Vec::<String>::new(), "{call}");
    }
}

#[tokio::test]
async fn a_backup_that_cannot_be_taken_keeps_the_cluster_unless_somebody_does_without() {
    let lab = three_with_data().await;
    lab.world.refuse("vault_put");
    let failed = lab.run(delete()).await.unwrap();
    assert_eq!(failed.state, OperationState::Failed);
    lab.world.heal();
    assert_eq!(lab.complaints().await, Vec::<String>::new(), "the cluster is as it was");
    let failed = newest(&lab).await;
    assert_eq!(failed.state, BackupState::Failed);
    assert!(failed.error.unwrap().title.contains("vault_put"), "it says why");
    lab.run(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await.unwrap();
    assert!(lab.engine.clusters().await.is_empty() && lab.engine.backups(None).await.is_empty());
}

#[tokio::test]
async fn a_damaged_backup_turns_red_and_cannot_be_restored_and_the_others_stay() {
    let lab = three_with_data().await;
    lab.run(back_up()).await.unwrap();
    assert_eq!(newest(&lab).await.state, BackupState::Verified);
    lab.world.damage_the_vault();
    let verify = || Change::VerifyBackup { backup: "newest".to_owned() };
    let failed = lab.run(verify()).await.unwrap();
    assert_eq!(failed.state, OperationState::Failed);
    let damaged = newest(&lab).await;
    assert_eq!((damaged.state, damaged.verified_at), (BackupState::Damaged, None));
    let refused = lab.run(restore()).await;
    let Err(EngineError::Blocked { blockers }) = refused else { panic!("{refused:?}") };
    assert!(blockers.iter().any(|b| b.code == "backup-damaged"), "{blockers:?}");
    // Another one is taken beside it, and what was damaged can go.
    lab.run(back_up()).await.unwrap();
    assert_eq!(newest(&lab).await.state, BackupState::Verified);
    lab.run(Change::DeleteBackup { backup: damaged.id.to_string() }).await.unwrap();
    assert_eq!(lab.engine.backups(None).await.len(), 1);
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_does_not_start_on_a_backup_damns_it_and_a_missing_machine_does_not() {
    let lab = three_with_data().await;
    lab.world.refuse("ensure_machine");
    let untried = lab.run(back_up()).await.unwrap();
    assert_eq!(untried.state, OperationState::Succeeded);
    assert!(untried.outcome.notes[0].contains("could not be restored to try it"), "{:?}", untried.outcome);
    assert_eq!(newest(&lab).await.state, BackupState::Stored, "nobody knows whether it can be restored");
    lab.world.refuse("form");
    let failed = lab.run(Change::VerifyBackup { backup: "newest".to_owned() }).await.unwrap();
    assert_eq!(failed.state, OperationState::Failed);
    lab.world.heal();
    let damned = newest(&lab).await;
    assert_eq!(damned.state, BackupState::Damaged);
    assert!(damned.error.unwrap().title.contains("no server starts on it"));
    assert_eq!(lab.complaints().await, Vec::<String>::new(), "the throw-away machine is gone");
}

#[tokio::test]
async fn a_backup_does_not_hold_its_cluster_and_there_is_one_at_a_time() {
    let lab = three_with_data().await;
    lab.world.stall("vault_put");
    let under_way = lab.begin(back_up()).await.unwrap();
    let other = lab.run(back_up()).await;
    assert!(matches!(other, Err(EngineError::Blocked { .. })), "{other:?}");
    let deletion = lab.run(delete()).await;
    assert!(matches!(deletion, Err(EngineError::Blocked { .. })), "{deletion:?}");
    let promoted = lab.run(Change::PromoteNode { node: "demo-2".to_owned() }).await.unwrap();
    assert_eq!(promoted.state, OperationState::Succeeded, "{:?}", promoted.error);
    lab.engine.cancel(&under_way.id, "test").await.unwrap();
    let cancelled = lab.engine.wait(&under_way.id).await.unwrap();
    assert_eq!(cancelled.state, OperationState::Cancelled);
    lab.world.heal();
    assert!(lab.engine.backups(None).await.is_empty(), "nothing of it is remembered");
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}
