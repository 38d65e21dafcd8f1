//! Add a shard, and remove one. The slots move while clients read and write.

use super::add_node::room;
use super::rules::{self, Load, entry, even_shards, fresh, leaders_well, nodes_per_shard, words};
use super::{Facts, Finding, Preview, Subject};
use crate::{ClusterObserved, ClusterSpec, Topology, plan};

/// Redis Cluster's number of hash slots (its specification, "Key distribution model").
const SLOTS: u32 = 16_384;
/// Fewest shards: of two, none is a majority without the other.
const MIN_SHARDS: u16 = 3;

fn sharded(spec: &ClusterSpec) -> Option<Finding> {
    (spec.topology != Topology::Sharded).then(|| {
        Finding::new("not-sharded", format!("{} is not sharded: it runs as {}.", spec.name, spec.topology))
            .at("/cluster")
    })
}

/// Bytes of data over all shards; unknown when one of them is.
fn data(spec: &ClusterSpec, seen: &ClusterObserved) -> Option<u64> {
    (0..spec.shards).map(|s| seen.shard_primary(s)?.data_bytes).sum()
}

pub(super) fn add(subject: &Subject<'_>, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Add a shard to {}", spec.name));
    preview.block(rules::free(subject));
    if let Some(wrong) = sharded(spec) {
        preview.block(wrong);
        return preview;
    }
    let nodes = nodes_per_shard(spec);
    let have = spec.data_nodes().count();
    let max = usize::from(entry(spec).topology(Topology::Sharded).map_or(u16::MAX, |t| t.max_nodes));
    if have + usize::from(nodes) > max {
        preview.block(
            Finding::new(
                "too-many-nodes",
                format!(
                    "A shard here is {}; {} has {have} of at most {max}.",
                    words::count(nodes.into(), "node"),
                    spec.name
                ),
            )
            .at("/cluster"),
        );
    }
    let plan = room(spec, nodes, None, facts, &mut preview);
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if !leaders_well(spec, seen, &mut preview) {
        return preview;
    }
    let after = spec.shards.saturating_add(1);
    preview.warn(even_shards(after));
    if let Some(plan) = &plan {
        preview.effect(format!("{}.", Load { plan, nodes, side: 0 }.words()));
    }
    let share = SLOTS / u32::from(after);
    preview.effect(format!(
        "Shard {} starts with {} and takes {share} of the {SLOTS} slots, an equal part from each of the others.",
        spec.shards,
        words::count(nodes.into(), "node")
    ));
    moving(data(spec, seen).map(|all| all / u64::from(after)), &mut preview);
    preview
        .effect("If a step fails or you cancel, moved slots go back and the new nodes are taken away again.");
    preview
}

pub(super) fn remove(subject: &Subject<'_>, shard: u16, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Remove shard {shard} from {}", spec.name));
    preview.destructive = true;
    preview.confirm = Some(spec.name.to_string());
    preview.block(rules::free(subject));
    if let Some(wrong) = sharded(spec) {
        preview.block(wrong);
        return preview;
    }
    if shard >= spec.shards {
        let last = spec.shards.saturating_sub(1);
        preview.block(
            Finding::new(
                "not-found",
                format!("{} has no shard {shard}: they are numbered 0 to {last}.", spec.name),
            )
            .at("/shard"),
        );
        return preview;
    }
    let after = spec.shards - 1;
    if after < MIN_SHARDS {
        preview.block(
            Finding::new(
                "too-few-shards",
                format!(
                    "{after} shards cannot agree on a failover when one fails: {MIN_SHARDS} are the fewest."
                ),
            )
            .at("/shard"),
        );
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if !leaders_well(spec, seen, &mut preview) {
        return preview;
    }
    capacity_after(spec, seen, shard, &mut preview);
    preview.warn(even_shards(after));
    preview.warn(rules::backup_age(subject, facts));

    let slots = seen.shard_primary(shard).and_then(|n| n.slots);
    let what = slots.map_or_else(|| "All its slots".to_owned(), |n| format!("Its {n} slots"));
    preview.effect(format!(
        "{what} move to the other {}, an equal part to each.",
        words::count(after.into(), "shard")
    ));
    moving(seen.shard_primary(shard).and_then(|n| n.data_bytes), &mut preview);
    let gone: Vec<&str> =
        spec.data_nodes().filter(|n| n.shard == Some(shard)).map(|n| n.name.as_str()).collect();
    let (leave, stop, machine) = match gone.len() {
        1 => ("leaves", "is", "its machine is"),
        _ => ("leave", "are", "their machines are"),
    };
    preview.effect(format!(
        "{} {leave} the cluster and {stop} stopped; {machine} given back.",
        words::list(&gone)
    ));
    preview
}

/// The data of the shard that goes must fit into the memory of those that stay.
fn capacity_after(spec: &ClusterSpec, seen: &ClusterObserved, shard: u16, preview: &mut Preview) {
    let Some(all) = data(spec, seen) else {
        preview.block(Finding::new(
            "data-size-unknown",
            "How much data the shards hold is unknown, so nobody can tell whether the others can take it.",
        ));
        return;
    };
    let stays = |s: &u16| *s != shard;
    let memory: Option<u64> = (0..spec.shards)
        .filter(stays)
        .map(|s| seen.shard_primary(s).and_then(|n| spec.node(&n.node)).and_then(|n| plan(&n.plan).ok()))
        .map(|plan| plan.map(|p| p.memory_bytes))
        .sum();
    let each = all / u64::from(spec.shards - 1);
    let Some(memory) = memory else {
        preview.warn(Finding::new(
            "capacity-after",
            format!(
                "Each of the shards that stay will hold about {}; look whether that fits.",
                words::bytes(each)
            ),
        ));
        return;
    };
    if all >= memory {
        preview.block(
            Finding::new(
                "capacity-short",
                format!(
                    "The shards hold {} together; those that stay have {} of memory.",
                    words::bytes(all),
                    words::bytes(memory)
                ),
            )
            .hint("Delete data first, or keep the shard."),
        );
    } else {
        let percent = u128::from(all) * 100 / u128::from(memory.max(1));
        preview.warn(Finding::new(
            "capacity-after",
            format!(
                "Each of the shards that stay will hold about {}: {percent} % of their memory in all.",
                words::bytes(each)
            ),
        ));
    }
}

fn moving(bytes: Option<u64>, preview: &mut Preview) {
    let much = bytes
        .map_or_else(|| "An unknown amount of data".to_owned(), |n| format!("About {}", words::bytes(n)));
    preview.effect(format!("{much} moves, slot by slot, while clients go on reading and writing."));
}
