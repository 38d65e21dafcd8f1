//! Whether writes stop when no replica is reachable.

use super::rules::{self, failover_of, fresh, replicas_that_follow, words};
use super::{Facts, Finding, Preview, Subject};
use crate::{ClusterOptions, ClusterSpec, Failover, Topology};

pub(super) fn preview(subject: &Subject<'_>, options: &ClusterOptions, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let name = &spec.name;
    let mut preview = Preview::titled(format!("Change the options of {name}"));
    preview.block(rules::free(subject));
    let wanted = options.stop_writes_without_replica;
    if wanted == spec.options.stop_writes_without_replica {
        preview.effect(format!("The options of {name} are so already; nothing changes."));
        return preview;
    }
    if let Some(why) = without_effect(spec).filter(|_| wanted) {
        preview.block(
            Finding::new("no-effect", format!("That means nothing for {name}: {why}."))
                .at("/options/stop_writes_without_replica"),
        );
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if !wanted {
        preview.warn(Finding::new(
            "writes-may-be-discarded",
            "A primary that is cut off from its replicas goes on taking writes, and a failover discards them.",
        ));
        preview.effect("A primary takes writes whether or not a replica follows it.");
        preview.effect("No server is restarted, no connection is closed.");
        return preview;
    }
    let in_service = spec.data_nodes().filter(|n| !n.drained).count();
    if in_service < 3 {
        let nodes = words::count(in_service, "data node");
        preview.effect(format!(
            "Nothing changes yet: {name} has {nodes} in service, and it takes effect from three on."
        ));
        return preview;
    }
    match replicas_that_follow(spec, seen, None).len() {
        0 => preview.block(
            Finding::new(
                "writes-would-stop",
                format!("No replica follows the primary of {name} now: writes would stop at once."),
            )
            .at("/options/stop_writes_without_replica")
            .hint("Bring a replica back first."),
        ),
        1 => preview.warn(Finding::new(
            "writes-need-replica",
            "Only one replica follows now: writes stop whenever that one stops, also for a reboot of it.",
        )),
        _ => {}
    }
    preview.effect(
        "A primary that reaches no replica stops taking writes, so that no failover can discard any.",
    );
    preview.effect("No server is restarted, no connection is closed.");
    preview
}

fn without_effect(spec: &ClusterSpec) -> Option<&'static str> {
    match spec.topology {
        Topology::PrimaryReplica if failover_of(spec) == Failover::ByHand => {
            Some("nobody takes over by itself, so no failover discards writes")
        }
        Topology::PrimaryReplica => None,
        Topology::Single => Some("there is no replica to wait for"),
        Topology::MultiMaster => Some("every node takes writes"),
        Topology::Sharded => Some("a shard's primary that is cut off from the majority stops by itself"),
    }
}
