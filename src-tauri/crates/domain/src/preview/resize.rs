//! Give every node another size: one at a time, replicas first, whoever takes the writes last and only after it has handed
//! them over.

use super::add_node::disk_for;
use super::reboot::RESTART_MS;
use super::resolve::unknown_plan;
use super::rules::{self, carries, entry, fresh, large_enough, leaders_well, software, words};
use super::{Facts, Figures, Finding, Preview, Subject, rolling};
use crate::{ClusterObserved, ClusterSpec, NodeObserved, NodeSpec, Plan, PlanId, Topology, plan};

/// What an in-memory service may fill of a plan: its server takes no more (`maxmemory`), the rest is for copies and buffers.
pub(super) const MEMORY_PERCENT: u64 = 75;
/// What is so of a node that is done.
const DONE: &str = "has its new size";

/// The data nodes that do not have this size yet, in the order in which they get it: whoever leads comes last.
pub fn resize_order<'a>(spec: &'a ClusterSpec, seen: &ClusterObserved, to: &PlanId) -> Vec<&'a NodeSpec> {
    rolling::in_order(spec.data_nodes().filter(|n| n.plan != *to), seen)
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
    let well =
        rolling::all_well(spec, seen, "resized", &mut preview) && leaders_well(spec, seen, &mut preview);
    let (Some(to), true) = (to, well) else { return preview };
    let order = resize_order(spec, seen, wanted);
    for node in &order {
        preview.block(plan_holds(spec, node, seen.node(&node.id), &to, &facts.figures));
        preview.block(rolling::quorum(spec, seen, node));
    }
    rolling::warnings(spec, seen, &order, DONE, &mut preview);
    primary_restarts(spec, &to, &mut preview);
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
        preview.warn(rules::unseen(disk, capacity));
    }
    Some(to)
}

/// The limits that a replica may not have less of become smaller.
fn lowers_limits(spec: &ClusterSpec, to: &Plan) -> bool {
    let smaller = |old: Plan| old.memory_bytes > to.memory_bytes || old.cpus > to.cpus;
    spec.service.shares_limits() && spec.data_nodes().any(|n| plan(&n.plan).is_ok_and(smaller))
}

/// PostgreSQL's primary restarts first where limits become smaller.
fn primary_restarts(spec: &ClusterSpec, to: &Plan, preview: &mut Preview) {
    if lowers_limits(spec, to) && spec.topology != Topology::Single {
        let text = format!(
            "Writes stop for about {} at first: a replica may not allow fewer connections than the node that takes the \
             writes, so that one restarts before the others get smaller.",
            words::wait(RESTART_MS)
        );
        preview.warn(Finding::new("primary-restarts", text));
        preview.expected_downtime_ms = preview.expected_downtime_ms.max(RESTART_MS);
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
    let act = |node: &NodeSpec| format!("goes from {} to {}", node.plan, to.id);
    rolling::turns(spec, seen, order, DONE, act, preview);
    preview.effect("If a step fails or you cancel, every node gets the size back that it had, the same way.");
}
