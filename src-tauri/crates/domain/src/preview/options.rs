//! Whether writes stop when no replica is reachable.

use super::rules::{self, fresh, has_voters, replicas_that_follow, words};
use super::{Facts, Finding, Preview, Subject};
use crate::{ClusterOptions, Topology};

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
    if wanted && !has_voters(spec.topology) {
        preview.block(
            Finding::new("no-replicas", format!("{name} has no replicas: it would refuse every write."))
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
    let groups: Vec<Option<u16>> = match spec.topology {
        Topology::Sharded => (0..spec.shards).map(Some).collect(),
        _ => vec![None],
    };
    let counted: Vec<usize> = groups.iter().map(|g| replicas_that_follow(spec, seen, *g).len()).collect();
    let alone = counted.iter().filter(|n| **n == 0).count();
    if alone > 0 {
        let who = match spec.topology {
            Topology::Sharded => words::count(alone, "shard"),
            _ => name.to_string(),
        };
        preview.block(
            Finding::new(
                "writes-would-stop",
                format!("No replica follows the primary of {who} now: writes would stop at once."),
            )
            .at("/options/stop_writes_without_replica")
            .hint("Bring a replica back first."),
        );
    }
    if counted.contains(&1) {
        preview.warn(Finding::new(
            "writes-need-replica",
            "Where only one replica follows, writes stop whenever that one stops: also for a reboot of it.",
        ));
    }
    preview.effect(
        "A primary that reaches no replica stops taking writes, so that no failover can discard any.",
    );
    preview.effect("No server is restarted, no connection is closed.");
    preview
}
