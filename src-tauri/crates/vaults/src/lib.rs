//! Where backups are kept, one file per kind of vault. What leaves this process is sealed (`seal`): compressed, then
//! encrypted for one key, in the formats of `zstd` and `age`, so that whoever has the key needs nothing of ours to open it.

mod folder;
mod seal;

pub use folder::Folder;
pub use seal::new_key;

use clusterdeck_domain::{LOCAL_VAULT, Sensitive};
use clusterdeck_driver::{SealKey, Vault, Vaults};
use std::{path::Path, sync::Arc};

/// The vaults of a home.
pub struct HomeVaults {
    local: Arc<dyn Vault>,
}

impl HomeVaults {
    /// Those of the home in this folder.
    pub fn new(home: &Path) -> Self {
        Self { local: Arc::new(Folder::new(LOCAL_VAULT, home.join("vault/backups"))) }
    }
}

impl Vaults for HomeVaults {
    fn all(&self) -> Vec<Arc<dyn Vault>> {
        vec![self.local.clone()]
    }
    fn new_key(&self) -> SealKey {
        new_key()
    }
    fn read_key(&self, text: &Sensitive<String>) -> Result<SealKey, String> {
        seal::read_key(text)
    }
}
