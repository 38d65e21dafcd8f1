//! Nodes.

use super::{Answer, whole};
use crate::{
    problem::Problem,
    router::Rooms,
    wire::{List, Node},
};
use axum::{
    Json,
    extract::{Path, State},
};
use clusterdeck_engine::ClientCommand;

/// The nodes of a cluster by ordinal.
#[utoipa::path(get, operation_id = "list_nodes", path = "/v1/clusters/{id}/nodes", tag = "clusters",
    params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = List<Node>), (status = 404, body = Problem)))]
pub(crate) async fn list(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<List<Node>> {
    Ok(whole(Node::all(&rooms.engine.cluster(&id).await?)))
}

/// One node, by name or id.
#[utoipa::path(get, operation_id = "show_node", path = "/v1/nodes/{id}", tag = "clusters", params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = Node), (status = 404, body = Problem)))]
pub(crate) async fn show(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<Node> {
    let (report, node) = rooms.engine.node(&id).await?;
    let found = Node::all(&report).into_iter().find(|n| n.id == node);
    found.map(Json).ok_or_else(|| Problem::not_found(&format!("node `{id}`")))
}

/// The client of a terminal for a node's server: a program and its arguments. The password is not among them; it comes from
/// the cluster's credentials, and goes into the variable that is named.
#[utoipa::path(get, operation_id = "show_client", path = "/v1/nodes/{id}/client", tag = "clusters", params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = ClientCommand), (status = 404, body = Problem)))]
pub(crate) async fn client(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<ClientCommand> {
    Ok(Json(rooms.engine.client(&id).await?))
}
