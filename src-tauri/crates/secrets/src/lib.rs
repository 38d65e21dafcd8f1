//! Where passwords, tokens and keys live: in the system's keyring, or in an encrypted file where there is none.
//!
//! Only this room knows a keyring. Everybody else holds a `SecretRef` and asks. What must not enter: what a secret is
//! for, and any secret in an error, a log line or a file that is not encrypted.
//!
//! A vault that is *named* (a key file, or the key in a variable) wins over the keyring; nothing is ever chosen silently,
//! because a secret that is looked for in another place than it was put is as good as lost.
//!
//! Both are asked on a thread of their own, each call with a limit: a keyring may show a dialog and wait for a person.

mod keyring;
mod vault;
mod worker;

use clusterdeck_domain::{SecretRef, Sensitive};
use clusterdeck_engine::repository::{SecretError, SecretRepository};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use worker::Worker;

/// The variable that names the key file of the vault.
pub const VAULT_KEY_FILE: &str = "CLUSTERDECK_VAULT_KEY_FILE";
/// The variable that holds the vault's key itself.
pub const VAULT_KEY: &str = "CLUSTERDECK_VAULT_KEY";

/// How long a call may take: time for a person to type the keyring's password.
const WAIT: Duration = Duration::from_secs(60);

/// Where secrets shall live.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The home; two homes share no secrets.
    pub home: PathBuf,
    /// The key file of the vault; names the vault as the place.
    pub vault_key_file: Option<PathBuf>,
    /// The key of the vault; names it too. Not both.
    pub vault_key: Option<Sensitive<String>>,
    /// How long a call may wait for a person or another program.
    pub wait: Duration,
}

impl OpenOptions {
    /// The keyring of this system.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into(), vault_key_file: None, vault_key: None, wait: WAIT }
    }

    /// What the variables [`VAULT_KEY_FILE`] and [`VAULT_KEY`] say. An empty one says nothing.
    pub fn from_env(home: impl Into<PathBuf>) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            vault_key_file: variable(VAULT_KEY_FILE).map(PathBuf::from),
            vault_key: variable(VAULT_KEY).map(|key| Sensitive::new(key.to_string_lossy().into_owned())),
            ..Self::new(home)
        }
    }
}

/// Opens the place where secrets live.
///
/// The vault is opened at once, so that a wrong key is known at the start. The keyring is not: whether it is there and
/// unlocked may change while the program runs, and a start must not wait for a dialog. Ask [`check`] to know.
///
/// # Errors
/// `Vault` when the key is missing, too short or readable by others, when it does not fit the vault or the vault is
/// damaged, and when the home has a vault but no key is named.
pub fn open(options: OpenOptions) -> Result<Arc<dyn SecretRepository>, SecretError> {
    let key = vault::key(&options)?;
    let file = vault::path(&options.home);
    match key {
        Some(key) => {
            let vault = vault::Vault::open(&options.home, key)?;
            Ok(Arc::new(Worker::start("vault", vault, options.wait)?))
        }
        None if file.exists() => Err(SecretError::Vault(format!(
            "this home keeps its secrets in `{}`, but no key is named. Set {VAULT_KEY_FILE} to the key file this vault \
             was made with. (To use the keyring of this computer instead, move that file away: the passwords in it are \
             then not known)",
            file.display()
        ))),
        None => {
            let keyring = keyring::Keyring::new(scope(&options.home));
            Ok(Arc::new(Worker::start("keyring", keyring, options.wait)?))
        }
    }
}

/// Whether secrets can be kept, recalled and forgotten right now, by doing so. May ask the user to unlock the keyring.
///
/// # Errors
/// Each as the repository says it.
pub async fn check(repository: &dyn SecretRepository) -> Result<(), SecretError> {
    let at = SecretRef::of_connection(".check");
    let value = Sensitive::new("it works".to_owned());
    repository.put(&at, &value).await?;
    let found = repository.get(&at).await?;
    repository.remove(&at).await?;
    if found.as_ref() == Some(&value) {
        Ok(())
    } else {
        Err(SecretError::Failed("what was kept did not come back".to_owned()))
    }
}

/// Sixteen hexadecimal digits that stand for a home, so that two homes on one computer do not mix. Symbolic links and
/// relative paths lead to the same home and give the same digits.
fn scope(home: &Path) -> String {
    use sha2::Digest;
    let home = std::fs::canonicalize(home)
        .or_else(|_| std::path::absolute(home))
        .unwrap_or_else(|_| home.to_owned());
    hex::encode(&sha2::Sha256::digest(home.as_os_str().as_encoded_bytes())[..8])
}
