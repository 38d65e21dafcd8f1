//! The picture of one metric, for what leaves the window: a report, a mail, a terminal's browser.

use super::metrics::{Wanted, metric};
use crate::{
    extract::Params,
    problem::{Code, Problem},
    router::Rooms,
};
use axum::{
    extract::{Path, State},
    http::{HeaderName, header},
};
use clusterdeck_charts::{ChartError, ChartSpec, Theme, render_png, render_svg};

/// One metric of a cluster's nodes as a picture.
#[utoipa::path(get, operation_id = "draw_chart", path = "/v1/clusters/{id}/metrics/chart", tag = "watch",
    params(("id" = String, Path, description = "Name or id"), ("metric" = String, Query),
        ("from" = Option<i64>, Query), ("to" = Option<i64>, Query), ("step" = Option<i64>, Query),
        ("node" = Option<Vec<String>>, Query, description = "May repeat"),
        ("format" = Option<String>, Query, description = "svg (default) or png"),
        ("theme" = Option<String>, Query, description = "light (default) or dark"),
        ("width" = Option<u32>, Query, description = "800 when left out"),
        ("height" = Option<u32>, Query, description = "320 when left out"),
        ("utc_offset_seconds" = Option<i32>, Query, description = "Shows local time; UTC when left out")),
    responses((status = 200, body = String, content_type = "image/svg+xml"), (status = 400, body = Problem),
        (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
    params: Params,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), Problem> {
    let asked = params.text("metric").ok_or_else(|| Problem::invalid("/metric", "name one metric"))?;
    let metric = metric(asked)?;
    let theme = match params.text("theme").unwrap_or("light") {
        "light" => Theme::Light,
        "dark" => Theme::Dark,
        _ => return Err(Problem::invalid("/theme", "`theme` is `light` or `dark`")),
    };
    let png = match params.text("format").unwrap_or("svg") {
        "svg" => false,
        "png" => true,
        _ => return Err(Problem::invalid("/format", "`format` is `svg` or `png`")),
    };
    let report = rooms.engine.cluster(&id).await?;
    let (width, height) = (params.parse("width")?.unwrap_or(800), params.parse("height")?.unwrap_or(320));
    // About a point for every two pixels.
    let wanted = Wanted::read(&params, &report, i64::from(width / 2))?;
    let series = wanted.series(&rooms).await?;
    let spec = ChartSpec {
        metric,
        title: Some(format!("{} · {}", report.spec.name, metric.title())),
        from: wanted.from,
        to: wanted.to,
        utc_offset_seconds: params.parse("utc_offset_seconds")?.unwrap_or(0),
        width,
        height,
        theme,
        thresholds: Vec::new(),
    };
    // Drawing takes tens of milliseconds: not on a thread that answers others.
    let drawn = tokio::task::spawn_blocking(move || {
        if png { render_png(&spec, &series) } else { render_svg(&spec, &series).map(String::into_bytes) }
    });
    let picture =
        drawn.await.map_err(|e| Problem::new(Code::Internal, format!("the chart was not drawn: {e}")))?;
    let kind = if png { "image/png" } else { "image/svg+xml" };
    Ok(([(header::CONTENT_TYPE, kind)], picture.map_err(problem)?))
}

fn problem(error: ChartError) -> Problem {
    let text = error.to_string();
    match error {
        ChartError::Size { .. } => Problem::invalid("/width", text),
        ChartError::Range { .. } => Problem::invalid("/from", text),
        _ => Problem::new(Code::Internal, text),
    }
}
