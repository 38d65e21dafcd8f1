//! Members of a multi-master: Galera agrees on every transaction before it is acknowledged, notices who is gone, and lets a
//! minority refuse everything. What it does not do by itself is to begin again after all members are gone: then the one
//! that has most is found, and only when it is known of every member how much that has.

use super::{
    accounts, config, flavour,
    form::{self, answering},
    sql::{ANSWER, As, GLANCE, Session, number, text},
    unit::{UNIT, server_unit},
};
use crate::{
    tls,
    wait::{Look, until},
};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{
    ClusterContext, DriverError, Machine, Progress, Result, StartAs, Traffic, UnitState,
};
use futures::future::join_all;
use std::time::Duration;

/// Where members talk to each other, and where one that was away for a short time catches up.
pub(crate) const PORT: u16 = 4567;
pub(crate) const CATCH_UP_PORT: u16 = 4568;
/// Finds out how far a stopped server had come.
const POSITION_UNIT: &str = "mysql-position";
/// A member that gets everything from another one shows its growing folder.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// So often a member that joins is started again.
const COPY_TRIES: u32 = 3;
/// A server that has run for so long and is in no group is not on its way into one.
const LEFT_AFTER_MS: i64 = 5_000;
const SYNCED: u64 = 4;
const MIB: u64 = 1 << 20;
/// What one transaction may write, as the catalogue says: members hold it in memory while they agree. 2 GiB unless set.
const MOST_WRITTEN: u64 = 1024 * MIB;

/// The name of the group. It has at most 32 bytes; with more, members do not understand each other and only time out.
fn group(cx: &ClusterContext) -> String {
    cx.spec.id.as_str().rsplit('_').next().unwrap_or_default().chars().take(32).collect()
}

/// The member that begins a new group; the others get everything from it.
pub(crate) fn is_first(cx: &ClusterContext, node: &NodeSpec) -> bool {
    cx.spec.data_nodes().next().is_some_and(|n| n.id == node.id)
}

fn at(machine: &dyn Machine, port: u16) -> String {
    format!("{}:{}", machine.address(), machine.port(port))
}

/// Members suspect one that is silent for 1.5 s and go on without it. Two more figures matter as much:
/// - *join_retrans_period*: what they tell each other then is told again after this time. At 1 s, what it is unless set, a
///   killed member was missed for 2.0 s (1.4 s with this, at the same 1 s of silence), and once for 3 s, since the others
///   had not heard of each other for so long that they suspected each other too.
/// - *install_timeout*: how long they wait for each other to agree. It must be a multiple of that; at half of
///   *inactive_timeout*, what it is unless set, it was 1.5 s, and on a busy computer three members that only had to see a
///   fourth off dropped each other instead: none was in a group any more.
pub(crate) fn lines(
    cx: &ClusterContext,
    node: &NodeSpec,
    machine: &dyn Machine,
) -> Result<Vec<(&'static str, String)>> {
    let others = cx.spec.data_nodes().filter_map(|n| cx.machine(n).ok());
    let members: Vec<_> = others.map(|m| at(m.as_ref(), PORT)).collect();
    let path = |path: &str| machine.path(path).to_string_lossy().into_owned();
    let cache = (machine.plan().disk_bytes / 40).clamp(64 * MIB, 1024 * MIB);
    let options = [
        "evs.keepalive_period=PT0.2S".to_owned(),
        "evs.inactive_check_period=PT0.2S".to_owned(),
        "evs.suspect_timeout=PT1.5S".to_owned(),
        "evs.inactive_timeout=PT10S".to_owned(),
        "evs.install_timeout=PT8S".to_owned(),
        "evs.join_retrans_period=PT0.3S".to_owned(),
        format!("gcache.size={cache}"),
        format!("gmcast.listen_addr=ssl://{}", at(machine, PORT)),
        format!("ist.recv_addr={}", at(machine, CATCH_UP_PORT)),
        "socket.ssl=YES".to_owned(),
        format!("socket.ssl_ca={}", path(tls::CA_FILE)),
        format!("socket.ssl_cert={}", path(tls::CERT_FILE)),
        format!("socket.ssl_key={}", path(tls::KEY_FILE)),
    ];
    Ok(vec![
        ("wsrep-on", "ON".to_owned()),
        ("wsrep-cluster-name", group(cx)),
        ("wsrep-cluster-address", format!("gcomm://{}", members.join(","))),
        ("wsrep-node-name", node.name.clone()),
        ("wsrep-node-address", at(machine, PORT)),
        ("wsrep-node-incoming-address", at(machine, config::PORT)),
        ("wsrep-provider-options", format!("\"{}\"", options.join(";"))),
        ("wsrep-sst-method", "mariabackup".to_owned()),
        ("wsrep-sst-receive-address", at(machine, config::COPY_PORT)),
        ("wsrep-sst-auth", sign_in(cx)?),
        ("wsrep-slave-threads", "4".to_owned()),
        ("wsrep-max-ws-size", MOST_WRITTEN.to_string()),
        ("binlog-format", "ROW".to_owned()),
        ("default-storage-engine", "InnoDB".to_owned()),
        ("innodb-autoinc-lock-mode", "2".to_owned()),
    ])
}

/// How the copy of a whole member signs in on the sending one.
fn sign_in(cx: &ClusterContext) -> Result<String> {
    Ok(format!("{}:{}", accounts::COPY, cx.secrets.newest(accounts::COPY)?.reveal()))
}

/// The copy of a whole member goes over TLS, each end with a certificate of the cluster.
pub(crate) fn sections(machine: &dyn Machine) -> String {
    let path = |path: &str| machine.path(path).to_string_lossy().into_owned();
    format!(
        "[sst]\nencrypt=4\ntca={}\ntcert={}\ntkey={}\nsockopt=,bind={}\n",
        path(tls::CA_FILE),
        path(tls::CERT_FILE),
        path(tls::KEY_FILE),
        machine.address()
    )
}

/// Writes what a member does when it starts: join, or begin the group.
pub(crate) async fn take_part(cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
    let machine = cx.machine(node)?;
    machine.remove(config::POSITION).await?;
    machine.write(config::ROLE, b"SELECT 1;\n", 0o600).await?;
    let creating = cx.spec.lifecycle.begins();
    let begins =
        *start_as == StartAs::Primary || creating && is_first(cx, node) && !ready_elsewhere(cx, node).await;
    if begins {
        return machine.write(config::LEAD, b"--wsrep-new-cluster\n", 0o600).await;
    }
    Ok(())
}

/// What a member says of its group.
struct Says {
    state: u64,
    ready: bool,
    /// It is cut off from the majority.
    alone: bool,
    /// It is in no group and looks for none.
    left: bool,
    size: u64,
    committed: u64,
}

impl Says {
    const fn serves(&self) -> bool {
        self.ready && self.state == SYNCED
    }
}

/// Asks a member. Without its group it refuses everything but this.
async fn ask(cx: &ClusterContext, node: &NodeSpec) -> Result<Says> {
    let mut session = Session::open(cx, node, As::Watch, GLANCE).await?;
    let rows = session
        .rows(
            "SHOW GLOBAL STATUS WHERE Variable_name IN \
             ('wsrep_local_state', 'wsrep_ready', 'wsrep_cluster_size', 'wsrep_last_committed', 'wsrep_cluster_status')",
        )
        .await?;
    let row = |name: &str| rows.iter().find(|row| text(row, 0).as_deref() == Some(name));
    let value = |name: &str| row(name).and_then(|row| number(row, 1)).unwrap_or(0);
    let word = |name: &str| row(name).and_then(|row| text(row, 1)).unwrap_or_default();
    let status = word("wsrep_cluster_status");
    Ok(Says {
        state: value("wsrep_local_state"),
        ready: word("wsrep_ready") == "ON",
        alone: status.eq_ignore_ascii_case("non-primary"),
        left: status.eq_ignore_ascii_case("disconnected"),
        size: value("wsrep_cluster_size"),
        committed: value("wsrep_last_committed"),
    })
}

/// Members that are asked, all at once.
async fn all(cx: &ClusterContext) -> Vec<(&NodeSpec, Result<Says>)> {
    join_all(
        cx.spec.data_nodes().filter(|n| !n.drained).map(|node| async move { (node, ask(cx, node).await) }),
    )
    .await
}

async fn ready_elsewhere(cx: &ClusterContext, node: &NodeSpec) -> bool {
    all(cx).await.iter().any(|(n, says)| n.id != node.id && says.as_ref().is_ok_and(|s| s.ready))
}

/// A member that serves.
pub(crate) async fn any_member(cx: &ClusterContext) -> Result<&NodeSpec> {
    let found = all(cx).await.into_iter().find(|(_, says)| says.as_ref().is_ok_and(Says::serves));
    found
        .map(|(node, _)| node)
        .ok_or_else(|| DriverError::transient("no member of the group serves at the moment"))
}

/// Waits until a member has what any has committed by now.
pub(crate) async fn in_step(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let members = all(cx).await;
    let goal = members.iter().filter_map(|(_, says)| says.as_ref().ok()).filter(|s| s.serves());
    let goal = goal.map(|says| says.committed).max().unwrap_or(0);
    until!(STUCK_AFTER, async {
        let says = ask(cx, node).await?;
        Ok(if says.serves() && says.committed >= goal {
            Look::Done(())
        } else {
            Look::Moving(format!("{} is not in step with the group", node.name), says.committed)
        })
    })
}

/// Waits until all members are one group.
pub(crate) async fn form(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    let members = join_all(cx.spec.data_nodes().map(|node| joined(cx, node, progress)));
    members.await.into_iter().collect::<Result<Vec<()>>>()?;
    let wanted = cx.spec.data_nodes().count() as u64;
    until!(STUCK_AFTER, async {
        let says = ask(cx, any_member(cx).await?).await?;
        Ok(if says.size >= wanted {
            Look::Done(())
        } else {
            Look::NotYet(format!("{} of {wanted} members are in the group", says.size))
        })
    })
}

/// Waits until a started member has all the group has.
pub(crate) async fn joined(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    let machine = cx.machine(node)?;
    let begins = cx.spec.lifecycle.begins() && is_first(cx, node);
    if !begins && !machine.exists(config::DATA).await? {
        // Ours, not the group's own way of copying: that waits ten seconds before it begins, and tells nobody how far it is.
        let from =
            until!(form::ANSWERS_WITHIN, async { any_member(cx).await.map(|n| Look::Done(n.clone())) })?;
        form::received(cx, node, &from, progress).await?;
    }
    progress.note(&format!("{} joins the group", node.name));
    until!(STUCK_AFTER, async {
        if let UnitState::Crashed { detail, restarts } = machine.state(UNIT).await? {
            // A copy that fails ends the member that waits for it: it asks again.
            if restarts < COPY_TRIES && machine.restart_due(UNIT).await? {
                form::start_node(cx, node, &StartAs::Member).await?;
            } else if restarts >= COPY_TRIES {
                return Err(DriverError::rejected(
                    format!("the server of {} does not run: {detail}", node.name),
                    "the log of its unit says more",
                ));
            }
            return Ok(Look::NotYet(format!("{} starts again", node.name)));
        }
        match ask(cx, node).await {
            Ok(says) if says.serves() => Ok(Look::Done(())),
            Ok(says) => {
                // The watcher leaves a cluster alone while a change is under way.
                if says.alone || says.left {
                    heal(cx).await?;
                }
                Ok(Look::NotYet(format!(
                    "{} is not in step with the group (state {})",
                    node.name, says.state
                )))
            }
            Err(e) if e.is_transient() => {
                let size = machine.disk_bytes(config::FOLDER).await?;
                Ok(Look::Moving(format!("{} joins the group", node.name), size))
            }
            Err(e) => Err(e),
        }
    })?;
    answering(cx, node).await?;
    form::may_take(cx, node, Traffic::ReadWrite).await
}

/// Every member's file names all members, for when it starts again.
pub(crate) async fn settle(cx: &ClusterContext) -> Result<()> {
    for node in cx.spec.data_nodes() {
        let Ok(machine) = cx.machine(node) else { continue };
        config::rewrite(machine.as_ref(), &config::conf(cx, node, machine.as_ref())?).await?;
    }
    Ok(())
}

/// Copies of whole members sign in with the newest password.
pub(crate) async fn use_newest(cx: &ClusterContext) -> Result<()> {
    settle(cx).await?;
    for node in cx.spec.data_nodes().filter(|n| !n.drained) {
        let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
        session.run(format!("SET GLOBAL wsrep_sst_auth = '{}'", sign_in(cx)?)).await?;
    }
    Ok(())
}

/// Members that lost each other for a moment and found each other again may all stay without a group (seen with two on a
/// computer that was too busy to let them talk for a second). When every member in service answers, sees all others, and
/// none is in a group, there is no group and nobody left who could become one: so they are it. While there is a group, who
/// has left it and does not look for it any more is started again.
pub(crate) async fn heal(cx: &ClusterContext) -> Result<()> {
    let members = all(cx).await;
    if members.iter().any(|(_, says)| says.as_ref().is_ok_and(Says::serves)) {
        let left = members.iter().filter(|(_, says)| says.as_ref().is_ok_and(|s| s.left));
        let started = join_all(left.map(|(node, _)| start_again(cx, node))).await;
        return started.into_iter().collect::<Result<Vec<()>>>().map(drop);
    }
    let count = members.len() as u64;
    let together = |says: &Says| !says.ready && says.alone && says.size == count;
    // Who does not answer is not known: it is started first, or may be in a group.
    if !members.iter().all(|(_, says)| says.as_ref().is_ok_and(together)) {
        return Ok(());
    }
    let committed = |says: &Result<Says>| says.as_ref().map_or(0, |s| s.committed);
    match members.iter().max_by_key(|(_, says)| committed(says)) {
        Some((best, _)) => begin_with(cx, best).await,
        None => Ok(()),
    }
}

/// A member that could not catch up (*IST didn't contain all write sets*, on a busy computer) closes its connection, says
/// *node restart required* in its log, and goes on running for nobody.
async fn start_again(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    let machine = cx.machine(node)?;
    let UnitState::Running { since_ms, .. } = machine.state(UNIT).await? else { return Ok(()) };
    let age = jiff::Timestamp::now().as_millisecond().saturating_sub(since_ms);
    if age < LEFT_AFTER_MS {
        return Ok(());
    }
    tracing::warn!(node = %node.name, "has left the group and does not look for it; its server is started again");
    form::stop_node(cx, node).await?;
    form::start_node(cx, node, &StartAs::Member).await
}

/// Tells a member that runs without a group that it is the group.
async fn begin_with(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    tracing::warn!(node = %node.name, "no group is left; the member that has most is told to be it");
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    match session.run("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'").await {
        // Not while members are finding each other.
        Err(DriverError::Rejected { what, .. }) if what.contains("(1210)") => Err(DriverError::transient(
            format!("the members around {} are still finding each other", node.name),
        )),
        done => done,
    }
}

/// How far a member that is in no group has come.
enum Known<'a> {
    /// It runs alone, refuses everything, and has this much.
    Alone(&'a NodeSpec, u64),
    /// It is stopped and has this much.
    Stopped(&'a NodeSpec, Position),
}

/// The last transaction of a group: the group's id, which is new whenever one begins from nothing, and the number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    /// `None` for a member that never was in step with any.
    group: Option<String>,
    number: u64,
}

impl Position {
    /// Reads `0ea1…-…:17`; a member without a history says `00000000-…:-1`.
    fn parse(text: &str) -> Option<Self> {
        let (group, number) = text.trim().rsplit_once(':')?;
        if group.chars().all(|c| matches!(c, '0' | '-')) {
            return Some(Self { group: None, number: 0 });
        }
        Some(Self { group: Some(group.to_owned()), number: number.parse().ok()? })
    }
}

impl Known<'_> {
    fn group(&self) -> Option<&str> {
        match self {
            Self::Alone(..) => None,
            Self::Stopped(_, at) => at.group.as_deref(),
        }
    }
    /// Sorts by how much it has; of equals, one that runs; then the oldest.
    fn rank(&self) -> (u64, bool, std::cmp::Reverse<u16>) {
        match self {
            Self::Alone(node, at) => (*at, true, std::cmp::Reverse(node.ordinal)),
            Self::Stopped(node, at) => (at.number, false, std::cmp::Reverse(node.ordinal)),
        }
    }
}

/// What a stopped member should be when it is started again: one that joins, or, when there is no group left, the one that
/// begins it again.
pub(crate) async fn restart_as(cx: &ClusterContext, node: &NodeSpec) -> Result<StartAs> {
    let members = all(cx).await;
    if members.iter().any(|(_, says)| says.as_ref().is_ok_and(|s| s.ready)) {
        return Ok(StartAs::Member);
    }
    let mut known = Vec::new();
    let answering = members.iter().filter(|(_, says)| says.is_ok()).count() as u64;
    if members.iter().any(|(_, says)| says.as_ref().is_ok_and(|s| s.size != answering)) {
        // Two that run apart from each other: either may still become the group.
        return Err(DriverError::transient("the members that are left have not found each other"));
    }
    for (member, says) in &members {
        known.push(match says {
            Ok(says) => Known::Alone(member, says.committed),
            Err(_) => Known::Stopped(member, position(cx, member).await?),
        });
    }
    let mut groups: Vec<_> = known.iter().filter_map(Known::group).collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.len() > 1 {
        return Err(DriverError::transient(
            "the members come from different groups; which one counts is not known",
        ));
    }
    let best = known.iter().max_by_key(|k| k.rank());
    match best {
        Some(Known::Stopped(best, _)) if best.id == node.id => {
            tracing::warn!(node = %node.name, "no member of the group is left; the one that has most begins it again");
            Ok(StartAs::Primary)
        }
        Some(Known::Stopped(best, _)) => {
            Err(DriverError::transient(format!("{} has most and begins the group again first", best.name)))
        }
        Some(Known::Alone(best, _)) => {
            begin_with(cx, best).await?;
            Ok(StartAs::Member)
        }
        None => Ok(StartAs::Member),
    }
}

/// How far a stopped member had come. Finding out takes a moment: the server reads its own logs for it.
async fn position(cx: &ClusterContext, node: &NodeSpec) -> Result<Position> {
    let machine = cx.machine(node)?;
    if machine.state(UNIT).await?.is_running() {
        return Err(DriverError::transient(format!("{} is starting and not in the group yet", node.name)));
    }
    match machine.read(config::POSITION).await {
        Ok(bytes) => {
            machine.stop(POSITION_UNIT).await?;
            let words = String::from_utf8_lossy(&bytes).into_owned();
            return Position::parse(&words).ok_or_else(|| {
                DriverError::transient(format!(
                    "how far {} had come cannot be found out: {}",
                    node.name,
                    words.trim()
                ))
            });
        }
        Err(DriverError::Gone { .. }) => {}
        Err(e) => return Err(e),
    }
    if !machine.state(POSITION_UNIT).await?.is_running() {
        let software = flavour::software(&cx.spec, machine.as_ref()).await?;
        machine.stop(POSITION_UNIT).await?;
        machine.start(&server_unit(machine.as_ref(), &software, POSITION_UNIT, "position")).await?;
    }
    Err(DriverError::transient(format!("finding out how far {} had come", node.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_the_server_tells_them() {
        let known = Position::parse("26fb2b34-e714-11f1-82fa-6b4e316c8d2d:17\n").unwrap();
        assert_eq!((known.group.is_some(), known.number), (true, 17));
        let new = Position::parse("00000000-0000-0000-0000-000000000000:-1").unwrap();
        assert_eq!((new.group, new.number), (None, 0), "it has nothing that anybody lacks");
        assert_eq!(Position::parse("26fb2b34-e714-11f1-82fa-6b4e316c8d2d:-1"), None, "unknown is not nought");
        assert_eq!(Position::parse("unknown"), None);
    }
}
