//! The latest measurements in the text form that Prometheus scrapes (exposition format 0.0.4).

use crate::router::Rooms;
use axum::{
    extract::State,
    http::{HeaderName, header},
};
use clusterdeck_domain::{Health, METRICS, NodeKind};
use clusterdeck_engine::ClusterReport;
use std::fmt::Write;

/// The latest measurements for Prometheus. What is not known is left out, never zero.
#[utoipa::path(get, operation_id = "scrape_metrics", path = "/metrics", tag = "watch",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn show(State(rooms): State<Rooms>) -> ([(HeaderName, &'static str); 1], String) {
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([kind], text(&rooms.engine.clusters().await))
}

fn text(clusters: &[ClusterReport]) -> String {
    let mut out = String::new();
    family(
        &mut out,
        "clusterdeck_cluster_healthy",
        "1 when the cluster is healthy, 0 when not, absent when unknown",
    );
    for cluster in clusters.iter().filter(|c| c.health != Health::Unknown) {
        let labels = cluster_labels(cluster);
        line(
            &mut out,
            "clusterdeck_cluster_healthy",
            &labels,
            f64::from(u8::from(cluster.health == Health::Healthy)),
        );
    }
    family(&mut out, "clusterdeck_failover_ready", "1 when a dead primary would be replaced by itself");
    for cluster in clusters {
        if let Some(seen) = &cluster.observed {
            let ready = f64::from(u8::from(seen.failover.ready));
            line(&mut out, "clusterdeck_failover_ready", &cluster_labels(cluster), ready);
        }
    }
    family(
        &mut out,
        "clusterdeck_node_healthy",
        "1 when the node is healthy, 0 when not, absent when unknown",
    );
    for (labels, node) in nodes(clusters).filter(|(_, n)| n.health != Health::Unknown) {
        line(
            &mut out,
            "clusterdeck_node_healthy",
            &labels,
            f64::from(u8::from(node.health == Health::Healthy)),
        );
    }
    for metric in METRICS {
        let name = format!("clusterdeck_node_{}", metric.id().replace('-', "_"));
        family(&mut out, &name, metric.title());
        for (labels, node) in nodes(clusters) {
            if let Some(value) = node.metrics.get(metric) {
                line(&mut out, &name, &labels, value);
            }
        }
    }
    out
}

fn nodes(clusters: &[ClusterReport]) -> impl Iterator<Item = (String, &clusterdeck_domain::NodeObserved)> {
    clusters.iter().flat_map(|cluster| {
        let seen = cluster.observed.iter().flat_map(|o| &o.nodes);
        seen.filter_map(move |node| {
            let spec = cluster.spec.node(&node.node).filter(|spec| spec.kind == NodeKind::Data)?;
            Some((format!("{},node=\"{}\"", cluster_labels(cluster), escaped(&spec.name)), node))
        })
    })
}

fn cluster_labels(cluster: &ClusterReport) -> String {
    let spec = &cluster.spec;
    format!(
        "cluster=\"{}\",service=\"{}\",topology=\"{}\"",
        escaped(spec.name.as_str()),
        spec.service,
        spec.topology
    )
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn family(out: &mut String, name: &str, help: &str) {
    // Writing to a string cannot fail.
    let _written = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    let _written = writeln!(out, "{name}{{{labels}}} {value}");
}
