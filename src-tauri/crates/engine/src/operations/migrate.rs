//! Migrate a database in: look at the source, copy and follow it, forget the way in, and judge what both sides hold. The copy is
//! one step, since what follows the source lives as long as its sessions: after a kill it begins again, over what is there, and
//! leaves nothing twice. Until it ended it can be taken back.

use crate::{
    engine::Shared,
    facade::Result,
    repository::JournalEntry,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{
    CaCertificates, CheckState, ClusterId, Following, Migrated, OperationId, SecretRef, SourceUrl,
};
use clusterdeck_driver::{DriverError, Migration, Passage};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

/// A server may say nothing for a while: it makes an index, a link in the network stalls.
const STALLS: Duration = Duration::from_secs(180);
/// Somebody may take long to cut over.
pub(super) const PATIENT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often the log is written down.
const WRITES: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Without its password, which is in the keyring.
    pub(crate) from: SourceUrl,
    pub(crate) has_password: bool,
    /// Who must have signed its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<CaCertificates>,
    pub(crate) replace: bool,
    pub(crate) follow: bool,
    /// The cluster held nothing when this was confirmed.
    pub(crate) fresh: bool,
    /// It was confirmed as one that follows the source while clients write to it.
    #[serde(default)]
    pub(crate) online: bool,
}

/// A migration under way, as a preview and whoever cuts over find it.
pub(crate) struct UnderWay {
    pub(crate) operation: OperationId,
    pub(crate) from: String,
    pub(crate) passage: Arc<Passage>,
}

impl UnderWay {
    pub(crate) fn following(&self) -> Following {
        let (behind, unit) = self.passage.behind().unzip();
        Following { from: self.from.clone(), behind, unit: unit.unwrap_or_default() }
    }
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let (look_at, copied, undone) = (plan.clone(), plan.clone(), plan.clone());
    let within = if plan.follow { PATIENT } else { STALLS };
    vec![
        step("look", "Look at the source", move |cx| look(cx, look_at.clone())).within(STALLS).undo(forget),
        step("copy", "Copy the data and follow the source", move |cx| copy(cx, copied.clone()))
            .within(within)
            .undo(move |cx| take_back(cx, undone.clone())),
        step("forget", "Forget the way into the source", forget),
        step("judge", "Compare both sides", judge).no_return(),
    ]
}

async fn migration(cx: &StepContext, plan: &Plan) -> Result<Migration> {
    let password = cx.shared.secrets.get(&SecretRef::of_migration(&cx.cluster)).await?;
    if plan.has_password && password.is_none() {
        let what = "the password of the source is not in the keyring any more";
        return Err(DriverError::rejected(what, "Ask for the migration again, with the password.").into());
    }
    let from = SourceUrl { password, ca: plan.ca.clone(), ..plan.from.clone() };
    Ok(Migration { from, replace: plan.replace, fresh: plan.fresh, follow: plan.follow, online: plan.online })
}

/// Once more, by who acts: the preview may have been true some time ago.
async fn look(cx: StepContext, plan: Plan) -> Result<()> {
    let (context, migration) = (cx.context().await?, migration(&cx, &plan).await?);
    let report = cx.driver()?.look_at_source(&context, &migration).await?;
    let wrong = report.checks.iter().find(|check| check.state == CheckState::Failed);
    match wrong {
        Some(check) => {
            let hint = check.hint.clone().unwrap_or_else(|| "Nothing was changed.".to_owned());
            Err(DriverError::rejected(check.text.trim_end_matches('.').to_owned(), hint).into())
        }
        None if plan.fresh && !report.target_is_empty => Err(DriverError::rejected(
            "somebody wrote to the cluster since this was previewed",
            "Ask for a new preview: it says what would be mixed.",
        )
        .into()),
        None if plan.online && !report.online => Err(DriverError::rejected(
            "the source cannot be followed any more, as was previewed",
            "Ask for a new preview: it says why, and what would not come along.",
        )
        .into()),
        None => Ok(()),
    }
}

async fn copy(cx: StepContext, plan: Plan) -> Result<()> {
    let (context, migration) = (cx.context().await?, migration(&cx, &plan).await?);
    let (driver, progress) = (cx.driver()?, cx.progress());
    let passage = Arc::new(Passage::default());
    let under_way = UnderWay {
        operation: cx.record.edit(|operation| operation.id.clone()),
        from: plan.from.place(),
        passage: passage.clone(),
    };
    let _listed = Listed::new(&cx.shared, &cx.cluster, under_way);
    let bringing = driver.bring_in(&context, &migration, &passage, &progress);
    tokio::pin!(bringing);
    let mut tick = tokio::time::interval(WRITES);
    let result = loop {
        tokio::select! {
            result = &mut bringing => break result,
            _ = tick.tick() => write_down(&cx, &passage).await?,
        }
    };
    if let Err(error) = &result {
        passage.log(format!("Interrupted: {error}"));
    }
    write_down(&cx, &passage).await?;
    let migrated = result?;
    cx.report(|outcome| {
        outcome.write_gap_ms = migrated.gap_ms;
        outcome.notes.clone_from(&migrated.notes);
        outcome.migration = Some(migrated);
    });
    Ok(())
}

/// The log is the journal of the operation: it stays with it.
async fn write_down(cx: &StepContext, passage: &Passage) -> Result<()> {
    for (ago, line) in passage.lines() {
        let row = cx.record.snapshot();
        let entry = JournalEntry {
            operation: row.operation.id.clone(),
            at: cx.shared.now().checked_sub(ago).unwrap_or(cx.shared.now()),
            step: row.operation.steps.get(cx.index).map(|step| step.name.clone()),
            step_state: None,
            state: row.operation.state,
            text: Some(line),
        };
        cx.shared.state.record(&row, &entry).await?;
    }
    Ok(())
}

/// Found by others as long as it lives.
struct Listed<'a> {
    shared: &'a Shared,
    cluster: &'a ClusterId,
}

impl<'a> Listed<'a> {
    fn new(shared: &'a Shared, cluster: &'a ClusterId, under_way: UnderWay) -> Self {
        let mut all = shared.migrations.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(cluster.clone(), under_way);
        Self { shared, cluster }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.shared.migrations.lock().unwrap_or_else(PoisonError::into_inner).remove(self.cluster);
    }
}

async fn take_back(cx: StepContext, plan: Plan) -> Result<()> {
    let context = cx.context().await?;
    let migration = migration(&cx, &plan).await?;
    let note = cx.driver()?.take_out(&context, &migration, &cx.progress()).await?;
    if let Some(note) = note {
        cx.report(|outcome| {
            if !outcome.notes.contains(&note) {
                outcome.notes.push(note);
            }
        });
    }
    Ok(())
}

async fn forget(cx: StepContext) -> Result<()> {
    Ok(cx.shared.secrets.remove(&SecretRef::of_migration(&cx.cluster)).await?)
}

/// What came in stays, whatever this finds: somebody must see what differs.
async fn judge(cx: StepContext) -> Result<()> {
    let outcome = cx.record.edit(|operation| operation.outcome.migration.clone());
    let Some(Migrated { differences, .. }) = outcome else { return Ok(()) };
    match differences.first() {
        None => Ok(()),
        Some(first) => {
            let more = differences.len() - 1;
            let more = if more == 0 { String::new() } else { format!(", and {more} more") };
            Err(DriverError::rejected(
                format!("the two sides differ: {first}{more}"),
                "All of it came in and stays. Look at what differs, and migrate again with what is there replaced.",
            )
            .into())
        }
    }
}
