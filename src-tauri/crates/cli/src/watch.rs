//! Following an operation to its end. Notices say when to look; without them it is looked at twice a second.

use crate::{
    failure::Failure,
    output::{Output, bytes, took},
    session::Session,
};
use axum::http::HeaderMap;
use clusterdeck_api::{Code, Notices, Problem};
use clusterdeck_domain::{ChangeKind, Operation, OperationState, Progress, StepRecord, StepState, Unit};
use futures::StreamExt;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// A look at least this often: a notice can be missed.
const LOOK: Duration = Duration::from_millis(500);
/// How long the other side may be away before that is an error.
const AWAY: Duration = Duration::from_secs(60);

/// An operation that has ended.
pub(crate) struct Ended {
    pub(crate) operation: Operation,
    /// As the API said it.
    pub(crate) body: Vec<u8>,
}

/// Follows an operation and shows its steps.
pub(crate) async fn watch(session: &Session, headers: &HeaderMap, id: &str) -> Result<Ended, Failure> {
    let mut shown = Shown::new(session.output);
    follow(session, headers, id, |operation| shown.look(operation)).await
}

/// Follows an operation.
pub(crate) async fn watch_quietly(
    session: &Session,
    headers: &HeaderMap,
    id: &str,
) -> Result<Ended, Failure> {
    follow(session, headers, id, |_| ()).await
}

async fn follow(
    session: &Session,
    headers: &HeaderMap,
    id: &str,
    mut each: impl FnMut(&Operation),
) -> Result<Ended, Failure> {
    let mut notices: Option<Notices> = None;
    let mut away: Option<Instant> = None;
    loop {
        // Opened before the look, so that nothing happens unseen between the two.
        if notices.is_none() && away.is_none() {
            notices = session.front().stream("/v1/events", headers.clone()).await.ok();
        }
        match session.operation(headers, id).await {
            Ok((operation, answer)) => {
                each(&operation);
                if operation.state.is_final() {
                    return Ok(Ended { operation, body: answer.body });
                }
                away = answer.as_of.map(|_| away.unwrap_or_else(Instant::now));
            }
            Err(Failure::Problem(problem)) if matches!(problem.code, Code::Offline | Code::ShuttingDown) => {
                away.get_or_insert_with(Instant::now);
            }
            Err(failure) => return Err(failure),
        }
        if away.is_some_and(|since| since.elapsed() >= AWAY) {
            return Err(Problem::new(Code::Offline, "the other side can no longer be reached")
                .detail(format!("Operation {id} may still be under way there."))
                .hint(format!("`clusterdeck operation watch {id}` follows it when it can be reached again."))
                .into());
        }
        if !noticed(&mut notices, id).await {
            notices = None;
        }
    }
}

/// Waits for a notice about this operation, at most until the next look. `false` when the stream has ended.
async fn noticed(notices: &mut Option<Notices>, id: &str) -> bool {
    let Some(stream) = notices else {
        tokio::time::sleep(LOOK).await;
        return false;
    };
    let until = tokio::time::sleep(LOOK);
    tokio::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => return true,
            next = stream.next() => match next {
                Some(Ok(notice)) if notice.event == "reset" || notice.data.contains(id) => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return false,
            },
        }
    }
}

/// What has been shown of an operation's steps.
struct Shown {
    output: Output,
    states: HashMap<String, StepState>,
    drawn: bool,
    /// It was told how to keep what is being tried.
    told: bool,
}

impl Shown {
    fn new(output: Output) -> Self {
        Self { output, states: HashMap::new(), drawn: false, told: false }
    }

    /// One line for each step that has ended; on a terminal the one under way is drawn over.
    fn look(&mut self, operation: &Operation) {
        if self.output.is_quiet() {
            return;
        }
        for step in &operation.steps {
            let before = self.states.insert(step.name.clone(), step.state);
            if before != Some(step.state)
                && let Some(line) = ended(step)
            {
                self.clear();
                self.output.note(&line);
            }
        }
        if operation.state == OperationState::Waiting
            && operation.trial.is_some_and(|trial| !trial.kept)
            && !std::mem::replace(&mut self.told, true)
        {
            self.clear();
            let (name, id) = (&operation.cluster, &operation.id);
            self.output.note(&match operation.kind {
                ChangeKind::RestoreInPlace => format!(
                    "  Look at it with clusterdeck node shell, then from another terminal: clusterdeck operation keep {id}"
                ),
                _ => format!(
                    "  Keep it from another terminal while you can still get in: clusterdeck cluster allow {name} --keep"
                ),
            });
        }
        let under_way =
            operation.steps.iter().find(|s| matches!(s.state, StepState::Running | StepState::Undoing));
        if self.output.is_live() {
            match under_way.filter(|_| !operation.state.is_final()) {
                Some(step) => {
                    self.output.draw(&going_on(step));
                    self.drawn = true;
                }
                None => self.clear(),
            }
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.output.draw("");
        }
    }
}

fn ended(step: &StepRecord) -> Option<String> {
    let mark = match step.state {
        StepState::Succeeded => "✓",
        StepState::Failed => "✗",
        StepState::Undone => "↩",
        StepState::Pending | StepState::Running | StepState::Undoing => return None,
    };
    let time = step
        .started_at
        .zip(step.ended_at)
        .map_or_else(String::new, |(from, to)| format!("  ({})", took(from, to)));
    let error = step.error.as_ref().map_or_else(String::new, |e| format!(": {}", e.title));
    Some(format!("  {mark} {}{error}{time}", step.title))
}

fn going_on(step: &StepRecord) -> String {
    let undoing = if step.state == StepState::Undoing { "Taking back: " } else { "" };
    let since = step.started_at.map_or_else(String::new, |at| format!("  {}", took(at, Timestamp::now())));
    let note = step.note.as_ref().map_or_else(String::new, |n| format!("  {n}"));
    let progress = step.progress.as_ref().map_or_else(String::new, |p| format!("  {}", so_far(p)));
    let line = format!("  … {undoing}{}{note}{progress}{since}", step.title);
    // Drawn over only as long as it is one line.
    let wide = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).unwrap_or(80_usize);
    line.chars().take(wide.saturating_sub(1)).collect()
}

/// How far it is, in its unit; without the whole while nobody knows that.
#[allow(clippy::cast_precision_loss, reason = "for people to read")]
fn so_far(progress: &Progress) -> String {
    let text = |n: u64| if progress.unit == Unit::Bytes { bytes(n as f64) } else { n.to_string() };
    match progress.total {
        0 => text(progress.done),
        total => format!("{} of {}", text(progress.done), text(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_its_unit_and_without_a_whole_that_nobody_knows() {
        let of = |done, total, unit| so_far(&Progress { done, total, unit });
        assert_eq!(of(84_200_000, 201_300_000, Unit::Bytes), "80.3 MiB of 192 MiB");
        assert_eq!(of(4_096, 0, Unit::Bytes), "4.0 KiB");
        assert_eq!(of(120_000, 250_000, Unit::Count), "120000 of 250000");
    }
}
