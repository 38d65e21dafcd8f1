//! Drives operations: every step is written to the journal before it runs and after it ended, so that whoever finds the
//! row after a kill knows where to go on. A failure or a cancel takes back what was done, in reverse order.

mod orders;
mod record;

pub(crate) use orders::{cancel, idle, keep, retry, under_way, wait};
pub(crate) use record::{Record, chain};

use crate::{
    engine::{Running, Shared},
    error::EngineError,
    event::Level,
    facade::Result,
    operations::Plan,
    repository::{AuditEntry, JournalEntry, OperationRow},
    step::{Step, StepContext},
    watch,
};
use clusterdeck_domain::{Busy, ChangeKind, OperationId, OperationState, StepRecord, StepState};
use clusterdeck_driver::DriverError;
use futures::FutureExt;
use record::{notify, summary};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch as channel,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// First and longest pause before a step that may work in a moment is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long taking one step back may go without progress, where the step itself may not go longer.
const UNDO_DEADLINE: Duration = Duration::from_secs(60);

/// How the note begins that an operation bears while its end is known to this process only.
const NOT_WRITTEN: &str = "This end could not be written down; if it still cannot be when Clusterdeck ends, the next start \
                           takes the operation up again and may bring it to its end";

/// Takes an operation up, from its start or from where an earlier process left it.
pub(crate) fn launch(shared: &Arc<Shared>, row: OperationRow) {
    let operation = &row.operation;
    let cancel = CancellationToken::new();
    if operation.cancel_requested {
        cancel.cancel();
    }
    let (ended, listen) = channel::channel(false);
    let record = Record::new(row.clone());
    let running = Running { cancel: cancel.clone(), ended: listen, record: record.clone() };
    shared.running.lock().unwrap_or_else(PoisonError::into_inner).insert(operation.id.clone(), running);
    if let Some(live) = shared.lock_clusters().get_mut(&operation.cluster_id) {
        let busy =
            Some((operation.id.clone(), Busy { kind: operation.kind, title: operation.title.clone() }));
        match operation.kind {
            ChangeKind::BackUp => live.backing_up = busy,
            kind if kind.goes_beside() => {}
            _ => live.busy = busy,
        }
    }
    if let Ok(plan) = serde_json::from_value::<Plan>(row.frame.clone()) {
        plan.hold_what_it_borrows(shared);
    }
    let id = operation.id.clone();
    let (owner, ours) = (shared.clone(), ended.subscribe());
    shared.tasks.spawn(async move {
        let run = Run { shared: owner.clone(), record, cancel, unwritten: Mutex::default() };
        tokio::select! {
            () = owner.stopped.cancelled() => {}
            () = async {
                run.drive().await;
                // Whoever waits hears it now, also when it cannot be written down.
                ended.send_replace(true);
                run.written().await;
                let mut running = owner.running.lock().unwrap_or_else(PoisonError::into_inner);
                // Whoever heard of the end may have taken the operation up again by now.
                if running.get(&id).is_some_and(|r| r.ended.same_channel(&ours)) {
                    running.remove(&id);
                }
            } => {}
        }
        ended.send_replace(true);
    });
}

/// What might have worked in a moment, and did not in time. What is wrong with a vault stays what it is.
fn in_the_end(error: DriverError) -> DriverError {
    match error {
        DriverError::Transient { what } => {
            DriverError::rejected(what, "It did not get better in time. Look at the logs of its nodes.")
        }
        DriverError::Vault { fault, what, hint, .. } => DriverError::vault(fault, what, hint),
        other => other,
    }
}

struct Run {
    shared: Arc<Shared>,
    record: Record,
    cancel: CancellationToken,
    /// The last line of the journal, when it could not be written.
    unwritten: Mutex<Option<JournalEntry>>,
}

enum End {
    Done,
    Cancelled,
    Failed(EngineError),
}

impl Run {
    async fn drive(&self) {
        let row = self.record.snapshot();
        let span = tracing::info_span!("operation", id = %row.operation.id, kind = row.operation.kind.id(), cluster = %row.operation.cluster);
        let plan: Plan = match serde_json::from_value(row.frame.clone()) {
            Ok(plan) => plan,
            Err(error) => {
                let what = format!(
                    "the plan of this operation cannot be read ({error}); it was written by another version"
                );
                return self.end(OperationState::Failed, Some(DriverError::broken(what).into())).await;
            }
        };
        let steps = plan.steps();
        let end = if row.operation.state == OperationState::Unwinding {
            // An earlier process had begun to take it back; why is in the row.
            None
        } else {
            Some(self.forward(&steps).instrument(span).await)
        };
        match end {
            Some(End::Done) => self.end(OperationState::Succeeded, None).await,
            Some(End::Cancelled) => self.unwind(&steps, None, OperationState::Cancelled).await,
            Some(End::Failed(error)) if self.past_return(&steps) => {
                self.record.edit(|operation| operation.retryable = true);
                self.end(OperationState::Failed, Some(error)).await;
            }
            Some(End::Failed(error)) => self.unwind(&steps, Some(error), OperationState::Failed).await,
            None => {
                let failed = row.operation.error.is_some();
                let state = if failed { OperationState::Failed } else { OperationState::Cancelled };
                self.unwind(&steps, None, state).await;
            }
        }
    }

    fn past_return(&self, steps: &[Step]) -> bool {
        self.begun(steps, |step| step.no_return)
    }

    fn past_cancel(&self, steps: &[Step]) -> bool {
        self.begun(steps, |step| step.no_return || step.no_cancel)
    }

    fn begun(&self, steps: &[Step], kind: impl Fn(&Step) -> bool) -> bool {
        let states: Vec<StepState> = self.record.edit(|o| o.steps.iter().map(|s| s.state).collect());
        steps.iter().zip(states).any(|(step, state)| kind(step) && state != StepState::Pending)
    }

    async fn forward(&self, steps: &[Step]) -> End {
        for (index, step) in steps.iter().enumerate() {
            if self.state(index) == StepState::Succeeded {
                continue;
            }
            if self.cancel.is_cancelled() && !self.past_cancel(steps) {
                return End::Cancelled;
            }
            let running = if step.waits { OperationState::Waiting } else { OperationState::Running };
            if let Err(error) = self.note(index, StepState::Running, running, None, steps).await {
                return End::Failed(error);
            }
            self.fault(&step.name, "before");
            let cancellable = !self.past_cancel(steps);
            let attempt = self.attempt(index, step, &step.run, step.deadline);
            let result = tokio::select! {
                biased;
                result = attempt => result,
                () = self.cancel.cancelled(), if cancellable => return End::Cancelled,
            };
            self.fault(&step.name, "after");
            match result {
                Ok(()) => {
                    if let Err(error) =
                        self.note(index, StepState::Succeeded, OperationState::Running, None, steps).await
                    {
                        return End::Failed(error);
                    }
                    self.fault(&step.name, "noted");
                }
                Err(error) => {
                    tracing::warn!(step = %step.name, error = %chain(&error), "a step failed");
                    // The operation fails either way; a store that cannot take this line is reported by the end.
                    drop(
                        self.note(index, StepState::Failed, OperationState::Running, Some(&error), steps)
                            .await,
                    );
                    return End::Failed(error);
                }
            }
        }
        End::Done
    }

    /// Runs one act until it succeeds, fails for good, or makes no progress for `deadline`.
    async fn attempt(
        &self,
        index: usize,
        step: &Step,
        act: &(dyn Fn(StepContext) -> futures::future::BoxFuture<'static, Result<()>> + Send + Sync),
        deadline: Duration,
    ) -> Result<()> {
        self.record.touch();
        let mut pause = BACK_OFF.0;
        let mut waiting_for: Option<DriverError> = None;
        loop {
            let cx = StepContext {
                shared: self.shared.clone(),
                cluster: self.record.edit(|o| o.cluster_id.clone()),
                record: self.record.clone(),
                index,
            };
            let run = AssertUnwindSafe(act(cx)).catch_unwind();
            tokio::pin!(run);
            let result = loop {
                let end = self.record.last_progress() + deadline;
                tokio::select! {
                    result = &mut run => break result.unwrap_or_else(|_| {
                        Err(DriverError::broken(format!("`{}` hit an error in Clusterdeck itself; the log has it", step.title)).into())
                    }),
                    // Progress made meanwhile has moved the deadline.
                    () = sleep_until(end) => if self.record.last_progress() + deadline <= Instant::now() {
                        let stuck = || format!("`{}` made no progress for {} s", step.title, deadline.as_secs());
                        let waited = waiting_for.take();
                        break Err(in_the_end(waited.unwrap_or_else(|| DriverError::transient(stuck()))).into());
                    }
                }
            };
            match result {
                Err(EngineError::Driver(passing)) if passing.is_transient() => {
                    let what = passing.to_string();
                    if self.record.last_progress() + deadline <= Instant::now() {
                        return Err(in_the_end(passing).into());
                    }
                    self.record.progress(&self.shared, index, &format!("Waiting: {what}"), None);
                    waiting_for = Some(passing);
                    sleep(pause).await;
                    pause = (pause * 2).min(BACK_OFF.1);
                }
                other => return other,
            }
        }
    }

    /// Takes back every step that was begun, last first. What cannot be taken back is said, and the others still are.
    async fn unwind(&self, steps: &[Step], error: Option<EngineError>, state: OperationState) {
        if let Some(error) = &error {
            self.record.edit(|o| o.error = Some(error.problem()));
        }
        let mut left = Vec::new();
        for (index, step) in steps.iter().enumerate().rev() {
            let Some(undo) = &step.undo else { continue };
            if matches!(self.state(index), StepState::Pending | StepState::Undone) {
                continue;
            }
            let noted = self.note(index, StepState::Undoing, OperationState::Unwinding, None, steps).await;
            self.fault(&step.name, "undoing");
            let result = match noted {
                Ok(()) => self.attempt(index, step, undo, UNDO_DEADLINE.max(step.deadline)).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    drop(self.note(index, StepState::Undone, OperationState::Unwinding, None, steps).await)
                }
                Err(error) => {
                    tracing::error!(step = %step.name, error = %chain(&error), "a step could not be taken back");
                    left.push(format!("{}: {error}", step.title));
                    drop(
                        self.note(index, StepState::Failed, OperationState::Unwinding, Some(&error), steps)
                            .await,
                    );
                }
            }
        }
        if !left.is_empty() {
            self.record.edit(|operation| {
                operation.outcome.notes.push(format!("Could not be taken back: {}", left.join("; ")));
            });
        }
        self.end(state, None).await;
    }

    fn state(&self, index: usize) -> StepState {
        self.record.edit(|o| o.steps.get(index).map_or(StepState::Pending, |s| s.state))
    }

    /// Writes a step's new state to row and journal, and tells the listeners.
    async fn note(
        &self,
        index: usize,
        step_state: StepState,
        state: OperationState,
        error: Option<&EngineError>,
        steps: &[Step],
    ) -> Result<()> {
        let now = self.shared.now();
        let past = self.past_cancel(steps)
            || ((steps[index].no_return || steps[index].no_cancel) && step_state == StepState::Running);
        let name = self.record.edit(|operation| {
            operation.state = state;
            let under_way = matches!(state, OperationState::Running | OperationState::Waiting);
            operation.cancellable = !past && under_way;
            let step: &mut StepRecord = &mut operation.steps[index];
            if step.state == StepState::Failed && step_state == StepState::Running {
                // Taken up again: what the last try took and said is in the journal.
                step.started_at = None;
                step.error = None;
            }
            step.state = step_state;
            match step_state {
                StepState::Running | StepState::Undoing => {
                    step.started_at.get_or_insert(now);
                    step.ended_at = None;
                }
                _ => {
                    step.ended_at = Some(now);
                    step.note = None;
                }
            }
            step.error = error.map(EngineError::problem).or_else(|| step.error.take());
            step.name.clone()
        });
        let row = self.record.snapshot();
        let entry = JournalEntry {
            operation: row.operation.id.clone(),
            at: now,
            step: Some(name),
            step_state: Some(step_state),
            state,
            text: error.map(chain),
        };
        self.shared.state.record(&row, &entry).await?;
        notify(&self.shared, &row.operation, Level::Info);
        Ok(())
    }

    /// The last line of the journal, the audit entry, and the cluster is free again.
    async fn end(&self, state: OperationState, error: Option<EngineError>) {
        let now = self.shared.now();
        self.record.edit(|operation| {
            operation.state = state;
            operation.ended_at = Some(now);
            operation.cancellable = false;
            if let Some(error) = &error {
                operation.error = Some(error.problem());
            }
        });
        let row = self.record.snapshot();
        let operation = &row.operation;
        let text = summary(operation);
        let entry = JournalEntry {
            operation: operation.id.clone(),
            at: now,
            step: None,
            step_state: None,
            state,
            text: Some(text.clone()),
        };
        if let Err(error) = self.shared.state.record(&row, &entry).await {
            // Not written: the next start finds it unfinished and looks again, which is safe.
            tracing::error!(%error, operation = %operation.id, "the end of an operation could not be written");
            self.record.edit(|operation| operation.outcome.notes.push(format!("{NOT_WRITTEN}: {error}")));
            *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        }
        let result = match state {
            OperationState::Succeeded => "succeeded",
            OperationState::Cancelled => "cancelled",
            _ => "failed",
        };
        self.shared.audit(AuditEntry::of(operation, now, result, text.clone())).await;
        if let Some(live) = self.shared.lock_clusters().get_mut(&operation.cluster_id) {
            let ours =
                |held: &Option<(OperationId, Busy)>| held.as_ref().is_some_and(|(id, _)| *id == operation.id);
            if ours(&live.busy) {
                live.busy = None;
            }
            if ours(&live.backing_up) {
                live.backing_up = None;
            }
        }
        // Everybody who waits for the end expects to see the cluster as it is after it.
        watch::after_operation(&self.shared, &operation.cluster_id).await;
        let level = if state == OperationState::Failed { Level::Error } else { Level::Info };
        tracing::info!(operation = %operation.id, result, "{text}");
        notify(&self.shared, operation, level);
    }

    /// Returns when the end is written down. Until then the operation is told from memory, as ended.
    async fn written(&self) {
        let Some(entry) = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        loop {
            sleep(BACK_OFF.1).await;
            let mut row = self.record.snapshot();
            row.operation.outcome.notes.retain(|note| !note.starts_with(NOT_WRITTEN));
            if self.shared.state.record(&row, &entry).await.is_ok() {
                tracing::info!(operation = %row.operation.id, "the end of an operation could be written after all");
                return;
            }
        }
    }

    /// A place where a test may end or fail the process; nothing in a release build.
    #[allow(clippy::unused_self)]
    fn fault(&self, step: &str, point: &str) {
        #[cfg(debug_assertions)]
        crate::faults::reach(self.record.edit(|o| o.kind).id(), step, point);
        #[cfg(not(debug_assertions))]
        let _ = (step, point);
    }
}
