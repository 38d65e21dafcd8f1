//! What there is to choose from.

use clusterdeck_domain::{Carrier, Line, MissingSoftware, ProviderId, ServiceEntry, service};
use clusterdeck_engine::{PlaceReport, ProviderReport, ServiceReport};
use serde::{Deserialize, Serialize};

/// A service of the catalogue and where it can run. What has no place of its own speaks of the first that lacks nothing,
/// else of the first.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Service {
    /// What the catalogue says.
    #[serde(flatten)]
    pub entry: ServiceEntry,
    /// What its versions offer: one line for all of them, or one for each of its makers.
    pub lines: Vec<Line>,
    /// What each place has of it.
    pub places: Vec<Place>,
    /// Can be created somewhere right now: there is a driver, and nothing is missing.
    pub available: bool,
    /// In the catalogue, but no driver exists yet.
    pub coming: bool,
    /// Versions that are installed there, newest first.
    pub installed_versions: Vec<String>,
    /// What each of those is loaded into, where that has a version of its own.
    pub carriers: Vec<Carrier>,
    /// What is not installed.
    pub missing: Vec<MissingSoftware>,
}

/// What a region of a provider has of a service.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Place {
    /// Which provider.
    pub provider: ProviderId,
    /// Its name for people.
    pub name: String,
    /// Which of its regions; `null` where it has none that can be used.
    pub region: Option<String>,
    /// It can be created there right now.
    pub ready: bool,
    /// Versions that can be created there, newest first; the first is taken where nobody chooses.
    pub versions: Vec<Offered>,
    /// What each of those is loaded into, where that has a version of its own.
    pub carriers: Vec<Carrier>,
    /// What is not installed.
    pub missing: Vec<MissingSoftware>,
    /// What is fetched first for the newest version.
    pub to_fetch: Vec<String>,
    /// Why it could not be asked.
    pub problem: Option<String>,
}

/// A version that can be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Offered {
    /// In full where it is installed; else its release line.
    pub version: String,
    /// The name of its line among the service's `lines`.
    pub line: &'static str,
    /// It is installed; else it is fetched first.
    pub installed: bool,
}

impl From<ServiceReport> for Service {
    fn from(report: ServiceReport) -> Self {
        let entry = service(report.service);
        let first = report.first().map(|place| Place::new(entry, place));
        let (installed, carriers, missing) = first.map_or_else(Default::default, |place| {
            let installed = place.versions.into_iter().filter(|v| v.installed).map(|v| v.version);
            (installed.collect(), place.carriers, place.missing)
        });
        Self {
            entry: *entry,
            lines: entry.all_lines(),
            available: report.places.iter().any(PlaceReport::ready),
            coming: !report.has_driver,
            places: report.places.iter().map(|place| Place::new(entry, place)).collect(),
            installed_versions: installed,
            carriers,
            missing,
        }
    }
}

impl Place {
    fn new(entry: &ServiceEntry, report: &PlaceReport) -> Self {
        let capacity = &report.capacity;
        let offered = |version: &String| Offered {
            version: version.clone(),
            line: entry.name_of(version),
            installed: !capacity.fetched_first.contains(version),
        };
        Self {
            provider: report.provider.clone(),
            name: report.name.clone(),
            region: report.region.clone(),
            ready: report.ready(),
            versions: capacity.versions.iter().map(offered).collect(),
            carriers: capacity.carriers.clone(),
            missing: capacity.missing.clone(),
            to_fetch: capacity.to_fetch.clone(),
            problem: report.problem.clone(),
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
