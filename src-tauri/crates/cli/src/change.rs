//! A change in a terminal: its preview, the question, the way there, the end.

use crate::{
    args::Confirming,
    failure::Failure,
    output::{Output, took},
    session::Session,
    watch::Ended,
};
use axum::http::Method;
use clusterdeck_api::{Code, Problem, wire::PreviewAnswer};
use clusterdeck_domain::{Finding, Operation, OperationState};
use serde_json::{Value, json};
use std::io::Write;

/// How often a preview that became stale while it was read is made anew by itself, when it says the same.
const AGAIN: usize = 3;

/// Previews a change, has it confirmed, and follows it to its end.
pub(crate) async fn make(session: &Session, change: Value, confirming: &Confirming) -> Result<(), Failure> {
    let output = session.output;
    let mut agreed: Option<(PreviewAnswer, Option<String>)> = None;
    for _ in 0..AGAIN {
        let answer = session.send(Method::POST, "/v1/previews", Some(&change)).await?;
        let preview: PreviewAnswer = answer.read()?;
        let typed = match &agreed {
            // It says what was agreed to: no need to ask again.
            Some((before, typed)) if same(before, &preview) => typed.clone(),
            _ => {
                show(&output, &preview);
                if preview.preview.blockers.is_empty() {
                    agree(&output, &preview, confirming).await?
                } else {
                    None
                }
            }
        };
        let confirmation = json!({"preview_id": preview.id, "typed": typed});
        // A preview with blockers is sent as well: the API says why it is refused.
        match session.send_once("/v1/operations", &confirmation).await {
            Err(Failure::Problem(problem)) => match problem.code {
                Code::PreviewStale | Code::PreviewExpired => agreed = Some((preview, typed)),
                Code::Blocked => return Err(refusal(*problem, &preview)),
                _ => return Err(Failure::Problem(problem)),
            },
            Err(failure) => return Err(failure),
            Ok(answer) => return follow(session, &answer.read()?, &answer.body, confirming.detach).await,
        }
    }
    Err(Problem::new(Code::PreviewStale, "the cluster changes faster than the change can be confirmed")
        .detail("Nothing was changed.")
        .hint("Wait until it is calm and try again.")
        .into())
}

/// A subject that is not there is told as such.
fn refusal(mut problem: Problem, preview: &PreviewAnswer) -> Failure {
    if preview.preview.blockers.iter().any(|b| b.code == "not-found") {
        problem = problem.recoded(Code::NotFound);
    }
    problem.into()
}

fn same(one: &PreviewAnswer, other: &PreviewAnswer) -> bool {
    let said = |p: &PreviewAnswer| {
        (p.preview.effects.clone(), p.preview.warnings.clone(), p.preview.confirm.clone())
    };
    other.preview.blockers.is_empty() && said(one) == said(other)
}

fn show(output: &Output, answer: &PreviewAnswer) {
    if output.is_quiet() {
        return;
    }
    let preview = &answer.preview;
    output.note(&preview.title);
    for effect in &preview.effects {
        output.note(&format!("  - {effect}"));
    }
    for check in &preview.checks {
        output.note(&format!("  {}: {}", check.title, check.text));
    }
    let findings = |name: &str, findings: &[Finding]| {
        for finding in findings {
            output.note(&format!("  {name}: {}", finding.text));
            if let Some(hint) = &finding.hint {
                output.note(&format!("    {hint}"));
            }
            if let Some(way_out) = &finding.way_out {
                output.note(&format!("    Way out: {}", way_out.label));
            }
        }
    };
    findings("warning", &preview.warnings);
    // The blockers themselves are told by the refusal.
    if preview.expected_downtime_ms > 0 && preview.blockers.is_empty() {
        output.note(&format!("  Writes are not possible for about {} ms.", preview.expected_downtime_ms));
    }
}

/// What is typed to confirm. Nothing is assumed: without a terminal the flags must say it.
async fn agree(
    output: &Output,
    answer: &PreviewAnswer,
    confirming: &Confirming,
) -> Result<Option<String>, Failure> {
    let preview = &answer.preview;
    match (&preview.confirm, &confirming.confirm) {
        // A wrong name is told by the engine, in the same words for everybody.
        (Some(_), Some(typed)) => return Ok(Some(typed.clone())),
        (Some(expected), None) if output.can_ask() => {
            let typed = question(format!("Type {expected} to confirm: ")).await?;
            return if typed == *expected {
                Ok(Some(typed))
            } else {
                Err(unconfirmed(&preview.confirm, false))
            };
        }
        (Some(_), None) => return Err(unconfirmed(&preview.confirm, false)),
        (None, Some(_)) => return Ok(None),
        (None, None) if confirming.yes => return Ok(None),
        (None, None) => {}
    }
    if !output.can_ask() {
        return Err(unconfirmed(&None, !preview.warnings.is_empty()));
    }
    let said = question("Go on? [y/N] ".to_owned()).await?;
    if matches!(said.to_lowercase().as_str(), "y" | "yes") {
        Ok(None)
    } else {
        Err(unconfirmed(&None, false))
    }
}

fn unconfirmed(expected: &Option<String>, warnings: bool) -> Failure {
    let problem = Problem::new(Code::ConfirmationMissing, "not confirmed").detail("Nothing was changed.");
    match expected {
        Some(name) => problem.hint(format!("Confirm with --confirm {name}")),
        None if warnings => problem.hint("Accept the warnings with --yes"),
        None => problem.hint("Confirm with --yes"),
    }
    .into()
}

/// Asks on the terminal. The thread that waits for a line ends with the program.
pub(crate) async fn question(text: String) -> Result<String, Failure> {
    let asked = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        std::io::stderr().write_all(text.as_bytes())?;
        std::io::stderr().flush()?;
        std::io::stdin().read_line(&mut line).map(|_| line.trim().to_owned())
    });
    match asked.await {
        Ok(Ok(line)) => Ok(line),
        _ => Err(Failure::other("nothing could be read from the terminal")),
    }
}

/// Follows a confirmed change, or what was taken up again, to its end.
pub(crate) async fn follow(
    session: &Session,
    operation: &Operation,
    body: &[u8],
    detach: bool,
) -> Result<(), Failure> {
    let output = session.output;
    if detach {
        return if output.json() { output.body(body) } else { output.line(operation.id.as_str()) };
    }
    let ended = session.watch(operation.id.as_str()).await?;
    conclude(&output, ended)
}

/// Tells the end of an operation.
pub(crate) fn conclude(output: &Output, ended: Ended) -> Result<(), Failure> {
    let Ended { operation: ended, body } = ended;
    if output.json() {
        output.body(&body)?;
    }
    if ended.state != OperationState::Succeeded {
        return Err(Failure::Ended(Box::new(ended)));
    }
    if !output.json() {
        let time =
            ended.ended_at.map_or_else(String::new, |end| format!(" in {}", took(ended.created_at, end)));
        let gap = ended.outcome.write_gap_ms.map_or_else(String::new, |gap| match ended.outcome.migration {
            Some(_) => format!("; what was written last was in it after {gap:.0} ms"),
            None => format!("; writes were not possible for {gap:.0} ms"),
        });
        output.line(&format!("{}: done{time}{gap}", ended.title))?;
        for note in &ended.outcome.notes {
            output.line(&format!("  {note}"))?;
        }
    }
    Ok(())
}
