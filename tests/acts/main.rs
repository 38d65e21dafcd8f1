//! Prints which acts were seen to work on what and where, by the tests that ran last. `cargo xtask acts`.

use clusterdeck_domain::{Failover, ServiceKind, Topology, service};
use clusterdeck_tests::proofs::{self, Proof, Seen, Subject};
use std::collections::{BTreeMap, BTreeSet};

/// Columns: the id of the act, and its head.
const ACTS: [(&str, &str); 17] = [
    ("create-cluster", "create"),
    ("add-node", "add"),
    ("remove-node", "remove"),
    ("promote-node", "promote"),
    ("failover", "failover"),
    ("drain-node", "drain"),
    ("undrain-node", "undrain"),
    ("reboot-node", "reboot"),
    ("resize-cluster", "plan"),
    ("upgrade-cluster", "upgrade"),
    ("resync-cluster", "resync"),
    ("rotate-credentials", "rotate"),
    ("add-shard", "shards"),
    ("set-auto-failover", "failover off/on"),
    ("set-options", "switches"),
    ("set-parameters", "parameters"),
    ("delete-cluster", "delete"),
];

/// Whether a service in a topology has this act at all.
fn offered(act: &str, kind: ServiceKind, topology: Topology, version: &str) -> bool {
    let entry = service(kind);
    let offer = entry.offer(version, topology);
    let failover = offer.map(|o| o.failover);
    match act {
        "promote-node" => matches!(topology, Topology::PrimaryReplica | Topology::Sharded),
        "failover" => failover == Some(Failover::ByVote) || topology == Topology::MultiMaster,
        "set-auto-failover" => failover == Some(Failover::ByVote),
        "add-node" => topology != Topology::Sharded,
        "remove-node" | "drain-node" | "undrain-node" => topology != Topology::Single,
        // Where all take writes, a member is copied to anew when it diverged, which members that vote can tell.
        "resync-cluster" => match topology {
            Topology::Single => false,
            Topology::MultiMaster => offer.is_some_and(|o| o.all_vote),
            _ => true,
        },
        "add-shard" => topology == Topology::Sharded,
        "set-options" => offer.is_some_and(|o| !o.options.is_empty()),
        "set-parameters" => entry.parameters,
        "upgrade-cluster" => !kind.is_extension(),
        _ => true,
    }
}

fn cell(row: &Row, act: &str) -> &'static str {
    match row.seen.get(act) {
        Some(Seen::Killed) => "✓✓",
        Some(Seen::Ran) => "✓",
        None if offered(act, row.kind, row.topology, &row.version) => " ",
        None => "–",
    }
}

struct Row {
    kind: ServiceKind,
    topology: Topology,
    version: String,
    seen: BTreeMap<String, Seen>,
}

type Rows = BTreeMap<(String, String, String), Row>;

fn rows(all: BTreeSet<Proof>) -> Rows {
    let mut rows = Rows::new();
    for Proof { subject, act, seen } in all {
        let Some((kind, topology)) = subject.known() else { continue };
        let name = subject.name();
        let Subject { version, topology: shape, provider, .. } = subject;
        let new = || Row { kind, topology, version, seen: BTreeMap::new() };
        let row = rows.entry((name, shape, provider)).or_insert_with(new);
        let best = row.seen.entry(act).or_insert(seen);
        *best = seen.max(*best);
    }
    rows
}

fn main() -> std::io::Result<()> {
    let rows = rows(proofs::read()?);
    let heads: Vec<&str> = ACTS.iter().map(|(_, head)| *head).collect();
    println!("| Service | Topology | Where | {} |", heads.join(" | "));
    println!("|---|---|---|{}", ":-:|".repeat(ACTS.len()));
    for ((name, topology, provider), row) in &rows {
        let cells: Vec<&str> = ACTS.iter().map(|(act, _)| cell(row, act)).collect();
        println!("| {name} | {topology} | {provider} | {} |", cells.join(" | "));
    }
    Ok(())
}
