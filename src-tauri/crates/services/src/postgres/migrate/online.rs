//! A copy that is followed: publication and slot at the source, the copy as of the slot's beginning, a subscription from there on, and
//! in the end what no log of rows tells. After a kill it goes on where the copy stands whole, and else begins anew.

use super::{
    CA, EMPTIED, FOLLOWED, Moment, PASS, PATIENT, alive, compare, copied, follow, follow::Follower, prepare,
    size, source::Source, write_way_in,
};
use crate::postgres::{
    form,
    sql::{ANSWER, As, Session},
};
use clusterdeck_domain::Migrated;
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Migration, Passage, Progress, Result};
use std::time::Instant;

pub(super) async fn bring_in(
    cx: &ClusterContext,
    migration: &Migration,
    (source, database): (Source, &str),
    passage: &Passage,
    progress: &Progress,
) -> Result<Migrated> {
    let lead = form::leader(cx).await?;
    let machine = cx.machine(lead)?;
    let bytes = match whole(cx, machine.as_ref(), &source, database).await? {
        Some(bytes) => {
            passage.log("The copy stands whole and the subscription with it: it goes on from there");
            // The password may be another one by now.
            write_way_in(cx, machine.as_ref(), &migration.from).await?;
            bytes
        }
        None => copy(cx, migration, (&source, database), passage, progress).await?,
    };
    let inside = Session::inside(cx, lead, database, ANSWER).await?.patient(PATIENT);
    compare::same_words(&inside).await?;
    let mut follower = Follower::new(cx, migration, source, inside);
    follower.follow(passage, progress).await?;

    let (up_to, begun) = (jiff::Timestamp::now(), Instant::now());
    follower.until_all(passage, progress).await?;
    let sequences = follower.beside_rows().await?;
    let gap = begun.elapsed();
    passage.log(format!(
        "Cut over: the cluster had everything written up to {up_to}, and {sequences} sequences, after {:.1} ms",
        gap.as_secs_f64() * 1e3
    ));
    let mut report =
        Migrated { bytes, gap_ms: Some(gap.as_secs_f64() * 1e3), up_to: Some(up_to), ..Migrated::default() };
    compare::judge(&mut follower, (passage, progress), &mut report).await?;
    report.items = report.compared.iter().map(|part| part.target).sum();
    // What was written until now may have moved them further.
    follower.beside_rows().await?;
    follow::unsubscribe(cx, database).await?;
    alive(progress, compare::BOTH, follower.refresh()).await?;
    let cleaned = follow::clean(&follower.source, &follow::called(cx)).await;
    if let Err(error) = cleaned {
        tracing::warn!(%error, "what was made at the source could not be dropped");
        report.notes.extend(follow::clean_or_tell(cx, migration).await);
    }
    for left in [PASS, CA, EMPTIED, FOLLOWED] {
        machine.remove(left).await?;
    }
    Ok(report)
}

/// How many bytes the copy had that stands whole since an earlier call, and is followed.
async fn whole(
    cx: &ClusterContext,
    machine: &dyn Machine,
    source: &Source,
    database: &str,
) -> Result<Option<u64>> {
    let noted = match machine.read(FOLLOWED).await {
        Ok(noted) => String::from_utf8_lossy(&noted).parse::<u64>().ok(),
        Err(DriverError::Gone { .. }) => None,
        Err(other) => return Err(other),
    };
    match noted {
        Some(bytes) if follow::stands(cx, source, database).await? => Ok(Some(bytes)),
        _ => Ok(None),
    }
}

/// Everything anew up to the subscription that follows.
async fn copy(
    cx: &ClusterContext,
    migration: &Migration,
    (source, database): (&Source, &str),
    passage: &Passage,
    progress: &Progress,
) -> Result<u64> {
    let url = &migration.from;
    let ours = follow::called(cx);
    let lead = form::leader(cx).await?;
    let machine = cx.machine(lead)?;
    let session = Session::open(cx, lead, As::Operator, ANSWER).await?.patient(PATIENT);
    prepare(cx, source, &session, database, passage).await?;
    follow::clean(source, &ours).await?;
    let still = follow::conditions(source, &ours).await?;
    // A table without an identity that is published takes no changes any more: that is looked at right before.
    if let Some(against) = still.iter().find(|c| c.state != clusterdeck_domain::CheckState::Passed) {
        return Err(DriverError::rejected(
            format!("the source cannot be followed any more: {}", against.text.trim_end_matches('.')),
            "Ask for a new preview: it says what is done then.",
        ));
    }
    let begun = Instant::now();
    follow::publish(source, &ours).await?;
    passage.log(format!("Made the publication {ours} at the source; copying {database} of {}", url.place()));
    let total = size(source).await?;
    let bytes = copied(cx, (&session, url), Moment::Slot(&ours), total, (passage, progress)).await?;
    passage.log(format!("Copied in {:.1} s", begun.elapsed().as_secs_f64()));
    let inside = Session::inside(cx, lead, database, ANSWER).await?.patient(PATIENT);
    progress.note("gathering statistics");
    alive(progress, compare::BOTH, inside.run("ANALYZE")).await?;
    follow::subscribe(cx, machine.as_ref(), &inside, url).await?;
    machine.write(FOLLOWED, bytes.to_string().as_bytes(), 0o600).await?;
    Ok(bytes)
}
