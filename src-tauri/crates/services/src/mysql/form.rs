//! Starting and stopping servers, bringing them together, taking one in and letting one go. Members of a multi-master have
//! their own way of coming together, in `galera`.

use super::{
    accounts, backup, config, copy, flavour, galera, listeners,
    note::{self, Note},
    replication,
    sql::{ANSWER, As, Session},
    survey,
    unit::{self, HEALTH_UNIT, UNIT},
};
use crate::{
    own_way, tls,
    wait::{Look, until},
};
use clusterdeck_domain::{NodeId, NodeKind, NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result, StartAs, Traffic, UnitState};
use futures::future::try_join_all;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// A new data folder takes a second to make; one that crashed is repaired first, which takes what it takes.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// A copy, or a replica that catches up, that does not move for so long is stuck.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(30);
const LOOK_FOR_CRASHES_EVERY: Duration = Duration::from_millis(500);
/// A probe through the endpoint.
const PROBE: Duration = Duration::from_secs(2);

/// Writes the files of a node whose server does not run, and starts it.
pub(crate) async fn start_node(cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
    if node.kind == NodeKind::Witness {
        return Ok(());
    }
    let machine = cx.machine(node)?;
    if !machine.state(UNIT).await?.is_running() {
        let software = flavour::software(&cx.spec, machine.as_ref()).await?;
        tls::ensure(cx, &node.name, machine.as_ref()).await?;
        make(cx, node, start_as).await?;
        let conf = config::conf(cx, node, machine.as_ref())?;
        machine.write(config::CONF, conf.as_bytes(), 0o600).await?;
        take_part(cx, node, start_as).await?;
        unit::start_server(machine.as_ref(), &software).await?;
    }
    unit::start_health(cx, machine.as_ref()).await
}

/// Says how a missing data folder is made. In a new cluster with a primary each node makes its own, all alike, unless it is
/// made from a copy; later ones are copied.
async fn make(cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
    let machine = cx.machine(node)?;
    if machine.exists(config::DATA).await? {
        return Ok(());
    }
    let creating = cx.spec.lifecycle.begins();
    let (first, restored) = (galera::is_first(cx, node), backup::is_restored(cx).await?);
    if *start_as == StartAs::Primary && !creating || first && restored {
        return Err(DriverError::broken(format!("the data of the server at {} is gone", machine.address())));
    }
    let fresh = creating && (first || cx.spec.topology != Topology::MultiMaster && !restored);
    if fresh {
        let text = accounts::first_statements(&cx.secrets)?;
        machine.write(config::ACCOUNTS, text.reveal().as_bytes(), 0o600).await?;
    }
    machine.write(config::MAKE, if fresh { b"fresh" } else { b"copy" }, 0o600).await
}

/// Writes what the server does when it starts, and who leads as far as this is settled by starting it.
async fn take_part(cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
    let machine = cx.machine(node)?;
    machine.remove(config::LEAD).await?;
    if cx.spec.topology == Topology::MultiMaster {
        return galera::take_part(cx, node, start_as).await;
    }
    let creating = cx.spec.lifecycle.begins();
    match start_as {
        StartAs::Primary => {
            replication::remember(cx, node, None).await?;
            if creating || cx.spec.topology == Topology::Single {
                note::write(cx, node, &Note { number: 1, leader: node.id.clone() }).await?;
            }
            machine.write(config::LEAD, b"--read-only=OFF\n", 0o600).await
        }
        StartAs::ReplicaOf(primary) => {
            let primary = cx.node(primary)?;
            if creating {
                note::write(cx, node, &Note { number: 1, leader: primary.id.clone() }).await?;
            }
            replication::remember(cx, node, Some(primary)).await
        }
        StartAs::Member => Err(DriverError::broken("a member of a multi-master in a cluster that is none")),
    }
}

/// Stops a node's server in order, and what stands beside it.
pub(crate) async fn stop_node(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let Ok(machine) = cx.machine(node) else { return Ok(()) };
    machine.stop(HEALTH_UNIT).await?;
    machine.stop(UNIT).await
}

/// Waits until a server answers.
pub(crate) async fn answering(cx: &ClusterContext, node: &NodeSpec) -> Result<Session> {
    let mut looked = Instant::now();
    until!(ANSWERS_WITHIN, async {
        let opened = Session::open(cx, node, As::Operator, ANSWER).await;
        // In a container this is a call of its engine, which would take the time that the server needs to start.
        if opened.is_err() && looked.elapsed() > LOOK_FOR_CRASHES_EVERY {
            still_there(cx, node).await?;
            looked = Instant::now();
        }
        opened.map(Look::Done)
    })
}

/// A server that ended instead of answering says why in its log.
async fn still_there(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    match cx.machine(node)?.state(UNIT).await? {
        UnitState::Crashed { detail, .. } => Err(DriverError::rejected(
            format!("the server of {} does not run: {detail}", node.name),
            "the log of its unit says more",
        )),
        _ => Ok(()),
    }
}

/// Brings freshly started nodes together.
pub(crate) async fn form(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    progress.note("waiting for the servers to answer");
    if cx.spec.topology == Topology::MultiMaster {
        return galera::form(cx, progress).await;
    }
    let restored = backup::is_restored(cx).await?;
    // Made from a copy, only the first one has data yet.
    let begun = if restored { 1 } else { cx.spec.data_nodes().count() };
    for node in cx.spec.data_nodes().take(begun) {
        answering(cx, node).await?;
    }
    let primary = until!(ANSWERS_WITHIN, async {
        survey::writer(&survey::all(cx).await).map(|node| Look::Done(node.clone()))
    })?;
    let others = || cx.spec.data_nodes().filter(|n| n.id != primary.id);
    if restored {
        // All at once: a server waits only so long for its copy to begin.
        try_join_all(others().map(|node| received(cx, node, &primary, progress))).await?;
    }
    for node in others() {
        answering(cx, node).await?;
        // One that was there before its primary would try again only after a second.
        replication::follow(cx, node, &primary, false).await?;
        caught_up(cx, node, &primary, progress).await?;
    }
    may_take(cx, &primary, Traffic::ReadWrite).await
}

/// Waits until the endpoint would send this traffic to a node.
pub(crate) async fn may_take(cx: &ClusterContext, node: &NodeSpec, traffic: Traffic) -> Result<()> {
    until!(STUCK_AFTER, async {
        Ok(if listeners::may_take(cx, node, traffic).await? {
            Look::Done(())
        } else {
            Look::NotYet(format!("{} does not say yet that it may take traffic", node.name))
        })
    })
}

/// Waits until a node follows `primary` and has what that had when we began. Sends it a copy when it waits for one.
pub(crate) async fn caught_up(
    cx: &ClusterContext,
    node: &NodeSpec,
    primary: &NodeSpec,
    progress: &Progress,
) -> Result<()> {
    received(cx, node, primary, progress).await?;
    answering(cx, node).await?;
    let mut lead = Session::open(cx, primary, As::Operator, ANSWER).await?;
    let goal = survey::place(&mut lead).await?;
    until!(STUCK_AFTER, async {
        let place = survey::ask(cx, node).await?;
        let name = &node.name;
        if place.diverged(Some(&goal)) {
            return Err(parted(name, &primary.name));
        }
        let Some(follows) = &place.follows else {
            return Ok(Look::NotYet(format!("{name} follows nobody")));
        };
        let (at, wanted) = (place.sequence(), goal.sequence());
        Ok(if survey::followed(cx, follows).as_ref() != Some(&primary.id) {
            Look::NotYet(format!("{name} does not follow {}", primary.name))
        } else if !follows.runs() {
            let why = follows.complaint().unwrap_or_else(|| "it is connecting".to_owned());
            Look::NotYet(format!("{name} does not follow {} yet: {why}", primary.name))
        } else if at < wanted {
            progress.measured(&format!("{name} catches up"), at, wanted);
            Look::Moving(format!("{name} is behind {}", primary.name), at)
        } else {
            Look::Done(())
        })
    })?;
    may_take(cx, node, Traffic::ReadOnly).await
}

/// A replica with a history of its own is not taken in.
pub(crate) fn parted(name: &str, primary: &str) -> DriverError {
    DriverError::rejected(
        format!("{name} holds transactions that {primary} lacks"),
        "resync the cluster to give it a fresh copy; what it holds is set aside first",
    )
}

/// Waits until a node has its data folder; sends it a copy of `primary`'s when it waits for one.
pub(crate) async fn received(
    cx: &ClusterContext,
    node: &NodeSpec,
    primary: &NodeSpec,
    progress: &Progress,
) -> Result<()> {
    let machine = cx.machine(node)?;
    if machine.exists(config::DATA).await? {
        return copy::end(cx, node).await;
    }
    let total = cx.machine(primary)?.disk_bytes(config::DATA).await?;
    until!(STUCK_AFTER, async {
        if machine.exists(config::DATA).await? {
            return Ok(Look::Done(()));
        }
        still_there(cx, node).await?;
        copy::send(cx, primary, node).await?;
        let here = machine.disk_bytes(config::NEW).await?;
        progress.copied(
            &format!("{} copies the data of {}", node.name, primary.name),
            here.min(total),
            total,
        );
        Ok(Look::Moving(format!("{} copies the data", node.name), here))
    })?;
    copy::end(cx, node).await
}

/// Brings a started node into a running cluster and waits until it has caught up.
pub(crate) async fn join(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    match cx.spec.topology {
        Topology::Single | Topology::Sharded => answering(cx, node).await.map(drop),
        Topology::MultiMaster => galera::joined(cx, node, progress).await,
        Topology::PrimaryReplica => {
            let primary = survey::writer(&survey::all(cx).await)?.clone();
            if primary.id == node.id {
                return Ok(());
            }
            caught_up(cx, node, &primary, progress).await?;
            let known = note::agreed(cx).await?;
            note::write(cx, node, &known).await
        }
    }
}

/// Takes a node out. It may be dead.
pub(crate) async fn leave(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    if cx.spec.topology == Topology::PrimaryReplica && cx.spec.data_nodes().count() > 1 {
        let answers = survey::all(cx).await;
        let leads = survey::writers(&answers).iter().any(|(n, _)| n.id == node.id);
        if leads || note::newest(cx).await.is_some_and(|note| note.leader == node.id) {
            return Err(DriverError::rejected(
                format!("{} takes the writes of this cluster", node.name),
                "promote another node first",
            ));
        }
    }
    copy::end(cx, node).await?;
    stop_node(cx, node).await
}

/// What a crashed node's server should be when it is started again now: what was decided last.
pub(crate) async fn restart_as(cx: &ClusterContext, node: &NodeSpec) -> Result<StartAs> {
    match cx.spec.topology {
        Topology::Single => return Ok(StartAs::Primary),
        Topology::MultiMaster | Topology::Sharded => return galera::restart_as(cx, node).await,
        Topology::PrimaryReplica => {}
    }
    let (answers, note) = (survey::all(cx).await, note::agreed(cx).await?);
    let writers = survey::writers(&answers);
    let other = writers.iter().find(|(n, _)| n.id != node.id).map(|(n, _)| *n);
    match other {
        Some(other) if note.leader == node.id => Err(DriverError::transient(format!(
            "{} was noted as the one that leads, but {} takes writes",
            node.name, other.name
        ))),
        Some(other) => Ok(StartAs::ReplicaOf(other.id.clone())),
        None if note.leader == node.id => Ok(StartAs::Primary),
        None => Ok(StartAs::ReplicaOf(note.leader)),
    }
}

/// Ends a second primary: the one that was decided on last stays. Says who that is when there was another.
pub(crate) async fn step_back(cx: &ClusterContext) -> Result<Option<NodeId>> {
    if cx.spec.topology != Topology::PrimaryReplica {
        return Ok(None);
    }
    let answers = survey::all(cx).await;
    let writers = survey::writers(&answers);
    if writers.len() < 2 {
        return Ok(None);
    }
    let leader = note::agreed(cx).await?.leader;
    let Some((leads, _)) = writers.iter().find(|(n, _)| n.id == leader) else {
        return Err(DriverError::transient("several nodes take writes, and none of them was decided on"));
    };
    for (other, _) in writers.iter().filter(|(n, _)| n.id != leads.id) {
        tracing::warn!(node = %other.name, primary = %leads.name, "a second primary is made to follow");
        replication::follow(cx, other, leads, false).await?;
    }
    Ok(Some(leads.id.clone()))
}

/// Puts right what an interrupted change may have left: the node that was decided on takes writes, everybody who answers
/// follows it.
pub(crate) async fn settle(cx: &ClusterContext) -> Result<()> {
    match cx.spec.topology {
        Topology::PrimaryReplica => {}
        Topology::MultiMaster => return galera::settle(cx).await,
        Topology::Single | Topology::Sharded => return Ok(()),
    }
    let answers = survey::all(cx).await;
    let writers = survey::writers(&answers);
    let note = note::agreed(cx).await?;
    let leader = cx.node(&note.leader)?;
    if writers.is_empty() && answers.iter().any(|a| a.node.id == leader.id && a.place.is_ok()) {
        open(cx, leader).await?;
        replication::follow_nobody(cx, leader).await?;
    } else if writers.iter().any(|(n, _)| n.id != leader.id) {
        return Err(DriverError::transient(format!(
            "{} was decided on, but another node takes writes",
            leader.name
        )));
    }
    for answer in answers.iter().filter(|a| a.node.id != leader.id && !a.node.drained && a.place.is_ok()) {
        note::write(cx, answer.node, &note).await?;
        replication::follow(cx, answer.node, leader, false).await?;
    }
    Ok(())
}

/// Nobody takes writes: a primary that came back by itself is told to lead again, members that lost each other and found
/// each other again are told that they are the group.
pub(crate) async fn heal(cx: &ClusterContext) -> Result<()> {
    match cx.spec.topology {
        Topology::MultiMaster => return galera::heal(cx).await,
        Topology::PrimaryReplica | Topology::Single => {}
        Topology::Sharded => return Ok(()),
    }
    let note = note::agreed(cx).await?;
    let answers = survey::all(cx).await;
    let leader = answers.iter().find(|a| a.node.id == note.leader);
    let waits = |a: &&survey::Answer<'_>| {
        !a.node.drained && a.place.as_ref().is_ok_and(|p| !p.writable && p.follows.is_none())
    };
    match leader.filter(waits) {
        Some(leader) if survey::writers(&answers).is_empty() => {
            tracing::warn!(node = %leader.node.name, "came back by itself; it is told to lead again");
            open(cx, leader.node).await
        }
        _ => Ok(()),
    }
}

/// Lets a server take writes.
pub(crate) async fn open(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    Session::open(cx, node, As::Operator, ANSWER).await?.run("SET GLOBAL read_only = OFF").await
}

/// Writes and reads through the endpoint as people do.
pub(crate) async fn probe(cx: &ClusterContext) -> Result<()> {
    let mut last = own_way::nobody();
    for (whom, at) in own_way::to_write(cx, config::PORT)? {
        match write_and_read(cx, &whom, at).await {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn write_and_read(cx: &ClusterContext, whom: &str, at: SocketAddr) -> Result<()> {
    let mut session = Session::connect(cx, whom, at, As::People, PROBE).await?;
    session.run("CREATE TABLE IF NOT EXISTS clusterdeck_probe (n INT PRIMARY KEY) ENGINE=InnoDB").await?;
    session.run("REPLACE INTO clusterdeck_probe VALUES (1)").await?;
    let read = session.word("SELECT n FROM clusterdeck_probe").await;
    session.run("DROP TABLE IF EXISTS clusterdeck_probe").await?;
    if read? != "1" {
        return Err(DriverError::broken(format!("{whom} did not return what was just written there")));
    }
    Ok(())
}
