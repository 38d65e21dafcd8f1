//! Which slot a key is in. Pure.

use redis::Value;
use std::ops::RangeInclusive;

/// Slots of a sharded cluster.
pub(super) const SLOTS: u16 = 16384;

/// CRC-16 of XMODEM, which is what the protocol of clusters says.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// The slot of a key: of what stands in its first braces, where that is something.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|b| *b == b'{').and_then(|open| {
        let inner = &key[open + 1..];
        let close = inner.iter().position(|b| *b == b'}')?;
        (close > 0).then(|| &inner[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// One line of `CLUSTER SLOTS`: the slots, and the address of their primary. A server that does not know its own address leaves it
/// empty: it is where we asked.
pub(super) fn range(line: &Value, asked: &str) -> Option<(RangeInclusive<u16>, String, u16)> {
    let Value::Array(parts) = line else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = parts.as_slice() else {
        return None;
    };
    let host = match primary.first()? {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => {
            String::from_utf8(host.clone()).ok()?
        }
        _ => asked.to_owned(),
    };
    let Value::Int(port) = primary.get(1)? else { return None };
    Some((
        u16::try_from(*first).ok()?..=u16::try_from(*last).ok().filter(|n| *n < SLOTS)?,
        host,
        u16::try_from(*port).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_slots_that_the_specification_says() {
        assert_eq!(crc16(b"123456789"), 0x31C3, "the check value of CRC-16/XMODEM");
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS, "empty braces say nothing");
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }
}
