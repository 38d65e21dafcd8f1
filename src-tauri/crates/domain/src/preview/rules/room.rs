//! Whether the place of the new machines can carry them. What nobody could find out does not fit.

use super::words::{bytes, count};
use crate::preview::{Capacity, Facts, Finding};
use crate::{Plan, ServiceEntry, Topology, side_plan};

/// What is asked of the place.
#[derive(Debug, Clone, Copy)]
pub(in crate::preview) struct Load<'a> {
    /// Size of a data node.
    pub plan: &'a Plan,
    /// How many of them.
    pub nodes: u16,
    /// Small machines beside them: witness, endpoint.
    pub side: u16,
}

impl Load<'_> {
    /// Bytes of memory in all.
    pub(in crate::preview) fn memory(&self) -> u64 {
        let side = side_plan().memory_bytes.saturating_mul(u64::from(self.side));
        self.plan.memory_bytes.saturating_mul(u64::from(self.nodes)).saturating_add(side)
    }
    /// Bytes of disk in all.
    pub(in crate::preview) fn disk(&self) -> u64 {
        let side = side_plan().disk_bytes.saturating_mul(u64::from(self.side));
        self.plan.disk_bytes.saturating_mul(u64::from(self.nodes)).saturating_add(side)
    }
    /// `3 machines of SMALL-1C-1G: 3 GiB of memory and 30 GiB of disk`, without the small ones.
    pub(in crate::preview) fn words(&self) -> String {
        let data = Load { side: 0, ..*self };
        format!(
            "{} of {}: {} of memory and {} of disk",
            count(usize::from(self.nodes), "machine"),
            self.plan.id,
            bytes(data.memory()),
            bytes(data.disk())
        )
    }
}

/// Memory, disk, addresses and ports.
pub(in crate::preview) fn fits(load: &Load<'_>, capacity: &Capacity, facts: &Facts<'_>) -> Vec<Finding> {
    let smaller = "Choose a smaller plan or fewer nodes, or delete a cluster that is no longer needed.";
    let mut found = carries(load.memory(), load.disk(), smaller, capacity, facts);
    match capacity.addresses_free {
        None => found
            .push(Finding::new("addresses-unknown", "Whether addresses are free could not be found out.")),
        Some(false) => found.push(
            Finding::new("addresses-taken", "There are not enough free addresses for the new machines.")
                .hint("Delete a cluster that is no longer needed."),
        ),
        Some(true) => {}
    }
    if !capacity.ports_taken.is_empty() {
        found.push(
            Finding::new(
                "ports-taken",
                format!("Somebody else listens on {}.", capacity.ports_taken.join(", ")),
            )
            .hint("Stop that program (`ss -ltnp` shows which it is), or have it listen on one address only."),
        );
    }
    found
}

/// So much memory and disk, in bytes, beside what is in use already.
pub(in crate::preview) fn carries(
    memory: u64,
    disk: u64,
    smaller: &str,
    capacity: &Capacity,
    facts: &Facts<'_>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let reserve = facts.figures.memory_reserve_bytes;
    match capacity.memory_free_bytes {
        None => found.push(
            Finding::new("memory-unknown", "How much memory is free could not be found out.").at("/plan"),
        ),
        Some(free) if memory > free.saturating_sub(reserve) => found.push(
            Finding::new(
                "memory-short",
                format!(
                    "{} of memory are needed, {} are free beyond the {} kept for everything else.",
                    bytes(memory),
                    bytes(free.saturating_sub(reserve)),
                    bytes(reserve)
                ),
            )
            .at("/plan")
            .hint(smaller),
        ),
        Some(_) => {}
    }
    match capacity.disk_free_bytes {
        None if capacity.disk_unseen => {}
        None => {
            found.push(
                Finding::new("disk-unknown", "How much disk is free could not be found out.").at("/plan"),
            );
        }
        Some(free) if disk > free => found.push(
            Finding::new(
                "disk-short",
                format!("{} of disk are needed, {} are free.", bytes(disk), bytes(free)),
            )
            .at("/plan")
            .hint(smaller),
        ),
        Some(_) => {}
    }
    found
}

/// Nobody can say whether the disk suffices.
pub(in crate::preview) fn unseen(disk: u64, capacity: &Capacity) -> Option<Finding> {
    (disk > 0 && capacity.disk_unseen && capacity.disk_free_bytes.is_none()).then(|| {
        Finding::new(
            "disk-unseen",
            format!(
                "{} of disk are needed. How much is free in the virtual machine of the container engine is not told; when it \
                 is full, servers there stop taking writes.",
                bytes(disk)
            ),
        )
        .at("/plan")
    })
}

/// Members of a sharded cluster send clients to each other's addresses, which must lead somewhere.
pub(in crate::preview) fn addresses_lead_there(topology: Topology, capacity: &Capacity) -> Option<Finding> {
    (topology == Topology::Sharded && capacity.by_published_ports).then(|| {
        Finding::new(
            "addresses-out-of-reach",
            "A sharded cluster sends its clients from node to node, by addresses that cannot be reached from this computer \
             there.",
        )
        .at("/topology")
        .hint("Choose another topology, or a place whose addresses can be reached: this computer itself, or a container engine that runs as root on it.")
    })
}

/// The service runs in a node of this size at all.
pub(in crate::preview) fn large_enough(
    service: &ServiceEntry,
    version: &str,
    plan: &Plan,
) -> Option<Finding> {
    let least = service.least_memory_bytes(version);
    (plan.memory_bytes < least).then(|| {
        Finding::new(
            "plan-too-small",
            format!(
                "{} {version} needs at least {} of memory; {} has {}.",
                service.name_of(version),
                bytes(least),
                plan.id,
                bytes(plan.memory_bytes)
            ),
        )
        .at("/plan")
        .hint("Choose a larger plan.")
    })
}

/// Programs that are not installed, each with the command that installs it.
pub(in crate::preview) fn software(capacity: &Capacity) -> impl Iterator<Item = Finding> {
    capacity.missing.iter().map(|m| {
        let mut text = match m.refused {
            true => format!("{} cannot be used: {}.", m.program, m.purpose),
            false => format!("{} is not installed ({}).", m.program, m.purpose),
        };
        if let (Some(_), Some(elsewhere)) = (&m.install, &m.elsewhere) {
            // A hint that is a command is nothing else, so that it can be copied.
            text = format!("{text} {elsewhere}");
        }
        let finding = Finding::new("software-missing", text);
        match (&m.install, &m.elsewhere) {
            (Some(command), _) => finding.hint(command.clone()),
            (None, Some(elsewhere)) => finding.hint(elsewhere.clone()),
            (None, None) if m.refused => finding,
            (None, None) => finding.hint(format!("Install {} so that it is found in the PATH.", m.program)),
        }
    })
}
