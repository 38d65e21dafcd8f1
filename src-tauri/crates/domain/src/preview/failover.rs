//! Automatic failover on or off.

use super::rules::{self, failover_of, fresh, voters};
use super::{Facts, Finding, Preview, Subject};
use crate::{Failover, Topology, service};

pub(super) fn preview(subject: &Subject<'_>, enabled: bool, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let name = &spec.name;
    let switch = if enabled { "on" } else { "off" };
    let mut preview = Preview::titled(format!("Turn automatic failover of {name} {switch}"));
    preview.block(rules::free(subject));
    let kind = failover_of(spec);
    if enabled && kind != Failover::ByVote {
        let why = match spec.topology {
            Topology::Single => "there is no other node to fail over to".to_owned(),
            _ if kind == Failover::ByHand => {
                let maker = service(spec.service).name_of(&spec.version);
                format!(
                    "{maker}'s replication has no vote of its own; promote a replica by hand, or choose multi-master"
                )
            }
            _ => "every node takes writes, so there is nothing to fail over".to_owned(),
        };
        preview.block(
            Finding::new("no-voters", format!("{name} has no automatic failover: {why}.")).at("/cluster"),
        );
        return preview;
    }
    if spec.auto_failover == enabled {
        preview.effect(format!("Automatic failover of {name} is {switch} already; nothing changes."));
        return preview;
    }
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if enabled {
        let voters = voters(spec).len();
        if spec.topology == Topology::PrimaryReplica && voters < 3 {
            preview.warn(
                Finding::new(
                    "failover-not-ready",
                    format!("{name} has {voters} voters, and neither can outvote a dead one: it will not fail over."),
                )
                .hint("Add a node."),
            );
        }
        let fit = |shard| super::promotion_candidate(spec, seen, shard).is_some();
        let everywhere = match spec.topology {
            Topology::Sharded => (0..spec.shards).all(|s| fit(Some(s))),
            _ => fit(None),
        };
        if !everywhere {
            preview.warn(Finding::new(
                "no-candidate",
                "A primary has no replica that is fit to take over now; until it has one, nothing will replace it.",
            ));
        }
        preview.effect(
            "The voters watch every primary; when a majority finds one dead, its best replica takes over.",
        );
        preview.effect(if spec.options.synchronous {
            "A failover that nobody planned loses no acknowledged write while a replica is synchronous."
        } else {
            "A failover that nobody planned may lose the writes of its last moment."
        });
    } else {
        preview.warn(Finding::new(
            "failover-off",
            format!("When a primary of {name} fails, writes stop until somebody acts."),
        ));
        preview.effect("The voters stand aside: nothing is promoted unless a person does it.");
    }
    preview.effect("No server is restarted, no connection is closed.");
    preview
}
