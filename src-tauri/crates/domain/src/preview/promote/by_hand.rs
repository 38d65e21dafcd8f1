//! Promote a replica because its primary is dead, where nobody takes over by itself. Hung is not dead: the machine of the
//! primary must say that its process is gone.

use crate::preview::rules::{Leader, ailment, failover_of, leader, words};
use crate::preview::{Finding, Preview, Subject};
use crate::{
    Change, ClusterObserved, ClusterSpec, Failover, Health, NodeObserved, NodeSpec, NodeState, Role,
};

/// The dead primary that `node` followed, when a person may let it take its place.
pub fn dead_primary_of<'a>(
    spec: &'a ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
) -> Option<&'a NodeSpec> {
    if failover_of(spec) != Failover::ByHand || !matches!(leader(seen, None), Leader::Nobody) {
        return None;
    }
    let followed = seen.node(&node.id)?.follows.as_ref()?;
    let gone = matches!(seen.node(followed)?.state, NodeState::Crashed | NodeState::Stopped);
    spec.node(followed).filter(|n| gone && n.id != node.id)
}

pub(super) fn preview(
    subject: &Subject<'_>,
    node: &NodeSpec,
    target: &NodeObserved,
    seen: &ClusterObserved,
    mut preview: Preview,
) -> Preview {
    let spec = subject.spec;
    let Some(dead) = dead_primary_of(spec, seen, node) else { return preview };
    let (name, old) = (&node.name, &dead.name);
    preview.destructive = true;
    if target.state != NodeState::Running {
        preview
            .block(Finding::new("target-unhealthy", format!("{name} is {}.", ailment(target))).at("/node"));
    }
    if target.diverged {
        preview.block(
            Finding::new("diverged", format!("{name} holds writes of its own that nobody else has."))
                .at("/node"),
        );
    }
    preview.block(not_the_furthest(spec, seen, node, target));
    for other in spec.data_nodes().filter(|n| !n.drained && n.id != node.id && n.id != dead.id) {
        let found = seen.node(&other.id);
        if found.is_none_or(|n| matches!(n.health, Health::Down | Health::Unknown)) {
            preview.warn(Finding::new(
                "replica-silent",
                format!("{} does not answer; it may have received more than {name}.", other.name),
            ));
        }
    }
    preview.warn(Finding::new(
        "writes-may-be-lost",
        format!(
            "{old} is dead and cannot be asked: what it acknowledged last and had sent to nobody is lost."
        ),
    ));
    preview.effect(format!(
        "The process of {old} is gone, as its machine says, and it is not started as a primary again."
    ));
    preview.effect(format!("{name} applies all it has received; no other replica has received more."));
    preview.effect(format!(
        "{name} takes the writes, the endpoint points to it, and the other replicas follow it."
    ));
    preview.effect(format!(
        "{old} is started as a follower; if it holds writes that {name} lacks, that is shown and a resync sets them aside."
    ));
    preview
}

/// The replica that has received most is the one to promote.
fn not_the_furthest(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    node: &NodeSpec,
    target: &NodeObserved,
) -> Option<Finding> {
    let name = &node.name;
    match target.lag_bytes {
        Some(0) => None,
        None => Some(
            Finding::new(
                "lag-unknown",
                format!("How much {name} has received is unknown; another may have more."),
            )
            .at("/node"),
        ),
        Some(lag) => {
            let fits = |n: &&NodeSpec| {
                seen.node(&n.id)
                    .is_some_and(|n| n.role == Some(Role::Replica) && n.lag_bytes == Some(0) && !n.diverged)
            };
            let text = format!("Another replica has received {} more than {name}.", words::bytes(lag));
            let finding = Finding::new("another-is-ahead", text).at("/node");
            Some(match spec.data_nodes().find(fits) {
                Some(best) => finding.way_out(
                    format!("Promote {} instead", best.name),
                    Change::PromoteNode { node: best.name.clone() },
                ),
                None => finding,
            })
        }
    }
}
