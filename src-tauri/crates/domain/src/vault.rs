//! Where backups go besides the home's own folder: what is needed to reach it, without its secrets.

use crate::BackupKind;
use serde::{Deserialize, Serialize};

/// A place that backups go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum VaultPlace {
    /// A folder of this computer: another disk, a share.
    Local {
        /// Where, from the root on.
        path: String,
    },
    /// A bucket of an S3-compatible store.
    S3 {
        /// `https://s3.eu-central-1.amazonaws.com`, `http://127.0.0.1:7480`.
        endpoint: String,
        /// The store's region; many others than Amazon's take any.
        #[serde(default = "us_east_1")]
        region: String,
        /// The bucket. It must be there.
        bucket: String,
        /// What all names in it begin with.
        #[serde(default)]
        prefix: String,
        /// The public half of the access key.
        access_key: String,
    },
    /// A Borg repository, made when it is not there.
    Borg {
        /// A path, or `ssh://user@host/path`.
        repository: String,
    },
}

fn us_east_1() -> String {
    "us-east-1".to_owned()
}

impl VaultPlace {
    /// The kind of backup that goes there.
    pub const fn kind(&self) -> BackupKind {
        match self {
            Self::Local { .. } => BackupKind::Local,
            Self::S3 { .. } => BackupKind::S3,
            Self::Borg { .. } => BackupKind::Borg,
        }
    }
    /// Whether it wants a secret: the other half of an access key, the passphrase of a repository.
    pub const fn wants_secret(&self) -> bool {
        !matches!(self, Self::Local { .. })
    }
    /// In a word or two: where it is.
    pub fn place(&self) -> String {
        match self {
            Self::Local { path } => path.clone(),
            Self::S3 { endpoint, bucket, prefix, .. } => {
                format!("{}/{bucket}/{prefix}", endpoint.trim_end_matches('/'))
                    .trim_end_matches('/')
                    .to_owned()
            }
            Self::Borg { repository } => repository.clone(),
        }
    }
}

/// What keeps a vault from doing its part. The backups in it are as they were.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum VaultFault {
    /// It does not answer, or is not there: a disk that is not mounted, a computer that is off.
    Unreachable,
    /// It takes no more.
    Full,
    /// It does not accept our key, passphrase or rights.
    Refused,
}

impl VaultFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unreachable, Self::Full, Self::Refused];
    /// The code of an error that says so.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "vault-unreachable",
            Self::Full => "vault-full",
            Self::Refused => "vault-refused",
        }
    }
    /// The fault that an error of this code says.
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.code() == code)
    }
}

/// A vault by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VaultSpec {
    /// Its name: letters, digits and `-`.
    pub id: String,
    /// Where it is.
    #[serde(flatten)]
    pub place: VaultPlace,
}

/// What is wrong with a vault, with the member it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct BadVault {
    /// The member, as a JSON pointer.
    pub pointer: &'static str,
    /// What is wrong with it.
    pub text: String,
}

impl VaultSpec {
    /// Whether it can be meant.
    ///
    /// # Errors
    /// With the member that is wrong.
    pub fn check(&self) -> Result<(), BadVault> {
        let wrong = |pointer, text: &str| Err(BadVault { pointer, text: text.to_owned() });
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let id = &self.id;
        if id.is_empty() || id.len() > 40 || !id.chars().all(label) || id.starts_with('-') {
            return wrong("/id", "a vault's name has 1 to 40 of a-z, 0-9 and -");
        }
        let plain = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_control() || c == ' ');
        match &self.place {
            VaultPlace::Local { path } if !path.starts_with('/') || path.contains("/../") => {
                wrong("/path", "name the folder from the root on, such as /mnt/backups")
            }
            VaultPlace::S3 { endpoint, .. }
                if !plain(endpoint)
                    || !(endpoint.starts_with("https://") || endpoint.starts_with("http://")) =>
            {
                wrong("/endpoint", "an endpoint begins with https:// or http://")
            }
            VaultPlace::S3 { bucket, .. } if !plain(bucket) || bucket.contains('/') => {
                wrong("/bucket", "name the bucket alone")
            }
            VaultPlace::S3 { prefix, .. }
                if prefix.chars().any(char::is_control) || prefix.contains("..") =>
            {
                wrong("/prefix", "a prefix is a path within the bucket")
            }
            VaultPlace::S3 { access_key, .. } if !plain(access_key) => {
                wrong("/access_key", "name the public half of the access key")
            }
            // What begins with a dash would be an option of the program.
            VaultPlace::Borg { repository }
                if !plain(repository)
                    || !(repository.starts_with('/') || repository.starts_with("ssh://")) =>
            {
                wrong("/repository", "a repository is a path from the root on, or ssh://user@host/path")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_that_cannot_be_meant_is_told_with_the_member_that_is_wrong() {
        let read = |json: &str| serde_json::from_str::<VaultSpec>(json).unwrap();
        let wrong = |json: &str| read(json).check().unwrap_err().pointer;
        assert_eq!(wrong(r#"{"id":"Mine","kind":"local","path":"/mnt"}"#), "/id");
        assert_eq!(wrong(r#"{"id":"nas","kind":"local","path":"mnt"}"#), "/path");
        let s3 = |rest: &str| format!(r#"{{"id":"s","kind":"s3","access_key":"A",{rest}}}"#);
        assert_eq!(wrong(&s3(r#""endpoint":"s3.example","bucket":"b""#)), "/endpoint");
        assert_eq!(wrong(&s3(r#""endpoint":"https://s3.example","bucket":"b/c""#)), "/bucket");
        assert_eq!(wrong(r#"{"id":"b","kind":"borg","repository":"--help"}"#), "/repository");
        let fine = read(&s3(r#""endpoint":"https://s3.example","bucket":"b","prefix":"x""#));
        assert_eq!((fine.check(), fine.place.place()), (Ok(()), "https://s3.example/b/x".to_owned()));
    }
}
