//! Global transaction ids of MariaDB, `domain-server-sequence`: who wrote what, and whether somebody wrote what nobody else
//! has. Pure. Every cluster has one domain, 0, in which the numbers grow by one with each transaction (`gtid_strict_mode`).

use std::fmt;

/// One transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gtid {
    domain: u32,
    pub(crate) server: u32,
    pub(crate) sequence: u64,
}

/// A position, or the newest transaction of each server (`gtid_binlog_state`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gtids(Vec<Gtid>);

impl Gtids {
    /// Reads `0-1-2,0-2-7`; what is no transaction id is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let one = |text: &str| {
            let mut parts = text.trim().splitn(3, '-');
            let mut next = || parts.next();
            Some(Gtid {
                domain: next()?.parse().ok()?,
                server: next()?.parse().ok()?,
                sequence: next()?.parse().ok()?,
            })
        };
        Self(text.split(',').filter_map(one).collect())
    }
    /// How far it goes: the highest number of all.
    pub(crate) fn sequence(&self) -> u64 {
        self.0.iter().map(|g| g.sequence).max().unwrap_or(0)
    }
    /// The newest transaction of a server.
    fn of(&self, domain: u32, server: u32) -> Option<u64> {
        self.0.iter().filter(|g| (g.domain, g.server) == (domain, server)).map(|g| g.sequence).max()
    }
    /// Whether a replica whose log ends here and which has applied `applied` of its primary wrote something by itself.
    pub(crate) fn has_own_writes(&self, server: u32, applied: &Self) -> bool {
        self.0.iter().any(|g| g.server == server && g.sequence > applied.sequence())
    }
    /// Whether this server's log has transactions that `primary` lacks. What `primary` writes itself is left out, since the two
    /// were not asked in the same moment. Writes of a server that its log never heard of came with its first copy, or it
    /// lacks them: it followed up to `applied_by_primary`, and numbers grow in the order of one history.
    pub(crate) fn parts_from(&self, log_of_primary: &Self, applied_by_primary: &Self, primary: u32) -> bool {
        let copied = applied_by_primary.sequence();
        let others = self.0.iter().filter(|g| g.server != primary);
        others.into_iter().any(|g| log_of_primary.of(g.domain, g.server).unwrap_or(copied) < g.sequence)
    }
}

impl fmt::Display for Gtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> =
            self.0.iter().map(|g| format!("{}-{}-{}", g.domain, g.server, g.sequence)).collect();
        f.write_str(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gtids(text: &str) -> Gtids {
        Gtids::parse(text)
    }

    #[test]
    fn positions_are_read_and_written_as_the_server_does() {
        assert_eq!(gtids("0-1-2,0-2-7").to_string(), "0-1-2,0-2-7");
        assert_eq!(gtids("").to_string(), "", "a server that never wrote");
        assert_eq!(gtids("0-1-2,0-2-7").sequence(), 7);
    }

    #[test]
    fn a_write_on_a_replica_is_seen_in_its_own_log() {
        assert!(gtids("0-2-101").has_own_writes(2, &gtids("0-1-100")));
        assert!(!gtids("0-1-100").has_own_writes(2, &gtids("0-1-100")));
        assert!(!gtids("0-2-90").has_own_writes(2, &gtids("0-2-90")), "it was primary once");
    }

    #[test]
    fn a_former_primary_that_wrote_more_than_it_sent_parts_from_the_new_one() {
        let (new, applied) = (gtids("0-1-100,0-2-110"), gtids("0-1-100"));
        let parts = |old: &str| gtids(old).parts_from(&new, &applied, 2);
        assert!(parts("0-1-105"));
        assert!(!parts("0-1-100"), "all it wrote had arrived");
        assert!(!parts("0-1-100,0-2-112"), "looked at a moment later");
        assert!(!parts("0-7-40"), "came with the first copy");
    }

    #[test]
    fn one_promoted_before_any_write_of_the_former_primary_reached_it_misses_those_all_the_same() {
        // Its first copy went up to 100 of server 1; then it was promoted and wrote itself.
        let (log, copied) = (gtids("0-2-101"), gtids("0-1-100"));
        assert!(gtids("0-1-105").parts_from(&log, &copied, 2), "five that it never got");
        assert!(!gtids("0-1-100").parts_from(&log, &copied, 2), "its copy had them all");
        assert!(gtids("0-1-3").parts_from(&gtids(""), &gtids(""), 2), "both began with nothing");
        assert!(!gtids("").parts_from(&log, &copied, 2));
    }
}
