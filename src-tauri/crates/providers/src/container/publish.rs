//! Ports of this computer's loopback address that lead to a machine whose own address cannot be reached from here. Chosen
//! once for each standard port and written down in the machine's note, so that they stay the same as long as it is there.

use bollard::models::PortBinding;
use clusterdeck_domain::MachineSpec;
use clusterdeck_driver::{DriverError, Result};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
};

/// For each standard port, the one here that leads to it.
pub(super) type Published = BTreeMap<u16, u16>;

/// Below what systems give to outgoing connections (32768 on Linux, 49152 elsewhere), which would take a port away while
/// its machine is not running.
const FROM: Range<u16> = 20_000..30_000;
/// The one address that every engine can publish on, and that nobody from elsewhere reaches.
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A port for each standard one that nobody listens on and no other machine has.
pub(super) fn choose(ports: &[u16], taken: &BTreeSet<u16>) -> Result<Published> {
    // Another home begins elsewhere, so that two do not choose the same at the same moment.
    let (low, high) = uuid::Uuid::new_v4().as_u64_pair();
    let start = usize::try_from((low ^ high) % 10_000).unwrap_or(0);
    let all = FROM.skip(start).chain(FROM.take(start));
    let mut free = all.filter(|port| !taken.contains(port) && is_free(*port));
    let mut chosen = Published::new();
    for port in ports {
        let found = free.next().ok_or_else(|| {
            DriverError::rejected(
                format!("no port of {HERE} between {} and {} is free", FROM.start, FROM.end - 1),
                "delete a cluster that is not needed any more",
            )
        })?;
        chosen.insert(*port, found);
    }
    Ok(chosen)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((HERE, port)).is_ok()
}

/// Where we connect to a standard port of a machine. What is not published leads nowhere, rather than to a stranger.
pub(super) fn reach(spec: &MachineSpec, published: &Published, port: u16) -> SocketAddr {
    if published.is_empty() {
        return SocketAddr::new(spec.address, port.saturating_add(spec.port_offset));
    }
    SocketAddr::new(IpAddr::V4(HERE), published.get(&port).copied().unwrap_or(0))
}

/// What an engine is told.
pub(super) fn bindings(published: &Published) -> HashMap<String, Option<Vec<PortBinding>>> {
    let one = |(inside, here): (&u16, &u16)| {
        let binding = PortBinding { host_ip: Some(HERE.to_string()), host_port: Some(here.to_string()) };
        (format!("{inside}/tcp"), Some(vec![binding]))
    };
    published.iter().map(one).collect()
}

/// Why a machine that does not run cannot be started, if somebody else has one of its ports by now.
pub(super) fn stolen(name: &str, published: &Published) -> Option<DriverError> {
    let port = published.values().find(|port| !is_free(**port))?;
    Some(DriverError::rejected(
        format!(
            "{name} is not running: another program listens on {HERE}:{port}, the port through which it is reached; its data \
             is as it was"
        ),
        format!(
            "stop that program (`ss -ltnp sport = :{port}` shows which it is); {name} then starts by itself"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_domain::MachineId;

    fn spec() -> MachineSpec {
        MachineSpec { id: MachineId::new(1), address: "10.160.7.11".parse().unwrap(), port_offset: 0 }
    }

    #[test]
    fn each_port_gets_a_free_one_that_no_other_machine_has() {
        let first = choose(&[6379, 26379], &BTreeSet::new()).unwrap();
        assert_eq!(first.keys().copied().collect::<Vec<_>>(), [6379, 26379]);
        assert!(first.values().all(|port| FROM.contains(port)), "{first:?}");
        let mut all_but_one: BTreeSet<u16> = FROM.collect();
        let left = first[&6379];
        all_but_one.remove(&left);
        assert_eq!(choose(&[1], &all_but_one).unwrap()[&1], left);
        let listener = TcpListener::bind((HERE, left)).unwrap();
        assert!(choose(&[1], &all_but_one).is_err(), "somebody listens there");
        let told = stolen("demo-1", &first).unwrap().to_string();
        assert!(told.contains(&left.to_string()) && told.contains("demo-1"), "{told}");
        drop(listener);
        assert!(stolen("demo-1", &first).is_none());
    }

    #[test]
    fn what_is_not_published_leads_nowhere_and_nothing_changes_where_nothing_is() {
        let published = Published::from([(6379, 23456)]);
        assert_eq!(reach(&spec(), &published, 6379).to_string(), "127.0.0.1:23456");
        assert_eq!(reach(&spec(), &published, 6380).to_string(), "127.0.0.1:0");
        assert_eq!(reach(&spec(), &Published::new(), 6379).to_string(), "10.160.7.11:6379");
        let told = bindings(&published);
        let one = &told["6379/tcp"].as_ref().unwrap()[0];
        assert_eq!((one.host_ip.as_deref(), one.host_port.as_deref()), (Some("127.0.0.1"), Some("23456")));
    }
}
