//! Lists, measurements, and what the program says about itself.

use clusterdeck_domain::{NodeMetrics, Series};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct List<T> {
    /// What is on this page.
    pub items: Vec<T>,
    /// Give this as `cursor` for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

/// What answers here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Info {
    /// Version of the program.
    pub version: String,
    /// The home's folder.
    pub home: String,
    /// Name of the computer.
    pub host: String,
    /// When the engine started.
    #[schema(value_type = String, format = DateTime)]
    pub engine_started_at: Timestamp,
    /// What keeps the secrets.
    pub secrets: String,
    /// This answer is a copy.
    pub offline: bool,
}

/// Measurements over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricsAnswer {
    /// First moment, in milliseconds since 1970.
    pub from: i64,
    /// First moment that is no longer in it.
    pub to: i64,
    /// Milliseconds between points.
    pub step: i64,
    /// One per node and metric.
    pub series: Vec<Series>,
}

/// One round of measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricSample {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What each node measured.
    pub nodes: Vec<NodeSample>,
}

/// What one node measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeSample {
    /// Its name.
    pub node: String,
    /// Its values.
    pub metrics: NodeMetrics,
}

/// Signs a browser in with the token.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
pub struct SignIn {
    /// What `clusterdeck serve --show-token` prints.
    pub token: String,
}

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    /// When it must sign in again.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}
