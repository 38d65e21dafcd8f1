//! Measurements: over time as JSON, live as server-sent events.

use super::events::lasting;
use crate::{
    extract::Params,
    problem::Problem,
    router::Rooms,
    wire::{MetricSample, MetricsAnswer, NodeSample},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response, sse},
};
use clusterdeck_domain::{METRICS, Metric, NodeId, NodeKind, Series};
use clusterdeck_engine::ClusterReport;
use futures::{Stream, stream};
use jiff::Timestamp;
use std::time::Duration;

/// The watcher looks this often; there is nothing newer in between.
const ROUND: Duration = Duration::from_secs(2);
/// More points than this are no longer a picture.
const MOST_POINTS: i64 = 2_000;
const HOUR: i64 = 3_600_000;

/// A range of time and what to show of it.
pub(crate) struct Wanted {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) step: i64,
    nodes: Vec<(NodeId, String)>,
    metrics: Vec<Metric>,
}

impl Wanted {
    /// Reads the query; `points` is how many points are aimed at when no step is given.
    pub(crate) fn read(params: &Params, report: &ClusterReport, points: i64) -> Result<Self, Problem> {
        let to = params.parse("to")?.unwrap_or_else(|| Timestamp::now().as_millisecond());
        let from = params.parse("from")?.unwrap_or(to - HOUR);
        if from < 0 || from >= to {
            return Err(Problem::invalid(
                "/from",
                "`from` must lie before `to`; both are milliseconds since 1970",
            ));
        }
        let round = i64::try_from(ROUND.as_millis()).unwrap_or(2_000);
        let step =
            params.parse("step")?.unwrap_or_else(|| ((to - from) / points.max(1)).max(round) / round * round);
        if step < 1 || (to - from) / step > MOST_POINTS {
            return Err(Problem::invalid(
                "/step",
                format!("at most {MOST_POINTS} points: choose a longer step or a shorter range"),
            ));
        }
        let all = report.spec.nodes.iter().filter(|n| n.kind == NodeKind::Data);
        let named: Vec<&str> = params.all("node").collect();
        if let Some(unknown) = named.iter().find(|name| report.spec.find_node(name).is_none()) {
            return Err(Problem::not_found(&format!("node `{unknown}` in {}", report.spec.name)));
        }
        let chosen = |n: &&clusterdeck_domain::NodeSpec| {
            named.is_empty() || named.iter().any(|name| n.name == *name || n.id.as_str() == *name)
        };
        let nodes = all.filter(chosen).map(|n| (n.id.clone(), n.name.clone())).collect();
        let metrics: Vec<Metric> = params.all("metric").map(metric).collect::<Result<_, _>>()?;
        let metrics = if metrics.is_empty() { METRICS.to_vec() } else { metrics };
        Ok(Self { from, to, step, nodes, metrics })
    }

    /// Reads the points.
    pub(crate) async fn series(&self, rooms: &Rooms) -> Result<Vec<Series>, Problem> {
        let mut series = Vec::with_capacity(self.nodes.len() * self.metrics.len());
        for metric in &self.metrics {
            for (id, name) in &self.nodes {
                let points = rooms.engine.points(id, *metric, self.from, self.to, self.step).await?;
                series.push(Series { metric: *metric, unit: metric.unit(), node: name.clone(), points });
            }
        }
        Ok(series)
    }
}

/// The metric with that id.
pub(crate) fn metric(text: &str) -> Result<Metric, Problem> {
    let found = METRICS.into_iter().find(|m| m.id() == text);
    let names = || METRICS.map(Metric::id).join(", ");
    found.ok_or_else(|| {
        Problem::invalid("/metric", format!("there is no metric `{text}`; there are {}", names()))
    })
}

/// Measurements in `from..to`, one point per `step`, all in milliseconds. With `Accept: text/event-stream` a round of
/// measurements as it comes in (`event: sample`).
#[utoipa::path(get, operation_id = "show_metrics", path = "/v1/clusters/{id}/metrics", tag = "watch",
    params(("id" = String, Path, description = "Name or id"),
        ("from" = Option<i64>, Query, description = "An hour before `to` when left out"),
        ("to" = Option<i64>, Query, description = "Now when left out"),
        ("step" = Option<i64>, Query, description = "About 300 points when left out"),
        ("node" = Option<Vec<String>>, Query, description = "May repeat; all data nodes when left out"),
        ("metric" = Option<Vec<String>>, Query, description = "May repeat; all when left out")),
    responses((status = 200, body = MetricsAnswer), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let report = rooms.engine.cluster(&id).await?;
    let accepts = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/event-stream") {
        let closing = rooms.closing.clone();
        return Ok(lasting(samples(rooms, report.spec.id.to_string()), closing).into_response());
    }
    let wanted = Wanted::read(&params, &report, 300)?;
    let series = wanted.series(&rooms).await?;
    Ok(Json(MetricsAnswer { from: wanted.from, to: wanted.to, step: wanted.step, series }).into_response())
}

/// One sample for each new observation, until the cluster is gone.
fn samples(rooms: Rooms, cluster: String) -> impl Stream<Item = sse::Event> {
    let ticks = tokio::time::interval(ROUND);
    stream::unfold((rooms, cluster, ticks, None), |(rooms, cluster, mut ticks, mut last)| async move {
        loop {
            ticks.tick().await;
            let report = rooms.engine.cluster(&cluster).await.ok()?;
            let Some(sample) = sample(&report).filter(|s| last != Some(s.at)) else { continue };
            last = Some(sample.at);
            let sent = sse::Event::default().event("sample").json_data(&sample).ok()?;
            return Some((sent, (rooms, cluster, ticks, last)));
        }
    })
}

fn sample(report: &ClusterReport) -> Option<MetricSample> {
    let seen = report.observed.as_ref()?;
    let named = |n: &clusterdeck_domain::NodeObserved| {
        let spec = report.spec.node(&n.node).filter(|spec| spec.kind == NodeKind::Data)?;
        Some(NodeSample { node: spec.name.clone(), metrics: n.metrics.clone() })
    };
    Some(MetricSample { at: seen.at, nodes: seen.nodes.iter().filter_map(named).collect() })
}
