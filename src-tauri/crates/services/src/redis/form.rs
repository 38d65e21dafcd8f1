//! Starting and stopping servers, bringing them together, taking one in and letting one go. Sharded clusters have their
//! own way of coming together, in `shards`.

use super::{
    config::{self, ACL, CONF, DATA, FOLDER},
    flavour, sentinel,
    session::{PORT, Session, address},
    shards, survey,
};
use crate::{
    aside::Aside,
    wait::{Look, until},
};
use clusterdeck_domain::{NodeId, NodeKind, NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Progress, Result, StartAs, UnitSpec};
use futures::future::join_all;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// The unit.
pub(crate) const UNIT: &str = "redis";
/// Two copies may stay; a third one would fill the disk.
pub(crate) const ASIDE: Aside =
    Aside { data: DATA, waiting: "redis/data.before-copy", kept: &["redis/data.old-1", "redis/data.old-2"] };
/// The voters need some 2.6 s to replace a dead primary, a hung one 3.1 s. It must not come back by itself before.
const FAILOVER_FIRST: Duration = Duration::from_secs(8);
/// A server that is asked to end writes its snapshot first.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// A freshly started server answers within tens of milliseconds; with data it must read that first.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A freshly started primary listens within tens of milliseconds.
const LISTENS_WITHIN: Duration = Duration::from_millis(500);
/// A copy that does not move for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Writes the configuration of a node whose server does not run, and starts it.
pub(crate) async fn start_node(cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
    if node.kind == NodeKind::Witness {
        return Ok(());
    }
    let machine = cx.machine(node)?;
    // A running server keeps its file: it may have rewritten it for a role it was given since.
    if machine.state(UNIT).await?.is_running() {
        return Ok(());
    }
    let software = flavour::software(&cx.spec, machine.as_ref()).await?;
    machine.create_dir(FOLDER).await?;
    if let StartAs::ReplicaOf(primary) = start_as {
        set_aside_what_nobody_else_may_have(cx, node).await?;
        until_listening(cx.machine(cx.node(primary)?)?.as_ref()).await;
    }
    machine.write(ACL, config::acl(cx)?.as_bytes(), 0o600).await?;
    let conf = config::conf(cx, node, machine.as_ref(), &software.version, start_as)?;
    machine.write(CONF, conf.as_bytes(), 0o600).await?;
    machine.create_dir(DATA).await?;
    let alone = cx.spec.topology == Topology::Single;
    machine
        .start(&UnitSpec {
            name: UNIT.to_owned(),
            program: software.path,
            args: vec![machine.path(CONF).to_string_lossy().into_owned()],
            memory_bytes: Some(machine.plan().memory_bytes),
            stop_grace: STOP_GRACE,
            restart: true,
            restart_not_before: if alone { Duration::ZERO } else { FAILOVER_FIRST },
            unprivileged: false,
        })
        .await
}

/// A replica asks for its primary when it starts, and again a whole second later: one that starts a moment after its primary
/// is linked at once. It starts all the same when nobody listens there yet. A published port takes connections for a server
/// that is not there yet, so a word of it is awaited.
async fn until_listening(primary: &dyn Machine) {
    let at = primary.reach(PORT);
    let answers = async || {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read_u8().await
    };
    let listening = async {
        while answers().await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    drop(timeout(LISTENS_WITHIN, listening).await);
}

/// A primary that comes back as a replica throws its data away for a copy of the new primary's. What it had written and
/// not yet sent to anybody would go with it, so its data is kept until the next resync.
async fn set_aside_what_nobody_else_may_have(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let machine = cx.machine(node)?;
    let was_primary = match machine.read(CONF).await {
        Ok(bytes) => !config::follows(&String::from_utf8_lossy(&bytes)),
        Err(DriverError::Gone { .. }) => false,
        Err(e) => return Err(e),
    };
    if !was_primary || !machine.exists(DATA).await? {
        return Ok(());
    }
    ASIDE.keep(machine.as_ref()).await
}

/// Stops a node's server; it writes its data to disk first.
pub(crate) async fn stop_node(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    match cx.machine(node) {
        Ok(machine) => machine.stop(UNIT).await,
        Err(_) => Ok(()),
    }
}

/// Waits until a server answers and has read its data.
pub(crate) async fn answering(cx: &ClusterContext, node: &NodeSpec) -> Result<Session> {
    until!(ANSWERS_WITHIN, async {
        let mut session = Session::open(cx, node).await?;
        let place = survey::place(&mut session).await?;
        Ok(if place.loading {
            Look::Moving(
                format!("{} reads its data from disk", node.name),
                place.offset.wrapping_add(place.keys),
            )
        } else {
            Look::Done(session)
        })
    })
}

/// Brings freshly started nodes together.
pub(crate) async fn form(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    progress.note("waiting for the servers to answer");
    for answer in join_all(cx.spec.data_nodes().map(|node| answering(cx, node))).await {
        answer?;
    }
    match cx.spec.topology {
        Topology::Single => Ok(()),
        Topology::Sharded => shards::form(cx, progress).await,
        Topology::MultiMaster => linked_both_ways(cx).await,
        Topology::PrimaryReplica => {
            let answers = survey::all(cx).await;
            let primaries = survey::primaries(&answers);
            let (primary, _) =
                *primaries.first().ok_or_else(|| DriverError::transient("no node takes writes yet"))?;
            for (other, place) in &primaries[1..] {
                if place.keys > 0 {
                    let what = format!("{} and {} both hold data and take writes", primary.name, other.name);
                    return Err(DriverError::broken(what));
                }
                follow(cx, other, primary).await?;
            }
            for replica in cx.spec.data_nodes().filter(|n| n.id != primary.id) {
                caught_up(cx, replica, primary, progress).await?;
            }
            Ok(())
        }
    }
}

/// Active replicas: each follows all others.
async fn linked_both_ways(cx: &ClusterContext) -> Result<()> {
    for node in cx.spec.data_nodes() {
        until!(STUCK_AFTER, async {
            let place = survey::ask(cx, node).await?;
            Ok(if place.link_up {
                Look::Done(())
            } else {
                Look::NotYet(format!("{} has no link yet", node.name))
            })
        })?;
    }
    Ok(())
}

/// Makes a node follow `primary`, now and after a restart. Nothing happens when it does already.
pub(crate) async fn follow(cx: &ClusterContext, node: &NodeSpec, primary: &NodeSpec) -> Result<()> {
    let mut session = Session::open(cx, node).await?;
    let wanted = address(cx.machine(primary)?.as_ref());
    if survey::place(&mut session).await?.follows != Some(wanted) {
        session.say::<()>(&format!("REPLICAOF {} {}", wanted.0, wanted.1)).await?;
    }
    remember(cx, node, Some(primary)).await
}

/// Writes into a node's configuration whom it follows.
pub(crate) async fn remember(cx: &ClusterContext, node: &NodeSpec, primary: Option<&NodeSpec>) -> Result<()> {
    let line = match primary {
        Some(primary) => {
            let (ip, port) = address(cx.machine(primary)?.as_ref());
            Some(format!("{ip} {port}"))
        }
        None => None,
    };
    edit(cx, node, |conf| {
        let conf = config::with(&config::with(conf, "slaveof", None), "replicaof", None);
        config::with(&conf, "replicaof", line.as_deref())
    })
    .await
}

/// Changes a node's configuration on disk; nothing happens when it has none.
pub(crate) async fn edit(
    cx: &ClusterContext,
    node: &NodeSpec,
    change: impl Fn(&str) -> String,
) -> Result<()> {
    let machine = cx.machine(node)?;
    let before = match machine.read(CONF).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(DriverError::Gone { .. }) => return Ok(()),
        Err(e) => return Err(e),
    };
    machine.write(CONF, change(&before).as_bytes(), 0o600).await
}

/// Waits until `primary` streams to a replica and that has what the primary had when we began.
pub(crate) async fn caught_up(
    cx: &ClusterContext,
    replica: &NodeSpec,
    primary: &NodeSpec,
    progress: &Progress,
) -> Result<()> {
    let (wanted, here) = (address(cx.machine(primary)?.as_ref()), address(cx.machine(replica)?.as_ref()));
    let mut lead = Session::open(cx, primary).await?;
    let mut session = answering(cx, replica).await?;
    // Asks for more acknowledgements than there can be: that puts a question into the stream, and a replica whose offset
    // has passed it is really streamed to. Nothing else shows that when there are no writes.
    lead.say::<u64>("WAIT 1000 1").await?;
    let goal = survey::place(&mut lead).await?;
    let mut total = 0;
    until!(STUCK_AFTER, async {
        let place = survey::place(&mut session).await?;
        let name = &replica.name;
        Ok(match place.syncing {
            _ if place.follows != Some(wanted) => {
                Look::NotYet(format!("{name} does not follow {}", primary.name))
            }
            Some(Some(left)) => {
                total = left.max(total);
                progress.copied(&format!("{name} copies the data"), total - left, total);
                Look::Moving(format!("{name} copies the data"), left)
            }
            // Without a length (a copy that goes straight over the wire) the keys that are there show that it moves.
            Some(None) => {
                let of = goal.keys.max(place.keys);
                progress.measured(&format!("{name} copies the data"), place.keys, of);
                Look::Moving(format!("{name} copies the data"), place.keys)
            }
            None if !place.link_up => Look::NotYet(format!("{name} has no link to {}", primary.name)),
            None if place.loading || place.offset < goal.offset => {
                Look::Moving(format!("{name} is behind {}", primary.name), place.offset)
            }
            None if survey::place(&mut lead).await?.streams_to(here) => Look::Done(()),
            None => {
                // One that got its copy since was not there to be asked; by itself it acknowledges once a second.
                lead.say::<u64>("WAIT 1000 1").await?;
                Look::NotYet(format!("{} does not stream to {name} yet", primary.name))
            }
        })
    })
}

/// Brings a started node into a running cluster and waits until it has caught up.
pub(crate) async fn join(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    if node.kind == NodeKind::Witness {
        return Ok(());
    }
    answering(cx, node).await?;
    match cx.spec.topology {
        Topology::Single => Ok(()),
        Topology::MultiMaster => linked_both_ways(cx).await,
        Topology::Sharded => shards::join(cx, node, progress).await,
        Topology::PrimaryReplica => {
            let answers = survey::all(cx).await;
            let others: Vec<_> = answers.into_iter().filter(|a| a.node.id != node.id).collect();
            let primary = survey::primary(&others)?;
            follow(cx, node, primary).await?;
            caught_up(cx, node, primary, progress).await
        }
    }
}

/// Takes a node out of membership and votes. It may be dead.
pub(crate) async fn leave(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    match cx.spec.topology {
        Topology::Sharded => shards::leave(cx, node, progress).await,
        Topology::PrimaryReplica => {
            if node.kind == NodeKind::Data && survey::ask(cx, node).await.is_ok_and(|place| place.primary) {
                let others = survey::all(cx).await;
                let alone = survey::primaries(&others).iter().all(|(n, _)| n.id == node.id);
                if alone {
                    return Err(DriverError::rejected(
                        format!("{} takes the writes of this cluster", node.name),
                        "promote another node first",
                    ));
                }
            }
            sentinel::retire(cx, node).await
        }
        Topology::Single | Topology::MultiMaster => Ok(()),
    }
}

/// What a crashed node's server should be when it is started again now.
pub(crate) async fn restart_as(cx: &ClusterContext, node: &NodeSpec) -> Result<StartAs> {
    match cx.spec.topology {
        Topology::Single => return Ok(StartAs::Primary),
        Topology::MultiMaster | Topology::Sharded => return Ok(StartAs::Member),
        Topology::PrimaryReplica => {}
    }
    let (answers, opinions, named) =
        futures::join!(survey::all(cx), sentinel::opinions(cx), sentinel::named_primary(cx));
    let others: Vec<_> = answers.into_iter().filter(|a| a.node.id != node.id).collect();
    let named = named.and_then(|place| survey::at(cx, place));
    let primaries = survey::primaries(&others);
    match primaries.as_slice() {
        [(one, _)] => return Ok(StartAs::ReplicaOf(one.id.clone())),
        [] => {}
        several => {
            // Two say so: the one that the Sentinels name is right.
            let named = named.filter(|n| several.iter().any(|(p, _)| p.id == n.id));
            return match named {
                Some(named) => Ok(StartAs::ReplicaOf(named.id.clone())),
                None => Err(DriverError::transient(
                    "several nodes say they take writes, and the Sentinels do not agree",
                )),
            };
        }
    }
    // Nobody takes writes. Who did last?
    let last = match named {
        Some(named) => Some(named),
        None => alone_on_disk(cx).await,
    };
    let Some(last) = last else {
        return Err(DriverError::transient("nobody takes writes, and who did last is not known"));
    };
    if last.id != node.id {
        let running = others.iter().any(|a| a.node.id == last.id && a.place.is_ok());
        return if running {
            Err(DriverError::transient(format!("{} was primary and is about to be again", last.name)))
        } else {
            Ok(StartAs::ReplicaOf(last.id.clone()))
        };
    }
    // It was this node. While another one lives the Sentinels promote that; two must never be.
    let doubted = opinions.iter().any(|(_, o)| o.as_ref().is_ok_and(sentinel::Opinion::doubts));
    let somebody_could = others.iter().any(|a| a.place.is_ok() && !a.node.drained);
    if cx.spec.auto_failover && somebody_could {
        let what = if doubted {
            "the Sentinels are choosing a new primary"
        } else {
            "the Sentinels have yet to choose"
        };
        return Err(DriverError::transient(what));
    }
    Ok(StartAs::Primary)
}

/// Ends a second primary: one that hung, was replaced and woke up. The Sentinels do that too, after some ten seconds; in
/// those it takes writes that will be lost, and where no other replica lives they may even promote it again over the true
/// one. It is started anew as a replica, so that what it wrote is kept aside. Says who is the true one when there was
/// another.
pub(crate) async fn step_back(cx: &ClusterContext) -> Result<Option<NodeId>> {
    if cx.spec.topology != Topology::PrimaryReplica {
        return Ok(None);
    }
    let answers = survey::all(cx).await;
    let primaries = survey::primaries(&answers);
    if primaries.len() < 2 {
        return Ok(None);
    }
    let named = sentinel::agreed_primary(cx).await.and_then(|place| survey::at(cx, place));
    let Some(named) = named.filter(|n| primaries.iter().any(|(p, _)| p.id == n.id)) else {
        return Err(DriverError::transient(
            "several nodes take writes, and the Sentinels do not agree on one",
        ));
    };
    for (other, _) in primaries.iter().filter(|(n, _)| n.id != named.id) {
        tracing::warn!(node = %other.name, primary = %named.name, "a second primary is started again as a replica");
        stop_node(cx, other).await?;
        start_node(cx, other, &StartAs::ReplicaOf(named.id.clone())).await?;
    }
    Ok(Some(named.id.clone()))
}

/// The one node whose configuration on disk makes it a primary, when exactly one does.
async fn alone_on_disk(cx: &ClusterContext) -> Option<&NodeSpec> {
    let files = join_all(cx.spec.data_nodes().map(|node| async move {
        let bytes = cx.machine(node).ok()?.read(CONF).await.ok()?;
        Some((node, config::follows(&String::from_utf8_lossy(&bytes))))
    }))
    .await;
    let mut primaries = files.into_iter().flatten().filter(|(_, follows)| !follows);
    match (primaries.next(), primaries.next()) {
        (Some((one, _)), None) => Some(one),
        _ => None,
    }
}
