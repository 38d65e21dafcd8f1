//! A promotion: the writes move from one server to another because a person asked for it. The order is what makes it safe:
//!
//! 1. The old primary becomes read-only. From the moment it says so it commits nothing any more, also not what was begun
//!    before; a statement that runs longer than a second is ended.
//! 2. The target waits until it has the old one's last transaction. When it does not come, the old primary opens again.
//! 3. What was decided is noted on the target's machine, then the target opens, and the endpoint turns.
//! 4. The old primary and everybody else follow the target.
//!
//! Killed before the note, the old primary is found read-only and noted as leading: it goes on from 1, or is opened again.
//! Killed after it, the target is opened. At no moment do two take writes.

use super::{
    accounts,
    form::{self, parted},
    note::{self, Note},
    replication,
    sql::{ANSWER, As, Session, number, text},
    survey::{self, Answer, Place},
    unit::UNIT,
};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, HandOver, Result, StartAs, Switch, UnitState};
use futures::future::join_all;
use std::time::Instant;

/// For the statements that are under way to end, in seconds; nobody writes meanwhile.
const STATEMENTS_END_WITHIN_S: u8 = 1;
/// For the target to have the last transaction, in seconds.
const CATCH_UP_S: u8 = 1;
/// For what a replica has received to be applied when its primary is dead, in seconds.
const APPLY_S: u8 = 10;
/// A replica that is further behind, in transactions, is not handed to; the preview looks at bytes.
const MOST_BEHIND: u64 = 10_000;

/// Hands the writes over to `target`.
pub(crate) async fn hand_over(
    cx: &ClusterContext,
    target: &NodeSpec,
    switch: &(dyn Fn() -> Switch + Send + Sync),
) -> Result<HandOver> {
    let answers = survey::all(cx).await;
    let note = note::agreed(cx).await?;
    let writers = survey::writers(&answers);
    let (write_gap_ms, turned) = match writers.as_slice() {
        [(one, _)] if one.id == target.id => (0.0, switch().await),
        [(one, _)] => change_places(cx, one, target, &answers, switch).await?,
        [] if note.leader == target.id => {
            // An interrupted call came as far as the note.
            form::open(cx, target).await?;
            (0.0, switch().await)
        }
        [] => {
            let old = cx.node(&note.leader)?;
            change_places(cx, old, target, &answers, switch).await?
        }
        _ => return Err(DriverError::transient("several nodes take writes; one of them must step back")),
    };
    everybody_follows(cx, target).await?;
    turned?;
    Ok(HandOver { write_gap_ms })
}

async fn change_places(
    cx: &ClusterContext,
    old: &NodeSpec,
    target: &NodeSpec,
    answers: &[Answer<'_>],
    switch: &(dyn Fn() -> Switch + Send + Sync),
) -> Result<(f64, Result<()>)> {
    fit(cx, old, target, answers)?;
    let number = note::agreed(cx).await?.number + 1;
    let mut from = Session::open(cx, old, As::Operator, ANSWER).await?;
    let mut to = Session::open(cx, target, As::Operator, ANSWER).await?;
    let since = Instant::now();
    if let Err(e) = close_and_wait(&mut from, &mut to, target).await {
        reopen(&mut from).await;
        return Err(e);
    }
    note::decide(cx, target, &Note { number, leader: target.id.clone() }).await?;
    to.run("SET GLOBAL read_only = OFF").await?;
    let turned = switch().await;
    let write_gap_ms = since.elapsed().as_secs_f64() * 1000.0;
    if let Err(e) = &turned {
        tracing::warn!(target = %target.name, error = %e, "the endpoint was not turned; its role checks will do it");
    }
    // Those that did not come through the endpoint would go on asking a node that refuses their writes.
    if let Err(e) = end_people(&mut from, false).await {
        tracing::warn!(node = %old.name, error = %e, "people's connections to the former primary stay");
    }
    Ok((write_gap_ms, turned))
}

/// Whether the target can take over now.
fn fit(cx: &ClusterContext, old: &NodeSpec, target: &NodeSpec, answers: &[Answer<'_>]) -> Result<()> {
    let place = |node: &NodeSpec| -> Result<&Place> {
        let found = answers.iter().find(|a| a.node.id == node.id);
        let found = found.ok_or_else(|| DriverError::Gone { what: node.name.clone() })?;
        found.place.as_ref().map_err(Clone::clone)
    };
    let (lead, new) = (place(old)?, place(target)?);
    if new.diverged(Some(lead)) {
        return Err(parted(&target.name, &old.name));
    }
    let followed = new.follows.as_ref().and_then(|f| survey::followed(cx, f));
    let behind = lead.sequence().saturating_sub(new.sequence());
    let what = if followed.as_ref() != Some(&old.id) {
        format!("{} does not follow {}", target.name, old.name)
    } else if !new.follows.as_ref().is_some_and(survey::Follows::runs) {
        format!("{} is not in step with {}", target.name, old.name)
    } else if behind > MOST_BEHIND {
        format!("{} is {behind} transactions behind", target.name)
    } else {
        return Ok(());
    };
    Err(DriverError::rejected(
        what,
        format!("{} goes on taking writes; wait or resync the replica", old.name),
    ))
}

/// Closes the old primary and waits until the target has everything.
async fn close_and_wait(from: &mut Session, to: &mut Session, target: &NodeSpec) -> Result<()> {
    close(from).await?;
    let goal = from.word("SELECT @@global.gtid_binlog_pos").await?;
    if !has(to, &goal, CATCH_UP_S).await? {
        return Err(DriverError::rejected(
            format!("{} did not catch up in time", target.name),
            "the old primary takes writes again and nothing was lost; try again when there is less load",
        ));
    }
    Ok(())
}

/// Makes a server read-only. It waits for running statements, and whoever wants to write waits with it: so not for long.
async fn close(from: &mut Session) -> Result<()> {
    from.run(format!("SET SESSION lock_wait_timeout = {STATEMENTS_END_WITHIN_S}")).await?;
    match from.run("SET GLOBAL read_only = ON").await {
        Err(DriverError::Transient { .. }) => {}
        done => return done,
    }
    end_people(from, true).await?;
    from.run("SET GLOBAL read_only = ON").await.map_err(|_| {
        DriverError::rejected(
            format!("a statement on {} did not end in time", from.whom()),
            "it goes on taking writes and nothing was changed; try again when that statement is done",
        )
    })
}

/// Ends people's connections: all of them, or those whose transactions have written something.
async fn end_people(session: &mut Session, writing: bool) -> Result<()> {
    let ours: Vec<_> = accounts::OURS.iter().map(|user| format!("'{user}'")).collect();
    let only = if writing {
        " AND ID IN (SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX)"
    } else {
        ""
    };
    let people = session
        .rows(&format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE USER NOT IN ({}, 'system user', 'event_scheduler'){only}",
            ours.join(", ")
        ))
        .await?;
    for id in people.iter().filter_map(|row| number(row, 0)) {
        // 1094: it went by itself meanwhile.
        match session.run(format!("KILL HARD CONNECTION {id}")).await {
            Err(DriverError::Rejected { what, .. }) if what.contains("(1094)") => {}
            done => done?,
        }
    }
    Ok(())
}

/// Whether a server has these transactions, at last after so many seconds.
async fn has(session: &mut Session, goal: &str, seconds: u8) -> Result<bool> {
    if goal.is_empty() {
        return Ok(true);
    }
    let row = session.row(&format!("SELECT MASTER_GTID_WAIT('{goal}', {seconds})")).await?;
    Ok(text(&row, 0).as_deref() == Some("0"))
}

/// Lets the old primary take writes again after a hand-over that came to nothing.
async fn reopen(from: &mut Session) {
    if let Err(e) = from.run("SET GLOBAL read_only = OFF").await {
        tracing::warn!(node = from.whom(), error = %e, "the old primary stays read-only until it is settled");
    }
}

/// Everybody else follows the target, now and after a restart. Nodes that do not answer find out when they start again.
async fn everybody_follows(cx: &ClusterContext, target: &NodeSpec) -> Result<()> {
    replication::follow_nobody(cx, target).await?;
    let note = note::agreed(cx).await?;
    let others = cx.spec.data_nodes().filter(|n| n.id != target.id && !n.drained);
    let note = &note;
    let done = join_all(others.map(|node| async move {
        note::write(cx, node, note).await?;
        match replication::follow(cx, node, target, false).await {
            Err(e) if e.is_transient() => {
                tracing::info!(node = %node.name, "does not answer; it will follow when it starts again");
                Ok(())
            }
            done => done,
        }
    }))
    .await;
    done.into_iter().collect::<Result<Vec<()>>>().map(drop)
}

/// Lets `target` lead although the primary is dead and cannot be asked. Its machine must say that its process is gone: one
/// that only does not answer may go on taking writes. What it had acknowledged and sent to nobody is lost.
pub(crate) async fn take_over(
    cx: &ClusterContext,
    target: &NodeSpec,
    switch: &(dyn Fn() -> Switch + Send + Sync),
) -> Result<HandOver> {
    let answers = survey::all(cx).await;
    let note = note::agreed(cx).await?;
    if let Some((one, _)) = survey::writers(&answers).iter().find(|(n, _)| n.id != target.id) {
        return Err(DriverError::rejected(
            format!("{} takes writes", one.name),
            "nothing was changed; a promotion without loss is possible",
        ));
    }
    let since = Instant::now();
    if note.leader != target.id {
        gone(cx, cx.node(&note.leader)?).await?;
        furthest(cx, target, &answers).await?;
        let number = note.number + 1;
        note::decide(cx, target, &Note { number, leader: target.id.clone() }).await?;
    }
    form::open(cx, target).await?;
    let turned = switch().await;
    let write_gap_ms = since.elapsed().as_secs_f64() * 1000.0;
    everybody_follows(cx, target).await?;
    turned?;
    if note.leader != target.id {
        // It comes back as a follower. Whether it parted shows when it does.
        form::start_node(cx, cx.node(&note.leader)?, &StartAs::ReplicaOf(target.id.clone())).await?;
    }
    Ok(HandOver { write_gap_ms })
}

/// Makes sure that a dead server stays dead until it is started as a follower.
async fn gone(cx: &ClusterContext, old: &NodeSpec) -> Result<()> {
    let machine = cx.machine(old)?;
    match machine.state(UNIT).await? {
        UnitState::Running { .. } => Err(DriverError::rejected(
            format!("the process of {} is there: hung is not dead", old.name),
            "nothing was changed; reboot that node, or stop it first",
        )),
        UnitState::Absent | UnitState::Stopped | UnitState::Crashed { .. } => machine.stop(UNIT).await,
    }
}

/// The target has all that any replica has received, and has applied it.
async fn furthest(cx: &ClusterContext, target: &NodeSpec, answers: &[Answer<'_>]) -> Result<()> {
    let mut received = 0;
    for answer in answers.iter().filter(|a| !a.node.drained) {
        match &answer.place {
            Ok(place) if answer.node.id == target.id => received = place.received(),
            Ok(_) => {}
            // Dead as its machine says, or unknown: unknown is not dead.
            Err(e) if cx.machine(answer.node)?.state(UNIT).await?.is_running() => return Err(e.clone()),
            Err(_) => {}
        }
    }
    let ahead = answers.iter().find(|a| a.place.as_ref().is_ok_and(|p| p.received() > received));
    if let Some(ahead) = ahead {
        return Err(DriverError::rejected(
            format!("{} has received more than {}", ahead.node.name, target.name),
            format!("promote {}; nothing was changed", ahead.node.name),
        ));
    }
    let mut session = Session::open(cx, target, As::Operator, ANSWER).await?;
    let place = survey::place(&mut session).await?;
    let goal = place.follows.map(|f| f.received_gtid.to_string()).unwrap_or_default();
    for _ in 0..APPLY_S {
        if has(&mut session, &goal, 1).await? {
            return Ok(());
        }
    }
    Err(DriverError::transient(format!("{} still applies what it received", target.name)))
}
