//! The stable addresses of a cluster: what a client connects to while nodes come and go.

use crate::{ClusterContext, Result};
use async_trait::async_trait;
use clusterdeck_domain::{NodeId, Sensitive};
use std::net::IpAddr;

/// What goes through an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Traffic {
    /// Reads and writes: only a node that takes writes.
    ReadWrite,
    /// Reads: replicas, and the primary only when there is no other.
    ReadOnly,
}

/// One line of the conversation that a role check has with a server.
#[derive(Debug, Clone)]
pub enum CheckLine {
    /// Sent as it is. Holds a password now and then.
    Send(Sensitive<String>),
    /// Must come back.
    Expect(String),
}

/// A node behind an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Which node.
    pub node: NodeId,
    /// Its name in the gateway's configuration: the node's name.
    pub name: String,
    /// Where it listens.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// Where its role check asks, when not there.
    pub check_port: Option<u16>,
    /// Out of service from the start.
    pub drained: bool,
}

/// An address that clients connect to.
#[derive(Debug, Clone)]
pub struct Listener {
    /// What goes through it.
    pub traffic: Traffic,
    /// The port on the gateway's machine.
    pub port: u16,
    /// The nodes behind it.
    pub backends: Vec<Backend>,
    /// The check speaks TLS.
    pub check_tls: bool,
    /// The conversation that tells whether a node may take this traffic; asked on the service itself.
    pub check: Vec<CheckLine>,
}

/// What passes through a gateway right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayStatus {
    /// Nodes that take traffic, per kind.
    pub up: Vec<(Traffic, NodeId)>,
    /// Client connections per node, both kinds of traffic together.
    pub connections: Vec<(NodeId, u64)>,
}

/// Runs the endpoints of a cluster as a unit on its gateway machine.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Programs it needs: (program, purpose).
    fn programs(&self) -> &'static [(&'static str, &'static str)];
    /// Images that hold them: (release line, reference), newest first.
    fn images(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// Standard ports of its own that we connect to, beside those of its listeners.
    fn ports(&self) -> &'static [u16] {
        &[]
    }
    /// The name of its unit.
    fn unit(&self) -> &'static str;
    /// Writes its configuration and starts it; when it runs with another one, reloads it without cutting connections. Addresses
    /// that the cluster's list does not let in are refused; a list that is tried ends by itself at its time, and so does an
    /// entry. Nodes see connections come from the machine's own address.
    async fn apply(&self, cx: &ClusterContext, listeners: &[Listener]) -> Result<()>;
    /// From now on, without waiting for a role check: writes go to this node and no other, reads to all others. Open
    /// connections to the node before are closed. The role checks keep deciding afterwards.
    async fn point_to(&self, cx: &ClusterContext, node: &NodeId) -> Result<()>;
    /// Sends nothing new to this node; open connections stay. Survives a restart of the gateway only through
    /// [`Backend::drained`].
    async fn drain(&self, cx: &ClusterContext, node: &NodeId) -> Result<()>;
    /// Sends traffic to this node again when its role check passes.
    async fn undrain(&self, cx: &ClusterContext, node: &NodeId) -> Result<()>;
    /// Closes the connections to this node.
    async fn disconnect(&self, cx: &ClusterContext, node: &NodeId) -> Result<()>;
    /// Closes the client connections from addresses that the cluster's list does not let in, and says how many. Those that
    /// came in by an earlier configuration are no exception.
    async fn cut_outsiders(&self, cx: &ClusterContext) -> Result<u64>;
    /// What passes through it right now.
    async fn status(&self, cx: &ClusterContext) -> Result<GatewayStatus>;
}
