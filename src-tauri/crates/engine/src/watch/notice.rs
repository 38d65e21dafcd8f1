//! What is worth telling between two looks at a cluster.

use crate::{
    engine::Shared,
    event::{Event, EventKind, Level},
    repository::{AuditEntry, Page},
};
use clusterdeck_domain::{
    ClusterObserved, ClusterSpec, Health, Lifecycle, METRICS, Metric, NodeId, NodeMetrics, NodeObserved, Role,
};
use jiff::Timestamp;
use std::collections::BTreeSet;

const NOTICED: &str = "failover-noticed";

/// Tells listeners what changed, and the audit trail what nobody here asked for.
pub(super) async fn changes(
    shared: &Shared,
    spec: &ClusterSpec,
    before: Option<&ClusterObserved>,
    led_by: &BTreeSet<NodeId>,
    seen: &ClusterObserved,
) {
    let (Some(before), Lifecycle::Active) = (before, spec.lifecycle) else { return };
    let busy = shared.live(&spec.id).is_ok_and(|live| live.busy.is_some());
    for node in &seen.nodes {
        let Some(name) = spec.node(&node.node).map(|n| n.name.as_str()) else { continue };
        let was = before.node(&node.node);
        if let Some((kind, level, text)) = turn(name, was, node) {
            send(shared, spec, kind, level, Some(name), text);
        }
    }
    let new = leaders(seen);
    // Nobody leading for a while is a failover in the middle; the end of it is what counts.
    let taken_over: Vec<&NodeId> = new.difference(led_by).collect();
    if busy || taken_over.is_empty() || led_by.is_empty() {
        return;
    }
    let again = took_over_before(shared, spec, seen.at).await;
    for id in taken_over {
        let name = spec.node(id).map_or("?", |n| n.name.as_str());
        let mut text = format!("{name} took over by itself in {}", spec.name);
        let mut level = Level::Warning;
        if let Some(minutes) = again {
            // Holding the voters back instead would make an outage of the next crash, and only while we run.
            text.push_str(&format!(
                "; it is not the first time within the hour (the last was {minutes} min ago): look for the cause in the \
                 nodes' logs, or switch automatic failover off until it is found"
            ));
            level = Level::Error;
        }
        send(shared, spec, EventKind::FailoverNoticed, level, Some(name), text.clone());
        let entry = AuditEntry::new(seen.at, "cluster", NOTICED, text).result("noticed");
        let entry = AuditEntry { node: Some(name.to_owned()), ..entry };
        shared.audit(entry.about(&spec.id, spec.name.as_str())).await;
    }
}

/// Whether a person who looks at both would see another cluster: anything but measurements differs, or one of them by a
/// tenth and by more than its flicker.
pub(super) fn differ(before: &ClusterObserved, seen: &ClusterObserved) -> bool {
    let still = |seen: &ClusterObserved| {
        let mut still = ClusterObserved { at: Timestamp::UNIX_EPOCH, ..seen.clone() };
        for node in &mut still.nodes {
            // Grow by themselves: servers tell each other that they are there.
            (node.offset_bytes, node.data_bytes, node.lag_bytes, node.lag_ms) = (None, None, None, None);
            node.metrics = NodeMetrics::default();
            // Their seconds grow, and clients come and go between two looks.
            node.open_transactions.clear();
        }
        still
    };
    let moved = |was: &NodeObserved, is: &NodeObserved| {
        METRICS.iter().any(|metric| match (was.metrics.get(*metric), is.metrics.get(*metric)) {
            (Some(was), Some(is)) => (is - was).abs() > flicker(*metric).max(was.abs() / 10.0),
            (was, is) => was.is_some() != is.is_some(),
        })
    };
    still(before) != still(seen) || before.nodes.iter().zip(&seen.nodes).any(|(was, is)| moved(was, is))
}

/// By how much a measurement of an idle node goes up and down, in its unit. Our own questions are among what is measured.
const fn flicker(metric: Metric) -> f64 {
    match metric {
        Metric::CpuPercent => 2.0,
        Metric::MemoryBytes | Metric::DiskBytes => 1_048_576.0,
        Metric::NetworkInBytesPerSecond | Metric::NetworkOutBytesPerSecond => 65_536.0,
        Metric::OperationsPerSecond => 20.0,
        Metric::Clients => 0.0,
        Metric::HitRatePercent => 5.0,
        Metric::LagBytes => 4_096.0,
    }
}

/// Minutes since the cluster last failed over by itself, when that is less than an hour.
async fn took_over_before(shared: &Shared, spec: &ClusterSpec, now: Timestamp) -> Option<i64> {
    let page = Page { limit: 50, cluster: Some(spec.id.clone()), ..Page::default() };
    let (lines, _) = shared.state.audit(&page).await.ok()?;
    let last = lines.iter().find(|line| line.action == NOTICED)?;
    let seconds = now.duration_since(last.at).as_secs();
    // Two shards that lose their primaries together are one event.
    (60..3600).contains(&seconds).then_some(seconds / 60)
}

/// The nodes that lead where one leads: a primary, the primaries of shards.
pub(crate) fn leaders(seen: &ClusterObserved) -> BTreeSet<NodeId> {
    let leading = |n: &&NodeObserved| matches!(n.role, Some(Role::Primary | Role::ShardPrimary));
    seen.nodes.iter().filter(leading).map(|n| n.node.clone()).collect()
}

fn turn(name: &str, was: Option<&NodeObserved>, is: &NodeObserved) -> Option<(EventKind, Level, String)> {
    let was = was.map(|n| n.health)?;
    match (was, is.health) {
        (Health::Down, Health::Healthy) => {
            Some((EventKind::NodeRecovered, Level::Info, format!("{name} is healthy again")))
        }
        (was, Health::Down) if was != Health::Down => {
            let why = is.detail.as_deref().unwrap_or("it does not answer");
            Some((EventKind::NodeDown, Level::Error, format!("{name} is down: {why}")))
        }
        _ => None,
    }
}

fn send(
    shared: &Shared,
    spec: &ClusterSpec,
    kind: EventKind,
    level: Level,
    node: Option<&str>,
    text: String,
) {
    let mut event = Event::new(kind, level, text);
    event.cluster_id = Some(spec.id.clone());
    event.cluster = Some(spec.name.to_string());
    event.node = node.map(str::to_owned);
    shared.events.send(event, shared.now());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_domain::FailoverReadiness;

    fn seen(edit: impl Fn(&mut NodeObserved)) -> ClusterObserved {
        let mut node = NodeObserved::unknown(NodeId::new(1));
        node.health = Health::Healthy;
        node.offset_bytes = Some(100);
        node.metrics.cpu_percent = Some(1.0);
        node.metrics.operations_per_second = Some(1000.0);
        edit(&mut node);
        let failover = FailoverReadiness { enabled: true, ready: true, reason: String::new() };
        ClusterObserved {
            at: Timestamp::UNIX_EPOCH,
            nodes: vec![node],
            votes: None,
            failover,
            endpoint_up: None,
        }
    }

    #[test]
    fn small_talk_is_not_told_and_what_a_person_would_see_is() {
        let before = seen(|_| ());
        assert!(!differ(&before, &seen(|n| n.offset_bytes = Some(900))), "servers greet each other");
        assert!(!differ(&before, &seen(|n| n.metrics.cpu_percent = Some(2.5))), "an idle flicker");
        assert!(
            !differ(&before, &seen(|n| n.metrics.operations_per_second = Some(1090.0))),
            "less than a tenth"
        );
        assert!(differ(&before, &seen(|n| n.metrics.operations_per_second = Some(1200.0))), "more traffic");
        assert!(differ(&before, &seen(|n| n.metrics.cpu_percent = None)), "not measured any more");
        assert!(differ(&before, &seen(|n| n.health = Health::Down)), "a node went down");
        assert!(differ(&before, &seen(|n| n.metrics.clients = Some(1.0))), "the first client");
    }
}
