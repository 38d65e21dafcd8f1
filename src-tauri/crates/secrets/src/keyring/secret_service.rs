//! Linux and FreeBSD: the Secret Service of the session (gnome-keyring, KWallet, KeePassXC) over D-Bus.

use clusterdeck_engine::repository::SecretError;
use keyring_core::CredentialStore;
use secret_service::Error as ServiceError;
use std::{error::Error as StdError, sync::Arc};
use zbus::DBusError;

pub(super) const NAME: &str = "Secret Service (login keyring)";
/// The modifier that gives an entry its title in the keyring's window.
pub(super) const LABEL: Option<&str> = Some("label");

pub(super) fn connect() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(zbus_secret_service_keyring_store::Store::new()?)
}

/// What each failure means was measured with gnome-keyring 42 (see the tests).
pub(super) fn tell(cause: &(dyn StdError + Send + Sync + 'static)) -> SecretError {
    let Some(error) = cause.downcast_ref::<ServiceError>() else {
        return SecretError::Failed(cause.to_string());
    };
    match error {
        ServiceError::Locked | ServiceError::Prompt | ServiceError::PromptDisconnected => SecretError::Locked,
        // No bus, nobody who answers on it, or a service without any keyring in it.
        ServiceError::Unavailable | ServiceError::NoResult => SecretError::NoKeyring,
        ServiceError::Zbus(error) => bus(error),
        ServiceError::ZbusFdo(zbus::fdo::Error::ZBus(error)) => bus(error),
        ServiceError::ZbusFdo(error) => named(error.name().as_str(), error),
        other => SecretError::Failed(other.to_string()),
    }
}

fn bus(error: &zbus::Error) -> SecretError {
    match error {
        zbus::Error::Connection(..)
        | zbus::Error::InputOutput(_)
        | zbus::Error::Address(_)
        | zbus::Error::Handshake(_) => SecretError::NoKeyring,
        zbus::Error::MethodError(name, ..) => named(name.as_str(), error),
        zbus::Error::FDO(inner) => match inner.as_ref() {
            zbus::fdo::Error::ZBus(error) => SecretError::Failed(error.to_string()),
            inner => named(inner.name().as_str(), error),
        },
        other => SecretError::Failed(other.to_string()),
    }
}

/// By the error's name on the bus.
fn named(name: &str, error: &dyn StdError) -> SecretError {
    match name.rsplit('.').next().unwrap_or(name) {
        "ServiceUnknown" | "NameHasNoOwner" | "NoServer" | "Disconnected" => SecretError::NoKeyring,
        "IsLocked" => SecretError::Locked,
        "AccessDenied" | "AuthFailed" | "InteractiveAuthorizationRequired" => SecretError::Denied,
        // The bus would start a service but could not.
        _ if name.starts_with("org.freedesktop.DBus.Error.Spawn") => SecretError::NoKeyring,
        _ => SecretError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cannot be provoked from a real service in a test: a refusal.
    #[test]
    fn a_refusal_on_the_bus_is_told_from_a_missing_or_a_locked_keyring() {
        let cause = |error: zbus::fdo::Error| tell(&ServiceError::ZbusFdo(error));
        let text = || "no".to_owned();
        assert!(matches!(cause(zbus::fdo::Error::AccessDenied(text())), SecretError::Denied), "refused");
        assert!(matches!(cause(zbus::fdo::Error::AuthFailed(text())), SecretError::Denied), "refused");
        assert!(matches!(cause(zbus::fdo::Error::ServiceUnknown(text())), SecretError::NoKeyring), "missing");
        assert!(
            matches!(cause(zbus::fdo::Error::SpawnExecFailed(text())), SecretError::NoKeyring),
            "not started"
        );
        let wrapped = zbus::Error::FDO(Box::new(zbus::fdo::Error::AccessDenied(text())));
        assert!(matches!(tell(&ServiceError::Zbus(wrapped)), SecretError::Denied), "as deep as it may lie");
        assert!(matches!(tell(&ServiceError::Locked), SecretError::Locked), "locked");
        assert!(matches!(tell(&ServiceError::Prompt), SecretError::Locked), "dialog dismissed: still locked");
        assert!(
            matches!(tell(&ServiceError::Crypto("x")), SecretError::Failed(_)),
            "anything else says what it was"
        );
    }
}
