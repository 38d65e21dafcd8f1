//! What a server says about itself, read from `INFO`. Pure.

use std::{collections::HashMap, net::IpAddr};

/// The lines of `INFO` by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Info(HashMap<String, String>);

impl Info {
    /// Reads the text of an answer; what is not `name:value` is passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.text(name) == Some(value)
    }
    /// Keys in all databases: `db0:keys=12,expires=0,avg_ttl=0`.
    pub(crate) fn keys(&self) -> u64 {
        let databases = self.0.iter().filter(|(name, _)| {
            name.strip_prefix("db").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        databases
            .filter_map(|(_, value)| {
                value.split(',').find_map(|part| part.strip_prefix("keys=")?.parse::<u64>().ok())
            })
            .sum()
    }
}

/// A server's place in the replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// It takes writes.
    pub(crate) primary: bool,
    /// The history its data belongs to.
    pub(crate) history: String,
    /// The history before, valid up to and without [`Place::history_before_end`].
    pub(crate) history_before: String,
    pub(crate) history_before_end: i64,
    /// How far it is in its history: written as a primary, received as a replica.
    pub(crate) offset: u64,
    /// Whom it follows.
    pub(crate) follows: Option<(IpAddr, u16)>,
    /// Its link is up.
    pub(crate) link_up: bool,
    /// It copies everything; the bytes still to come where it says so.
    pub(crate) syncing: Option<Option<u64>>,
    /// Not ready to answer because it reads its data from disk.
    pub(crate) loading: bool,
    /// Replicas that it streams to. One that has just got its whole copy is not among them until it has acknowledged
    /// that: both sides say the link is up, and writes do not reach it yet (for up to a second, seen with Redis 7.0 and
    /// Valkey 8.0; a primary that dies in it takes them along).
    pub(crate) streams_to: Vec<(IpAddr, u16)>,
    /// Keys it holds.
    pub(crate) keys: u64,
}

impl Place {
    /// From a whole `INFO`.
    pub(crate) fn of(info: &Info) -> Option<Self> {
        let primary = match info.text("role")? {
            "master" => true,
            "slave" | "active-replica" => false,
            _ => return None,
        };
        let follows = info
            .text("master_host")
            .and_then(|h| h.parse().ok())
            .zip(info.number("master_port").and_then(|p| u16::try_from(p).ok()));
        let offset = if primary { "master_repl_offset" } else { "slave_repl_offset" };
        let syncing = info
            .is("master_sync_in_progress", "1")
            .then(|| info.number("master_sync_left_bytes").filter(|left| *left < 1 << 60));
        Some(Self {
            primary,
            history: info.text("master_replid").unwrap_or_default().to_owned(),
            history_before: info.text("master_replid2").unwrap_or_default().to_owned(),
            history_before_end: info.text("second_repl_offset").and_then(|v| v.parse().ok()).unwrap_or(-1),
            offset: info.number(offset).unwrap_or(0),
            follows: if primary { None } else { follows },
            link_up: info.is("master_link_status", "up"),
            syncing,
            loading: info.is("loading", "1") || info.is("async_loading", "1"),
            streams_to: (0..info.number("connected_slaves").unwrap_or(0))
                .filter_map(|n| streaming(info.text(&format!("slave{n}"))?, info.number(offset)?))
                .collect(),
            keys: info.keys(),
        })
    }
    /// Whether it sends each write to that server as it comes.
    pub(crate) fn streams_to(&self, replica: (IpAddr, u16)) -> bool {
        self.streams_to.contains(&replica)
    }
    /// Whether everything this server holds is a beginning of what `primary` holds.
    pub(crate) fn is_part_of(&self, primary: &Self) -> bool {
        if self.history == primary.history {
            return self.offset <= primary.offset;
        }
        self.history == primary.history_before
            && i64::try_from(self.offset).is_ok_and(|mine| mine < primary.history_before_end)
    }
}

/// `ip=127.0.0.2,port=6379,state=online,offset=42,lag=0`: its address, when it is online and has acknowledged something,
/// or there was nothing to acknowledge.
fn streaming(line: &str, written: u64) -> Option<(IpAddr, u16)> {
    let get = |name: &str| line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let at = get("ip")?.parse().ok().zip(get("port")?.parse().ok());
    let acknowledged: u64 = get("offset")?.parse().ok()?;
    if get("state") == Some("online") && (acknowledged > 0 || written == 0) { at } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::of(&Info::parse(text)).unwrap()
    }

    #[test]
    fn a_replica_is_read_with_its_primary_link_and_offset() {
        let seen = place(
            "# Replication\r\nrole:slave\r\nmaster_host:127.1.2.3\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
             slave_repl_offset:42\r\nmaster_replid:aa\r\nmaster_repl_offset:40\r\ndb0:keys=3,expires=0\r\ndb1:keys=2\r\n",
        );
        assert!(!seen.primary && seen.link_up);
        assert_eq!((seen.offset, seen.keys), (42, 5), "a replica counts what it received");
        assert_eq!(seen.follows, Some(("127.1.2.3".parse().unwrap(), 6379)));
    }

    #[test]
    fn a_replica_that_has_not_acknowledged_its_copy_is_not_streamed_to() {
        let seen = place(
            "role:master\r\nmaster_repl_offset:50\r\nconnected_slaves:3\r\n\
             slave0:ip=127.0.0.2,port=6379,state=online,offset=42,lag=0\r\n\
             slave1:ip=127.0.0.3,port=6379,state=send_bulk,offset=0,lag=0\r\n\
             slave2:ip=127.0.0.4,port=6379,state=online,offset=0,lag=0\r\n",
        );
        let at = |n: u8| (IpAddr::from([127, 0, 0, n]), 6379);
        assert!(seen.streams_to(at(2)) && !seen.streams_to(at(3)));
        assert!(!seen.streams_to(at(4)), "it says online and has not acknowledged its copy");
    }

    #[test]
    fn writes_beyond_the_point_where_histories_part_are_not_part_of_the_primary() {
        let primary = place(
            "role:master\r\nmaster_replid:new\r\nmaster_replid2:old\r\nsecond_repl_offset:101\r\nmaster_repl_offset:150",
        );
        let former =
            |offset| place(&format!("role:master\r\nmaster_replid:old\r\nmaster_repl_offset:{offset}"));
        assert!(former(100).is_part_of(&primary), "it stopped where the new history begins");
        assert!(!former(101).is_part_of(&primary), "one byte more is a write the primary lacks");
        assert!(!place("role:master\r\nmaster_replid:other\r\nmaster_repl_offset:1").is_part_of(&primary));
    }
}
