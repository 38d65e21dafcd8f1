//! The file vault: `<home>/vault/secrets.vault`, for computers without a keyring.
//!
//! Every call takes the lock beside it, reads the file, and where something changes writes it anew under another name,
//! puts it on the disk and only then gives it its name. So a reader sees the old one or the new one, two programs do not
//! undo each other's work, and a kill at any instant leaves a whole file. A file that cannot be read is never written
//! over.

mod format;
mod key;

use crate::{OpenOptions, worker::Backend};
use clusterdeck_domain::{SecretRef, Sensitive};
use clusterdeck_engine::repository::SecretError;
use format::{Contents, Sealed};
use key::VaultKey;
use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

/// Nobody has so many secrets; what is larger is not ours.
const LARGEST_BYTES: u64 = 16 << 20;

/// The key that the options name, if they name one.
pub(crate) fn key(options: &OpenOptions) -> Result<Option<VaultKey>, SecretError> {
    key::of(options.vault_key_file.as_deref(), options.vault_key.as_ref())
}

/// Where the vault of a home lies.
pub(crate) fn path(home: &Path) -> PathBuf {
    home.join("vault").join("secrets.vault")
}

/// The vault of a home.
pub(crate) struct Vault {
    file: PathBuf,
    key: VaultKey,
}

impl Vault {
    /// Opens the vault, or gets ready to make it with the first secret.
    pub(crate) fn open(home: &Path, key: VaultKey) -> Result<Self, SecretError> {
        let vault = Self { file: path(home), key };
        let folder = vault.file.parent().unwrap_or(home);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|e| vault.io("making its folder", &e))?;
        let _lock = vault.lock(Hold::Shared)?;
        vault.read()?;
        Ok(vault)
    }

    fn io(&self, doing: &str, error: &std::io::Error) -> SecretError {
        let full = error.kind() == ErrorKind::StorageFull;
        let advice = if full { "free some space on that disk" } else { "check its owner and permissions" };
        SecretError::Vault(format!(
            "{doing} failed for `{}` ({error}). What was in it is still there; {advice}",
            self.file.display()
        ))
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.file.with_file_name(name)
    }

    /// Holds off other programs until the returned file is closed.
    fn lock(&self, hold: Hold) -> Result<File, SecretError> {
        let file = private().open(self.beside("lock")).map_err(|e| self.io("opening the lock", &e))?;
        let locked = match hold {
            Hold::Shared => file.lock_shared(),
            Hold::Alone => file.lock(),
        };
        locked.map_err(|e| self.io("taking the lock", &e))?;
        Ok(file)
    }

    /// What is in the vault; `None` where there is none yet.
    fn read(&self) -> Result<Option<(Sealed, Contents)>, SecretError> {
        let file = match File::open(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| self.io("opening it", &e))?,
        };
        let mut bytes = Vec::new();
        file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| self.io("reading it", &e))?;
        let refuse = |what: &str| {
            SecretError::Vault(format!(
                "`{}` {what}. The file was not changed and the servers keep running. {}",
                self.file.display(),
                self.way_back()
            ))
        };
        let sealed = Sealed::parse(bytes).map_err(|fault| refuse(fault.text()))?;
        let contents = sealed.open(&self.key).map_err(|fault| refuse(fault.text()))?;
        Ok(Some((sealed, contents)))
    }

    fn way_back(&self) -> String {
        let previous = self.beside("secrets.vault.previous");
        if previous.exists() {
            format!("If it is damaged, `{}` is what it was before its last change", previous.display())
        } else {
            "If it is damaged, restore it from a backup of your own".to_owned()
        }
    }

    fn write(&self, sealed: &Sealed) -> Result<(), SecretError> {
        let told = |e: std::io::Error| self.io("writing", &e);
        let draft = self.beside("secrets.vault.new");
        let mut file = private().truncate(true).open(&draft).map_err(told)?;
        file.write_all(sealed.as_bytes()).and_then(|()| file.sync_all()).map_err(told)?;
        drop(file);
        self.keep_previous();
        fs::rename(&draft, &self.file).map_err(told)?;
        // The new name itself must reach the disk as well. Windows cannot open a folder for that.
        #[cfg(unix)]
        if let Some(folder) = self.file.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(told)?;
        }
        Ok(())
    }

    /// Keeps the file before as `.previous`, by a second name for it. Worth having, not worth failing for.
    fn keep_previous(&self) {
        let previous = self.beside("secrets.vault.previous");
        let gone = match fs::remove_file(&previous) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if let Err(error) = gone.and_then(|()| match fs::hard_link(&self.file, &previous) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }) {
            tracing::warn!(%error, "the vault's file before this change could not be kept");
        }
    }

    /// Changes what is in the vault; writes only when `edit` says that something changed.
    fn edit(&self, edit: impl FnOnce(&mut Contents) -> bool) -> Result<(), SecretError> {
        let _lock = self.lock(Hold::Alone)?;
        let (before, mut contents) = match self.read()? {
            Some((sealed, contents)) => (Some(sealed), contents),
            None => (None, Contents::default()),
        };
        if !edit(&mut contents) {
            return Ok(());
        }
        let sealed = Sealed::seal(&contents, &self.key, before.as_ref())
            .map_err(|fault| SecretError::Vault(fault.text().to_owned()))?;
        self.write(&sealed)
    }
}

#[derive(Clone, Copy)]
enum Hold {
    Shared,
    Alone,
}

/// Opens or makes a file that only its owner may read.
fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.create(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl Backend for Vault {
    fn describe(&self) -> String {
        "encrypted file vault".to_owned()
    }

    fn put(&mut self, at: &SecretRef, value: &Sensitive<String>) -> Result<(), SecretError> {
        self.edit(|contents| contents.put(at.as_str(), value))
    }

    fn get(&mut self, at: &SecretRef) -> Result<Option<Sensitive<String>>, SecretError> {
        let _lock = self.lock(Hold::Shared)?;
        Ok(self.read()?.and_then(|(_, contents)| contents.get(at.as_str())))
    }

    fn remove(&mut self, at: &SecretRef) -> Result<(), SecretError> {
        self.edit(|contents| contents.remove(at.as_str()))
    }

    fn late() -> SecretError {
        SecretError::Vault(
            "another program has held its lock for too long. Nothing was changed; see which one has `vault/lock` open"
                .to_owned(),
        )
    }
}
