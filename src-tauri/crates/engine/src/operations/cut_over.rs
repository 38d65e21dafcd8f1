//! Cut over: telling the migration that follows its source to end. It goes beside that one, which holds the cluster.

use crate::{
    error::EngineError,
    facade::Result,
    operations::migrate::PATIENT,
    runner,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{OperationId, OperationState};
use clusterdeck_driver::DriverError;
use serde::{Deserialize, Serialize};
use std::{sync::PoisonError, time::Duration};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) migration: OperationId,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let migration = plan.migration.clone();
    vec![
        step("cut-over", "Let the migration end", move |cx| tell(cx, migration.clone()))
            .within(PATIENT)
            .no_cancel(),
    ]
}

/// Also after a kill: the migration copies anew then, and ends when it has everything.
async fn tell(cx: StepContext, migration: OperationId) -> Result<()> {
    loop {
        let row = match runner::under_way(&cx.shared, &migration) {
            Some(row) => Some(row),
            None => cx.shared.state.operation(&migration).await?,
        };
        let row = row.ok_or_else(|| EngineError::NotFound { what: format!("operation {migration}") })?;
        let gap = row.operation.outcome.write_gap_ms;
        match row.operation.state {
            OperationState::Succeeded => {
                cx.report(|outcome| outcome.write_gap_ms = gap);
                return Ok(());
            }
            OperationState::Failed | OperationState::Cancelled => {
                let why = row.operation.error.map_or_else(|| "it was cancelled".to_owned(), |e| e.title);
                return Err(DriverError::rejected(
                    format!("the migration did not succeed: {why}"),
                    "Its own log says more.",
                )
                .into());
            }
            _ => {}
        }
        if let Some(found) =
            cx.shared.migrations.lock().unwrap_or_else(PoisonError::into_inner).get(&cx.cluster)
        {
            found.passage.cut_over();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
