//! `/v1/connections`: answered by the local app itself, never by a server it talks to.

use super::{
    Inner,
    list::{Connection, ConnectionKind, EMBEDDED, NewConnection, Server, UseConnection},
};
use crate::{extract::Body, problem::Problem, routes::whole, wire::List};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, put},
};
use clusterdeck_domain::Sensitive;
use futures::future::join_all;
use std::sync::Arc;

pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/v1/connections", get(list).post(add))
        .route("/v1/connections/current", put(choose))
        .route("/v1/connections/{name}", axum::routing::delete(remove))
        .fallback(async || Problem::not_found("such address"))
        .with_state(inner)
}

/// What `serve` says about connections: it is the engine of its own computer and nothing else. A browser that is signed
/// in to a server shall not reach further through it.
pub(crate) fn only_embedded() -> List<Connection> {
    List { items: vec![embedded(true)], next_cursor: None }
}

fn embedded(current: bool) -> Connection {
    Connection {
        name: EMBEDDED.to_owned(),
        kind: ConnectionKind::Embedded,
        url: None,
        fingerprint: None,
        current,
        reachable: Some(true),
        last_seen: None,
    }
}

async fn list(State(inner): State<Arc<Inner>>) -> Json<List<Connection>> {
    let servers = inner.known.servers();
    join_all(servers.iter().map(|server| inner.remotes.glance(server))).await;
    let current = inner.known.current();
    let mut items = vec![embedded(current == EMBEDDED)];
    for server in &servers {
        items.push(shown(&inner, server, &current).await);
    }
    whole(items)
}

async fn shown(inner: &Inner, server: &Server, current: &str) -> Connection {
    let (reachable, seen) = inner.remotes.seen(&server.name);
    let last_seen = match seen {
        Some(seen) => Some(seen),
        None => inner.copies.newest(&server.name).await,
    };
    Connection {
        name: server.name.clone(),
        kind: ConnectionKind::Server,
        url: Some(server.url.clone()),
        fingerprint: server.fingerprint.clone(),
        current: server.name == current,
        reachable,
        last_seen,
    }
}

/// Adds a server after it has answered: a wrong address, certificate or token shows now and not in a bad moment.
async fn add(
    State(inner): State<Arc<Inner>>,
    Body(new): Body<NewConnection>,
) -> Result<(StatusCode, Json<Connection>), Problem> {
    let server = new.checked()?;
    let token = Sensitive::new(new.token);
    if inner.known.server(&server.name).is_err() {
        inner.remotes.greet(&server, &token).await?;
        inner.remotes.keep_token(&server.name, &token).await?;
    }
    inner.known.add(server.clone()).await?;
    Ok((StatusCode::CREATED, Json(shown(&inner, &server, &inner.known.current()).await)))
}

/// Forgets a server, its token and what was copied from it.
async fn remove(State(inner): State<Arc<Inner>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    inner.known.server(&name)?;
    inner.remotes.forget(&name).await?;
    inner.copies.forget(&name).await;
    inner.known.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn choose(
    State(inner): State<Arc<Inner>>,
    Body(wanted): Body<UseConnection>,
) -> Result<Json<Connection>, Problem> {
    inner.known.choose(&wanted.name).await?;
    Ok(Json(match inner.known.server(&wanted.name) {
        Ok(server) => shown(&inner, &server, &wanted.name).await,
        Err(_) => embedded(true),
    }))
}
