//! `clusterdeck migrate …`

use super::{typed_in, word};
use crate::{
    answer::piece,
    args::Migrate,
    change,
    failure::Failure,
    output::{Table, bytes},
    session::Session,
};
use axum::http::Method;
use clusterdeck_api::{
    Code, Problem,
    wire::{JournalLine, List, PreviewAnswer},
};
use clusterdeck_domain::{
    CaCertificates, ChangeKind, CheckState, MAX_CA_BYTES, Migrated, Operation, Sensitive,
};
use serde_json::{Value, json};
use std::{fs::File, io::Read as _};

/// Where a password can be given that is in no argument.
const PASSWORD: &str = "CLUSTERDECK_SOURCE_PASSWORD";

pub(super) async fn run(session: &Session, wish: Migrate) -> Result<(), Failure> {
    if wish.logs {
        return logs(session, &wish.cluster).await;
    }
    if wish.cut_over {
        let change = json!({"kind": "cut-over", "cluster": wish.cluster});
        return change::make(session, change, &wish.confirming).await;
    }
    let change = json!({
        "kind": "migrate", "cluster": wish.cluster, "from": wish.from, "password": password(&wish)?, "ca": authorities(&wish)?,
        "replace": wish.replace, "follow": wish.follow,
    });
    match wish.check {
        true => check(session, &change).await,
        false => change::make(session, change, &wish.confirming).await,
    }
}

fn password(wish: &Migrate) -> Result<Option<String>, Failure> {
    match &wish.password_file {
        None => Ok(std::env::var(PASSWORD).ok()),
        Some(file) => typed_in("password", file).map(Some),
    }
}

/// Read here already: what is no certificate goes nowhere.
fn authorities(wish: &Migrate) -> Result<Option<CaCertificates>, Failure> {
    let Some(file) = &wish.source_ca else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|f| f.take(MAX_CA_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|e| Problem::new(Code::Invalid, format!("{} cannot be read: {e}", file.display())))?;
    let text = Sensitive::new(String::from_utf8(bytes).unwrap_or_default());
    let bad = |e| Problem::new(Code::Invalid, format!("{} names no authority to trust: {e}", file.display()));
    Ok(Some(CaCertificates::parse(text.reveal()).map_err(|e| bad(e).detail("Nothing was changed."))?))
}

/// Each check with its result; that one failed is a refusal.
async fn check(session: &Session, change: &Value) -> Result<(), Failure> {
    let answer = session.send(Method::POST, "/v1/previews", Some(change)).await?;
    let preview: PreviewAnswer = answer.read()?;
    let preview_body = &preview.preview;
    if session.output.json() {
        session.output.body(&answer.body)?;
    } else {
        let mut table = Table::new(&["check", "result", "what was found"]);
        for check in &preview_body.checks {
            let state = match check.state {
                CheckState::Passed => "passed",
                CheckState::Warning => "warning",
                CheckState::Failed => "failed",
                CheckState::Skipped => "skipped",
            };
            let hint = check.hint.as_ref().map_or_else(String::new, |hint| format!(" {hint}"));
            table.row(vec![check.title.clone(), state.to_owned(), format!("{}{hint}", check.text)]);
        }
        session.output.table(&table)?;
    }
    let Some(first) = preview_body.blockers.first() else { return Ok(()) };
    let code = if first.code == "not-found" { Code::NotFound } else { Code::Blocked };
    let problem =
        Problem::new(code, first.text.trim_end_matches('.').to_owned()).detail("Nothing was changed.");
    Err(problem.hint(first.hint.clone().unwrap_or_default()).into())
}

/// The log of the last migration into a cluster, and what both sides held.
async fn logs(session: &Session, cluster: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/operations?limit=500&cluster={}", piece(cluster))).await?;
    let all: List<Operation> = answer.read()?;
    let last = all.items.iter().find(|operation| operation.kind == ChangeKind::Migrate);
    let last = last.ok_or_else(|| Problem::not_found(&format!("migration into `{cluster}`")))?;
    let answer = session.get(&format!("/v1/operations/{}/journal", last.id)).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let lines: List<JournalLine> = answer.read()?;
    session.output.line(&format!("{} ({}): {}", last.title, last.id, word(&last.state)))?;
    for line in &lines.items {
        let what = match (&line.text, &line.step_state) {
            (Some(text), _) => text.clone(),
            (None, Some(state)) => word(state),
            (None, None) => word(&line.state),
        };
        let step = line.step.as_deref().unwrap_or("operation");
        session.output.line(&format!("{:.3}  {step}: {what}", line.at))?;
    }
    match &last.outcome.migration {
        Some(migrated) => compared(session, migrated),
        None => Ok(()),
    }
}

fn compared(session: &Session, migrated: &Migrated) -> Result<(), Failure> {
    session.output.line("")?;
    let mut table = Table::new(&[
        "part",
        "source",
        "cluster",
        "checksum of the source",
        "checksum of the cluster",
        "same",
    ]);
    for part in &migrated.compared {
        table.row(vec![
            part.of.clone(),
            part.source.to_string(),
            part.target.to_string(),
            part.source_sum.clone(),
            part.target_sum.clone(),
            if part.equal() { "yes" } else { "no" }.to_owned(),
        ]);
    }
    session.output.table(&table)?;
    session.output.line(&format!("{} came in, {} things", bytes(migrated.bytes as f64), migrated.items))?;
    for difference in &migrated.differences {
        session.output.line(&format!("differs: {difference}"))?;
    }
    Ok(())
}
