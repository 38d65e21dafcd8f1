//! Create a cluster. Nothing is typed to confirm it: it takes nothing away from anybody.

use super::rules::{
    Load, addresses_lead_there, even_nodes, even_shards, fits, large_enough, unseen, voters_of, words,
};
use super::{Facts, Finding, Preview, ResolvedCreate, resolve_create};
use crate::{CreateCluster, Failover, REGION_LOCAL, Topology, service, side_plan};

/// One machine in front of the nodes, whatever their topology.
const GATEWAYS: u16 = 1;

pub(super) fn preview(wish: &CreateCluster, facts: &Facts<'_>) -> Preview {
    let mut preview = Preview::titled(format!("Create {}", wish.name.trim()));
    let made = match resolve_create(wish, facts) {
        Ok(made) => made,
        Err(blockers) => {
            preview.blockers = blockers;
            return preview;
        }
    };
    let load = Load { plan: &made.plan, nodes: made.nodes, side: made.witnesses() + GATEWAYS };
    preview.block(large_enough(service(made.service), &made.version, &made.plan));
    // It resolved, so what the place can carry is known.
    if let Some(capacity) = facts.capacity {
        preview.blockers.extend(fits(&load, capacity, facts));
        preview.block(addresses_lead_there(made.topology, capacity));
        preview.warn(unseen(load.disk(), capacity));
        for what in &capacity.to_fetch {
            preview.effect(format!("{what} is fetched first, which may take some minutes."));
        }
    }
    warnings(&made, wish, &mut preview);
    let carrier = facts.capacity.and_then(|c| c.carriers.iter().find(|c| c.version == made.version));
    effects(&made, &load, carrier.map(|c| c.server.as_str()), &mut preview);
    preview
}

fn warnings(made: &ResolvedCreate, wish: &CreateCluster, preview: &mut Preview) {
    let name = &made.name;
    let offer = service(made.service).offer(&made.version, made.topology);
    if let Some(limits) = offer.and_then(|o| o.limits) {
        preview.warn(Finding::new("topology-limits", limits).at("/topology"));
    }
    match made.topology {
        Topology::Single => preview.warn(
            Finding::new(
                "single-node",
                format!("One node, so no failover: when it fails, {name} is down until it is started again."),
            )
            .at("/topology"),
        ),
        Topology::PrimaryReplica if offer.is_some_and(|o| o.failover == Failover::ByHand) => preview.warn(
            Finding::new(
                "failover-by-hand",
                format!(
                    "When the primary fails, writes stop until it is back or you promote a replica by hand: {}'s \
                     replication has no vote of its own.",
                    service(made.service).name_of(&made.version)
                ),
            )
            .at("/topology"),
        ),
        Topology::PrimaryReplica => {
            let all = offer.is_some_and(|o| o.all_vote);
            preview.warn(even_nodes(made.nodes, all).map(|f| f.at("/nodes")));
        }
        Topology::Sharded => {
            preview.warn(even_shards(made.shards).map(|f| f.at("/shards")));
            if made.nodes == made.shards {
                preview.warn(
                    Finding::new(
                        "shards-without-replica",
                        "No shard has a replica: when a node fails, its share of the keys cannot be reached, and it is \
                         lost with the node's disk.",
                    )
                    .at("/nodes")
                    .hint(format!("{} nodes give each shard a replica.", made.shards.saturating_mul(2))),
                );
            }
        }
        Topology::MultiMaster => {}
    }
    let by_vote = offer.is_some_and(|o| o.failover == Failover::ByVote);
    if (by_vote || made.topology == Topology::MultiMaster) && wish.auto_failover == Some(false) {
        preview.warn(
            Finding::new(
                "failover-off",
                "Automatic failover is off: when a primary fails, writes stop until somebody acts.",
            )
            .at("/auto_failover"),
        );
    }
}

fn effects(made: &ResolvedCreate, load: &Load<'_>, carrier: Option<&str>, preview: &mut Preview) {
    let name = &made.name;
    let place = if made.region == REGION_LOCAL {
        "on this computer".to_owned()
    } else {
        format!("at {} in {}", made.provider, made.region)
    };
    preview.effect(format!("{} {place}.", load.words()));
    let small = side_plan();
    let small = format!("{} with {} of memory", small.id, words::bytes(small.memory_bytes));
    if made.witnesses() > 0 {
        preview.effect(format!(
            "A machine of {small} for {}, a witness: it only votes, since two voters cannot outvote a dead one.",
            name.node(made.nodes + 1)
        ));
    }
    let address = match made.topology {
        Topology::Single => "one address that stays the same",
        Topology::PrimaryReplica => "one address that follows the primary",
        Topology::MultiMaster => "one address for all members",
        Topology::Sharded => "one address to begin with; clients then go to the nodes themselves",
    };
    preview.effect(format!("A machine of {small} for the endpoint: {address}."));
    let carrier = carrier.map_or_else(String::new, |server| format!(" on {server}"));
    preview.effect(format!(
        "{} {}{carrier} is started: {}.",
        service(made.service).name_of(&made.version),
        made.version,
        roles(made)
    ));
    if made.auto_failover {
        let offer = service(made.service).offer(&made.version, made.topology);
        let who = match made.topology {
            Topology::Sharded => format!("the {} shard primaries vote", made.shards),
            _ if offer.is_some_and(|o| o.all_vote) => format!("all {} nodes vote", made.slots.len()),
            _ => format!("{} nodes vote", made.slots.len().min(voters_of(made.slots.len()))),
        };
        preview.effect(format!("Automatic failover is on: {who}, and a majority replaces a dead primary."));
    }
    let offered = service(made.service).topology(made.topology).map_or(&[][..], |t| t.options);
    for option in offered.iter().filter(|o| o.holds(&made.options, usize::from(made.nodes))) {
        preview.effect(option.on);
    }
    if made.protected {
        preview.effect(format!(
            "Termination protection is on: {name} cannot be deleted until it is turned off."
        ));
    }
    preview.effect("Passwords are made at random and kept where this program keeps its secrets.");
    preview.effect("If a step fails or you cancel, all of it is taken away again.");
}

/// Who does what at the start.
fn roles(made: &ResolvedCreate) -> String {
    let named = |primary: bool| -> Vec<String> {
        let of = made.slots.iter().filter(|s| !s.witness && s.primary == primary);
        of.map(|s| made.name.node(s.ordinal)).collect()
    };
    let (first, rest) = (named(true), named(false));
    let text = |names: &[String]| words::list(&names.iter().map(String::as_str).collect::<Vec<_>>());
    match made.topology {
        Topology::Single => format!("{} serves alone", text(&first)),
        Topology::PrimaryReplica => {
            let follow = if rest.len() == 1 { "follows" } else { "follow" };
            format!("{} takes the writes, {} {follow} it", text(&first), text(&rest))
        }
        Topology::MultiMaster => format!("{} all take writes", text(&first)),
        Topology::Sharded => {
            let replicas = usize::from(made.nodes / made.shards.max(1)).saturating_sub(1);
            let each =
                if replicas == 0 { "no replica".to_owned() } else { words::count(replicas, "replica") };
            format!("{} shards with {each} each, every node a part of the keys", made.shards)
        }
    }
}
