//! Making the servers of a group and bringing them together: start, form, join, leave.

use super::super::{
    backup,
    config::{ACCOUNTS, CONF, DATA, LEAD},
    flavour,
    form::{ANSWERS_WITHIN, answering, may_take},
    galera,
    sql::{ANSWER, As, Session},
    unit::{self, HEALTH_UNIT, UNIT},
};
use super::{
    accounts, config, enter, growth, heal,
    survey::{self, Answer, Place},
};
use crate::{
    tls,
    wait::{Look, until},
};
use clusterdeck_domain::{NodeKind, NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result, StartAs, Traffic};
use futures::future::try_join_all;
use std::time::Duration;

/// The others take note that a member is gone: at once when it says so, in some seconds when it cannot.
const MISSED_WITHIN: Duration = Duration::from_secs(15);
/// For transactions that are on their way to end; nobody begins one meanwhile.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);
/// A member that leaves ends what it applies first.
const LEAVES_WITHIN: Duration = Duration::from_secs(20);

/// Writes the files of a node whose server does not run, and starts it: read-only and in no group, but for a single node.
pub(crate) async fn start_node(cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
    if node.kind == NodeKind::Witness {
        return Ok(());
    }
    let machine = cx.machine(node)?;
    if !machine.state(UNIT).await?.is_running() {
        let software = flavour::software(&cx.spec, machine.as_ref()).await?;
        tls::ensure(cx, &node.name, machine.as_ref()).await?;
        let new = !machine.exists(DATA).await?;
        if new {
            let alone = cx.spec.topology == Topology::Single && !cx.spec.lifecycle.begins();
            if alone || galera::is_first(cx, node) && backup::is_restored(cx).await? {
                return Err(DriverError::broken(format!(
                    "the data of the server at {} is gone",
                    machine.address()
                )));
            }
            let text = accounts::first_statements(&cx.secrets)?;
            machine.write(ACCOUNTS, text.reveal().as_bytes(), 0o600).await?;
        }
        let conf = config::conf(cx, node, machine.as_ref());
        machine.write(CONF, conf.as_bytes(), 0o600).await?;
        if !new {
            machine.remove(LEAD).await?;
        }
        if cx.spec.topology == Topology::Single && *start_as == StartAs::Primary {
            machine.write(LEAD, b"--super-read-only=OFF --read-only=OFF\n", 0o600).await?;
        }
        unit::start_group_server(machine.as_ref(), &software).await?;
    }
    unit::start_health(cx, machine.as_ref()).await
}

/// Brings freshly started servers together.
pub(crate) async fn form(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    progress.note("waiting for the servers to answer");
    try_join_all(cx.spec.data_nodes().map(|node| answering(cx, node))).await?;
    if let (Topology::Single, Some(node)) = (cx.spec.topology, cx.spec.data_nodes().next()) {
        return may_take(cx, node, Traffic::ReadWrite).await;
    }
    if survey::serving(&survey::all(cx).await).is_err() {
        heal::begin_again(cx).await?;
    }
    let leader = until!(MISSED_WITHIN, async {
        survey::serving(&survey::all(cx).await).map(|n| Look::Done(n.clone()))
    })?;
    let others = cx.spec.data_nodes().filter(|n| n.id != leader.id);
    if backup::is_restored(cx).await? {
        // They clone it, and it gives one clone at a time.
        for node in others {
            enter::joined(cx, node, progress).await?;
        }
    } else {
        try_join_all(others.map(|node| enter::joined(cx, node, progress))).await?;
    }
    may_take(cx, &leader, Traffic::ReadWrite).await
}

/// Brings a started server into the running group. A single node begins the group first.
pub(crate) async fn join(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    if cx.spec.topology == Topology::Single {
        return answering(cx, node).await.map(drop);
    }
    answering(cx, node).await?;
    // A new one that still makes its folder is waited for: the group begins only when it is known that nobody has anything.
    until!(ANSWERS_WITHIN, async {
        let answers = survey::all(cx).await;
        if survey::serving(&answers).is_ok() {
            return Ok(Look::Done(()));
        }
        let Some(alone) = single(&answers) else {
            return Ok(Look::NotYet("no member of the group serves at the moment".to_owned()));
        };
        growth::fits_a_group(cx, alone).await?;
        progress.note(&format!("{} begins the group", alone.name));
        enter::begin(cx, alone).await.map(Look::Done)
    })?;
    enter::joined(cx, node, progress).await
}

/// A server that takes writes and is in no group, while everybody else is new: what a single node is that is being given
/// company.
fn single<'a>(answers: &[Answer<'a>]) -> Option<&'a NodeSpec> {
    let mut writers = answers.iter().filter(|a| a.is(|p| p.writable && p.outside()));
    let (one, another) = (writers.next()?, writers.next());
    let new = |a: &Answer<'_>| a.is(|p| p.outside() && p.executed.is_empty());
    let rest_new = answers.iter().all(|a| a.node.id == one.node.id || new(a));
    (another.is_none() && rest_new).then_some(one.node)
}

/// Takes a node out. It may be dead.
pub(crate) async fn leave(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let answers = survey::all(cx).await;
    let leads = answers.iter().any(|a| a.node.id == node.id && a.is(Place::leads));
    if leads && cx.spec.topology == Topology::PrimaryReplica && cx.spec.data_nodes().count() > 1 {
        return Err(DriverError::rejected(
            format!("{} takes the writes of this cluster", node.name),
            "promote another node first",
        ));
    }
    let uuid =
        answers.iter().find(|a| a.node.id == node.id).and_then(|a| Some(a.place.as_ref().ok()?.uuid.clone()));
    stop_node(cx, node).await?;
    let Some(uuid) = uuid else { return Ok(()) };
    until!(MISSED_WITHIN, async {
        let answers = survey::all(cx).await;
        let knows = |p: &Place| p.serves() && p.members.iter().any(|m| m.uuid == uuid);
        Ok(if answers.iter().any(|a| a.is(knows)) {
            Look::NotYet(format!("the group still counts {}", node.name))
        } else {
            Look::Done(())
        })
    })
}

/// Stops a node's server in order, and what stands beside it.
pub(crate) async fn stop_node(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let Ok(machine) = cx.machine(node) else { return Ok(()) };
    machine.stop(HEALTH_UNIT).await?;
    if machine.state(UNIT).await?.is_running()
        && let Err(e) = leave_group(cx, node).await
    {
        tracing::info!(node = %node.name, error = %e, "is stopped without having left its group");
    }
    machine.stop(UNIT).await
}

/// A member that leaves while somebody commits leaves that transaction without an answer; what it locks then holds up the end
/// of the server until a lock is waited for no longer (50 s, seen). So it takes no more writes before it leaves: closing waits
/// for those that are on their way.
async fn leave_group(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    if survey::ask(cx, node).await?.outside() {
        return Ok(());
    }
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    session.run(format!("SET SESSION lock_wait_timeout = {}", CLOSES_WITHIN.as_secs())).await?;
    session.run_within("SET GLOBAL super_read_only = ON", 2 * CLOSES_WITHIN).await?;
    session.run_within("STOP GROUP_REPLICATION", LEAVES_WITHIN).await
}
