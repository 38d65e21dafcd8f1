//! Let backups be made by themselves, or no longer. It is a row: who follows it is `backups/schedule.rs`.

use crate::step::{Step, step};
use clusterdeck_domain::BackupSchedule;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) vault: String,
    pub(crate) to: Option<BackupSchedule>,
    pub(crate) from: Option<BackupSchedule>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let (vault, other) = (plan.vault.clone(), plan.vault.clone());
    let (to, from) = (plan.to.clone(), plan.from.clone());
    let set = |vault: String, schedule: Option<BackupSchedule>| {
        move |spec: &mut clusterdeck_domain::ClusterSpec| {
            spec.backup_schedules.retain(|s| s.vault != vault);
            spec.backup_schedules.extend(schedule.clone());
        }
    };
    vec![
        step("note", "Note it", move |cx| {
            let edit = set(vault.clone(), to.clone());
            async move { cx.update_spec(edit).await.map(drop) }
        })
        .undo(move |cx| {
            let edit = set(other.clone(), from.clone());
            async move { cx.update_spec(edit).await.map(drop) }
        }),
    ]
}
