//! Everything that can alter a cluster.

use crate::{
    AllowWish, BackupSchedule, Keep, MigrateIn, OptionWish, PlanId, ProviderId, ServiceKind, Topology,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// What the wizard asks for. Left out is chosen: the newest version found, the service's default topology and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreateCluster {
    /// The new cluster's name; checked to be a DNS label by the preview.
    pub name: String,
    /// What shall run.
    pub service: ServiceKind,
    /// A version found on the machine (`7.0.15`) or a beginning of one (`7`); the newest when left out.
    #[serde(default)]
    pub version: Option<String>,
    /// How the nodes stand to each other.
    #[serde(default)]
    pub topology: Option<Topology>,
    /// Data nodes in all (six for three shards with a replica each).
    #[serde(default)]
    pub nodes: Option<u16>,
    /// Shards, when sharded.
    #[serde(default)]
    pub shards: Option<u16>,
    /// Where.
    #[serde(default)]
    pub provider: Option<ProviderId>,
    /// In which region.
    #[serde(default)]
    pub region: Option<String>,
    /// How large each node is.
    #[serde(default)]
    pub plan: Option<PlanId>,
    /// Termination protection from the start.
    #[serde(default)]
    pub protected: bool,
    /// Automatic failover; on where the topology can.
    #[serde(default)]
    pub auto_failover: Option<bool>,
    /// Switches.
    #[serde(default)]
    pub options: Option<OptionWish>,
}

/// When backups are made by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScheduleWish {
    /// `30m`, `6h`, `1d`: so long after the one before; or the five fields of cron: `0 3 * * *`.
    pub when: String,
    /// `Europe/Berlin`; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Which stay; the last 7, one for each of 7 days and 4 weeks when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Restore each on a throw-away machine; done unless it says `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
    /// Archive the log beside them, so that the cluster can be brought back as it was at any second; not done unless it says
    /// `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_in_time: Option<bool>,
}

impl ScheduleWish {
    /// The schedule, from now on.
    pub fn resolved(&self, vault: &str, now: Timestamp) -> BackupSchedule {
        BackupSchedule {
            vault: vault.to_owned(),
            when: self.when.trim().to_owned(),
            time_zone: self.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
            keep: self.keep.unwrap_or(Keep::USUAL),
            verify: self.verify.unwrap_or(true),
            point_in_time: self.point_in_time.unwrap_or(false),
            since: Some(now),
        }
    }
}

/// A new cluster with the data of a backup. What is left out is as it was in the cluster that the backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RestoreBackup {
    /// Which, by its id.
    pub backup: String,
    /// The moment, where the log is archived: what was committed by then is there, and nothing after it. It begins on the newest
    /// backup of the same cluster before that moment, whichever was named. What that one holds when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// The new cluster's name; that of the old one when left out, and where that one is still there, `-restored` behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Data nodes in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u16>,
    /// How its nodes stand to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// In which region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How large each node is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
}

/// A new cluster with what another one holds now. What is left out is as it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CloneCluster {
    /// Which one.
    pub cluster: String,
    /// The new cluster's name; that of the other with `-clone` behind it when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Data nodes in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u16>,
    /// How its nodes stand to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// In which region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How large each node is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
}

/// A change. `cluster` and `node` are names or ids; the engine resolves them when it makes the preview.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// Make a cluster.
    CreateCluster(CreateCluster),
    /// Add data nodes (replicas; members of a multi-master).
    AddNode {
        /// To which cluster.
        cluster: String,
        /// How many; 1 when left out.
        #[serde(default)]
        count: Option<u16>,
        /// Size; the cluster's when left out.
        #[serde(default)]
        plan: Option<PlanId>,
    },
    /// Add a shard with as many replicas as the others have, and move its share of the slots to it.
    AddShard {
        /// To which cluster.
        cluster: String,
    },
    /// Move a shard's slots to the others and remove its nodes.
    RemoveShard {
        /// From which cluster.
        cluster: String,
        /// Which, from 0.
        shard: u16,
    },
    /// Make a replica the primary, without losing an acknowledged write.
    PromoteNode {
        /// Which.
        node: String,
    },
    /// Take a node out of service: out of the endpoint, no candidate, stopped.
    DrainNode {
        /// Which.
        node: String,
    },
    /// Put a drained node back into service.
    UndrainNode {
        /// Which.
        node: String,
    },
    /// Stop a node in order and start it again.
    RebootNode {
        /// Which.
        node: String,
    },
    /// Take a node away for good.
    RemoveNode {
        /// Which.
        node: String,
    },
    /// Give every node another size, one after the other.
    ResizeCluster {
        /// Which.
        cluster: String,
        /// The size that each data node gets.
        plan: PlanId,
    },
    /// Let every node run a newer minor version, one after the other.
    UpgradeCluster {
        /// Which.
        cluster: String,
        /// The version (`8.0.6`) or a beginning of one (`8`); the newest of the same major version when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// Give every replica a fresh copy of its primary's data.
    ResyncCluster {
        /// Which.
        cluster: String,
    },
    /// Termination protection on or off.
    SetProtection {
        /// Which.
        cluster: String,
        /// On or off.
        enabled: bool,
    },
    /// Automatic failover on or off.
    SetAutoFailover {
        /// Which.
        cluster: String,
        /// On or off.
        enabled: bool,
    },
    /// Switches of its behaviour.
    SetOptions {
        /// Which.
        cluster: String,
        /// Those that shall change.
        options: OptionWish,
    },
    /// Settings of its servers.
    SetParameters {
        /// Which.
        cluster: String,
        /// New values by name; `null` for the default. What is left out stays as it is.
        parameters: BTreeMap<String, Option<String>>,
    },
    /// From which addresses it may be reached.
    SetAllowlist {
        /// Which.
        cluster: String,
        /// All that may come in; empty: open to all.
        entries: Vec<AllowWish>,
        /// The list before comes back by itself unless this one is kept within so many milliseconds; when left out, only where
        /// it leaves out the address that this comes from, and then after 60 s.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_within_ms: Option<u64>,
    },
    /// Let other computers reach its endpoints, or no longer.
    ExposeEndpoint {
        /// Which.
        cluster: String,
        /// The address of this computer at which they can; `null`: this computer alone again.
        #[serde(default)]
        #[schema(value_type = Option<String>)]
        on: Option<IpAddr>,
        /// The port for writes, the one above it being that for reads; when left out the one it had before, or the service's own,
        /// or the next that is free.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// New passwords everywhere.
    RotateCredentials {
        /// Which.
        cluster: String,
    },
    /// Copy its data to a vault.
    BackUp {
        /// Which.
        cluster: String,
        /// To which vault; the home's own when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vault: Option<String>,
        /// Restore it on a throw-away node afterwards, to see that it can be; done unless it says `false`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verify: Option<bool>,
    },
    /// Let backups be made by themselves, or no longer.
    SetBackupSchedule {
        /// Of which cluster.
        cluster: String,
        /// Into which vault; the home's own when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vault: Option<String>,
        /// When, and which of them stay; `null` for no longer.
        #[serde(default)]
        schedule: Option<ScheduleWish>,
    },
    /// Read a backup back and restore it on a throw-away node.
    VerifyBackup {
        /// Which, by its id.
        backup: String,
    },
    /// Make a new cluster from a backup.
    RestoreBackup(RestoreBackup),
    /// Make a new cluster with what another one holds now.
    CloneCluster(CloneCluster),
    /// Put the data of a backup in the place of what a cluster holds.
    RestoreInPlace {
        /// Which cluster.
        cluster: String,
        /// Which backup, by its id; of this cluster or of one like it.
        backup: String,
        /// The moment, as in [`RestoreBackup::at`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, format = DateTime)]
        at: Option<Timestamp>,
        /// Take no backup of what it holds now.
        #[serde(default)]
        discard_present: bool,
        /// Leave the endpoints closed for so long, in milliseconds, so that somebody can look at the data and keep it; else what
        /// the cluster held comes back. Absent: they open by themselves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_within_ms: Option<u64>,
    },
    /// Take a backup away.
    DeleteBackup {
        /// Which, by its id.
        backup: String,
    },
    /// Bring the data of a server elsewhere in.
    Migrate(MigrateIn),
    /// End a migration that follows its source.
    CutOver {
        /// Into which cluster it goes.
        cluster: String,
    },
    /// Take the cluster down and give everything back.
    DeleteCluster {
        /// Which.
        cluster: String,
        /// Keep no final backup.
        #[serde(default)]
        discard_backups: bool,
    },
}

/// The kind of a change, without what it is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ChangeKind {
    CreateCluster,
    AddNode,
    AddShard,
    RemoveShard,
    PromoteNode,
    DrainNode,
    UndrainNode,
    RebootNode,
    RemoveNode,
    ResizeCluster,
    UpgradeCluster,
    ResyncCluster,
    SetProtection,
    SetAutoFailover,
    SetOptions,
    SetParameters,
    SetAllowlist,
    ExposeEndpoint,
    RotateCredentials,
    BackUp,
    SetBackupSchedule,
    VerifyBackup,
    RestoreBackup,
    CloneCluster,
    RestoreInPlace,
    DeleteBackup,
    Migrate,
    CutOver,
    DeleteCluster,
}

impl ChangeKind {
    /// The id used in shapes.
    pub const fn id(self) -> &'static str {
        match self {
            Self::CreateCluster => "create-cluster",
            Self::AddNode => "add-node",
            Self::AddShard => "add-shard",
            Self::RemoveShard => "remove-shard",
            Self::PromoteNode => "promote-node",
            Self::DrainNode => "drain-node",
            Self::UndrainNode => "undrain-node",
            Self::RebootNode => "reboot-node",
            Self::RemoveNode => "remove-node",
            Self::ResizeCluster => "resize-cluster",
            Self::UpgradeCluster => "upgrade-cluster",
            Self::ResyncCluster => "resync-cluster",
            Self::SetProtection => "set-protection",
            Self::SetAutoFailover => "set-auto-failover",
            Self::SetOptions => "set-options",
            Self::SetParameters => "set-parameters",
            Self::SetAllowlist => "set-allowlist",
            Self::ExposeEndpoint => "expose-endpoint",
            Self::RotateCredentials => "rotate-credentials",
            Self::BackUp => "back-up",
            Self::SetBackupSchedule => "set-backup-schedule",
            Self::VerifyBackup => "verify-backup",
            Self::RestoreBackup => "restore-backup",
            Self::CloneCluster => "clone-cluster",
            Self::RestoreInPlace => "restore-in-place",
            Self::DeleteBackup => "delete-backup",
            Self::Migrate => "migrate",
            Self::CutOver => "cut-over",
            Self::DeleteCluster => "delete-cluster",
        }
    }
    /// It changes nothing in its cluster, so others may change that meanwhile: an operation of it does not hold the cluster.
    pub const fn goes_beside(self) -> bool {
        matches!(self, Self::BackUp | Self::VerifyBackup | Self::DeleteBackup | Self::CutOver)
    }
}

impl Change {
    /// Its kind.
    pub const fn kind(&self) -> ChangeKind {
        match self {
            Self::CreateCluster(_) => ChangeKind::CreateCluster,
            Self::AddNode { .. } => ChangeKind::AddNode,
            Self::AddShard { .. } => ChangeKind::AddShard,
            Self::RemoveShard { .. } => ChangeKind::RemoveShard,
            Self::PromoteNode { .. } => ChangeKind::PromoteNode,
            Self::DrainNode { .. } => ChangeKind::DrainNode,
            Self::UndrainNode { .. } => ChangeKind::UndrainNode,
            Self::RebootNode { .. } => ChangeKind::RebootNode,
            Self::RemoveNode { .. } => ChangeKind::RemoveNode,
            Self::ResizeCluster { .. } => ChangeKind::ResizeCluster,
            Self::UpgradeCluster { .. } => ChangeKind::UpgradeCluster,
            Self::ResyncCluster { .. } => ChangeKind::ResyncCluster,
            Self::SetProtection { .. } => ChangeKind::SetProtection,
            Self::SetAutoFailover { .. } => ChangeKind::SetAutoFailover,
            Self::SetOptions { .. } => ChangeKind::SetOptions,
            Self::SetParameters { .. } => ChangeKind::SetParameters,
            Self::SetAllowlist { .. } => ChangeKind::SetAllowlist,
            Self::ExposeEndpoint { .. } => ChangeKind::ExposeEndpoint,
            Self::RotateCredentials { .. } => ChangeKind::RotateCredentials,
            Self::BackUp { .. } => ChangeKind::BackUp,
            Self::SetBackupSchedule { .. } => ChangeKind::SetBackupSchedule,
            Self::VerifyBackup { .. } => ChangeKind::VerifyBackup,
            Self::RestoreBackup(_) => ChangeKind::RestoreBackup,
            Self::CloneCluster(_) => ChangeKind::CloneCluster,
            Self::RestoreInPlace { .. } => ChangeKind::RestoreInPlace,
            Self::DeleteBackup { .. } => ChangeKind::DeleteBackup,
            Self::Migrate(_) => ChangeKind::Migrate,
            Self::CutOver { .. } => ChangeKind::CutOver,
            Self::DeleteCluster { .. } => ChangeKind::DeleteCluster,
        }
    }
    /// The cluster it names, by name or id; `None` when it names a node or makes a cluster.
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::AddNode { cluster, .. }
            | Self::AddShard { cluster }
            | Self::RemoveShard { cluster, .. }
            | Self::ResizeCluster { cluster, .. }
            | Self::UpgradeCluster { cluster, .. }
            | Self::ResyncCluster { cluster }
            | Self::SetProtection { cluster, .. }
            | Self::SetAutoFailover { cluster, .. }
            | Self::SetOptions { cluster, .. }
            | Self::SetParameters { cluster, .. }
            | Self::SetAllowlist { cluster, .. }
            | Self::ExposeEndpoint { cluster, .. }
            | Self::RotateCredentials { cluster }
            | Self::BackUp { cluster, .. }
            | Self::SetBackupSchedule { cluster, .. }
            | Self::RestoreInPlace { cluster, .. }
            | Self::Migrate(MigrateIn { cluster, .. })
            | Self::CloneCluster(CloneCluster { cluster, .. })
            | Self::CutOver { cluster }
            | Self::DeleteCluster { cluster, .. } => Some(cluster),
            _ => None,
        }
    }
    /// The moment that it brings back, where it does.
    pub const fn moment(&self) -> Option<Timestamp> {
        match self {
            Self::RestoreBackup(wish) => wish.at,
            Self::RestoreInPlace { at, .. } => *at,
            _ => None,
        }
    }
    /// The backup it names, by id.
    pub fn backup(&self) -> Option<&str> {
        match self {
            Self::VerifyBackup { backup }
            | Self::DeleteBackup { backup }
            | Self::RestoreInPlace { backup, .. } => Some(backup),
            Self::RestoreBackup(wish) => Some(&wish.backup),
            _ => None,
        }
    }
    /// The node it names, by name or id.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::PromoteNode { node }
            | Self::DrainNode { node }
            | Self::UndrainNode { node }
            | Self::RebootNode { node }
            | Self::RemoveNode { node } => Some(node),
            _ => None,
        }
    }
}
