//! The sizes of machines in containers: those of the domain, none of them billed; and what a size means to an engine.

use super::engines::Engine;
use clusterdeck_domain::{PLANS, Plan, PlanId};

/// All plans, smallest first.
pub(super) fn plans() -> Vec<Plan> {
    let ids = PLANS.iter().filter_map(|(name, ..)| PlanId::parse(name).ok());
    ids.filter_map(|id| clusterdeck_domain::plan(&id).ok()).collect()
}

/// Processes and threads a server with so much memory may have: enough for one connection each, and a runaway ends at it.
pub(super) fn processes(memory_bytes: u64) -> i64 {
    let gib = i64::try_from(memory_bytes >> 30).unwrap_or(i64::MAX);
    gib.saturating_mul(256).saturating_add(512)
}

/// Bytes of shared memory, which counts as memory: PostgreSQL's parallel queries want more than the engine's 64 MiB.
pub(super) fn shared_memory(memory_bytes: u64) -> i64 {
    i64::try_from(memory_bytes / 4).unwrap_or(i64::MAX).max(64 << 20)
}

impl Engine {
    /// What of a plan it does not enforce, and why.
    pub(super) fn not_enforced(&self) -> Option<String> {
        let (last, before) = self.unlimited.split_last()?;
        let what = match before {
            [] => (*last).to_owned(),
            before => format!("{} and {last}", before.join(", ")),
        };
        Some(format!(
            "{what}: {} may not set limits through the system's control groups (as without root under cgroup v1, or where \
             none were delegated to it). The server's own settings are all that holds it back",
            self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_plan_may_have_more() {
        let plans = plans();
        let (small, large) = (plans.first().unwrap().memory_bytes, plans.last().unwrap().memory_bytes);
        assert_eq!((processes(small), shared_memory(small)), (512, 64 << 20));
        assert!(processes(large) > processes(small) && shared_memory(large) > shared_memory(small));
    }
}
