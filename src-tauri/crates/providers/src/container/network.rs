//! Networks: one a cluster, with addresses of its own. A network reads `10.160.7.0/24@podman`: the addresses, and the id of
//! the engine that has it, so that a machine's address says where the machine is.

use super::{
    config::{self, CLUSTER},
    engines::Engine,
    failure::{ACTS_WITHIN, ANSWERS_WITHIN, asked, or_gone},
};
use bollard::{
    models::{Ipam, IpamConfig, NetworkCreateRequest},
    query_parameters::ListNetworksOptionsBuilder,
};
use clusterdeck_domain::{ClusterId, MachineSpec, Network};
use clusterdeck_driver::{DriverError, MachineRequest, Result};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

/// The endpoint is .10, node 1 is .11; .1 is the engine's own.
const NODES_FROM: u16 = 10;
/// The highest slot of a network: the node with ordinal 200.
const MAX_SLOT: u16 = 200;
/// Ranges that are looked through in this order; the first is the one least used by others.
const RANGES: [Block; 3] = [
    Block { first: u32::from_be_bytes([10, 128, 0, 0]), bits: 9 },
    Block { first: u32::from_be_bytes([172, 20, 0, 0]), bits: 14 },
    Block { first: u32::from_be_bytes([192, 168, 128, 0]), bits: 17 },
];

/// A range of addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    first: u32,
    bits: u32,
}

impl Block {
    /// Reads `10.0.0.0/8`; `None` for anything else, IPv6 included.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
        (bits <= 32).then(|| Self { first: u32::from(address) & mask(bits), bits })
    }
    fn meets(self, other: Self) -> bool {
        let shorter = mask(self.bits.min(other.bits));
        self.first & shorter == other.first & shorter
    }
    /// The networks of 256 addresses in it.
    fn networks(self) -> impl Iterator<Item = Self> {
        let count = 1_u32 << (24 - self.bits.min(24));
        (0..count).map(move |i| Self { first: self.first + (i << 8), bits: 24 })
    }
    fn text(self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.first), self.bits)
    }
    /// The address with that last number.
    fn address(self, last: u16) -> Ipv4Addr {
        Ipv4Addr::from(self.first | u32::from(last))
    }
}

fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

/// A network, read: its addresses and its engine.
fn read(network: &Network) -> Result<(Block, &str)> {
    let bad = || DriverError::broken(format!("`{}` is not a network of containers", network.0));
    let (block, engine) = network.0.split_once('@').ok_or_else(bad)?;
    let block = Block::parse(block).filter(|b| b.bits == 24).ok_or_else(bad)?;
    Ok((block, engine))
}

/// The id of the engine that has a network.
pub(super) fn engine_of(network: &Network) -> Result<&str> {
    read(network).map(|(_, engine)| engine)
}

/// The machine that a request will get. Depends on nothing but the request.
pub(super) fn machine_spec(request: &MachineRequest) -> Result<MachineSpec> {
    let (block, _) = read(&request.network)?;
    if request.slot > MAX_SLOT {
        return Err(DriverError::rejected(
            format!("a network has room for nodes numbered up to {MAX_SLOT}, not {}", request.slot),
            "make a new cluster and move the data there: numbers are not used twice",
        ));
    }
    let address = IpAddr::V4(block.address(NODES_FROM + request.slot));
    Ok(MachineSpec { id: request.id.clone(), address, port_offset: 0 })
}

/// A network that meets none in use: not this computer's, not the engine's, not another cluster's.
pub(super) async fn allocate(engine: &Engine, home: &str, used: &[Network]) -> Result<Network> {
    let mut taken = routes(&fs::read_to_string("/proc/net/route").unwrap_or_default());
    taken.extend(used.iter().filter_map(|network| Block::parse(network.0.split('@').next()?)));
    let what = "listing networks";
    let networks = asked(what, ANSWERS_WITHIN, engine.docker.list_networks(None)).await?;
    let configs = networks.into_iter().filter_map(|n| n.ipam?.config).flatten();
    taken.extend(configs.filter_map(|config| Block::parse(&config.subnet?)));
    let block = free(home, &taken).ok_or_else(|| {
        DriverError::rejected(
            "every private range of addresses is in use on this computer",
            "delete a cluster or a container network that is not needed any more (`docker network ls`)",
        )
    })?;
    Ok(Network(format!("{}@{}", block.text(), engine.id)))
}

/// The first that meets none. Another home begins elsewhere, so that two do not choose the same at the same moment.
fn free(home: &str, taken: &[Block]) -> Option<Block> {
    // FNV-1a: stable over versions, which the standard library's hasher is not.
    let hash = home.bytes().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    RANGES.iter().find_map(|range| {
        let all: Vec<Block> = range.networks().collect();
        let start = hash as usize % all.len();
        let (before, after) = all.split_at(start);
        after.iter().chain(before).find(|one| !taken.iter().any(|other| one.meets(*other))).copied()
    })
}

/// Where this computer's own packets go, the default route apart.
fn routes(table: &str) -> Vec<Block> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (first, netmask) = (number(fields.get(1)?)?, number(fields.get(7)?)?);
            (netmask != 0).then(|| Block { first, bits: netmask.count_ones() })
        })
        .collect()
}

/// Whether this computer has a route of its own into a network, so that its machines can be reached.
pub(super) fn reachable(network: &Network) -> Result<bool> {
    let (block, _) = read(network)?;
    if !Path::new("/proc/net/route").exists() {
        return Ok(false);
    }
    Ok(routes(&fs::read_to_string("/proc/net/route").unwrap_or_default()).contains(&block))
}

/// Makes the network of a cluster, or finds it.
pub(super) async fn ensure(engine: &Engine, home: &str, request: &MachineRequest) -> Result<String> {
    let name = config::network_name(&request.cluster);
    let (block, _) = read(&request.network)?;
    if find(engine, home, &request.cluster).await?.is_some() {
        return Ok(name);
    }
    let config = IpamConfig {
        subnet: Some(block.text()),
        gateway: Some(block.address(1).to_string()),
        ..Default::default()
    };
    let wanted = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
        labels: Some(config::labels(home, &[(CLUSTER, request.cluster.as_str())])),
        ..Default::default()
    };
    let made = asked("making the network", ACTS_WITHIN, engine.docker.create_network(wanted)).await;
    match made {
        Ok(_) => Ok(name),
        // Somebody of ours was faster.
        Err(e) => match find(engine, home, &request.cluster).await? {
            Some(_) => Ok(name),
            None => Err(e),
        },
    }
}

async fn find(engine: &Engine, home: &str, cluster: &ClusterId) -> Result<Option<String>> {
    let filter = config::only(home, &[(CLUSTER, cluster.as_str())]);
    let options = ListNetworksOptionsBuilder::default().filters(&filter).build();
    let found =
        asked("looking for the network", ANSWERS_WITHIN, engine.docker.list_networks(Some(options))).await?;
    Ok(found.into_iter().find_map(|n| n.name))
}

/// The networks of this home on an engine, each with its cluster.
pub(super) async fn all(engine: &Engine, home: &str) -> Result<Vec<(String, String)>> {
    let options = ListNetworksOptionsBuilder::default().filters(&config::only(home, &[])).build();
    let found = asked("listing networks", ANSWERS_WITHIN, engine.docker.list_networks(Some(options))).await?;
    let one = |n: bollard::models::Network| Some((n.name?, n.labels?.remove(CLUSTER)?));
    Ok(found.into_iter().filter_map(one).collect())
}

/// Takes a network away.
pub(super) async fn remove(engine: &Engine, name: &str) -> Result<()> {
    or_gone(asked("removing the network", ACTS_WITHIN, engine.docker.remove_network(name)).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_domain::MachineId;

    fn request(network: &str, slot: u16) -> MachineRequest {
        MachineRequest {
            id: MachineId::new(1),
            cluster: ClusterId::new(1),
            name: "demo-1".to_owned(),
            network: Network(network.to_owned()),
            slot,
            plan: super::super::plans::plans().remove(0),
            image: None,
            publish: Vec::new(),
        }
    }

    #[test]
    fn the_endpoint_is_10_and_nodes_begin_at_11() {
        let address =
            |slot| machine_spec(&request("10.160.7.0/24@podman", slot)).unwrap().address.to_string();
        assert_eq!([address(0), address(1), address(200)], ["10.160.7.10", "10.160.7.11", "10.160.7.210"]);
        assert!(machine_spec(&request("10.160.7.0/24@podman", 201)).is_err(), "no room");
        assert!(machine_spec(&request("127.20.1.0/24", 1)).is_err(), "a network of another provider");
        assert_eq!(engine_of(&Network("10.160.7.0/24@podman".to_owned())).unwrap(), "podman");
    }

    #[test]
    fn a_network_meets_none_that_is_used_however_wide() {
        let first = free("home", &[]).unwrap();
        assert_eq!(first, free("home", &[]).unwrap(), "the same each time");
        let second = free("home", &[first]).unwrap();
        assert!(!first.meets(second));
        let vpn = Block::parse("10.0.0.0/8").unwrap();
        assert!(
            free("home", &[vpn]).unwrap().text().starts_with("172."),
            "a route to all of 10 leaves the next range"
        );
        let all: Vec<Block> =
            ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(|b| Block::parse(b).unwrap()).into();
        assert_eq!(free("home", &all), None);
    }

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     podman1\t0003D20A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(routes(table), [Block::parse("10.210.3.0/24").unwrap()]);
    }
}
