//! Undrain a node: back into service once it has caught up.

use super::rules::{self, follows_a_leader, fresh, holds_data, leaders_well};
use super::{Facts, Finding, Preview, Subject};
use crate::{NodeSpec, Topology};

pub(super) fn preview(subject: &Subject<'_>, node: &NodeSpec, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Put {} back into service", node.name));
    preview.block(rules::free(subject));
    if let Some(witness) = holds_data(node) {
        preview.block(witness);
        return preview;
    }
    if !node.drained {
        preview.block(Finding::new("not-drained", format!("{} is not drained.", node.name)).at("/node"));
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    // It has nobody to catch up with otherwise, and must not serve what it had when it was stopped.
    match spec.topology {
        Topology::PrimaryReplica | Topology::Sharded => {
            follows_a_leader(spec, seen, node.shard, &mut preview);
        }
        Topology::MultiMaster => {
            leaders_well(spec, seen, &mut preview);
        }
        Topology::Single => {}
    }
    preview.effect(format!("{} starts with the data it had.", node.name));
    preview.effect("It takes no traffic until it has caught up with what was written meanwhile.");
    preview.effect("Then it is back in the endpoint and may take over again.");
    preview
}
