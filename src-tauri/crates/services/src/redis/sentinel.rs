//! The Sentinels: who they are, their configuration, arming and disarming them, what they think.
//!
//! Each one is told about all others and all replicas from the start. Left alone they take two seconds to find each
//! other, in which nobody would replace a dead primary.

use super::{
    config::{self, quoted},
    flavour,
    session::{As, Session, VOTER_PORT, address},
    survey,
};
use crate::wait::{Look, until};
use clusterdeck_domain::{NodeId, NodeSpec};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Result, UnitSpec};
use futures::future::join_all;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, net::IpAddr, time::Duration};

/// The unit.
pub(crate) const UNIT: &str = "sentinel";
/// It holds a few kilobytes about each node; one was seen with 12 MB.
const MEMORY: u64 = 64 << 20;
const FOLDER: &str = "sentinel";
/// Its configuration, which it rewrites itself.
const CONF: &str = "sentinel/sentinel.conf";
/// What we last wrote there apart from the primary and the epochs, to see whether it must be written again.
const SEED: &str = "sentinel/seed.conf";

/// Longer than [`LINKS_MS`], and with room for an answer. A Sentinel's link to a new primary may break in the moment of
/// the change and is tried again a second later; at 1000 that Sentinel finds it down before it has asked. Measured on a busy
/// machine: at 1000 8 of 447 changes were followed by such an alarm, 5 of them by votes that deposed the new primary, which
/// kept writers waiting 11 s; at 1300 none of 252.
const DOWN_AFTER_MS: u32 = 1300;
/// A vote that failed is repeated after twice this time (the default would wait six minutes), and a former primary that
/// comes back as one is turned into a replica after this time. Longer than any vote seen (2.6 s).
const FAILOVER_TIMEOUT_MS: u32 = 10_000;
/// Until they have taken up their links and agree.
const AGREE_WITHIN: Duration = Duration::from_secs(8);
/// How often a Sentinel pings, and tries a broken link again; the figure of its manual, and one for the moment they meet:
/// five times this is how old its knowledge of a replica may be in a failover, in which it asks once a second.
const LINKS_MS: u32 = 1000;
const HURRIED_LINKS_MS: u32 = 250;
/// For one answer while watching.
const GLANCE: Duration = Duration::from_millis(800);

/// The nodes that carry a Sentinel: three, or five where there are so many, the first in service by ordinal; a drained
/// node votes only when there are not three others.
pub(crate) fn voters(cx: &ClusterContext) -> Vec<&NodeSpec> {
    clusterdeck_domain::voters(&cx.spec)
}

/// Votes that are a majority of so many.
pub(crate) const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Sentinels that must find the primary down. With automatic failover off more than there are: they go on telling
/// clients who the primary is, and never replace it.
fn quorum(cx: &ClusterContext, voters: usize) -> usize {
    if cx.spec.auto_failover { majority(voters) } else { voters + 1 }
}

/// The identity of a node's Sentinel: forty hexadecimal digits that are always the same for a node.
fn identity(node: &NodeId) -> String {
    let mut text = hex::encode(Sha256::digest(node.as_str().as_bytes()));
    text.truncate(40);
    text
}

fn voter_address(machine: &dyn Machine) -> (IpAddr, u16) {
    (machine.address(), machine.port(VOTER_PORT))
}

/// The part of a Sentinel's configuration that does not change with the primary.
fn seed(cx: &ClusterContext, node: &NodeSpec) -> Result<String> {
    let machine = cx.machine(node)?.as_ref();
    let (ip, port) = voter_address(machine);
    let name = &cx.spec.name;
    let voter = cx.secrets.newest(As::Voter.secret())?;
    let accepted = config::hashes(cx, As::Voter.secret())?;
    let link = cx.secrets.newest("sentinel")?.reveal();
    let voters = voters(cx);
    let mut text = format!(
        "bind {ip}\nport {port}\nprotected-mode no\ndaemonize no\nlogfile \"\"\ndir {dir}\nuser default reset on {accepted} ~* &* +@all\n\
         sentinel sentinel-pass {voter}\nsentinel announce-ip {ip}\nsentinel announce-port {port}\n\
         sentinel resolve-hostnames no\nsentinel announce-hostnames no\nsentinel deny-scripts-reconfig yes\n\
         sentinel myid {id}\n#monitor {quorum}\n\
         sentinel down-after-milliseconds {name} {DOWN_AFTER_MS}\n\
         sentinel failover-timeout {name} {FAILOVER_TIMEOUT_MS}\nsentinel parallel-syncs {name} 1\n\
         sentinel auth-user {name} sentinel\nsentinel auth-pass {name} {link}\n",
        voter = voter.reveal(),
        dir = quoted(&machine.path(FOLDER).to_string_lossy()),
        id = identity(&node.id),
        quorum = quorum(cx, voters.len()),
    );
    for other in voters.iter().filter(|v| v.id != node.id) {
        let (ip, port) = voter_address(cx.machine(other)?.as_ref());
        text.push_str(&format!("sentinel known-sentinel {name} {ip} {port} {}\n", identity(&other.id)));
    }
    for data in cx.spec.data_nodes().filter(|n| !n.drained) {
        let (ip, port) = address(cx.machine(data)?.as_ref());
        text.push_str(&format!("#data {ip} {port}\n"));
    }
    Ok(text)
}

/// The whole configuration: the seed, the primary, everybody else as its replica, and where the votes stand.
fn conf(seed: &str, name: &str, primary: (IpAddr, u16), epoch: u64) -> String {
    let mut text = String::with_capacity(seed.len() + 200);
    for line in seed.lines() {
        let line = if let Some(quorum) = line.strip_prefix("#monitor ") {
            format!("sentinel monitor {name} {} {} {quorum}", primary.0, primary.1)
        } else if let Some(data) = line.strip_prefix("#data ") {
            if data == format!("{} {}", primary.0, primary.1) {
                continue;
            }
            format!("sentinel known-replica {name} {data}")
        } else {
            line.to_owned()
        };
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&format!("sentinel config-epoch {name} {epoch}\nsentinel leader-epoch {name} {epoch}\n"));
    text.push_str(&format!("sentinel current-epoch {epoch}\n"));
    text
}

/// What a Sentinel's file says: its primary and the highest epoch in it.
fn read_conf(text: &str) -> (Option<(IpAddr, u16)>, u64) {
    let mut primary = None;
    let mut epoch = 0;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["sentinel", "monitor", _, ip, port, ..] => primary = ip.parse().ok().zip(port.parse().ok()),
            ["sentinel", "config-epoch" | "leader-epoch", _, n] | ["sentinel", "current-epoch", n] => {
                epoch = epoch.max(n.parse().unwrap_or(0));
            }
            _ => {}
        }
    }
    (primary, epoch)
}

/// What one Sentinel thinks.
#[derive(Debug, Clone)]
pub(crate) struct Opinion {
    pub(crate) primary: (IpAddr, u16),
    /// Its flags for the primary: `master`, `master,s_down,o_down,failover_in_progress`.
    pub(crate) flags: String,
    /// Sentinels that must find the primary down.
    pub(crate) quorum: usize,
    /// It reaches every other Sentinel.
    pub(crate) linked: bool,
}

impl Opinion {
    /// A vote about the primary is under way, or due.
    pub(crate) fn doubts(&self) -> bool {
        self.flags.contains("o_down") || self.flags.contains("failover_in_progress")
    }
}

/// Asks the Sentinel of a node.
pub(crate) async fn opinion(cx: &ClusterContext, node: &NodeSpec) -> Result<Opinion> {
    let asked = async {
        let mut session = Session::voter(cx, node, GLANCE).await?;
        let name = cx.spec.name.as_str();
        let about: HashMap<String, String> = session.say(&format!("SENTINEL MASTER {name}")).await?;
        let others: Vec<HashMap<String, String>> = session.say(&format!("SENTINEL SENTINELS {name}")).await?;
        let get = |key: &str| about.get(key).map(String::as_str).unwrap_or_default();
        let primary = get("ip").parse().ok().zip(get("port").parse().ok());
        Ok(Opinion {
            primary: primary
                .ok_or_else(|| DriverError::broken(format!("{} names no address", session.whom())))?,
            flags: get("flags").to_owned(),
            quorum: get("quorum").parse().unwrap_or(0),
            linked: !get("flags").contains("disconnected")
                && others.iter().all(|o| o.get("flags").is_some_and(|f| f == "sentinel")),
        })
    };
    match tokio::time::timeout(GLANCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(DriverError::transient(format!("the Sentinel of {} does not answer", node.name))),
    }
}

/// Asks every voter at once.
pub(crate) async fn opinions(cx: &ClusterContext) -> Vec<(&NodeSpec, Result<Opinion>)> {
    join_all(voters(cx).into_iter().map(|node| async move { (node, opinion(cx, node).await) })).await
}

/// The primary that a majority of all voters names, by what they say or, where one does not run, by what it wrote down.
pub(crate) async fn named_primary(cx: &ClusterContext) -> Option<(IpAddr, u16)> {
    let all = voters(cx);
    let needed = majority(all.len());
    let named = join_all(all.into_iter().map(|node| async move {
        match opinion(cx, node).await {
            Ok(opinion) => Some(opinion.primary),
            Err(_) => read_conf(&text(cx, node, CONF).await?).0,
        }
    }))
    .await;
    let named: Vec<_> = named.into_iter().flatten().collect();
    named.iter().find(|p| named.iter().filter(|q| q == p).count() >= needed).copied()
}

/// The primary that a majority of all voters names right now, with no vote under way.
pub(crate) async fn agreed_primary(cx: &ClusterContext) -> Option<(IpAddr, u16)> {
    let opinions = opinions(cx).await;
    let steady: Vec<_> =
        opinions.iter().filter_map(|(_, o)| o.as_ref().ok()).filter(|o| !o.doubts()).collect();
    let named = |place| steady.iter().filter(|o| o.primary == place).count() >= majority(opinions.len());
    steady.iter().map(|o| o.primary).find(|place| named(*place))
}

async fn text(cx: &ClusterContext, node: &NodeSpec, file: &str) -> Option<String> {
    let bytes = cx.machine(node).ok()?.read(file).await.ok()?;
    String::from_utf8(bytes).ok()
}

/// Makes the voters watch `primary`: stops Sentinels that should not be, writes and starts those that differ, waits
/// until a majority agrees.
pub(crate) async fn arm(cx: &ClusterContext, primary: Option<&NodeId>) -> Result<()> {
    let voters = voters(cx);
    if voters.is_empty() {
        return Ok(());
    }
    let primary = match primary {
        Some(id) => cx.node(id)?,
        None => match survey::primary(&survey::all(cx).await) {
            Ok(node) => node,
            // Hung or gone a moment ago: they know who it was and will decide.
            Err(e) => named_primary(cx).await.and_then(|p| survey::at(cx, p)).ok_or(e)?,
        },
    };
    let primary = address(cx.machine(primary)?.as_ref());
    let others = cx.spec.nodes.iter().filter(|n| voters.iter().all(|v| v.id != n.id));
    for done in join_all(others.map(|node| retire(cx, node))).await {
        done?;
    }
    // The file of every voter counts: one that was away with a higher epoch would overrule the others with an old primary.
    let files = join_all(voters.iter().map(|node| text(cx, node, CONF))).await;
    let epoch = files.iter().flatten().map(|text| read_conf(text).1).max().unwrap_or(0) + 1;
    let wanted_quorum = quorum(cx, voters.len());
    let current = join_all(voters.iter().map(|node| async {
        let same_seed =
            text(cx, node, SEED).await.is_some_and(|old| seed(cx, node).is_ok_and(|new| old == new));
        same_seed && opinion(cx, node).await.is_ok_and(|o| o.primary == primary && o.quorum == wanted_quorum)
    }))
    .await;
    let stale: Vec<_> = voters.iter().zip(current).filter(|(_, fine)| !fine).map(|(node, _)| *node).collect();
    // All of them stop before the first starts: one with the old primary would talk the new ones into it.
    for done in join_all(stale.iter().map(|node| async { cx.machine(node)?.stop(UNIT).await })).await {
        tolerate_a_missing_minority(done)?;
    }
    let started = join_all(stale.iter().map(|node| start(cx, node, primary, epoch))).await;
    let up = voters.len() - started.iter().filter(|s| s.is_err()).count();
    if up < majority(voters.len()) {
        return started.into_iter().collect();
    }
    if stale.is_empty() {
        return agreed(cx, primary).await;
    }
    retry_links_every(cx, HURRIED_LINKS_MS).await;
    let agreed = agreed(cx, primary).await;
    retry_links_every(cx, LINKS_MS).await;
    agreed
}

/// The first to start finds nobody listening, and tries again as often as it pings: once a second, which would be most of
/// the time a cluster takes to be made. Servers before 7.0 do not know this; they take that second. Left behind by a kill
/// it means more pings and nothing else: what counts as down is told by another figure.
async fn retry_links_every(cx: &ClusterContext, milliseconds: u32) {
    join_all(voters(cx).into_iter().map(|node| async move {
        let mut session = Session::voter(cx, node, GLANCE).await?;
        session.say::<()>(&format!("SENTINEL DEBUG PING-PERIOD {milliseconds}")).await
    }))
    .await;
}

/// A voter whose machine cannot be reached is no reason not to arm the others.
fn tolerate_a_missing_minority(done: Result<()>) -> Result<()> {
    match done {
        Err(DriverError::Transient { .. } | DriverError::Gone { .. }) | Ok(()) => Ok(()),
        Err(e) => Err(e),
    }
}

async fn start(cx: &ClusterContext, node: &NodeSpec, primary: (IpAddr, u16), epoch: u64) -> Result<()> {
    let machine = cx.machine(node)?;
    let software = flavour::voter(&cx.spec, machine.as_ref()).await?;
    let seed = seed(cx, node)?;
    let text = conf(&seed, cx.spec.name.as_str(), primary, epoch);
    machine.write(CONF, text.as_bytes(), 0o600).await?;
    machine.write(SEED, seed.as_bytes(), 0o600).await?;
    machine
        .start(&UnitSpec {
            name: UNIT.to_owned(),
            program: software.path,
            args: vec![machine.path(CONF).to_string_lossy().into_owned(), "--sentinel".to_owned()],
            memory_bytes: Some(MEMORY),
            stop_grace: Duration::from_secs(2),
            restart: true,
            restart_not_before: Duration::ZERO,
            unprivileged: false,
        })
        .await
}

async fn agreed(cx: &ClusterContext, primary: (IpAddr, u16)) -> Result<()> {
    until!(AGREE_WITHIN, async {
        let opinions = opinions(cx).await;
        let total = opinions.len();
        let with_us = opinions
            .iter()
            .filter(|(_, o)| o.as_ref().is_ok_and(|o| o.primary == primary && o.linked))
            .count();
        // In a whole set all must see each other; where one is missing its links stay down, and a majority must do.
        let answering = opinions.iter().filter(|(_, o)| o.is_ok()).count();
        let naming = opinions.iter().filter(|(_, o)| o.as_ref().is_ok_and(|o| o.primary == primary)).count();
        let enough = if answering == total { with_us } else { naming };
        Ok(if enough >= majority(total) {
            Look::Done(())
        } else {
            Look::NotYet(format!("{enough} of {total} Sentinels agree on the primary"))
        })
    })
}

/// Stops all Sentinels.
pub(crate) async fn disarm(cx: &ClusterContext) -> Result<()> {
    let nodes = cx.spec.nodes.iter().filter(|n| cx.machine(n).is_ok());
    for done in join_all(nodes.map(|node| async { cx.machine(node)?.stop(UNIT).await })).await {
        match done {
            Ok(()) | Err(DriverError::Gone { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Stops the Sentinel of a node that shall not vote, and takes its file away.
pub(crate) async fn retire(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let Ok(machine) = cx.machine(node) else { return Ok(()) };
    let retired = async {
        machine.stop(UNIT).await?;
        machine.remove(FOLDER).await
    };
    tolerate_a_missing_minority(retired.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_and_the_epochs_are_read_back_from_what_is_written() {
        let seed = "sentinel myid x\n#monitor 2\nsentinel parallel-syncs demo 1\n#data 127.0.0.1 6379\n#data 127.0.0.2 6379\n";
        let primary = ("127.0.0.2".parse().unwrap(), 6379);
        let text = conf(seed, "demo", primary, 7);
        assert!(text.contains("sentinel monitor demo 127.0.0.2 6379 2\n"));
        assert!(
            text.contains("known-replica demo 127.0.0.1 6379")
                && !text.contains("known-replica demo 127.0.0.2")
        );
        assert_eq!(read_conf(&text), (Some(primary), 7));
    }

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }
}
