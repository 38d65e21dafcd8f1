//! A promotion: the group is asked to let another member lead. It does what must be done in order (the old primary closes,
//! the target applies all it has, then opens); what is ours is to measure, and to turn the endpoint in the same moment.

use super::super::{
    accounts,
    sql::{ANSWER, As, Session, number},
};
use super::{
    failover,
    survey::{self, Place},
};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, HandOver, Result, Switch};
use std::time::{Duration, Instant};

/// For transactions that are under way to end, in seconds; nobody begins one meanwhile.
const TRANSACTIONS_END_WITHIN_S: u8 = 2;
/// For all of it.
const CHANGES_WITHIN: Duration = Duration::from_secs(15);
/// A member that has more than this to apply is not handed to; the preview looks at bytes.
const MOST_WAITING: u64 = 10_000;
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Hands the writes over to `target`.
pub(crate) async fn hand_over(
    cx: &ClusterContext,
    target: &NodeSpec,
    switch: &(dyn Fn() -> Switch + Send + Sync),
) -> Result<HandOver> {
    let answers = survey::all(cx).await;
    let old = survey::leader(&answers)?;
    let place = answers.iter().find(|a| a.node.id == target.id);
    let place = place.ok_or_else(|| DriverError::Gone { what: target.name.clone() })?.place.clone()?;
    if old.id == target.id {
        // An interrupted call came so far.
        failover::open(cx, target).await?;
        failover::decided(cx, target).await?;
        switch().await?;
        return Ok(HandOver { write_gap_ms: 0.0 });
    }
    fit(old, target, &place)?;
    let mut from = Session::open(cx, old, As::Operator, CHANGES_WITHIN).await?;
    let mut to = Session::open(cx, target, As::Operator, ANSWER).await?;
    let since = Instant::now();
    let ask =
        format!("SELECT group_replication_set_as_primary('{}', {TRANSACTIONS_END_WITHIN_S})", place.uuid);
    // The target opens before the old one has told us that it is over.
    let (asked, turned) = futures::join!(from.rows(&ask), turn(cx, target, &mut to, switch));
    let write_gap_ms = since.elapsed().as_secs_f64() * 1000.0;
    asked?;
    let turned = turned?;
    failover::decided(cx, target).await?;
    // Those that did not come through the endpoint would go on asking a node that refuses their writes.
    if let Err(e) = end_people(&mut from).await {
        tracing::warn!(node = %old.name, error = %e, "people's connections to the former primary stay");
    }
    turned?;
    Ok(HandOver { write_gap_ms })
}

/// Whether the target can take over now.
fn fit(old: &NodeSpec, target: &NodeSpec, place: &Place) -> Result<()> {
    let what = if !place.serves() {
        format!("{} is not in step with the group", target.name)
    } else if place.waiting > MOST_WAITING {
        format!("{} has {} transactions to apply yet", target.name, place.waiting)
    } else {
        return Ok(());
    };
    Err(DriverError::rejected(
        what,
        format!("{} goes on taking writes; wait or resync the replica", old.name),
    ))
}

/// Turns the endpoint the moment the target takes writes. The inner result is the endpoint's.
async fn turn(
    cx: &ClusterContext,
    target: &NodeSpec,
    to: &mut Session,
    switch: &(dyn Fn() -> Switch + Send + Sync),
) -> Result<Result<()>> {
    let begun = Instant::now();
    while number(&to.row("SELECT @@global.super_read_only + 0").await?, 0) != Some(0) {
        // With automatic failover off nobody who is elected opens by itself; this one was chosen.
        if !cx.spec.auto_failover && survey::place(to).await?.leads() {
            failover::open(cx, target).await?;
        }
        if begun.elapsed() > CHANGES_WITHIN {
            return Err(DriverError::transient(format!("{} does not take writes yet", target.name)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(switch().await)
}

/// Ends people's connections to a server.
async fn end_people(session: &mut Session) -> Result<()> {
    let ours: Vec<_> = accounts::OURS.iter().map(|user| format!("'{user}'")).collect();
    let people = session
        .rows(&format!(
            "SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE TYPE = 'FOREGROUND' AND PROCESSLIST_USER \
             NOT IN ({}, 'system user', 'event_scheduler', 'mysql.session', 'mysql.infoschema') AND PROCESSLIST_HOST IS NOT NULL",
            ours.join(", ")
        ))
        .await?;
    for id in people.iter().filter_map(|row| number(row, 0)) {
        // 1094: it went by itself meanwhile.
        match session.run(format!("KILL CONNECTION {id}")).await {
            Err(DriverError::Rejected { what, .. }) if what.contains("(1094)") => {}
            done => done?,
        }
    }
    Ok(())
}
