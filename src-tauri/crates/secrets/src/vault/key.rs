//! The vault's key: where it comes from, and what is refused.
//!
//! It must be random, not a password: it is only stretched to two keys (HKDF-SHA-256, with the file's salt), not hardened
//! against guessing.

use crate::{VAULT_KEY, VAULT_KEY_FILE};
use clusterdeck_domain::Sensitive;
use clusterdeck_engine::repository::SecretError;
use hkdf::Hkdf;
use sha2::Sha256;
use std::{
    collections::HashSet,
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};
use zeroize::Zeroizing;

/// 32 random bytes are 256 bits; as base64 they are 44 characters.
const SHORTEST: usize = 32;
const LONGEST: u64 = 4096;
/// 32 random bytes have about 30 different values, hexadecimal digits about 13 in 32. A row of one letter is no key.
const FEWEST_VALUES: usize = 8;

/// The key as given. Not printable.
pub(crate) struct VaultKey(Zeroizing<Vec<u8>>);

/// The two keys of one file.
pub(super) struct Keys {
    pub(super) encryption: Zeroizing<[u8; 32]>,
    /// Kept in the file, so that a wrong key can be told from a damaged file. Says nothing of the other.
    pub(super) check: Zeroizing<[u8; 16]>,
}

impl VaultKey {
    /// The keys for a file with this salt.
    pub(super) fn derive(&self, salt: &[u8]) -> Option<Keys> {
        let source = Hkdf::<Sha256>::new(Some(salt), &self.0);
        let mut keys = Keys { encryption: Zeroizing::new([0; 32]), check: Zeroizing::new([0; 16]) };
        source.expand(b"clusterdeck vault v1 encryption", keys.encryption.as_mut()).ok()?;
        source.expand(b"clusterdeck vault v1 key check", keys.check.as_mut()).ok()?;
        Some(keys)
    }

    fn new(bytes: Zeroizing<Vec<u8>>, from: &str, make: &str) -> Result<Self, SecretError> {
        let end = bytes.iter().rposition(|b| !b.is_ascii_whitespace()).map_or(0, |last| last + 1);
        let key = Zeroizing::new(bytes[..end].to_vec());
        if key.len() < SHORTEST {
            return Err(refuse(
                &format!("{from} is too short: {} bytes, at least {SHORTEST} are needed", key.len()),
                make,
            ));
        }
        if key.iter().collect::<HashSet<_>>().len() < FEWEST_VALUES {
            return Err(refuse(&format!("{from} is not random"), make));
        }
        Ok(Self(key))
    }
}

fn refuse(what: &str, make: &str) -> SecretError {
    SecretError::Vault(format!("{what}. {make}"))
}

/// The key that is named, if one is.
pub(super) fn of(
    file: Option<&Path>,
    key: Option<&Sensitive<String>>,
) -> Result<Option<VaultKey>, SecretError> {
    match (file, key) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(SecretError::Vault(format!(
            "both {VAULT_KEY_FILE} and {VAULT_KEY} are set, and it is not clear which one is meant. Unset one of them"
        ))),
        (Some(path), None) => read(path).map(Some),
        (None, Some(key)) => {
            let bytes = Zeroizing::new(key.reveal().as_bytes().to_vec());
            let make = format!(
                "To make one for a new vault: `export {VAULT_KEY}=$(head -c 32 /dev/urandom | base64)`"
            );
            VaultKey::new(bytes, &format!("the key in {VAULT_KEY}"), &make).map(Some)
        }
    }
}

fn read(path: &Path) -> Result<VaultKey, SecretError> {
    let shown = path.display();
    let quoted = shown.to_string().replace('\'', r"'\''");
    let make = format!(
        "To make one for a new vault: `head -c 32 /dev/urandom | base64 > '{quoted}'; chmod 600 '{quoted}'`. Keep it: \
         without it the passwords in the vault are lost"
    );
    let failed = |error: &std::io::Error| {
        SecretError::Vault(format!(
            "the key file `{shown}` cannot be read ({error}). Check its owner and permissions"
        ))
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(refuse(&format!("there is no key file `{shown}`"), &make));
        }
        other => other.map_err(|e| failed(&e))?,
    };
    let about = file.metadata().map_err(|e| failed(&e))?;
    if !about.is_file() {
        return Err(refuse(&format!("the key file `{shown}` is not a file"), &make));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if about.mode() & 0o077 != 0 {
            return Err(SecretError::Vault(format!(
                "others may read the key file `{shown}` (mode {:03o}). Take that away: `chmod 600 '{quoted}'`",
                about.mode() & 0o777
            )));
        }
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() as u64 > LONGEST {
        return Err(refuse(&format!("the key file `{shown}` is longer than {LONGEST} bytes"), &make));
    }
    VaultKey::new(bytes, &format!("the key in `{shown}`"), &make)
}
