//! Changes to running nodes: candidates, options, a fresh copy, new passwords.

use super::{
    config::{self, ACL, DATA},
    flavour,
    form::{ASIDE, UNIT, answering, caught_up, edit, start_node},
    sentinel,
    session::{Session, command},
    shards, survey,
};
use crate::aside::Held;
use clusterdeck_domain::{NodeKind, NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result, StartAs};
use futures::future::join_all;

/// Sets one directive, running and on disk. A server that does not answer reads it when it starts.
async fn set(cx: &ClusterContext, node: &NodeSpec, name: &str, value: &str) -> Result<()> {
    edit(cx, node, |conf| config::with(conf, name, Some(value))).await?;
    if !cx.machine(node)?.state(UNIT).await?.is_running() {
        return Ok(());
    }
    let mut session = Session::open(cx, node).await?;
    let there: Vec<String> = session.say(&format!("CONFIG GET {name}")).await?;
    if there.get(1).is_some_and(|now| now == value) {
        return Ok(());
    }
    session.ask(command("CONFIG SET").arg(name).arg(value)).await
}

/// Makes a node a candidate for promotion or not.
pub(crate) async fn set_candidate(cx: &ClusterContext, node: &NodeSpec, candidate: bool) -> Result<()> {
    if node.kind == NodeKind::Witness {
        return Ok(());
    }
    match cx.spec.topology {
        Topology::Sharded => {
            let stays = if candidate && cx.spec.auto_failover { "no" } else { "yes" };
            set(cx, node, "cluster-replica-no-failover", stays).await
        }
        Topology::PrimaryReplica => {
            set(cx, node, "replica-priority", if candidate { "100" } else { "0" }).await
        }
        Topology::Single | Topology::MultiMaster => Ok(()),
    }
}

/// Applies the spec's options. How many replicas a primary wants to see follows the number of nodes too, so this is
/// done whenever the voters are told about a change.
pub(crate) async fn apply_options(cx: &ClusterContext) -> Result<()> {
    let wanted = config::replicas_for_writes(cx).to_string();
    let nodes = cx.spec.data_nodes().filter(|n| cx.machine(n).is_ok());
    let done = join_all(nodes.map(|node| {
        let wanted = wanted.as_str();
        async move {
            match cx.spec.topology {
                Topology::Sharded => {
                    set(cx, node, "cluster-replica-no-failover", config::stays_replica(cx, node)).await
                }
                _ => set(cx, node, "min-replicas-to-write", wanted).await,
            }
        }
    }));
    for (done, node) in done.await.into_iter().zip(cx.spec.data_nodes()) {
        match done {
            // A hung node keeps what it has; the file on its disk is right.
            Err(e) if e.is_transient() => {
                tracing::warn!(node = %node.name, error = %e, "options reach this node when it starts again");
            }
            other => other?,
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
    let (primary, start_as) = match cx.spec.topology {
        Topology::PrimaryReplica => {
            let primary = survey::primary(&survey::all(cx).await)?;
            (primary, StartAs::ReplicaOf(primary.id.clone()))
        }
        Topology::Sharded => (shards::primary_of(cx, node).await?, StartAs::Member),
        Topology::Single | Topology::MultiMaster => {
            return Err(DriverError::Unsupported {
                what: "a fresh copy where no node copies another".to_owned(),
            });
        }
    };
    if primary.id == node.id {
        let what = format!("{} is the primary; there is nobody to copy from", node.name);
        return Err(DriverError::rejected(what, "promote another node first"));
    }
    let machine = cx.machine(node)?;
    let lead = survey::ask(cx, primary).await?;
    let own = survey::ask(cx, node).await.ok();
    let held = Held::of(own.map(|place| place.keys > 0 && !place.is_part_of(&lead)));
    // What cannot be started again is not stopped.
    flavour::software(&cx.spec, machine.as_ref()).await?;
    progress.note(&format!("stopping {}", node.name));
    machine.stop(UNIT).await?;
    if ASIDE.put_away(machine.as_ref(), held, &primary.name).await? {
        machine.remove(DATA).await?;
    }
    if cx.spec.topology == Topology::Sharded {
        // Its name in the cluster and its place in it are no data.
        for from in [ASIDE.waiting, ASIDE.kept[0]] {
            keep_membership(cx, node, from).await?;
        }
    }
    start_node(cx, node, &start_as).await?;
    answering(cx, node).await?;
    caught_up(cx, node, primary, progress).await?;
    ASIDE.done(machine.as_ref()).await
}

async fn keep_membership(cx: &ClusterContext, node: &NodeSpec, from: &str) -> Result<()> {
    let machine = cx.machine(node)?;
    let file = format!("{DATA}/nodes.conf");
    if machine.exists(&file).await? {
        return Ok(());
    }
    match machine.read(&format!("{from}/nodes.conf")).await {
        Ok(text) => {
            machine.create_dir(DATA).await?;
            machine.write(&file, &text, 0o600).await
        }
        Err(DriverError::Gone { .. }) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Rotation, first half: everybody accepts both passwords, then links and Sentinels use the new ones.
pub(crate) async fn accept_next_secrets(cx: &ClusterContext) -> Result<()> {
    users_everywhere(cx).await?;
    links_everywhere(cx).await?;
    rearm(cx).await
}

/// Rotation, second half, or its undoing: links and Sentinels use what is in force, then nothing else is accepted.
pub(crate) async fn retire_old_secrets(cx: &ClusterContext) -> Result<()> {
    links_everywhere(cx).await?;
    rearm(cx).await?;
    users_everywhere(cx).await
}

/// Only where Sentinels are meant to run: a rotation arms nothing that was not armed.
async fn rearm(cx: &ClusterContext) -> Result<()> {
    if sentinel::voters(cx).is_empty() { Ok(()) } else { sentinel::arm(cx, None).await }
}

/// On each node, at once; the first error is told.
async fn on_each<'a, F>(cx: &'a ClusterContext, act: impl Fn(&'a NodeSpec) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let nodes = cx.spec.data_nodes().filter(|n| cx.machine(n).is_ok());
    join_all(nodes.map(act)).await.into_iter().collect()
}

async fn users_everywhere(cx: &ClusterContext) -> Result<()> {
    let (text, users) = (config::acl(cx)?, config::users(cx)?);
    on_each(cx, |node| {
        let (text, users) = (&text, &users);
        async move {
            let machine = cx.machine(node)?;
            if !machine.exists(ACL).await? {
                return Ok(());
            }
            machine.write(ACL, text.as_bytes(), 0o600).await?;
            if !machine.state(UNIT).await?.is_running() {
                return Ok(());
            }
            // Not `ACL LOAD`: up to Redis 7.0 it closes the connections of every user, the replicas' among them.
            let mut session = Session::open(cx, node).await?;
            for (name, rules) in users {
                let mut command = command("ACL SETUSER");
                command.arg(*name).arg("resetpass");
                for password in rules.split_whitespace().filter(|rule| rule.starts_with('#')) {
                    command.arg(password);
                }
                session.ask::<()>(&command).await?;
            }
            Ok(())
        }
    })
    .await
}

async fn links_everywhere(cx: &ClusterContext) -> Result<()> {
    let password = cx.secrets.newest("replica")?;
    on_each(cx, |node| async move {
        edit(cx, node, |conf| config::with(conf, "masterauth", Some(password.reveal()))).await?;
        if !cx.machine(node)?.state(UNIT).await?.is_running() {
            return Ok(());
        }
        let mut session = Session::open(cx, node).await?;
        session.ask::<()>(command("CONFIG SET").arg("masterauth").arg(password.reveal())).await
    })
    .await
}
