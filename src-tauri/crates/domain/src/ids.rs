//! Identities. In text each carries a prefix (`clu_…`), so that an id pasted in the wrong place is refused at the edge.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An id whose text does not have the expected prefix and 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}: it should read {prefix}_ and 32 hexadecimal digits")]
pub struct BadId {
    /// What was given.
    pub text: String,
    /// What kind of id was expected, in words.
    pub expected: &'static str,
    /// The prefix it should have had.
    pub prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $words:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// Makes the id from 128 bits that the caller knows to be unique (a UUID).
            pub fn new(unique: u128) -> Self {
                Self(format!(concat!($prefix, "_{:032x}"), unique))
            }
            /// Reads an id from its text form.
            ///
            /// # Errors
            /// [`BadId`] when the prefix or the digits are not as they should be.
            pub fn parse(text: &str) -> Result<Self, BadId> {
                let digits = text.strip_prefix(concat!($prefix, "_"));
                match digits {
                    Some(d) if d.len() == 32 && d.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) => {
                        Ok(Self(text.to_owned()))
                    }
                    _ => Err(BadId { text: text.to_owned(), expected: $words, prefix: $prefix }),
                }
            }
            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(
    /// A cluster.
    ClusterId, "clu", "a cluster id");
id!(
    /// A node: a machine with a role in a cluster.
    NodeId, "nod", "a node id");
id!(
    /// A machine that a provider handed out.
    MachineId, "mac", "a machine id");
id!(
    /// An operation: a confirmed change and its journal.
    OperationId, "op", "an operation id");
id!(
    /// A backup.
    BackupId, "bak", "a backup id");
id!(
    /// An alert: a problem that somebody must be told of once.
    AlertId, "alr", "an alert id");
id!(
    /// A preview that can still be confirmed.
    PreviewId, "pre", "a preview id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_refuses_a_foreign_prefix() {
        let id = ClusterId::new(0xabc);
        assert_eq!(ClusterId::parse(id.as_str()), Ok(id.clone()), "an id must read back as itself");
        assert!(NodeId::parse(id.as_str()).is_err(), "a cluster id is not a node id");
        assert!(ClusterId::parse("clu_12").is_err(), "too few digits");
        assert!(ClusterId::parse(&id.as_str().to_uppercase()).is_err(), "one spelling only");
    }
}
