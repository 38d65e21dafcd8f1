//! About this program.

use crate::{router::Rooms, wire::Info};
use axum::{Json, extract::State};

/// What answers here.
#[utoipa::path(get, operation_id = "show_info", path = "/v1/info", tag = "program", responses((status = 200, body = Info)))]
pub(crate) async fn info(State(rooms): State<Rooms>) -> Json<Info> {
    Json(Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        home: rooms.home.display().to_string(),
        host: crate::host::name(),
        engine_started_at: rooms.engine.started_at(),
        secrets: rooms.engine.secrets(),
        offline: false,
    })
}
