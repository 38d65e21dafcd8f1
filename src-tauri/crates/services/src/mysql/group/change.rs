//! Changes to a running group: a restart of the primary, a fresh copy, new passwords.

use super::super::{
    config::DATA,
    flavour,
    form::{answering, may_take},
    sql::{ANSWER, As, Session},
    unit::write_watch_conf,
};
use super::{
    accounts::ACCOUNTS,
    enter,
    form::{start_node, stop_node},
    hand_over,
    survey::{self, Place},
};
use crate::wait::{Look, until};
use clusterdeck_domain::{NodeSpec, Sensitive, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result, StartAs, Switch, Traffic};
use std::time::Duration;

/// Where a member's data waits until its fresh copy is in step.
const WAITING: &str = "mysql/data.before-copy";
/// Where data lies that holds transactions nobody else has, until the next resync.
const DIVERGED: &str = "mysql/data.diverged";
/// Until every member has the accounts as they are now.
const ACCOUNTS_ARRIVE_WITHIN: Duration = Duration::from_secs(20);

/// Restarts a single node, or the primary: another member leads while it is away, and hands back when it has caught up.
pub(crate) async fn restart_in_place(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    stop_node(cx, node).await?;
    start_node(cx, node, &StartAs::Primary).await?;
    answering(cx, node).await?;
    if cx.spec.topology == Topology::PrimaryReplica {
        enter::joined(cx, node, &Progress::silent()).await?;
        // The role checks turn the endpoint: nobody gave us a way to.
        let wait: &(dyn Fn() -> Switch + Send + Sync) = &|| Box::pin(async { Ok(()) });
        hand_over::hand_over(cx, node, wait).await?;
    }
    may_take(cx, node, Traffic::ReadWrite).await
}

/// Lets a member copy everything again. What it held that the group lacks is set aside once, and a call that was interrupted
/// and is made again leaves it there: what lies in its place by then is the new copy, or a part of one.
pub(crate) async fn resync(
    cx: &ClusterContext,
    node: &NodeSpec,
    progress: &Progress,
) -> Result<Option<String>> {
    let answers = survey::all(cx).await;
    let lead = survey::serving(&answers)?;
    if lead.id == node.id {
        let what = format!("{} takes the writes; there is nobody to copy from", node.name);
        return Err(DriverError::rejected(what, "promote another node first"));
    }
    let machine = cx.machine(node)?;
    // What cannot be started again is not stopped.
    flavour::software(&cx.spec, machine.as_ref()).await?;
    if !machine.exists(WAITING).await? && machine.exists(DATA).await? {
        let diverged = holds_more(cx, node).await?;
        progress.note(&format!("stopping {}", node.name));
        stop_node(cx, node).await?;
        machine.remove(DIVERGED).await?;
        if diverged {
            machine.rename(DATA, DIVERGED).await?;
            // Also after a kill it is known that nothing else waits.
            machine.create_dir(WAITING).await?;
        } else {
            machine.rename(DATA, WAITING).await?;
        }
    }
    start_node(cx, node, &StartAs::Member).await?;
    answering(cx, node).await?;
    enter::joined(cx, node, progress).await?;
    let kept = machine.exists(DIVERGED).await?.then(|| {
        let at = machine.path(DIVERGED);
        format!(
            "It held transactions that {} lacks. Its old data is kept in {} until the next resync.",
            lead.name,
            at.display()
        )
    });
    machine.remove(WAITING).await?;
    Ok(kept)
}

/// Whether a member holds transactions that the group lacks. One that does not answer may: it is set aside as well.
async fn holds_more(cx: &ClusterContext, node: &NodeSpec) -> Result<bool> {
    // First the one, then the others: they may have more by then, it may not.
    let Ok(own) = survey::ask(cx, node).await else { return Ok(true) };
    let answers = survey::all(cx).await;
    survey::serving(&answers)?;
    let others: Vec<_> = answers.into_iter().filter(|a| a.node.id != node.id).collect();
    Ok(!survey::known(&others).contains(&own.executed))
}

/// Rotation, first half: every account accepts both passwords, on every member; then members sign in with the new ones.
pub(crate) async fn accept_next_secrets(cx: &ClusterContext) -> Result<()> {
    let lead = writer(cx).await?;
    let mut session = Session::open(cx, &lead, As::Operator, ANSWER).await?;
    for account in &ACCOUNTS {
        let password = cx.secrets.newest(account.who.secret())?;
        // Told twice, the server would keep the new one as the old one too, and forget the one that is in use.
        if Session::opens(cx, &lead, account.who, password).await? {
            continue;
        }
        let text = format!(
            "ALTER USER {} IDENTIFIED BY '{}' RETAIN CURRENT PASSWORD",
            account.name(),
            password.reveal()
        );
        session.run(Sensitive::new(text).reveal()).await?;
    }
    everybody_has(cx, &mut session).await?;
    use_newest(cx).await
}

/// Rotation, second half, or its undoing: members sign in with what is in force, then nothing else is accepted.
pub(crate) async fn retire_old_secrets(cx: &ClusterContext) -> Result<()> {
    use_newest(cx).await?;
    let lead = writer(cx).await?;
    let mut session = Session::open(cx, &lead, As::Operator, ANSWER).await?;
    for account in &ACCOUNTS {
        let (name, password) = (account.name(), cx.secrets.get(account.who.secret())?);
        session.run(format!("ALTER USER {name} IDENTIFIED BY '{}'", password.reveal())).await?;
        session.run(format!("ALTER USER {name} DISCARD OLD PASSWORD")).await?;
    }
    everybody_has(cx, &mut session).await
}

/// The node whose accounts are those of all.
async fn writer(cx: &ClusterContext) -> Result<NodeSpec> {
    let answers = survey::all(cx).await;
    let alone = answers.iter().find(|a| a.is(|p| p.writable && p.outside())).map(|a| a.node);
    match (cx.spec.topology, alone) {
        (Topology::Single, Some(node)) => Ok(node.clone()),
        _ => survey::serving(&answers).cloned(),
    }
}

/// Waits until every member in service has what this one has.
async fn everybody_has(cx: &ClusterContext, session: &mut Session) -> Result<()> {
    let goal = survey::place(session).await?.executed;
    for node in cx.spec.data_nodes().filter(|n| !n.drained) {
        until!(ACCOUNTS_ARRIVE_WITHIN, async {
            let place: Place = survey::ask(cx, node).await?;
            Ok(if place.executed.contains(&goal) {
                Look::Done(())
            } else {
                let what = format!("{} has not got the new passwords yet", node.name);
                Look::Moving(what, place.executed.count())
            })
        })?;
    }
    Ok(())
}

/// Members that catch up and role checks sign in with the newest passwords.
async fn use_newest(cx: &ClusterContext) -> Result<()> {
    for node in cx.spec.data_nodes().filter(|n| !n.drained) {
        write_watch_conf(cx, cx.machine(node)?.as_ref()).await?;
        let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
        enter::sign_in(cx, &mut session).await?;
    }
    Ok(())
}
