//! Measured values over time.

use serde::{Deserialize, Serialize};

/// What is measured of a node. The order is the column order of the stored samples: append, never reorder.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Metric {
    CpuPercent,
    MemoryBytes,
    DiskBytes,
    NetworkInBytesPerSecond,
    NetworkOutBytesPerSecond,
    OperationsPerSecond,
    Clients,
    HitRatePercent,
    LagBytes,
}

/// All metrics, in column order.
pub const METRICS: [Metric; 9] = [
    Metric::CpuPercent,
    Metric::MemoryBytes,
    Metric::DiskBytes,
    Metric::NetworkInBytesPerSecond,
    Metric::NetworkOutBytesPerSecond,
    Metric::OperationsPerSecond,
    Metric::Clients,
    Metric::HitRatePercent,
    Metric::LagBytes,
];

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Unit {
    Percent,
    Bytes,
    BytesPerSecond,
    PerSecond,
    Count,
}

impl Metric {
    /// Its unit.
    pub const fn unit(self) -> Unit {
        match self {
            Self::CpuPercent | Self::HitRatePercent => Unit::Percent,
            Self::MemoryBytes | Self::DiskBytes | Self::LagBytes => Unit::Bytes,
            Self::NetworkInBytesPerSecond | Self::NetworkOutBytesPerSecond => Unit::BytesPerSecond,
            Self::OperationsPerSecond => Unit::PerSecond,
            Self::Clients => Unit::Count,
        }
    }
    /// Its title in a chart.
    pub const fn title(self) -> &'static str {
        match self {
            Self::CpuPercent => "CPU",
            Self::MemoryBytes => "Memory",
            Self::DiskBytes => "Disk",
            Self::NetworkInBytesPerSecond => "Network in",
            Self::NetworkOutBytesPerSecond => "Network out",
            Self::OperationsPerSecond => "Operations",
            Self::Clients => "Clients",
            Self::HitRatePercent => "Hit rate",
            Self::LagBytes => "Replication lag",
        }
    }
    /// The id used in shapes and addresses.
    pub const fn id(self) -> &'static str {
        match self {
            Self::CpuPercent => "cpu-percent",
            Self::MemoryBytes => "memory-bytes",
            Self::DiskBytes => "disk-bytes",
            Self::NetworkInBytesPerSecond => "network-in-bytes-per-second",
            Self::NetworkOutBytesPerSecond => "network-out-bytes-per-second",
            Self::OperationsPerSecond => "operations-per-second",
            Self::Clients => "clients",
            Self::HitRatePercent => "hit-rate-percent",
            Self::LagBytes => "lag-bytes",
        }
    }
}

/// One measured value; `value` is `null` where nothing could be measured, so that a gap is drawn as a gap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Point {
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
    /// In the metric's unit.
    pub value: Option<f64>,
}

/// One metric of one node over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Series {
    /// What is measured.
    pub metric: Metric,
    /// In which unit.
    pub unit: Unit,
    /// Name of the node.
    pub node: String,
    /// Oldest first, evenly spaced by the step that was asked for.
    pub points: Vec<Point>,
}
