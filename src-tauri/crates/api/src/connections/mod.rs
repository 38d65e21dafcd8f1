//! The control planes this home talks to: the engine of this computer, and servers that run `clusterdeck serve`. Each
//! request is for one of them: the one named in `X-Clusterdeck-Connection`, else the current one.

mod copies;
mod handlers;
mod list;
mod pin;
mod remote;
mod sse;

pub(crate) use copies::Copies;
pub(crate) use handlers::only_embedded;
pub(crate) use list::Server;
pub use list::{Connection, ConnectionKind, EMBEDDED, NewConnection, UseConnection};
pub use sse::{Notices, Streamed};

use crate::{home::Kept, problem::Problem};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, Request, Response},
};
use list::Known;
use remote::Remotes;
use std::sync::Arc;
use tower::ServiceExt;

/// Names the connection a request is for.
pub const CONNECTION: HeaderName = HeaderName::from_static("x-clusterdeck-connection");
/// Says how old an answer from the copy is.
pub const AS_OF: HeaderName = HeaderName::from_static("x-clusterdeck-as-of");

/// The connections of a home.
pub(crate) struct Connections {
    inner: Arc<Inner>,
    router: Router,
}

pub(crate) struct Inner {
    known: Known,
    remotes: Remotes,
    copies: Copies,
}

impl Connections {
    pub(crate) async fn open(kept: &Kept) -> Result<Self, Problem> {
        let inner = Arc::new(Inner {
            known: Known::open(kept.state.clone()).await?,
            remotes: Remotes::new(kept.secrets.clone()),
            copies: Copies::new(kept.cache.clone()),
        });
        Ok(Self { router: handlers::router(inner.clone()), inner })
    }

    /// Answers `/v1/connections…`.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    /// The server a request is for; `None` for the engine of this computer.
    pub(crate) fn chosen(&self, headers: &HeaderMap) -> Result<Option<Server>, Problem> {
        self.inner.known.chosen(headers.get(CONNECTION).map(|v| v.to_str().unwrap_or("?")))
    }

    /// Answers from a server, or from the copy when it cannot be reached.
    pub(crate) async fn remote(&self, server: &Server, request: Request<Body>) -> Response<Body> {
        self.inner.remotes.answer(server, request, &self.inner.copies).await
    }

    pub(crate) fn copies(&self) -> &Copies {
        &self.inner.copies
    }
}
