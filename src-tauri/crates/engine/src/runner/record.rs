//! The row of an operation under way, and what is told about it.

use crate::{
    engine::Shared,
    error::EngineError,
    event::{Event, EventKind, Level},
    repository::OperationRow,
};
use clusterdeck_domain::{Operation, OperationState, Problem, Progress};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The row of an operation under way; everybody who shows it reads this one, the store has it as of the last step.
#[derive(Clone)]
pub(crate) struct Record {
    row: Arc<Mutex<OperationRow>>,
    /// When the step under way last made measurable progress.
    progressed: Arc<Mutex<Instant>>,
    last_notice: Arc<Mutex<Option<Instant>>>,
}

impl Record {
    pub(super) fn new(row: OperationRow) -> Self {
        Self {
            row: Arc::new(Mutex::new(row)),
            progressed: Arc::new(Mutex::new(Instant::now())),
            last_notice: Arc::default(),
        }
    }
    pub(crate) fn edit<T>(&self, edit: impl FnOnce(&mut Operation) -> T) -> T {
        edit(&mut self.row.lock().unwrap_or_else(PoisonError::into_inner).operation)
    }
    pub(crate) fn snapshot(&self) -> OperationRow {
        self.row.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(super) fn touch(&self) {
        *self.progressed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
    pub(super) fn last_progress(&self) -> Instant {
        *self.progressed.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// A word from the step under way. Listeners hear at most five a second.
    pub(crate) fn progress(&self, shared: &Shared, index: usize, note: &str, measured: Option<Progress>) {
        let further = self.edit(|operation| {
            let Some(step) = operation.steps.get_mut(index) else { return false };
            step.note = Some(note.to_owned());
            let Some(now) = measured else { return false };
            let further =
                step.progress.is_none_or(|before| now.done > before.done || now.total != before.total);
            step.progress = Some(now);
            further
        });
        if further {
            self.touch();
        }
        let mut last = self.last_notice.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() >= Duration::from_millis(200)) {
            *last = Some(Instant::now());
            drop(last);
            notify(shared, &self.snapshot().operation, Level::Info);
        }
    }
}

pub(super) fn summary(operation: &Operation) -> String {
    let mut text = match operation.state {
        OperationState::Succeeded => format!("{}: done", operation.title),
        OperationState::Cancelled => format!("{}: cancelled and taken back", operation.title),
        _ => {
            let why = operation.error.as_ref().map_or("unknown reason", |e: &Problem| e.title.as_str());
            format!("{}: failed ({why})", operation.title)
        }
    };
    if let Some(gap) = operation.outcome.write_gap_ms {
        let what = match operation.outcome.migration {
            Some(_) => "what was written last was in it after",
            None => "writes were not possible for",
        };
        text.push_str(&format!("; {what} {gap:.1} ms"));
    }
    for note in &operation.outcome.notes {
        text.push_str("; ");
        text.push_str(note);
    }
    text
}

/// An error with everything below it.
pub(crate) fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        let below = source.to_string();
        // An error that only passes another one on has its words already.
        if !text.ends_with(&below) {
            text.push_str(": ");
            text.push_str(&below);
        }
        next = source.source();
    }
    text
}

pub(super) fn notify(shared: &Shared, operation: &Operation, level: Level) {
    let text = if operation.state.is_final() { summary(operation) } else { operation.title.clone() };
    let mut event = Event::new(EventKind::OperationChanged, level, text);
    event.cluster_id = Some(operation.cluster_id.clone());
    event.cluster = Some(operation.cluster.clone());
    event.node.clone_from(&operation.node);
    event.operation_id = Some(operation.id.clone());
    shared.events.send(event, shared.now());
}
