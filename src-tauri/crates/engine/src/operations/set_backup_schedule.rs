//! Let backups be made by themselves, or no longer. It is a row: who follows it is `backups/schedule.rs`. Where the log is archived
//! beside them the servers have to put it aside; who fetches it is `backups/log/follow.rs`.

use crate::{
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::BackupSchedule;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) vault: String,
    pub(crate) to: Option<BackupSchedule>,
    pub(crate) from: Option<BackupSchedule>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let (there, back) = (plan.clone(), plan.clone());
    vec![
        step("note", "Note it", move |cx| set(cx, there.clone(), |plan| &plan.to))
            .undo(move |cx| set(cx, back.clone(), |plan| &plan.from)),
    ]
}

async fn set(cx: StepContext, plan: Plan, which: fn(&Plan) -> &Option<BackupSchedule>) -> Result<()> {
    let archives = |schedule: &Option<BackupSchedule>| schedule.as_ref().is_some_and(|s| s.point_in_time);
    let turns = archives(&plan.to) != archives(&plan.from);
    cx.update_spec(move |spec| {
        spec.backup_schedules.retain(|s| s.vault != plan.vault);
        spec.backup_schedules.extend(which(&plan).clone());
    })
    .await?;
    if turns {
        let context = cx.context().await?;
        cx.driver()?.keep_log(&context).await?;
    }
    Ok(())
}
