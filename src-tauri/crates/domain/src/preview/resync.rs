//! Resync: every replica gets a fresh copy of its primary's data, one after the other; where every node takes writes, those do
//! that hold what the others lack. Never automatic.

use super::add_node::copy_ms;
use super::rules::{self, fresh, leaders_well, words, writes_would_stop};
use super::{Facts, Finding, Preview, Subject};
use crate::{ClusterObserved, ClusterSpec, NodeSpec, Role, Topology};

/// The nodes that a resync copies to, in its order: in service, and replicas, or members that diverged.
pub fn resync_order<'a>(spec: &'a ClusterSpec, seen: Option<&ClusterObserved>) -> Vec<&'a NodeSpec> {
    let copied = |n: &&NodeSpec| {
        let seen = seen.and_then(|seen| seen.node(&n.id));
        match spec.topology {
            Topology::MultiMaster => seen.is_some_and(|n| n.diverged),
            _ => !seen.and_then(|n| n.role).is_some_and(Role::takes_writes),
        }
    };
    spec.data_nodes().filter(|n| !n.drained).filter(copied).collect()
}

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
    let equals = spec.topology == Topology::MultiMaster;
    if equals && resync_order(spec, subject.observed).is_empty() {
        let text = format!(
            "Every node of {} takes writes, and none is known to hold what the others lack: there is nothing to copy anew.",
            spec.name
        );
        preview.block(Finding::new("no-replicas", text).at("/cluster"));
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
                    "{} holds writes that {} lack{}. They are set aside first, not merged.",
                    node.name,
                    if equals { "the other members" } else { "its primary" },
                    if equals { "" } else { "s" },
                ),
            ));
        }
    }
    effects(subject, seen, &replicas, &mut preview);
    preview
}

/// Those that are copied to. One that is silent is told, not left out; a drained one is left out and named.
fn replicas<'a>(subject: &Subject<'a>, seen: &ClusterObserved, preview: &mut Preview) -> Vec<&'a NodeSpec> {
    let drained: Vec<&str> =
        subject.spec.data_nodes().filter(|n| n.drained).map(|n| n.name.as_str()).collect();
    if !drained.is_empty() {
        let text = format!("{} out of service and left out.", is_are(&drained));
        preview.warn(Finding::new("drained-left-out", text));
    }
    resync_order(subject.spec, Some(seen))
}

fn is_are(names: &[&str]) -> String {
    format!("{} {}", words::list(names), if names.len() == 1 { "is" } else { "are" })
}

fn effects(subject: &Subject<'_>, seen: &ClusterObserved, replicas: &[&NodeSpec], preview: &mut Preview) {
    let spec = subject.spec;
    let equals = spec.topology == Topology::MultiMaster;
    let primary_of = |node: &NodeSpec| match node.shard {
        Some(shard) => seen.shard_primary(shard),
        // A member copies from any that serves: the largest data set is what it may take.
        None if equals => seen.nodes.iter().filter(|n| n.node != node.id).max_by_key(|n| n.data_bytes),
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
    preview.effect(if equals {
        "The other members go on serving; nothing on them is changed."
    } else {
        "The primary goes on serving; nothing on it is changed."
    });
}
