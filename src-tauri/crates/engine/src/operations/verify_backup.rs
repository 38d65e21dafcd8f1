//! Verify a backup: read it back, then restore it on a throw-away machine.

use super::back_up::test_steps;
use crate::{
    backups::{self, throw_away},
    error::EngineError,
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{Backup, BackupState};
use clusterdeck_driver::DriverError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) backup: Backup,
    pub(crate) test: throw_away::Plan,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let backup = plan.backup.clone();
    let mut steps = vec![
        step("read", "Read it back and compare", move |cx| read(cx, backup.clone()))
            .within(Duration::from_secs(180)),
    ];
    steps.extend(test_steps(&plan.backup, &plan.test));
    steps
}

async fn read(cx: StepContext, backup: Backup) -> Result<()> {
    let now = backups::find(&cx.shared, backup.id.as_str())?;
    // A vault that is away says nothing about what lies in it.
    backups::vault(&cx.shared, &now.vault).await?.check().await?;
    for part in &now.parts {
        let read = backups::read_back(&cx.shared, (&now, part), &cx.progress()).await;
        // A vault that does not answer says nothing about the backup.
        if let Err(error @ EngineError::Driver(DriverError::Rejected { .. } | DriverError::Gone { .. })) =
            &read
        {
            let problem = error.problem();
            backups::update(&cx.shared, &now.id, |backup| {
                (backup.state, backup.verified_at, backup.error) =
                    (BackupState::Damaged, None, Some(problem));
            })
            .await?;
        }
        read?;
    }
    Ok(())
}
