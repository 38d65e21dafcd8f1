//! Backups that are made by themselves: what is due is asked for at the one door, as a person would. A time that was missed
//! while nobody was there is made up for once.

use crate::{
    alerts, door,
    engine::Shared,
    error::EngineError,
    facade::{Asker, Result},
    repository::AuditEntry,
};
use clusterdeck_domain::{
    Backup, BackupReason, BackupSchedule, BackupState, Change, ClusterId, ClusterSpec, Finding, Lifecycle,
    Problem, Trouble, VaultFault, last_of,
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Who asks for them, in the audit trail.
pub const BY_SCHEDULE: &str = "schedule";
/// How often what is due is looked for.
const LOOK: Duration = Duration::from_secs(5);
/// Whoever hosts the engine only for the length of a command does not begin what others will have to wait for.
const SETTLES: Duration = Duration::from_secs(15);
/// Clusters with the same hour do not all begin at once: each waits for a share of this, always the same.
const SPREAD: SignedDuration = SignedDuration::from_mins(3);
/// The share of the time between two backups that this may be.
const SPREAD_SHARE: i64 = 20;

/// Follows the schedules until the engine ends.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut ticks = interval_at(Instant::now() + SETTLES, LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waits = Waits::default();
    loop {
        tokio::select! {
            () = shared.stopped.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if shared.closing.is_cancelled() {
            continue;
        }
        let all: Vec<ClusterSpec> = shared.lock_clusters().values().map(|live| live.spec.clone()).collect();
        let mut waiting = Waits::default();
        for spec in all.iter().filter(|spec| spec.lifecycle == Lifecycle::Active) {
            for vault in due(&shared, spec) {
                let Err(error) = begin(&shared, spec, &vault).await else { continue };
                tracing::info!(cluster = %spec.name, %error, "a scheduled backup has to wait");
                let now = shared.now();
                let wait = (spec.id.clone(), vault);
                let mut since = waits.get(&wait).copied().unwrap_or(now);
                if between(spec, &wait.1, since).is_some_and(|time| since + time <= now) {
                    let cluster = (spec.id.clone(), spec.name.to_string());
                    let what = match error {
                        EngineError::Busy { title } => title,
                        other => other.to_string(),
                    };
                    alerts::raise(&shared, Trouble::waiting(cluster, &wait.1, &what)).await;
                    // Met again after as long a time.
                    since = now;
                }
                waiting.insert(wait, since);
            }
        }
        waits = waiting;
    }
}

/// Since when the backup of a cluster into a vault waits for the cluster.
type Waits = HashMap<(ClusterId, String), Timestamp>;

/// The time between two backups of a schedule, the next of which is after `at`.
fn between(spec: &ClusterSpec, vault: &str, at: Timestamp) -> Option<SignedDuration> {
    let schedule = spec.backup_schedules.iter().find(|schedule| schedule.vault == vault)?;
    let next = schedule.due(Some(at), at)?;
    Some(schedule.due(Some(next), at)?.duration_since(next))
}

/// The vaults for which a backup of this cluster is due.
fn due(shared: &Shared, spec: &ClusterSpec) -> Vec<String> {
    let now = shared.now();
    let made = super::of(shared, &spec.id);
    let due = |schedule: &&BackupSchedule| {
        let last = last_of(&made, schedule, now);
        let at = schedule.due(last, now);
        let hole = schedule.point_in_time && super::log::wants_base(shared, spec);
        hole || at.is_some_and(|at| at + spread(&spec.id, last.map(|last| at.duration_since(last))) <= now)
    };
    spec.backup_schedules.iter().filter(due).map(|schedule| schedule.vault.clone()).collect()
}

/// How much later than others this one begins. The first one does not wait.
fn spread(cluster: &ClusterId, between: Option<SignedDuration>) -> SignedDuration {
    let Some(between) = between else { return SignedDuration::ZERO };
    let most = (between / i32::try_from(SPREAD_SHARE).unwrap_or(1)).min(SPREAD).as_secs().max(0);
    let place = cluster.as_str().bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 10_007);
    SignedDuration::from_secs(most * place / 10_007)
}

async fn begin(shared: &Arc<Shared>, spec: &ClusterSpec, vault: &str) -> Result<()> {
    let live = shared.live(&spec.id)?;
    if let Some((_, busy)) = live.busy.or(live.backing_up) {
        return Err(EngineError::Busy { title: busy.title });
    }
    let schedule = live.spec.backup_schedules.iter().find(|s| s.vault == vault);
    let verify = schedule.map(|schedule| schedule.verify);
    let change = Change::BackUp { cluster: spec.id.to_string(), vault: Some(vault.to_owned()), verify };
    let begun = async {
        let prepared = door::preview(shared, change, Asker::Schedule).await?;
        door::confirm(shared, &prepared.id, None, BY_SCHEDULE, None).await
    };
    match begun.await {
        // A cluster that is down or a vault that cannot be reached is an attempt that failed: it is told once, and the next
        // one is made when it is due.
        Err(EngineError::Blocked { blockers }) => refused(shared, spec, vault, &blockers).await,
        begun => begun.map(drop),
    }
}

/// A backup that could not even begin. The vault or the cluster says why; the alert of it is told once.
async fn refused(shared: &Shared, spec: &ClusterSpec, vault: &str, blockers: &[Finding]) -> Result<()> {
    let begun = super::begun(shared, spec, vault, BackupReason::Scheduled).await?;
    let problem = why(blockers);
    let text = format!("The scheduled backup of {} could not be made: {}", spec.name, problem.title);
    let failed =
        Backup { state: BackupState::Failed, ended_at: Some(shared.now()), error: Some(problem), ..begun };
    super::put(shared, &failed).await?;
    let entry = AuditEntry::new(shared.now(), BY_SCHEDULE, "back-up", text).result("refused");
    shared.audit(entry.about(&spec.id, spec.name.as_str())).await;
    Ok(())
}

/// What kept it from being made. Trouble of a vault is told as that.
fn why(blockers: &[Finding]) -> Problem {
    let of_vault = blockers.iter().find_map(|b| VaultFault::of(&b.code));
    let mut texts = blockers.iter().map(|b| b.text.trim_end_matches('.'));
    let title = texts.next().unwrap_or("It was refused").to_owned();
    let others: Vec<String> = texts.map(|text| format!("{text}.")).collect();
    let hints: Vec<&str> = blockers.iter().filter_map(|b| b.hint.as_deref()).collect();
    Problem {
        code: of_vault.map_or("blocked", VaultFault::code).to_owned(),
        title,
        detail: others.join(" "),
        hint: hints.join(" "),
    }
}
