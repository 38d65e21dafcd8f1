//! How the engine fails, in the closed list of codes that every face shows.

use crate::repository::{RepositoryError, SecretError};
use clusterdeck_domain::{Finding, Problem};
use clusterdeck_driver::DriverError;

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// Nothing of that name or id.
    #[error("there is no {what}")]
    NotFound {
        /// `cluster demo`, `node demo-2`.
        what: String,
    },
    /// Input that cannot be understood.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
        /// The member it is about, as a JSON pointer.
        pointer: String,
    },
    /// The preview has blockers.
    #[error("refused: {}", blockers.first().map_or("", |b| b.text.as_str()))]
    Blocked {
        /// All of them.
        blockers: Vec<Finding>,
    },
    /// What was typed is not what must be typed.
    #[error("to confirm, type `{expected}`")]
    ConfirmationMissing {
        /// What must be typed.
        expected: String,
    },
    /// The cluster is no longer what the preview was made for.
    #[error("the cluster has changed since this preview was made")]
    PreviewStale,
    /// The preview is too old, or was confirmed already.
    #[error("this preview is no longer valid")]
    PreviewExpired,
    /// Another operation holds the cluster.
    #[error("the cluster is busy: {title}")]
    Busy {
        /// What it is doing.
        title: String,
    },
    /// The engine is about to end.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// The store failed.
    #[error("what must be remembered could not be written or read")]
    Repository(#[from] RepositoryError),
    /// The keyring failed.
    #[error("the secrets of the cluster cannot be reached")]
    Secret(#[from] SecretError),
    /// A driver failed.
    #[error("{0}")]
    Driver(#[from] DriverError),
}

impl EngineError {
    /// Its code, from the closed list of the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::Driver(DriverError::Gone { .. }) => "not-found",
            Self::Invalid { .. } => "invalid",
            Self::Blocked { .. } => "blocked",
            Self::ConfirmationMissing { .. } => "confirmation-missing",
            Self::PreviewStale => "preview-stale",
            Self::PreviewExpired => "preview-expired",
            Self::Busy { .. } => "busy",
            Self::ShuttingDown => "shutting-down",
            Self::Repository(RepositoryError::Conflict { .. } | RepositoryError::Stale { .. }) => "conflict",
            Self::Repository(RepositoryError::DiskFull { .. }) => "disk-full",
            Self::Repository(RepositoryError::Broken { .. }) => "store-broken",
            Self::Secret(SecretError::NoKeyring) => "keyring-missing",
            Self::Secret(SecretError::Locked) => "keyring-locked",
            Self::Secret(SecretError::Denied) => "keyring-denied",
            Self::Secret(SecretError::Vault(_)) => "vault-broken",
            Self::Secret(SecretError::Failed(_)) => "internal",
            Self::Driver(DriverError::Vault { fault, .. }) => fault.code(),
            Self::Driver(DriverError::Unsupported { .. }) => "unsupported",
            Self::Driver(_) => "failed",
        }
    }

    /// What happened, what it means for the data, what to do.
    pub fn problem(&self) -> Problem {
        let (detail, hint) = match self {
            Self::NotFound { .. } => ("", "Check the name; `clusterdeck cluster list` shows what there is."),
            Self::Blocked { blockers } => {
                let texts: Vec<&str> = blockers.iter().map(|b| b.text.as_str()).collect();
                let hints: Vec<&str> = blockers.iter().filter_map(|b| b.hint.as_deref()).collect();
                return Problem {
                    code: self.code().to_owned(),
                    title: self.to_string(),
                    detail: format!("{}\nNothing was changed.", texts.join("\n")),
                    hint: hints.join("\n"),
                };
            }
            Self::ConfirmationMissing { .. } => ("Nothing was changed.", "Type the name exactly as shown."),
            Self::PreviewStale => ("Nothing was changed.", "Look at the new preview and confirm that one."),
            Self::PreviewExpired => ("Nothing was changed.", "Ask for a new preview."),
            Self::Busy { .. } => ("Nothing was changed.", "Wait until it has ended, or cancel it."),
            Self::ShuttingDown => {
                ("Nothing was changed; the servers keep running.", "Try again in a moment.")
            }
            Self::Repository(error) => {
                return Problem {
                    code: self.code().to_owned(),
                    title: error.to_string(),
                    detail: "The servers keep running. Nothing was deleted.".to_owned(),
                    hint: match error {
                        RepositoryError::DiskFull { .. } => "Free some disk space and try again.".to_owned(),
                        RepositoryError::Conflict { .. } | RepositoryError::Stale { .. } => {
                            "Look again and retry.".to_owned()
                        }
                        RepositoryError::Broken { .. } => {
                            "`clusterdeck doctor` says how to get back.".to_owned()
                        }
                    },
                };
            }
            Self::Secret(error) => {
                let hint = match error {
                    SecretError::NoKeyring => {
                        "Start a keyring (gnome-keyring, KWallet), or on a server name an encrypted vault's key with \
                         CLUSTERDECK_VAULT_KEY_FILE."
                    }
                    SecretError::Locked => "Unlock the keyring (sign in to the desktop) and try again.",
                    SecretError::Denied => "Allow Clusterdeck to use the keyring and try again.",
                    SecretError::Vault(_) => {
                        "Check that CLUSTERDECK_VAULT_KEY_FILE names the key this vault was made with."
                    }
                    SecretError::Failed(_) => "Try again; `clusterdeck doctor` looks at the keyring.",
                };
                return Problem {
                    code: self.code().to_owned(),
                    title: error.to_string(),
                    detail: "The servers keep running; only their passwords cannot be read or kept."
                        .to_owned(),
                    hint: hint.to_owned(),
                };
            }
            Self::Driver(DriverError::Rejected { hint, .. } | DriverError::Vault { hint, .. }) => {
                ("", hint.as_str())
            }
            Self::Driver(DriverError::Transient { .. }) => ("", "Try again in a moment."),
            Self::Invalid { .. } | Self::Driver(_) => ("", ""),
        };
        Problem {
            code: self.code().to_owned(),
            title: self.to_string(),
            detail: detail.to_owned(),
            hint: hint.to_owned(),
        }
    }
}
