//! New passwords everywhere. The old ones stop only when the new ones work on every node; where a server keeps one password
//! for an account, in the same moment.

use super::rules::{self, ailment, fresh, words};
use super::{Facts, Finding, Preview, Subject};
use crate::{Change, Health, cluster_state};

pub(super) fn preview(subject: &Subject<'_>, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let name = &spec.name;
    let mut preview = Preview::titled(format!("Rotate the credentials of {name}"));
    preview.block(rules::free(subject));
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };

    for node in spec.nodes.iter().filter(|n| n.drained) {
        preview.block(
            Finding::new("drained", format!("{} is stopped and cannot be given a new password.", node.name))
                .way_out(
                    format!("Put {} back into service first", node.name),
                    Change::UndrainNode { node: node.name.clone() },
                ),
        );
    }
    for node in spec.nodes.iter().filter(|n| !n.drained) {
        let ill = match seen.node(&node.id) {
            Some(seen) if seen.health == Health::Healthy => continue,
            Some(seen) => ailment(seen),
            None => "in an unknown state".to_owned(),
        };
        preview.block(
            Finding::new(
                "cluster-unhealthy",
                format!("{} is {ill}: it might keep the old password.", node.name),
            )
            .hint("Bring it back or remove it first."),
        );
    }
    // What is left: no one primary, or an endpoint that does not answer.
    if preview.blockers.is_empty() && cluster_state(spec, Some(seen), false).1 != Health::Healthy {
        preview.block(
            Finding::new(
                "cluster-unhealthy",
                format!("{name} is not healthy: its endpoint or its primary does not answer."),
            )
            .hint("Wait until it is running again."),
        );
    }
    let known: Option<u64> = seen.nodes.iter().filter(|n| holds_data(subject, n)).map(|n| n.clients).sum();
    match known {
        Some(0) => {}
        Some(n) => {
            preview.warn(clients(&words::count(usize::try_from(n).unwrap_or(usize::MAX), "client"), n == 1))
        }
        None => preview.warn(clients("An unknown number of clients", true)),
    }
    preview.effect("New passwords are made at random and kept where this program keeps its secrets.");
    if spec.service.keeps_one_password() {
        preview.effect(
            "A server keeps one password for an account: every node takes the new one in the same moment, and from then on \
             a new connection needs it. Connections that are open stay open.",
        );
        preview.effect("Replication and voters use the new one.");
        preview.effect("If it fails or you cancel, every node takes the old one again.");
    } else {
        preview.effect("Every node accepts the new password beside the old one, until all do.");
        preview.effect("Replication, voters and the endpoint use the new one.");
        preview.effect("Then the old one is no longer accepted anywhere.");
    }
    preview
}

fn holds_data(subject: &Subject<'_>, node: &crate::NodeObserved) -> bool {
    subject.spec.node(&node.node).is_some_and(|n| n.kind == crate::NodeKind::Data)
}

fn clients(who: &str, one: bool) -> Finding {
    let (is, they) = if one { ("is", "it must") } else { ("are", "they must") };
    Finding::new(
        "clients-connected",
        format!("{who} {is} connected: {they} be given the new password before connecting again."),
    )
}
