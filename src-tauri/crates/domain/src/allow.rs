//! From which addresses a cluster may be reached.

use crate::{Cidr, ClusterSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How many entries a list may have.
pub const MAX_ALLOWED: usize = 200;
/// How long a comment may be, in characters.
pub const MAX_ALLOW_COMMENT: usize = 120;

/// Addresses that may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AllowEntry {
    /// Which.
    #[schema(value_type = String)]
    pub cidr: Cidr,
    /// Whose they are, in somebody's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// From then on they come in no longer; `null`: they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

impl AllowEntry {
    /// Whether it lets an address in at that time.
    pub fn lets_in(&self, from: IpAddr, now: Timestamp) -> bool {
        self.cidr.contains(from) && !self.is_over(now)
    }
    /// Its time has come.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// An entry as somebody wrote it; the preview says what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AllowWish {
    /// An IPv4 or IPv6 address, or a range: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.
    pub cidr: String,
    /// Whose they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Until when they come in; for good when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A list that is in force until then, unless somebody keeps it: from then on the one before is again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AllowTrial {
    /// Who comes in meanwhile.
    pub entries: Vec<AllowEntry>,
    /// Until when; whole seconds.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}

/// Whether a list lets an address in. An empty one is open.
pub fn lets_in(entries: &[AllowEntry], from: IpAddr, now: Timestamp) -> bool {
    entries.is_empty() || entries.iter().any(|entry| entry.lets_in(from, now))
}

impl ClusterSpec {
    /// The list that is in force at that time; an empty one is open.
    pub fn allowed(&self, now: Timestamp) -> &[AllowEntry] {
        match &self.allow_trial {
            Some(trial) if now < trial.until => &trial.entries,
            _ => &self.allowlist,
        }
    }
    /// Whether an address may come in at that time.
    pub fn lets_in(&self, from: IpAddr, now: Timestamp) -> bool {
        lets_in(self.allowed(now), from, now)
    }
    /// Whether any list is in force, now or once a trial is over.
    pub fn limits_access(&self) -> bool {
        !self.allowlist.is_empty() || self.allow_trial.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_open_and_an_entry_whose_time_has_come_lets_nobody_in() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let from: IpAddr = "10.0.0.1".parse().unwrap();
        assert!(lets_in(&[], from, now));
        let entry =
            |expires_at| AllowEntry { cidr: Cidr::parse("10.0.0.0/8").unwrap(), comment: None, expires_at };
        assert!(lets_in(&[entry(None)], from, now));
        assert!(!lets_in(&[entry(Some(now))], from, now), "over is not open");
        assert!(!lets_in(&[entry(None)], "11.0.0.1".parse().unwrap(), now));
    }
}
