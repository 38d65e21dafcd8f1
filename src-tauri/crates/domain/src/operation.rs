//! A confirmed change under way, as everybody sees it.

use crate::{BackupId, ChangeKind, ClusterId, Migrated, OperationId, Unit};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// Waits for the one before it.
    Queued,
    /// Runs a step.
    Running,
    /// Waits for something outside before it tries again.
    Waiting,
    /// Takes back what it did.
    Unwinding,
    /// Done.
    Succeeded,
    /// Not done; what it had begun was taken back unless the error says otherwise.
    Failed,
    /// Stopped by a person; taken back.
    Cancelled,
}

impl OperationState {
    /// Nothing more will happen.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum StepState {
    Pending,
    Running,
    Succeeded,
    Failed,
    Undoing,
    Undone,
}

/// How far a step that measures itself has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// Of how much; 0 while nobody knows.
    pub total: u64,
    /// What is counted.
    #[serde(default = "things")]
    pub unit: Unit,
}

/// What older rows counted without saying so.
const fn things() -> Unit {
    Unit::Count
}

/// What went wrong, in the words of the API's problems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// From the closed list of codes.
    pub code: String,
    /// What happened.
    pub title: String,
    /// What it means for the data.
    #[serde(default)]
    pub detail: String,
    /// What to do.
    #[serde(default)]
    pub hint: String,
}

/// One step as everybody sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepRecord {
    /// Stable within the operation's kind; what the journal names.
    pub name: String,
    /// In words: *Start the servers*.
    pub title: String,
    /// Where it is.
    pub state: StepState,
    /// What it is doing right now, when it has something to say.
    #[serde(default)]
    pub note: Option<String>,
    /// Measured progress.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// First start.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// End.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Problem>,
}

/// What an operation has to report at its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Outcome {
    /// How long writes were not possible, as measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_gap_ms: Option<f64>,
    /// Names of the nodes that were made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The backup that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// What came of a migration, and how both sides compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migrated>,
    /// Notes worth keeping (diverged writes set aside, a node left out).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What was changed comes back by itself unless somebody keeps it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trial {
    /// Until when it can be kept.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// Somebody has.
    pub kept: bool,
}

/// An operation as everybody sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub kind: ChangeKind,
    /// In words: *Promote demo-2*.
    pub title: String,
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// The cluster's name.
    pub cluster: String,
    /// The node it is about, by name.
    #[serde(default)]
    pub node: Option<String>,
    /// Where it is.
    pub state: OperationState,
    /// Somebody asked it to stop.
    #[serde(default)]
    pub cancel_requested: bool,
    /// Whether asking it to stop would still help.
    #[serde(default)]
    pub cancellable: bool,
    /// It failed where there is no way back, and can be taken up again at the step that failed.
    #[serde(default)]
    pub retryable: bool,
    /// It waits until somebody keeps what it changed, or takes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Its steps in order.
    pub steps: Vec<StepRecord>,
    /// What it has to report.
    #[serde(default)]
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<Problem>,
    /// Who asked for it.
    pub actor: String,
    /// When it was confirmed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}
