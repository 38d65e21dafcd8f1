//! Changes to running servers: a restart where they are, a fresh copy, new passwords.

use super::{
    accounts, config, copy, flavour,
    form::{self, answering, caught_up, start_node},
    galera, note, replication,
    sql::{ANSWER, As, Session},
    survey,
    unit::{UNIT, write_watch_conf},
};
use crate::{
    aside::{Aside, Held},
    tls,
    wait::{Look, until},
};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result, StartAs, Traffic};
use std::time::Duration;

const ASIDE: Aside =
    Aside { data: config::DATA, waiting: "mysql/data.before-copy", kept: &["mysql/data.old"] };
/// Until every replica has the accounts as they are now.
const ACCOUNTS_ARRIVE_WITHIN: Duration = Duration::from_secs(20);

/// Restarts a primary, or the server of a single node, which leads again.
pub(crate) async fn restart_in_place(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    form::stop_node(cx, node).await?;
    start_node(cx, node, &StartAs::Primary).await?;
    answering(cx, node).await?;
    form::may_take(cx, node, Traffic::ReadWrite).await
}

/// Lets every certificate name where other computers come in. A server that does not run reads its own when it starts.
pub(crate) async fn name_exposed(cx: &ClusterContext) -> Result<()> {
    // Neither goes to replicas or other members by the log: each server has a certificate of its own.
    let reread = match flavour::Flavour::of(&cx.spec.version) {
        flavour::Flavour::MariaDb => "FLUSH LOCAL SSL",
        flavour::Flavour::MySql => "ALTER INSTANCE RELOAD TLS",
    };
    for node in cx.spec.data_nodes() {
        let Ok(machine) = cx.machine(node) else { continue };
        tls::ensure(cx, &node.name, machine.as_ref()).await?;
        if machine.state(UNIT).await?.is_running() {
            Session::open(cx, node, As::Operator, ANSWER).await?.run(reread).await?;
        }
    }
    Ok(())
}

/// Lets a replica copy everything again.
pub(crate) async fn resync(
    cx: &ClusterContext,
    node: &NodeSpec,
    progress: &Progress,
) -> Result<Option<String>> {
    if cx.spec.topology != Topology::PrimaryReplica {
        return Err(DriverError::Unsupported {
            what: "a fresh copy where no node copies another".to_owned(),
        });
    }
    let answers = survey::all(cx).await;
    let primary = survey::writer(&answers)?;
    if primary.id == node.id {
        let what = format!("{} is the primary; there is nobody to copy from", node.name);
        return Err(DriverError::rejected(what, "promote another node first"));
    }
    let machine = cx.machine(node)?;
    let place =
        |of: &NodeSpec| answers.iter().find(|a| a.node.id == of.id).and_then(|a| a.place.as_ref().ok());
    let held = Held::of(place(node).map(|p| p.diverged(place(primary))));
    // What cannot be started again is not stopped.
    flavour::software(&cx.spec, machine.as_ref()).await?;
    progress.note(&format!("stopping {}", node.name));
    copy::end(cx, node).await?;
    machine.stop(UNIT).await?;
    if ASIDE.put_away(machine.as_ref(), held, &primary.name).await? {
        machine.remove(config::DATA).await?;
    }
    start_node(cx, node, &StartAs::ReplicaOf(primary.id.clone())).await?;
    caught_up(cx, node, primary, progress).await?;
    note::write(cx, node, &note::agreed(cx).await?).await?;
    ASIDE.done(machine.as_ref()).await
}

/// Writes the accounts as `cx.secrets` wants them and waits until every server has them.
async fn write_accounts(cx: &ClusterContext) -> Result<()> {
    let answers = survey::all(cx).await;
    let lead = match cx.spec.topology {
        Topology::MultiMaster => galera::any_member(cx).await?,
        _ => survey::writer(&answers)?,
    };
    let mut session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    for statement in accounts::statements(&cx.secrets)? {
        session.run(statement.reveal()).await?;
    }
    let goal = survey::place(&mut session).await?.sequence();
    for node in cx.spec.data_nodes().filter(|n| !n.drained && cx.spec.topology == Topology::PrimaryReplica) {
        until!(ACCOUNTS_ARRIVE_WITHIN, async {
            let at = survey::ask(cx, node).await?.sequence();
            Ok(if at >= goal {
                Look::Done(())
            } else {
                Look::Moving(format!("{} has not got the new passwords yet", node.name), at)
            })
        })?;
    }
    Ok(())
}

/// Links and role checks sign in with the newest passwords.
async fn use_newest(cx: &ClusterContext) -> Result<()> {
    let answers = survey::all(cx).await;
    for node in cx.spec.data_nodes().filter(|n| !n.drained) {
        let machine = cx.machine(node)?;
        write_watch_conf(cx, machine.as_ref()).await?;
        // Its session stays open as it is; the file is for the next one.
    }
    if cx.spec.topology == Topology::MultiMaster {
        galera::use_newest(cx).await?;
    }
    if cx.spec.topology == Topology::PrimaryReplica {
        let lead = survey::writer(&answers)?;
        for node in cx.spec.data_nodes().filter(|n| !n.drained && n.id != lead.id) {
            replication::follow(cx, node, lead, true).await?;
        }
    }
    Ok(())
}

/// Rotation, first half: every server accepts both passwords, then links and role checks use the new ones.
pub(crate) async fn accept_next_secrets(cx: &ClusterContext) -> Result<()> {
    write_accounts(cx).await?;
    use_newest(cx).await
}

/// Rotation, second half, or its undoing: links and role checks use what is in force, then nothing else is accepted.
pub(crate) async fn retire_old_secrets(cx: &ClusterContext) -> Result<()> {
    use_newest(cx).await?;
    write_accounts(cx).await
}
