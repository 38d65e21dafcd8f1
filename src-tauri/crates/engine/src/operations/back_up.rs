//! Back up a cluster. It does not hold the cluster: whoever promotes or reboots a node meanwhile need not wait for it, and the
//! worst that comes of it is that this backup fails. From the moment on in which it was read back it stays, whatever its test
//! finds; until then a failure leaves nothing of it.

use crate::{
    backups::{self, throw_away},
    error::EngineError,
    facade::Result,
    step::{Step, StepContext, step},
    watch,
};
use clusterdeck_domain::{Backup, BackupPart, BackupState, copy_source, pieces};
use clusterdeck_driver::{CopyFrom, DriverError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A server may say nothing for a while: it writes a checkpoint first, a store in the network stalls.
const STALLS: Duration = Duration::from_secs(180);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// As it begins.
    pub(crate) backup: Backup,
    /// Where it is tried; `None`: it is not.
    pub(crate) test: Option<throw_away::Plan>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let (noted, given_up, copied) = (plan.backup.clone(), plan.backup.clone(), plan.backup.clone());
    let read = plan.backup.clone();
    let mut steps = vec![
        step("note", "Note that it is being made", move |cx| note(cx, noted.clone()))
            .undo(move |cx| give_up(cx, given_up.clone())),
        step("copy", "Copy the data to the vault", move |cx| copy(cx, copied.clone())).within(STALLS),
        step("read-back", "Read it back and compare", move |cx| read_back(cx, read.clone())).within(STALLS),
    ];
    if let Some(test) = &plan.test {
        steps.extend(test_steps(&plan.backup, test));
    }
    steps
}

/// Trying a backup that is there. The machine is given back whatever comes of it.
pub(crate) fn test_steps(backup: &Backup, plan: &throw_away::Plan) -> [Step; 2] {
    let (backup, run, undone, done) = (backup.clone(), plan.clone(), plan.clone(), plan.clone());
    let back = move |plan: throw_away::Plan| {
        move |cx: StepContext| {
            let plan = plan.clone();
            async move { throw_away::give_back(&cx.shared, &plan).await }
        }
    };
    [
        step("test", "Restore it on a throw-away machine", move |cx| test(cx, backup.clone(), run.clone()))
            .within(STALLS)
            .undo(back(undone)),
        step("give-back", "Give the throw-away machine back", back(done)),
    ]
}

async fn note(cx: StepContext, backup: Backup) -> Result<()> {
    if backups::find(&cx.shared, backup.id.as_str()).is_err() {
        let operation = Some(cx.record.edit(|operation| operation.id.clone()));
        backups::put(&cx.shared, &Backup { operation, ..backup.clone() }).await?;
    }
    // After it: a keyring that is locked is why this one failed, and is told as that.
    let key = backups::ensure_key(&cx.shared).await?;
    backups::update(&cx.shared, &backup.id, |backup| backup.sealed_for = key.public).await
}

/// One that is whole stays. Of the others nothing does, but why, unless somebody wanted it so.
async fn give_up(cx: StepContext, backup: Backup) -> Result<()> {
    let Ok(now) = backups::find(&cx.shared, backup.id.as_str()) else { return Ok(()) };
    if now.state != BackupState::Making {
        return Ok(());
    }
    // A vault that is away keeps nobody from saying that this is no backup.
    let removed = async { Ok(backups::vault(&cx.shared, &now.vault).await?.remove(&now.id).await?) };
    let removed: Result<()> = removed.await;
    let leftover = match removed {
        Err(EngineError::Driver(again)) if again.is_transient() => return Err(again.into()),
        removed => removed.is_err(),
    };
    let (error, cancelled) = cx.record.edit(|o| (o.error.clone(), o.cancel_requested));
    if cancelled && error.is_none() && !leftover {
        return backups::forget(&cx.shared, &now.id).await;
    }
    let ended_at = Some(cx.shared.now());
    backups::update(&cx.shared, &now.id, |backup| {
        (backup.state, backup.error, backup.ended_at) = (BackupState::Failed, error, ended_at);
        backup.leftover = leftover;
        backup.parts.clear();
    })
    .await
}

/// From the beginning, also after a kill: half a piece is worth nothing.
async fn copy(cx: StepContext, backup: Backup) -> Result<()> {
    let seen = watch::look(&cx.shared, &cx.cluster).await?;
    let context = cx.context().await?;
    let driver = cx.driver()?;
    let vault = backups::vault(&cx.shared, &backup.vault).await?;
    let key = backups::ensure_key(&cx.shared).await?;
    let begun = cx.shared.now();
    let mut parts = Vec::new();
    for shard in pieces(&context.spec) {
        let node = copy_source(&context.spec, &seen, shard)
            .ok_or_else(|| DriverError::transient("no node is well enough to copy from"))?;
        let from = CopyFrom { shard, node: node.id.clone() };
        let (into, progress) = ((vault.as_ref(), &key), cx.progress());
        let part =
            backups::copy(&context, driver.as_ref(), &from, into, (&backup, parts.is_empty()), &progress)
                .await?;
        parts.push(BackupPart { copied_at: Some(cx.shared.now()), ..part });
    }
    backups::update(&cx.shared, &backup.id, |backup| {
        backup.size_bytes = parts.iter().map(|part| part.stored_bytes).sum();
        backup.data_bytes = parts.iter().map(|part| part.data_bytes).sum();
        backup.parts = parts;
        backup.created_at = begun;
        backup.sealed_for = key.public;
    })
    .await
}

/// What counts is what the vault returns, not what was sent. Only then it is a backup, with a note beside it that says so.
async fn read_back(cx: StepContext, backup: Backup) -> Result<()> {
    let now = backups::find(&cx.shared, backup.id.as_str())?;
    for part in &now.parts {
        backups::read_back(&cx.shared, (&now, part), &cx.progress()).await?;
    }
    let whole = Backup { state: BackupState::Stored, ended_at: Some(cx.shared.now()), ..now };
    backups::write_manifest(&cx.shared, &whole).await?;
    backups::put(&cx.shared, &whole).await?;
    cx.report(|outcome| outcome.backup = Some(whole.id.clone()));
    Ok(())
}

async fn test(cx: StepContext, backup: Backup, plan: throw_away::Plan) -> Result<()> {
    let now = backups::find(&cx.shared, backup.id.as_str())?;
    let verdict = throw_away::test(&cx.shared, &plan, &now, &cx.progress()).await?;
    let at = cx.shared.now();
    match verdict {
        throw_away::Verdict::Good => {
            let good = Backup { state: BackupState::Verified, verified_at: Some(at), error: None, ..now };
            backups::write_manifest(&cx.shared, &good).await?;
            backups::put(&cx.shared, &good).await
        }
        throw_away::Verdict::Untried(why) => {
            cx.report(|outcome| outcome.notes.push(format!("It could not be restored to try it: {why}")));
            let problem = why.problem();
            backups::update(&cx.shared, &now.id, |backup| {
                // One that was good is no worse for it.
                if backup.state == BackupState::Stored {
                    backup.error = Some(problem);
                }
            })
            .await
        }
        throw_away::Verdict::Bad(why) => {
            let error = EngineError::Driver(DriverError::rejected(
                format!("the backup cannot be relied on: {why}"),
                "Make another one, and look at the log of the operation.",
            ));
            let problem = error.problem();
            backups::update(&cx.shared, &now.id, |backup| {
                (backup.state, backup.verified_at, backup.error) =
                    (BackupState::Damaged, None, Some(problem));
            })
            .await?;
            Err(error)
        }
    }
}
