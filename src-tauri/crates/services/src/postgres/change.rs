//! Changes to a running cluster: who may lead, a planned hand-over, a fresh copy, new passwords.

use super::{
    config, etcd, form,
    patroni::{self, Client},
    sql::{ANSWER, As, Session},
};
use crate::wait::{Look, until};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, HandOver, Progress, Result, Switch};
use serde_json::json;
use std::time::{Duration, Instant};

/// A switchover takes about a second.
const LEADS_WITHIN: Duration = Duration::from_secs(15);
/// A probe of who takes writes.
const PROBE: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_millis(2);

/// Makes etcd's members those of the spec, and Patroni's election what the spec says.
pub(crate) async fn arm(cx: &ClusterContext) -> Result<()> {
    if cx.spec.topology == Topology::Single {
        return Ok(());
    }
    etcd::settle(cx).await?;
    // Where etcd is has changed perhaps: whoever runs reads its file again.
    let client = Client::new(cx)?;
    for node in cx.spec.data_nodes().filter(|n| !n.drained) {
        let Ok(machine) = cx.machine(node) else { continue };
        if machine.state(patroni::UNIT).await?.is_running() {
            patroni::write(cx, node, true).await?;
            match client.reload(&node.name).await {
                Ok(()) | Err(DriverError::Transient { .. }) => {}
                Err(e) => return Err(e),
            }
        }
    }
    set_pause(cx, !cx.spec.auto_failover).await
}

/// While Patroni is paused nobody is elected; a hand-over on purpose still works.
pub(crate) async fn set_pause(cx: &ClusterContext, pause: bool) -> Result<()> {
    if cx.spec.topology == Topology::Single {
        return Ok(());
    }
    let client = Client::within(cx, patroni::GLANCE)?;
    until!(LEADS_WITHIN, async {
        client.patch(&json!({ "pause": pause })).await?;
        let seen = client.members().await?.pause;
        Ok(if seen == pause {
            Look::Done(())
        } else {
            Look::NotYet("the members have not seen yet whether they may elect".to_owned())
        })
    })
}

/// Restarts a node's server while its Patroni keeps its role.
pub(crate) async fn restart(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    Client::new(cx)?.restart(&node.name).await
}

/// Makes a node a candidate for the lead, and for reads, or not.
pub(crate) async fn set_candidate(cx: &ClusterContext, node: &NodeSpec, candidate: bool) -> Result<()> {
    patroni::write(cx, node, candidate).await?;
    Client::within(cx, patroni::GLANCE)?.reload(&node.name).await
}

/// Hands the lead to `target` through Patroni: it stops the old primary in order, so that the target has everything.
pub(crate) async fn hand_over(
    cx: &ClusterContext,
    target: &NodeSpec,
    switch: &(dyn Fn() -> Switch + Send + Sync),
) -> Result<HandOver> {
    let lead = form::leader(cx).await?;
    if lead.id == target.id {
        switch().await?;
        return Ok(HandOver { write_gap_ms: 0.0 });
    }
    // What is on disk already need not be written while nobody takes writes.
    for node in [lead, target] {
        Session::open(cx, node, As::Operator, ANSWER).await?.run("CHECKPOINT").await?;
    }
    let client = Client::new(cx)?;
    let asked = client.switch_over(&lead.name, &target.name);
    let (asked, last, first) = tokio::join!(asked, writes_until(cx, lead), writes_from(cx, target));
    asked?;
    let (last, first) = (last?, first?);
    switch().await?;
    let gap = first.saturating_duration_since(last);
    Ok(HandOver { write_gap_ms: gap.as_secs_f64() * 1000.0 })
}

/// The last moment at which a server took writes.
async fn writes_until(cx: &ClusterContext, node: &NodeSpec) -> Result<Instant> {
    let session = Session::open(cx, node, As::Watch, PROBE).await?;
    let (begun, mut last) = (Instant::now(), Instant::now());
    while begun.elapsed() < LEADS_WITHIN {
        match session.row("SELECT pg_is_in_recovery()", &[]).await {
            Ok(row) if !row.get::<_, bool>(0) => last = Instant::now(),
            _ => return Ok(last),
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
    Err(DriverError::transient(format!("{} goes on taking writes", node.name)))
}

/// The first moment at which a server takes writes.
async fn writes_from(cx: &ClusterContext, node: &NodeSpec) -> Result<Instant> {
    let begun = Instant::now();
    let mut session = None;
    while begun.elapsed() < LEADS_WITHIN {
        if session.is_none() {
            session = Session::open(cx, node, As::Watch, PROBE).await.ok();
        }
        if let Some(open) = &session {
            match open.row("SELECT pg_is_in_recovery()", &[]).await {
                Ok(row) if !row.get::<_, bool>(0) => return Ok(Instant::now()),
                Ok(_) => {}
                Err(_) => session = None,
            }
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
    let waited = LEADS_WITHIN.as_secs();
    Err(DriverError::transient(format!("{} does not take writes (waited {waited} s)", node.name)))
}

/// Throws a replica's data away and copies everything again.
pub(crate) async fn resync(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    let client = Client::new(cx)?;
    if client.members().await?.leader() == Some(node.name.as_str()) {
        return Err(DriverError::rejected(
            format!("{} takes the writes", node.name),
            "promote another node first",
        ));
    }
    client.reinitialize(&node.name).await?;
    progress.note(&format!("{} copies everything again", node.name));
    form::caught_up(cx, node, progress).await
}

/// Gives every role its next password. A role has one password at a time: open connections stay, new ones need the new.
pub(crate) async fn accept_next_secrets(cx: &ClusterContext) -> Result<()> {
    let lead = form::leader(cx).await?;
    let session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    let roles = [
        (config::WATCH, config::WATCH),
        (config::PEOPLE, "people"),
        (config::REWIND, config::REWIND),
        (config::REPLICA, config::REPLICA),
        (config::OPERATOR, config::OPERATOR),
    ];
    let mut all = String::from("BEGIN;");
    for (role, secret) in roles {
        all.push_str(&format!(
            "ALTER ROLE {role} PASSWORD '{}';",
            form::hashed(cx.secrets.newest(secret)?).reveal()
        ));
    }
    all.push_str("COMMIT");
    session.run(&all).await?;
    let client = Client::new(cx)?;
    for node in cx.spec.data_nodes().filter(|n| !n.drained) {
        patroni::write(cx, node, true).await?;
        client.reload(&node.name).await?;
    }
    Ok(())
}
