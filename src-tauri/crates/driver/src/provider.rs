//! Where machines come from.

use crate::{Machine, Result};
use async_trait::async_trait;
use clusterdeck_domain::{
    Capacity, ClusterId, MachineId, MachineSpec, MissingSoftware, Network, Plan, ProviderId,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A machine somebody wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineRequest {
    /// Chosen by the one who asks, so that asking twice gives one machine.
    pub id: MachineId,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// For people: `demo-1`.
    pub name: String,
    /// The network of its cluster.
    pub network: Network,
    /// Its number in that network: 0 for the gateway, else the node's ordinal (1 to 200).
    pub slot: u16,
    /// Its size.
    pub plan: Plan,
}

/// A place inside a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Region {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
}

/// What a provider says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProviderCheck {
    /// It can hand out machines.
    pub usable: bool,
    /// In a few sentences: what it found (kernel limits, free memory, free disk).
    pub notes: Vec<String>,
    /// What is not installed, with the command that installs it.
    pub missing: Vec<MissingSoftware>,
}

/// Hands out machines.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its id.
    fn id(&self) -> ProviderId;
    /// Its name for people: *This computer*.
    fn name(&self) -> &'static str;
    /// Its regions, at least one.
    async fn regions(&self) -> Result<Vec<Region>>;
    /// Its plans, smallest first.
    async fn plans(&self, region: &str) -> Result<Vec<Plan>>;
    /// Whether it can be used, and what `programs` (program, purpose) are missing.
    async fn check(&self, programs: &[(&str, &str)]) -> Result<ProviderCheck>;
    /// What it can carry right now. `programs` (program, purpose): what must be installed; the versions of the first
    /// are reported. `ports`: standard ports that the new machines will listen on.
    async fn capacity(
        &self,
        plan: Option<&Plan>,
        programs: &[(&str, &str)],
        ports: &[u16],
    ) -> Result<Capacity>;
    /// A network nobody uses, different from those in `used`.
    async fn allocate_network(&self, cluster: &ClusterId, used: &[Network]) -> Result<Network>;
    /// The spec (address) that [`Provider::ensure_machine`] will give to this request. Pure.
    fn machine_spec(&self, request: &MachineRequest) -> Result<MachineSpec>;
    /// Makes the machine, or finds it when it is there.
    async fn ensure_machine(&self, request: &MachineRequest) -> Result<Arc<dyn Machine>>;
    /// A machine made before; `Gone` when it is not there.
    async fn machine(&self, spec: &MachineSpec) -> Result<Arc<dyn Machine>>;
    /// Stops whatever runs on a machine and takes it away; nothing happens when it is gone.
    async fn remove_machine(&self, spec: &MachineSpec) -> Result<()>;
    /// The ids of all machines there are, so that left-behind ones can be found.
    async fn machines(&self) -> Result<Vec<MachineId>>;
}
