//! A home of many clusters, generated from a real one: the rows and the last looks of 200 clusters with 2,000 nodes, whose
//! machines are gone. What a window shows of it at its start comes from these rows.

use crate::ours::{Serve, home};
use anyhow::{Context as _, Result};
use clusterdeck_domain::{ClusterId, ClusterObserved, ClusterSpec, MachineId, NodeId};
use clusterdeck_engine::repository::{CacheRepository as _, StateRepository as _};
use clusterdeck_store::{Cache, State};
use clusterdeck_tests::places::Home;
use std::net::{IpAddr, Ipv4Addr};

pub(crate) const CLUSTERS: u16 = 200;
const NODES: u16 = 10;

/// Makes it.
pub(crate) async fn generate() -> Result<Home> {
    let (spec, seen) = a_real_one().await?;
    let many = home()?;
    let (state, cache) = (State::open(many.path())?, Cache::open(many.path())?);
    for number in 0..CLUSTERS {
        let (spec, seen) = another(&spec, &seen, number)?;
        state.put_cluster(&spec).await?;
        cache.put_observed(&spec.id, &seen).await?;
    }
    Ok(many)
}

async fn a_real_one() -> Result<(ClusterSpec, ClusterObserved)> {
    let home = home()?;
    let serve = Serve::start(home.path()).await?;
    serve.create().await?;
    drop(serve);
    let (state, cache) = (State::open(home.path())?, Cache::open(home.path())?);
    let spec = state.clusters().await?.pop().context("no cluster")?;
    let (_, seen) = cache.observed().await?.pop().context("nobody looked")?;
    Ok((spec, seen))
}

/// The same with another name, other ids, addresses where nobody listens, and more nodes.
fn another(
    spec: &ClusterSpec,
    seen: &ClusterObserved,
    number: u16,
) -> Result<(ClusterSpec, ClusterObserved)> {
    let (mut spec, mut seen) = (spec.clone(), seen.clone());
    let name = format!("cluster-{number:03}");
    let unique =
        |kind: u16, node: u16| (u128::from(number) << 64) + (u128::from(kind) << 32) + u128::from(node) + 1;
    spec.id = ClusterId::new(unique(0, 0));
    spec.name = serde_json::from_value(name.clone().into())?;
    // A row that was not there before is its first generation.
    spec.generation = 1;
    let place = |node: u16| {
        let [third, second] = number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(127, 240 + third, second, u8::try_from(node).unwrap_or(u8::MAX)))
    };
    spec.network =
        serde_json::from_value(format!("127.{}.{}.0/24", 240 + (number >> 8), number & 255).into())?;
    if let Some(gateway) = &mut spec.gateway {
        gateway.id = MachineId::new(unique(2, 100));
        gateway.address = place(100);
    }
    let (node, look) = (spec.nodes.last().cloned(), seen.nodes.last().cloned());
    let (node, look) = (node.context("no node")?, look.context("no look")?);
    spec.nodes.resize(usize::from(NODES), node);
    seen.nodes.resize(usize::from(NODES), look);
    for (ordinal, (node, look)) in (1..).zip(spec.nodes.iter_mut().zip(&mut seen.nodes)) {
        node.id = NodeId::new(unique(1, ordinal));
        node.name = format!("{name}-{ordinal}");
        node.ordinal = ordinal;
        node.machine.id = MachineId::new(unique(2, ordinal));
        node.machine.address = place(ordinal);
        look.node = node.id.clone();
        look.follows = None;
    }
    spec.last_ordinal = NODES;
    Ok((spec, seen))
}
