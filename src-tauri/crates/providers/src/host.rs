//! What this computer has: free memory, free disk, who listens where.

use std::{
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
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut all = parse(&read("/proc/net/tcp"));
    all.extend(parse(&read("/proc/net/tcp6")));
    all
}

/// Reads the kernel's table: addresses are hexadecimal, in words of the machine's byte order; state `0A` is listening.
fn parse(table: &str) -> Vec<SocketAddr> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, state) = (fields.next()?, fields.nth(1)?);
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
            (state == "0A").then_some(SocketAddr::new(ip, port))
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
        drop(listener);
        assert!(!listeners().contains(&address), "gone");
    }

    #[test]
    fn this_computer_has_memory_and_disk() {
        assert!(memory_free().unwrap() > 1 << 20);
        assert!(disk_free(Path::new("/tmp/not/there/yet")).unwrap() > 1 << 20);
    }
}
