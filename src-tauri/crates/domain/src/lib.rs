//! What a cluster *is* and what a change *means*, as plain data and pure functions.
//!
//! Nothing in here reads a file, a clock or the network, and nothing is `async`: every rule can be tested with
//! values alone. Times come in as arguments. Other rooms may know this one; it knows none of them.
//!
//! The types here are also the shapes of the API and of the journal, so a new field is a promise: add, never rename.

mod alert;
mod allow;
mod backup;
mod ca;
mod catalog;
mod change;
mod cidr;
mod cluster;
mod exposure;
mod ids;
mod log;
mod migrate;
mod name;
mod observed;
mod operation;
mod options;
mod parameters;
mod plan;
pub mod preview;
mod sample;
mod schedule;
mod sensitive;
mod service;
mod topology;
mod vault;
mod version;

pub use alert::{ALERTS_KEPT, Alert, AlertBook, AlertKind, AlertNews, Severity, Situation, Trouble};
pub use allow::{AllowEntry, AllowTrial, AllowWish, MAX_ALLOW_COMMENT, MAX_ALLOWED, lets_in};
pub use backup::{
    BackedUp, Backup, BackupFormat, BackupKind, BackupPart, BackupReason, BackupState, Count,
    FINAL_BACKUP_DAYS, FormatOffer, LOCAL_VAULT, SNAPSHOT_VAULT, disagreements, part_name, spanning,
};
pub use ca::{BadCa, CaCertificate, CaCertificates, MAX_CA_BYTES};
pub use catalog::{Failover, Line, Port, SERVICES, ServiceEntry, TopologyEntry, service};
pub use change::{Change, ChangeKind, CloneCluster, CreateCluster, RestoreBackup, ScheduleWish};
pub use cidr::{BadCidr, Cidr};
pub use cluster::{
    ClusterSpec, Lifecycle, MachineSpec, Network, NodeKind, NodeSpec, ProviderId, REGION_LOCAL,
};
pub use exposure::{Exposable, Exposure, reads_beside};
pub use ids::{AlertId, BackupId, BadId, ClusterId, MachineId, NodeId, OperationId, PreviewId};
pub use log::{
    Fork, LogBase, LogMark, LogPiece, LogPlace, LogRange, LogSpan, PointInTime, RangeBase, Replay, Way,
    ranges, replay, way,
};
pub use migrate::{
    BadSource, BehindIn, Check, CheckState, Compared, Following, MigrateIn, Migrated, Scheme, SourceReport,
    SourceTls, SourceUrl,
};
pub use name::{BadName, ClusterName};
pub use observed::{
    ClusterHealth, ClusterObserved, ClusterState, Fact, FailoverReadiness, Health, Link, NodeMetrics,
    NodeObserved, NodeState, OpenTransaction, Role, Votes, cluster_state,
};
pub use operation::{Operation, OperationState, Outcome, Problem, Progress, StepRecord, StepState, Trial};
pub use options::{ClusterOption, ClusterOptions, OptionEntry, OptionWish};
pub use parameters::{Parameter, ParameterKind, Parameters};
pub use plan::{BadPlan, DEFAULT_PLAN, PLANS, Plan, PlanId, SIDE_PLAN, plan, side_plan};
pub use preview::{
    Busy, Capacity, Carrier, ComesFrom, Facts, Figures, Finding, Instead, MissingSoftware, MomentFacts,
    NodeFence, Preview, ResolvedCreate, Subject, VaultFacts, WayIn, WayOut, chosen_allowlist,
    chosen_exposure, chosen_parameters, copy_source, dead_primary_of, default_version, last_of,
    nodes_per_shard, pieces, plan_holds, preview, promotion_candidate, replica_needed_for_writes,
    resize_order, resolve_create, restored_cluster, resync_order, upgrade_order, upgrade_target, voters,
    ways_in,
};
pub use sample::{METRICS, Metric, Point, Series, Unit};
pub use schedule::{BackupSchedule, BadSchedule, Keep, is_to_come};
pub use sensitive::{SecretRef, Sensitive};
pub use service::{Category, ServiceKind};
pub use topology::{LayoutError, Slot, Topology, layout};
pub use vault::{BadVault, VaultFault, VaultPlace, VaultSpec};
pub use version::{belongs, release_line};
