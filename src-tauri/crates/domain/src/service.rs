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
