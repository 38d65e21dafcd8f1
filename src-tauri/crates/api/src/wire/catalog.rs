//! What there is to choose from.

use clusterdeck_domain::{Carrier, MissingSoftware, ProviderId, ServiceEntry, service};
use clusterdeck_engine::{ProviderReport, ServiceReport};
use serde::{Deserialize, Serialize};

/// A service of the catalogue and whether it can run here.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Service {
    /// What the catalogue says.
    #[serde(flatten)]
    pub entry: ServiceEntry,
    /// Can be created right now: there is a driver and all software is installed.
    pub available: bool,
    /// In the catalogue, but no driver exists yet.
    pub coming: bool,
    /// Versions found here, newest first.
    pub installed_versions: Vec<String>,
    /// What each of those is loaded into, where that has a version of its own.
    pub carriers: Vec<Carrier>,
    /// What is not installed.
    pub missing: Vec<MissingSoftware>,
}

impl From<ServiceReport> for Service {
    fn from(report: ServiceReport) -> Self {
        Self {
            entry: *service(report.service),
            available: report.has_driver && report.missing.is_empty() && !report.installed.is_empty(),
            coming: !report.has_driver,
            installed_versions: report.installed,
            carriers: report.carriers,
            missing: report.missing,
        }
    }
}

/// A provider and what it says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
    /// Its name for people.
    pub name: String,
    /// It can hand out machines.
    pub usable: bool,
    /// What it found.
    pub notes: Vec<String>,
    /// What is not installed, with the command that installs it.
    pub missing: Vec<MissingSoftware>,
}

impl From<ProviderReport> for Provider {
    fn from(report: ProviderReport) -> Self {
        let check = report.check;
        Self {
            id: report.id,
            name: report.name,
            usable: check.usable,
            notes: check.notes,
            missing: check.missing,
        }
    }
}

/// A place inside a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Region {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
}
