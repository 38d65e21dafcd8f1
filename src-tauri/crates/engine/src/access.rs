//! Who may reach a cluster: where somebody who asks comes from, what is told of the list, and entries whose time has come.

use crate::{
    backups, door,
    engine::Shared,
    error::EngineError,
    facade::{AccessReport, Asker, Result},
};
use clusterdeck_domain::{
    AllowWish, Change, ChangeKind, ClusterSpec, ComesFrom, Exposable, Lifecycle, NodeFence, OperationId,
    lets_in, ways_in,
};
use clusterdeck_driver::{Fence, source_towards};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// How often entries whose time has come are looked for. The endpoint lets them in no longer at the second itself.
const LOOK: Duration = Duration::from_secs(5);

/// The address with which whoever asks arrives at the endpoints of this cluster.
pub(crate) fn comes_from(shared: &Shared, spec: &ClusterSpec, asker: Asker) -> ComesFrom {
    match asker {
        Asker::Schedule => ComesFrom::Nobody,
        Asker::At(address) if !address.to_canonical().is_loopback() => {
            ComesFrom::Address(address.to_canonical())
        }
        Asker::At(_) | Asker::Here => endpoint(shared, spec)
            .and_then(source_towards)
            .map_or(ComesFrom::Unknown, |from| ComesFrom::Address(from.to_canonical())),
    }
}

/// Whether clients arrive at the endpoint with another address than their own: it is published on this computer.
pub(crate) fn sources_hidden(shared: &Shared, spec: &ClusterSpec) -> bool {
    let address = spec.gateway.as_ref().map(|gateway| gateway.address);
    endpoint(shared, spec).is_some_and(|at| Some(at.ip()) != address)
}

fn endpoint(shared: &Shared, spec: &ClusterSpec) -> Option<SocketAddr> {
    let port = shared.driver(spec.service).ok()?.ports(spec.service).first().copied()?;
    Some(shared.provider_of(&spec.provider).ok()?.reach(spec.gateway.as_ref()?, port))
}

/// What there is for other computers to come in by, and who listens at `on` already; `None` when nobody could ask.
pub(crate) async fn exposable(shared: &Shared, spec: &ClusterSpec, on: Option<IpAddr>) -> Option<Exposable> {
    let standard_port = *shared.driver(spec.service).ok()?.ports(spec.service).first()?;
    let asked = shared.provider_of(&spec.provider).ok()?.exposable(on).await;
    let found =
        asked.inspect_err(|error| tracing::warn!(%error, "what leads here from elsewhere is not known"));
    Some(Exposable { standard_port, ..found.ok()? })
}

/// Whether the network of a cluster holds its nodes' own ports to the list.
pub(crate) async fn node_fence(shared: &Shared, spec: &ClusterSpec) -> NodeFence {
    match shared.provider_of(&spec.provider) {
        Ok(provider) => provider.node_fence(&spec.network).await,
        Err(error) => NodeFence::Missing(error.to_string()),
    }
}

/// Lets the network hold the nodes' own ports to the list of the row as it is now; a list that is tried is not theirs yet.
pub(crate) async fn hold_nodes(shared: &Shared, spec: &ClusterSpec) -> Result<()> {
    let now = shared.now();
    let provider = shared.provider_of(&spec.provider)?;
    let standard = shared.driver(spec.service)?.ports(spec.service);
    let offset = spec.nodes.first().map_or(0, |node| node.machine.port_offset);
    let fence = Fence {
        cluster: spec.id.clone(),
        network: spec.network.clone(),
        nodes: spec.nodes.iter().map(|node| node.machine.address).collect(),
        insiders: spec.gateway.iter().map(|gateway| gateway.address).collect(),
        ports: standard.iter().map(|port| port.saturating_add(offset)).collect(),
        list: spec.allowlist.iter().filter(|entry| !entry.is_over(now)).map(|entry| entry.cidr).collect(),
    };
    Ok(provider.hold_nodes(&fence).await?)
}

/// See [`crate::Engine::access`].
pub(crate) async fn report(shared: &Arc<Shared>, cluster: &str, asker: Asker) -> Result<AccessReport> {
    let live = shared.find(cluster)?;
    let spec = &live.spec;
    let waits = |(id, busy): &(OperationId, clusterdeck_domain::Busy)| {
        (busy.kind == ChangeKind::SetAllowlist).then(|| id.clone())
    };
    let now = shared.now();
    let your_address = match comes_from(shared, spec, asker) {
        ComesFrom::Address(from) => Some((from, lets_in(spec.allowed(now), from, now))),
        ComesFrom::Nobody | ComesFrom::Unknown => None,
    };
    let place = exposable(shared, spec, None).await.unwrap_or_default();
    Ok(AccessReport {
        exposure: spec.exposure,
        addresses: place.addresses,
        not_exposable: place.refused,
        entries: spec.allowlist.clone(),
        trial: spec.allow_trial.clone().map(|trial| (trial, live.busy.as_ref().and_then(waits))),
        your_address,
        ways: ways_in(spec, &node_fence(shared, spec).await),
    })
}

/// Takes entries off the lists when their time has come, until the engine ends.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stopped.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if shared.closing.is_cancelled() {
            continue;
        }
        let now = shared.now();
        let over = |spec: &ClusterSpec| {
            spec.lifecycle == Lifecycle::Active && spec.allowlist.iter().any(|entry| entry.is_over(now))
        };
        let due: Vec<ClusterSpec> = {
            let clusters = shared.lock_clusters();
            let free = clusters.values().filter(|live| live.busy.is_none());
            free.map(|live| live.spec.clone()).filter(over).collect()
        };
        for spec in due {
            if let Err(error) = shorten(&shared, &spec).await {
                tracing::info!(cluster = %spec.name, %error, "an entry whose time has come stays in the list for now");
            }
        }
    }
}

/// Asks at the one door for the list without what is over. A list never ends with such entries alone, so it does not open.
async fn shorten(shared: &Arc<Shared>, spec: &ClusterSpec) -> Result<()> {
    let now = shared.now();
    let stays = spec.allowlist.iter().filter(|entry| !entry.is_over(now));
    let entries: Vec<AllowWish> = stays
        .map(|entry| AllowWish {
            cidr: entry.cidr.to_string(),
            comment: entry.comment.clone(),
            expires_at: entry.expires_at,
        })
        .collect();
    if entries.is_empty() {
        return Err(EngineError::PreviewStale);
    }
    let change = Change::SetAllowlist { cluster: spec.id.to_string(), entries, keep_within_ms: None };
    let prepared = door::preview(shared, change, Asker::Schedule).await?;
    door::confirm(shared, &prepared.id, None, backups::BY_SCHEDULE, None).await.map(drop)
}
