//! Which way connections of this computer take.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address that this computer takes for connections to there. Nothing is sent: the system only chooses a way. `None`
/// where there is none.
pub fn source_towards(at: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match at {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(at).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
