//! Backups that are made by themselves: what is due is asked for at the one door, as a person would. A time that was missed
//! while nobody was there is made up for once.

use crate::{
    door,
    engine::Shared,
    error::EngineError,
    event::{Event, EventKind, Level},
    facade::{Asker, Result},
    repository::AuditEntry,
};
use clusterdeck_domain::{
    Backup, BackupReason, BackupSchedule, BackupState, Change, ClusterId, ClusterSpec, Lifecycle, last_of,
};
use jiff::SignedDuration;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Who asks for them, in the audit trail.
pub(crate) const BY_SCHEDULE: &str = "schedule";
/// How often what is due is looked for.
const LOOK: Duration = Duration::from_secs(5);
/// Whoever hosts the engine only for the length of a command does not begin what others will have to wait for.
const SETTLES: Duration = Duration::from_secs(15);
/// Clocks are put right by a little all the time.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// Clusters with the same hour do not all begin at once: each waits for a share of this, always the same.
const SPREAD: SignedDuration = SignedDuration::from_mins(3);
/// The share of the time between two backups that this may be.
const SPREAD_SHARE: i64 = 20;

/// Follows the schedules until the engine ends.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut ticks = interval_at(Instant::now() + SETTLES, LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stopped.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if shared.closing.is_cancelled() {
            continue;
        }
        let all: Vec<ClusterSpec> = shared.lock_clusters().values().map(|live| live.spec.clone()).collect();
        for spec in all.iter().filter(|spec| spec.lifecycle == Lifecycle::Active) {
            for vault in due(&shared, spec) {
                if let Err(error) = begin(&shared, spec, &vault).await {
                    tracing::info!(cluster = %spec.name, %error, "a scheduled backup has to wait");
                }
            }
        }
    }
}

/// The vaults for which a backup of this cluster is due.
fn due(shared: &Shared, spec: &ClusterSpec) -> Vec<String> {
    let now = shared.now();
    let mut made = super::of(shared, &spec.id);
    // A clock that was set back leaves some in the future: with them there would be none for long.
    made.retain(|backup| backup.created_at <= now + AHEAD);
    let due = |schedule: &&BackupSchedule| {
        let last = last_of(&made, schedule);
        let at = schedule.due(last);
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
        Err(error @ EngineError::Blocked { .. }) => refused(shared, spec, vault, &error).await,
        begun => begun.map(drop),
    }
}

async fn refused(shared: &Shared, spec: &ClusterSpec, vault: &str, error: &EngineError) -> Result<()> {
    let begun = super::begun(shared, spec, vault, BackupReason::Scheduled).await?;
    let problem = error.problem();
    let text = format!("A scheduled backup of {} could not be made: {}", spec.name, problem.title);
    let failed =
        Backup { state: BackupState::Failed, ended_at: Some(shared.now()), error: Some(problem), ..begun };
    super::put(shared, &failed).await?;
    let mut event = Event::new(EventKind::BackupChanged, Level::Error, text.clone());
    event.cluster_id = Some(spec.id.clone());
    event.cluster = Some(spec.name.to_string());
    shared.events.send(event, shared.now());
    let entry = AuditEntry {
        id: 0,
        at: shared.now(),
        actor: BY_SCHEDULE.to_owned(),
        action: "back-up".to_owned(),
        cluster_id: Some(spec.id.clone()),
        cluster: Some(spec.name.to_string()),
        node: None,
        operation: None,
        result: "refused".to_owned(),
        text,
    };
    shared.audit(entry).await;
    Ok(())
}
