//! Where other computers reach a cluster's endpoints.

use crate::ClusterSpec;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The place of this computer at which a cluster's endpoints listen for other computers, beside their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Exposure {
    /// An address of this computer; `null`: they listen there no longer, and the port is kept for the next time.
    #[schema(value_type = Option<String>)]
    pub on: Option<IpAddr>,
    /// The port for writes; the one above it is that for reads.
    pub port: u16,
}

impl Exposure {
    /// The ports that are in use of it: that for writes, and that for reads.
    pub fn ports(self) -> [u16; 2] {
        [self.port, reads_port(self.port)]
    }
    /// Where writes go, while it is open.
    pub fn open_at(self) -> Option<SocketAddr> {
        self.on.map(|on| SocketAddr::new(on, self.port))
    }
}

const fn reads_port(writes: u16) -> u16 {
    writes.saturating_add(1)
}

/// Where other computers read, beside where they write.
pub const fn reads_beside(writes: SocketAddr) -> SocketAddr {
    SocketAddr::new(writes.ip(), reads_port(writes.port()))
}

impl ClusterSpec {
    /// Where other computers reach the endpoint for writes; `None` where they cannot.
    pub fn exposed_at(&self) -> Option<SocketAddr> {
        self.exposure.and_then(Exposure::open_at)
    }
}

/// What the place of a cluster has for other computers to come in by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposable {
    /// Why nobody can be let in from other computers there, in sentences; `None` where they can.
    pub refused: Option<String>,
    /// Addresses of this computer that lead to it from elsewhere.
    pub addresses: Vec<IpAddr>,
    /// Ports somebody listens on at the address that was asked for, each with who that is, where it is known. The cluster's own
    /// endpoints are among them while they listen.
    pub taken: Vec<(u16, Option<String>)>,
    /// The standard port of the service.
    pub standard_port: u16,
}

impl Exposable {
    /// Who listens on a port, in words, when somebody does.
    pub fn holder(&self, port: u16) -> Option<String> {
        let (_, who) = self.taken.iter().find(|(taken, _)| *taken == port)?;
        Some(who.clone().unwrap_or_else(|| "another program".to_owned()))
    }
}
