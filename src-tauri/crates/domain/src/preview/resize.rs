//! Give every node another size: one at a time, replicas first, whoever takes the writes last and only after it has handed
//! them over.

use super::add_node::disk_for;
use super::promote::write_gap_ms;
use super::reboot::{RESTART_MS, restart_ms};
use super::resolve::unknown_plan;
use super::rules::{
    self, ailment, carries, entry, fresh, has_replicas, large_enough, leaders_well, others, quorum_without,
    software, words, writes_would_stop,
};
use super::{Facts, Figures, Finding, Preview, Subject};
use crate::{
    Change, ClusterObserved, ClusterSpec, Health, NodeObserved, NodeSpec, Plan, PlanId, Role, Topology, plan,
};

/// What an in-memory service may fill of a plan: its server takes no more (`maxmemory`), the rest is for copies and buffers.
const MEMORY_PERCENT: u64 = 75;

/// The data nodes that do not have this size yet, in the order in which they get it: whoever leads comes last.
pub fn resize_order<'a>(spec: &'a ClusterSpec, seen: &ClusterObserved, to: &PlanId) -> Vec<&'a NodeSpec> {
    let mut nodes: Vec<_> = spec.data_nodes().filter(|n| n.plan != *to).collect();
    nodes.sort_by_key(|n| (leads(seen, n), n.ordinal));
    nodes
}

/// It takes the writes alone, of the cluster or of a shard.
fn leads(seen: &ClusterObserved, node: &NodeSpec) -> bool {
    let role = seen.node(&node.id).and_then(|n| n.role);
    matches!(role, Some(Role::Primary | Role::ShardPrimary))
}

/// Why a node of this size cannot hold what this one holds; nothing when it can.
pub fn plan_holds(
    spec: &ClusterSpec,
    node: &NodeSpec,
    seen: Option<&NodeObserved>,
    plan: &Plan,
    figures: &Figures,
) -> Option<Finding> {
    let Some(data) = seen.and_then(|n| n.data_bytes) else {
        let text = format!(
            "How much data {} holds is unknown, so nobody can tell whether it fits in {}.",
            node.name, plan.id
        );
        return Some(Finding::new("data-size-unknown", text));
    };
    let most = plan.memory_bytes / 100 * MEMORY_PERCENT;
    if spec.service.is_in_memory() && data > most {
        let text = format!(
            "{} holds {} in memory; a node of {} holds at most {}, {MEMORY_PERCENT} % of its {}.",
            node.name,
            words::bytes(data),
            plan.id,
            words::bytes(most),
            words::bytes(plan.memory_bytes)
        );
        return Some(Finding::new("memory-too-small", text).at("/plan").hint("Choose a larger plan."));
    }
    let needed = disk_for(data, figures);
    (plan.disk_bytes < needed).then(|| {
        let text = format!(
            "A node of {} has {} of disk; {} of data on {} and {} % of room need {}.",
            plan.id,
            words::bytes(plan.disk_bytes),
            words::bytes(data),
            node.name,
            figures.disk_headroom_percent,
            words::bytes(needed)
        );
        Finding::new("disk-too-small", text).at("/plan").hint("Choose a larger plan.")
    })
}

pub(super) fn preview(subject: &Subject<'_>, wanted: &PlanId, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Resize {} to {wanted}", spec.name));
    preview.block(rules::free(subject));
    if spec.plan == *wanted && spec.data_nodes().all(|n| n.plan == *wanted) {
        let text = format!("{} has this plan already.", spec.name);
        preview.block(Finding::new("same-plan", text).at("/plan").hint("Choose another plan."));
        return preview;
    }
    let to = size(spec, wanted, facts, &mut preview);
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    let well = all_well(spec, seen, &mut preview) && leaders_well(spec, seen, &mut preview);
    let (Some(to), true) = (to, well) else { return preview };
    let order = resize_order(spec, seen, wanted);
    for node in &order {
        preview.block(plan_holds(spec, node, seen.node(&node.id), &to, &facts.figures));
        if !(hands_over(spec, node) && spec.topology == Topology::Sharded) {
            preview.block(quorum_without(spec, seen, node));
        }
    }
    warnings(spec, seen, &order, &to, &mut preview);
    effects(spec, seen, &order, &to, &mut preview);
    preview
}

/// The size, when it exists, runs this service, and the place can carry what the nodes would have beyond today.
fn size(spec: &ClusterSpec, wanted: &PlanId, facts: &Facts<'_>, preview: &mut Preview) -> Option<Plan> {
    let Some(capacity) = facts.capacity else {
        let text = format!("What `{}` can carry could not be found out.", spec.provider);
        let hint = format!("`clusterdeck provider check {}` says why.", spec.provider);
        preview.block(Finding::new("capacity-unknown", text).hint(hint));
        return None;
    };
    // Servers are stopped and must start again.
    preview.blockers.extend(software(capacity));
    let Some(to) = capacity.plan.clone().filter(|p| p.id == *wanted) else {
        preview.block(unknown_plan(wanted, Some(&spec.provider)));
        return None;
    };
    preview.block(large_enough(entry(spec), &spec.version, &to));
    let beyond = |of: fn(&Plan) -> u64| {
        // A size that nobody knows any more counts as none.
        let had = |n: &NodeSpec| plan(&n.plan).map_or(0, |old| of(&old));
        spec.data_nodes().map(|n| of(&to).saturating_sub(had(n))).sum::<u64>()
    };
    let (memory, disk) = (beyond(|p| p.memory_bytes), beyond(|p| p.disk_bytes));
    if memory > 0 || disk > 0 {
        let smaller = "Choose a smaller plan, or delete a cluster that is no longer needed.";
        preview.blockers.extend(carries(memory, disk, smaller, capacity, facts));
    }
    Some(to)
}

/// Every node is in service and healthy: one at a time is gone, and all others must carry on meanwhile.
fn all_well(spec: &ClusterSpec, seen: &ClusterObserved, preview: &mut Preview) -> bool {
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
                    .hint("Nodes are resized one at a time, and the others must be well meanwhile."),
            );
        }
    }
    preview.blockers.len() == before
}

/// Somebody else can take its writes.
fn hands_over(spec: &ClusterSpec, node: &NodeSpec) -> bool {
    has_replicas(spec.topology) && others(spec, node).next().is_some()
}

/// The limits that a replica may not have less of become smaller.
fn lowers_limits(spec: &ClusterSpec, to: &Plan) -> bool {
    let smaller = |old: Plan| old.memory_bytes > to.memory_bytes || old.cpus > to.cpus;
    spec.service.shares_limits() && spec.data_nodes().any(|n| plan(&n.plan).is_ok_and(smaller))
}

fn gone_ms(seen: &ClusterObserved, node: &NodeSpec) -> u64 {
    restart_ms(seen.node(&node.id).and_then(|n| n.data_bytes).unwrap_or(0))
}

fn warnings(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    order: &[&NodeSpec],
    to: &Plan,
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
            "Writes{each} wait about {} while they move to a node that has its new size; one that fails in between was \
             not acknowledged.",
            words::wait(gap)
        );
        preview.warn(Finding::new("write-gap", text));
        preview.expected_downtime_ms = preview.expected_downtime_ms.max(gap);
    }
    if lowers_limits(spec, to) && spec.topology != Topology::Single {
        let text = format!(
            "Writes stop for about {} at first: a replica may not allow fewer connections than the node that takes the \
             writes, so that one restarts before the others get smaller.",
            words::wait(RESTART_MS)
        );
        preview.warn(Finding::new("primary-restarts", text));
        preview.expected_downtime_ms = preview.expected_downtime_ms.max(RESTART_MS);
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

fn effects(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    order: &[&NodeSpec],
    to: &Plan,
    preview: &mut Preview,
) {
    preview.effect(format!(
        "Each node gets {} of memory, {} and {} of disk, one after the other.",
        words::bytes(to.memory_bytes),
        words::count(usize::from(to.cpus), "core"),
        words::bytes(to.disk_bytes)
    ));
    if lowers_limits(spec, to) && spec.topology != Topology::Single {
        preview.effect(
            "The node that takes the writes restarts where it is first, with the limits of the new size.",
        );
    }
    for node in order {
        let (name, from) = (&node.name, &node.plan);
        let back = words::wait(gone_ms(seen, node));
        let first = if leads(seen, node) && hands_over(spec, node) {
            format!("{name} hands the writes over to a node that has its new size, then")
        } else if spec.topology == Topology::Single || leads(seen, node) {
            format!("{name} keeps its place: it")
        } else {
            format!("{name} takes no new connections, then")
        };
        let when = if spec.topology == Topology::Single { "loaded its data" } else { "caught up" };
        preview.effect(format!(
            "{first} is stopped, goes from {from} to {}, and is back when it has {when}: about {back}.",
            to.id
        ));
    }
    if spec.data_nodes().count() > 1 {
        preview.effect("The next node begins only when all nodes are healthy.");
    }
    preview.effect("If a step fails or you cancel, every node gets the size back that it had, the same way.");
}
