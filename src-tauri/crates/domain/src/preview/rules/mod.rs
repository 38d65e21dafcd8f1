//! Rules that several changes share. Each looks at one thing and says nothing when all is well.

mod group;
mod quorum;
mod room;
pub(super) mod words;

pub(super) use group::{
    Leader, clients_of, follows_a_leader, in_service, keeps_writes, leader, leaders_well,
    nodes_able_to_serve, others, replicas_that_follow, writes_would_stop,
};
pub use group::{nodes_per_shard, promotion_candidate, replica_needed_for_writes};
pub use quorum::voters;
pub(super) use quorum::{
    even_nodes, even_shards, failover_of, has_replicas, quorum_after_removal, quorum_without, voters_of,
    voters_without,
};
pub(super) use room::{Load, addresses_lead_there, carries, fits, large_enough, software, unseen};

use super::{Facts, Finding, Preview, Subject};
use crate::{
    ClusterObserved, ClusterSpec, Lifecycle, NodeId, NodeKind, NodeObserved, NodeSpec, ServiceEntry, service,
};

/// What the catalogue says of the cluster's service.
pub(super) fn entry(spec: &ClusterSpec) -> &'static ServiceEntry {
    service(spec.service)
}

/// A node's name; its id when the spec no longer has it.
pub(super) fn name<'a>(spec: &'a ClusterSpec, id: &'a NodeId) -> &'a str {
    spec.node(id).map_or(id.as_str(), |n| n.name.as_str())
}

/// Nobody else may be changing the cluster, and it must be one that lives.
pub(super) fn free(subject: &Subject<'_>) -> Option<Finding> {
    let name = &subject.spec.name;
    if let Some(busy) = subject.busy {
        return Some(
            Finding::new("busy", format!("{name} is being changed: {}.", busy.title))
                .hint("Wait until that operation has ended, or cancel it (`clusterdeck operation list`)."),
        );
    }
    match subject.spec.lifecycle {
        Lifecycle::Active => None,
        Lifecycle::Creating => Some(
            Finding::new("being-created", format!("{name} is not made yet."))
                .hint("Wait until it has been created."),
        ),
        Lifecycle::Restoring => Some(
            Finding::new(
                "being-restored",
                format!("The data of {name} is being replaced by that of a backup."),
            )
            .hint("Take up that operation again (`clusterdeck operation list`), or delete the cluster."),
        ),
        Lifecycle::Deleting => {
            Some(Finding::new("being-deleted", format!("{name} is being deleted; there is no way back.")))
        }
    }
}

/// What was seen of the cluster, when that is recent enough to decide on; else it blocks.
pub(super) fn fresh<'a>(
    subject: &Subject<'a>,
    facts: &Facts<'_>,
    preview: &mut Preview,
) -> Option<&'a ClusterObserved> {
    const HINT: &str =
        "Nothing is decided on old knowledge. It is looked at every 2 s; try again in a moment.";
    let name = &subject.spec.name;
    let Some(seen) = subject.observed else {
        preview.block(
            Finding::new(
                "not-observed",
                format!("Nobody has looked at {name} yet, so its state is unknown."),
            )
            .hint(HINT),
        );
        return None;
    };
    // A clock that was set back makes an observation from the future: as worthless as an old one.
    let age_ms = facts.now.as_millisecond().abs_diff(seen.at.as_millisecond());
    if age_ms > facts.figures.max_observation_age_ms {
        let text = if seen.at > facts.now {
            format!("{name} was last looked at in the future: this computer's clock was changed.")
        } else {
            let age = words::age(facts.now, seen.at);
            let limit = words::wait(facts.figures.max_observation_age_ms);
            format!("{name} was last looked at {age} ago; beyond {limit} its state counts as unknown.")
        };
        preview.block(Finding::new("observation-too-old", text).hint(HINT));
        return None;
    }
    Some(seen)
}

/// A witness holds no data and takes no traffic.
pub(super) fn holds_data(node: &NodeSpec) -> Option<Finding> {
    (node.kind == NodeKind::Witness).then(|| {
        Finding::new(
            "is-witness",
            format!("{} only votes: it holds no data and takes no traffic.", node.name),
        )
        .at("/node")
    })
}

/// `demo-2 is not healthy: …` in the words of whoever looked.
pub(super) fn ailment(node: &NodeObserved) -> String {
    let what = match node.health {
        crate::Health::Healthy => "healthy",
        crate::Health::Degraded => "not well",
        crate::Health::Down => "down",
        crate::Health::Unknown => "in an unknown state",
    };
    match &node.detail {
        Some(detail) => format!("{what} ({})", detail.trim_end_matches('.')),
        None => what.to_owned(),
    }
}

/// What the last backup means for a change that takes a copy of the data away.
pub(super) fn backup_age(subject: &Subject<'_>, facts: &Facts<'_>) -> Option<Finding> {
    let name = &subject.spec.name;
    let Some(at) = subject.last_backup else {
        return Some(Finding::new("no-backup", format!("{name} has no backup.")));
    };
    let limit = i64::try_from(facts.figures.backup_age_hours.saturating_mul(3_600)).unwrap_or(i64::MAX);
    (facts.now.as_second() - at.as_second() > limit).then(|| {
        let age = words::age(facts.now, at);
        Finding::new("old-backup", format!("The last backup of {name} is {age} old."))
    })
}
