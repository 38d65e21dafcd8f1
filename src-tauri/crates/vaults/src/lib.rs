//! Where backups are kept, one file per kind of vault. What leaves this process is sealed (`seal`): compressed, then
//! encrypted for one key, in the formats of `zstd` and `age`, so that whoever has the key needs nothing of ours to open it.

mod borg;
mod bridge;
mod folder;
mod s3;
mod seal;
mod snapshots;
mod syncing;

pub use borg::Repository;
pub use folder::Folder;
pub use s3::Bucket;
pub use seal::new_key;
pub use snapshots::Snapshots;

use async_trait::async_trait;
use clusterdeck_domain::{LOCAL_VAULT, SNAPSHOT_VAULT, Sensitive, VaultFault, VaultPlace, VaultSpec};
use clusterdeck_driver::{DriverError, Incoming, Outgoing, Result, SealKey, Vault, Vaults};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Opens the vaults of a home.
pub struct HomeVaults {
    own: Arc<dyn Vault>,
    snapshots: Arc<dyn Vault>,
    /// For what programs keep to themselves.
    notes: PathBuf,
    /// How other computers are reached, where not as the user reaches them.
    rsh: Option<String>,
}

impl HomeVaults {
    /// Those of the home in this folder.
    pub fn new(home: &Path) -> Self {
        let at = home.join("vault");
        Self {
            own: Arc::new(Folder::new(LOCAL_VAULT, at.join("backups"))),
            snapshots: Arc::new(Snapshots::new(SNAPSHOT_VAULT, at.join("snapshots"))),
            notes: at,
            rsh: None,
        }
    }

    /// The same with another command for ssh.
    #[must_use]
    pub fn over(mut self, rsh: String) -> Self {
        self.rsh = Some(rsh);
        self
    }
}

#[async_trait]
impl Vaults for HomeVaults {
    fn own(&self) -> Arc<dyn Vault> {
        self.own.clone()
    }
    fn snapshots(&self) -> Arc<dyn Vault> {
        self.snapshots.clone()
    }
    fn open(&self, spec: &VaultSpec, secret: Option<&Sensitive<String>>) -> Result<Arc<dyn Vault>> {
        let wanted = || {
            secret.ok_or_else(|| {
                DriverError::vault(
                    VaultFault::Refused,
                    format!("the secret of the vault {} is not in the keyring", spec.id),
                    "give it again: `clusterdeck vault secret NAME --secret-file FILE`, or under Vaults in the settings",
                )
            })
        };
        Ok(match &spec.place {
            VaultPlace::Local { path } => Arc::new(Folder::elsewhere(&spec.id, PathBuf::from(path))),
            VaultPlace::S3 { .. } => Arc::new(Bucket::new(&spec.id, &spec.place, wanted()?)?),
            VaultPlace::Borg { repository } => {
                let notes = self.notes.join("borg");
                let repository = Repository::new(&spec.id, repository, wanted()?.clone(), notes);
                Arc::new(match &self.rsh {
                    Some(rsh) => repository.over(rsh),
                    None => repository,
                })
            }
        })
    }
    async fn pack(&self, input: &mut Incoming, output: &mut Outgoing) -> Result<()> {
        seal::pack(input, output).await
    }
    fn new_key(&self) -> SealKey {
        new_key()
    }
    fn read_key(&self, text: &Sensitive<String>) -> std::result::Result<SealKey, String> {
        seal::read_key(text)
    }
}
