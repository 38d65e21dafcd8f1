//! Sizes of a node.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A plan's name: `SMALL-1C-1G`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct PlanId(String);

/// A name that is no plan's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no plan `{0}`; `clusterdeck plan list --provider local` shows them")]
pub struct BadPlan(pub String);

impl PlanId {
    /// Reads the name of a plan of any provider: upper-case words joined by `-`.
    ///
    /// # Errors
    /// [`BadPlan`] when it cannot be the name of a plan.
    pub fn parse(text: &str) -> Result<Self, BadPlan> {
        let fine = !text.is_empty()
            && text.len() <= 40
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if fine { Ok(Self(text.to_owned())) } else { Err(BadPlan(text.to_owned())) }
    }
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for PlanId {
    type Error = BadPlan;
    fn try_from(text: String) -> Result<Self, BadPlan> {
        Self::parse(&text)
    }
}
impl From<PlanId> for String {
    fn from(id: PlanId) -> String {
        id.0
    }
}

/// What a node of this plan may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// Its name.
    pub id: PlanId,
    /// Whole cores.
    pub cpus: u16,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
    /// Price of an hour in US dollars; `null` where nothing is billed.
    pub price_per_hour: Option<f64>,
}

const GIB: u64 = 1 << 30;

/// Name, cores, memory and disk of the plans of this computer. The names follow the SIZE-cores-memory habit of the field.
pub const PLANS: &[(&str, u16, u64, u64)] = &[
    ("NANO-1C-256M", 1, GIB / 4, 2 * GIB),
    ("MICRO-1C-512M", 1, GIB / 2, 5 * GIB),
    ("LEAN-1C-1G", 1, GIB, 4 * GIB),
    ("SMALL-1C-1G", 1, GIB, 10 * GIB),
    ("LEAN-1C-2G", 1, 2 * GIB, 8 * GIB),
    ("SMALL-1C-2G", 1, 2 * GIB, 20 * GIB),
    ("MEDIUM-2C-4G", 2, 4 * GIB, 40 * GIB),
    ("LARGE-4C-8G", 4, 8 * GIB, 80 * GIB),
    ("XLARGE-8C-16G", 8, 16 * GIB, 160 * GIB),
    ("2XLARGE-16C-32G", 16, 32 * GIB, 320 * GIB),
];

/// Size of a node when none is asked for.
pub const DEFAULT_PLAN: &str = "SMALL-1C-1G";
/// Size of the machines that hold no data: witness, endpoint.
pub const SIDE_PLAN: &str = "NANO-1C-256M";

impl Default for PlanId {
    fn default() -> Self {
        Self(DEFAULT_PLAN.to_owned())
    }
}

/// The size of the machines that hold no data: they pass bytes on or vote, and keep nothing.
pub fn side_plan() -> Plan {
    let (_, cpus, memory_bytes, disk_bytes) = PLANS[0];
    Plan { id: PlanId(SIDE_PLAN.to_owned()), cpus, memory_bytes, disk_bytes, price_per_hour: None }
}

/// The plan of this computer with that name.
///
/// # Errors
/// [`BadPlan`] when there is none.
pub fn plan(id: &PlanId) -> Result<Plan, BadPlan> {
    let found = PLANS.iter().find(|(name, ..)| *name == id.as_str());
    let (_, cpus, memory_bytes, disk_bytes) = *found.ok_or_else(|| BadPlan(id.to_string()))?;
    Ok(Plan { id: id.clone(), cpus, memory_bytes, disk_bytes, price_per_hour: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_used_without_being_asked_for_exist() {
        assert_eq!(plan(&PlanId::default()).unwrap().id.as_str(), DEFAULT_PLAN);
        assert_eq!(
            plan(&PlanId::parse(SIDE_PLAN).unwrap()),
            Ok(side_plan()),
            "the smallest plan is the side plan"
        );
    }
}
