//! The vault's file:
//!
//! ```text
//! 16  CLUSTERDECKVLT01
//! 32  salt, made with the file
//! 16  key check: HKDF(key, salt, "… key check")
//! 24  nonce, new with every write
//!  n  XChaCha20-Poly1305 of the contents under HKDF(key, salt, "… encryption"), all of the above authenticated
//! 32  SHA-256 of all of the above
//! ```
//!
//! The digest at the end tells damage from a wrong key; it protects nothing, the authentication does. The contents are
//! pairs of path and secret, each as its length (32 bits, little-endian) and its bytes. Not JSON, so that no parser's
//! error can quote a piece of a secret.

use super::key::VaultKey;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use clusterdeck_domain::Sensitive;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const FAMILY: &[u8] = b"CLUSTERDECKVLT";
const MAGIC: &[u8; 16] = b"CLUSTERDECKVLT01";
const SALT: std::ops::Range<usize> = 16..48;
const CHECK: std::ops::Range<usize> = 48..64;
const NONCE: std::ops::Range<usize> = 64..88;
const HEADER: usize = 88;
const TAG: usize = 16;
const DIGEST: usize = 32;

/// Why a file was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Damaged,
    Newer,
    WrongKey,
    /// The system gave no random numbers, or the like.
    System,
}

impl Fault {
    /// The end of a sentence that begins with the file's name.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Damaged => "is damaged",
            Self::Newer => "was written by a newer Clusterdeck",
            Self::WrongKey => "was made with another key than the one that is named now",
            Self::System => "could not be sealed: the system gave no random numbers",
        }
    }
}

/// The secrets by path. Wiped when dropped.
#[derive(Default)]
pub(super) struct Contents(BTreeMap<String, Sensitive<String>>);

impl Contents {
    /// Whether that changed anything.
    pub(super) fn put(&mut self, path: &str, value: &Sensitive<String>) -> bool {
        self.0.insert(path.to_owned(), value.clone()).as_ref() != Some(value)
    }
    pub(super) fn get(&self, path: &str) -> Option<Sensitive<String>> {
        self.0.get(path).cloned()
    }
    /// Whether it was there.
    pub(super) fn remove(&mut self, path: &str) -> bool {
        self.0.remove(path).is_some()
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let parts = || self.0.iter().flat_map(|(path, value)| [path.as_bytes(), value.reveal().as_bytes()]);
        // In one piece from the start: a vector that grows leaves copies behind that nobody wipes.
        let size = parts().map(|part| 4 + part.len()).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        for part in parts() {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut contents = Self::default();
        while !bytes.is_empty() {
            let path = take(&mut bytes)?;
            let value = take(&mut bytes)?;
            contents.0.insert(path, Sensitive::new(value));
        }
        Some(contents)
    }
}

fn take(bytes: &mut &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(std::str::from_utf8(text).ok()?.to_owned())
}

/// A vault's file in memory, its form and digest found right.
pub(super) struct Sealed(Vec<u8>);

impl Sealed {
    /// Looks at the form and the digest.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, Fault> {
        let body = bytes.len().checked_sub(DIGEST).ok_or(Fault::Damaged)?;
        let whole = body >= HEADER + TAG && Sha256::digest(&bytes[..body]).as_slice() == &bytes[body..];
        if !whole || !bytes.starts_with(FAMILY) {
            return Err(Fault::Damaged);
        }
        if !bytes.starts_with(MAGIC) {
            return Err(Fault::Newer);
        }
        Ok(Self(bytes))
    }

    /// Decrypts.
    pub(super) fn open(&self, key: &VaultKey) -> Result<Contents, Fault> {
        let keys = key.derive(&self.0[SALT]).ok_or(Fault::System)?;
        if !bool::from(keys.check.as_slice().ct_eq(&self.0[CHECK])) {
            return Err(Fault::WrongKey);
        }
        let cipher =
            XChaCha20Poly1305::new_from_slice(keys.encryption.as_slice()).map_err(|_| Fault::System)?;
        let nonce = XNonce::try_from(&self.0[NONCE]).map_err(|_| Fault::Damaged)?;
        let payload = Payload { msg: &self.0[HEADER..self.0.len() - DIGEST], aad: &self.0[..HEADER] };
        let bytes = Zeroizing::new(cipher.decrypt(&nonce, payload).map_err(|_| Fault::Damaged)?);
        Contents::parse(&bytes).ok_or(Fault::Damaged)
    }

    /// Encrypts, with the salt of the file before if there was one.
    pub(super) fn seal(contents: &Contents, key: &VaultKey, before: Option<&Self>) -> Result<Self, Fault> {
        let mut file = Vec::new();
        file.extend_from_slice(MAGIC);
        match before {
            Some(before) => file.extend_from_slice(&before.0[SALT]),
            None => file.extend_from_slice(&random::<32>()?),
        }
        let keys = key.derive(&file[SALT]).ok_or(Fault::System)?;
        file.extend_from_slice(keys.check.as_slice());
        // 192 random bits: two equal nonces will not be met in any number of writes.
        let nonce = random::<24>()?;
        file.extend_from_slice(&nonce);
        let cipher =
            XChaCha20Poly1305::new_from_slice(keys.encryption.as_slice()).map_err(|_| Fault::System)?;
        let payload = Payload { msg: &contents.to_bytes(), aad: &file };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| Fault::System)?;
        file.extend_from_slice(&sealed);
        let digest = Sha256::digest(&file);
        file.extend_from_slice(&digest);
        Ok(Self(file))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Fault::System)?;
    Ok(bytes)
}
