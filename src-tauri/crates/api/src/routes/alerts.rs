//! What is wrong, and was.

use super::{Answer, page};
use crate::{extract::Params, problem::Problem, router::Rooms, wire::List};
use axum::extract::State;
use clusterdeck_domain::Alert;

/// Alerts: open ones first, then by time, the newest first. While a problem lasts there is one row of it.
#[utoipa::path(get, operation_id = "list_alerts", path = "/v1/alerts", tag = "watch",
    params(("cluster" = Option<String>, Query, description = "Name or id"),
        ("open" = Option<bool>, Query, description = "Only those that last"), ("cursor" = Option<String>, Query),
        ("limit" = Option<u32>, Query)),
    responses((status = 200, body = List<Alert>), (status = 400, body = Problem)))]
pub(crate) async fn list(State(rooms): State<Rooms>, params: Params) -> Answer<List<Alert>> {
    let mut alerts = rooms.engine.alerts().await;
    if params.flag("open")? {
        alerts.retain(Alert::open);
    }
    if let Some(cluster) = params.text("cluster") {
        let of = |alert: &Alert| alert.cluster_id.as_ref().is_some_and(|id| id.as_str() == cluster);
        alerts.retain(|alert| of(alert) || alert.cluster.as_deref() == Some(cluster));
    }
    page(alerts, &params, place)
}

/// Where it stands in the list.
fn place(alert: &Alert) -> String {
    let at = alert.resolved_at.unwrap_or(alert.raised_at).as_nanosecond();
    format!("{}-{:039}-{}", u8::from(!alert.open()), i128::MAX - at, alert.id)
}
