//! Reboot a node: drain, stop, start, wait until it has caught up.

use super::drain::promote_first;
use super::rules::{self, clients_of, fresh, quorum_without, words, writes_would_stop};
use super::{Facts, Finding, Preview, Subject};
use crate::{ClusterObserved, NodeKind, NodeSpec, Topology};

/// Stop and start of a server without data.
pub(super) const RESTART_MS: u64 = 2_000;
/// What a server is reckoned to load from its disk in a second; cautious.
const LOADED_PER_SECOND: u64 = 100 << 20;

/// How long a server with so much data is gone: in whole seconds, so that the figure and the sentence say the same.
pub(super) fn restart_ms(data: u64) -> u64 {
    RESTART_MS.saturating_add(data.saturating_mul(1_000) / LOADED_PER_SECOND).div_ceil(1_000) * 1_000
}

pub(super) fn preview(subject: &Subject<'_>, node: &NodeSpec, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Reboot {}", node.name));
    preview.block(rules::free(subject));
    if node.drained {
        preview.block(
            Finding::new("drained", format!("{} was taken out of service and is stopped.", node.name))
                .at("/node")
                .way_out(
                    format!("Put {} back into service", node.name),
                    crate::Change::UndrainNode { node: node.name.clone() },
                ),
        );
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    preview.block(quorum_without(spec, seen, node).map(|f| f.at("/node")));
    if node.kind == NodeKind::Witness {
        preview.effect(format!("{} stops voting, starts again, and votes again.", node.name));
        preview.effect("No data is touched and no client notices.");
        return preview;
    }
    let data = seen.node(&node.id).and_then(|n| n.data_bytes).unwrap_or(0);
    let restart_ms = restart_ms(data);
    interrupts_writes(subject, seen, node, restart_ms, &mut preview);
    if let Some((clients, _)) = clients_of(seen.node(&node.id)) {
        preview.warn(Finding::new(
            "connections-open",
            format!("{clients} connected to {} and must connect again.", node.name),
        ));
    }
    let leads = seen.node(&node.id).and_then(|n| n.role).is_some_and(crate::Role::takes_writes);
    preview.effect(if leads && rules::failover_of(spec) == crate::Failover::ByHand {
        format!("{} stays the primary: nobody takes over by itself.", node.name)
    } else if leads && spec.topology == Topology::PrimaryReplica {
        "The voters stand aside meanwhile, so that its absence is not taken for a failure.".to_owned()
    } else {
        format!("No new connection goes to {}; open work is waited for.", node.name)
    });
    preview
        .effect(format!("{} is stopped in order, its data is on disk, and it is started again.", node.name));
    preview.effect(match spec.topology {
        Topology::Single => {
            format!("It takes traffic again when it has loaded its data: about {}.", words::wait(restart_ms))
        }
        _ => format!(
            "It takes traffic again when it is healthy and has caught up: about {}.",
            words::wait(restart_ms)
        ),
    });
    preview
}

/// Says whose writes stop meanwhile, and what to do instead.
fn interrupts_writes(
    subject: &Subject<'_>,
    seen: &ClusterObserved,
    node: &NodeSpec,
    restart_ms: u64,
    preview: &mut Preview,
) {
    let spec = subject.spec;
    let role = seen.node(&node.id).and_then(|n| n.role);
    let for_so_long = words::wait(restart_ms);
    match spec.topology {
        Topology::Single => {
            preview.warn(Finding::new(
                "single-node",
                format!("{} is the only node: reads and writes stop for about {for_so_long}.", node.name),
            ));
            preview.expected_downtime_ms = restart_ms;
        }
        Topology::MultiMaster => {
            if rules::nodes_able_to_serve(spec, seen, node) == 0 {
                preview.warn(Finding::new(
                    "last-serving",
                    format!("No other node is able to serve: reads and writes stop for about {for_so_long}."),
                ));
                preview.expected_downtime_ms = restart_ms;
            }
        }
        Topology::PrimaryReplica | Topology::Sharded => {
            if role.is_some_and(crate::Role::takes_writes) {
                let finding = Finding::new(
                    "is-primary",
                    format!(
                        "{} is the primary: writes stop for about {for_so_long} while it restarts.",
                        node.name
                    ),
                );
                preview.warn(promote_first(spec, seen, node, finding));
                preview.expected_downtime_ms = restart_ms;
            } else if let Some(what) = writes_would_stop(spec, seen, node) {
                preview.warn(Finding::new(
                    "writes-would-stop",
                    format!("{what} until it follows again, in about {for_so_long}."),
                ));
                preview.expected_downtime_ms = restart_ms;
            }
        }
    }
}
