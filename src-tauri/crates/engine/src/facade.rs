//! What the faces see of the engine. Everything an engine can be asked stands in this file.

use crate::{
    backups::Download,
    engine::Shared,
    error::EngineError,
    event::EventHub,
    images::ImageSources,
    repository::{AuditEntry, JournalEntry, OperationRow, Page},
};
use clusterdeck_domain::{
    Alert, AllowEntry, AllowTrial, Backup, BackupFormat, BackupSchedule, Busy, Capacity, Change,
    ClusterHealth, ClusterObserved, ClusterSpec, ClusterState, Exposure, Figures, FormatOffer, Metric,
    NodeId, Operation, OperationId, Plan, Point, PointInTime, Preview, PreviewId, ProviderId, Sensitive,
    ServiceKind, VaultFacts, VaultSpec, WayIn,
};
use clusterdeck_driver::{ProviderCheck, Region};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// What every call returns.
pub type Result<T> = std::result::Result<T, EngineError>;

/// A cluster as it is meant to be and as it was last seen.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterReport {
    /// Meant.
    pub spec: ClusterSpec,
    /// Last seen; `None` when nobody has looked yet.
    pub observed: Option<ClusterObserved>,
    /// In one word.
    pub state: ClusterState,
    /// How well.
    pub health: ClusterHealth,
    /// The operation that holds it.
    pub busy: Option<(OperationId, Busy)>,
    /// The backup that is being made of it.
    pub backing_up: Option<(OperationId, Busy)>,
    /// Its schedules, each with the time at which it is due next.
    pub schedules: Vec<(BackupSchedule, Option<Timestamp>)>,
    /// When the last backup that can be relied on was begun.
    pub last_verified_backup: Option<Timestamp>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointReport>,
}

/// An address of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointReport {
    /// What for.
    pub kind: EndpointKind,
    /// Where.
    pub host: String,
    /// On which port.
    pub port: u16,
    /// Whether it passes traffic; `None` when nobody knows.
    pub up: Option<bool>,
    /// Other computers come in there.
    pub exposed: bool,
}

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum EndpointKind {
    ReadWrite,
    ReadOnly,
    Admin,
    Node,
}

/// A preview that can be confirmed until it expires.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedPreview {
    /// Its id.
    pub id: PreviewId,
    /// What it says.
    pub preview: Preview,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The way in for people.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password, when it was asked to be shown.
    pub password: Option<Sensitive<String>>,
    /// Ready to paste, with the password, when it was asked to be shown.
    pub url: Option<Sensitive<String>>,
}

/// Where somebody asks from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// From this computer.
    Here,
    /// From this address.
    At(IpAddr),
    /// Nobody does: its time has come.
    Schedule,
}

/// Who may reach a cluster, and where that is held to.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessReport {
    /// All that may come in; empty: open.
    pub entries: Vec<AllowEntry>,
    /// A list that is being tried in its place, and the operation that waits for somebody to keep it.
    pub trial: Option<(AllowTrial, Option<OperationId>)>,
    /// The address from which whoever asks reaches the endpoints, and whether it comes in; `None` when that could not be found
    /// out.
    pub your_address: Option<(IpAddr, bool)>,
    /// The ways to the servers.
    pub ways: Vec<WayIn>,
    /// Where other computers reach the endpoints.
    pub exposure: Option<Exposure>,
    /// Addresses at which they could.
    pub addresses: Vec<IpAddr>,
    /// Why nobody can be let in from other computers there, in sentences.
    pub not_exposable: Option<String>,
}

/// The key that backups of a home are sealed for.
#[derive(Debug, Clone)]
pub struct BackupKeyReport {
    /// The half that encrypts; `None` where no backup was ever made.
    pub public: Option<String>,
    /// The half that opens, when it was asked to be shown.
    pub secret: Option<Sensitive<String>>,
    /// When it was last shown.
    pub exported_at: Option<Timestamp>,
}

/// A service of the catalogue and whether it can run here.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceReport {
    /// Which.
    pub service: ServiceKind,
    /// A driver exists.
    pub has_driver: bool,
    /// What each place has of it, in the order of the providers.
    pub places: Vec<PlaceReport>,
}

impl ServiceReport {
    /// The place that speaks for all where only one is told: the first that lacks nothing, else the first, since what is
    /// missing there is what a person can install.
    pub fn first(&self) -> Option<&PlaceReport> {
        self.places.iter().find(|place| place.ready()).or(self.places.first())
    }
}

/// What a region of a provider has of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceReport {
    /// Which provider.
    pub provider: ProviderId,
    /// Its name for people.
    pub name: String,
    /// Which of its regions; `None` where it has none that can be used.
    pub region: Option<String>,
    /// What it can carry; nothing where it could not be asked.
    pub capacity: Capacity,
    /// Why it could not be asked.
    pub problem: Option<String>,
}

impl PlaceReport {
    /// The service can be created there right now.
    pub fn ready(&self) -> bool {
        self.problem.is_none() && self.capacity.missing.is_empty() && !self.capacity.versions.is_empty()
    }
}

/// A provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderReport {
    /// Its id.
    pub id: ProviderId,
    /// Its name for people.
    pub name: String,
    /// What it says about itself.
    pub check: ProviderCheck,
}

/// A piece of a unit's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogPage {
    /// Which unit.
    pub unit: String,
    /// All units of the node.
    pub units: Vec<String>,
    /// Lines, oldest first.
    pub lines: Vec<String>,
    /// Where to go on.
    pub next: u64,
}

/// Settings of a home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Settings {
    /// Figures of the safety rules.
    pub figures: Figures,
    /// Closing the window keeps watching from the tray.
    pub close_to_tray: bool,
    /// Desktop notifications.
    pub notifications: bool,
    /// `system`, `light` or `dark`.
    pub theme: String,
    /// Where images of servers come from, for providers that work with images.
    pub images: ImageSources,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            figures: Figures::default(),
            close_to_tray: true,
            notifications: true,
            theme: "system".to_owned(),
            images: ImageSources::default(),
        }
    }
}

/// A running engine. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

impl Engine {
    /// All clusters by name.
    pub async fn clusters(&self) -> Vec<ClusterReport> {
        self.shared.reports()
    }
    /// A cluster by name or id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn cluster(&self, name_or_id: &str) -> Result<ClusterReport> {
        self.shared.report(name_or_id)
    }
    /// The cluster of a node, and the node, by the node's name or id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn node(&self, name_or_id: &str) -> Result<(ClusterReport, NodeId)> {
        self.shared.report_of_node(name_or_id)
    }
    /// The client of a terminal for a node's server.
    ///
    /// # Errors
    /// `NotFound`; `Driver` where there is none.
    pub async fn client(&self, node: &str) -> Result<clusterdeck_driver::ClientCommand> {
        crate::inventory::client(&self.shared, node).await
    }
    /// What can be set in the servers of a cluster, and what is in force; empty where nothing can.
    ///
    /// # Errors
    /// `NotFound`, and the driver's when nobody answers.
    pub async fn parameters(&self, cluster: &str) -> Result<Vec<clusterdeck_domain::Parameter>> {
        crate::inventory::parameters(&self.shared, &self.shared.find(cluster)?).await
    }
    /// What a change would do. Looks at the cluster again first when it was last seen too long ago.
    ///
    /// # Errors
    /// Only when facts cannot be collected at all; a subject that does not exist is a blocker of the preview.
    pub async fn preview(&self, change: Change) -> Result<PreparedPreview> {
        self.preview_from(change, Asker::Here).await
    }
    /// The same for somebody who asks from elsewhere.
    ///
    /// # Errors
    /// The same.
    pub async fn preview_from(&self, change: Change, asker: Asker) -> Result<PreparedPreview> {
        crate::door::preview(&self.shared, change, asker).await
    }
    /// Who may reach a cluster, and where that is held to.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn access(&self, cluster: &str, asker: Asker) -> Result<AccessReport> {
        crate::access::report(&self.shared, cluster, asker).await
    }
    /// Confirms a preview: makes the operation and starts it. With an idempotency key that was used before, returns the
    /// operation made then.
    ///
    /// # Errors
    /// `PreviewExpired`, `PreviewStale`, `Blocked`, `ConfirmationMissing`, `Busy`, `ShuttingDown`.
    pub async fn confirm(
        &self,
        preview: &PreviewId,
        typed: Option<&str>,
        actor: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Operation> {
        crate::door::confirm(&self.shared, preview, typed, actor, idempotency_key).await
    }
    /// A page of operations, newest first, and the cursor of the next; `unfinished` leaves out those that have ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn operations(
        &self,
        page: &Page,
        unfinished: bool,
    ) -> Result<(Vec<Operation>, Option<String>)> {
        if unfinished {
            let rows = self.shared.state.unfinished().await?;
            let mine = rows.into_iter().map(|row| self.freshest(row.operation));
            let of = |op: &Operation| page.cluster.as_ref().is_none_or(|c| *c == op.cluster_id);
            return Ok((mine.filter(of).collect(), None));
        }
        let (operations, next) = self.shared.state.operations(page).await?;
        Ok((operations.into_iter().map(|o| self.freshest(o)).collect(), next))
    }
    /// The store knows an operation as of its last step; the process that runs it knows its progress.
    fn freshest(&self, stored: Operation) -> Operation {
        if stored.state.is_final() {
            return stored;
        }
        crate::runner::under_way(&self.shared, &stored.id).map_or(stored, |row| row.operation)
    }
    /// An operation.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn operation(&self, id: &OperationId) -> Result<Operation> {
        Ok(self.freshest(self.row(id).await?.operation))
    }
    /// An operation's journal.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn journal(&self, id: &OperationId) -> Result<Vec<JournalEntry>> {
        self.row(id).await?;
        Ok(self.shared.state.journal(id).await?)
    }
    async fn row(&self, id: &OperationId) -> Result<OperationRow> {
        let row = self.shared.state.operation(id).await?;
        row.ok_or_else(|| EngineError::NotFound { what: format!("operation {id}") })
    }
    /// Asks an operation to stop; it unwinds what it did, unless it is past the point where that is possible.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when it has ended or can no longer be stopped.
    pub async fn cancel(&self, id: &OperationId, actor: &str) -> Result<Operation> {
        crate::runner::cancel(&self.shared, id, actor).await
    }
    /// Keeps what an operation changed and would take back by itself.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when it waits for nobody, or it is too late.
    pub async fn keep(&self, id: &OperationId, actor: &str) -> Result<Operation> {
        crate::runner::keep(&self.shared, id, actor).await
    }
    /// Takes an operation up again that failed where there is no way back, at the step that failed.
    ///
    /// # Errors
    /// `NotFound`; `Busy`; `Invalid` when it can't be taken up, or something else was done to the cluster since.
    pub async fn retry(&self, id: &OperationId, actor: &str) -> Result<Operation> {
        crate::runner::retry(&self.shared, id, actor).await
    }
    /// Waits until an operation has ended and returns it.
    ///
    /// # Errors
    /// `NotFound`; `ShuttingDown` when the engine ends first.
    pub async fn wait(&self, id: &OperationId) -> Result<Operation> {
        crate::runner::wait(&self.shared, id).await
    }
    /// The way in for people; `reveal` is written to the audit trail.
    ///
    /// # Errors
    /// `NotFound`, `Secret`.
    pub async fn credentials(&self, cluster: &str, reveal: bool, actor: &str) -> Result<Credentials> {
        crate::passwords::credentials(&self.shared, cluster, reveal, actor).await
    }
    /// A page of the audit trail, newest first, and the cursor of the next.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit(&self, page: &Page) -> Result<(Vec<AuditEntry>, Option<String>)> {
        Ok(self.shared.state.audit(page).await?)
    }
    /// The alerts: open ones first, then by time, the newest first.
    pub async fn alerts(&self) -> Vec<Alert> {
        crate::alerts::all(&self.shared).await
    }
    /// All backups, the newest first; of one cluster when that is named, also of one that is gone.
    pub async fn backups(&self, cluster: Option<&str>) -> Vec<Backup> {
        let mut found = crate::backups::all(&self.shared);
        if let Some(cluster) = cluster {
            let is = |b: &Backup| b.cluster == cluster || b.of.id.as_str() == cluster;
            found.retain(is);
        }
        found
    }
    /// A backup by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn backup(&self, id: &str) -> Result<Backup> {
        crate::backups::find(&self.shared, id)
    }
    /// Which moments a cluster can be brought back to: one that is there, by name or id, or the one that a backup is of.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn point_in_time(&self, cluster_or_backup: &str) -> Result<PointInTime> {
        let cluster = match crate::backups::find(&self.shared, cluster_or_backup) {
            Ok(backup) => backup.of.id,
            Err(_) => self.shared.find(cluster_or_backup)?.spec.id,
        };
        Ok(crate::backups::log::report(&self.shared, &cluster))
    }
    /// A backup as one file for people: its name, and its content, which fails where the backup cannot be read to its end. It is
    /// not encrypted, and written to the audit trail. For a logical one a server is started on a throw-away machine, which is
    /// given back when the content was read or dropped; this returns when the first of it is there, or after a minute.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` where there is none in this format; `Busy` while another one is dumped; `Driver`.
    pub async fn download(&self, id: &str, format: BackupFormat, actor: &str) -> Result<(String, Download)> {
        crate::backups::download(&self.shared, id, format, actor).await
    }
    /// In which formats a backup can be handed out.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn backup_formats(&self, id: &str) -> Result<Vec<FormatOffer>> {
        crate::backups::formats(&self.shared, id)
    }
    /// The vaults there are, and whether each can be used.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn vaults(&self) -> Result<Vec<VaultFacts>> {
        crate::backups::vaults(&self.shared).await
    }
    /// Adds a vault, once it has answered. Its secret goes to the keyring.
    ///
    /// # Errors
    /// `Invalid` with the member that is wrong; the vault's own words when it does not answer; `Secret`.
    pub async fn add_vault(
        &self,
        spec: VaultSpec,
        secret: Option<Sensitive<String>>,
        actor: &str,
    ) -> Result<VaultFacts> {
        crate::backups::add_vault(&self.shared, spec, secret, actor).await
    }
    /// Gives a vault that was added another secret, and one of S3 another access key with it, once it has answered to them: rotated
    /// elsewhere, or lost with a keyring. What lies in it stays.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` with the member that is wrong; the vault's own words when it does not take the new one: the one
    /// before stays; `Secret`.
    pub async fn change_vault_secret(
        &self,
        id: &str,
        secret: Sensitive<String>,
        access_key: Option<String>,
        actor: &str,
    ) -> Result<VaultFacts> {
        crate::backups::change_vault_secret(&self.shared, id, secret, access_key, actor).await
    }
    /// Whether a place could be a vault, without keeping or making anything.
    ///
    /// # Errors
    /// `Invalid` with the member that is wrong; the vault's own words when it does not answer.
    pub async fn try_vault(
        &self,
        spec: VaultSpec,
        secret: Option<Sensitive<String>>,
    ) -> Result<clusterdeck_driver::VaultTrial> {
        crate::backups::try_vault(&self.shared, spec, secret).await
    }
    /// Asks a vault now. One that answers is no longer told as unreachable.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn check_vault(&self, id: &str) -> Result<VaultFacts> {
        crate::backups::check_vault(&self.shared, id).await
    }
    /// Forgets a vault that no backup lies in and no schedule leads to. Nothing in it is touched.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` while it is used.
    pub async fn remove_vault(&self, id: &str, actor: &str) -> Result<()> {
        crate::backups::remove_vault(&self.shared, id, actor).await
    }
    /// The key that backups are sealed for; `reveal` is written to the audit trail.
    ///
    /// # Errors
    /// `Secret`; when the store fails.
    pub async fn backup_key(&self, reveal: bool, actor: &str) -> Result<BackupKeyReport> {
        crate::backups::report_key(&self.shared, reveal, actor).await
    }
    /// Brings back a key, so that what was sealed for it can be read. The one in force stays.
    ///
    /// # Errors
    /// `Invalid`, `Secret`.
    pub async fn import_backup_key(&self, text: Sensitive<String>, actor: &str) -> Result<BackupKeyReport> {
        crate::backups::import_key(&self.shared, text, actor).await
    }
    /// Every service and what each place has of it; a place that cannot be asked says why.
    ///
    /// # Errors
    /// None at present.
    pub async fn services(&self) -> Result<Vec<ServiceReport>> {
        crate::inventory::services(&self.shared).await
    }
    /// Every provider.
    ///
    /// # Errors
    /// When one cannot be asked.
    pub async fn providers(&self) -> Result<Vec<ProviderReport>> {
        crate::inventory::providers(&self.shared).await
    }
    /// A provider's regions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn regions(&self, provider: &str) -> Result<Vec<Region>> {
        Ok(self.shared.provider(provider)?.regions().await?)
    }
    /// A provider's plans in a region (its first when `None`).
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn plans(&self, provider: &str, region: Option<&str>) -> Result<Vec<Plan>> {
        crate::inventory::plans(&self.shared.provider(provider)?, region).await
    }
    /// Points of one metric of one node in `from..to`, one per `step`, all in milliseconds.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn points(
        &self,
        node: &NodeId,
        metric: Metric,
        from: i64,
        to: i64,
        step: i64,
    ) -> Result<Vec<Point>> {
        Ok(self.shared.cache.points(node, metric, from, to, step).await?)
    }
    /// A piece of a node's log: the last `lines` lines, or those after a position. `unit` defaults to the server's.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn log(
        &self,
        node: &str,
        unit: Option<&str>,
        lines: usize,
        after: Option<u64>,
    ) -> Result<LogPage> {
        crate::inventory::log(&self.shared, node, unit, lines, after).await
    }
    /// The settings.
    pub async fn settings(&self) -> Settings {
        self.shared.settings()
    }
    /// Keeps new settings.
    ///
    /// # Errors
    /// `Invalid` with the member that is wrong; when the store fails.
    pub async fn set_settings(&self, settings: Settings) -> Result<()> {
        self.shared.set_settings(settings).await
    }
    /// The notices.
    pub fn events(&self) -> &EventHub {
        &self.shared.events
    }
    /// What keeps the secrets, for people.
    pub fn secrets(&self) -> String {
        self.shared.secrets.describe()
    }
    /// When this engine started.
    pub fn started_at(&self) -> Timestamp {
        self.shared.started_at
    }
    /// Waits until no operation is under way.
    pub async fn idle(&self) {
        crate::runner::idle(&self.shared).await;
    }
    /// Takes no new operation, waits at most `patience` for those under way, then lets go of the rest: they go on when
    /// an engine starts the next time. Servers keep running.
    pub async fn shutdown(&self, patience: Duration) {
        crate::engine::shutdown(&self.shared, patience).await;
    }
}
