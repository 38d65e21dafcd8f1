//! Backups whose time is over go by themselves.

use super::{all, find, forget, keep, used_by, vault};
use crate::{engine::Shared, repository::AuditEntry};
use clusterdeck_domain::{Backup, BackupReason, BackupSchedule, BackupState, ClusterId};
use jiff::{SignedDuration, Timestamp};

/// How many backups that could not be made are remembered of each cluster: the last ones say what is wrong.
const FAILED_KEPT: usize = 10;
/// Who looks more often than this sees time pass.
const SEEN: SignedDuration = SignedDuration::from_hours(1);
/// What ends while nobody looks stays so much longer.
const REPRIEVE: SignedDuration = SignedDuration::from_hours(24);

/// What becomes of a backup that goes at a time of its own.
#[derive(Debug, PartialEq, Eq)]
enum Time {
    /// It is not over, or it has none.
    Runs,
    /// It ended behind our back: whoever comes back late, or finds the clock wrong, can still have it until then.
    Until(Timestamp),
    Over,
}

impl Time {
    /// `looked`: when time was seen to pass before `now`.
    fn of(backup: &Backup, now: Timestamp, looked: Option<Timestamp>) -> Self {
        let Some(_) = backup.expires_at.filter(|at| *at <= now) else { return Self::Runs };
        let seen = looked.is_some_and(|before| before <= now && now.duration_since(before) <= SEEN);
        if seen || backup.reprieved || !backup.usable() { Self::Over } else { Self::Until(now + REPRIEVE) }
    }
}

/// Takes away what has expired; asked about once a minute, `looked` at before. What cannot be taken away now is tried again.
pub(crate) async fn expire(shared: &Shared, looked: Option<Timestamp>) {
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
        let time = Time::of(backup, now, looked);
        if let Time::Until(at) = time {
            let Ok(found) = find(shared, backup.id.as_str()) else { continue };
            let longer = Backup { expires_at: Some(at), reprieved: true, ..found };
            if let Err(error) = keep(shared, &longer).await {
                tracing::warn!(backup = %backup.id, %error, "a backup could not be given a day more");
            }
            continue;
        }
        let over = time == Time::Over || old_failure || superseded(&schedules, &known, backup, now);
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
fn superseded(
    schedules: &[(ClusterId, Vec<BackupSchedule>)],
    known: &[Backup],
    backup: &Backup,
    now: Timestamp,
) -> bool {
    if backup.reason != BackupReason::Scheduled || !backup.usable() {
        return false;
    }
    let of = schedules.iter().find(|(id, _)| *id == backup.of.id);
    let schedule = of.and_then(|(_, all)| all.iter().find(|s| s.vault == backup.vault));
    schedule.is_some_and(|schedule| {
        let mine: Vec<Backup> = known.iter().filter(|b| b.of.id == backup.of.id).cloned().collect();
        !schedule.kept(&mine, now).contains(&backup.id)
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
