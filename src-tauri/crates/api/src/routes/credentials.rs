//! The way in for people. The one route whose answer may hold a secret, and only when it is asked to.

use super::Answer;
use crate::{
    extract::{Actor, Params},
    problem::Problem,
    router::Rooms,
    wire::Credentials,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, header},
};

/// User name, and with `reveal=true` password and url; revealing is written to the audit trail.
#[utoipa::path(get, operation_id = "show_credentials", path = "/v1/clusters/{id}/credentials", tag = "clusters",
    params(("id" = String, Path, description = "Name or id"), ("reveal" = Option<bool>, Query)),
    responses((status = 200, body = Credentials), (status = 404, body = Problem), (status = 503, body = Problem)))]
#[allow(clippy::type_complexity)]
pub(crate) async fn show(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
    params: Params,
    Actor(actor): Actor,
) -> Result<([(HeaderName, &'static str); 1], Json<Credentials>), Problem> {
    let found = rooms.engine.credentials(&id, params.flag("reveal")?, &actor).await?;
    let answer: Answer<Credentials> = Ok(Json(Credentials {
        username: found.username,
        password: found.password.map(|p| p.reveal().clone()),
        url: found.url.map(|u| u.reveal().clone()),
    }));
    // Neither a browser nor a proxy keeps it, nor our own copies: those look for `private`.
    Ok(([(header::CACHE_CONTROL, "private, no-store")], answer?))
}
