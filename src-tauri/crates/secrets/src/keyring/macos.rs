//! macOS: the login keychain.

use clusterdeck_engine::repository::SecretError;
use keyring_core::CredentialStore;
use std::{error::Error as StdError, sync::Arc};

pub(super) const NAME: &str = "macOS Keychain (login)";
/// The Keychain titles an entry by its service.
pub(super) const LABEL: Option<&str> = None;

pub(super) fn connect() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

/// By the codes of `SecBase.h`.
pub(super) fn tell(cause: &(dyn StdError + Send + Sync + 'static)) -> SecretError {
    let Some(error) = cause.downcast_ref::<security_framework::base::Error>() else {
        return SecretError::Failed(cause.to_string());
    };
    match error.code() {
        // errSecInteractionNotAllowed: locked, and no dialog may be shown.
        -25308 => SecretError::Locked,
        // errSecAuthFailed, userCanceledErr, errSecReadOnly, errSecInvalidOwnerEdit, wrPermErr.
        -25293 | -128 | -25292 | -25244 | -61 => SecretError::Denied,
        // errSecNotAvailable, errSecNoSuchKeychain, errSecInvalidKeychain, errSecNoDefaultKeychain.
        -25291 | -25294 | -25295 | -25307 => SecretError::NoKeyring,
        code => SecretError::Failed(format!("{error} ({code})")),
    }
}
