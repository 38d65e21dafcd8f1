//! Measurements of a node. Rates come from the difference to the reading before, which is kept here.

use clusterdeck_domain::{NodeId, NodeKind, NodeMetrics, NodeSpec};
use clusterdeck_driver::Machine;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Readings of at most so many nodes are kept; far more than one computer runs.
const MOST: usize = 4096;
/// A reading this old says nothing about now.
const OLDEST: Duration = Duration::from_secs(120);
const OLDEST_MS: i64 = 120_000;

/// What a server counted since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) received_bytes: Option<u64>,
    pub(crate) sent_bytes: Option<u64>,
    /// Reads that were answered from memory, and those that were not.
    pub(crate) hits: Option<u64>,
    pub(crate) misses: Option<u64>,
    pub(crate) operations: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    cpu_ms: Option<u64>,
    counters: Counters,
}

/// The last reading of each node, and when it last answered, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    last: Mutex<HashMap<NodeId, Reading>>,
    answered: Mutex<HashMap<NodeId, i64>>,
}

#[allow(clippy::cast_precision_loss)]
const fn float(value: u64) -> f64 {
    value as f64
}

/// The growth of a counter a second; nothing when it went back (the server was started again).
fn rate(now: Option<u64>, before: Option<u64>, seconds: f64) -> Option<f64> {
    let grown = now?.checked_sub(before?)?;
    (seconds > 0.0).then(|| float(grown) / seconds)
}

impl Readings {
    /// Measures a node: its unit, the folder of its data, and what its server counted.
    pub(crate) async fn measure(
        &self,
        node: &NodeSpec,
        machine: &dyn Machine,
        unit: &str,
        folder: &str,
        counters: Counters,
    ) -> NodeMetrics {
        let data = async {
            match node.kind {
                NodeKind::Data => machine.disk_bytes(folder).await.ok(),
                NodeKind::Witness => None,
            }
        };
        let (usage, disk) = futures::join!(machine.usage(unit), data);
        let usage = usage.unwrap_or_default();
        let now = Reading { at: Instant::now(), cpu_ms: usage.cpu_ms, counters };
        let mut metrics = NodeMetrics {
            memory_bytes: usage.memory_bytes.map(float),
            disk_bytes: disk.map(float),
            ..NodeMetrics::default()
        };
        if let Some(before) = self.replace(&node.id, now) {
            let seconds = now.at.duration_since(before.at).as_secs_f64();
            // Milliseconds of processor time in a second: a thousand are one core at work all the time.
            metrics.cpu_percent = rate(now.cpu_ms, before.cpu_ms, seconds).map(|ms| ms / 10.0);
            let (now, before) = (now.counters, before.counters);
            metrics.network_in_bytes_per_second = rate(now.received_bytes, before.received_bytes, seconds);
            metrics.network_out_bytes_per_second = rate(now.sent_bytes, before.sent_bytes, seconds);
            metrics.operations_per_second = rate(now.operations, before.operations, seconds);
            let hits = rate(now.hits, before.hits, seconds);
            let misses = rate(now.misses, before.misses, seconds);
            metrics.hit_rate_percent =
                hits.zip(misses).filter(|(h, m)| h + m > 0.0).map(|(h, m)| 100.0 * h / (h + m));
        }
        metrics
    }

    /// Notes whether a server answers, and tells when it last did: one that has answered since it was started and is silent
    /// now does not start any more, it hangs.
    pub(crate) fn answered(&self, node: &NodeId, answers: bool) -> Option<i64> {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now().as_millisecond();
        if answered.len() >= MOST {
            // Those of nodes that are gone; a silent one that is so old as well is not young any more.
            answered.retain(|_, at| now.saturating_sub(*at) < OLDEST_MS);
        }
        if answers && (answered.len() < MOST || answered.contains_key(node)) {
            answered.insert(node.clone(), now);
        }
        answered.get(node).copied()
    }

    fn replace(&self, node: &NodeId, now: Reading) -> Option<Reading> {
        let mut readings = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.len() >= MOST {
            readings.retain(|_, r| r.at.elapsed() < OLDEST);
        }
        let before = if readings.len() < MOST || readings.contains_key(node) {
            readings.insert(node.clone(), now)
        } else {
            None
        };
        before.filter(|b| b.at.elapsed() < OLDEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_went_back_has_no_rate() {
        assert_eq!(rate(Some(300), Some(100), 2.0), Some(100.0));
        assert_eq!(rate(Some(10), Some(100), 2.0), None, "the server was started again");
        assert_eq!(rate(None, Some(100), 2.0), None);
    }
}
