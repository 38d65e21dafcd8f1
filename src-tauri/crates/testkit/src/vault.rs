//! A fake vault over the fake world. What is in it is as it was put: sealing is tried with the real ones.

use crate::world::World;
use async_trait::async_trait;
use clusterdeck_domain::{BackupId, BackupKind, LOCAL_VAULT, SNAPSHOT_VAULT, Sensitive, VaultSpec};
use clusterdeck_driver::{DriverError, Incoming, Outgoing, Result, SealKey, Vault, VaultCheck, Vaults};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) struct FakeVaults(pub(crate) World);

#[async_trait]
impl Vaults for FakeVaults {
    fn own(&self) -> Arc<dyn Vault> {
        Arc::new(FakeVault(self.0.clone(), LOCAL_VAULT))
    }
    fn snapshots(&self) -> Arc<dyn Vault> {
        Arc::new(FakeVault(self.0.clone(), SNAPSHOT_VAULT))
    }
    fn open(&self, _: &VaultSpec, _: Option<&Sensitive<String>>) -> Result<Arc<dyn Vault>> {
        Ok(self.own())
    }
    async fn pack(&self, input: &mut Incoming, output: &mut Outgoing) -> Result<()> {
        let copied = tokio::io::copy(input, output).await;
        copied.map(drop).map_err(|e| DriverError::transient(format!("passing on a copy: {e}")))
    }
    fn new_key(&self) -> SealKey {
        SealKey { public: "age1test".to_owned(), secret: Sensitive::new("AGE-SECRET-KEY-TEST".to_owned()) }
    }
    fn read_key(&self, _: &Sensitive<String>) -> std::result::Result<SealKey, String> {
        Err("this fake has one key".to_owned())
    }
}

struct FakeVault(World, &'static str);

#[async_trait]
impl Vault for FakeVault {
    fn id(&self) -> &str {
        self.1
    }
    fn kind(&self) -> BackupKind {
        if self.1 == SNAPSHOT_VAULT { BackupKind::Snapshot } else { BackupKind::Local }
    }
    async fn check(&self) -> Result<VaultCheck> {
        self.0.vault_there()?;
        if self.0.refuses("vault_check") {
            return Err(DriverError::silent_vault("the vault does not answer"));
        }
        Ok(VaultCheck { free_bytes: Some(1 << 40), used_bytes: None })
    }
    async fn put(&self, backup: &BackupId, piece: &str, input: &mut Incoming, _: &SealKey) -> Result<u64> {
        self.0.vault_there()?;
        let mut content = Vec::new();
        let read = input.read_to_end(&mut content).await;
        read.map_err(|e| DriverError::transient(format!("the copy was cut off: {e}")))?;
        let length = content.len() as u64;
        self.0.call("vault_put")?.vault.insert((backup.clone(), piece.to_owned()), content);
        Ok(length)
    }
    async fn get(&self, backup: &BackupId, piece: &str, output: &mut Outgoing, _: &SealKey) -> Result<()> {
        self.0.vault_there()?;
        let content = self.0.call("vault_get")?.vault.get(&(backup.clone(), piece.to_owned())).cloned();
        let content = content.ok_or_else(|| DriverError::Gone { what: format!("{backup}/{piece}") })?;
        let passed = output.write_all(&content).await;
        passed.map_err(|e| DriverError::transient(format!("passing on a copy: {e}")))
    }
    async fn put_note(&self, backup: &BackupId, name: &str, content: &[u8]) -> Result<()> {
        self.0.vault_there()?;
        self.0.call("vault_note")?.vault.insert((backup.clone(), name.to_owned()), content.to_vec());
        Ok(())
    }
    async fn remove_piece(&self, backup: &BackupId, piece: &str) -> Result<()> {
        self.0.call("vault_remove")?.vault.remove(&(backup.clone(), piece.to_owned()));
        Ok(())
    }
    async fn remove(&self, backup: &BackupId) -> Result<()> {
        self.0.vault_there()?;
        self.0.call("vault_remove")?.vault.retain(|(id, _), _| id != backup);
        Ok(())
    }
    async fn backups(&self) -> Result<Vec<BackupId>> {
        let world = self.0.lock();
        let mut found: Vec<BackupId> = world.vault.keys().map(|(id, _)| id.clone()).collect();
        found.dedup();
        Ok(found)
    }
}
