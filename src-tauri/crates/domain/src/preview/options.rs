//! Switches of a cluster's behaviour. What each means is data of the catalogue.

use super::rules::{self, fresh, in_service, replicas_that_follow, words};
use super::{Facts, Finding, Preview, Subject};
use crate::{Change, ClusterObserved, ClusterOption, ClusterSpec, OptionEntry, OptionWish, Topology};

pub(super) fn preview(subject: &Subject<'_>, wish: &OptionWish, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let name = &spec.name;
    let mut preview = Preview::titled(format!("Change the options of {name}"));
    preview.block(rules::free(subject));
    let offered = spec.offered_options();
    let will_be = spec.options.with(wish, offered);
    let changed = |option: &ClusterOption| spec.options.get(*option) != will_be.get(*option);
    let changed: Vec<ClusterOption> = ClusterOption::ALL.into_iter().filter(changed).collect();
    if changed.is_empty() {
        preview.effect(format!("The options of {name} are so already; nothing changes."));
        return preview;
    }
    let mut entries = Vec::new();
    for option in changed {
        match offered.iter().find(|o| o.id == option) {
            Some(entry) => entries.push(entry),
            None => preview.block(without_effect(spec, option).filter(|_| will_be.get(option))),
        }
    }
    for entry in &entries {
        if let Some(needed) = entry.needs.filter(|needed| will_be.get(entry.id) && !will_be.get(*needed)) {
            preview.block(needs(spec, entry, needed));
        }
    }
    if !preview.blockers.is_empty() {
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    for entry in entries {
        if !will_be.get(entry.id) {
            // One that went off with another it needs is told by that one.
            if entry.needs.is_none_or(|needed| will_be.get(needed)) {
                preview.warn(Finding::new("writes-may-be-discarded", entry.risk));
            }
            preview.effect(entry.off);
        } else if entry.holds(&will_be, in_service(spec)) {
            replicas_now(spec, seen, entry, &mut preview);
            preview.effect(entry.on);
        } else {
            let nodes = words::count(in_service(spec), "data node");
            let from = entry.from_nodes;
            preview.effect(format!(
                "Nothing changes yet: {name} has {nodes} in service, and it takes effect from {from} on."
            ));
            return preview;
        }
    }
    preview.effect("No server is restarted, no connection is closed.");
    preview
}

/// What a switch does at once, with the replicas there are.
fn replicas_now(spec: &ClusterSpec, seen: &ClusterObserved, entry: &OptionEntry, preview: &mut Preview) {
    let following = replicas_that_follow(spec, seen, None).len();
    match (entry.id, following) {
        (ClusterOption::Synchronous, 0) => preview.warn(Finding::new(
            "no-replica-follows",
            "No replica follows now: until one does, a write is acknowledged when the primary alone has it.",
        )),
        (ClusterOption::StopWritesWithoutReplica, 0) => preview.block(
            Finding::new(
                "writes-would-stop",
                format!("No replica follows the primary of {} now: writes would stop at once.", spec.name),
            )
            .at(entry.id.pointer())
            .hint("Bring a replica back first."),
        ),
        (ClusterOption::StopWritesWithoutReplica, 1) => preview.warn(Finding::new(
            "writes-need-replica",
            "Only one replica follows now: writes stop whenever that one stops, also for a reboot of it.",
        )),
        _ => {}
    }
}

fn needs(spec: &ClusterSpec, entry: &OptionEntry, needed: ClusterOption) -> Finding {
    let options = OptionWish::only(entry.id, true).and(needed, true);
    Finding::new("option-needs-another", entry.means_nothing_without(needed, spec.offered_options()))
        .at(entry.id.pointer())
        .way_out("Turn both on", Change::SetOptions { cluster: spec.name.to_string(), options })
}

/// Why a cluster does not have a switch.
fn without_effect(spec: &ClusterSpec, option: ClusterOption) -> Option<Finding> {
    let why = match spec.topology {
        Topology::Single => "there is no replica to wait for",
        Topology::MultiMaster => "every node takes writes",
        Topology::Sharded => "a shard's primary that is cut off from the majority stops by itself",
        Topology::PrimaryReplica => "its servers have no such switch",
    };
    Some(
        Finding::new("no-effect", format!("That means nothing for {}: {why}.", spec.name))
            .at(option.pointer()),
    )
}
