//! Backups whose time is over go by themselves.

use super::{all, forget, keep, used_by, vault};
use crate::{engine::Shared, repository::AuditEntry};
use clusterdeck_domain::{Backup, BackupReason, BackupSchedule, BackupState, ClusterId};

/// How many backups that could not be made are remembered of each cluster: the last ones say what is wrong.
const FAILED_KEPT: usize = 10;

/// Takes away what has expired; asked about once a minute. What cannot be taken away now is tried again.
pub(crate) async fn expire(shared: &Shared) {
    let now = shared.now();
    let known = all(shared);
    sweep(shared, |_| true).await;
    let schedules: Vec<(ClusterId, Vec<BackupSchedule>)> = {
        let clusters = shared.lock_clusters();
        clusters.values().map(|live| (live.spec.id.clone(), live.spec.backup_schedules.clone())).collect()
    };
    for backup in &known {
        let failed_before =
            known.iter().filter(|b| b.of.id == backup.of.id && b.state == BackupState::Failed);
        let old_failure = backup.state == BackupState::Failed
            && failed_before.take_while(|b| b.id != backup.id).count() >= FAILED_KEPT;
        let over = backup.expires_at.is_some_and(|at| at <= now)
            || old_failure
            || superseded(&schedules, &known, backup);
        if !over || backup.state == BackupState::Making || used_by(shared, &backup.id).is_some() {
            continue;
        }
        match take_away(shared, backup).await {
            Ok(()) => tell(shared, backup).await,
            Err(error) => {
                tracing::warn!(backup = %backup.id, %error, "an expired backup could not be taken away yet")
            }
        }
    }
    super::log::expire(shared).await;
}

/// A scheduled backup that its schedule no longer keeps. Those of a schedule or a cluster that is gone stay.
fn superseded(schedules: &[(ClusterId, Vec<BackupSchedule>)], known: &[Backup], backup: &Backup) -> bool {
    if backup.reason != BackupReason::Scheduled || !backup.usable() {
        return false;
    }
    let of = schedules.iter().find(|(id, _)| *id == backup.of.id);
    let schedule = of.and_then(|(_, all)| all.iter().find(|s| s.vault == backup.vault));
    schedule.is_some_and(|schedule| {
        let mine: Vec<Backup> = known.iter().filter(|b| b.of.id == backup.of.id).cloned().collect();
        !schedule.kept(&mine).contains(&backup.id)
    })
}

/// Takes a backup out of its vault, then forgets it.
pub(crate) async fn take_away(shared: &Shared, backup: &Backup) -> crate::facade::Result<()> {
    vault(shared, &backup.vault).await?.remove(&backup.id).await?;
    forget(shared, &backup.id).await
}

/// Takes out of these vaults what backups that failed left there.
pub(crate) async fn sweep(shared: &Shared, of: impl Fn(&str) -> bool) {
    for backup in all(shared).iter().filter(|backup| backup.leftover && of(&backup.vault)) {
        let swept = async {
            vault(shared, &backup.vault).await?.remove(&backup.id).await?;
            keep(shared, &Backup { leftover: false, ..backup.clone() }).await
        };
        if let Err(error) = swept.await {
            tracing::debug!(backup = %backup.id, %error, "what is left of a failed backup stays for now");
        }
    }
}

async fn tell(shared: &Shared, backup: &Backup) {
    if backup.state == BackupState::Failed {
        return;
    }
    let text = format!(
        "The backup of {} from {} was kept as long as it was meant to be",
        backup.cluster, backup.created_at
    );
    let entry = AuditEntry::new(shared.now(), "clusterdeck", "expire-backup", text)
        .about(&backup.of.id, &backup.cluster);
    shared.audit(entry).await;
}
