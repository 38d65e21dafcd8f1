//! How a driver call fails. The variant says whose turn it is, and that decides the policy.

use clusterdeck_domain::VaultFault;

/// Why a driver could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DriverError {
    /// It may work in a moment (a server still loading, a connection refused): try again until the step's deadline.
    #[error("{what}")]
    Transient {
        /// What happened, as a short phrase without a full stop.
        what: String,
    },
    /// The other side refused, and would again: fail the step and unwind.
    #[error("{what}")]
    Rejected {
        /// What happened.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A vault cannot do its part, whatever is asked of it: fail the step and unwind, unless it may answer in a moment. Says
    /// nothing about what lies in it.
    #[error("{what}")]
    Vault {
        /// Which kind of trouble.
        fault: VaultFault,
        /// What happened.
        what: String,
        /// What to do about it.
        hint: String,
        /// It may answer in a moment: try again until the step's deadline.
        passing: bool,
    },
    /// It is not there (any more): success when taking away, failure otherwise.
    #[error("{what} is gone")]
    Gone {
        /// What is gone.
        what: String,
    },
    /// This driver cannot do that.
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: String,
    },
    /// Our own fault, or a state we do not understand: stop and ask a person.
    #[error("{what}")]
    Broken {
        /// What happened.
        what: String,
    },
}

impl DriverError {
    /// [`DriverError::Transient`].
    pub fn transient(what: impl Into<String>) -> Self {
        Self::Transient { what: what.into() }
    }
    /// [`DriverError::Rejected`].
    pub fn rejected(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Rejected { what: what.into(), hint: hint.into() }
    }
    /// [`DriverError::Vault`], and it would say so again.
    pub fn vault(fault: VaultFault, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Vault { fault, what: what.into(), hint: hint.into(), passing: false }
    }
    /// [`DriverError::Vault`] that does not answer at the moment.
    pub fn silent_vault(what: impl Into<String>) -> Self {
        Self::Vault {
            fault: VaultFault::Unreachable,
            what: what.into(),
            hint: "look whether it runs and can be reached from here, then try again".to_owned(),
            passing: true,
        }
    }
    /// [`DriverError::Broken`].
    pub fn broken(what: impl Into<String>) -> Self {
        Self::Broken { what: what.into() }
    }
    /// Worth trying again.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Vault { passing: true, .. })
    }
}
