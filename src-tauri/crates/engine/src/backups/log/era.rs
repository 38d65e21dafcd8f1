//! Pasts of a cluster. What it holds may be replaced by what a backup holds; its servers then begin another history under names
//! that they had before. The archive keeps both, and leads from a backup only through its own.

use super::with;
use crate::{engine::Shared, facade::Result, repository::StateRepository};
use clusterdeck_domain::{ClusterId, LogMark, OperationId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// When a past began, and what began it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Era {
    pub(super) at: Timestamp,
    operation: OperationId,
    /// Up to which moment the past before it was archived, where that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<LogMark>,
}

fn key(cluster: &ClusterId) -> String {
    format!("log-eras/{cluster}")
}

pub(super) async fn read(state: &dyn StateRepository, cluster: &ClusterId) -> Result<Vec<Era>> {
    let kept = state.setting(&key(cluster)).await?;
    Ok(kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default())
}

async fn change(shared: &Shared, cluster: &ClusterId, edit: impl Fn(&mut Vec<Era>)) -> Result<()> {
    let mut eras = with(shared, cluster, |archive| archive.eras.clone());
    let before = eras.clone();
    edit(&mut eras);
    if eras == before {
        return Ok(());
    }
    let value = serde_json::to_value(&eras).unwrap_or_default();
    shared.state.set_setting(&key(cluster), &value).await?;
    with(shared, cluster, |archive| {
        archive.eras = eras;
        (archive.head, archive.hole_since, archive.fresh) = (None, None, true);
        archive.pending.clear();
    });
    Ok(())
}

/// What a cluster holds is replaced: once for each operation.
pub(crate) async fn begin(shared: &Shared, cluster: &ClusterId, operation: &OperationId) -> Result<()> {
    let at = shared.now();
    let left = with(shared, cluster, |archive| archive.head().copied());
    change(shared, cluster, |eras| {
        if eras.iter().all(|era| era.operation != *operation) {
            eras.push(Era { at, operation: operation.clone(), left });
        }
    })
    .await
}

/// It is not, after all.
pub(crate) async fn end(shared: &Shared, cluster: &ClusterId, operation: &OperationId) -> Result<()> {
    change(shared, cluster, |eras| eras.retain(|era| era.operation != *operation)).await
}
