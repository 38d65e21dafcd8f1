//! Operations under way and done.

use super::{Answer, whole};
use crate::{
    extract::{Actor, Params},
    problem::Problem,
    router::Rooms,
    wire::{JournalLine, List},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use clusterdeck_domain::{ClusterId, Operation, OperationId};
use clusterdeck_engine::repository::Page;

/// The page that was asked for. A cluster that is gone is still found by its id: its operations stay.
pub(crate) async fn page_of(rooms: &Rooms, params: &Params) -> Result<Page, Problem> {
    let cluster = match params.text("cluster") {
        None => None,
        Some(text) => match ClusterId::parse(text) {
            Ok(id) => Some(id),
            Err(_) => Some(rooms.engine.cluster(text).await?.spec.id),
        },
    };
    Ok(Page { limit: params.limit()?, cursor: params.text("cursor").map(ToOwned::to_owned), cluster })
}

/// An operation's id; what cannot be one belongs to no operation.
fn id(text: &str) -> Result<OperationId, Problem> {
    OperationId::parse(text).map_err(|_| Problem::not_found(&format!("operation `{text}`")))
}

/// Operations, newest first.
#[utoipa::path(get, operation_id = "list_operations", path = "/v1/operations", tag = "changes",
    params(("cluster" = Option<String>, Query, description = "Name or id"),
        ("state" = Option<String>, Query, description = "`unfinished` leaves out those that have ended"),
        ("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, body = List<Operation>), (status = 400, body = Problem)))]
pub(crate) async fn list(State(rooms): State<Rooms>, params: Params) -> Answer<List<Operation>> {
    let unfinished = match params.text("state") {
        None => false,
        Some("unfinished") => true,
        Some(_) => return Err(Problem::invalid("/state", "`state` can only be `unfinished`")),
    };
    let (items, next_cursor) = rooms.engine.operations(&page_of(&rooms, &params).await?, unfinished).await?;
    Ok(Json(List { items, next_cursor }))
}

/// One operation with its steps.
#[utoipa::path(get, operation_id = "show_operation", path = "/v1/operations/{id}", tag = "changes", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = 404, body = Problem)))]
pub(crate) async fn show(State(rooms): State<Rooms>, Path(text): Path<String>) -> Answer<Operation> {
    Ok(Json(rooms.engine.operation(&id(&text)?).await?))
}

/// Everything an operation wrote down, oldest first.
#[utoipa::path(get, operation_id = "show_journal", path = "/v1/operations/{id}/journal", tag = "changes", params(("id" = String, Path)),
    responses((status = 200, body = List<JournalLine>), (status = 404, body = Problem)))]
pub(crate) async fn journal(
    State(rooms): State<Rooms>,
    Path(text): Path<String>,
) -> Answer<List<JournalLine>> {
    Ok(whole(rooms.engine.journal(&id(&text)?).await?.into_iter().map(JournalLine::from).collect()))
}

/// Asks an operation to stop; it takes back what it did where that is still possible.
#[utoipa::path(post, operation_id = "cancel_operation", path = "/v1/operations/{id}/cancel", tag = "changes", params(("id" = String, Path)),
    responses((status = 202, body = Operation), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn cancel(
    State(rooms): State<Rooms>,
    Path(text): Path<String>,
    Actor(actor): Actor,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(rooms.engine.cancel(&id(&text)?, &actor).await?)))
}

/// Keeps what an operation changed and would take back by itself (`trial`).
#[utoipa::path(post, operation_id = "keep_operation", path = "/v1/operations/{id}/keep", tag = "changes", params(("id" = String, Path)),
    responses((status = 202, body = Operation), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn keep(
    State(rooms): State<Rooms>,
    Path(text): Path<String>,
    Actor(actor): Actor,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(rooms.engine.keep(&id(&text)?, &actor).await?)))
}

/// Takes an operation up again that failed where there is no way back (`retryable`), at the step that failed.
#[utoipa::path(post, operation_id = "retry_operation", path = "/v1/operations/{id}/retry", tag = "changes", params(("id" = String, Path)),
    responses((status = 202, body = Operation), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn retry(
    State(rooms): State<Rooms>,
    Path(text): Path<String>,
    Actor(actor): Actor,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(rooms.engine.retry(&id(&text)?, &actor).await?)))
}
