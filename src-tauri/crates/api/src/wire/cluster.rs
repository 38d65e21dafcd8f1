//! A cluster, its endpoints and its credentials.

use super::Node;
use clusterdeck_domain::{
    AllowEntry, AllowTrial, BackupSchedule, ChangeKind, ClusterId, ClusterName, ClusterOptions, ClusterState,
    Exposure, FailoverReadiness, Health, OperationId, PlanId, ProviderId, ServiceKind, Topology, Votes,
    WayIn, service,
};
use clusterdeck_engine::{AccessReport, ClusterReport, EndpointKind, EndpointReport};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A cluster as it is meant to be and as it was last seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Its name.
    pub name: ClusterName,
    /// What runs in it.
    pub service: ServiceKind,
    /// What its makers call this version of the service, for people to read.
    pub service_name: String,
    /// Version of the server software.
    pub version: String,
    /// How its nodes stand to each other.
    pub topology: Topology,
    /// Shards, when sharded; else 0.
    pub shards: u16,
    /// In one word.
    pub state: ClusterState,
    /// How well it is; `unknown` when nobody could look.
    pub health: Health,
    /// Where its machines come from.
    pub provider: ProviderId,
    /// Region of the provider.
    pub region: String,
    /// Size of its nodes, unless a node says otherwise.
    pub plan: PlanId,
    /// Termination protection.
    pub protected: bool,
    /// Automatic failover: wanted, ready, and why not.
    pub auto_failover: FailoverReadiness,
    /// Switches.
    pub options: ClusterOptions,
    /// Votes for a failover; `null` where there are no voters or none answered.
    pub votes: Option<Votes>,
    /// Its nodes by ordinal.
    pub nodes: Vec<Node>,
    /// Where clients connect to.
    pub endpoints: Vec<Endpoint>,
    /// Backups that are made by themselves.
    #[serde(default)]
    pub backup_schedules: Vec<Scheduled>,
    /// Addresses that may come in; empty: open to all.
    #[serde(default)]
    pub allowlist: Vec<AllowEntry>,
    /// A list that is being tried in its place, until somebody keeps it.
    #[serde(default)]
    pub allow_trial: Option<AllowTrial>,
    /// When the last backup that was restored and found good was begun.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_verified_backup_at: Option<Timestamp>,
    /// The operation that holds it.
    pub busy: Option<Busy>,
    /// The backup that is being made of it, which does not hold it.
    #[serde(default)]
    pub backing_up: Option<Busy>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last looked at.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub observed_at: Option<Timestamp>,
}

/// Backups that are made by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scheduled {
    /// When, where to, and which stay.
    #[serde(flatten)]
    pub schedule: BackupSchedule,
    /// When the next one is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// From which addresses a cluster may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Access {
    /// No list is in force: every address may come in.
    pub open: bool,
    /// All that may come in.
    pub entries: Vec<AllowEntry>,
    /// A list that is being tried in its place.
    pub trial: Option<AccessTrial>,
    /// The address from which whoever asks reaches the endpoints; `null` when that could not be found out.
    pub your_address: Option<String>,
    /// Whether that comes in now.
    pub you_come_in: Option<bool>,
    /// The ways to the servers, and where the list is held to.
    pub ways: Vec<WayIn>,
    /// Where other computers reach the endpoints; `null` where they never could.
    #[serde(default)]
    pub exposure: Option<Exposure>,
    /// Addresses of this computer at which they could.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Why nobody can be let in from other computers there, in sentences; `null` where they can.
    #[serde(default)]
    pub not_exposable: Option<String>,
}

/// A list that goes back by itself unless somebody keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccessTrial {
    /// Who comes in meanwhile; empty: everybody.
    pub entries: Vec<AllowEntry>,
    /// Until when it can be kept.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// The operation that waits for that (`POST /v1/operations/{id}/keep`).
    pub operation_id: Option<OperationId>,
}

impl From<AccessReport> for Access {
    fn from(report: AccessReport) -> Self {
        Self {
            open: report.entries.is_empty(),
            entries: report.entries,
            trial: report.trial.map(|(trial, operation_id)| AccessTrial {
                entries: trial.entries,
                until: trial.until,
                operation_id,
            }),
            your_address: report.your_address.map(|(from, _)| from.to_string()),
            you_come_in: report.your_address.map(|(_, comes_in)| comes_in),
            ways: report.ways,
            exposure: report.exposure,
            addresses: report.addresses.iter().map(ToString::to_string).collect(),
            not_exposable: report.not_exposable,
        }
    }
}

/// The operation that holds a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Busy {
    /// Which.
    pub operation_id: OperationId,
    /// What it does.
    pub kind: ChangeKind,
    /// In words.
    pub title: String,
}

impl From<&(OperationId, clusterdeck_domain::Busy)> for Busy {
    fn from((operation, busy): &(OperationId, clusterdeck_domain::Busy)) -> Self {
        Self { operation_id: operation.clone(), kind: busy.kind, title: busy.title.clone() }
    }
}

/// An address that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Endpoint {
    /// What for.
    pub kind: EndpointKind,
    /// Where.
    pub host: String,
    /// On which port.
    pub port: u16,
    /// Whether it passes traffic; `null` when nobody knows.
    pub up: Option<bool>,
    /// Other computers come in there.
    #[serde(default)]
    pub exposed: bool,
}

/// The way in for people. Password and url are there only when they were asked to be revealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Option<String>,
    /// Ready to paste, with the password.
    pub url: Option<String>,
}

/// A password does not belong into a log line, also not by way of `{:?}`.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl From<&EndpointReport> for Endpoint {
    fn from(report: &EndpointReport) -> Self {
        Self {
            kind: report.kind,
            host: report.host.clone(),
            port: report.port,
            up: report.up,
            exposed: report.exposed,
        }
    }
}

impl From<&ClusterReport> for Cluster {
    fn from(report: &ClusterReport) -> Self {
        let spec = &report.spec;
        let seen = report.observed.as_ref();
        let unseen = || FailoverReadiness {
            enabled: spec.auto_failover,
            ready: false,
            reason: "Nobody has looked at the cluster yet.".to_owned(),
        };
        Self {
            id: spec.id.clone(),
            name: spec.name.clone(),
            service: spec.service,
            service_name: service(spec.service).name_of(&spec.version).to_owned(),
            version: spec.version.clone(),
            topology: spec.topology,
            shards: spec.shards,
            state: report.state,
            health: report.health,
            provider: spec.provider.clone(),
            region: spec.region.clone(),
            plan: spec.plan.clone(),
            protected: spec.protected,
            auto_failover: seen.map_or_else(unseen, |o| o.failover.clone()),
            options: spec.options,
            votes: seen.and_then(|o| o.votes),
            nodes: Node::all(report),
            endpoints: report.endpoints.iter().map(Endpoint::from).collect(),
            backup_schedules: report
                .schedules
                .iter()
                .map(|(schedule, next_at)| Scheduled { schedule: schedule.clone(), next_at: *next_at })
                .collect(),
            allowlist: spec.allowlist.clone(),
            allow_trial: spec.allow_trial.clone(),
            last_verified_backup_at: report.last_verified_backup,
            busy: report.busy.as_ref().map(Busy::from),
            backing_up: report.backing_up.as_ref().map(Busy::from),
            created_at: spec.created_at,
            observed_at: seen.map(|o| o.at),
        }
    }
}
