//! Addresses for a cluster of a test that asks no provider for them: nobody else's, however many tests run side by side.

use clusterdeck_domain::Network;
use std::net::{Ipv4Addr, TcpListener};
use uuid::Uuid;

/// A network of this computer's own addresses, held for as long as this lives.
pub struct Held {
    /// As a machine's request names it.
    pub network: Network,
    /// Who looks for a free network takes none in which somebody listens; who holds one takes none that is held.
    _listener: TcpListener,
}

/// Listened on at an address that no machine gets.
const HELD: u16 = 40_009;
const NO_MACHINE: u8 = 254;

/// A network that nobody holds and in which nobody listens.
///
/// # Panics
/// When a thousand that were tried are taken.
pub fn hold() -> Held {
    let free = (0..1000).find_map(|_| {
        let [a, b, ..] = Uuid::new_v4().into_bytes();
        let a = 150 + a % 90;
        let listener = TcpListener::bind((Ipv4Addr::new(127, a, b, NO_MACHINE), HELD)).ok()?;
        let network = Network(format!("127.{a}.{b}.0/24"));
        (heard_in(a, b) == 1).then_some(Held { network, _listener: listener })
    });
    free.expect("one of a thousand networks is free")
}

/// How many listen in `127.a.b.0/24`, as the kernel tells it: addresses backwards, in hexadecimal; state 0A.
fn heard_in(a: u8, b: u8) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let place = format!("{b:02X}{a:02X}7F");
    let listens = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
        state == "0A" && local.get(2..8) == Some(place.as_str())
    };
    table.lines().skip(1).filter(listens).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_is_held_is_nobody_elses() {
        let held = hold();
        let at = held.network.0.trim_end_matches(".0/24").to_owned();
        let numbers: Vec<u8> = at.split('.').map(|n| n.parse().unwrap()).collect();
        assert_eq!(heard_in(numbers[1], numbers[2]), 1);
        assert!(TcpListener::bind((format!("{at}.{NO_MACHINE}"), HELD)).is_err(), "{at} is held");
        drop(held);
        assert_eq!(heard_in(numbers[1], numbers[2]), 0);
    }
}
