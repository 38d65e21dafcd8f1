//! A server enters the group, or is the one that begins it. Nobody enters with transactions that the group lacks.

use super::super::{
    accounts::REPLICA,
    form::{answering, may_take},
    sql::{ANSWER, As, Session, text},
    unit::UNIT,
};
use super::{
    archive::BLOCK,
    config::{NUMBER_STEP, number_offset},
    form::start_node,
    survey::{self, Answer, Place},
};
use crate::wait::{Look, until};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result, StartAs, Traffic, UnitState};
use std::time::Duration;

/// A member that copies everything or catches up, and does not move for so long, is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// A server that was killed is in the eyes of the others for some seconds yet, and comes in only afterwards.
const ENTERS_WITHIN: Duration = Duration::from_secs(20);
/// A server ends after it has copied everything, and is started again; more often is a failure.
const STARTS: u32 = 4;
/// With so many transactions missing a whole copy would be made; ours to decide, so never by itself unless the logs that
/// it needs are gone.
const NEVER: u64 = 9_223_372_036_854_775_807;

/// A member with a history of its own is not taken in.
fn parted(name: &str) -> DriverError {
    DriverError::rejected(
        format!("{name} holds transactions that the group lacks"),
        "resync the cluster to give it a fresh copy; what it holds is set aside first",
    )
}

/// How it signs in at another member to catch up, with the newest password; it keeps this for when it joins again itself.
pub(crate) async fn sign_in(cx: &ClusterContext, session: &mut Session) -> Result<()> {
    let password = cx.secrets.newest(REPLICA)?;
    session
        .run(format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_USER = '{REPLICA}', SOURCE_PASSWORD = '{}' \
             FOR CHANNEL 'group_replication_recovery'",
            password.reveal()
        ))
        .await
}

/// Makes a server the first member of the group. Whoever calls knows that there is no group, and that nobody has more.
pub(crate) async fn begin(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    sign_in(cx, &mut session).await?;
    session.run("SET GLOBAL group_replication_bootstrap_group = ON").await?;
    let begun = session.run_within("START GROUP_REPLICATION", ENTERS_WITHIN).await;
    // Also when it failed: nobody may begin a second one by joining.
    let closed = Session::open(cx, node, As::Operator, ANSWER).await?;
    let mut closed = closed;
    closed.run("SET GLOBAL group_replication_bootstrap_group = OFF").await?;
    begun
}

/// Asks a server that is outside to enter the group that there is. It may be on its way when this returns.
///
/// # Errors
/// `Rejected` when it holds what the group lacks; `Transient` when there is no group or it could not enter yet.
pub(crate) async fn enter(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    // First the one, then the others: it is outside, so it gets nothing more, and they only have more by then.
    let own = survey::ask(cx, node).await?;
    if !own.outside() {
        return Ok(());
    }
    let answers = survey::all(cx).await;
    survey::serving(&answers)?;
    if !survey::known(&answers).contains(&own.executed) {
        return Err(parted(&node.name));
    }
    // One that was killed and is back before the others have put it out: told to enter now, it would wait for an answer
    // that does not come for a minute, and could not be told anything else meanwhile.
    if answers.iter().any(|a| a.is(|p| p.serves() && p.counts(&own.uuid))) {
        let what = format!("the group still counts {} as the member it was before it ended", node.name);
        return Err(DriverError::transient(what));
    }
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    if own.state() == "ERROR" {
        session.run_within("STOP GROUP_REPLICATION", ENTERS_WITHIN).await?;
    }
    sign_in(cx, &mut session).await.map_err(later)?;
    own_numbers(cx, node, &answers, &mut session).await.map_err(later)?;
    same_blocks(cx, &answers, &mut session).await.map_err(later)?;
    let others = answers.iter().filter_map(|a| a.place.as_ref().ok()).filter(|p| p.serves());
    let sent_on = others.into_iter().any(|p| own.executed.contains(&p.purged));
    let copies = own.executed.is_empty() && !cx.spec.lifecycle.begins() || !sent_on;
    let threshold = if copies { 1 } else { NEVER };
    session
        .run(format!("SET GLOBAL group_replication_clone_threshold = {threshold}"))
        .await
        .map_err(later)?;
    session.run_within("START GROUP_REPLICATION", ENTERS_WITHIN).await.map_err(later)
}

/// What a server refuses on its way in passes by itself: what it says is the same for everything (the reason is in its
/// log), and one that still enters since an earlier call, which waited no longer, takes nothing else meanwhile (3724).
fn later(error: DriverError) -> DriverError {
    match error {
        DriverError::Rejected { what, .. } => DriverError::transient(what),
        other => other,
    }
}

/// Where all take writes, a member that enters hands out numbers (AUTO_INCREMENT) that no other one does. Its file says which
/// by its place among the members; one that is in the group may have others since before a node was replaced, and keeps them.
async fn own_numbers(
    cx: &ClusterContext,
    node: &NodeSpec,
    answers: &[Answer<'_>],
    session: &mut Session,
) -> Result<()> {
    if cx.spec.topology != Topology::MultiMaster {
        return Ok(());
    }
    let others = || answers.iter().filter(|a| a.node.id != node.id);
    let used: Vec<u64> =
        others().filter_map(|a| a.place.as_ref().ok()).filter(|p| !p.outside()).map(|p| p.offset).collect();
    let meant: Vec<u64> = others().map(|a| number_offset(cx, a.node).into()).collect();
    let own = u64::from(number_offset(cx, node));
    let all = || (1..=u64::from(NUMBER_STEP)).filter(|n| !used.contains(n));
    let free = all().find(|n| !meant.contains(n)).or_else(|| all().next());
    let chosen = if used.contains(&own) { free.unwrap_or(own) } else { own };
    session
        .run(format!(
            "SET GLOBAL auto_increment_increment = {NUMBER_STEP}, GLOBAL auto_increment_offset = {chosen}"
        ))
        .await
}

/// Numbers of transactions are handed out as the group does it that there is, which nobody enters who would do it otherwise. Its
/// members may be older than their files.
async fn same_blocks(cx: &ClusterContext, answers: &[Answer<'_>], session: &mut Session) -> Result<()> {
    let mut member = Session::open(cx, survey::serving(answers)?, As::Watch, ANSWER).await?;
    let block = member.word(&format!("SELECT {BLOCK}")).await?;
    session.run(format!("SET GLOBAL group_replication_gtid_assignment_block_size = {block}")).await
}

/// Lets a started server enter the group and waits until it has all the group has.
pub(crate) async fn joined(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    let (machine, name) = (cx.machine(node)?, &node.name);
    progress.note(&format!("{name} joins the group"));
    until!(STUCK_AFTER, async {
        if let UnitState::Crashed { detail, restarts } = machine.state(UNIT).await? {
            if restarts >= STARTS {
                return Err(DriverError::rejected(
                    format!("the server of {name} does not run: {detail}"),
                    "the log of its unit says more",
                ));
            }
            if machine.restart_due(UNIT).await? {
                start_node(cx, node, &StartAs::Member).await?;
            }
            return Ok(Look::NotYet(format!("{name} starts again")));
        }
        let place = survey::ask(cx, node).await?;
        Ok(match place.state() {
            _ if place.serves() => Look::Done(()),
            "OFFLINE" | "ERROR" => {
                enter(cx, node).await?;
                Look::NotYet(format!("{name} is not in the group yet"))
            }
            _ => on_its_way(cx, node, &place, progress).await?,
        })
    })?;
    answering(cx, node).await?;
    let traffic =
        if cx.spec.topology == Topology::MultiMaster { Traffic::ReadWrite } else { Traffic::ReadOnly };
    may_take(cx, node, traffic).await
}

/// How much a server has cloned, and of how much; nothing when it does not.
pub(crate) async fn cloned(session: &mut Session) -> Result<Option<(u64, u64)>> {
    let rows = session
        .rows("SELECT SUM(DATA), SUM(ESTIMATE) FROM performance_schema.clone_progress WHERE STATE = 'In Progress'")
        .await?;
    let figure = |column: usize| rows.first().and_then(|row| text(row, column)?.parse::<u64>().ok());
    Ok(figure(0).zip(figure(1)))
}

/// How far a member is that copies everything or catches up.
async fn on_its_way(
    cx: &ClusterContext,
    node: &NodeSpec,
    place: &Place,
    progress: &Progress,
) -> Result<Look<()>> {
    let mut session = Session::open(cx, node, As::Watch, ANSWER).await?;
    Ok(match cloned(&mut session).await? {
        Some((done, total)) => {
            progress.copied(&format!("{} copies everything", node.name), done.min(total), total);
            Look::Moving(format!("{} copies everything", node.name), done)
        }
        None => Look::Moving(format!("{} catches up with the group", node.name), place.executed.count()),
    })
}
