//! Charts as pictures: series in, an SVG or a PNG out. Pure: no file, no clock, no font of the system.
//!
//! The window draws its live charts itself; this room draws what is exported, mailed and shown in a terminal's browser.
//! The picture says what it shows without the window around it: title, unit, time with its zone, nodes by name.

mod draw;
mod font;
mod line;
mod picture;
mod theme;
mod time;
mod value;

pub use theme::Theme;

use clusterdeck_domain::{Metric, Series};
use serde::{Deserialize, Serialize};

/// Fewest pixels a side may have: below, nothing could be read.
pub const MIN_SIDE: u32 = 160;
/// Most pixels a side may have: a picture of 4096 by 4096 takes 48 MiB while it is drawn.
pub const MAX_SIDE: u32 = 4096;
/// Most series that are drawn; the rest is counted in the legend.
pub const MAX_SERIES: usize = 64;

/// A line to measure by: where an alert begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Threshold {
    /// Where, in the metric's unit.
    pub value: f64,
    /// What happens there: *alert above*.
    pub label: String,
}

/// What to draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChartSpec {
    /// What is measured; series of other metrics are left out.
    pub metric: Metric,
    /// Above the chart: *demo · Memory*. The metric's own title when left out.
    #[serde(default)]
    pub title: Option<String>,
    /// First moment, milliseconds since 1970-01-01 UTC.
    pub from: i64,
    /// Last moment, milliseconds since 1970-01-01 UTC.
    pub to: i64,
    /// Distance of the times shown from UTC, in seconds east; 0 shows UTC.
    #[serde(default)]
    pub utc_offset_seconds: i32,
    /// Pixels, [`MIN_SIDE`] to [`MAX_SIDE`].
    pub width: u32,
    /// Pixels, [`MIN_SIDE`] to [`MAX_SIDE`].
    pub height: u32,
    /// Light or dark.
    #[serde(default)]
    pub theme: Theme,
    /// Lines to measure by.
    #[serde(default)]
    pub thresholds: Vec<Threshold>,
}

/// Why no picture could be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChartError {
    /// Too small to read or too large to hold.
    #[error("a chart is {MIN_SIDE} to {MAX_SIDE} pixels wide and high, not {width} by {height}")]
    Size {
        /// Asked for.
        width: u32,
        /// Asked for.
        height: u32,
    },
    /// It ends before it begins, or lies outside of what a calendar holds.
    #[error("a chart needs a time to begin and a later one to end, not {from} to {to}")]
    Range {
        /// Asked for.
        from: i64,
        /// Asked for.
        to: i64,
    },
    /// More than 26 hours from UTC.
    #[error("{0} seconds is no distance from UTC")]
    Offset(i32),
    /// The drawing library refused.
    #[error("the chart could not be drawn: {0}")]
    Drawing(String),
}

/// Draws an SVG document. Text stays text, in Inter or what the viewer has in its place.
///
/// # Errors
/// [`ChartError`] when the size, the range or the zone cannot be drawn.
pub fn render_svg(spec: &ChartSpec, series: &[Series]) -> Result<String, ChartError> {
    picture::svg(spec, series)
}

/// Draws a PNG, eight bits for each of red, green and blue.
///
/// # Errors
/// [`ChartError`] when the size, the range or the zone cannot be drawn.
pub fn render_png(spec: &ChartSpec, series: &[Series]) -> Result<Vec<u8>, ChartError> {
    picture::png(spec, series)
}
