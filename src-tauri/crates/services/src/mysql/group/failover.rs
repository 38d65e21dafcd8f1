//! Automatic failover of a group with one primary: the members elect the next one by themselves, whatever anybody wants.
//! What can be chosen is whether an elected member opens for writes. With automatic failover off it does not, and only the
//! member that was decided on (`note.rs`) is opened again when it is back.

use super::super::{
    config::rewrite,
    note::{self, Note},
    sql::{ANSWER, As, Session, number},
};
use super::{
    config,
    survey::{self, Place},
};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, Result};
use futures::future::{join_all, try_join_all};
use std::time::Duration;

/// What a member does when it was elected, by the name the server has for it.
const OPENS: &str = "'mysql_disable_super_read_only_if_primary', 'AFTER_PRIMARY_ELECTION'";
/// The group agrees on it.
const AGREES_WITHIN: Duration = Duration::from_secs(10);

/// Every member's file and every running member know all members; the group opens the next primary or not, as is wished.
pub(crate) async fn settle(cx: &ClusterContext) -> Result<()> {
    try_join_all(cx.spec.data_nodes().map(|node| knows_all_next_time(cx, node))).await?;
    if cx.spec.topology == Topology::Single {
        return Ok(());
    }
    let answers = survey::all(cx).await;
    let answering = answers.iter().filter(|a| a.place.is_ok());
    try_join_all(answering.map(|answer| knows_all(cx, answer.node))).await?;
    if cx.spec.topology == Topology::PrimaryReplica {
        let leader = survey::leader(&answers)?;
        if answers.iter().any(|a| a.is(|p| p.leads() && p.writable)) {
            decided(cx, leader).await?;
        }
        opens(cx, leader).await?;
        keep(cx).await?;
    }
    Ok(())
}

/// Its file tells a node about all the others when it starts again.
async fn knows_all_next_time(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let Ok(machine) = cx.machine(node) else { return Ok(()) };
    rewrite(machine.as_ref(), &config::conf(cx, node, machine.as_ref())).await
}

/// A running member is told where all the others are.
async fn knows_all(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    session.run(format!("SET GLOBAL group_replication_group_seeds = '{}'", config::seeds(cx))).await
}

/// Whether an elected member opens: asked of the one that leads, and all members know.
async fn opens(cx: &ClusterContext, leader: &NodeSpec) -> Result<()> {
    let mut session = Session::open(cx, leader, As::Operator, AGREES_WITHIN).await?;
    let row = session
        .row(
            "SELECT COUNT(*) FROM performance_schema.replication_group_member_actions \
             WHERE NAME = 'mysql_disable_super_read_only_if_primary' AND ENABLED = 1",
        )
        .await?;
    if (number(&row, 0) == Some(1)) == cx.spec.auto_failover {
        return Ok(());
    }
    let word = if cx.spec.auto_failover { "enable" } else { "disable" };
    // It asks of everybody to be able to write it down; only the one that leads is.
    session.rows(&format!("SELECT group_replication_{word}_member_action({OPENS})")).await.map(drop)
}

/// Notes on every machine that can be reached who leads, as somebody decided.
pub(crate) async fn decided(cx: &ClusterContext, leader: &NodeSpec) -> Result<()> {
    let known = note::newest(cx).await;
    if known.as_ref().is_some_and(|note| note.leader == leader.id) {
        return Ok(());
    }
    let note = Note { number: known.map_or(1, |note| note.number + 1), leader: leader.id.clone() };
    let note = &note;
    join_all(cx.spec.data_nodes().map(|node| async move {
        if let Err(e) = note::write(cx, node, note).await {
            tracing::info!(node = %node.name, error = %e, "its machine has not noted who leads");
        }
    }))
    .await;
    Ok(())
}

/// The group has a primary that does not take writes: it is opened, when automatic failover is on or it is the one that was
/// decided on. When that one is back and another was elected meanwhile, it leads again.
pub(crate) async fn keep(cx: &ClusterContext) -> Result<()> {
    if cx.spec.topology != Topology::PrimaryReplica {
        return Ok(());
    }
    let answers = survey::all(cx).await;
    let Ok(leader) = survey::leader(&answers) else { return Ok(()) };
    if answers.iter().any(|a| a.is(|p| p.writable && p.serves())) {
        return Ok(());
    }
    if cx.spec.auto_failover {
        // With it on the server opens by itself, once it has applied all it received: nobody goes ahead of that.
        return if answers.iter().any(|a| a.node.id == leader.id && a.is(|p| p.waiting == 0)) {
            open(cx, leader).await
        } else {
            Ok(())
        };
    }
    let note = note::agreed(cx).await?;
    let Some(back) = answers.iter().find(|a| a.node.id == note.leader && a.is(Place::serves)) else {
        return Ok(());
    };
    tracing::warn!(node = %back.node.name, "came back; it is told to lead again");
    if back.node.id != leader.id
        && let Ok(place) = &back.place
    {
        let mut session = Session::open(cx, leader, As::Operator, AGREES_WITHIN).await?;
        session.rows(&format!("SELECT group_replication_set_as_primary('{}')", place.uuid)).await?;
    }
    open(cx, back.node).await
}

/// Makes a member one that is elected, or the last that would be. It stands until the server starts again.
pub(crate) async fn set_candidate(cx: &ClusterContext, node: &NodeSpec, candidate: bool) -> Result<()> {
    let weight = if candidate { 50 } else { 0 };
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    session.run(format!("SET GLOBAL group_replication_member_weight = {weight}")).await
}

/// Lets the member that leads take writes.
pub(crate) async fn open(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    session.run("SET GLOBAL super_read_only = OFF").await?;
    session.run("SET GLOBAL read_only = OFF").await
}
