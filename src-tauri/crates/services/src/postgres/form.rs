//! Starting and stopping nodes, bringing them together, taking one in and letting one go. Who leads is Patroni's business.

use super::{
    config, copy, etcd,
    flavour::{self, Addition},
    patroni,
    patroni::{Client, Member, Timing},
    sql::{ANSWER, As, Session},
};
use crate::{
    own_way,
    wait::{Look, until},
};
use clusterdeck_domain::{NodeKind, NodeSpec, Sensitive};
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result, StartAs};
use postgres_protocol::password;
use serde_json::json;
use std::{net::SocketAddr, time::Duration};
use tokio_postgres::types::PgLsn;

/// The first node makes its data folder and starts within three seconds; a busy computer takes longer.
const LEADS_WITHIN: Duration = Duration::from_secs(60);
/// An extension makes some hundred functions and tables.
const ADDS_WITHIN: Duration = Duration::from_secs(30);
/// A copy that does not move for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Starts etcd where the node votes, and Patroni with PostgreSQL. In a new cluster only the first makes a data folder, or starts
/// on a copy that was laid there; the others start beside it and wait for one to copy.
pub(crate) async fn start_node(cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
    if node.kind == NodeKind::Witness {
        return Ok(());
    }
    let creating = cx.spec.lifecycle.begins();
    if etcd::voters(cx).iter().any(|v| v.id == node.id) {
        let known = cx.machine(node)?.exists("etcd/data/member").await?;
        if creating || known {
            etcd::start(cx, node, &etcd::founders(cx)?, true).await?;
        }
    }
    let first = creating && *start_as == StartAs::Primary;
    if first {
        // etcd settles on its version when all founders are there, and Patroni does not speak to one that has not.
        for witness in etcd::voters(cx).into_iter().filter(|v| v.kind == NodeKind::Witness) {
            etcd::start(cx, witness, &etcd::founders(cx)?, true).await?;
        }
        copy::take(cx.machine(node)?.as_ref()).await?;
    }
    let part = match start_as {
        StartAs::Primary => patroni::Part { founds: first, ..patroni::Part::of(cx, node, true) },
        _ => patroni::Part::noted(cx, node).await,
    };
    patroni::start(cx, node, part).await
}

/// Stops Patroni, which stops PostgreSQL in order first. Its vote stays.
pub(crate) async fn stop_node(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    match cx.machine(node) {
        Ok(machine) => machine.stop(patroni::UNIT).await,
        Err(_) => Ok(()),
    }
}

/// Waits until somebody leads.
pub(crate) async fn leader(cx: &ClusterContext) -> Result<&NodeSpec> {
    let client = Client::within(cx, patroni::GLANCE)?;
    let name = until!(LEADS_WITHIN, async {
        let members = client.members().await?;
        Ok(match members.leader() {
            Some(name) => Look::Done(name.to_owned()),
            None => Look::NotYet("no node leads yet".to_owned()),
        })
    })?;
    cx.spec
        .find_node(&name)
        .ok_or_else(|| DriverError::broken(format!("{name} leads and is not of this cluster")))
}

/// Brings freshly started nodes together: somebody leads, the roles are there, all others stream.
pub(crate) async fn form(cx: &ClusterContext, progress: &Progress) -> Result<()> {
    progress.note("waiting for the first node to lead");
    let lead = leader(cx).await?;
    // One that starts on a copy has the lead a moment before it takes writes.
    until!(LEADS_WITHIN, async { roles(cx, lead).await.map(Look::Done) })?;
    for node in cx.spec.data_nodes().filter(|n| n.id != lead.id) {
        caught_up(cx, node, progress).await?;
    }
    Ok(())
}

/// Makes the roles of watching and of people, and the database of people. Nothing happens to those that are there: those of a
/// copy have the passwords of this cluster before its server starts.
async fn roles(cx: &ClusterContext, lead: &NodeSpec) -> Result<()> {
    let session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    for (role, secret, rights) in
        [(config::WATCH, config::WATCH, ""), (config::PEOPLE, "people", " CREATEDB CREATEROLE")]
    {
        let there = session.rows("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1", &[&role]).await?;
        if there.is_empty() {
            let hashed = hashed(cx.secrets.newest(secret)?);
            session.run(&format!("CREATE ROLE {role} LOGIN{rights} PASSWORD '{}'", hashed.reveal())).await?;
        }
    }
    session.run(&format!("GRANT pg_monitor TO {}", config::WATCH)).await?;
    let there =
        session.rows("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", &[&config::PEOPLE]).await?;
    if there.is_empty() {
        session.run(&format!("CREATE DATABASE {0} OWNER {0}", config::PEOPLE)).await?;
    }
    added(cx, lead).await
}

/// What the service is, in a database of people that is new.
pub(crate) async fn add_to_people(cx: &ClusterContext) -> Result<()> {
    added(cx, leader(cx).await?).await
}

async fn added(cx: &ClusterContext, lead: &NodeSpec) -> Result<()> {
    match flavour::addition(cx.spec.service) {
        Some(added) => add(cx, lead, added).await,
        None => Ok(()),
    }
}

/// Adds what the service is to the database of people, and to no other: Patroni works in `postgres`, and an update of the
/// package could lock it out of there.
async fn add(cx: &ClusterContext, lead: &NodeSpec, added: &Addition) -> Result<()> {
    let session = Session::open(cx, lead, As::OperatorInside, ADDS_WITHIN).await?;
    session.run(&format!("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public", added.name)).await
}

/// A password as the server keeps it, so that it never sees it in clear.
pub(crate) fn hashed(password: &Sensitive<String>) -> Sensitive<String> {
    Sensitive::new(password::scram_sha_256(password.reveal().as_bytes()))
}

/// Whether a member follows the leader: `streaming`, which Patroni before 3.1 calls `running`.
pub(crate) fn follows(member: &Member) -> bool {
    member.role != "leader" && matches!(member.state.as_str(), "streaming" | "running")
}

/// Waits until a node follows and has what the leader had when we began.
pub(crate) async fn caught_up(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    let client = Client::within(cx, patroni::GLANCE)?;
    until!(STUCK_AFTER, async {
        let size = cx.machine(node)?.disk_bytes(config::DATA).await.unwrap_or(0);
        let members = client.members().await?;
        let found = members.members.iter().find(|m| m.name == node.name);
        Ok(match found {
            Some(member) if follows(member) => Look::Done(()),
            Some(member) => {
                progress.note(&format!("{} is {}", node.name, member.state));
                Look::Moving(format!("{} is {}", node.name, member.state), size)
            }
            None => Look::Moving(format!("{} is not a member yet", node.name), size),
        })
    })?;
    let lead = Session::open(cx, leader(cx).await?, As::Operator, ANSWER).await?;
    let goal: PgLsn = lead.row("SELECT pg_current_wal_lsn()", &[]).await?.get(0);
    until!(STUCK_AFTER, async {
        let rows = lead
            .rows("SELECT replay_lsn FROM pg_stat_replication WHERE application_name = $1", &[&node.name])
            .await?;
        let at: Option<PgLsn> = rows.first().and_then(|row| row.get(0));
        Ok(match at {
            Some(at) if at >= goal => Look::Done(()),
            Some(at) => Look::Moving(format!("{} catches up", node.name), at.into()),
            None => Look::NotYet(format!("nothing is streamed to {} yet", node.name)),
        })
    })
}

/// Takes a node out, and sees that nobody keeps a slot for it. Its vote goes when the voters are settled.
pub(crate) async fn leave(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    let client = Client::within(cx, patroni::GLANCE)?;
    let members = client.members().await?;
    if members.leader() == Some(node.name.as_str()) && cx.spec.data_nodes().count() > 1 {
        return Err(DriverError::rejected(
            format!("{} takes the writes of this cluster", node.name),
            "promote another node first",
        ));
    }
    stop_node(cx, node).await?;
    // From version 4 on Patroni keeps the slot of a member for half an hour, in case it comes back.
    let keeps = client.major_version(leader(cx).await?).await? >= 4;
    if keeps {
        client.patch(&json!({ "member_slots_ttl": 0 })).await?;
    }
    slot_is_gone(cx, node, progress).await?;
    if keeps {
        client.patch(&json!({ "member_slots_ttl": null })).await?;
    }
    Ok(())
}

/// Waits until no server keeps its log for a node that has left; those that do not answer are not waited for.
async fn slot_is_gone(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    let name = node.name.replace('-', "_");
    progress.note(&format!("waiting until no log is kept for {}", node.name));
    // The member is gone when its key has run out.
    let limit = Duration::from_secs(u64::from(Timing::of(&cx.spec.parameters).ttl) + 20);
    until!(limit, async {
        for other in cx.spec.data_nodes().filter(|n| n.id != node.id && !n.drained) {
            let Ok(session) = Session::open(cx, other, As::Watch, patroni::GLANCE).await else { continue };
            let slots =
                session.rows("SELECT 1 FROM pg_replication_slots WHERE slot_name = $1", &[&name]).await;
            if slots.is_ok_and(|rows| !rows.is_empty()) {
                return Ok(Look::NotYet(format!("{} still keeps its log for {}", other.name, node.name)));
            }
        }
        Ok(Look::Done(()))
    })
}

/// Writes and reads through the endpoint as people do.
pub(crate) async fn probe(cx: &ClusterContext) -> Result<()> {
    // Where the list leaves us out the servers know that too, of people's roles: then it is ours that writes.
    let user = if own_way::endpoint_is_open(cx, config::PORT) { As::People } else { As::OperatorInside };
    let mut last = own_way::nobody();
    for (whom, at) in own_way::to_write(cx, config::PORT)? {
        match write_and_read(cx, &whom, at, user).await {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn write_and_read(cx: &ClusterContext, whom: &str, at: SocketAddr, user: As) -> Result<()> {
    let session = Session::connect(cx, whom, at, user, ANSWER).await?;
    // Written through the log like any other row, and nothing is left of it. Our own role looks for no names of people's.
    let begin = match user {
        As::People => "BEGIN; CREATE TABLE clusterdeck_probe (n int);",
        _ => {
            "BEGIN; CREATE SCHEMA clusterdeck_probe; SET LOCAL search_path = clusterdeck_probe; CREATE TABLE clusterdeck_probe (n int);"
        }
    };
    session.run(&format!("{begin} INSERT INTO clusterdeck_probe VALUES (1)")).await?;
    let row = session.row("SELECT n = 1 FROM clusterdeck_probe", &[]).await;
    session.run("ROLLBACK").await?;
    if !row?.get::<_, bool>(0) {
        return Err(DriverError::broken(format!("{whom} did not return what was just written there")));
    }
    Ok(())
}
