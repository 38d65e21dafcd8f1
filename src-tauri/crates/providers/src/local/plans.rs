//! The sizes of machines on this computer: those of the domain, none of them billed.

use clusterdeck_domain::{PLANS, Plan, PlanId};

/// All plans, smallest first.
pub(super) fn plans() -> Vec<Plan> {
    PLANS
        .iter()
        .filter_map(|(name, ..)| PlanId::parse(name).ok())
        .filter_map(|id| clusterdeck_domain::plan(&id).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_plan_of_the_domain_is_offered_smallest_first() {
        let plans = super::plans();
        assert_eq!(plans.len(), clusterdeck_domain::PLANS.len(), "none is lost");
        assert!(plans.is_sorted_by_key(|p| p.memory_bytes), "smallest first");
    }
}
