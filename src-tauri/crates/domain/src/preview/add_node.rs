//! Add data nodes. They take no traffic until they have caught up.

use super::resolve::unknown_plan;
use super::rules::{self, Load, entry, fits, fresh, leaders_well, name, software, words};
use super::{Capacity, Facts, Figures, Finding, Preview, Subject, upgrade::upgrade_target};
use crate::{
    Carrier, Change, ClusterSpec, NodeObserved, Plan, PlanId, Topology, plan,
    version::{belongs, numbers, stand_in},
};

/// What a copy is reckoned to bring over in a second. Cautious: a copy on one computer is several times faster.
const COPIED_PER_SECOND: u64 = 50 << 20;
/// Start, first contact and the last writes, on top of the copying.
const COPY_SET_UP_MS: u64 = 3_000;

/// How long a copy of so much data is reckoned to take.
pub(super) fn copy_ms(bytes: u64) -> u64 {
    COPY_SET_UP_MS.saturating_add(bytes.saturating_mul(1_000) / COPIED_PER_SECOND)
}

/// Disk that so much data needs, with room to work in.
pub(super) fn disk_for(data: u64, figures: &Figures) -> u64 {
    data.saturating_add(data.saturating_mul(figures.disk_headroom_percent) / 100)
}

pub(super) fn preview(
    subject: &Subject<'_>,
    count: u16,
    wanted: Option<&PlanId>,
    facts: &Facts<'_>,
) -> Preview {
    let spec = subject.spec;
    let title = match count {
        1 => format!("Add a node to {}", spec.name),
        _ => format!("Add {count} nodes to {}", spec.name),
    };
    let mut preview = Preview::titled(title);
    preview.block(rules::free(subject));
    if let Some(wrong) = grows(spec, count) {
        preview.block(wrong);
        return preview;
    }
    preview.blockers.extend(facts.growth_findings.iter().cloned());
    preview.warn(new_limits(spec));
    let plan = room(spec, count, wanted, facts, &mut preview);
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if !leaders_well(spec, seen, &mut preview) {
        return preview;
    }
    // Members copy from any that serves: the largest data set known is what must fit.
    let source = seen.primary().or_else(|| seen.nodes.iter().max_by_key(|n| n.data_bytes));
    if let (Some(source), Some(plan)) = (source, &plan) {
        copy(spec, source, plan, facts, &mut preview);
    }
    effects(spec, count, plan.as_ref(), &mut preview);
    preview
}

/// What clients must know of what a single node becomes, as when it is created so.
fn new_limits(spec: &ClusterSpec) -> Option<Finding> {
    let grows = spec.topology == Topology::Single;
    let offer = entry(spec).offer(&spec.version, spec.grown()).filter(|_| grows)?;
    offer.limits.map(|limits| Finding::new("topology-limits", limits).at("/cluster"))
}

/// Whether this topology takes more nodes.
fn grows(spec: &ClusterSpec, count: u16) -> Option<Finding> {
    let service = entry(spec);
    match spec.topology {
        Topology::Single if service.offer(&spec.version, spec.grown()).is_none() => {
            let text = format!("{} does not run with replicas.", service.name_of(&spec.version));
            return Some(Finding::new("single-does-not-grow", text).at("/cluster"));
        }
        Topology::Single if count == 1 && spec.votes_when_grown() => {
            return Some(
                Finding::new(
                    "node-count",
                    format!("{} needs two more nodes: two voters cannot outvote a dead one.", spec.name),
                )
                .at("/count")
                .hint("Add two."),
            );
        }
        Topology::Sharded => {
            return Some(
                Finding::new(
                    "grows-by-shards",
                    format!("{} grows by whole shards, so that its shards stay alike.", spec.name),
                )
                .at("/cluster")
                .way_out("Add a shard", Change::AddShard { cluster: spec.name.to_string() }),
            );
        }
        Topology::Single | Topology::PrimaryReplica | Topology::MultiMaster => {}
    }
    if count == 0 {
        return Some(Finding::new("node-count", "At least one node must be added.").at("/count"));
    }
    let max = usize::from(service.offer(&spec.version, spec.grown()).map_or(u16::MAX, |t| t.max_nodes));
    let have = spec.data_nodes().count();
    (have + usize::from(count) > max).then(|| {
        Finding::new("too-many-nodes", format!("{} has {have} of at most {max} data nodes.", spec.name))
            .at("/count")
            .hint(match max.saturating_sub(have) {
                0 => "Remove a node first, or use larger ones.".to_owned(),
                free => format!("At most {free} can be added."),
            })
    })
}

/// The place can carry the new machines, and runs the same version there. The size, when it exists.
pub(super) fn room(
    spec: &ClusterSpec,
    count: u16,
    wanted: Option<&PlanId>,
    facts: &Facts<'_>,
    preview: &mut Preview,
) -> Option<Plan> {
    let Some(capacity) = facts.capacity else {
        preview.block(
            Finding::new(
                "capacity-unknown",
                format!("What `{}` can carry could not be found out.", spec.provider),
            )
            .hint(format!("`clusterdeck provider check {}` says why.", spec.provider)),
        );
        return None;
    };
    preview.blockers.extend(software(capacity));
    if capacity.missing.is_empty() {
        if spec.service.is_extension() {
            carried(spec, capacity, facts, preview);
        } else {
            same_version(spec, capacity, preview);
        }
    }
    let wanted = wanted.unwrap_or(&spec.plan);
    let Some(plan) = capacity.plan.clone().filter(|p| p.id == *wanted) else {
        preview.block(unknown_plan(wanted, Some(&spec.provider)));
        return None;
    };
    preview.block(rules::large_enough(entry(spec), &spec.version, &plan));
    let load = Load { plan: &plan, nodes: count, side: 0 };
    preview.blockers.extend(fits(&load, capacity, facts));
    preview.warn(rules::unseen(load.disk(), capacity));
    Some(plan)
}

/// A newer patch of the same release line works with the others, and is told; another version blocks.
fn same_version(spec: &ClusterSpec, capacity: &Capacity, preview: &mut Preview) {
    let Some(gets) = stand_in(spec.service, &spec.version, &capacity.versions) else {
        preview.block(version_differs(spec, capacity));
        return;
    };
    if !belongs(gets, &spec.version) && !belongs(&spec.version, gets) {
        let service = entry(spec).name_of(&spec.version);
        let text = format!(
            "{} runs {service} {}; for the new machine there is {gets}, of the same release line. They work together.",
            spec.name, spec.version
        );
        preview.warn(Finding::new("version-near", text));
    }
}

/// Another version is there. A newer one that reads the same files is a way out: all nodes are let run it first.
fn version_differs(spec: &ClusterSpec, capacity: &Capacity) -> Finding {
    let service = entry(spec).name_of(&spec.version);
    let there = match capacity.versions.as_slice() {
        [] => "none was found".to_owned(),
        found => format!("{} is what is there", found.join(", ")),
    };
    let text = format!("{} runs {service} {}; for the new machine {there}.", spec.name, spec.version);
    let finding = Finding::new("version-differs", text);
    let newer = upgrade_target(spec, None, capacity).filter(|to| numbers(to) > numbers(&spec.version));
    match newer {
        Some(to) => {
            let cluster = spec.name.to_string();
            finding.way_out(
                format!("Upgrade {cluster} to {to} first"),
                Change::UpgradeCluster { cluster, version: None },
            )
        }
        None => finding.hint(format!("Install {service} {} there.", spec.version)),
    }
}

/// What an extension is loaded into must read the same files; its own version follows its package, and its databases follow
/// when they are told.
fn carried(spec: &ClusterSpec, capacity: &Capacity, facts: &Facts<'_>, preview: &mut Preview) {
    let name = entry(spec).name_of(&spec.version);
    // A node says which server it runs: `17.11`.
    let seen = facts.subject.and_then(|s| s.observed);
    let runs = seen.and_then(|seen| seen.nodes.iter().find_map(|n| n.version.as_deref()));
    let Some(major) = runs.map(|version| numbers(version).into_iter().take(1).collect::<Vec<_>>()) else {
        let text = format!(
            "Which server {} runs is unknown, so nobody can tell what a new machine needs.",
            spec.name
        );
        preview.block(Finding::new("version-unknown", text));
        return;
    };
    let server = |carrier: &Carrier| numbers(carrier.server.rsplit(' ').next().unwrap_or_default());
    let Some(found) = capacity.carriers.iter().find(|c| server(c).starts_with(&major)) else {
        let found: Vec<_> =
            capacity.carriers.iter().map(|c| format!("{name} {} on {}", c.version, c.server)).collect();
        let there = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        let text = format!(
            "The servers of {} are {}; for the new machine there is {there}, which does not read their files.",
            spec.name,
            runs.unwrap_or_default()
        );
        preview
            .block(Finding::new("version-differs", text).hint(format!("Have {name} for that server there.")));
        return;
    };
    if found.version != spec.version {
        let text = format!(
            "The new machine has {name} {}, {} was made with {}: its databases may want an update \
             (`ALTER EXTENSION … UPDATE`) before they can be used there; what is due shows on the nodes.",
            found.version, spec.name, spec.version
        );
        preview.warn(Finding::new("extension-newer", text));
    }
}

/// The data must fit with room to spare, and copying it takes a while.
fn copy(spec: &ClusterSpec, source: &NodeObserved, plan: &Plan, facts: &Facts<'_>, preview: &mut Preview) {
    let from = name(spec, &source.node);
    let Some(data) = source.data_bytes else {
        preview.block(Finding::new(
            "data-size-unknown",
            format!(
                "How much data {from} holds is unknown, so nobody can tell whether it fits on a new node."
            ),
        ));
        return;
    };
    let headroom = facts.figures.disk_headroom_percent;
    let needed = disk_for(data, &facts.figures);
    if plan.disk_bytes < needed {
        preview.block(
            Finding::new(
                "disk-too-small",
                format!(
                    "A node of {} has {} of disk; {} of data and {headroom} % of room need {}.",
                    plan.id,
                    words::bytes(plan.disk_bytes),
                    words::bytes(data),
                    words::bytes(needed)
                ),
            )
            .at("/plan")
            .hint("Choose a larger plan."),
        );
    }
    let old = spec.node(&source.node).and_then(|n| self::plan(&n.plan).ok());
    if old.is_some_and(|old| plan.memory_bytes < old.memory_bytes) {
        preview.warn(
            Finding::new(
                "smaller-than-primary",
                format!(
                    "A node of {} has less memory than {from}: it may not hold the data after a failover.",
                    plan.id
                ),
            )
            .at("/plan"),
        );
    }
    preview.warn(Finding::new(
        "catch-up",
        format!(
            "Each new node copies {} from {from} first: about {}. Clients of {from} may notice the load.",
            words::bytes(data),
            words::wait(copy_ms(data))
        ),
    ));
}

fn effects(spec: &ClusterSpec, count: u16, plan: Option<&Plan>, preview: &mut Preview) {
    if let Some(plan) = plan {
        preview.effect(format!("{}.", Load { plan, nodes: count, side: 0 }.words()));
    }
    let last = spec.last_ordinal.saturating_add(count);
    let names: Vec<String> =
        (spec.last_ordinal.saturating_add(1)..=last).map(|n| spec.name.node(n)).collect();
    let names = words::list(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let them = if count == 1 { "it has" } else { "they have" };
    let start = if count == 1 { "starts" } else { "start" };
    preview.effect(format!("{names} {start} with {} {}.", entry(spec).name_of(&spec.version), spec.version));
    if spec.topology == Topology::Single {
        let first = spec.data_nodes().next().map_or("its node", |n| n.name.as_str());
        preview.effect(format!("{first} stays as it is and takes the writes; {names} follow it."));
        preview.effect(if spec.votes_when_grown() {
            "Automatic failover is on when they have caught up. The addresses stay the same."
        } else {
            "The addresses stay the same."
        });
    }
    preview.effect(match spec.grown() {
        Topology::PrimaryReplica => format!("No traffic goes there until {them} caught up with the primary."),
        _ => format!("No traffic goes there until {them} joined and caught up."),
    });
    preview.effect(
        "If a step fails or you cancel, what was added is taken away again; the cluster stays as it is.",
    );
}
