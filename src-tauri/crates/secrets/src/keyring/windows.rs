//! Windows: the Credential Manager of the signed-in user.

use clusterdeck_engine::repository::SecretError;
use keyring_core::CredentialStore;
use std::{error::Error as StdError, sync::Arc};

pub(super) const NAME: &str = "Windows Credential Manager";
/// The Credential Manager titles an entry by its target.
pub(super) const LABEL: Option<&str> = None;

pub(super) fn connect() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(windows_native_keyring_store::Store::new()?)
}

/// The store's error type is private; its text names the code.
pub(super) fn tell(cause: &(dyn StdError + Send + Sync + 'static)) -> SecretError {
    let text = cause.to_string();
    if text.contains("ERROR_NO_SUCH_LOGON_SESSION") {
        SecretError::NoKeyring
    } else if text.ends_with("error code 5") {
        SecretError::Denied
    } else {
        SecretError::Failed(text)
    }
}
