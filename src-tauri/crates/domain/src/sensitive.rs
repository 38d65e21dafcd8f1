//! Values that must never be seen: passwords, tokens, keys.

use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroize;

/// A secret in memory. It prints as `***`, cannot be serialised, and is wiped when dropped.
#[derive(Clone)]
pub struct Sensitive<T: Zeroize>(T);

impl<T: Zeroize> Sensitive<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
    /// The value itself. Each call is a place to look at in a review.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Sensitive<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
impl<T: Zeroize> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl<T: Zeroize + PartialEq> PartialEq for Sensitive<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Where a secret lies: all that rows, journals and specs ever hold of it. `cluster/<id>/<name>`, `connection/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretRef(String);

impl SecretRef {
    /// The secret `name` of the owner (`cluster`, id).
    pub fn of_cluster(cluster: &crate::ClusterId, name: &str) -> Self {
        Self(format!("cluster/{cluster}/{name}"))
    }
    /// The token of a connection.
    pub fn of_connection(name: &str) -> Self {
        Self(format!("connection/{name}"))
    }
    /// The way into the source of a migration into this cluster, while that lasts.
    pub fn of_migration(cluster: &crate::ClusterId) -> Self {
        Self(format!("cluster/{cluster}/migration"))
    }
    /// The key that the backups of a home are sealed for.
    pub fn of_backups() -> Self {
        Self("backups/key".to_owned())
    }
    /// The secret of a vault.
    pub fn of_vault(id: &str) -> Self {
        Self(format!("vault/{id}"))
    }
    /// The token that `clusterdeck serve` asks for.
    pub fn of_serve() -> Self {
        Self("serve/token".to_owned())
    }
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Sensitive::new(String::from("hunter2"));
        assert_eq!(format!("{secret:?}"), "***", "debug output must not show it");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
