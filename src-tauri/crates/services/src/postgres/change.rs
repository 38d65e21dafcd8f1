//! Changes to a running cluster: who may lead, a planned hand-over, a fresh copy, new passwords.

use super::{
    config, etcd, form,
    patroni::{self, Client, Part},
    sql::{ANSWER, As, Session},
};
use crate::wait::{Look, until};
use clusterdeck_domain::{NodeId, NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, HandOver, Progress, Result, Switch};
use futures::future::{join_all, try_join_all};
use serde_json::json;
use std::time::{Duration, Instant};

/// A switchover takes about a second.
const LEADS_WITHIN: Duration = Duration::from_secs(15);
/// For a Patroni to say that it reads its file again: it answers at once, or hangs and is asked anew.
const READS_WITHIN: Duration = Duration::from_secs(8);
/// For writing to disk what changed: some gigabytes at 10 MB/s.
pub(crate) const WRITTEN_WITHIN: Duration = Duration::from_secs(300);
/// The same a second time, for what changed meanwhile. The voters stand aside then.
const REST_WITHIN: Duration = Duration::from_secs(20);
/// A step without progress for so long as its deadline counts as stuck.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// A probe of who takes writes.
const PROBE: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_millis(2);

/// Makes etcd's members those of the spec, and Patroni's election and replication what the spec says. `leads`: who does,
/// when somebody knows; else whoever says so.
pub(crate) async fn arm(cx: &ClusterContext, leads: Option<&NodeId>) -> Result<()> {
    etcd::settle(cx).await?;
    if cx.spec.topology == Topology::Single {
        return Ok(());
    }
    let leads = match leads {
        Some(node) => node.clone(),
        None => form::leader(cx).await?.id.clone(),
    };
    // Where etcd is and who may lead has changed perhaps: whoever runs reads its file again. Side by side: each may be busy.
    let serving = cx.spec.data_nodes().filter(|n| !n.drained);
    try_join_all(serving.map(|node| told_its_part(cx, node, &leads))).await?;
    set_replication(cx).await?;
    set_pause(cx, false).await
}

async fn told_its_part(cx: &ClusterContext, node: &NodeSpec, leads: &NodeId) -> Result<()> {
    let Ok(machine) = cx.machine(node) else { return Ok(()) };
    let part = Part::of(cx, node, node.id == *leads);
    if machine.state(patroni::UNIT).await?.is_running() {
        note(cx, node, part).await
    } else {
        patroni::write(cx, node, part).await.map(drop)
    }
}

/// Writes a node's file and lets it be read again; a Patroni that does not answer meanwhile reads it when it starts.
async fn note(cx: &ClusterContext, node: &NodeSpec, part: Part) -> Result<()> {
    patroni::write(cx, node, part).await?;
    let client = Client::within(cx, patroni::GLANCE)?;
    let told: Result<()> = until!(READS_WITHIN, async { client.reload(&node.name).await.map(Look::Done) });
    match told {
        Err(DriverError::Transient { what }) => {
            tracing::warn!(node = %node.name, %what, "Patroni did not say that it reads its file");
            Ok(())
        }
        other => other,
    }
}

/// Makes the leader wait for its followers as the options say.
pub(crate) async fn set_replication(cx: &ClusterContext) -> Result<()> {
    if cx.spec.topology == Topology::Single {
        return Ok(());
    }
    let (client, wanted) = (Client::within(cx, patroni::GLANCE)?, patroni::replication(cx));
    until!(LEADS_WITHIN, async { client.patch(&wanted).await.map(Look::Done) })?;
    if !cx.spec.options.synchronous {
        return Ok(());
    }
    // Until a follower is synchronous nothing of it is true. With none there Patroni goes on without, or waits if strict.
    let followers = cx.spec.data_nodes().filter(|n| !n.drained).count() > 1;
    until!(LEADS_WITHIN, async {
        let members = client.members().await?;
        let can = members.members.iter().any(form::follows);
        Ok(if !followers || !can || members.members.iter().any(|m| m.role == "sync_standby") {
            Look::Done(())
        } else {
            Look::NotYet("no replica is synchronous yet".to_owned())
        })
    })
}

/// While Patroni is paused nobody is elected; a hand-over on purpose still works.
pub(crate) async fn set_pause(cx: &ClusterContext, pause: bool) -> Result<()> {
    if cx.spec.topology == Topology::Single {
        return Ok(());
    }
    if pause && !anybody_runs(cx).await {
        // Nobody is there who could elect anybody.
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

/// Whether a Patroni of the cluster has a process.
async fn anybody_runs(cx: &ClusterContext) -> bool {
    for node in cx.spec.data_nodes() {
        let Ok(machine) = cx.machine(node) else { continue };
        // One that cannot be looked at may run.
        if machine.state(patroni::UNIT).await.map_or(true, |state| state.is_running()) {
            return true;
        }
    }
    false
}

/// Restarts a node's server while its Patroni keeps its role.
pub(crate) async fn restart(cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
    Client::new(cx)?.restart(&node.name).await
}

/// Makes a node a candidate for the lead, and for reads, or not.
pub(crate) async fn set_candidate(cx: &ClusterContext, node: &NodeSpec, candidate: bool) -> Result<()> {
    let noted = Part::noted(cx, node).await;
    let part = Part { may_lead: candidate && noted.may_lead, serves: candidate, founds: false };
    patroni::write(cx, node, part).await?;
    Client::within(cx, patroni::GLANCE)?.reload(&node.name).await
}

/// Lets both write to disk what changed, before anybody stands aside: gigabytes take a slow disk minutes.
pub(crate) async fn prepare_hand_over(
    cx: &ClusterContext,
    target: &NodeSpec,
    progress: &Progress,
) -> Result<()> {
    let lead = form::leader(cx).await?;
    if lead.id == target.id {
        return Ok(());
    }
    let note = format!("{} and {} write to disk what changed", lead.name, target.name);
    let writing = join_all([lead, target].map(|node| checkpoint(cx, node, WRITTEN_WITHIN)));
    told(progress, &note, Some(WRITTEN_WITHIN), async { writing.await.into_iter().collect() }).await
}

/// Does what says nothing meanwhile. How much of it there is nobody knows; with a limit, how long it may take yet is what can be
/// told.
pub(crate) async fn told<T>(
    progress: &Progress,
    note: &str,
    limit: Option<Duration>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let begun = Instant::now();
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(TELL_EVERY) => match limit {
                Some(limit) => progress.measured(note, begun.elapsed().as_secs(), limit.as_secs()),
                None => progress.note(note),
            }
        }
    }
}

/// Writes to disk what changed in memory.
pub(crate) async fn checkpoint(cx: &ClusterContext, node: &NodeSpec, limit: Duration) -> Result<()> {
    Session::open(cx, node, As::Operator, ANSWER).await?.patient(limit).run("CHECKPOINT").await
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
    let client = Client::new(cx)?;
    may_take_over(cx, &client, target).await?;
    // What is on disk already need not be written while nobody takes writes. Most is, by [`prepare_hand_over`].
    for node in [lead, target] {
        checkpoint(cx, node, REST_WITHIN).await?;
    }
    let asked = async {
        client.switch_over(&lead.name, &target.name).await?;
        if cx.spec.options.synchronous {
            // The new leader would wait for the old one as well, which takes seconds to follow. [`arm`] sees to it again.
            client.patch(&patroni::replication(cx)).await.ok();
        }
        Ok::<(), DriverError>(())
    };
    let (asked, last, first) = tokio::join!(asked, writes_until(cx, lead), writes_from(cx, target));
    asked?;
    let (last, first) = (last?, first?);
    switch().await?;
    let gap = first.saturating_duration_since(last);
    Ok(HandOver { write_gap_ms: gap.as_secs_f64() * 1000.0 })
}

/// Sees that Patroni accepts the target: it may lead, and where replication is synchronous it is a synchronous one. What is
/// set here for a moment is set back by [`arm`].
async fn may_take_over(cx: &ClusterContext, client: &Client, target: &NodeSpec) -> Result<()> {
    if !cx.spec.auto_failover {
        note(cx, target, Part::of(cx, target, true)).await?;
    }
    if !cx.spec.options.synchronous {
        return Ok(());
    }
    let all = cx.spec.data_nodes().filter(|n| !n.drained).count().max(2) - 1;
    client.patch(&json!({ "synchronous_node_count": all })).await?;
    until!(LEADS_WITHIN, async {
        let members = client.members().await?;
        let found = members.members.iter().find(|m| m.name == target.name);
        Ok(if found.is_some_and(|m| m.role == "sync_standby") {
            Look::Done(())
        } else {
            Look::NotYet(format!("{} is not a synchronous replica yet", target.name))
        })
    })
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
                Ok(row) if !row.get::<_, bool>(0) => return committed(cx, node).await,
                Ok(_) => {}
                Err(_) => session = None,
            }
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
    let waited = LEADS_WITHIN.as_secs();
    Err(DriverError::transient(format!("{} does not take writes (waited {waited} s)", node.name)))
}

/// The moment at which a write is acknowledged: with a synchronous replica that is later than the lead is taken.
async fn committed(cx: &ClusterContext, node: &NodeSpec) -> Result<Instant> {
    if cx.spec.options.synchronous {
        let session = Session::open(cx, node, As::Operator, LEADS_WITHIN).await?;
        session.row("SELECT pg_logical_emit_message(true, 'clusterdeck', 'first write')::text", &[]).await?;
    }
    Ok(Instant::now())
}

/// Gives every role its next password, whichever of the two it has now. A role has one password at a time: open connections
/// stay, new ones need the new.
pub(crate) async fn accept_next_secrets(cx: &ClusterContext) -> Result<()> {
    let lead = form::leader(cx).await?;
    let session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    // What a call that was cut off has sent must not be done after this.
    session.rows(END_OTHERS, &[&config::OPERATOR]).await?;
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
    let nodes: Vec<_> = cx.spec.data_nodes().filter(|n| !n.drained).collect();
    for node in &nodes {
        patroni::write(cx, node, Part::noted(cx, node).await).await?;
    }
    // All are tried: one that does not answer keeps no other from what its servers know by now.
    let client = Client::new(cx)?;
    let told = nodes.into_iter().map(|node| {
        let client = &client;
        async move {
            if node.id != lead.id {
                form::caught_up(cx, node, &Progress::silent()).await?;
            }
            client.reload(&node.name).await
        }
    });
    join_all(told).await.into_iter().collect()
}

/// Ends our own other sessions as this role, and waits until they have ended.
const END_OTHERS: &str = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity \
                          WHERE usename = $1 AND application_name = 'clusterdeck' AND pid <> pg_backend_pid()";
