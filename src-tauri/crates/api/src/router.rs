//! The one router. Window, browser, scripts and the command line all end here; what differs between them (who asks,
//! who may) is decided before.

use crate::{
    problem::{Code, Problem},
    routes,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use clusterdeck_engine::Engine;
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, path::PathBuf};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What the handlers see.
#[derive(Clone)]
pub struct Rooms {
    /// The engine.
    pub engine: Engine,
    /// The home's folder.
    pub home: PathBuf,
    /// Cancelled when everything ends: streams end with it.
    pub closing: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Clusterdeck",
        description = "Creates and runs clusters. A change is previewed (`POST /v1/previews`), then confirmed \
                       (`POST /v1/operations`). Errors are `application/problem+json` with a `code` from a closed list. \
                       Times are RFC 3339 UTC, sizes bytes, durations milliseconds.",
    ),
    components(schemas(Problem, clusterdeck_engine::Event, crate::wire::MetricSample)),
    security(("token" = [])),
    modifiers(&Token),
    tags(
        (name = "catalog", description = "What there is to choose from"),
        (name = "clusters", description = "What runs"),
        (name = "changes", description = "Previews and operations"),
        (name = "backups", description = "Copies of the data, and where they are"),
        (name = "watch", description = "Notices, measurements, logs"),
        (name = "program", description = "About this program"),
    ),
)]
struct Document;

struct Token;
impl utoipa::Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

fn described() -> OpenApiRouter<Rooms> {
    use routes::{
        alerts, audit, backups, catalog, changes, charts, clusters, credentials, events, info, logs, metrics,
        nodes, operations, prometheus, settings,
    };
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(info::info))
        .routes(routes!(catalog::services))
        .routes(routes!(catalog::service))
        .routes(routes!(catalog::providers))
        .routes(routes!(catalog::regions))
        .routes(routes!(catalog::plans))
        .routes(routes!(clusters::list))
        .routes(routes!(clusters::show))
        .routes(routes!(clusters::endpoints))
        .routes(routes!(clusters::access))
        .routes(routes!(clusters::parameters))
        .routes(routes!(credentials::show))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::show))
        .routes(routes!(nodes::client))
        .routes(routes!(logs::show))
        .routes(routes!(changes::preview))
        .routes(routes!(operations::list, changes::confirm))
        .routes(routes!(operations::show))
        .routes(routes!(operations::journal))
        .routes(routes!(operations::cancel))
        .routes(routes!(operations::keep))
        .routes(routes!(operations::retry))
        .routes(routes!(backups::list))
        .routes(routes!(backups::of_cluster))
        .routes(routes!(backups::show))
        .routes(routes!(backups::range_of_cluster))
        .routes(routes!(backups::range))
        .routes(routes!(backups::download))
        .routes(routes!(backups::formats))
        .routes(routes!(backups::vaults, backups::add_vault))
        .routes(routes!(backups::remove_vault))
        .routes(routes!(backups::check_vault))
        .routes(routes!(backups::change_vault_secret))
        .routes(routes!(backups::try_vault))
        .routes(routes!(backups::key, backups::import_key))
        .routes(routes!(alerts::list))
        .routes(routes!(audit::list))
        .routes(routes!(events::stream))
        .routes(routes!(metrics::show))
        .routes(routes!(charts::show))
        .routes(routes!(settings::show, settings::replace))
        .routes(routes!(prometheus::show))
}

/// The OpenAPI 3.1 document, generated from the handlers.
pub fn document() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// The router of an engine.
pub fn router(rooms: Rooms) -> Router {
    let (router, document) = described().split_for_parts();
    let text = axum::body::Bytes::from(document.to_pretty_json().unwrap_or_default());
    router
        .route(
            "/v1/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], text.clone()) }),
        )
        .fallback(async || Problem::not_found("such address").hint("GET /v1/openapi.json lists them all."))
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(crate::extract::MAX_BODY))
        .layer(middleware::from_fn_with_state((), survive))
        .with_state(rooms)
}

async fn not_allowed(method: Method) -> Problem {
    Problem::new(Code::Invalid, format!("this address does not take {method}"))
        .status(StatusCode::METHOD_NOT_ALLOWED)
}

/// A panic in one handler is one failed request, told and logged, and nothing else.
async fn survive(State(()): State<()>, request: Request, next: Next) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(ToString::to_string);
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(request = %what, panic = %said, "a handler panicked");
            Problem::new(
                Code::Internal,
                "the request could not be answered because of a fault in Clusterdeck",
            )
            .detail("The servers keep running. An operation that was under way goes on.")
            .hint("The log has the details; please report it.")
            .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_handler_that_panics_is_one_failed_request_and_the_next_is_answered() {
        let panics = get(async || -> &'static str { panic!("on purpose") });
        let router = Router::new().route("/bad", panics).route("/good", get(async || "fine"));
        let router = router.layer(middleware::from_fn_with_state((), survive));
        let ask =
            |path: &str| router.clone().oneshot(Request::get(path).body(Body::empty()).expect("a request"));
        let bad = ask("/bad").await.expect("answered");
        assert_eq!(bad.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(bad.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(ask("/good").await.expect("answered").status(), StatusCode::OK);
    }
}
