//! The one door for changes: preview, then confirm.

use crate::{
    extract::{Actor, AskedFrom, Body},
    problem::Problem,
    router::Rooms,
    wire::{Confirmation, PreviewAnswer},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
};
use clusterdeck_domain::{Change, Operation};

/// What a change would do. Changes nothing.
#[utoipa::path(post, operation_id = "preview_change", path = "/v1/previews", tag = "changes", request_body = Change,
    responses((status = 201, body = PreviewAnswer), (status = 400, body = Problem)))]
pub(crate) async fn preview(
    State(rooms): State<Rooms>,
    AskedFrom(asker): AskedFrom,
    Body(change): Body<Change>,
) -> Result<(StatusCode, Json<PreviewAnswer>), Problem> {
    Ok((StatusCode::CREATED, Json(rooms.engine.preview_from(change, asker).await?.into())))
}

/// Confirms a preview and starts its operation.
#[utoipa::path(post, operation_id = "confirm_change", path = "/v1/operations", tag = "changes", request_body = Confirmation,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: the same key gives the same operation")),
    responses((status = 202, body = Operation), (status = 400, body = Problem), (status = 409, body = Problem),
        (status = 410, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn confirm(
    State(rooms): State<Rooms>,
    Actor(actor): Actor,
    headers: HeaderMap,
    Body(confirmation): Body<Confirmation>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Operation>), Problem> {
    let key = idempotency_key(&headers)?;
    let Confirmation { preview_id, typed } = confirmation;
    let operation = rooms.engine.confirm(&preview_id, typed.as_deref(), &actor, key).await?;
    let location = (header::LOCATION, format!("/v1/operations/{}", operation.id));
    Ok((StatusCode::ACCEPTED, [location], Json(operation)))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let fine = value.to_str().ok().filter(|key| (1..=200).contains(&key.len()));
    let wrong =
        || Problem::invalid("/Idempotency-Key", "an Idempotency-Key has 1 to 200 visible ASCII characters");
    fine.map(Some).ok_or_else(wrong)
}
