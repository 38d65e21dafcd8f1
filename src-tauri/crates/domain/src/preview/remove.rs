//! Remove a node for good: out of membership, slots and votes, then its machine is given back.

use super::drain::not_the_primary;
use super::rules::{
    self, backup_age, clients_of, entry, failover_of, fresh, keeps_writes, nodes_able_to_serve, others,
    quorum_after_removal, replica_needed_for_writes, replicas_that_follow, voters_without, words,
};
use super::{Facts, Finding, Preview, Subject};
use crate::{Change, ClusterObserved, ClusterSpec, Failover, NodeKind, NodeSpec, Topology};

pub(super) fn preview(subject: &Subject<'_>, node: &NodeSpec, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Remove {}", node.name));
    preview.destructive = true;
    preview.confirm = Some(node.name.clone());
    preview.block(rules::free(subject));
    if let Some(wrong) = shrinks(spec, node) {
        preview.block(wrong);
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    preview.block(quorum_after_removal(spec, seen, node).map(|f| f.at("/node")));
    if node.kind == NodeKind::Witness {
        preview.effect(format!(
            "{} stops voting and is stopped; its machine is given back. No data is touched.",
            node.name
        ));
        return preview;
    }
    preview.block(not_the_primary(spec, seen, node));
    preview.block(not_the_last_copy(spec, seen, node));
    what_is_left(spec, seen, node, &mut preview);
    preview.warn(backup_age(subject, facts));
    if let Some((clients, _)) = clients_of(seen.node(&node.id)).filter(|_| !node.drained) {
        preview.warn(Finding::new(
            "connections-open",
            format!(
                "{clients} connected to {}: what they have begun is waited for, then they are closed.",
                node.name
            ),
        ));
    }
    effects(spec, node, &mut preview);
    preview
}

/// Whether this topology can do with one node fewer.
fn shrinks(spec: &ClusterSpec, node: &NodeSpec) -> Option<Finding> {
    let data = spec.data_nodes().count();
    if node.kind == NodeKind::Witness {
        return (data <= 2).then(|| {
            Finding::new(
                "witness-needed",
                format!(
                    "{} is the third vote beside two data nodes: without it nobody can outvote a dead one.",
                    node.name
                ),
            )
            .at("/node")
            .hint("Add a data node first; it votes as well.")
        });
    }
    let min = usize::from(entry(spec).offer(&spec.version, spec.topology).map_or(1, |t| t.min_nodes));
    if data > min {
        return None;
    }
    let finding = Finding::new(
        "too-few-nodes",
        format!(
            "{} has {}; a {} cluster needs at least {min}.",
            spec.name,
            words::count(data, "data node"),
            spec.topology
        ),
    )
    .at("/node");
    Some(if data == 1 {
        let change = Change::DeleteCluster { cluster: spec.name.to_string(), discard_backups: false };
        finding.way_out(format!("Delete {} instead", spec.name), change)
    } else {
        finding.hint("Add a node first.")
    })
}

/// Another node that is well holds the same data.
fn not_the_last_copy(spec: &ClusterSpec, seen: &ClusterObserved, node: &NodeSpec) -> Option<Finding> {
    (nodes_able_to_serve(spec, seen, node) == 0).then(|| {
        let what =
            node.shard.map_or_else(|| spec.name.to_string(), |s| format!("shard {s} of {}", spec.name));
        Finding::new(
            "last-copy",
            format!("No other node with the data of {what} is known to be well: this may be its last copy."),
        )
        .at("/node")
        .hint("Bring another copy back first.")
    })
}

/// Capacity, replicas and votes afterwards.
fn what_is_left(spec: &ClusterSpec, seen: &ClusterObserved, node: &NodeSpec, preview: &mut Preview) {
    let left = others(spec, node).count();
    let of = node.shard.map_or_else(|| spec.name.to_string(), |s| format!("Shard {s} of {}", spec.name));
    let copies = if left == 1 { "1 copy".to_owned() } else { format!("{left} copies") };
    let mut text = format!("{of} keeps {copies} of its data");
    let well = nodes_able_to_serve(spec, seen, node);
    if well < left {
        text.push_str(&format!(
            ", of which {} well",
            if well == 1 { "1 is".to_owned() } else { format!("{well} are") }
        ));
    }
    if left == 1 {
        text.push_str(
            ": when that node fails too, the data cannot be reached, and it is lost with the node's disk",
        );
    } else {
        text.push_str(if well < left {
            ", and has fewer nodes to read from"
        } else {
            " and has fewer nodes to read from"
        });
    }
    preview.warn(Finding::new("capacity-after", format!("{text}.")));
    let following = replicas_that_follow(spec, seen, node.shard);
    let after = following.iter().filter(|n| n.id != node.id).count();
    if after == 1 && left >= 3 && replica_needed_for_writes(spec) {
        preview.warn(Finding::new(
            "writes-need-replica",
            "One replica that follows will be left, and writes stop without one: when it fails, the primary refuses \
             writes.",
        ));
    }
    keeps_writes(spec, seen, node, preview);
    if spec.topology == Topology::PrimaryReplica && spec.auto_failover && voters_without(spec, node).len() < 3
    {
        preview.warn(
            Finding::new(
                "no-failover-after",
                "Two voters will be left, and neither can outvote a dead one: automatic failover will not work.",
            )
            .hint("Add a node first to keep it."),
        );
    }
}

fn effects(spec: &ClusterSpec, node: &NodeSpec, preview: &mut Preview) {
    let name = &node.name;
    if !node.drained {
        preview.effect(format!("No new connection goes to {name}; open work is waited for."));
    }
    preview.effect(match spec.topology {
        Topology::Sharded => format!("{name} leaves the cluster, and all other nodes forget it."),
        Topology::PrimaryReplica if failover_of(spec) == Failover::ByVote => {
            format!("{name} leaves the cluster; its vote, if it has one, goes to another node.")
        }
        _ => format!("{name} leaves the cluster."),
    });
    preview.effect(format!("{name} is stopped, and its machine with its copy of the data is given back."));
    preview.effect(format!("The name {name} is never used again."));
}
