//! Looks at every cluster each 2 s: keeps what it saw, tells what changed, starts crashed servers again. A watcher takes
//! no input and decides nothing about leadership; that is for the engines built for it.

mod notice;
mod repair;

pub(crate) use notice::leaders;
pub(crate) use repair::heal;

use crate::{engine::Shared, facade::Result, repository::SampleRow};
use clusterdeck_domain::{
    ClusterId, ClusterObserved, ClusterSpec, Fact, FailoverReadiness, Lifecycle, METRICS, NodeObserved,
};
use clusterdeck_driver::{ClusterContext, Traffic};
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often a cluster is looked at.
const ROUND: Duration = Duration::from_secs(2);
/// A look that takes longer is given up; what was not seen is unknown.
const LIMIT: Duration = Duration::from_secs(4);
/// While nothing but small measurements changes, listeners are told and the copy on disk is renewed only so often: drawing a
/// page that looks the same costs more than all the looking.
const TELL_AT_LEAST_EVERY: Duration = Duration::from_secs(6);
/// How often old samples are rolled up and dropped, and servers' old logs.
const TIDY: Duration = Duration::from_secs(60);

/// Watches a cluster until it is gone or the engine ends. Nothing happens when it is watched already.
pub(crate) fn begin(shared: &Arc<Shared>, id: &ClusterId) {
    let mut watched = shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
    if watched.contains_key(id) {
        return;
    }
    let token = CancellationToken::new();
    watched.insert(id.clone(), token.clone());
    let (shared_, id) = (shared.clone(), id.clone());
    shared.tasks.spawn(async move {
        let mut ticks = interval(ROUND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut tidied, mut held) = (Instant::now(), None);
        loop {
            tokio::select! {
                () = shared_.stopped.cancelled() => return,
                () = token.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = shared_.stopped.cancelled() => return,
                () = token.cancelled() => return,
                () = round(&shared_, &id, &mut tidied, &mut held) => {}
            }
        }
    });
}

/// Stops watching a cluster.
pub(crate) fn end(shared: &Shared, id: &ClusterId) {
    if let Some(token) = shared.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(id) {
        token.cancel();
    }
}

async fn round(shared: &Arc<Shared>, id: &ClusterId, tidied: &mut Instant, held: &mut Option<Instant>) {
    let Ok(live) = shared.live(id) else { return };
    // While a cluster is made or taken down its nodes come and go on purpose. One whose deletion failed is looked at: what
    // is left of it should not seem well.
    let active = live.spec.lifecycle == Lifecycle::Active;
    if !active && live.busy.is_some() {
        return;
    }
    match look(shared, id).await {
        Ok(seen) => {
            if active && live.busy.is_none() && !shared.is_deleting(id) {
                if held.is_none_or(|at| at.elapsed() >= TIDY) {
                    *held = Some(Instant::now());
                    repair::hold(shared, id).await;
                }
                repair::repair(shared, id, &seen).await;
                if tidied.elapsed() >= TIDY {
                    *tidied = Instant::now();
                    repair::tidy(shared, id).await;
                }
            }
        }
        Err(error) => tracing::warn!(cluster = %live.spec.name, %error, "the cluster could not be looked at"),
    }
}

/// Looks at a cluster now, keeps what was seen and tells what changed. What is returned is the newest that is known.
pub(crate) async fn look(shared: &Arc<Shared>, id: &ClusterId) -> Result<ClusterObserved> {
    let (mut began, mut spec, mut seen) = glance(shared, id).await?;
    if shared.live(id).is_ok_and(|live| live.spec.secrets_generation != spec.secrets_generation) {
        // The passwords were changed while we looked: nodes that refuse the old ones are not down.
        (began, spec, seen) = glance(shared, id).await?;
    }
    let (before, led_by, told) = {
        let mut clusters = shared.lock_clusters();
        let Some(live) = clusters.get_mut(id) else { return Ok(seen) };
        // Two looks may be under way at once, a round and one that a preview or an operation asked for. The one that began
        // first and ended last knows less than the other.
        if let Some(newer) = live.observed.as_ref().filter(|_| live.looked > Some(began)) {
            return Ok(newer.clone());
        }
        live.looked = Some(began);
        let leading = leaders(&seen);
        let led_by = if leading.is_empty() {
            live.led_by.clone()
        } else {
            std::mem::replace(&mut live.led_by, leading)
        };
        let told = live.told.is_none_or(|at| at.elapsed() >= TELL_AT_LEAST_EVERY)
            || live.observed.as_ref().is_none_or(|before| notice::differ(before, &seen));
        if told {
            live.told = Some(Instant::now());
        }
        (live.observed.replace(seen.clone()), led_by, told)
    };
    if told {
        shared.cluster_changed(&spec, "Looked at again");
    }
    notice::changes(shared, &spec, before.as_ref(), &led_by, &seen).await;
    keep(shared, id, &seen, told).await;
    Ok(seen)
}

/// One look, as old as the moment it began.
async fn glance(shared: &Arc<Shared>, id: &ClusterId) -> Result<(Instant, ClusterSpec, ClusterObserved)> {
    let (began, at) = (Instant::now(), shared.now());
    let context = shared.context(id).await?;
    let driver = shared.driver(context.spec.service)?;
    let seen = match timeout(LIMIT, driver.observe(&context)).await {
        Ok(seen) => ClusterObserved { at, ..seen },
        Err(_) => ClusterObserved {
            at,
            nodes: context.spec.nodes.iter().map(|n| NodeObserved::unknown(n.id.clone())).collect(),
            votes: None,
            failover: FailoverReadiness {
                enabled: context.spec.auto_failover,
                ready: false,
                reason: "nobody could look at the cluster in time".to_owned(),
            },
            endpoint_up: None,
        },
    };
    let mut seen = with_what_is_not_enforced(seen, &context);
    if seen.endpoint_up.is_none() && context.spec.limits_access() {
        seen.endpoint_up = endpoint_up(shared, &context).await;
    }
    Ok((began, context.spec, seen))
}

/// Whether the endpoint has somewhere to send writes, as it says itself: asked where its list does not let us through.
async fn endpoint_up(shared: &Shared, context: &ClusterContext) -> Option<bool> {
    let status = timeout(LIMIT, shared.gateway.status(context)).await.ok()?;
    Some(status.is_ok_and(|status| status.up.iter().any(|(traffic, _)| *traffic == Traffic::ReadWrite)))
}

/// Says of each node which limits of its plan nobody enforces: the server of one with none may take all the memory there is.
fn with_what_is_not_enforced(mut seen: ClusterObserved, context: &ClusterContext) -> ClusterObserved {
    for node in &mut seen.nodes {
        let machine = context.node(&node.node).and_then(|spec| context.machine(spec));
        if let Some(text) = machine.ok().and_then(|machine| machine.not_enforced()) {
            node.facts.push(Fact::new("not-enforced", "Not enforced", text));
        }
    }
    seen
}

/// Keeps the samples, and the observation when listeners were told of it. They may be lost, so a failure is only logged.
async fn keep(shared: &Arc<Shared>, id: &ClusterId, seen: &ClusterObserved, told: bool) {
    let at = seen.at.as_millisecond();
    let samples: Vec<SampleRow> = seen
        .nodes
        .iter()
        .map(|node| SampleRow {
            cluster: id.clone(),
            node: node.node.clone(),
            at,
            values: METRICS.iter().map(|metric| node.metrics.get(*metric)).collect(),
        })
        .collect();
    let kept = async {
        if told {
            shared.cache.put_observed(id, seen).await?;
        }
        shared.cache.add_samples(&samples).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(%error, "what was seen could not be kept");
    }
}

/// After an operation everybody who asks expects to see the cluster as it left it.
pub(crate) async fn after_operation(shared: &Arc<Shared>, id: &ClusterId) {
    let Ok(live) = shared.live(id) else { return };
    if live.spec.lifecycle == Lifecycle::Active
        && let Err(error) = look(shared, id).await
    {
        tracing::warn!(cluster = %live.spec.name, %error, "the cluster could not be looked at");
    }
}

/// Rolls up and drops old samples, and forgets previews nobody confirmed.
pub(crate) async fn tidy(shared: Arc<Shared>) {
    let mut ticks = interval(TIDY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = None;
    loop {
        tokio::select! {
            () = shared.stopped.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = shared.now();
        shared
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, p| p.prepared.expires_at > now);
        crate::backups::expire(&shared, looked.replace(now)).await;
        crate::alerts::settle(&shared).await;
        if let Err(error) = shared.cache.tidy(now.as_millisecond()).await {
            tracing::warn!(%error, "old samples could not be tidied");
        }
    }
}
