//! The keyring of the system, through `keyring-core`: Secret Service, macOS Keychain, Windows Credential Manager.

#[cfg_attr(any(target_os = "linux", target_os = "freebsd"), path = "secret_service.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod platform;

use crate::worker::Backend;
use clusterdeck_domain::{SecretRef, Sensitive};
use clusterdeck_engine::repository::SecretError;
use keyring_core::{CredentialStore, Entry, Error};
use std::{collections::HashMap, sync::Arc};
use zeroize::Zeroize;

/// The name of all our entries; what a user looks for in the keyring's own window.
const SERVICE: &str = "clusterdeck";

/// The keyring, connected to when it is first asked.
pub(crate) struct Keyring {
    scope: String,
    store: Option<Arc<CredentialStore>>,
}

impl Keyring {
    /// Entries are named `<scope>/<path of the secret>`.
    pub(crate) fn new(scope: String) -> Self {
        Self { scope, store: None }
    }

    /// Does something with an entry. A connection that was made earlier may have died since (the keyring was started
    /// again); then it is made anew, once.
    fn with<T>(
        &mut self,
        at: &SecretRef,
        job: impl Fn(&Entry) -> keyring_core::Result<T>,
    ) -> Result<Option<T>, SecretError> {
        let fresh = self.store.is_none();
        match self.attempt(at, &job) {
            Err(error) if !fresh && is_connection(&error) => {
                self.store = None;
                self.attempt(at, &job)
            }
            other => other,
        }
        .map_err(|error| {
            if is_connection(&error) {
                self.store = None;
            }
            tell(error)
        })
    }

    fn attempt<T>(
        &mut self,
        at: &SecretRef,
        job: impl Fn(&Entry) -> keyring_core::Result<T>,
    ) -> keyring_core::Result<Option<T>> {
        let store = match &self.store {
            Some(store) => Arc::clone(store),
            None => Arc::clone(self.store.insert(platform::connect()?)),
        };
        let account = format!("{}/{}", self.scope, at.as_str());
        let label = format!("Clusterdeck: {}", at.as_str());
        let modifiers: HashMap<&str, &str> =
            platform::LABEL.iter().map(|key| (*key, label.as_str())).collect();
        let entry = store.build(SERVICE, &account, Some(&modifiers))?;
        match job(&entry) {
            Err(Error::NoEntry) => Ok(None),
            other => other.map(Some),
        }
    }
}

/// The keyring itself, or the way to it, failed; as opposed to saying no.
fn is_connection(error: &Error) -> bool {
    matches!(error, Error::PlatformFailure(_) | Error::NoStorageAccess(_))
}

/// In the engine's words. No part of a secret may get into the text: the variants that carry one are not printed.
fn tell(error: Error) -> SecretError {
    match error {
        Error::PlatformFailure(cause) | Error::NoStorageAccess(cause) => platform::tell(cause.as_ref()),
        Error::BadEncoding(mut secret) => {
            secret.zeroize();
            SecretError::Failed("the entry is not as Clusterdeck wrote it".to_owned())
        }
        Error::BadDataFormat(mut secret, _) => {
            secret.zeroize();
            SecretError::Failed("the entry is not as Clusterdeck wrote it".to_owned())
        }
        Error::Ambiguous(entries) => SecretError::Failed(format!(
            "{} entries bear the same name; remove those named `{SERVICE}` that you copied by hand",
            entries.len()
        )),
        Error::TooLong(what, limit) => {
            SecretError::Failed(format!("the {what} is longer than its limit of {limit}"))
        }
        other => SecretError::Failed(other.to_string()),
    }
}

impl Backend for Keyring {
    fn describe(&self) -> String {
        platform::NAME.to_owned()
    }

    fn put(&mut self, at: &SecretRef, value: &Sensitive<String>) -> Result<(), SecretError> {
        let done = self.with(at, |entry| entry.set_secret(value.reveal().as_bytes()))?;
        done.ok_or_else(|| SecretError::Failed("the entry vanished while it was written".to_owned()))
    }

    fn get(&mut self, at: &SecretRef) -> Result<Option<Sensitive<String>>, SecretError> {
        let Some(bytes) = self.with(at, Entry::get_secret)? else { return Ok(None) };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(Sensitive::new(text))),
            Err(error) => Err(tell(Error::BadEncoding(error.into_bytes()))),
        }
    }

    fn remove(&mut self, at: &SecretRef) -> Result<(), SecretError> {
        self.with(at, Entry::delete_credential).map(|_| ())
    }

    fn late() -> SecretError {
        // What takes longer than any keyring needs is its dialog, waiting to be answered.
        SecretError::Locked
    }
}
