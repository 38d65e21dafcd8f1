//! Where backups are kept.
//!
//! A vault takes streams and gives the same bytes back. Whatever leaves this process on the way is compressed and encrypted;
//! which of the two the vault's own program does is its business.

use crate::{DriverError, Incoming, Outgoing, Result};
use async_trait::async_trait;
use clusterdeck_domain::{BackupId, BackupKind, Sensitive, VaultSpec};
use std::sync::Arc;

/// The key that backups of a home are encrypted for.
#[derive(Debug, Clone)]
pub struct SealKey {
    /// The half that encrypts (`age1…`). No secret.
    pub public: String,
    /// The half that opens (`AGE-SECRET-KEY-1…`).
    pub secret: Sensitive<String>,
}

/// What a vault says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultCheck {
    /// Bytes it can still take; `None` where it does not say.
    pub free_bytes: Option<u64>,
    /// Bytes that what lies in it takes, where its pieces share some; `None`: they take what [`Vault::put`] said of each.
    pub used_bytes: Option<u64>,
}

/// What came of trying a vault out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultTrial {
    /// It is there; else it would be made.
    pub there: bool,
    /// Bytes it can take; `None` where it does not say.
    pub free_bytes: Option<u64>,
}

/// One place for backups. Names of pieces are those of the parts of a backup: letters, digits and `-`.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Its name: `local`.
    fn id(&self) -> &str;
    /// The kind that backups in it are of.
    fn kind(&self) -> BackupKind;
    /// Whether it can be reached and written to.
    ///
    /// # Errors
    /// `Transient` while it cannot be reached; `Rejected` when it will not take anything.
    async fn check(&self) -> Result<VaultCheck>;
    /// Makes what must be there before anything can be put: once, when it is added. One that was there and is gone is not made
    /// anew by anything else, since an empty one would only seem to be it.
    async fn make(&self) -> Result<()> {
        Ok(())
    }
    /// Whether it could be used, without making anything that stays: is it there, or could it be made?
    ///
    /// # Errors
    /// As [`Vault::check`].
    async fn try_out(&self) -> Result<VaultTrial> {
        Ok(VaultTrial { there: true, free_bytes: self.check().await?.free_bytes })
    }
    /// Takes all of `input` as a piece of a backup, over one that is there. Until it returns the piece is not there. Gives the
    /// bytes that it takes in the vault beyond what lies there already.
    ///
    /// # Errors
    /// Nothing of the piece is left then; an error of `input` is told as `Transient`.
    async fn put(&self, backup: &BackupId, piece: &str, input: &mut Incoming, key: &SealKey) -> Result<u64>;
    /// Gives a piece back as it was put.
    ///
    /// # Errors
    /// `Gone`; `Rejected` when it is sealed for another key, cut short or changed.
    async fn get(&self, backup: &BackupId, piece: &str, output: &mut Outgoing, key: &SealKey) -> Result<()>;
    /// Keeps a note beside the pieces, readable by anybody who can read the vault: `manifest.json`.
    async fn put_note(&self, backup: &BackupId, name: &str, content: &[u8]) -> Result<()>;
    /// Takes one piece away; nothing happens when it is not there.
    ///
    /// # Errors
    /// `Unsupported` where pieces go only together.
    async fn remove_piece(&self, _backup: &BackupId, piece: &str) -> Result<()> {
        Err(DriverError::Unsupported { what: format!("taking {piece} away alone") })
    }
    /// Takes a backup away with all its pieces; nothing happens when it is not there.
    async fn remove(&self, backup: &BackupId) -> Result<()>;
    /// The backups in it, whole or not.
    async fn backups(&self) -> Result<Vec<BackupId>>;
}

/// Opens vaults.
#[async_trait]
pub trait Vaults: Send + Sync {
    /// The home's own, where a backup goes when nobody says. It is always there.
    fn own(&self) -> Arc<dyn Vault>;
    /// The one for snapshots, beside the data. It is always there, too.
    fn snapshots(&self) -> Arc<dyn Vault>;
    /// Another one, with the secret it wants. Nobody is asked yet: see [`Vault::check`].
    ///
    /// # Errors
    /// `Rejected` where it cannot be meant.
    fn open(&self, spec: &VaultSpec, secret: Option<&Sensitive<String>>) -> Result<Arc<dyn Vault>>;
    /// Compresses a stream for people, in the format of `zstd`. It is not sealed.
    ///
    /// # Errors
    /// `Transient` when either end fails; what was written is cut off then.
    async fn pack(&self, input: &mut Incoming, output: &mut Outgoing) -> Result<()>;
    /// A new key.
    fn new_key(&self) -> SealKey;
    /// A key from its secret half, alone or in a file with remarks.
    ///
    /// # Errors
    /// What is wrong with it, without any part of it.
    fn read_key(&self, text: &Sensitive<String>) -> std::result::Result<SealKey, String>;
}
