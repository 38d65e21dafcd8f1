//! Alerts: what the domain finds worth telling is kept, and told once. Which problem is one and when it is over is decided there;
//! this room remembers, and is asked wherever a backup's row changes.

use crate::{
    backups,
    door::unique,
    engine::Shared,
    event::{Event, EventKind, Level},
    facade::Result,
};
use clusterdeck_domain::{
    Alert, AlertBook, AlertId, AlertNews, Backup, BackupSchedule, ClusterId, Severity, Situation, Trouble,
};

/// The key in state.db. A row for the whole book: it is bounded, and changes a few times a day.
pub(crate) const KEPT: &str = "alerts";

/// All of them, open ones first.
pub(crate) async fn all(shared: &Shared) -> Vec<Alert> {
    shared.alerts.lock().await.list()
}

/// A backup is about to be put on record as this. Before it is: whoever is killed in between meets it again.
pub(crate) async fn met_in(shared: &Shared, backup: &Backup) {
    if let Some(trouble) = Trouble::of(backup) {
        raise(shared, trouble).await;
    }
}

/// A problem was met.
pub(crate) async fn raise(shared: &Shared, trouble: Trouble) {
    change(shared, |book| book.raise(trouble, shared.now(), || AlertId::new(unique()))).await;
}

/// A vault that was asked answered.
pub(crate) async fn answered(shared: &Shared, vault: &str) {
    change(shared, |book| book.answered(vault, shared.now())).await;
}

/// What works again, or is not there any more, is over. Asked after each change of a backup, and once a minute.
pub(crate) async fn settle(shared: &Shared) {
    if all(shared).await.iter().all(|alert| !alert.open()) {
        return;
    }
    let backups = backups::all(shared);
    let schedules: Vec<(ClusterId, Vec<BackupSchedule>)> = {
        let clusters = shared.lock_clusters();
        clusters.values().map(|live| (live.spec.id.clone(), live.spec.backup_schedules.clone())).collect()
    };
    // Not knowing which vaults there are, none is taken for gone.
    let Ok(added) = backups::added_vaults(shared).await else { return };
    let vaults: Vec<String> =
        added.into_iter().map(|vault| vault.id).chain(backups::BUILT_IN.map(ToOwned::to_owned)).collect();
    let now = Situation { backups: &backups, schedules: &schedules, vaults: &vaults };
    change(shared, |book| book.settle(&now, shared.now())).await;
}

/// Changes the book, keeps it, and tells. What cannot be written down is still told: the next change writes it.
async fn change(shared: &Shared, edit: impl FnOnce(&mut AlertBook) -> Vec<AlertNews>) {
    let mut book = shared.alerts.lock().await;
    let news = edit(&mut book);
    if news.is_empty() {
        return;
    }
    if let Err(error) = keep(shared, &book).await {
        tracing::error!(%error, "the alerts could not be written down");
    }
    drop(book);
    for news in &news {
        tell(shared, news);
    }
}

async fn keep(shared: &Shared, book: &AlertBook) -> Result<()> {
    let value = serde_json::to_value(book).unwrap_or_default();
    Ok(shared.state.set_setting(KEPT, &value).await?)
}

/// Only a new one is worth a desktop's notification: for the others listeners look again.
fn tell(shared: &Shared, news: &AlertNews) {
    let alert = news.alert();
    let (kind, level, text) = match news {
        AlertNews::Raised(_) => {
            let level = match alert.severity {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
            };
            (EventKind::AlertRaised, level, format!("{}. {} {}", alert.title, alert.detail, alert.hint))
        }
        AlertNews::Again(_) => (EventKind::AlertChanged, Level::Info, format!("Again: {}", alert.title)),
        AlertNews::Resolved(_) => (EventKind::AlertChanged, Level::Info, format!("Over: {}", alert.title)),
    };
    tracing::info!(alert = %alert.id, times = alert.times, "{text}");
    let mut event = Event::new(kind, level, text.trim_end());
    event.cluster_id.clone_from(&alert.cluster_id);
    event.cluster.clone_from(&alert.cluster);
    shared.events.send(event, shared.now());
}
