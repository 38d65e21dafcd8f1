//! The eleven services by name. What is known about each stands in `catalog`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A service that Clusterdeck knows. Whether it can run here is a question for the drivers, not for this list.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ServiceKind {
    Postgresql,
    Mysql,
    Redis,
    Valkey,
    Keydb,
    Timescaledb,
    Clickhouse,
    Hydra,
    Keycloak,
    Rke2,
    Rabbitmq,
}

impl ServiceKind {
    /// The id used in addresses, commands and files.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Keydb => "keydb",
            Self::Timescaledb => "timescaledb",
            Self::Clickhouse => "clickhouse",
            Self::Hydra => "hydra",
            Self::Keycloak => "keycloak",
            Self::Rke2 => "rke2",
            Self::Rabbitmq => "rabbitmq",
        }
    }
    /// All of its data lies in memory, so that a node holds no more than its plan has of that.
    pub const fn is_in_memory(self) -> bool {
        matches!(self, Self::Redis | Self::Valkey | Self::Keydb)
    }
    /// Its version is that of an extension, which lies in databases too.
    pub const fn is_extension(self) -> bool {
        matches!(self, Self::Timescaledb | Self::Hydra)
    }
    /// Its servers share limits that follow from their plan, and a replica may not have less of them than its primary: a
    /// smaller plan first lowers those of the primary, which restarts where it is.
    pub const fn shares_limits(self) -> bool {
        matches!(self, Self::Postgresql | Self::Timescaledb | Self::Hydra)
    }
    /// Its servers can let people in by the address they come from.
    pub const fn knows_addresses(self) -> bool {
        matches!(self, Self::Postgresql | Self::Timescaledb | Self::Hydra)
    }
    /// Its servers speak TLS with clients that ask for it.
    pub const fn speaks_tls(self) -> bool {
        matches!(self, Self::Postgresql | Self::Timescaledb | Self::Hydra | Self::Mysql)
    }
    /// Its servers keep one password for an account: a new one ends the one before.
    pub const fn keeps_one_password(self) -> bool {
        matches!(self, Self::Postgresql | Self::Timescaledb | Self::Hydra)
    }
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// The shelf a service stands on in the wizard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Category {
    Databases,
    Development,
    HostingAndInfra,
}
