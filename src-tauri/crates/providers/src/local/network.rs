//! Addresses. Linux owns all of 127.0.0.0/8, so each machine gets an address of its own there and every service its
//! standard port. macOS owns 127.0.0.1 alone; there each machine gets ports of its own instead.
//!
//! A network reads `127.20.1.0/24` in the first case and `127.0.0.1+840` (what is added to each port) in the second.

use crate::host;
use clusterdeck_domain::{MachineSpec, Network};
use clusterdeck_driver::{DriverError, MachineRequest, Result};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
};
use tokio::net::TcpSocket;

/// Second numbers of the networks. 127.0 to 127.19 is left to others (Debian's 127.0.1.1, systemd's 127.0.0.53).
const FIRST: u32 = 20;
const LAST: u32 = 250;
const COUNT: u32 = (LAST - FIRST + 1) * 256;
/// The highest slot of a network: the node with ordinal 200.
const MAX_SLOT: u16 = 200;
/// Node 1 is .11; what is below is left for the endpoints and what may come beside them.
const NODES_FROM: u16 = 10;
/// Ports of neighbouring machines on one address are this far apart, so that services with a few ports in a row fit.
const PORT_STEP: u16 = 4;
const PORTS_OF_NETWORK: u16 = (MAX_SLOT + 1) * PORT_STEP;
/// Offsets stay below this, since some services derive a port by adding 10000. Two different services can still meet
/// there (5432 + 948 = 6380): the second one then ends at its start and says so.
const MAX_OFFSET: u16 = 9_999;

/// A network, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The first three numbers of its addresses.
    Addresses([u8; 3]),
    /// Added to each port of its first machine.
    Ports(u16),
}

impl Place {
    fn parse(network: &Network) -> Result<Self> {
        let text = network.0.as_str();
        let bad = || DriverError::broken(format!("`{text}` is not a network of this computer"));
        if let Some(offset) = text.strip_prefix("127.0.0.1+") {
            return offset.parse().ok().filter(|o| *o <= MAX_OFFSET).map(Self::Ports).ok_or_else(bad);
        }
        let address: Ipv4Addr = text.strip_suffix("/24").and_then(|t| t.parse().ok()).ok_or_else(bad)?;
        match address.octets() {
            [127, a, b, 0] => Ok(Self::Addresses([127, a, b])),
            _ => Err(bad()),
        }
    }
    fn network(self) -> Network {
        match self {
            Self::Addresses([a, b, c]) => Network(format!("{a}.{b}.{c}.0/24")),
            Self::Ports(offset) => Network(format!("127.0.0.1+{offset}")),
        }
    }
}

/// The machine that a request will get. Depends on nothing but the request.
pub(super) fn machine_spec(request: &MachineRequest) -> Result<MachineSpec> {
    let slot = request.slot;
    if slot > MAX_SLOT {
        return Err(DriverError::rejected(
            format!("a cluster on this computer has room for nodes numbered up to {MAX_SLOT}, not {slot}"),
            "make a new cluster and move the data there: numbers are not used twice",
        ));
    }
    let (address, port_offset) = match Place::parse(&request.network)? {
        Place::Addresses([a, b, c]) => {
            let last = if slot == 0 { 1 } else { NODES_FROM + slot };
            (Ipv4Addr::new(a, b, c, last.to_le_bytes()[0]), 0)
        }
        Place::Ports(offset) => (Ipv4Addr::LOCALHOST, offset + slot * PORT_STEP),
    };
    Ok(MachineSpec { id: request.id.clone(), address: IpAddr::V4(address), port_offset })
}

/// A network that is not in `used` and in which nobody listens.
pub(super) fn allocate(home: &Path, used: &BTreeSet<String>) -> Result<Network> {
    let free = if own_addresses() {
        let heard: BTreeSet<[u8; 3]> = host::listeners()
            .iter()
            .filter_map(|l| match l.ip() {
                IpAddr::V4(ip) if ip.octets()[0] == 127 => ip.octets().first_chunk::<3>().copied(),
                _ => None,
            })
            .collect();
        let start = start_of(home);
        (0..COUNT)
            .map(|i| (start + i) % COUNT)
            .filter_map(|i| Some([127, u8::try_from(FIRST + i / 256).ok()?, u8::try_from(i % 256).ok()?]))
            .find(|place| !heard.contains(place) && !used.contains(&Place::Addresses(*place).network().0))
            .map(Place::Addresses)
    } else {
        (1..=MAX_OFFSET / PORTS_OF_NETWORK)
            .map(|i| i * PORTS_OF_NETWORK - PORTS_OF_NETWORK / 2)
            .map(Place::Ports)
            .find(|place| !used.contains(&place.network().0))
    };
    free.map(Place::network).ok_or_else(|| {
        DriverError::rejected(
            "every network of this computer is taken by a cluster",
            "delete a cluster that is not needed any more",
        )
    })
}

/// Whether addresses besides 127.0.0.1 are there without any set-up.
pub(super) fn own_addresses() -> bool {
    !cfg!(target_os = "macos") && TcpListener::bind((Ipv4Addr::new(127, 19, 255, 254), 0)).is_ok()
}

/// Those of `ports` that no machine could listen on, since somebody does on every address of this computer; as
/// `address:port`.
pub(super) fn ports_taken(ports: &[u16]) -> Vec<String> {
    // An address that no network of ours contains, so that our own servers are not in the way.
    let probe = if own_addresses() { Ipv4Addr::new(127, 19, 255, 254) } else { return Vec::new() };
    let mut taken = ports.iter().filter(|port| is_taken(SocketAddr::from((probe, **port)))).peekable();
    // Who it is takes a reading of the kernel's whole table, and mostly nobody does.
    let listeners = if taken.peek().is_some() { host::listeners() } else { Vec::new() };
    taken
        .map(|port| {
            let who = listeners.iter().find(|l| l.port() == *port && l.ip().is_unspecified());
            who.map_or_else(|| format!("{probe}:{port}"), ToString::to_string)
        })
        .collect()
}

/// Whether somebody listens there. It is bound and not listened on: two who ask at once are not in each other's way.
fn is_taken(address: SocketAddr) -> bool {
    let asked = TcpSocket::new_v4().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    });
    asked.is_err_and(|e| e.kind() == std::io::ErrorKind::AddrInUse)
}

/// Where the search begins: 127.20.1 for the home that people have, elsewhere for any other, so that two homes on one
/// computer (tests, a second user) do not meet even while nothing of theirs runs.
fn start_of(home: &Path) -> u32 {
    if standard_home().is_some_and(|standard| standard == home) {
        return 1;
    }
    // FNV-1a: stable over versions, which the standard library's hasher is not.
    let hash = home
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    // From 127.21 on, to leave the standard home its own sixteen-bit block.
    256 + hash % (COUNT - 256)
}

/// The home of a user who did not ask for another.
fn standard_home() -> Option<std::path::PathBuf> {
    let of_user = |path: &str| std::env::var_os("HOME").map(|home| Path::new(&home).join(path));
    if cfg!(target_os = "macos") {
        return of_user("Library/Application Support/clusterdeck");
    }
    std::env::var_os("XDG_DATA_HOME")
        .map(|data| Path::new(&data).join("clusterdeck"))
        .or_else(|| of_user(".local/share/clusterdeck"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_domain::{ClusterId, MachineId};

    fn request(network: &str, slot: u16) -> MachineRequest {
        MachineRequest {
            id: MachineId::new(u128::from(slot)),
            cluster: ClusterId::new(1),
            name: "demo".to_owned(),
            network: Network(network.to_owned()),
            slot,
            plan: crate::local::plans::plans().remove(0),
            image: None,
            publish: Vec::new(),
        }
    }

    #[test]
    fn the_gateway_is_1_and_nodes_begin_at_11() {
        let address = |slot| machine_spec(&request("127.20.1.0/24", slot)).unwrap().address.to_string();
        assert_eq!([address(0), address(1), address(200)], ["127.20.1.1", "127.20.1.11", "127.20.1.210"]);
        assert!(matches!(machine_spec(&request("127.20.1.0/24", 201)), Err(DriverError::Rejected { .. })));
        assert!(machine_spec(&request("10.0.0.0/24", 1)).is_err(), "not an address of this computer alone");
    }

    #[test]
    fn on_one_address_no_two_machines_of_a_service_share_a_port() {
        // A main port with its neighbour, one 10000 above, one 20000 above: the widest spread a service here has.
        let ports = [6379, 6380, 16379, 26379];
        let mut seen = BTreeSet::new();
        let mut used = BTreeSet::new();
        for i in 1..=MAX_OFFSET / PORTS_OF_NETWORK {
            let network = Place::Ports(i * PORTS_OF_NETWORK - PORTS_OF_NETWORK / 2).network();
            assert!(used.insert(network.0.clone()));
            for slot in [0, 1, 2, 3, 199, 200] {
                let spec = machine_spec(&request(&network.0, slot)).unwrap();
                for port in ports {
                    assert!(seen.insert(port + spec.port_offset), "{network:?} slot {slot} port {port}");
                }
            }
        }
    }

    #[test]
    fn two_homes_begin_in_different_places_and_each_always_in_the_same() {
        let (a, b) = (start_of(Path::new("/tmp/a")), start_of(Path::new("/tmp/b")));
        assert_ne!(a, b);
        assert_eq!(a, start_of(Path::new("/tmp/a")));
        assert!((256..COUNT).contains(&a));
    }

    #[test]
    fn a_port_that_somebody_has_on_every_address_is_taken() {
        let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = everywhere.local_addr().unwrap().port();
        assert_eq!(ports_taken(&[port]), [format!("0.0.0.0:{port}")]);
        drop(everywhere);
        assert!(ports_taken(&[port]).is_empty(), "free again");
    }

    #[test]
    fn those_who_ask_at_once_are_not_in_each_others_way() {
        let free = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port();
        let ask = || (0..5000).any(|_| is_taken(SocketAddr::from((Ipv4Addr::new(127, 19, 255, 254), free))));
        std::thread::scope(|s| {
            let askers = [s.spawn(ask), s.spawn(ask), s.spawn(ask)];
            assert!(!askers.into_iter().any(|a| a.join().unwrap()), "nobody listens on {free}");
        });
    }
}
