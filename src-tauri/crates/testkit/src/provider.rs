//! A fake provider over the fake world.

use crate::{
    machine::FakeMachine,
    world::{Box_, World},
};
use async_trait::async_trait;
use clusterdeck_domain::{
    Capacity, ClusterId, Exposable, MachineId, MachineSpec, Network, NodeFence, PLANS, Plan, PlanId,
    ProviderId, plan,
};
use clusterdeck_driver::{
    DriverError, Fence, Machine, MachineRequest, Needs, Progress, Provider, ProviderCheck, Region, Result,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

pub(crate) struct FakeProvider(pub(crate) World);

#[async_trait]
impl Provider for FakeProvider {
    fn id(&self) -> ProviderId {
        ProviderId("local".to_owned())
    }
    fn name(&self) -> &'static str {
        "A fake computer"
    }
    async fn regions(&self) -> Result<Vec<Region>> {
        Ok(vec![Region { id: "this-computer".to_owned(), name: "This computer".to_owned() }])
    }
    async fn plans(&self, _region: &str) -> Result<Vec<Plan>> {
        Ok(PLANS
            .iter()
            .filter_map(|(name, ..)| PlanId::parse(name).ok().and_then(|id| plan(&id).ok()))
            .collect())
    }
    async fn check(&self, _programs: &[(&str, &str)]) -> Result<ProviderCheck> {
        Ok(ProviderCheck { usable: true, notes: Vec::new(), missing: Vec::new() })
    }
    async fn capacity(&self, needs: &Needs<'_>) -> Result<Capacity> {
        Ok(Capacity {
            plan: needs.plan.cloned(),
            memory_free_bytes: Some(1 << 40),
            disk_free_bytes: Some(1 << 44),
            addresses_free: Some(true),
            ports_taken: Vec::new(),
            missing: Vec::new(),
            versions: vec![self.0.lock().newest().to_owned()],
            ..Capacity::default()
        })
    }
    async fn allocate_network(&self, _: &ClusterId, _region: &str, used: &[Network]) -> Result<Network> {
        Ok(Network(format!("10.0.{}.0/24", used.len())))
    }
    fn machine_spec(&self, request: &MachineRequest) -> Result<MachineSpec> {
        let last = u8::try_from(request.slot + 10).map_err(|_| DriverError::broken("no such slot"))?;
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        Ok(MachineSpec { id: request.id.clone(), address, port_offset: 0 })
    }
    async fn exposable(&self, _: Option<IpAddr>) -> Result<Exposable> {
        Ok(Exposable { addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))], ..Exposable::default() })
    }
    fn leads_here(&self, _: IpAddr) -> bool {
        true
    }
    async fn node_fence(&self, _: &Network) -> NodeFence {
        NodeFence::Held
    }
    async fn hold_nodes(&self, fence: &Fence) -> Result<()> {
        let mut world = self.0.call("hold_nodes")?;
        match fence.list.is_empty() {
            true => drop(world.fences.remove(&fence.cluster)),
            false => drop(world.fences.insert(fence.cluster.clone(), fence.nodes.len())),
        }
        Ok(())
    }
    async fn ensure_machine(&self, request: &MachineRequest, _: &Progress) -> Result<Arc<dyn Machine>> {
        let spec = self.machine_spec(request)?;
        let known = {
            let mut world = self.0.call("ensure_machine")?;
            let fresh = Box_ {
                spec,
                plan: request.plan.clone(),
                version: world.newest().to_owned(),
                units: BTreeMap::new(),
                files: BTreeMap::new(),
            };
            world.machines.entry(request.id.clone()).or_insert(fresh).clone()
        };
        Ok(Arc::new(FakeMachine { world: self.0.clone(), known }))
    }
    async fn machine(&self, spec: &MachineSpec) -> Result<Arc<dyn Machine>> {
        let known = self.0.lock().machines.get(&spec.id).cloned();
        let known = known.ok_or_else(|| DriverError::Gone { what: format!("machine {}", spec.id) })?;
        Ok(Arc::new(FakeMachine { world: self.0.clone(), known }))
    }
    async fn resize_machine(&self, spec: &MachineSpec, plan: &Plan) -> Result<()> {
        let mut world = self.0.call("resize_machine")?;
        if world.runs_on(&spec.id) {
            return Err(DriverError::broken("a machine was about to be resized under its server"));
        }
        let found = world.machines.get_mut(&spec.id);
        let found = found.ok_or_else(|| DriverError::Gone { what: format!("machine {}", spec.id) })?;
        found.plan = plan.clone();
        Ok(())
    }
    async fn ready_version(
        &self,
        _: &MachineSpec,
        _: Option<&str>,
        _: &[(&str, &str)],
        version: &str,
        _: &Progress,
    ) -> Result<()> {
        let world = self.0.call("ready_version")?;
        if world.newest() == version {
            return Ok(());
        }
        Err(DriverError::rejected(format!("{version} cannot be had"), "publish it"))
    }
    async fn renew_machine(&self, spec: &MachineSpec, _: Option<&str>, _: &Progress) -> Result<()> {
        let mut world = self.0.call("renew_machine")?;
        if world.runs_on(&spec.id) {
            return Err(DriverError::broken("a machine was about to be renewed under its server"));
        }
        let newest = world.newest().to_owned();
        let found = world.machines.get_mut(&spec.id);
        let found = found.ok_or_else(|| DriverError::Gone { what: format!("machine {}", spec.id) })?;
        found.version = newest;
        Ok(())
    }
    async fn remove_machine(&self, spec: &MachineSpec) -> Result<()> {
        let mut world = self.0.call("remove_machine")?;
        if let Some(gone) = world.machines.remove(&spec.id) {
            // Whatever ran on it is gone with it: the fake driver notes the node's id in a file.
            let nodes = gone.files.keys().filter_map(|f| clusterdeck_domain::NodeId::parse(f).ok());
            for node in nodes {
                world.servers.remove(&node);
                world.voters.remove(&node);
                world.apart.remove(&node);
            }
            if gone.units.contains_key("gateway") {
                world.endpoint = None;
            }
        }
        Ok(())
    }
    async fn machines(&self) -> Result<Vec<MachineId>> {
        Ok(self.0.lock().machines.keys().cloned().collect())
    }
}
