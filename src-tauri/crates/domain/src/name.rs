//! The name of a cluster: a DNS label, because it becomes a host name, a folder and a unit name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A name that cannot be a cluster's, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing, or only blanks.
    #[error("a cluster needs a name")]
    Empty,
    /// Longer than 40 characters.
    #[error("a cluster's name has at most {max} characters, this one has {found}", max = ClusterName::MAX)]
    TooLong {
        /// How many it has.
        found: usize,
    },
    /// Not a DNS label.
    #[error(
        "a cluster's name is made of a-z, 0-9 and -, and starts with a letter and ends with a letter or digit"
    )]
    NotALabel,
}

/// A DNS label of at most [`ClusterName::MAX`] characters that starts with a letter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct ClusterName(String);

impl ClusterName {
    /// A label may have 63 octets (RFC 1035, 2.3.4); node names add `-` and a number, unit and socket paths add more.
    pub const MAX: usize = 40;

    /// Reads a name.
    ///
    /// # Errors
    /// [`BadName`] with the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let found = text.chars().count();
        if text.trim().is_empty() {
            return Err(BadName::Empty);
        }
        if found > Self::MAX {
            return Err(BadName::TooLong { found });
        }
        let bytes = text.as_bytes();
        let inside = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        let ends = bytes[0].is_ascii_lowercase() && bytes[bytes.len() - 1] != b'-';
        if inside && ends { Ok(Self(text.to_owned())) } else { Err(BadName::NotALabel) }
    }
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The name of this cluster's node number `ordinal` (from 1): `demo-1`.
    pub fn node(&self, ordinal: u16) -> String {
        format!("{}-{ordinal}", self.0)
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for ClusterName {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        Self::parse(&text)
    }
}
impl From<ClusterName> for String {
    fn from(name: ClusterName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "demo", "redis-2", "a1-b2", &"a".repeat(40)] {
            assert!(ClusterName::parse(good).is_ok(), "{good} is a label");
        }
        for (bad, why) in [
            ("", BadName::Empty),
            ("  ", BadName::Empty),
            ("Demo", BadName::NotALabel),
            ("1demo", BadName::NotALabel),
            ("demo-", BadName::NotALabel),
            ("-demo", BadName::NotALabel),
            ("de mo", BadName::NotALabel),
            ("dé", BadName::NotALabel),
            ("../x", BadName::NotALabel),
            (&"a".repeat(41), BadName::TooLong { found: 41 }),
        ] {
            assert_eq!(ClusterName::parse(bad), Err(why), "{bad:?} must be refused");
        }
    }
}
