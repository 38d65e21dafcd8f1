//! A range of addresses as people write it: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A text that is no range of addresses, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCidr {
    /// Neither of the two kinds of addresses.
    #[error("it is not an IPv4 or IPv6 address, nor a range of them such as 10.0.0.0/8")]
    NotAnAddress,
    /// A mask in the place of a prefix.
    #[error("the size of a range is the number of its fixed bits (10.0.0.0/8), not a mask")]
    Mask,
    /// More fixed bits than an address has.
    #[error("an address of its kind has {most} bits, so /{given} cannot be")]
    Prefix {
        /// What was written.
        given: String,
        /// What there is.
        most: u8,
    },
    /// `fe80::1%eth0`: what stands behind the sign means something on one computer only.
    #[error("an address with a zone (%) means another one on every computer")]
    Zone,
    /// Half in the range of IPv4 addresses that are written as IPv6, half outside.
    #[error("it mixes IPv4 and IPv6 addresses; write the IPv4 range as such")]
    Mixed,
    /// `0.0.0.0`, `::`, an address of a group.
    #[error("no client has that address")]
    Nobodys,
}

/// A range of addresses; bits beyond its prefix are nought. An IPv4 address that is written as IPv6 (`::ffff:192.0.2.7`) is the
/// IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    first: IpAddr,
    prefix: u8,
}

/// Bits before an IPv4 address that is written as IPv6.
const MAPPED: u8 = 96;

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with all but its first `prefix` bits cleared.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    let cleared = u32::from(bits(address) - prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(cleared).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl Cidr {
    /// Reads a range. Bits beyond the prefix are cleared.
    ///
    /// # Errors
    /// [`BadCidr`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadCidr> {
        let text = text.trim();
        if text.contains('%') {
            return Err(BadCidr::Zone);
        }
        let (address, size) = text.split_once('/').map_or((text, None), |(a, s)| (a, Some(s)));
        let address: IpAddr = address.parse().map_err(|_| BadCidr::NotAnAddress)?;
        let most = bits(address);
        let prefix = match size {
            None => most,
            Some(size) if size.contains(['.', ':']) => return Err(BadCidr::Mask),
            Some(size) => {
                let digits = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
                let read = size.parse().ok().filter(|n| digits && *n <= most);
                read.ok_or_else(|| BadCidr::Prefix { given: size.to_owned(), most })?
            }
        };
        let (address, prefix) = match address.to_canonical() {
            v4 if v4 == address => (address, prefix),
            _ if prefix < MAPPED => return Err(BadCidr::Mixed),
            v4 => (v4, prefix - MAPPED),
        };
        let one = prefix == bits(address);
        if (one && address.is_unspecified()) || address.is_multicast() {
            return Err(BadCidr::Nobodys);
        }
        Ok(Self { first: first_of(address, prefix), prefix })
    }
    /// One address.
    pub fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { first: address, prefix: bits(address) }
    }
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && first_of(address, self.prefix) == self.first
    }
    /// Whether all of another range lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.first)
    }
    /// Every address of its kind.
    pub const fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
    /// Its first address.
    pub const fn first(&self) -> IpAddr {
        self.first
    }
    /// How many bits are fixed.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

/// One address without its prefix, a range with it.
impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == bits(self.first) {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}/{}", self.first, self.prefix)
        }
    }
}

impl TryFrom<String> for Cidr {
    type Error = BadCidr;
    fn try_from(text: String) -> Result<Self, BadCidr> {
        Self::parse(&text)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        Cidr::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    #[test]
    fn what_people_write_is_read_and_normalised() {
        for (text, read_as) in [
            ("192.0.2.7", "192.0.2.7"),
            (" 192.0.2.7/32 ", "192.0.2.7"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("192.0.2.255/31", "192.0.2.254/31"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("2001:db8:0:0::1", "2001:db8::1"),
            ("::1/128", "::1"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ] {
            assert_eq!(read(text), read_as, "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_reason() {
        let prefix = |given: &str, most| BadCidr::Prefix { given: given.to_owned(), most };
        for (text, why) in [
            ("", BadCidr::NotAnAddress),
            ("example.org", BadCidr::NotAnAddress),
            ("10.0.0", BadCidr::NotAnAddress),
            ("010.0.0.1", BadCidr::NotAnAddress),
            ("10.0.0.1:6379", BadCidr::NotAnAddress),
            ("10.0.0.0/255.0.0.0", BadCidr::Mask),
            ("10.0.0.0/33", prefix("33", 32)),
            ("10.0.0.0/", prefix("", 32)),
            ("10.0.0.0/+8", prefix("+8", 32)),
            ("10.0.0.0/8/8", prefix("8/8", 32)),
            ("2001:db8::/129", prefix("129", 128)),
            ("fe80::1%eth0", BadCidr::Zone),
            ("::ffff:10.0.0.0/64", BadCidr::Mixed),
            ("0.0.0.0", BadCidr::Nobodys),
            ("::", BadCidr::Nobodys),
            ("224.0.0.1", BadCidr::Nobodys),
        ] {
            assert_eq!(Cidr::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn an_address_lies_in_its_range_and_in_no_other() {
        let range = Cidr::parse("10.0.0.0/8").unwrap();
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(range.contains(at("10.255.255.255")) && range.contains(at("::ffff:10.0.0.1")));
        assert!(!range.contains(at("11.0.0.0")) && !range.contains(at("a00::1")));
        assert!(Cidr::parse("0.0.0.0/0").unwrap().contains(at("192.0.2.1")));
        assert!(!Cidr::parse("0.0.0.0/0").unwrap().contains(at("2001:db8::1")), "each kind has its own");
        let covers = |a: &str, b: &str| Cidr::parse(a).unwrap().covers(&Cidr::parse(b).unwrap());
        assert!(covers("10.0.0.0/8", "10.1.0.0/16") && covers("10.0.0.0/8", "10.0.0.0/8"));
        assert!(!covers("10.1.0.0/16", "10.0.0.0/8") && !covers("10.0.0.0/8", "11.0.0.0/16"));
    }

    #[test]
    fn it_travels_as_text_and_comes_back_the_same() {
        for text in ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"] {
            let json = serde_json::to_string(&Cidr::parse(text).unwrap()).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Cidr>(&json).unwrap().to_string(), text);
        }
        assert!(serde_json::from_str::<Cidr>("\"10.0.0.0/99\"").is_err());
    }
}
