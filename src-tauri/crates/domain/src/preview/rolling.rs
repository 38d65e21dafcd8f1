//! What changes have in common that go over the nodes one at a time: replicas first, whoever takes the writes last and only
//! after it has handed them over.

use super::promote::write_gap_ms;
use super::reboot::{RESTART_MS, restart_ms};
use super::rules::{ailment, has_replicas, others, quorum_without, words, writes_would_stop};
use super::{Finding, Preview};
use crate::{Change, ClusterObserved, ClusterSpec, Health, NodeSpec, Role, Topology};

/// These nodes in the order in which it is their turn: whoever leads comes last.
pub(super) fn in_order<'a>(
    nodes: impl Iterator<Item = &'a NodeSpec>,
    seen: &ClusterObserved,
) -> Vec<&'a NodeSpec> {
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort_by_key(|n| (leads(seen, n), n.ordinal));
    nodes
}

/// It takes the writes alone, of the cluster or of a shard.
pub(super) fn leads(seen: &ClusterObserved, node: &NodeSpec) -> bool {
    let role = seen.node(&node.id).and_then(|n| n.role);
    matches!(role, Some(Role::Primary | Role::ShardPrimary))
}

/// Every node is in service and healthy: one at a time is gone, and all others must carry on meanwhile.
pub(super) fn all_well(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    done: &str,
    preview: &mut Preview,
) -> bool {
    let before = preview.blockers.len();
    for node in &spec.nodes {
        if node.drained {
            preview.block(
                Finding::new("drained", format!("{} was taken out of service and is stopped.", node.name))
                    .way_out(
                        format!("Put {} back into service", node.name),
                        Change::UndrainNode { node: node.name.clone() },
                    ),
            );
            continue;
        }
        let found = seen.node(&node.id);
        if found.is_none_or(|n| n.health != Health::Healthy) {
            let how = found.map_or_else(|| "in an unknown state".to_owned(), ailment);
            preview.block(
                Finding::new("node-unhealthy", format!("{} is {how}.", node.name))
                    .hint(format!("Nodes are {done} one at a time, and the others must be well meanwhile.")),
            );
        }
    }
    preview.blockers.len() == before
}

/// A majority stays while this node is away; one that hands its shard over first takes none with it.
pub(super) fn quorum(spec: &ClusterSpec, seen: &ClusterObserved, node: &NodeSpec) -> Option<Finding> {
    let moves = hands_over(spec, node) && spec.topology == Topology::Sharded;
    if moves { None } else { quorum_without(spec, seen, node) }
}

/// Somebody else can take its writes.
pub(super) fn hands_over(spec: &ClusterSpec, node: &NodeSpec) -> bool {
    has_replicas(spec.topology) && others(spec, node).next().is_some()
}

/// How long a node is away while it restarts, in milliseconds.
pub(super) fn gone_ms(seen: &ClusterObserved, node: &NodeSpec) -> u64 {
    restart_ms(seen.node(&node.id).and_then(|n| n.data_bytes).unwrap_or(0))
}

/// What people notice of it: `what` is so of a node that is done (*has its new size*).
pub(super) fn warnings(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    order: &[&NodeSpec],
    what: &str,
    preview: &mut Preview,
) {
    let longest = order.iter().map(|n| gone_ms(seen, n)).max().unwrap_or(RESTART_MS);
    let for_so_long = words::wait(longest);
    if spec.topology == Topology::Single {
        let text = format!("{} has only one node: reads and writes stop for about {for_so_long}.", spec.name);
        preview.warn(Finding::new("single-node", text));
        preview.expected_downtime_ms = longest;
    }
    let leaders: Vec<_> = order.iter().filter(|n| leads(seen, n)).collect();
    if has_replicas(spec.topology) && leaders.iter().any(|n| hands_over(spec, n)) {
        let gap = write_gap_ms(spec);
        let each = if spec.shards > 0 { " of each shard" } else { "" };
        let text = format!(
            "Writes{each} wait about {} while they move to a node that {what}; one that fails in between was not \
             acknowledged.",
            words::wait(gap)
        );
        preview.warn(Finding::new("write-gap", text));
        preview.expected_downtime_ms = preview.expected_downtime_ms.max(gap);
    }
    for node in leaders.iter().filter(|n| spec.shards > 0 && !hands_over(spec, n)) {
        let text = format!("{} has no replica: its part of the keys is away for {for_so_long}.", node.name);
        preview.warn(Finding::new("shard-without-replica", text));
        preview.expected_downtime_ms = preview.expected_downtime_ms.max(longest);
    }
    if let Some(what) = order.iter().find_map(|n| writes_would_stop(spec, seen, n)) {
        let text = format!("{what} until it follows again, in about {for_so_long}.");
        preview.warn(Finding::new("writes-would-stop", text));
        preview.expected_downtime_ms = preview.expected_downtime_ms.max(longest);
    }
    let clients = order.iter().map(|n| seen.node(&n.id).and_then(|n| n.clients)).sum::<Option<u64>>();
    if clients != Some(0) {
        let many = clients.map_or_else(|| "An unknown number of".to_owned(), |n| n.to_string());
        let text =
            format!("{many} connections are closed, each when its node restarts, and must be opened again.");
        preview.warn(Finding::new("connections-open", text));
    }
}

/// What happens to each node in its turn: `what` is so of one that is done, `act` is done to it (*goes from A to B*).
pub(super) fn turns(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    order: &[&NodeSpec],
    what: &str,
    act: impl Fn(&NodeSpec) -> String,
    preview: &mut Preview,
) {
    for node in order {
        let (name, back) = (&node.name, words::wait(gone_ms(seen, node)));
        let first = if leads(seen, node) && hands_over(spec, node) {
            format!("{name} hands the writes over to a node that {what}, then")
        } else if spec.topology == Topology::Single || leads(seen, node) {
            format!("{name} keeps its place: it")
        } else {
            format!("{name} takes no new connections, then")
        };
        let when = if spec.topology == Topology::Single { "loaded its data" } else { "caught up" };
        preview.effect(format!(
            "{first} is stopped, {}, and is back when it has {when}: about {back}.",
            act(node)
        ));
    }
    if spec.data_nodes().count() > 1 {
        preview.effect("The next node begins only when all nodes are healthy.");
    }
}
