//! One file per change: what is decided when it is confirmed (`Plan`), and its steps, top to bottom.

pub(crate) mod add_node;
pub(crate) mod add_shard;
pub(crate) mod back_up;
pub(crate) mod create_cluster;
pub(crate) mod cut_over;
pub(crate) mod delete_backup;
pub(crate) mod delete_cluster;
pub(crate) mod drain_node;
pub(crate) mod expose_endpoint;
pub(crate) mod migrate;
pub(crate) mod promote_node;
pub(crate) mod reboot_node;
pub(crate) mod remove_node;
pub(crate) mod remove_shard;
pub(crate) mod resize_cluster;
pub(crate) mod restore_in_place;
pub(crate) mod resync_cluster;
pub(crate) mod rolling;
pub(crate) mod rotate_credentials;
pub(crate) mod set_allowlist;
pub(crate) mod set_backup_schedule;
pub(crate) mod set_parameters;
pub(crate) mod switches;
mod trial;
pub(crate) mod undrain_node;
pub(crate) mod upgrade_cluster;
pub(crate) mod verify_backup;

use crate::{engine::Shared, step::Step};
use clusterdeck_domain::ClusterId;
use serde::{Deserialize, Serialize};

/// What was decided when a change was confirmed. It lies in the operation's row, so a plan written by one version must
/// be readable by the next: add members with defaults, never rename.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "plan", rename_all = "kebab-case")]
pub(crate) enum Plan {
    CreateCluster(create_cluster::Plan),
    AddNode(add_node::Plan),
    AddShard(add_shard::Plan),
    RemoveShard(remove_shard::Plan),
    PromoteNode(promote_node::Plan),
    DrainNode(drain_node::Plan),
    UndrainNode(undrain_node::Plan),
    RebootNode(reboot_node::Plan),
    RemoveNode(remove_node::Plan),
    ResizeCluster(resize_cluster::Plan),
    UpgradeCluster(upgrade_cluster::Plan),
    ResyncCluster(resync_cluster::Plan),
    Switch(switches::Plan),
    SetParameters(set_parameters::Plan),
    SetAllowlist(set_allowlist::Plan),
    ExposeEndpoint(expose_endpoint::Plan),
    RotateCredentials(rotate_credentials::Plan),
    BackUp(back_up::Plan),
    SetBackupSchedule(set_backup_schedule::Plan),
    VerifyBackup(verify_backup::Plan),
    RestoreInPlace(Box<restore_in_place::Plan>),
    DeleteBackup(delete_backup::Plan),
    Migrate(migrate::Plan),
    CutOver(cut_over::Plan),
    DeleteCluster(delete_cluster::Plan),
}

impl Plan {
    /// The steps, always the same for the same plan.
    pub(crate) fn steps(&self) -> Vec<Step> {
        match self {
            Self::CreateCluster(plan) => create_cluster::steps(plan),
            Self::AddNode(plan) => add_node::steps(plan),
            Self::AddShard(plan) => add_shard::steps(plan),
            Self::RemoveShard(plan) => remove_shard::steps(plan),
            Self::PromoteNode(plan) => promote_node::steps(plan),
            Self::DrainNode(plan) => drain_node::steps(plan),
            Self::UndrainNode(plan) => undrain_node::steps(plan),
            Self::RebootNode(plan) => reboot_node::steps(plan),
            Self::RemoveNode(plan) => remove_node::steps(plan),
            Self::ResizeCluster(plan) => resize_cluster::steps(plan),
            Self::UpgradeCluster(plan) => upgrade_cluster::steps(plan),
            Self::ResyncCluster(plan) => resync_cluster::steps(plan),
            Self::Switch(plan) => switches::steps(plan),
            Self::SetParameters(plan) => set_parameters::steps(plan),
            Self::SetAllowlist(plan) => set_allowlist::steps(plan),
            Self::ExposeEndpoint(plan) => expose_endpoint::steps(plan),
            Self::RotateCredentials(plan) => rotate_credentials::steps(plan),
            Self::BackUp(plan) => back_up::steps(plan),
            Self::SetBackupSchedule(plan) => set_backup_schedule::steps(plan),
            Self::VerifyBackup(plan) => verify_backup::steps(plan),
            Self::RestoreInPlace(plan) => restore_in_place::steps(plan),
            Self::DeleteBackup(plan) => delete_backup::steps(plan),
            Self::Migrate(plan) => migrate::steps(plan),
            Self::CutOver(plan) => cut_over::steps(plan),
            Self::DeleteCluster(plan) => delete_cluster::steps(plan),
        }
    }
    /// Keeps others from what is in no cluster's row and may be there: the machine a backup is tried on.
    pub(crate) fn hold_what_it_borrows(&self, shared: &Shared) {
        let test = match self {
            Self::BackUp(plan) => plan.test.as_ref(),
            Self::VerifyBackup(plan) => Some(&plan.test),
            Self::DeleteCluster(plan) => plan.last_backup.as_ref().and_then(|backup| backup.test.as_ref()),
            Self::RestoreInPlace(plan) => plan.safety.as_ref().and_then(|backup| backup.test.as_ref()),
            _ => None,
        };
        if let Some(test) = test {
            test.hold(shared);
        }
    }
}

/// What an operation is called and whom it is about, beside its plan.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) cluster: ClusterId,
    pub(crate) cluster_name: String,
    pub(crate) node: Option<String>,
    /// The row of a cluster that does not exist yet.
    pub(crate) new_cluster: Option<clusterdeck_domain::ClusterSpec>,
}
