//! Previews, their confirmation, and what an operation wrote down.

use clusterdeck_domain::{OperationState, Preview, PreviewId, StepState};
use clusterdeck_engine::{PreparedPreview, repository::JournalEntry};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A preview that can be confirmed until it expires, unless it has blockers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PreviewAnswer {
    /// What to confirm.
    pub id: PreviewId,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub preview: Preview,
}

impl From<PreparedPreview> for PreviewAnswer {
    fn from(prepared: PreparedPreview) -> Self {
        Self { id: prepared.id, expires_at: prepared.expires_at, preview: prepared.preview }
    }
}

/// Confirms a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Confirmation {
    /// Which.
    pub preview_id: PreviewId,
    /// What the preview's `confirm` asked to be typed.
    #[serde(default)]
    pub typed: Option<String>,
}

/// One line of an operation's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JournalLine {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The step; `null` for the operation itself.
    pub step: Option<String>,
    /// What the step is now.
    pub step_state: Option<StepState>,
    /// What the operation is now.
    pub state: OperationState,
    /// The error or note.
    pub text: Option<String>,
}

impl From<JournalEntry> for JournalLine {
    fn from(entry: JournalEntry) -> Self {
        Self {
            at: entry.at,
            step: entry.step,
            step_state: entry.step_state,
            state: entry.state,
            text: entry.text,
        }
    }
}
