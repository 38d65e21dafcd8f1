//! Resync: every replica gets a fresh copy of its primary's data, one after the other. Never automatic.

use super::add_node::copy_ms;
use super::rules::{self, fresh, has_replicas, leaders_well, words, writes_would_stop};
use super::{Facts, Finding, Preview, Subject};
use crate::{ClusterObserved, NodeSpec, Role, Topology};

pub(super) fn preview(subject: &Subject<'_>, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Resync {}", spec.name));
    preview.destructive = true;
    preview.confirm = Some(spec.name.to_string());
    preview.block(rules::free(subject));
    if spec.data_nodes().count() < 2 || spec.topology == Topology::Single {
        preview.block(
            Finding::new("one-node", format!("{} has one node: there is nothing to copy to.", spec.name))
                .at("/cluster"),
        );
        return preview;
    }
    if !has_replicas(spec.topology) {
        preview.block(
            Finding::new(
                "no-replicas",
                format!("Every node of {} takes writes: none is a copy of another.", spec.name),
            )
            .at("/cluster"),
        );
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if !leaders_well(spec, seen, &mut preview) {
        return preview;
    }
    let replicas = replicas(subject, seen, &mut preview);
    if replicas.is_empty() {
        preview.block(
            Finding::new("no-replicas", format!("No replica of {} is in service.", spec.name)).at("/cluster"),
        );
        return preview;
    }
    for node in &replicas {
        if seen.node(&node.id).is_some_and(|n| n.diverged) {
            preview.warn(Finding::new(
                "diverged",
                format!(
                    "{} holds writes that its primary lacks. They are set aside first, not merged.",
                    node.name
                ),
            ));
        }
    }
    effects(subject, seen, &replicas, &mut preview);
    preview
}

/// The replicas in service: all data nodes that do not lead. One that is silent is told, not left out.
fn replicas<'a>(subject: &Subject<'a>, seen: &ClusterObserved, preview: &mut Preview) -> Vec<&'a NodeSpec> {
    let leads = |n: &&NodeSpec| {
        seen.node(&n.id).is_some_and(|n| matches!(n.role, Some(Role::Primary | Role::ShardPrimary)))
    };
    let (in_service, drained): (Vec<_>, Vec<_>) =
        subject.spec.data_nodes().filter(|n| !leads(n)).partition(|n| !n.drained);
    if !drained.is_empty() {
        let names: Vec<&str> = drained.iter().map(|n| n.name.as_str()).collect();
        preview.warn(Finding::new(
            "drained-left-out",
            format!("{} out of service and left out.", is_are(&names)),
        ));
    }
    in_service
}

fn is_are(names: &[&str]) -> String {
    format!("{} {}", words::list(names), if names.len() == 1 { "is" } else { "are" })
}

fn effects(subject: &Subject<'_>, seen: &ClusterObserved, replicas: &[&NodeSpec], preview: &mut Preview) {
    let spec = subject.spec;
    let primary_of = |node: &NodeSpec| match node.shard {
        Some(shard) => seen.shard_primary(shard),
        None => seen.primary(),
    };
    let mut in_all = 0_u64;
    for node in replicas {
        let data = primary_of(node).and_then(|n| n.data_bytes);
        let ms = copy_ms(data.unwrap_or(0));
        in_all = in_all.saturating_add(ms);
        // A replica that copies does not count as one that follows.
        if let Some(what) = writes_would_stop(spec, seen, node) {
            preview.warn(Finding::new(
                "writes-would-stop",
                format!("{what} while it copies, for about {}.", words::wait(ms)),
            ));
            preview.expected_downtime_ms = preview.expected_downtime_ms.max(ms);
        }
    }
    let names: Vec<&str> = replicas.iter().map(|n| n.name.as_str()).collect();
    let order = if names.len() == 1 { "" } else { ", one after the other" };
    preview.effect(format!("{} copied to anew{order}, and out of the endpoint meanwhile.", is_are(&names)));
    preview.effect(if names.len() == 1 {
        "Its old data is set aside, not deleted, until the new copy streams."
    } else {
        "The old data of each is set aside, not deleted, until its new copy streams."
    });
    let sizes: Option<u64> = replicas.iter().map(|n| primary_of(n).and_then(|p| p.data_bytes)).sum();
    preview.effect(match sizes {
        Some(n) => format!("{} in all is copied: about {}.", words::bytes(n), words::wait(in_all)),
        None => "How much is copied, and how long that takes, is unknown.".to_owned(),
    });
    preview.effect("The primary goes on serving; nothing on it is changed.");
}
