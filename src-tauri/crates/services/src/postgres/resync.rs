//! A fresh copy for a replica. Its old data waits beside it until the copy streams; what the primary lacks is kept longer.

use super::{
    config, form,
    patroni::{self, Client, Part},
};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result};

/// Where the data waits until the copy streams.
const WAITING: &str = "pg/data.before-copy";
/// Where data stays that holds writes its primary lacked, until the next copy.
const DIVERGED: &str = "pg/data.diverged";

/// Copies everything again from the one that leads. Patroni makes the copy: it finds no data folder when it starts.
pub(crate) async fn resync(
    cx: &ClusterContext,
    node: &NodeSpec,
    progress: &Progress,
) -> Result<Option<String>> {
    let lead = form::leader(cx).await?;
    if lead.id == node.id {
        return Err(DriverError::rejected(
            format!("{} takes the writes", node.name),
            "promote another node first",
        ));
    }
    let machine = cx.machine(node)?;
    // One that was interrupted here has its old data aside already; what lies in its place is the new copy, or a part of it
    // that Patroni throws away by itself.
    if !machine.exists(WAITING).await? && machine.exists(config::DATA).await? {
        let diverged = is_ahead(cx, lead, node).await;
        form::stop_node(cx, node).await?;
        machine.remove(DIVERGED).await?;
        if diverged {
            machine.rename(config::DATA, DIVERGED).await?;
            // Also after a kill it is known that nothing else waits.
            machine.create_dir(WAITING).await?;
        } else {
            machine.rename(config::DATA, WAITING).await?;
        }
    }
    progress.note(&format!("{} copies everything again", node.name));
    patroni::start(cx, node, Part::noted(cx, node).await).await?;
    form::caught_up(cx, node, progress).await?;
    let kept = machine.exists(DIVERGED).await?.then(|| {
        let at = machine.path(DIVERGED);
        format!(
            "It held writes that {} lacks. Its old data is kept in {} until the next resync.",
            lead.name,
            at.display()
        )
    });
    machine.remove(WAITING).await?;
    Ok(kept)
}

/// Whether a node is on a later timeline than the one that leads: it took writes that nobody followed.
async fn is_ahead(cx: &ClusterContext, lead: &NodeSpec, node: &NodeSpec) -> bool {
    let Ok(client) = Client::within(cx, patroni::GLANCE) else { return false };
    let timeline = async |node: &NodeSpec| client.status(&node.name).await.ok()?["timeline"].as_u64();
    timeline(lead).await.zip(timeline(node).await).is_some_and(|(lead, own)| own > lead)
}
