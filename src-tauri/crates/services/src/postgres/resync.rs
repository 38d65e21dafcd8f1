//! A fresh copy for a replica. Its old data waits beside it until the copy streams; what the primary lacks is kept longer.

use super::{
    config,
    diverged::{self, Place},
    flavour, form,
    patroni::{self, Client, Part},
};
use crate::aside::{Aside, Held};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, Progress, Result};

const ASIDE: Aside =
    Aside { data: config::DATA, waiting: "pg/data.before-copy", kept: &["pg/data.diverged"] };

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
    let held = Held::of(is_ahead(cx, lead, node).await);
    // What cannot be started again is not stopped.
    flavour::software(cx, machine.as_ref()).await?;
    if !machine.exists(ASIDE.waiting).await? {
        form::stop_node(cx, node).await?;
        // Of a call that was cut off a part of the copy lies there by now; Patroni throws it away or goes on with it.
        ASIDE.put_away(machine.as_ref(), held, &lead.name).await?;
    }
    machine.remove(diverged::NOTE).await?;
    progress.note(&format!("{} copies everything again", node.name));
    patroni::start(cx, node, Part::noted(cx, node).await).await?;
    form::caught_up(cx, node, progress).await?;
    ASIDE.done(machine.as_ref()).await
}

/// Whether a node holds writes that the one that leads lacks. `None`: nobody says.
async fn is_ahead(cx: &ClusterContext, lead: &NodeSpec, node: &NodeSpec) -> Option<bool> {
    let client = Client::within(cx, patroni::GLANCE).ok()?;
    let place = async |node: &NodeSpec| Place::of(&client.status(&node.name).await.ok()?);
    let (own, leads) = (place(node).await?, place(lead).await?);
    own.is_beyond(leads.timeline, &client.history().await.ok()?)
}
