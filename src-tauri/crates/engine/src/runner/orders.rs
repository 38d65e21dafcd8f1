//! What may be asked of an operation: cancel it, take it up again, wait for it.

use super::{launch, record::notify};
use crate::{
    engine::Shared,
    error::EngineError,
    event::Level,
    facade::Result,
    repository::{JournalEntry, OperationRow, Page},
};
use clusterdeck_domain::{Busy, Operation, OperationId, OperationState};
use std::sync::{Arc, PoisonError};

/// See [`crate::Engine::cancel`].
pub(crate) async fn cancel(shared: &Arc<Shared>, id: &OperationId, actor: &str) -> Result<Operation> {
    let found = {
        let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(id).map(|r| (r.cancel.clone(), r.record.clone()))
    };
    let Some((token, record)) = found else {
        let row = shared.state.operation(id).await?;
        let row = row.ok_or_else(|| EngineError::NotFound { what: format!("operation {id}") })?;
        let what = format!("`{}` has ended already", row.operation.title);
        return Err(EngineError::Invalid { what, pointer: String::new() });
    };
    let row = record.snapshot();
    if !row.operation.cancellable {
        let what = format!("`{}` is past the point where it can be taken back", row.operation.title);
        return Err(EngineError::Invalid { what, pointer: String::new() });
    }
    record.edit(|operation| operation.cancel_requested = true);
    let row = record.snapshot();
    let entry = JournalEntry {
        operation: id.clone(),
        at: shared.now(),
        step: None,
        step_state: None,
        state: row.operation.state,
        text: Some(format!("{actor} asked to cancel")),
    };
    shared.state.record(&row, &entry).await?;
    token.cancel();
    notify(shared, &row.operation, Level::Info);
    Ok(row.operation)
}

/// See [`crate::Engine::keep`].
pub(crate) async fn keep(shared: &Arc<Shared>, id: &OperationId, actor: &str) -> Result<Operation> {
    let invalid = |what: String| EngineError::Invalid { what, pointer: String::new() };
    let record = {
        let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(id).map(|r| r.record.clone())
    };
    let Some(record) = record else {
        let row = shared.state.operation(id).await?;
        let row = row.ok_or_else(|| EngineError::NotFound { what: format!("operation {id}") })?;
        return Err(invalid(format!("`{}` has ended already", row.operation.title)));
    };
    // Decided where the step that waits decides: what is kept here is not taken back there.
    let kept = record.edit(|operation| match &mut operation.trial {
        _ if operation.state.is_final() => Err(invalid(format!("`{}` has ended already", operation.title))),
        Some(trial) if trial.kept => Ok(false),
        Some(trial) if operation.state == OperationState::Waiting && shared.now() < trial.until => {
            trial.kept = true;
            Ok(true)
        }
        Some(_) => Err(invalid(format!("`{}` was not kept in time and is taken back", operation.title))),
        None => Err(invalid(format!("`{}` does not wait to be kept", operation.title))),
    })?;
    let row = record.snapshot();
    if kept {
        let entry = JournalEntry {
            operation: id.clone(),
            at: shared.now(),
            step: None,
            step_state: None,
            state: row.operation.state,
            text: Some(format!("{actor} kept it")),
        };
        shared.state.record(&row, &entry).await?;
        notify(shared, &row.operation, Level::Info);
    }
    Ok(row.operation)
}

/// See [`crate::Engine::retry`].
pub(crate) async fn retry(shared: &Arc<Shared>, id: &OperationId, actor: &str) -> Result<Operation> {
    let invalid = |what: String| EngineError::Invalid { what, pointer: String::new() };
    if shared.closing.is_cancelled() {
        return Err(EngineError::ShuttingDown);
    }
    let row = shared.state.operation(id).await?;
    let mut row = row.ok_or_else(|| EngineError::NotFound { what: format!("operation {id}") })?;
    let title = row.operation.title.clone();
    if !row.operation.retryable {
        return Err(invalid(format!("`{title}` cannot be taken up again: ask for a new preview instead")));
    }
    let cluster = row.operation.cluster_id.clone();
    let page = Page { limit: 1, cursor: None, cluster: Some(cluster.clone()) };
    let (latest, _) = shared.state.operations(&page).await?;
    if latest.first().is_some_and(|newest| newest.id != *id) {
        return Err(invalid(format!(
            "something else was done to the cluster since `{title}`: ask for a new preview"
        )));
    }
    {
        let mut clusters = shared.lock_clusters();
        let live = clusters.get_mut(&cluster);
        let live = live.ok_or_else(|| EngineError::NotFound { what: format!("cluster {cluster}") })?;
        if let Some((_, busy)) = &live.busy {
            return Err(EngineError::Busy { title: busy.title.clone() });
        }
        live.busy = Some((id.clone(), Busy { kind: row.operation.kind, title }));
    }
    row.operation.state = OperationState::Queued;
    row.operation.retryable = false;
    row.operation.error = None;
    row.operation.ended_at = None;
    let entry = JournalEntry {
        operation: id.clone(),
        at: shared.now(),
        step: None,
        step_state: None,
        state: OperationState::Queued,
        text: Some(format!("{actor} took it up again")),
    };
    if let Err(error) = shared.state.record(&row, &entry).await {
        if let Some(live) = shared.lock_clusters().get_mut(&cluster) {
            live.busy = None;
        }
        return Err(error.into());
    }
    launch(shared, row.clone());
    Ok(row.operation)
}

/// See [`crate::Engine::wait`].
pub(crate) async fn wait(shared: &Arc<Shared>, id: &OperationId) -> Result<Operation> {
    let ended = {
        let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(id).map(|r| r.ended.clone())
    };
    if let Some(mut ended) = ended {
        // An error means that the sender is gone, which is an end too.
        drop(ended.wait_for(|ended| *ended).await);
    }
    let row = match under_way(shared, id) {
        Some(row) => Some(row),
        None => shared.state.operation(id).await?,
    };
    let row = row.ok_or_else(|| EngineError::NotFound { what: format!("operation {id}") })?;
    if row.operation.state.is_final() { Ok(row.operation) } else { Err(EngineError::ShuttingDown) }
}

/// The operation as it is right now, when it is under way in this process.
pub(crate) fn under_way(shared: &Shared, id: &OperationId) -> Option<OperationRow> {
    let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
    running.get(id).map(|r| r.record.snapshot())
}

/// Waits until no operation is under way.
pub(crate) async fn idle(shared: &Arc<Shared>) {
    loop {
        let next = {
            let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.values().find(|r| !*r.ended.borrow()).map(|r| r.ended.clone())
        };
        let Some(mut ended) = next else { return };
        if ended.wait_for(|ended| *ended).await.is_err() || shared.stopped.is_cancelled() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
