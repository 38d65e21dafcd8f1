//! Settings of the home.

use super::Answer;
use crate::{extract::Body, problem::Problem, router::Rooms};
use axum::{Json, extract::State};
use clusterdeck_engine::Settings;

/// The settings in force.
#[utoipa::path(get, operation_id = "show_settings", path = "/v1/settings", tag = "program", responses((status = 200, body = Settings)))]
pub(crate) async fn show(State(rooms): State<Rooms>) -> Json<Settings> {
    Json(rooms.engine.settings().await)
}

/// Replaces the settings; a member that is left out gets its default.
#[utoipa::path(put, operation_id = "replace_settings", path = "/v1/settings", tag = "program", request_body = Settings,
    responses((status = 200, body = Settings), (status = 400, body = Problem)))]
pub(crate) async fn replace(State(rooms): State<Rooms>, Body(settings): Body<Settings>) -> Answer<Settings> {
    rooms.engine.set_settings(settings).await?;
    Ok(Json(rooms.engine.settings().await))
}
