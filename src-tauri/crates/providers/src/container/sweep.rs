//! What is left behind by somebody who was killed: found by its labels and taken away. What others still use stays.

use super::{
    ORPHAN_AFTER,
    config::{self, CLUSTER, HOME, MACHINE},
    engines::Engine,
    network, raw,
    shared::Shared,
    unit::remove_container,
    volumes,
};
use clusterdeck_driver::{DriverError, Result};
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A network that has no machine any more and could not be taken away.
pub(super) struct Kept {
    /// The cluster it was made for.
    pub cluster: String,
    /// Who holds it, and what to do.
    pub why: DriverError,
}

/// Takes networks away that have no machine any more, and containers that never belonged to one. Those networks that cannot
/// be taken away.
pub(super) async fn sweep(shared: &Shared, engine: &Engine) -> Result<Vec<Kept>> {
    // Networks first: one that is being made now has its volume already, and so shows among those listed after.
    let networks = network::all(engine, &shared.home_id).await?;
    let clusters: HashSet<String> = volumes(engine, &shared.home_id)
        .await?
        .into_iter()
        .filter_map(|mut labels| labels.remove(CLUSTER))
        .collect();
    let mut kept = Vec::new();
    for (name, cluster) in networks.into_iter().filter(|(_, cluster)| !clusters.contains(cluster)) {
        match network::remove(engine, &name).await {
            Err(error @ DriverError::Rejected { .. }) => {
                let why = held(shared, engine, &name).await?.unwrap_or(error);
                kept.push(Kept { cluster, why });
            }
            other => other?,
        }
    }
    orphans(shared, engine).await?;
    Ok(kept)
}

/// Who else uses a network of ours.
async fn held(shared: &Shared, engine: &Engine, network: &str) -> Result<Option<DriverError>> {
    let filter = HashMap::from([("network".to_owned(), vec![network.to_owned()])]);
    let ours = |one: &raw::Listed| one.labels.as_ref().and_then(|l| l.get(HOME)) == Some(&shared.home_id);
    let all = raw::containers(engine, &filter).await?;
    let foreign: Vec<String> = all.into_iter().filter(|one| !ours(one)).map(name_of).collect();
    if foreign.is_empty() {
        return Ok(None);
    }
    let client = engine.client();
    let what = format!(
        "the network {network} cannot be taken away: containers that are not Clusterdeck's are attached to it: {}",
        foreign.join(", ")
    );
    let each: Vec<String> = foreign
        .iter()
        .map(|name| format!("`{client} network disconnect --force {network} {name}`"))
        .collect();
    let hint = format!("detach or stop them ({}), then try again; they were not touched", each.join(", "));
    Ok(Some(DriverError::rejected(what, hint)))
}

fn name_of(one: raw::Listed) -> String {
    one.names.into_iter().next().map_or(one.id, |name| name.trim_start_matches('/').to_owned())
}

/// Takes containers of ours away that belong to no machine and are no longer being used.
async fn orphans(shared: &Shared, engine: &Engine) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for one in raw::containers(engine, &config::only(&shared.home_id, &[])).await? {
        let machine = one.labels.as_ref().is_some_and(|labels| labels.contains_key(MACHINE));
        let made = Duration::from_secs(u64::try_from(one.created).unwrap_or(0));
        if !machine && now.saturating_sub(made) > ORPHAN_AFTER {
            remove_container(engine, &one.id).await?;
        }
    }
    Ok(())
}
