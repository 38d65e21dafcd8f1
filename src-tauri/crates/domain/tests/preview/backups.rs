//! Backing up, trying a backup, making a cluster from one, and taking it away.

use crate::builder::*;
use clusterdeck_domain::{
    Backup, BackupKind, BackupState, Busy, Change, ChangeKind, Lifecycle, PlanId, RestoreBackup, Role,
    SNAPSHOT_VAULT, Topology, copy_source, plan,
};

pub(crate) fn back_up(verify: Option<bool>) -> Change {
    Change::BackUp { cluster: "demo".to_owned(), vault: None, verify }
}
fn id() -> String {
    clusterdeck_domain::BackupId::new(9).to_string()
}
pub(crate) fn verify() -> Change {
    Change::VerifyBackup { backup: id() }
}
pub(crate) fn delete() -> Change {
    Change::DeleteBackup { backup: id() }
}
fn wish() -> RestoreBackup {
    let (name, nodes, topology, provider, region, plan) = (None, None, None, None, None, None);
    RestoreBackup { backup: id(), at: None, name, nodes, topology, provider, region, plan }
}
pub(crate) fn restore() -> Change {
    Change::RestoreBackup(wish())
}

#[test]
fn a_copy_is_taken_from_the_replica_that_is_furthest_and_from_the_primary_when_none_is_well() {
    let from =
        |scene: &Scene| copy_source(&scene.spec, scene.seen.as_ref().unwrap(), None).map(|n| n.name.clone());
    let behind = three().node(2, |n| n.lag_bytes = Some(4096));
    assert_eq!(from(&behind).as_deref(), Some("demo-3"));
    let unknown = three().node(2, |n| n.lag_bytes = None).node(3, |n| n.diverged = true);
    assert_eq!(from(&unknown).as_deref(), Some("demo-1"), "unknown is not well");
    assert_eq!(from(&three().drained(2).dead(3)).as_deref(), Some("demo-1"));
    assert_eq!(from(&three().dead(1).dead(2).dead(3)), None);
    let shards = six_in_three();
    let of = |shard| copy_source(&shards.spec, shards.seen.as_ref().unwrap(), Some(shard)).unwrap();
    assert_eq!(shards.seen.as_ref().unwrap().node(&of(1).id).unwrap().role, Some(Role::ShardReplica));
    assert_eq!(of(1).shard, Some(1));
}

#[test]
fn a_backup_needs_somebody_to_copy_from_and_a_vault_that_answers_and_is_one_at_a_time() {
    warned(&three().preview(&back_up(None)), &[]);
    warned(&three().preview(&back_up(Some(false))), &["not-verified"]);
    assert!(three().preview(&back_up(None)).effects[0].contains("copied from demo-2"));
    blocked(&three().dead(1).dead(2).dead(3).preview(&back_up(None)), &["primary-unknown"]);
    blocked(&three().set(|s| s.vault = None).preview(&back_up(None)), &["vault-unknown"]);
    let silent = three().set(|s| s.vault.as_mut().unwrap().problem = Some("it does not answer".to_owned()));
    blocked(&silent.preview(&back_up(None)), &["vault-unreachable"]);
    let small = three().set(|s| s.vault.as_mut().unwrap().free_bytes = Some(1 << 20));
    warned(&small.preview(&back_up(None)), &["vault-may-be-full"]);
    let other = Busy { kind: ChangeKind::BackUp, title: "Back up demo".to_owned() };
    blocked(&three().set(|s| s.backing_up = Some(other)).preview(&back_up(None)), &["backup-under-way"]);
    blocked(&three().busy().preview(&back_up(None)), &["busy"]);
    blocked(&three().spec(|s| s.lifecycle = Lifecycle::Deleting).preview(&back_up(None)), &["being-deleted"]);
}

#[test]
fn what_was_backed_up_comes_back_in_its_old_shape_under_a_name_that_is_free() {
    let there = three().with_backup(|_| {}).preview(&restore());
    warned(&there, &[]);
    assert!(
        there.title.starts_with("Restore demo-restored from the backup of demo from 3 h ago"),
        "{there:?}"
    );
    assert!(there.effects.iter().any(|e| e.contains("700 MiB")), "{there:?}");
    let gone = three().with_backup(|b| b.of.name = "orders".to_owned()).preview(&restore());
    assert!(gone.title.starts_with("Restore orders from"), "{gone:?}");
    let named = RestoreBackup { name: Some("demo".to_owned()), ..wish() };
    blocked(&three().with_backup(|_| {}).preview(&Change::RestoreBackup(named)), &["name-taken"]);
    let alone = RestoreBackup { topology: Some(Topology::Single), nodes: Some(1), ..wish() };
    warned(&three().with_backup(|_| {}).preview(&Change::RestoreBackup(alone)), &["single-node"]);
}

#[test]
fn a_backup_that_cannot_be_relied_on_is_not_restored_and_one_that_nobody_tried_is_warned_about() {
    let state = |state| three().with_backup(|b| b.state = state).preview(&restore());
    warned(&state(BackupState::Stored), &["not-verified"]);
    blocked(&state(BackupState::Damaged), &["backup-damaged"]);
    assert_eq!(*way_out(&state(BackupState::Damaged).blockers[0]), verify());
    blocked(&state(BackupState::Failed), &["backup-failed"]);
    blocked(&state(BackupState::Making), &["backup-incomplete"]);
    let sharded = RestoreBackup { topology: Some(Topology::Sharded), ..wish() };
    let other = three().with_backup(|_| {}).preview(&Change::RestoreBackup(sharded));
    assert!(codes(&other.blockers).contains(&"topology-differs"), "{other:?}");
    let disk = plan(&PlanId::default()).unwrap().disk_bytes;
    let large = three().with_backup(|b| b.parts[0].data_bytes = disk).preview(&restore());
    blocked(&large, &["plan-too-small"]);
    let silent =
        three().with_backup(|_| {}).set(|s| s.vault.as_mut().unwrap().problem = Some("gone".to_owned()));
    blocked(&silent.preview(&restore()), &["vault-unreachable"]);
    blocked(&three().preview(&restore()), &["not-found"]);
}

/// In the place of what demo holds: what the backup holds, or what there was at that moment.
pub(crate) fn in_place_at(at: Option<jiff::Timestamp>, discard_present: bool) -> Change {
    let cluster = "demo".to_owned();
    Change::RestoreInPlace { cluster, backup: id(), at, discard_present, keep_within_ms: None }
}

fn in_place(discard_present: bool) -> Change {
    in_place_at(None, discard_present)
}

#[test]
fn what_a_cluster_holds_is_replaced_only_when_its_name_is_typed_and_backed_up_first() {
    let preview = three().with_backup(|_| {}).preview(&in_place(false));
    assert!(preview.blockers.is_empty(), "{preview:?}");
    assert_eq!((preview.confirm.as_deref(), preview.destructive), (Some("demo"), true));
    assert!(preview.expected_downtime_ms > 0);
    let says = |preview: &clusterdeck_domain::preview::Preview, what: &str| {
        preview.effects.iter().any(|effect| effect.contains(what))
    };
    assert!(says(&preview, "backed up first, proven, and kept for 15 days"), "{preview:?}");
    assert!(says(&preview, "demo-1: it gets the data of the backup of demo from 3 h ago"), "{preview:?}");
    // A cluster that cannot be copied is replaced only by somebody who does without.
    let down = || three().dead(1).dead(2).dead(3).with_backup(|_| {});
    let refused = down().preview(&in_place(false));
    assert_eq!(codes(&refused.blockers), ["no-safety-backup"]);
    assert_eq!(*way_out(&refused.blockers[0]), in_place(true));
    let without = down().preview(&in_place(true));
    assert!(without.blockers.is_empty(), "{without:?}");
    assert!(codes(&without.warnings).contains(&"present-discarded"), "{without:?}");
    // Looked at first, for as long as somebody says.
    let looked_at = |ms| Change::RestoreInPlace {
        cluster: "demo".to_owned(),
        backup: id(),
        at: None,
        discard_present: false,
        keep_within_ms: Some(ms),
    };
    let waits = three().with_backup(|_| {}).preview(&looked_at(900_000));
    assert!(waits.blockers.is_empty() && says(&waits, "it waits for up to 15 min"), "{waits:?}");
    assert_eq!(waits.expected_downtime_ms, preview.expected_downtime_ms + 900_000);
    for ms in [999, 86_400_001] {
        blocked(&three().with_backup(|_| {}).preview(&looked_at(ms)), &["keep-within"]);
    }
}

#[test]
fn a_backup_that_does_not_fit_a_cluster_does_not_take_its_place() {
    let with =
        |edit: fn(&mut clusterdeck_domain::Backup)| three().with_backup(edit).preview(&in_place(false));
    let found = |preview: clusterdeck_domain::preview::Preview| -> Vec<String> {
        preview.blockers.into_iter().map(|b| b.code).collect()
    };
    assert_eq!(found(with(|b| b.state = BackupState::Damaged)), ["backup-damaged"]);
    assert_eq!(found(with(|b| b.state = BackupState::Making)), ["backup-incomplete"]);
    assert_eq!(found(with(|b| b.of.service = clusterdeck_domain::ServiceKind::Mysql)), ["service-differs"]);
    assert_eq!(found(with(|b| b.of.topology = Topology::Sharded)), ["shards-differ"]);
    assert_eq!(found(with(|b| b.of.version = "9.9.9".to_owned())), ["version-differs"]);
    assert_eq!(found(with(|b| b.parts[0].data_bytes = 1 << 40)), ["disk-too-small"]);
    let other = with(|b| b.of.id = clusterdeck_domain::ClusterId::new(77));
    assert!(codes(&other.warnings).contains(&"backup-of-another") && other.blockers.is_empty(), "{other:?}");
    let drained = three().drained(3).with_backup(|_| {}).preview(&in_place(false));
    assert_eq!(codes(&drained.blockers), ["drained"]);
    assert_eq!(codes(&three().busy().with_backup(|_| {}).preview(&in_place(false)).blockers), ["busy"]);
    let half = three().spec(|s| s.lifecycle = Lifecycle::Restoring).with_backup(|_| {});
    assert_eq!(codes(&half.preview(&in_place(false)).blockers), ["being-restored"]);
    assert_eq!(codes(&three().preview(&in_place(false)).blockers), ["not-found"]);
}

#[test]
fn the_last_backup_goes_only_when_its_name_is_typed_and_none_goes_while_it_is_read() {
    let last = three().with_backup(|_| {}).preview(&delete());
    warned(&last, &["last-backup"]);
    assert_eq!(last.confirm.as_deref(), Some("demo"));
    let other = three().with_backup(|_| {}).set(|s| {
        let mut second = s.backups[0].clone();
        second.id = clusterdeck_domain::BackupId::new(10);
        s.backups.push(second);
    });
    let preview = other.preview(&delete());
    warned(&preview, &[]);
    assert_eq!(preview.confirm, None);
    let reads = Busy { kind: ChangeKind::RestoreBackup, title: "Restore demo-restored".to_owned() };
    blocked(&other.set(|s| s.backup_used_by = Some(reads)).preview(&delete()), &["backup-in-use"]);
}

#[test]
fn a_snapshot_says_what_it_is_no_help_against_and_what_goes_with_it() {
    let beside = |s: &mut Scene| {
        let vault = s.vault.as_mut().unwrap();
        (vault.id, vault.kind) = (SNAPSHOT_VAULT.to_owned(), BackupKind::Snapshot);
        vault.free_bytes = Some(1 << 20);
    };
    let first = three().set(beside).preview(&back_up(None));
    warned(&first, &["vault-may-be-full"]);
    assert!(first.effects.iter().any(|e| e.contains("lost with that disk")), "{:?}", first.effects);
    let lies_there = |b: &mut Backup| (b.vault, b.kind) = (SNAPSHOT_VAULT.to_owned(), BackupKind::Snapshot);
    warned(&three().with_backup(lies_there).set(beside).preview(&back_up(None)), &[]);
    let elsewhere = three().preview(&back_up(None));
    assert!(elsewhere.effects.iter().all(|e| !e.contains("that disk")), "{:?}", elsewhere.effects);
}
