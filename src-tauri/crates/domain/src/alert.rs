//! Alerts: a problem that nobody sees happen is told once, and goes by itself when what failed works again.
//!
//! What is wrong follows from the rows of the backups ([`Trouble::of`]), and so does what is over ([`AlertBook::settle`]): both can
//! be asked again at any time, and a process that was killed in between changes nothing.

use crate::{
    AlertId, Backup, BackupId, BackupReason, BackupSchedule, BackupState, ClusterId, Problem, VaultFault,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many alerts are remembered; of those beyond, the ones that were resolved longest ago go first.
pub const ALERTS_KEPT: usize = 500;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// A scheduled backup could not be made.
    BackupFailed,
    /// What a vault returned is not what was sent, or no server starts on it.
    BackupDamaged,
    /// A backup is there, and could not be restored to try it.
    BackupUntried,
    /// A vault does not answer, or is not there.
    VaultUnreachable,
    /// A vault takes no more.
    VaultFull,
    /// A vault does not accept our key, passphrase or rights.
    VaultRefused,
    /// A scheduled backup has waited for a busy cluster longer than the time between two of them.
    ScheduleWaiting,
}

impl AlertKind {
    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::BackupUntried | Self::ScheduleWaiting => Severity::Warning,
            Self::BackupFailed
            | Self::BackupDamaged
            | Self::VaultUnreachable
            | Self::VaultFull
            | Self::VaultRefused => Severity::Error,
        }
    }
    /// The fault of a vault that it is.
    pub const fn fault(self) -> Option<VaultFault> {
        match self {
            Self::VaultUnreachable => Some(VaultFault::Unreachable),
            Self::VaultFull => Some(VaultFault::Full),
            Self::VaultRefused => Some(VaultFault::Refused),
            Self::BackupFailed | Self::BackupDamaged | Self::BackupUntried | Self::ScheduleWaiting => None,
        }
    }
}

impl From<VaultFault> for AlertKind {
    fn from(fault: VaultFault) -> Self {
        match fault {
            VaultFault::Unreachable => Self::VaultUnreachable,
            VaultFault::Full => Self::VaultFull,
            VaultFault::Refused => Self::VaultRefused,
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something is not as it should be; nothing is lost by it.
    Warning,
    /// What was meant to protect data does not.
    Error,
}

/// A problem as it is told. While it lasts there is one row of it, however often it is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// What is wrong.
    pub kind: AlertKind,
    /// How bad it is.
    pub severity: Severity,
    /// The cluster it is about.
    pub cluster_id: Option<ClusterId>,
    /// That cluster's name, kept after it is gone.
    pub cluster: Option<String>,
    /// The vault it is about.
    pub vault: Option<String>,
    /// The backup in which it was met last.
    pub backup: Option<BackupId>,
    /// What is wrong, in a sentence without a full stop.
    pub title: String,
    /// Why, and what it means for the data.
    pub detail: String,
    /// What to do.
    pub hint: String,
    /// When it was met first.
    #[schema(value_type = String, format = DateTime)]
    pub raised_at: Timestamp,
    /// When it was met last.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Timestamp,
    /// How often it was met.
    pub times: u32,
    /// When it was over; `null` while it lasts.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Timestamp>,
}

impl Alert {
    /// Whether it lasts.
    pub const fn open(&self) -> bool {
        self.resolved_at.is_none()
    }
    /// What it is about; two of the same are one alert.
    fn about(&self) -> About<'_> {
        let cluster = self.cluster_id.as_ref().filter(|_| self.kind.fault().is_none());
        (self.kind, cluster, self.vault.as_deref())
    }
}

/// The key of an alert. A vault's own trouble is one, whichever cluster meets it.
type About<'a> = (AlertKind, Option<&'a ClusterId>, Option<&'a str>);

/// A problem that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub kind: AlertKind,
    /// With which cluster: its id and its name.
    pub cluster: Option<(ClusterId, String)>,
    /// With which vault.
    pub vault: Option<String>,
    /// In which backup.
    pub backup: Option<BackupId>,
    /// What is wrong, in a sentence without a full stop.
    pub title: String,
    /// Why, and what it means for the data.
    pub detail: String,
    /// What to do.
    pub hint: String,
}

impl Trouble {
    /// What is wrong with a backup, if anything that nobody else tells of: whoever asked for one hears of its failure.
    pub fn of(backup: &Backup) -> Option<Self> {
        let (cluster, vault) = (&backup.cluster, &backup.vault);
        let fault = backup.error.as_ref().and_then(|error| VaultFault::of(&error.code));
        let (kind, title, means) = match (backup.state, fault) {
            (BackupState::Making | BackupState::Verified, _) => return None,
            (BackupState::Failed | BackupState::Stored, Some(fault)) => {
                let title = match fault {
                    VaultFault::Unreachable => format!("The vault {vault} cannot be reached"),
                    VaultFault::Full => format!("The vault {vault} is full"),
                    VaultFault::Refused => format!("The vault {vault} does not let us in"),
                };
                let means = "The backups in it are as they were. Until it works again no new ones go there.";
                (fault.into(), title, means)
            }
            (BackupState::Failed, None) if backup.reason == BackupReason::Scheduled => (
                AlertKind::BackupFailed,
                format!("The scheduled backup of {cluster} could not be made"),
                "The backups made before are as they were.",
            ),
            (BackupState::Failed, None) => return None,
            (BackupState::Damaged, _) => (
                AlertKind::BackupDamaged,
                format!("A backup of {cluster} in the vault {vault} cannot be relied on"),
                "The cluster itself and its other backups are as they were.",
            ),
            (BackupState::Stored, None) => {
                backup.error.as_ref()?;
                (
                    AlertKind::BackupUntried,
                    format!("A backup of {cluster} could not be restored to try it"),
                    "It lies in the vault and its checksum is right; nobody knows yet whether a server starts on it.",
                )
            }
        };
        let said = |part: fn(&Problem) -> &str| backup.error.as_ref().map_or("", part);
        let detail = match said(|error| &error.title).trim_end_matches('.') {
            "" => means.to_owned(),
            why => format!("{}. {means}", capital(why)),
        };
        Some(Self {
            kind,
            cluster: Some((backup.of.id.clone(), cluster.clone())),
            vault: Some(vault.clone()),
            backup: Some(backup.id.clone()),
            title,
            detail,
            hint: capital(said(|error| &error.hint)),
        })
    }

    /// A scheduled backup waits for a cluster that does something else, or cannot be asked: `what`.
    pub fn waiting(cluster: (ClusterId, String), vault: &str, what: &str) -> Self {
        let title = format!("The scheduled backup of {} waits for the cluster", cluster.1);
        Self {
            kind: AlertKind::ScheduleWaiting,
            cluster: Some(cluster),
            vault: Some(vault.to_owned()),
            backup: None,
            title,
            detail: format!(
                "It has waited longer than the time between two backups: {}. It begins as soon as it can; the backups made \
                 before are as they were.",
                what.trim_end_matches('.')
            ),
            hint: "Look at what the cluster is doing; cancel what does not get on.".to_owned(),
        }
    }

    fn about(&self) -> About<'_> {
        let cluster = self.cluster.as_ref().filter(|_| self.kind.fault().is_none());
        (self.kind, cluster.map(|(id, _)| id), self.vault.as_deref())
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What became of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertNews {
    /// It is new: somebody must be told.
    Raised(Alert),
    /// It was met again.
    Again(Alert),
    /// It is over.
    Resolved(Alert),
}

impl AlertNews {
    /// The alert.
    pub const fn alert(&self) -> &Alert {
        match self {
            Self::Raised(alert) | Self::Again(alert) | Self::Resolved(alert) => alert,
        }
    }
}

/// By what it can be told that a problem is over.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Every backup there is.
    pub backups: &'a [Backup],
    /// The schedules of every cluster there is.
    pub schedules: &'a [(ClusterId, Vec<BackupSchedule>)],
    /// Every vault there is.
    pub vaults: &'a [String],
}

/// All alerts, open and resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertBook {
    alerts: Vec<Alert>,
}

impl AlertBook {
    /// All of them: open ones first, of each kind the newest first.
    pub fn list(&self) -> Vec<Alert> {
        let mut all = self.alerts.clone();
        all.sort_by(|a, b| order(b).cmp(&order(a)));
        all
    }

    /// A problem was met. The same backup does not meet it twice.
    pub fn raise(&mut self, met: Trouble, at: Timestamp, id: impl FnOnce() -> AlertId) -> Vec<AlertNews> {
        let mut news = Vec::new();
        if let Some(fault) = met.kind.fault() {
            // One that says that it is full can be reached, and one that refuses us too.
            let disproved = |alert: &Alert| {
                alert.vault == met.vault
                    && match alert.kind {
                        AlertKind::VaultUnreachable => fault != VaultFault::Unreachable,
                        AlertKind::VaultRefused => fault == VaultFault::Full,
                        _ => false,
                    }
            };
            news = self.resolve(at, disproved);
        }
        if let Some(known) = self.alerts.iter_mut().find(|a| a.open() && a.about() == met.about()) {
            if met.backup.is_some() && known.backup == met.backup {
                return news;
            }
            (known.last_seen_at, known.times) = (at, known.times.saturating_add(1));
            (known.backup, known.title, known.detail, known.hint) =
                (met.backup, met.title, met.detail, met.hint);
            news.push(AlertNews::Again(known.clone()));
            return news;
        }
        let (cluster_id, cluster) = met.cluster.filter(|_| met.kind.fault().is_none()).unzip();
        let alert = Alert {
            id: id(),
            kind: met.kind,
            severity: met.kind.severity(),
            cluster_id,
            cluster,
            vault: met.vault,
            backup: met.backup,
            title: met.title,
            detail: met.detail,
            hint: met.hint,
            raised_at: at,
            last_seen_at: at,
            times: 1,
            resolved_at: None,
        };
        self.alerts.push(alert.clone());
        news.push(AlertNews::Raised(alert));
        self.trim();
        news
    }

    /// Those of which this is true are over.
    pub fn resolve(&mut self, at: Timestamp, over: impl Fn(&Alert) -> bool) -> Vec<AlertNews> {
        let mut news = Vec::new();
        for alert in self.alerts.iter_mut().filter(|alert| alert.open()) {
            if over(alert) {
                alert.resolved_at = Some(at);
                news.push(AlertNews::Resolved(alert.clone()));
            }
        }
        news
    }

    /// A vault was asked, and answered.
    pub fn answered(&mut self, vault: &str, at: Timestamp) -> Vec<AlertNews> {
        let says = [AlertKind::VaultUnreachable, AlertKind::VaultRefused];
        self.resolve(at, |alert| says.contains(&alert.kind) && alert.vault.as_deref() == Some(vault))
    }

    /// What works again is over.
    pub fn settle(&mut self, now: &Situation<'_>, at: Timestamp) -> Vec<AlertNews> {
        self.resolve(at, |alert| over(alert, now))
    }

    fn trim(&mut self) {
        while self.alerts.len() > ALERTS_KEPT {
            let oldest = (0..self.alerts.len()).min_by_key(|&at| order(&self.alerts[at]));
            self.alerts.remove(oldest.unwrap_or(0));
        }
    }
}

/// Open ones above those that are over, then by time.
fn order(alert: &Alert) -> (bool, Timestamp, &AlertId) {
    (alert.open(), alert.resolved_at.unwrap_or(alert.raised_at), &alert.id)
}

fn over(alert: &Alert, now: &Situation<'_>) -> bool {
    let vault = alert.vault.as_deref().unwrap_or_default();
    let in_vault = || now.backups.iter().filter(|b| b.vault == vault);
    let mine = || in_vault().filter(|b| Some(&b.of.id) == alert.cluster_id.as_ref());
    let scheduled = || {
        let of = now.schedules.iter().find(|(id, _)| Some(id) == alert.cluster_id.as_ref());
        of.is_some_and(|(_, all)| all.iter().any(|schedule| schedule.vault == vault))
    };
    match alert.kind {
        AlertKind::BackupFailed => !scheduled() || last_try(mine()).is_some_and(Backup::usable),
        AlertKind::BackupDamaged => mine().all(|b| b.state != BackupState::Damaged),
        AlertKind::BackupUntried => {
            let it = mine().find(|b| Some(&b.id) == alert.backup.as_ref());
            let still = it.filter(|b| b.state == BackupState::Stored && b.error.is_some());
            let newer = |old: &Backup, b: &Backup| b.state == BackupState::Verified && b.id > old.id;
            still.is_none_or(|old| mine().any(|b| newer(old, b)))
        }
        AlertKind::VaultUnreachable | AlertKind::VaultFull | AlertKind::VaultRefused => {
            let well = |b: &Backup| b.usable() && Trouble::of(b).is_none_or(|t| t.kind.fault().is_none());
            let read = |b: &Backup| b.verified_at.is_some_and(|at| at > alert.last_seen_at);
            !now.vaults.iter().any(|known| known == vault)
                || last_try(in_vault()).is_some_and(well)
                // Whoever gives back what lies in it answers, but may still take nothing.
                || alert.kind != AlertKind::VaultFull && in_vault().any(read)
        }
        AlertKind::ScheduleWaiting => {
            let begun =
                |b: &Backup| b.reason == BackupReason::Scheduled && b.created_at >= alert.last_seen_at;
            !scheduled() || mine().any(begun)
        }
    }
}

/// The newest that has come to an end. Ids grow with time, also where a clock is set back.
fn last_try<'a>(of: impl Iterator<Item = &'a Backup>) -> Option<&'a Backup> {
    of.filter(|b| b.state != BackupState::Making).max_by_key(|b| &b.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn backup(id: u128, cluster: u128, state: &str, code: Option<&str>) -> Backup {
        let of = json!({"id": ClusterId::new(cluster), "name": "demo", "service": "redis", "version": "7.0", "topology": "single",
            "nodes": 1, "shards": 0, "provider": "local", "region": "local", "plan": "SMALL-1C-1G", "protected": false,
            "auto_failover": false, "options": {}, "parameters": {}});
        serde_json::from_value(json!({"id": BackupId::new(id), "cluster": "demo", "of": of, "kind": "local",
            "reason": "scheduled", "state": state, "vault": "nas", "sealed_for": "", "parts": [], "size_bytes": 0,
            "data_bytes": 0, "created_at": at(id as i64), "ended_at": at(id as i64), "verified_at": null, "expires_at": null,
            "operation": null, "error": code.map(|code| json!({"code": code, "title": "it did not work", "hint": "mend it"}))}))
        .unwrap()
    }

    struct Desk {
        book: AlertBook,
        rows: Vec<Backup>,
        vaults: Vec<String>,
        schedules: Vec<(ClusterId, Vec<BackupSchedule>)>,
        clock: i64,
    }

    impl Desk {
        fn new() -> Self {
            let schedule: BackupSchedule =
                serde_json::from_value(json!({"vault": "nas", "when": "6h"})).unwrap();
            let schedules = [1, 2].map(|n| (ClusterId::new(n), vec![schedule.clone()])).to_vec();
            let vaults = vec!["nas".to_owned()];
            Self { book: AlertBook::default(), rows: Vec::new(), vaults, schedules, clock: 100 }
        }
        /// As the engine does it: what is new is `+`, what was met again `=`, what is over `-`.
        fn put(&mut self, row: Backup) -> Vec<(char, AlertKind)> {
            self.clock += 1;
            let now = at(self.clock);
            let id = AlertId::new(self.clock as u128);
            let mut news = Vec::new();
            if let Some(met) = Trouble::of(&row) {
                news = self.book.raise(met, now, || id);
            }
            self.rows.retain(|known| known.id != row.id);
            self.rows.push(row);
            news.extend(self.settle());
            signs(&news)
        }
        fn settle(&mut self) -> Vec<AlertNews> {
            let now = Situation { backups: &self.rows, schedules: &self.schedules, vaults: &self.vaults };
            self.book.settle(&now, at(self.clock))
        }
    }

    fn signs(news: &[AlertNews]) -> Vec<(char, AlertKind)> {
        let sign = |news: &AlertNews| match news {
            AlertNews::Raised(_) => '+',
            AlertNews::Again(_) => '=',
            AlertNews::Resolved(_) => '-',
        };
        news.iter().map(|news| (sign(news), news.alert().kind)).collect()
    }

    #[test]
    fn a_vault_that_is_away_is_one_alert_for_all_its_clusters_until_a_backup_reaches_it_again() {
        use AlertKind::VaultUnreachable;
        let mut desk = Desk::new();
        let away = Some("vault-unreachable");
        assert_eq!(desk.put(backup(1, 1, "failed", away)), [('+', VaultUnreachable)]);
        assert_eq!(desk.put(backup(1, 1, "failed", away)), [], "the same attempt, told once more");
        assert_eq!(desk.put(backup(2, 2, "failed", away)), [('=', VaultUnreachable)]);
        assert_eq!(desk.put(backup(3, 1, "failed", away)), [('=', VaultUnreachable)]);
        assert_eq!(desk.put(backup(4, 1, "making", None)), [], "nobody knows yet");
        let open = desk.book.list();
        assert_eq!((open.len(), open[0].times, open[0].cluster.as_deref()), (1, 3, None));
        assert!(open[0].detail.contains("It did not work. The backups in it are as they were"), "{open:?}");
        assert_eq!(desk.put(backup(4, 1, "stored", None)), [('-', VaultUnreachable)]);
        assert_eq!(desk.put(backup(5, 1, "failed", away)), [('+', VaultUnreachable)], "a new one");
        assert_eq!(desk.book.list().iter().map(Alert::open).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn faults_of_a_vault_are_told_apart_and_the_one_that_another_disproves_is_over() {
        use AlertKind::{VaultFull, VaultRefused, VaultUnreachable};
        let mut desk = Desk::new();
        desk.put(backup(1, 1, "failed", Some("vault-unreachable")));
        let refused = desk.put(backup(2, 1, "failed", Some("vault-refused")));
        assert_eq!(refused, [('-', VaultUnreachable), ('+', VaultRefused)]);
        let full = desk.put(backup(3, 1, "failed", Some("vault-full")));
        assert_eq!(full, [('-', VaultRefused), ('+', VaultFull)]);
        assert_eq!(signs(&desk.book.answered("nas", at(200))), [], "an answer makes no room");
        desk.vaults.clear();
        assert_eq!(signs(&desk.settle()), [('-', VaultFull)], "the vault was removed");
    }

    #[test]
    fn what_only_another_cluster_can_do_resolves_nothing() {
        use AlertKind::BackupFailed;
        let mut desk = Desk::new();
        assert_eq!(desk.put(backup(1, 1, "failed", Some("blocked"))), [('+', BackupFailed)]);
        assert_eq!(desk.put(backup(2, 2, "verified", None)), []);
        assert_eq!(desk.put(backup(3, 1, "verified", None)), [('-', BackupFailed)]);
        desk.put(backup(4, 1, "failed", Some("blocked")));
        desk.schedules.remove(0);
        assert_eq!(signs(&desk.settle()), [('-', BackupFailed)], "nothing is scheduled any more");
        let mut asked = backup(5, 2, "failed", Some("blocked"));
        asked.reason = BackupReason::Asked;
        assert_eq!(desk.put(asked), [], "whoever asked for it is told by its operation");
    }

    #[test]
    fn a_damaged_backup_stays_told_until_it_is_good_or_gone_and_an_untried_one_until_one_was_tried() {
        use AlertKind::{BackupDamaged, BackupUntried};
        let mut desk = Desk::new();
        assert_eq!(desk.put(backup(1, 1, "damaged", Some("failed"))), [('+', BackupDamaged)]);
        assert_eq!(desk.put(backup(2, 1, "verified", None)), [], "a newer one mends nothing");
        assert_eq!(desk.put(backup(1, 1, "verified", None)), [('-', BackupDamaged)]);
        desk.put(backup(3, 1, "damaged", Some("failed")));
        desk.rows.retain(|row| row.id != BackupId::new(3));
        assert_eq!(signs(&desk.settle()), [('-', BackupDamaged)]);
        assert_eq!(desk.put(backup(4, 1, "stored", None)), [], "nobody wanted it tried");
        assert_eq!(desk.put(backup(5, 1, "stored", Some("untried"))), [('+', BackupUntried)]);
        assert_eq!(desk.put(backup(6, 1, "stored", Some("untried"))), [('=', BackupUntried)]);
        assert_eq!(desk.put(backup(7, 1, "verified", None)), [('-', BackupUntried)]);
    }

    #[test]
    fn a_schedule_that_waits_is_told_once_and_is_over_when_its_backup_begins() {
        let mut desk = Desk::new();
        let mut wait = |minute: i64| {
            let met = Trouble::waiting((ClusterId::new(1), "demo".to_owned()), "nas", "Reboot demo-1");
            signs(&desk.book.raise(met, at(minute), || AlertId::new(minute as u128)))
        };
        assert_eq!(wait(1), [('+', AlertKind::ScheduleWaiting)]);
        assert_eq!(wait(2), [('=', AlertKind::ScheduleWaiting)]);
        assert_eq!(desk.put(backup(3, 1, "making", None)), [('-', AlertKind::ScheduleWaiting)]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_open_alerts_stay_longest() {
        let mut desk = Desk::new();
        desk.put(backup(1, 1, "failed", Some("blocked")));
        for n in 0..ALERTS_KEPT as u128 + 20 {
            desk.put(backup(10 + 2 * n, 2, "failed", Some("blocked")));
            desk.put(backup(11 + 2 * n, 2, "verified", None));
        }
        let all = desk.book.list();
        assert_eq!(all.len(), ALERTS_KEPT);
        assert_eq!(all.iter().filter(|alert| alert.open()).count(), 1);
        assert_eq!(all[0].backup, Some(BackupId::new(1)));
    }
}
