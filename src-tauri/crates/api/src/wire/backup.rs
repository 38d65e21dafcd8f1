//! The key of the backups. A backup itself is the domain's own shape.

use clusterdeck_domain::{Sensitive, VaultSpec};
use clusterdeck_engine::BackupKeyReport;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The key that backups of a home are sealed for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BackupKey {
    /// The half that encrypts (`age1…`); `null` where no backup was ever made.
    pub public: Option<String>,
    /// The half that opens them, when it was asked for.
    pub secret: Option<String>,
    /// When it was last shown, so that somebody may have kept it elsewhere; `null`: never. Without it backups cannot be
    /// opened once this computer is lost.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub exported_at: Option<Timestamp>,
}

impl From<BackupKeyReport> for BackupKey {
    fn from(report: BackupKeyReport) -> Self {
        Self {
            public: report.public,
            secret: report.secret.map(|secret| secret.reveal().clone()),
            exported_at: report.exported_at,
        }
    }
}

/// A vault that is added.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
pub struct NewVault {
    /// Its name, and where it is.
    #[serde(flatten)]
    spec: VaultSpec,
    /// The secret half of an access key, or the passphrase of a repository. It goes to the keyring.
    #[serde(default)]
    secret: Option<String>,
}

impl NewVault {
    /// What it is, and its secret.
    pub fn parts(self) -> (VaultSpec, Option<Sensitive<String>>) {
        (self.spec, self.secret.map(Sensitive::new))
    }
}

/// Another secret for a vault.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
pub struct VaultSecret {
    /// The secret half of an access key, or the passphrase of a repository. It goes to the keyring.
    secret: String,
    /// The public half of the access key, where it is another one too.
    #[serde(default)]
    access_key: Option<String>,
}

impl VaultSecret {
    /// The secret, and the public half that belongs to it.
    pub fn parts(self) -> (Sensitive<String>, Option<String>) {
        (Sensitive::new(self.secret), self.access_key)
    }
}

/// What came of trying a vault out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VaultTrial {
    /// It is a vault already; else it is made when it is added.
    pub there: bool,
    /// Bytes it can take; `null` where it does not say.
    pub free_bytes: Option<u64>,
}

impl From<clusterdeck_engine::VaultTrial> for VaultTrial {
    fn from(trial: clusterdeck_engine::VaultTrial) -> Self {
        Self { there: trial.there, free_bytes: trial.free_bytes }
    }
}

/// A key that comes back.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
pub struct ImportedKey {
    /// `AGE-SECRET-KEY-1…`, alone or as the file that was exported.
    secret: String,
}

impl ImportedKey {
    /// The key itself.
    pub fn secret(self) -> Sensitive<String> {
        Sensitive::new(self.secret)
    }
}
