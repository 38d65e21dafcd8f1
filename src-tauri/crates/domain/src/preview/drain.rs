//! Drain a node: out of the endpoint, no candidate, then stopped.

use super::rules::{
    self, Leader, ailment, clients_of, fresh, holds_data, keeps_writes, leader, nodes_able_to_serve,
    promotion_candidate, quorum_without,
};
use super::{Facts, Finding, Preview, Subject};
use crate::{Change, ClusterObserved, ClusterSpec, NodeSpec, Role, Topology};

pub(super) fn preview(subject: &Subject<'_>, node: &NodeSpec, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Drain {}", node.name));
    preview.block(rules::free(subject));
    if let Some(witness) = holds_data(node) {
        preview.block(witness);
        return preview;
    }
    if node.drained {
        preview.block(
            Finding::new("already-drained", format!("{} is out of service already.", node.name)).at("/node"),
        );
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    preview.block(not_the_primary(spec, seen, node));
    preview.block(not_the_last(spec, seen, node));
    // Voters stay where they are until others take their votes; members that are stopped vote no more.
    if spec.topology == Topology::MultiMaster {
        preview.block(quorum_without(spec, seen, node).map(|f| f.at("/node")));
    }
    keeps_writes(spec, seen, node, &mut preview);
    if let Some((clients, _)) = clients_of(seen.node(&node.id)) {
        preview.warn(Finding::new(
            "connections-open",
            format!(
                "{clients} connected to {}: what they have begun is waited for, then they are closed.",
                node.name
            ),
        ));
    }
    preview.effect(format!("No new connection goes to {}.", node.name));
    if matches!(spec.topology, Topology::PrimaryReplica | Topology::Sharded) {
        preview.effect(format!("{} is no longer a candidate when a primary is replaced.", node.name));
    }
    preview.effect("Open work is waited for, with a countdown that you can cancel.");
    preview.effect(format!(
        "{} is stopped in order. Its data stays on its disk; undraining puts it back into service.",
        node.name
    ));
    preview
}

/// The node does not take the writes. A node that is silent is only known not to when another one says that it does.
pub(super) fn not_the_primary(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
) -> Option<Finding> {
    if matches!(spec.topology, Topology::MultiMaster | Topology::Single) {
        return None;
    }
    let observed = seen.node(&node.id);
    match observed.and_then(|n| n.role) {
        Some(Role::Primary | Role::ShardPrimary) => {}
        Some(_) => return None,
        None => {
            let known_other = matches!(leader(seen, node.shard), Leader::One(one) if one.node != node.id);
            return (!known_other).then(|| {
                let state = observed.map_or_else(|| "silent".to_owned(), ailment);
                Finding::new(
                    "role-unknown",
                    format!(
                        "{} is {state}, and no other node says that it is the primary: it may be {0} itself.",
                        node.name
                    ),
                )
                .at("/node")
            });
        }
    }
    let takes = match node.shard {
        Some(shard) => format!("the writes of shard {shard}"),
        None => "the writes".to_owned(),
    };
    let finding =
        Finding::new("is-primary", format!("{} is the primary: it takes {takes}.", node.name)).at("/node");
    Some(promote_first(spec, seen, node, finding))
}

/// Offers the best replica instead of the primary `node`.
pub(super) fn promote_first(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
    finding: Finding,
) -> Finding {
    match promotion_candidate(spec, seen, node.shard) {
        Some(candidate) => finding.way_out(
            format!("Promote {} first", candidate.name),
            Change::PromoteNode { node: candidate.name.clone() },
        ),
        None => finding.hint("No replica is fit to take over now: bring one back first."),
    }
}

/// Somebody else can serve the data.
fn not_the_last(spec: &ClusterSpec, seen: &ClusterObserved, node: &NodeSpec) -> Option<Finding> {
    (nodes_able_to_serve(spec, seen, node) == 0).then(|| {
        let what =
            node.shard.map_or_else(|| spec.name.to_string(), |s| format!("shard {s} of {}", spec.name));
        Finding::new(
            "last-serving",
            format!("{} is the last node of {what} that is able to serve.", node.name),
        )
        .at("/node")
        .hint("Bring another node back, or add one, first.")
    })
}
