//! Sharded clusters: the members gossip, agree on who holds which slots, and replace a dead primary themselves. Forming,
//! joining and leaving are here; moving slots is in `slots`.

mod election;
mod members;
mod slots;

pub(crate) use members::{Membership, membership};
pub(crate) use slots::{add_shard, remove_shard};

use super::{
    form::{answering, caught_up},
    info::Place,
    session::{BUS_PORT, Session, address, command},
    survey,
};
use crate::wait::{Look, until};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, HandOver, Progress, Result};
use futures::future::join_all;
use members::SLOTS;
use std::time::{Duration, Instant};

/// Gossip reaches everybody within about a second; a busy machine may take longer.
const AGREE_WITHIN: Duration = Duration::from_secs(10);
/// A manual failover gives up by itself after 5 s (redis, `CLUSTER_MF_TIMEOUT`).
const TAKE_OVER: Duration = Duration::from_secs(7);
/// Slots in one `ADDSLOTS`; the command takes any number, and a line must end somewhere.
const SLOTS_A_COMMAND: usize = 1000;

/// Whether a member serves. One that has just joined waits for up to the node timeout before it does.
async fn serves(session: &mut Session) -> Result<bool> {
    Ok(session.say::<String>("CLUSTER INFO").await?.contains("cluster_state:ok"))
}

/// A member with what it knows.
pub(super) struct Asked<'a> {
    pub(super) node: &'a NodeSpec,
    pub(super) session: Session,
    pub(super) knows: Membership,
}

/// Asks these nodes at once. All must answer.
pub(super) async fn ask_all<'a>(
    cx: &ClusterContext,
    nodes: impl Iterator<Item = &'a NodeSpec>,
) -> Result<Vec<Asked<'a>>> {
    let asked = join_all(nodes.map(|node| async move {
        let mut session = Session::open(cx, node).await?;
        let knows = membership(&mut session).await?;
        Ok(Asked { node, session, knows })
    }));
    asked.await.into_iter().collect()
}

/// Nodes that are meant to serve.
pub(super) fn in_service(cx: &ClusterContext) -> impl Iterator<Item = &NodeSpec> {
    cx.spec.data_nodes().filter(|n| !n.drained)
}

fn place(cx: &ClusterContext, node: &NodeSpec) -> Result<(std::net::IpAddr, u16)> {
    Ok(address(cx.machine(node)?.as_ref()))
}

/// Makes one member of freshly started nodes.
pub(crate) async fn form(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    let mut all = ask_all(cx, in_service(cx)).await?;
    assign_slots(cx, &mut all).await?;
    progress.note("the members get to know each other");
    for (index, node) in in_service(cx).enumerate().skip(1) {
        // Each meets one before it, half way down, so that the news spreads like a tree and not through one member.
        meet(cx, &mut all[(index - 1) / 2], node).await?;
    }
    drop(all);
    know_each_other(cx, progress).await?;
    for node in in_service(cx) {
        take_place(cx, node, progress).await?;
    }
    agreed(cx, progress).await
}

/// Gives each shard its share, where nobody has those slots yet.
async fn assign_slots(cx: &ClusterContext, all: &mut [Asked<'_>]) -> Result<()> {
    let mut taken = vec![false; usize::from(SLOTS)];
    for member in all.iter().flat_map(|a| &a.knows.0) {
        for slot in member.each_slot() {
            taken[usize::from(slot)] = true;
        }
    }
    let shards = cx.spec.shards;
    for asked in all.iter_mut() {
        let Some(shard) = asked.node.shard else { continue };
        let first = in_service(cx).filter(|n| n.shard == Some(shard)).min_by_key(|n| n.ordinal);
        if first.is_none_or(|n| n.id != asked.node.id) {
            continue;
        }
        // An epoch each, so that nobody has to give way; refused, and needless, once a member knows another.
        let epoch = command("CLUSTER SET-CONFIG-EPOCH").arg(u32::from(shard) + 1).to_owned();
        if let Err(e) = asked.session.ask::<()>(&epoch).await {
            tracing::debug!(node = %asked.node.name, error = %e, "keeps its epoch");
        }
        let free: Vec<u16> = share(shard, shards).filter(|slot| !taken[usize::from(*slot)]).collect();
        for some in free.chunks(SLOTS_A_COMMAND) {
            asked.session.ask::<()>(command("CLUSTER ADDSLOTS").arg(some)).await?;
        }
    }
    Ok(())
}

/// The slots of shard `shard` of `shards` in a new cluster.
fn share(shard: u16, shards: u16) -> std::ops::Range<u16> {
    let at =
        |n: u16| u16::try_from(u32::from(n) * u32::from(SLOTS) / u32::from(shards.max(1))).unwrap_or(SLOTS);
    at(shard)..at(shard + 1)
}

/// Introduces `node` to a member, unless they know each other.
async fn meet(cx: &ClusterContext, member: &mut Asked<'_>, node: &NodeSpec) -> Result<()> {
    let (ip, port) = place(cx, node)?;
    if member.knows.at((ip, port)).is_some() {
        return Ok(());
    }
    let bus = cx.machine(node)?.port(BUS_PORT);
    member.session.say(&format!("CLUSTER MEET {ip} {port} {bus}")).await
}

/// Waits until every member knows every other.
async fn know_each_other(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    let wanted: Vec<_> = in_service(cx).map(|n| place(cx, n)).collect::<Result<_>>()?;
    until!(AGREE_WITHIN, async {
        let all = ask_all(cx, in_service(cx)).await?;
        let known: usize = all
            .iter()
            .map(|asked| {
                wanted
                    .iter()
                    .filter(|at| asked.knows.at(**at).is_some_and(|m| m.myself || (m.linked && !m.failing)))
                    .count()
            })
            .sum();
        let total = wanted.len() * wanted.len();
        progress.measured("the members get to know each other", known as u64, total as u64);
        Ok(if known == total {
            Look::Done(())
        } else {
            Look::Moving("not every member knows every other".to_owned(), known as u64)
        })
    })
}

/// Lets a member follow the primary of its shard, when it is not that itself.
async fn take_place(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    let Some(primary) = lead_of(cx, node).await? else { return Ok(()) };
    let mut session = Session::open(cx, node).await?;
    let wanted = place(cx, primary)?;
    until!(AGREE_WITHIN, async {
        let knows = membership(&mut session).await?;
        let Some(leader) = knows.at(wanted) else {
            return Ok(Look::NotYet(format!("{} does not know {} yet", node.name, primary.name)));
        };
        if knows.myself().is_some_and(|me| me.follows.as_deref() == Some(leader.id.as_str())) {
            return Ok(Look::Done(()));
        }
        if !leader.primary {
            return Ok(Look::NotYet(format!("{} does not see {} as primary yet", node.name, primary.name)));
        }
        // After a hand-over it hears that another leads a moment before it hears that its slots went there, and until
        // then it refuses to follow.
        let holds = knows.myself().is_some_and(|me| me.primary && me.slot_count() > 0);
        match session.ask::<()>(command("CLUSTER REPLICATE").arg(&leader.id)).await {
            Err(DriverError::Rejected { what, .. }) if holds || what.contains("without assigned slots") => {
                Ok(Look::NotYet(format!("{} still has slots of its own", node.name)))
            }
            Err(other) => Err(other),
            Ok(()) => Ok(Look::NotYet(format!("{} does not follow {} yet", node.name, primary.name))),
        }
    })?;
    caught_up(cx, node, primary, progress).await
}

/// The node that this one should follow: the primary of its shard that holds slots, else the first of its shard.
/// Nobody when that is the node itself.
async fn lead_of<'a>(cx: &'a ClusterContext, node: &NodeSpec) -> Result<Option<&'a NodeSpec>> {
    let same: Vec<_> =
        in_service(cx).chain(cx.spec.node(&node.id)).filter(|n| n.shard == node.shard).collect();
    let asked = join_all(same.iter().map(|n| async move {
        let mut session = Session::open_within(cx, n, survey::GLANCE).await?;
        Ok::<_, DriverError>((*n, membership(&mut session).await?))
    }));
    let answers: Vec<_> = asked.await.into_iter().flatten().collect();
    let mine = |knows: &Membership| knows.myself().filter(|m| m.primary).map(members::Member::slot_count);
    // Right after a hand-over the old primary has not heard of it yet and still says that it leads.
    let holding = answers
        .iter()
        .filter(|(_, knows)| mine(knows).is_some_and(|slots| slots > 0))
        .max_by_key(|(_, knows)| knows.myself().map(|m| m.epoch))
        .map(|(n, _)| *n);
    let first = || {
        let empty = answers.iter().filter(|(_, knows)| mine(knows).is_some()).map(|(n, _)| *n);
        empty.min_by_key(|n| n.ordinal)
    };
    Ok(holding.or_else(first).filter(|lead| lead.id != node.id))
}

/// The primary that this node copies.
pub(crate) async fn primary_of<'a>(cx: &'a ClusterContext, node: &'a NodeSpec) -> Result<&'a NodeSpec> {
    Ok(lead_of(cx, node).await?.unwrap_or(node))
}

/// Waits until all members tell the same: every slot is served, nobody is in doubt, and replicas are where they should be.
pub(super) async fn agreed(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    let nodes: Vec<_> = in_service(cx).collect();
    until!(AGREE_WITHIN, async {
        let mut all = ask_all(cx, nodes.iter().copied()).await?;
        for asked in &mut all {
            if !serves(&mut asked.session).await? {
                return Ok(Look::NotYet(format!("{} does not serve yet", asked.node.name)));
            }
        }
        let Some(first) = all.first() else { return Ok(Look::Done(())) };
        let well = |asked: &&Asked<'_>| {
            let steady = !asked.knows.0.iter().any(|m| m.handshake);
            let mut ours = asked.knows.0.iter().filter(|m| nodes.iter().any(|n| place(cx, n).ok() == m.at));
            steady && ours.all(|m| !m.failing) && asked.knows.served() == SLOTS
        };
        let same = |asked: &&Asked<'_>| asked.knows.arrangement() == first.knows.arrangement();
        let agreeing = all.iter().filter(well).filter(same).count();
        progress.measured("the members agree", agreeing as u64, all.len() as u64);
        Ok(if agreeing == all.len() {
            Look::Done(())
        } else {
            Look::NotYet(format!("{agreeing} of {} members agree on the cluster", all.len()))
        })
    })
}

/// Brings a started node into the cluster, as a replica of its shard's primary when there is one.
pub(crate) async fn join(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    answering(cx, node).await?;
    let others: Vec<_> = in_service(cx).filter(|n| n.id != node.id).collect();
    let asked = join_all(others.iter().map(|n| ask_all(cx, std::iter::once(*n)))).await;
    // Another new node that has not met anybody is no member yet.
    let member = asked.into_iter().flatten().flatten().find(|a| a.knows.served() > 0);
    let mut member = member.ok_or_else(|| DriverError::transient("no member of the cluster answers"))?;
    meet(cx, &mut member, node).await?;
    let wanted = place(cx, node)?;
    let established: Vec<_> =
        member.knows.0.iter().filter(|m| !m.failing && !m.handshake).filter_map(|m| m.at).collect();
    until!(AGREE_WITHIN, async {
        let mut knowing = 0;
        for at in &established {
            let Some(other) = survey::at(cx, *at) else { continue };
            let mut session = Session::open(cx, other).await?;
            let knows = membership(&mut session).await?;
            if !knows.at(wanted).is_some_and(|m| m.myself || m.linked) {
                return Ok(Look::Moving(format!("{} does not know {} yet", other.name, node.name), knowing));
            }
            knowing += 1;
        }
        Ok(Look::Done(()))
    })?;
    let mut session = Session::open(cx, node).await?;
    until!(AGREE_WITHIN, async {
        Ok(match serves(&mut session).await? {
            true => Look::Done(()),
            false => Look::NotYet(format!("{} does not serve yet", node.name)),
        })
    })?;
    progress.note(&format!("{} is a member", node.name));
    take_place(cx, node, progress).await
}

/// The other members that answer, when none of them believes that a node holds slots.
async fn who_will_forget<'a>(cx: &'a ClusterContext, node: &NodeSpec) -> Result<Look<Vec<Asked<'a>>>> {
    let others: Vec<_> = in_service(cx).filter(|n| n.id != node.id).collect();
    let mut asked = Vec::new();
    for found in join_all(others.iter().map(|n| ask_all(cx, std::iter::once(*n)))).await {
        match found {
            Ok(found) => asked.extend(found),
            Err(e) => {
                tracing::warn!(error = %e, "a member that does not answer cannot be told to forget {}", node.name)
            }
        }
    }
    let at = place(cx, node)?;
    let holder = |m: &members::Member| m.primary && m.slot_count() > 0;
    let Some(believer) = asked.iter().find(|a| a.knows.at(at).is_some_and(holder)) else {
        return Ok(Look::Done(asked));
    };
    // The node itself knows first that its slots have gone; the others hear of it by gossip.
    let own = tokio::time::timeout(survey::GLANCE, ask_all(cx, std::iter::once(node))).await;
    match own.ok().and_then(Result::ok).and_then(|own| own.first().and_then(|a| a.knows.myself().map(holder)))
    {
        Some(false) => Ok(Look::NotYet(format!(
            "{} has not heard yet that {}'s slots moved",
            believer.node.name, node.name
        ))),
        Some(true) | None => {
            let what = format!("{} leads its shard", node.name);
            Err(DriverError::rejected(what, "promote its replica first, or move the shard's slots away"))
        }
    }
}

/// Takes a node out of the membership: every other member forgets it. It may be dead.
pub(crate) async fn leave(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    let at = place(cx, node)?;
    let mut asked = until!(AGREE_WITHIN, who_will_forget(cx, node))?;
    progress.note(&format!("the members forget {}", node.name));
    // It goes first: a living node would tell the others about itself again.
    if let Ok(mut session) = Session::open_within(cx, node, survey::GLANCE).await
        && let Err(e) = session.say::<()>("CLUSTER RESET HARD").await
    {
        tracing::debug!(node = %node.name, error = %e, "it keeps its membership, which ends with its server");
    }
    let forgotten = join_all(asked.iter_mut().map(|other| async {
        let Some(id) = other.knows.at(at).map(|m| m.id.clone()) else { return Ok(()) };
        match other.session.ask::<()>(command("CLUSTER FORGET").arg(&id)).await {
            // Somebody has told it already.
            Err(DriverError::Rejected { what, .. }) if what.contains("Unknown node") => Ok(()),
            done => done,
        }
    }));
    forgotten.await.into_iter().collect()
}

/// Hands a shard over to one of its replicas: the servers agree on it themselves, without losing a write.
pub(crate) async fn hand_over(cx: &ClusterContext, target: &NodeSpec) -> Result<HandOver> {
    let mut session = Session::open(cx, target).await?;
    let before = survey::place(&mut session).await?;
    let mut write_gap_ms = 0.0;
    if !before.primary {
        fit(target, &before)?;
        election::begin(cx, target.shard).await?;
        let since = Instant::now();
        session.say::<()>("CLUSTER FAILOVER").await?;
        loop {
            if survey::place(&mut session).await?.primary {
                break;
            }
            if since.elapsed() > TAKE_OVER {
                let what = format!("{} did not take over; its primary keeps the writes", target.name);
                return Err(DriverError::transient(what));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        write_gap_ms = since.elapsed().as_secs_f64() * 1000.0;
    }
    let others = in_service(cx).filter(|n| n.shard == target.shard && n.id != target.id);
    for other in others {
        if survey::ask(cx, other).await.is_ok() {
            take_place(cx, other, &Progress::silent()).await?;
        }
    }
    Ok(HandOver { write_gap_ms })
}

fn fit(target: &NodeSpec, place: &Place) -> Result<()> {
    if place.link_up && place.syncing.is_none() {
        return Ok(());
    }
    let what = format!("{} is not in step with the primary of its shard", target.name);
    Err(DriverError::rejected(what, "wait until it has caught up, or resync it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_shards_are_all_slots_without_a_hole() {
        for shards in 3..=20 {
            let all: Vec<u16> = (0..shards).flat_map(|s| share(s, shards)).collect();
            assert_eq!(all, (0..SLOTS).collect::<Vec<_>>(), "{shards} shards");
        }
    }
}
