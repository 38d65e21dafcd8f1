//! What the engine needs to be remembered. The store implements these traits; the engine knows no SQL.

use async_trait::async_trait;
use clusterdeck_domain::{
    Backup, BackupId, Change, ClusterId, ClusterObserved, ClusterSpec, LogPiece, Metric, NodeId, Operation,
    OperationId, OperationState, Point, SecretRef, Sensitive, StepState,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why something could not be remembered or recalled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RepositoryError {
    /// A row that must be unique is there already: the name of a cluster, an idempotency key.
    #[error("{what} is there already")]
    Conflict {
        /// What.
        what: String,
    },
    /// The row was changed by somebody else since it was read.
    #[error("{what} has changed in the meantime")]
    Stale {
        /// What.
        what: String,
    },
    /// The disk is full.
    #[error("no space is left on the disk that holds {file}")]
    DiskFull {
        /// Which file.
        file: String,
    },
    /// The file is damaged or cannot be used.
    #[error("{file} cannot be used: {what}")]
    Broken {
        /// Which file.
        file: String,
        /// Why.
        what: String,
    },
}

/// What every repository call returns.
pub type Result<T> = std::result::Result<T, RepositoryError>;

/// An operation with all that is needed to take it up again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRow {
    /// As everybody sees it, with the state of each step.
    pub operation: Operation,
    /// What was confirmed.
    pub change: Change,
    /// What was decided when it was confirmed (ids, addresses) and learned since; the steps' own notebook.
    pub frame: serde_json::Value,
    /// Key that makes a repeated request safe.
    pub idempotency_key: Option<String>,
}

/// One line of the journal. Lines are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Of which operation.
    pub operation: OperationId,
    /// When.
    pub at: Timestamp,
    /// The step, or `None` for the operation itself.
    pub step: Option<String>,
    /// What the step is now.
    pub step_state: Option<StepState>,
    /// What the operation is now.
    pub state: OperationState,
    /// For people: the error, the note.
    pub text: Option<String>,
}

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Number, growing; 0 before it is stored.
    pub id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: `desktop:anna`, `cli:anna`, `token:ci`, `sentinel` for what happened by itself.
    pub actor: String,
    /// What: `promote-node`, `reveal-credentials`, `failover-noticed`.
    pub action: String,
    /// The cluster's id.
    pub cluster_id: Option<ClusterId>,
    /// The cluster's name, kept after it is gone.
    pub cluster: Option<String>,
    /// The node's name.
    pub node: Option<String>,
    /// The operation.
    pub operation: Option<OperationId>,
    /// `asked`, `succeeded`, `failed`, `cancelled`, `refused`, `noticed`.
    pub result: String,
    /// In a sentence. Never a secret.
    pub text: String,
}

impl AuditEntry {
    /// A line that is about nothing in particular yet, of what somebody did.
    pub(crate) fn new(at: Timestamp, actor: &str, action: &str, text: impl Into<String>) -> Self {
        Self {
            id: 0,
            at,
            actor: actor.to_owned(),
            action: action.to_owned(),
            cluster_id: None,
            cluster: None,
            node: None,
            operation: None,
            result: "succeeded".to_owned(),
            text: text.into(),
        }
    }
    /// The same about a cluster.
    pub(crate) fn about(self, id: &ClusterId, name: &str) -> Self {
        Self { cluster_id: Some(id.clone()), cluster: Some(name.to_owned()), ..self }
    }
    /// The same with another result.
    pub(crate) fn result(self, result: &str) -> Self {
        Self { result: result.to_owned(), ..self }
    }
    /// What became of an operation.
    pub(crate) fn of(operation: &Operation, at: Timestamp, result: &str, text: String) -> Self {
        let entry = Self::new(at, &operation.actor, operation.kind.id(), text).result(result);
        Self {
            node: operation.node.clone(),
            operation: Some(operation.id.clone()),
            ..entry.about(&operation.cluster_id, &operation.cluster)
        }
    }
}

/// A page of a list, newest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most so many.
    pub limit: u32,
    /// Where the page before ended, as it said.
    pub cursor: Option<String>,
    /// Only of this cluster.
    pub cluster: Option<ClusterId>,
}

/// The truth: state.db.
#[async_trait]
pub trait StateRepository: Send + Sync {
    /// All clusters by name.
    async fn clusters(&self) -> Result<Vec<ClusterSpec>>;
    /// Adds a cluster whose `generation` is 1, or replaces the one whose generation is one less; else `Stale`.
    /// `Conflict` when the name is another cluster's.
    async fn put_cluster(&self, spec: &ClusterSpec) -> Result<()>;
    /// Forgets a cluster; nothing happens when it is not there. Its operations and audit lines stay.
    async fn remove_cluster(&self, id: &ClusterId) -> Result<()>;

    /// Adds an operation, its first journal line, an audit line, and where given the cluster's new row, in one
    /// transaction. `Conflict` on a known idempotency key.
    async fn create_operation(
        &self,
        row: &OperationRow,
        entry: &JournalEntry,
        audit: &AuditEntry,
        cluster: Option<&ClusterSpec>,
    ) -> Result<()>;
    /// Replaces an operation's row and adds a journal line, in one transaction.
    async fn record(&self, row: &OperationRow, entry: &JournalEntry) -> Result<()>;
    /// All operations that have not ended, oldest first.
    async fn unfinished(&self) -> Result<Vec<OperationRow>>;
    /// One operation.
    async fn operation(&self, id: &OperationId) -> Result<Option<OperationRow>>;
    /// The operation made with this key.
    async fn operation_by_key(&self, key: &str) -> Result<Option<OperationRow>>;
    /// A page of operations, newest first, and the cursor of the next.
    async fn operations(&self, page: &Page) -> Result<(Vec<Operation>, Option<String>)>;
    /// An operation's journal, oldest first.
    async fn journal(&self, id: &OperationId) -> Result<Vec<JournalEntry>>;

    /// Adds a line to the audit trail.
    async fn add_audit(&self, entry: &AuditEntry) -> Result<()>;
    /// A page of the audit trail, newest first, and the cursor of the next.
    async fn audit(&self, page: &Page) -> Result<(Vec<AuditEntry>, Option<String>)>;

    /// All backups there are.
    async fn backups(&self) -> Result<Vec<Backup>>;
    /// Adds a backup, or replaces what is known of it.
    async fn put_backup(&self, backup: &Backup) -> Result<()>;
    /// Forgets a backup; nothing happens when it is not there.
    async fn forget_backup(&self, id: &BackupId) -> Result<()>;

    /// All pieces of logs that are archived.
    async fn log_pieces(&self) -> Result<Vec<LogPiece>>;
    /// Adds a piece, or replaces what is known of it.
    async fn put_log_piece(&self, piece: &LogPiece) -> Result<()>;
    /// Forgets pieces; nothing happens for those that are not there.
    async fn forget_log_pieces(&self, pieces: &[LogPiece]) -> Result<()>;

    /// A setting's JSON.
    async fn setting(&self, key: &str) -> Result<Option<serde_json::Value>>;
    /// Keeps a setting.
    async fn set_setting(&self, key: &str, value: &serde_json::Value) -> Result<()>;
}

/// One round of measurements of one node: a value per [`Metric`], in the order of `METRICS`.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRow {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Of which node.
    pub node: NodeId,
    /// Milliseconds since 1970.
    pub at: i64,
    /// One per metric; `None` where nothing could be measured.
    pub values: Vec<Option<f64>>,
}

/// What may be lost at any time: cache.db.
#[async_trait]
pub trait CacheRepository: Send + Sync {
    /// Keeps what was seen of a cluster last.
    async fn put_observed(&self, cluster: &ClusterId, observed: &ClusterObserved) -> Result<()>;
    /// What was seen last of every cluster.
    async fn observed(&self) -> Result<Vec<(ClusterId, ClusterObserved)>>;
    /// Adds samples.
    async fn add_samples(&self, samples: &[SampleRow]) -> Result<()>;
    /// The points of one metric of one node in `from..to` (milliseconds), one per `step` (mean of what lies in it), from
    /// raw or rolled-up samples, whichever covers the range.
    async fn points(
        &self,
        node: &NodeId,
        metric: Metric,
        from: i64,
        to: i64,
        step: i64,
    ) -> Result<Vec<Point>>;
    /// Rolls up and drops old samples; called now and then. `now` in milliseconds.
    async fn tidy(&self, now: i64) -> Result<()>;
    /// Forgets a cluster's samples and observations.
    async fn forget(&self, cluster: &ClusterId) -> Result<()>;
}

/// Why a secret could not be kept or recalled. Each variant wants another answer from the user.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// There is no keyring service, and no file vault was named.
    #[error("no keyring is running")]
    NoKeyring,
    /// It is there but locked.
    #[error("the keyring is locked")]
    Locked,
    /// It refused.
    #[error("the keyring denied access")]
    Denied,
    /// The file vault's key does not fit, or the file is damaged.
    #[error("the vault cannot be opened: {0}")]
    Vault(String),
    /// Anything else, without any part of a secret in it.
    #[error("the keyring failed: {0}")]
    Failed(String),
}

/// Where secrets live.
#[async_trait]
pub trait SecretRepository: Send + Sync {
    /// What it is, for people: *Secret Service (login keyring)*, *file vault*.
    fn describe(&self) -> String;
    /// Keeps a secret, over the one that was there.
    async fn put(&self, at: &SecretRef, value: &Sensitive<String>) -> std::result::Result<(), SecretError>;
    /// Recalls a secret; `None` when there is none.
    async fn get(&self, at: &SecretRef) -> std::result::Result<Option<Sensitive<String>>, SecretError>;
    /// Forgets a secret; nothing happens when there is none.
    async fn remove(&self, at: &SecretRef) -> std::result::Result<(), SecretError>;
}
