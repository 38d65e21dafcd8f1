//! Putting right what a group cannot by itself: a member that is outside enters again, and after an outage of all members
//! the group begins again with the one that has most.
//!
//! Beginning again is safe only when every member of the cluster is there and known, and none is in a group: then nobody can
//! be the other half of one. What each received counts, not what it had applied: that is applied first, then all are asked
//! anew, and the one that contains all others begins. When nobody contains all others, a person decides. A minority is
//! never told that it is the group.

use super::super::sql::{ANSWER, As, Session};
use super::{
    enter, failover,
    gtid::GtidSet,
    survey::{self, Answer, Place},
};
use crate::wait::{Look, until};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use futures::future::join_all;
use std::time::Duration;

/// For what was received to be applied, in one call; the next one goes on.
const APPLIES_WITHIN: Duration = Duration::from_secs(8);
const APPLIER: &str = "FOR CHANNEL 'group_replication_applier'";

/// Asked while nobody takes writes or a server is not well.
pub(crate) async fn heal(cx: &ClusterContext) -> Result<()> {
    if cx.spec.topology == Topology::Single {
        return open_single(cx).await;
    }
    let answers = survey::all(cx).await;
    if survey::serving(&answers).is_err() {
        return begin_again(cx).await;
    }
    let outside = answers.iter().filter(|a| a.is(Place::outside));
    let entered = join_all(outside.map(|a| enter::enter(cx, a.node))).await;
    failover::keep(cx).await?;
    entered.into_iter().collect::<Result<Vec<()>>>().map(drop)
}

/// A single node that came back by itself takes writes again.
async fn open_single(cx: &ClusterContext) -> Result<()> {
    let Some(node) = cx.spec.data_nodes().next() else { return Ok(()) };
    Session::open(cx, node, As::Operator, ANSWER)
        .await?
        .run("SET GLOBAL super_read_only = OFF, read_only = OFF")
        .await
}

/// The group begins again, when it is known for certain with whom.
pub(crate) async fn begin_again(cx: &ClusterContext) -> Result<()> {
    let known = places(&everybody_outside(cx).await?)?;
    if known.iter().any(|(_, p)| !p.executed.contains(&p.has())) {
        join_all(known.iter().map(|(node, _)| apply(cx, node)))
            .await
            .into_iter()
            .collect::<Result<Vec<()>>>()?;
    }
    // Anew, since now each has applied what it received.
    let known = places(&everybody_outside(cx).await?)?;
    let all = known.iter().fold(GtidSet::default(), |all, (_, place)| all.and(&place.has()));
    let has_all = |place: &Place| place.executed.contains(&all);
    let Some((best, _)) = known.iter().find(|(_, place)| has_all(place)) else {
        return Err(DriverError::rejected(
            "no member has all transactions that the others have, so none may begin the group again",
            "remove the node whose own transactions may be lost, or restore a backup",
        ));
    };
    tracing::warn!(node = %best.name, "no group is left; the member that has most begins it again");
    enter::begin(cx, best).await
}

/// All members of the cluster, each known to be in no group.
async fn everybody_outside(cx: &ClusterContext) -> Result<Vec<Answer<'_>>> {
    let answers = survey::all(cx).await;
    let lost: Vec<_> = answers.iter().filter(|a| a.place.is_err()).map(|a| a.node.name.as_str()).collect();
    if !lost.is_empty() {
        return Err(DriverError::transient(format!(
            "no member is in a group, and {} cannot be asked what it has: the group begins again when it is back",
            lost.join(", ")
        )));
    }
    for answer in &answers {
        let Ok(place) = &answer.place else { continue };
        if place.state() == "ERROR" {
            // It is looking for a group that is not there any more.
            let mut session = Session::open(cx, answer.node, As::Operator, ANSWER).await?;
            session.run_within("STOP GROUP_REPLICATION", APPLIES_WITHIN).await?;
        } else if !place.outside() {
            return Err(DriverError::transient(format!(
                "{} is {} in a group that has no majority: it is waited for",
                answer.node.name,
                place.state().to_lowercase()
            )));
        }
    }
    Ok(answers)
}

fn places<'a>(answers: &[Answer<'a>]) -> Result<Vec<(&'a NodeSpec, Place)>> {
    answers.iter().map(|a| Ok((a.node, a.place.clone()?))).collect()
}

/// Lets a server apply what it received and had not applied when its group ended.
async fn apply(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let place = survey::ask(cx, node).await?;
    if place.executed.contains(&place.has()) {
        return Ok(());
    }
    let mut session = Session::open(cx, node, As::Operator, APPLIES_WITHIN).await?;
    session.run(format!("START REPLICA SQL_THREAD {APPLIER}")).await?;
    let applied = until!(APPLIES_WITHIN, async {
        let place = survey::ask(cx, node).await?;
        Ok(if place.executed.contains(&place.has()) {
            Look::Done(())
        } else {
            Look::NotYet(format!("{} still applies what it received", node.name))
        })
    });
    session.run(format!("STOP REPLICA SQL_THREAD {APPLIER}")).await?;
    applied
}
