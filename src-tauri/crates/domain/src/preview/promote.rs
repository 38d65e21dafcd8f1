//! Promote a replica: the writes move to it, and none that was acknowledged is lost. What is different when the primary is
//! dead and nobody takes over by itself stands in `by_hand`.

mod by_hand;

pub use by_hand::dead_primary_of;

use super::rules::{
    self, ailment, clients_of, entry, follows_a_leader, fresh, has_replicas, holds_data, name,
    replica_needed_for_writes, words,
};
use super::{Facts, Finding, Preview, Subject};
use crate::{
    Change, ClusterObserved, ClusterSpec, Health, Link, NodeObserved, NodeSpec, Role, ServiceKind, Topology,
    version::numbers,
};

/// Measured with HAProxy in front: 5 to 14 ms (reference/runtime.md, last row of section 4); the rest is reserve.
const GAP_BEHIND_ENDPOINT_MS: u64 = 20;
/// `CLUSTER FAILOVER` was measured at 44 ms; clients find the new primary by a redirection.
const GAP_SHARDED_MS: u64 = 50;

/// Patroni 3, which Debian's PostgreSQL 15 comes with: measured at 417 to 515 ms; the old primary is shut down first.
const GAP_BY_PATRONI_3_MS: u64 = 600;
/// Patroni 4, which later ones come with: measured at 613 ms in containers on two quiet cores.
const GAP_BY_PATRONI_4_MS: u64 = 800;
/// The last major version that comes with Patroni 3.
const WITH_PATRONI_3: u64 = 15;
/// One that insists on a synchronous replica was measured at 3.2 s: the new primary waits until one follows it.
const GAP_INSISTING_MS: u64 = 3_500;

/// How long writes are expected to wait while they move.
pub(super) fn write_gap_ms(spec: &ClusterSpec) -> u64 {
    if let Some(measured) = entry(spec).hand_over_ms(&spec.version) {
        return measured;
    }
    match (spec.service, spec.topology) {
        (ServiceKind::Postgresql | ServiceKind::Timescaledb | ServiceKind::Hydra, _) => {
            if replica_needed_for_writes(spec) {
                GAP_INSISTING_MS
            } else {
                // The version of an extension says nothing about its server.
                let old = |major: &u64| !spec.service.is_extension() && *major <= WITH_PATRONI_3;
                let major = numbers(&spec.version).first().copied();
                if major.as_ref().is_some_and(old) { GAP_BY_PATRONI_3_MS } else { GAP_BY_PATRONI_4_MS }
            }
        }
        (_, Topology::Sharded) => GAP_SHARDED_MS,
        _ => GAP_BEHIND_ENDPOINT_MS,
    }
}

pub(super) fn preview(subject: &Subject<'_>, node: &NodeSpec, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Promote {}", node.name));
    preview.confirm = Some(node.name.clone());
    preview.block(rules::free(subject));
    if !has_replicas(spec.topology) {
        let why = match spec.topology {
            Topology::Single => "it is a single node",
            _ => "every node of it takes writes",
        };
        preview.block(
            Finding::new("nothing-to-promote", format!("{} has no replicas to promote: {why}.", spec.name))
                .at("/node"),
        );
        return preview;
    }
    if let Some(witness) = holds_data(node) {
        preview.block(witness);
        return preview;
    }
    if node.drained {
        preview.block(
            Finding::new("drained", format!("{} was taken out of service and is stopped.", node.name))
                .at("/node")
                .way_out(
                    format!("Put {} back into service first", node.name),
                    Change::UndrainNode { node: node.name.clone() },
                ),
        );
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    let Some(target) = seen.node(&node.id) else {
        preview
            .block(Finding::new("target-unknown", format!("Nothing is known of {}.", node.name)).at("/node"));
        return preview;
    };
    if !is_replica(node, target, &mut preview) {
        return preview;
    }
    if dead_primary_of(spec, seen, node).is_some() {
        return by_hand::preview(subject, node, target, seen, preview);
    }
    can_take_over(subject, node, target, facts, &mut preview);
    let Some(old) = follows_a_leader(spec, seen, node.shard, &mut preview) else { return preview };

    let old_name = name(spec, &old.node);
    let gap = write_gap_ms(spec);
    votes(subject, seen, &mut preview);
    if let Some((clients, _)) = clients_of(Some(old)) {
        preview.warn(Finding::new(
            "clients-connected",
            format!(
                "{clients} connected to {old_name}: their connections are closed and they must connect again."
            ),
        ));
    }
    open_transactions(subject, facts, old, &mut preview);
    preview.warn(Finding::new(
        "write-gap",
        format!(
            "Writes wait about {} while they move; one that fails in between was not acknowledged.",
            words::wait(gap)
        ),
    ));
    preview.expected_downtime_ms = gap;
    preview.effect(format!("{old_name} stops taking writes."));
    preview.effect(format!("{} receives every write that was acknowledged; if it does not, {old_name} is opened again and nothing has changed.", node.name));
    preview.effect(match spec.topology {
        Topology::Sharded => {
            format!("{} takes the writes of shard {}.", node.name, node.shard.unwrap_or_default())
        }
        _ => format!("{} takes the writes, and the endpoint points to it.", node.name),
    });
    preview.effect(format!("{old_name} follows {} from then on.", node.name));
    preview.effect("How long writes really waited is measured and kept in the audit trail.");
    preview
}

/// Follows somebody, so that there is something to promote it from.
fn is_replica(node: &NodeSpec, target: &NodeObserved, preview: &mut Preview) -> bool {
    let finding = match target.role {
        Some(Role::Replica | Role::ShardReplica) => return true,
        Some(Role::Primary | Role::ShardPrimary) => {
            Finding::new("already-primary", format!("{} is the primary already.", node.name))
        }
        Some(Role::Member | Role::Witness) => {
            Finding::new("not-a-replica", format!("{} is not a replica.", node.name))
        }
        None => Finding::new(
            "role-unknown",
            format!("{} did not say what it is: it is {}.", node.name, ailment(target)),
        )
        .hint("Look at its logs, or promote another replica."),
    };
    preview.block(finding.at("/node"));
    false
}

/// It is well, connected, and close enough behind.
fn can_take_over(
    subject: &Subject<'_>,
    node: &NodeSpec,
    target: &NodeObserved,
    facts: &Facts<'_>,
    preview: &mut Preview,
) {
    let name = &node.name;
    if target.health != Health::Healthy {
        preview.block(
            Finding::new("target-unhealthy", format!("{name} is {}.", ailment(target)))
                .at("/node")
                .hint("Promote a healthy replica, or wait until this one is."),
        );
    }
    match target.link {
        Some(Link::Up) => {}
        Some(Link::Syncing) => preview.block(
            Finding::new("copying", format!("{name} is still copying the data of its primary."))
                .at("/node")
                .hint("Wait until it has caught up."),
        ),
        Some(Link::Down) => preview.block(
            Finding::new("link-down", format!("{name} is cut off from its primary and misses writes."))
                .at("/node"),
        ),
        None => preview.block(
            Finding::new("link-unknown", format!("Whether {name} is connected to its primary is unknown."))
                .at("/node"),
        ),
    }
    let limit = facts.figures.max_promotion_lag_bytes;
    match target.lag_bytes {
        None => preview.block(
            Finding::new(
                "lag-unknown",
                format!("How far {name} is behind is unknown; it might lack writes."),
            )
            .at("/node"),
        ),
        Some(lag) if lag > limit => preview.block(
            Finding::new(
                "lag-too-large",
                format!(
                    "{name} is {} behind; at most {} is allowed.",
                    words::bytes(lag),
                    words::bytes(limit)
                ),
            )
            .at("/node")
            .hint("Wait until it has caught up, or promote a replica that has."),
        ),
        Some(_) => {}
    }
    if target.diverged {
        let cluster = subject.spec.name.to_string();
        preview.block(
            Finding::new(
                "diverged",
                format!("{name} holds writes that its primary lacks; promoting it would mix them."),
            )
            .at("/node")
            .way_out(format!("Resync {cluster} first"), Change::ResyncCluster { cluster }),
        );
    }
}

/// Transactions that will be cut off, each by what it does.
fn open_transactions(subject: &Subject<'_>, facts: &Facts<'_>, old: &NodeObserved, preview: &mut Preview) {
    let limit = facts.figures.open_transaction_seconds;
    let long: Vec<_> = old.open_transactions.iter().filter(|t| t.seconds >= limit).collect();
    if long.is_empty() {
        return;
    }
    let each: Vec<String> =
        long.iter().map(|t| format!("{} for {} s: {}", t.user, t.seconds, t.query)).collect();
    preview.warn(Finding::new(
        "open-transactions",
        format!(
            "{} open on {} for {limit} s or more will be rolled back: {}.",
            words::count(long.len(), "transaction"),
            name(subject.spec, &old.node),
            each.join("; ")
        ),
    ));
}

/// Promoting needs no vote, but without a majority the new primary has nobody to replace it.
fn votes(subject: &Subject<'_>, seen: &ClusterObserved, preview: &mut Preview) {
    if !subject.spec.auto_failover || subject.spec.topology != Topology::PrimaryReplica {
        return;
    }
    let text = match seen.votes {
        Some(votes) if votes.present >= votes.needed => return,
        Some(votes) => format!(
            "{} of {} voters answer and {} are needed: should the new primary fail, nobody replaces it.",
            votes.present, votes.total, votes.needed
        ),
        None => "No voter answers: should the new primary fail, nobody replaces it.".to_owned(),
    };
    preview.warn(Finding::new("quorum-missing", text));
}
