//! `clusterdeck operation …`

use super::{more, query, word};
use crate::{
    answer::piece,
    args::OperationVerb,
    change,
    failure::Failure,
    output::{Table, age, facts, took},
    session::Session,
};
use axum::http::Method;
use clusterdeck_api::wire::List;
use clusterdeck_domain::Operation;
use jiff::Timestamp;

pub(super) async fn run(session: &Session, verb: OperationVerb) -> Result<(), Failure> {
    match verb {
        OperationVerb::List { cluster, unfinished, paged } => {
            let state = if unfinished { "&state=unfinished" } else { "" };
            list(session, &format!("{}{state}", query(&paged, cluster.as_ref()))).await
        }
        OperationVerb::Show { id } => show(session, &id).await,
        OperationVerb::Watch { id } => change::conclude(&session.output, session.watch(&id).await?),
        OperationVerb::Retry { id, detach } => {
            let path = format!("/v1/operations/{}/retry", piece(&id));
            let answer = session.send(Method::POST, &path, None).await?;
            change::follow(session, &answer.read()?, &answer.body, detach).await
        }
        OperationVerb::Keep { id, detach } => {
            let path = format!("/v1/operations/{}/keep", piece(&id));
            let answer = session.send(Method::POST, &path, None).await?;
            change::follow(session, &answer.read()?, &answer.body, detach).await
        }
        OperationVerb::Cancel { id, detach } => cancel(session, &id, detach).await,
    }
}

async fn list(session: &Session, query: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/operations{query}")).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let operations: List<Operation> = answer.read()?;
    let mut table = Table::new(&["id", "what", "cluster", "state", "by", "begun", "took"]);
    for operation in &operations.items {
        table.row(vec![
            operation.id.to_string(),
            operation.title.clone(),
            operation.cluster.clone(),
            word(&operation.state),
            operation.actor.clone(),
            age(operation.created_at, Timestamp::now()),
            operation.ended_at.map_or_else(String::new, |end| took(operation.created_at, end)),
        ]);
    }
    session.output.table(&table)?;
    more(&session.output, operations.next_cursor.as_ref());
    Ok(())
}

async fn show(session: &Session, id: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/operations/{}", piece(id))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let operation: Operation = answer.read()?;
    let error = operation.error.as_ref();
    session.output.line(&facts(&[
        ("Operation", format!("{} ({})", operation.title, operation.id)),
        ("State", word(&operation.state)),
        ("By", operation.actor.clone()),
        ("Begun", age(operation.created_at, Timestamp::now())),
        ("Took", operation.ended_at.map_or_else(String::new, |end| took(operation.created_at, end))),
        ("Write gap", operation.outcome.write_gap_ms.map_or_else(String::new, |gap| format!("{gap:.1} ms"))),
        ("Error", error.map_or_else(String::new, |e| e.title.clone())),
        ("", error.map_or_else(String::new, |e| e.detail.clone())),
        ("", error.map_or_else(String::new, |e| e.hint.clone())),
    ]))?;
    session.output.line("")?;
    let mut table = Table::new(&["step", "state", "took", "note"]);
    for step in &operation.steps {
        let time = step.started_at.zip(step.ended_at).map_or_else(String::new, |(from, to)| took(from, to));
        let note = step.error.as_ref().map(|e| e.title.clone()).or_else(|| step.note.clone());
        table.row(vec![step.title.clone(), word(&step.state), time, note.unwrap_or_default()]);
    }
    session.output.table(&table)
}

/// Asks an operation to stop and waits for its end: that it was cancelled is then the success.
async fn cancel(session: &Session, id: &str, detach: bool) -> Result<(), Failure> {
    let answer = session.send(Method::POST, &format!("/v1/operations/{}/cancel", piece(id)), None).await?;
    let (operation, body) = if detach {
        (answer.read::<Operation>()?, answer.body)
    } else {
        let ended = session.watch(id).await?;
        (ended.operation, ended.body)
    };
    if session.output.json() {
        session.output.body(&body)?;
    } else {
        session.output.line(&format!("{}: {}", operation.title, word(&operation.state)))?;
    }
    match operation.state {
        clusterdeck_domain::OperationState::Failed => Err(Failure::Ended(Box::new(operation))),
        _ => Ok(()),
    }
}
