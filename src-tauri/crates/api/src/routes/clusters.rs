//! Clusters and their endpoints.

use super::{Answer, page, whole};
use crate::{
    extract::{AskedFrom, Params},
    problem::Problem,
    router::Rooms,
    wire::{Access, Cluster, Endpoint, List},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, header},
};
use clusterdeck_domain::Parameter;

/// Clusters by name.
#[utoipa::path(get, operation_id = "list_clusters", path = "/v1/clusters", tag = "clusters",
    params(("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, description = "50 when left out, at most 500")),
    responses((status = 200, body = List<Cluster>), (status = 400, body = Problem)))]
pub(crate) async fn list(State(rooms): State<Rooms>, params: Params) -> Answer<List<Cluster>> {
    let clusters = rooms.engine.clusters().await;
    page(clusters.iter().map(Cluster::from).collect(), &params, |c| c.name.to_string())
}

/// One cluster, by name or id.
#[utoipa::path(get, operation_id = "show_cluster", path = "/v1/clusters/{id}", tag = "clusters", params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = Cluster), (status = 404, body = Problem)))]
pub(crate) async fn show(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<Cluster> {
    Ok(Json(Cluster::from(&rooms.engine.cluster(&id).await?)))
}

/// Where clients connect to.
#[utoipa::path(get, operation_id = "list_endpoints", path = "/v1/clusters/{id}/endpoints", tag = "clusters",
    params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = List<Endpoint>), (status = 404, body = Problem)))]
pub(crate) async fn endpoints(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<List<Endpoint>> {
    Ok(whole(rooms.engine.cluster(&id).await?.endpoints.iter().map(Endpoint::from).collect()))
}

/// From which addresses it may be reached, and where that is held to.
#[utoipa::path(get, operation_id = "show_access", path = "/v1/clusters/{id}/access", tag = "clusters",
    params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = Access), (status = 404, body = Problem)))]
pub(crate) async fn access(
    State(rooms): State<Rooms>,
    AskedFrom(asker): AskedFrom,
    Path(id): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Json<Access>), Problem> {
    // Whose address it is belongs to whoever asks, and a copy of the time left is worth nothing.
    let found = rooms.engine.access(&id, asker).await?;
    Ok(([(header::CACHE_CONTROL, "private, no-store")], Json(found.into())))
}

/// What can be set in the servers, and what is in force on the primary.
#[utoipa::path(get, operation_id = "list_parameters", path = "/v1/clusters/{id}/parameters", tag = "clusters",
    params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = List<Parameter>), (status = 404, body = Problem)))]
pub(crate) async fn parameters(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
) -> Answer<List<Parameter>> {
    Ok(whole(rooms.engine.parameters(&id).await?))
}
