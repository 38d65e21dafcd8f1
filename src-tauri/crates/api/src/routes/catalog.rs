//! Services, providers, regions, plans.

use super::{Answer, whole};
use crate::{
    extract::Params,
    problem::Problem,
    router::Rooms,
    wire::{List, Provider, Region, Service},
};
use axum::{
    Json,
    extract::{Path, State},
};
use clusterdeck_domain::Plan;

/// Every service of the catalogue, in the order of the wizard.
#[utoipa::path(get, operation_id = "list_services", path = "/v1/services", tag = "catalog", responses((status = 200, body = List<Service>)))]
pub(crate) async fn services(State(rooms): State<Rooms>) -> Answer<List<Service>> {
    Ok(whole(rooms.engine.services().await?.into_iter().map(Service::from).collect()))
}

/// One service.
#[utoipa::path(get, operation_id = "show_service", path = "/v1/services/{id}", tag = "catalog", params(("id" = String, Path)),
    responses((status = 200, body = Service), (status = 404, body = Problem)))]
pub(crate) async fn service(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<Service> {
    let found = rooms.engine.services().await?.into_iter().find(|s| s.service.id() == id);
    found.map(|s| Json(s.into())).ok_or_else(|| Problem::not_found(&format!("service `{id}`")))
}

/// Every provider.
#[utoipa::path(get, operation_id = "list_providers", path = "/v1/providers", tag = "catalog", responses((status = 200, body = List<Provider>)))]
pub(crate) async fn providers(State(rooms): State<Rooms>) -> Answer<List<Provider>> {
    Ok(whole(rooms.engine.providers().await?.into_iter().map(Provider::from).collect()))
}

/// A provider's regions.
#[utoipa::path(get, operation_id = "list_regions", path = "/v1/providers/{id}/regions", tag = "catalog", params(("id" = String, Path)),
    responses((status = 200, body = List<Region>), (status = 404, body = Problem)))]
pub(crate) async fn regions(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<List<Region>> {
    let regions = rooms.engine.regions(&id).await?;
    Ok(whole(regions.into_iter().map(|r| Region { id: r.id, name: r.name }).collect()))
}

/// A provider's plans, smallest first, each with its price or `null`.
#[utoipa::path(get, operation_id = "list_plans", path = "/v1/providers/{id}/plans", tag = "catalog",
    params(("id" = String, Path), ("region" = Option<String>, Query, description = "The first when left out")),
    responses((status = 200, body = List<Plan>), (status = 404, body = Problem)))]
pub(crate) async fn plans(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
    params: Params,
) -> Answer<List<Plan>> {
    Ok(whole(rooms.engine.plans(&id, params.text("region")).await?))
}
