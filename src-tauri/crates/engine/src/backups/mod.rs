//! Backups: the rows of them, the key they are sealed for, and moving them between servers and vaults. When one is made, tried
//! or taken away is for the operations (`operations/back_up.rs` and its neighbours) and for `expire`.

mod download;
mod dump;
mod expire;
mod key;
pub(crate) mod log;
mod moving;
mod schedule;
mod stream;
pub(crate) mod throw_away;
mod vaults;

pub use download::Download;
pub(crate) use download::{begin as download, formats};
pub(crate) use dump::clear_left as clear_dumps;
pub(crate) use expire::{expire, take_away};
pub(crate) use key::{ensure as ensure_key, import as import_key, report as report_key};
pub(crate) use moving::{copy, counted, lay, read_back};
pub use schedule::BY_SCHEDULE;
pub(crate) use schedule::follow;
pub(crate) use vaults::{
    BUILT_IN, add as add_vault, added as added_vaults, all as vaults, change_secret as change_vault_secret,
    check as check_vault, facts as vault_facts, open as vault, remove as remove_vault, try_out as try_vault,
};

use crate::{
    alerts,
    door::unique,
    engine::Shared,
    error::EngineError,
    event::{Event, EventKind, Level},
    facade::Result,
    repository::AuditEntry,
};
use clusterdeck_domain::{
    BackedUp, Backup, BackupId, BackupReason, BackupState, Busy, ChangeKind, ClusterId, ClusterSpec,
    FINAL_BACKUP_DAYS, preview::CLONE_KEPT_HOURS,
};
use clusterdeck_driver::DriverError;
use jiff::SignedDuration;
use std::sync::PoisonError;

/// All backups, the newest first.
pub(crate) fn all(shared: &Shared) -> Vec<Backup> {
    let known = shared.backups.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found: Vec<Backup> = known.values().cloned().collect();
    found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    found
}

/// Those of a cluster, the newest first.
pub(crate) fn of(shared: &Shared, cluster: &ClusterId) -> Vec<Backup> {
    let mut found = all(shared);
    found.retain(|backup| backup.of.id == *cluster);
    found
}

/// The backup with that id.
pub(crate) fn find(shared: &Shared, id: &str) -> Result<Backup> {
    let known = shared.backups.lock().unwrap_or_else(PoisonError::into_inner);
    let found = BackupId::parse(id).ok().and_then(|id| known.get(&id).cloned());
    found.ok_or_else(|| EngineError::NotFound { what: format!("backup `{id}`") })
}

/// A backup as it begins.
pub(crate) async fn begun(
    shared: &Shared,
    spec: &ClusterSpec,
    vault: &str,
    reason: BackupReason,
) -> Result<Backup> {
    let now = shared.now();
    let kept = SignedDuration::from_hours(24 * i64::from(FINAL_BACKUP_DAYS));
    Ok(Backup {
        id: BackupId::new(unique()),
        cluster: spec.name.to_string(),
        of: BackedUp::from(spec),
        kind: vaults::kind(shared, vault).await?,
        reason,
        state: BackupState::Making,
        vault: vault.to_owned(),
        sealed_for: String::new(),
        parts: Vec::new(),
        size_bytes: 0,
        data_bytes: 0,
        created_at: now,
        ended_at: None,
        verified_at: None,
        expires_at: match reason {
            BackupReason::BeforeDelete | BackupReason::BeforeRestore => Some(now + kept),
            BackupReason::ForClone => Some(now + SignedDuration::from_hours(CLONE_KEPT_HOURS)),
            BackupReason::Asked | BackupReason::Scheduled => None,
        },
        error: None,
        operation: None,
        leftover: false,
        reprieved: false,
    })
}

/// Keeps what is known of a backup, and tells.
pub(crate) async fn put(shared: &Shared, backup: &Backup) -> Result<()> {
    alerts::met_in(shared, backup).await;
    keep(shared, backup).await?;
    alerts::settle(shared).await;
    Ok(())
}

/// The same where nothing was found out about it.
async fn keep(shared: &Shared, backup: &Backup) -> Result<()> {
    shared.state.put_backup(backup).await?;
    let known = shared.backups.lock();
    known.unwrap_or_else(PoisonError::into_inner).insert(backup.id.clone(), backup.clone());
    tell(shared, backup);
    Ok(())
}

/// Changes what is known of a backup; nothing happens when it is gone.
pub(crate) async fn update(shared: &Shared, id: &BackupId, edit: impl FnOnce(&mut Backup)) -> Result<()> {
    let Ok(mut backup) = find(shared, id.as_str()) else { return Ok(()) };
    edit(&mut backup);
    put(shared, &backup).await
}

/// Forgets a backup of which nothing is left.
pub(crate) async fn forget(shared: &Shared, id: &BackupId) -> Result<()> {
    shared.state.forget_backup(id).await?;
    let gone = shared.backups.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    if let Some(backup) = gone {
        tell(shared, &backup);
        alerts::settle(shared).await;
    }
    Ok(())
}

fn tell(shared: &Shared, backup: &Backup) {
    let text = match backup.state {
        BackupState::Making => "A backup is being made",
        BackupState::Stored => "A backup was made",
        BackupState::Verified => "A backup was restored and found good",
        BackupState::Failed => "A backup could not be made",
        BackupState::Damaged => "A backup is damaged",
    };
    let mut event = Event::new(EventKind::BackupChanged, Level::Info, text);
    event.cluster_id = Some(backup.of.id.clone());
    event.cluster = Some(backup.cluster.clone());
    shared.events.send(event, shared.now());
}

/// Writes what is known of a backup beside it, for whoever finds the vault without this home.
pub(crate) async fn write_manifest(shared: &Shared, backup: &Backup) -> Result<()> {
    let text = serde_json::to_vec_pretty(backup)
        .map_err(|e| DriverError::broken(format!("the manifest of a backup cannot be written: {e}")))?;
    let vault = vault(shared, &backup.vault).await?;
    Ok(vault.put_note(&backup.id, "manifest.json", &text).await?)
}

/// The operation that reads a backup, or makes it.
pub(crate) fn used_by(shared: &Shared, id: &BackupId) -> Option<Busy> {
    let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
    running.values().find_map(|running| {
        let row = running.record.snapshot();
        if row.operation.state.is_final() || row.operation.kind == ChangeKind::DeleteBackup {
            return None;
        }
        // A moment is replayed on another backup than the one that was named, as its plan says.
        let begins_on = row.frame["from"]["id"].as_str() == Some(id.as_str());
        let reads = begins_on || row.change.backup() == Some(id.as_str());
        let makes =
            || find(shared, id.as_str()).is_ok_and(|b| b.operation.as_ref() == Some(&row.operation.id));
        (reads || makes()).then(|| Busy { kind: row.operation.kind, title: row.operation.title.clone() })
    })
}

/// Puts on record what was done with the key or with a vault, which belong to no cluster.
async fn audit(shared: &Shared, actor: &str, action: &str, text: &str) {
    shared.audit(AuditEntry::new(shared.now(), actor, action, text)).await;
}
