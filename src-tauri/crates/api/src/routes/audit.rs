//! The audit trail.

use super::{Answer, operations::page_of};
use crate::{extract::Params, problem::Problem, router::Rooms, wire::List};
use axum::{Json, extract::State};
use clusterdeck_engine::repository::AuditEntry;

/// Who did what, newest first.
#[utoipa::path(get, operation_id = "list_audit", path = "/v1/audit", tag = "changes",
    params(("cluster" = Option<String>, Query, description = "Name or id"), ("cursor" = Option<String>, Query),
        ("limit" = Option<u32>, Query)),
    responses((status = 200, body = List<AuditEntry>), (status = 400, body = Problem)))]
pub(crate) async fn list(State(rooms): State<Rooms>, params: Params) -> Answer<List<AuditEntry>> {
    let (items, next_cursor) = rooms.engine.audit(&page_of(&rooms, &params).await?).await?;
    Ok(Json(List { items, next_cursor }))
}
