//! What this computer has: free memory, free disk, who listens where.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// Memory that new servers can have without the system swapping, in bytes.
pub(crate) fn memory_free() -> Option<u64> {
    if let Ok(text) = fs::read_to_string("/proc/meminfo") {
        return text.lines().find_map(|line| {
            let kib: u64 = line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kib * 1024)
        });
    }
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory()).filter(|bytes| *bytes > 0)
}

/// Bytes that this user can still write on the file system of `path`, or of where it will be.
pub(crate) fn disk_free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|p| p.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Where anybody listens (TCP); empty where the system does not tell.
pub(crate) fn listeners() -> Vec<SocketAddr> {
    sockets().into_iter().map(|(at, _)| at).collect()
}

/// Addresses of this computer that others may reach: not those of loopback, nor those of one link. `None` where the system does
/// not tell.
pub(crate) fn addresses() -> Option<Vec<IpAddr>> {
    let networks = sysinfo::Networks::new_with_refreshed_list().ok()?;
    let all = networks.values().flat_map(|card| card.ip_networks()).map(|network| network.addr);
    let mut outward: Vec<IpAddr> = all.filter(|address| leads_outward(*address)).collect();
    outward.sort_unstable();
    outward.dedup();
    Some(outward)
}

fn leads_outward(address: IpAddr) -> bool {
    let of_one_link = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !of_one_link && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

/// Whether an address is one of this computer's now.
pub(crate) fn has_address(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// The ports on which somebody listens for connections to this address, each with the program, where that may be seen.
pub(crate) fn ports_taken(at: IpAddr) -> Vec<(u16, Option<String>)> {
    let meets = |ip: IpAddr| {
        // What listens on every IPv6 address mostly takes IPv4 as well.
        ip.to_canonical() == at || (ip.is_unspecified() && (ip.is_ipv4() == at.is_ipv4() || ip.is_ipv6()))
    };
    let mut found: Vec<(SocketAddr, u64)> = sockets();
    found.retain(|(listener, _)| meets(listener.ip()));
    let mut who = programs(&found.iter().map(|(_, inode)| *inode).collect());
    let mut ports: Vec<_> = found.into_iter().map(|(at, inode)| (at.port(), who.remove(&inode))).collect();
    ports.sort_unstable();
    ports.dedup_by_key(|(port, _)| *port);
    ports
}

/// Listening sockets, each with the number by which a process has it.
fn sockets() -> Vec<(SocketAddr, u64)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut all = parse(&read("/proc/net/tcp"));
    all.extend(parse(&read("/proc/net/tcp6")));
    all
}

/// Which program has which of these sockets: `redis-server (process 1234)`. Those of other users are not seen.
fn programs(wanted: &HashSet<u64>) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        for file in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            let inode = target
                .to_str()
                .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode.filter(|inode| wanted.contains(inode)) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.entry(inode).or_insert_with(|| format!("{} (process {pid})", name.trim()));
            }
        }
    }
    found
}

/// Reads the kernel's table: addresses are hexadecimal, in words of the machine's byte order; state `0A` is listening.
fn parse(table: &str) -> Vec<(SocketAddr, u64)> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, state) = (fields.next()?, fields.nth(1)?);
            let inode: u64 = fields.nth(5)?.parse().ok()?;
            let (address, port) = local.split_once(':')?;
            let port = u16::from_str_radix(port, 16).ok()?;
            let words: Vec<[u8; 4]> = address
                .as_bytes()
                .chunks(8)
                .map(|w| u32::from_str_radix(std::str::from_utf8(w).ok()?, 16).ok().map(u32::to_ne_bytes))
                .collect::<Option<_>>()?;
            let ip = match words.as_slice() {
                [word] => IpAddr::V4(Ipv4Addr::from(*word)),
                [..] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
            };
            (state == "0A").then_some((SocketAddr::new(ip, port), inode))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_seen_while_it_listens() {
        let listener = TcpListener::bind("127.19.7.3:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(listeners().contains(&address), "{address} is not in {:?}", listeners());
        let taken = ports_taken(address.ip());
        let (_, who) = taken.iter().find(|(port, _)| *port == address.port()).expect("its port is taken");
        let own = format!("(process {})", std::process::id());
        assert!(who.as_ref().is_some_and(|who| who.ends_with(&own)), "{who:?} is not us");
        drop(listener);
        assert!(!listeners().contains(&address), "gone");
    }

    #[test]
    fn addresses_that_lead_here_from_elsewhere_are_those_of_no_loopback_and_no_single_link() {
        for (text, outward) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("169.254.3.4", false),
            ("fe80::1", false),
            ("192.0.2.7", true),
            ("2001:db8::7", true),
        ] {
            assert_eq!(leads_outward(text.parse().unwrap()), outward, "{text}");
        }
        let own = addresses().expect("the system tells");
        assert!(own.iter().all(|address| has_address(*address)), "{own:?}");
        assert!(!has_address("192.0.2.7".parse().unwrap()), "kept for documentation");
    }

    #[test]
    fn this_computer_has_memory_and_disk() {
        assert!(memory_free().unwrap() > 1 << 20);
        assert!(disk_free(Path::new("/tmp/not/there/yet")).unwrap() > 1 << 20);
    }
}
