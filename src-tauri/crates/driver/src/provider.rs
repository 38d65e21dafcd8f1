//! Where machines come from.

use crate::{Extension, Machine, Progress, Result};
use async_trait::async_trait;
use clusterdeck_domain::{
    Capacity, Cidr, ClusterId, Exposable, MachineId, MachineSpec, MissingSoftware, Network, NodeFence, Plan,
    ProviderId,
};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

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
    /// The image its servers run from, where the provider works with images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Standard ports that we and people connect to. Only providers whose addresses may be out of our reach need them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<u16>,
}

/// An image that holds a server program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The release line in it (`8.0`).
    pub line: String,
    /// What the engine knows it by (`docker.io/library/redis:8.0`).
    pub reference: String,
}

/// Those of which one is enough, where a program is named so: `perl or python3`. The first is what is installed where none is.
pub fn alternatives(program: &str) -> std::str::Split<'_, &'static str> {
    program.split(" or ")
}

/// Software that a machine must have, as programs or as images that hold them; the provider takes what it works with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// (program, purpose); the first is the one whose version counts. See [`alternatives`].
    pub programs: Vec<(&'static str, &'static str)>,
    /// What is loaded into the server; its version counts instead of the server's.
    pub extension: Option<&'static Extension>,
    /// What versions of another maker need instead.
    pub others: &'static [OtherPrograms],
    /// Images that hold all of them, newest release line first. Any one will do.
    pub images: Vec<Image>,
}

/// What some versions of a service need, where one service has several makers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherPrograms {
    /// First and last major version.
    pub majors: (u32, u32),
    /// (program, purpose); the first is the one whose version counts.
    pub programs: &'static [(&'static str, &'static str)],
}

impl OtherPrograms {
    /// Whether a version is one of these.
    pub fn has(&self, version: &str) -> bool {
        let major = version.split('.').next().and_then(|n| n.parse::<u32>().ok());
        major.is_some_and(|n| (self.majors.0..=self.majors.1).contains(&n))
    }
}

impl Programs {
    /// What a version, or a release line, needs.
    pub fn of(&self, version: &str) -> &[(&'static str, &'static str)] {
        self.others.iter().find(|other| other.has(version)).map_or(&self.programs, |other| other.programs)
    }
}

/// Who comes to the nodes of a cluster through its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Whose they are.
    pub cluster: ClusterId,
    /// Their network.
    pub network: Network,
    /// The nodes. Each reaches the others.
    pub nodes: Vec<IpAddr>,
    /// Who else of the cluster reaches them: its endpoint.
    pub insiders: Vec<IpAddr>,
    /// On which ports it is held to, as the machines have them.
    pub ports: Vec<u16>,
    /// Who else comes in; empty: everybody.
    pub list: Vec<Cidr>,
}

/// What new machines are needed for.
#[derive(Debug, Clone, Default)]
pub struct Needs<'a> {
    /// Where; the provider's first usable region when nobody says.
    pub region: Option<&'a str>,
    /// Their size.
    pub plan: Option<&'a Plan>,
    /// The servers of the nodes.
    pub server: Programs,
    /// What runs on the machine of the endpoints.
    pub gateway: Programs,
    /// Standard ports that the new machines will listen on.
    pub ports: &'a [u16],
    /// The release line somebody asked for; the newest when nobody did.
    pub version: Option<&'a str>,
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
    /// Its regions, at least one where it can be used at all.
    async fn regions(&self) -> Result<Vec<Region>>;
    /// Its plans, smallest first.
    async fn plans(&self, region: &str) -> Result<Vec<Plan>>;
    /// Whether it can be used, and what `programs` (program, purpose) are missing.
    async fn check(&self, programs: &[(&str, &str)]) -> Result<ProviderCheck>;
    /// What it can carry right now. The versions are those of the server's first program, or of what is loaded into it.
    async fn capacity(&self, needs: &Needs<'_>) -> Result<Capacity>;
    /// A network of this region that nobody uses, different from those in `used`.
    async fn allocate_network(&self, cluster: &ClusterId, region: &str, used: &[Network]) -> Result<Network>;
    /// The spec (address) that [`Provider::ensure_machine`] will give to this request. Pure.
    fn machine_spec(&self, request: &MachineRequest) -> Result<MachineSpec>;
    /// As [`Machine::reach`], without asking the machine: what people are told to connect to. The same as long as the
    /// machine is there.
    fn reach(&self, spec: &MachineSpec, port: u16) -> SocketAddr {
        SocketAddr::new(spec.address, port.saturating_add(spec.port_offset))
    }
    /// What there is for other computers to come in by to its machines, and who listens at `on` already. The engine adds the
    /// standard port.
    async fn exposable(&self, on: Option<IpAddr>) -> Result<Exposable>;
    /// Whether this address leads to its machines right now, as far as this computer knows. Costs nothing.
    fn leads_here(&self, address: IpAddr) -> bool;
    /// Whether it can hold the nodes' own ports to a cluster's list ([`Provider::hold_nodes`]).
    async fn node_fence(&self, network: &Network) -> NodeFence;
    /// Lets packets to the ports of a fence through only from those it names and from this computer, in place of what was in
    /// force before; connections from others end. With an empty list everybody comes in again. Nothing happens where
    /// [`Provider::node_fence`] says that it cannot be held.
    async fn hold_nodes(&self, fence: &Fence) -> Result<()>;
    /// Makes the machine, or finds it when it is there. What takes long (an image that is fetched) is reported.
    async fn ensure_machine(&self, request: &MachineRequest, progress: &Progress)
    -> Result<Arc<dyn Machine>>;
    /// A machine made before; `Gone` when it is not there.
    async fn machine(&self, spec: &MachineSpec) -> Result<Arc<dyn Machine>>;
    /// Gives a machine this size; nothing happens when it has it. Its server has been stopped: a unit gets the new limits
    /// when it is started the next time. A [`Machine`] from before goes on with the size it had: ask for it again.
    async fn resize_machine(&self, spec: &MachineSpec, plan: &Plan) -> Result<()>;
    /// Makes sure that this version of the first of `programs` can be had for a machine, and that all of them are there, so
    /// that no server is stopped for one that cannot. An image is fetched, and its programs asked for their version.
    async fn ready_version(
        &self,
        spec: &MachineSpec,
        image: Option<&str>,
        programs: &[(&str, &str)],
        version: &str,
        progress: &Progress,
    ) -> Result<()>;
    /// Lets everything on a machine run from this image from now on, with the same files, address, name and size; nothing
    /// happens when it does. Its server has been stopped; whatever else runs on it comes back by itself. A kill in between
    /// leaves a machine that is `Gone` until this is asked again. Where machines are not made of images, the programs that
    /// are installed are those that start next, and nothing is done.
    async fn renew_machine(&self, spec: &MachineSpec, image: Option<&str>, progress: &Progress)
    -> Result<()>;
    /// Stops whatever runs on a machine and takes it away; nothing happens when it is gone.
    async fn remove_machine(&self, spec: &MachineSpec) -> Result<()>;
    /// The ids of all machines there are, so that left-behind ones can be found.
    async fn machines(&self) -> Result<Vec<MachineId>>;
}
