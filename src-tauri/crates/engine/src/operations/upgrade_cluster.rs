//! Let every data node run a newer minor version, one after the other (`rolling`). There is no way back from the first node
//! on: what a newer server has written an older one may not read. What fails stops where it is; the others go on serving,
//! and taking it up again, or asking for it anew, goes on from there.

use crate::{
    error::EngineError,
    facade::Result,
    inventory,
    operations::rolling,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::{NodeId, NodeSpec, belongs};
use clusterdeck_driver::DriverError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) to: String,
    /// The version that the cluster's row had.
    pub(crate) from: String,
    /// The image that holds the new version, where the provider works with images.
    pub(crate) image: Option<String>,
    /// Those that do not run it yet, in order.
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) name: String,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let (to, from) = (plan.to.clone(), plan.from.clone());
    let (version, image) = (plan.to.clone(), plan.image.clone());
    // Before the first node: from then on whatever is started or added takes the new version, and none goes back.
    let mut steps = vec![
        step("fetch", format!("See that {} can be had", plan.to), move |cx| {
            fetch(cx, version.clone(), image.clone())
        })
        .within(Duration::from_secs(180)),
        step("note", "Note the new version of the cluster", move |cx| note(cx, to.clone()))
            .undo(move |cx| note(cx, from.clone())),
    ];
    for (place, Node { id, name }) in (1..).zip(&plan.nodes) {
        let (node, to, image) = (id.clone(), plan.to.clone(), plan.image.clone());
        let title = format!("Stop {name}, let it run {to}, start it");
        let act = step(format!("upgrade-{place}"), title, move |cx| {
            upgrade(cx, node.clone(), to.clone(), image.clone())
        });
        let [make_way, act, come_back] =
            rolling::around(place, id, name, act.within(Duration::from_secs(180)).no_return());
        let (node, to) = (id.clone(), plan.to.clone());
        let title = format!("See that {name} runs {}", plan.to);
        let look = step(format!("look-{place}"), title, move |cx| see(cx, node.clone(), to.clone()));
        steps.extend([make_way, act, come_back, look]);
    }
    steps.push(rolling::proof());
    steps
}

/// What takes long or cannot be had shows before any server is stopped.
async fn fetch(cx: StepContext, to: String, image: Option<String>) -> Result<()> {
    for node in cx.spec()?.data_nodes() {
        ready(&cx, node, &to, image.as_deref()).await?;
    }
    Ok(())
}

async fn ready(cx: &StepContext, node: &NodeSpec, to: &str, image: Option<&str>) -> Result<()> {
    let needs = inventory::server(&cx.shared, cx.spec()?.service)?;
    let provider = cx.provider()?;
    Ok(provider.ready_version(&node.machine, image, needs.of(to), to, &cx.progress()).await?)
}

async fn note(cx: StepContext, version: String) -> Result<()> {
    cx.update_spec(|spec| spec.version.clone_from(&version)).await.map(drop)
}

/// Stops the node, lets its machine have the new version, starts it. One that runs it already is only started.
async fn upgrade(cx: StepContext, node: NodeId, to: String, image: Option<String>) -> Result<()> {
    let context = cx.context().await?;
    let meant = context.node(&node)?;
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let done = seen.node(&node).and_then(|n| n.version.as_deref()).is_some_and(|has| belongs(has, &to));
    if !done {
        // A kill may have come after the old machine was cleared away and before the new one was there.
        if context.machine(meant).is_ok() {
            // Not whether what its machine holds now could start: that is what it leaves behind.
            ready(&cx, meant, &to, image.as_deref()).await?;
            rolling::may_be_stopped(&cx, &node).await?;
            cx.driver()?.stop_node(&context, meant).await?;
        }
        cx.provider()?.renew_machine(&meant.machine, image.as_deref(), &cx.progress()).await?;
    }
    rolling::start(&cx, &node).await.map_err(|error| not_back(error, &meant.name, &to))
}

/// An old server is not tried on files that a newer one may have written to: what began to run is there to stay.
fn not_back(error: EngineError, name: &str, to: &str) -> EngineError {
    match error {
        EngineError::Driver(DriverError::Rejected { what, hint }) => DriverError::rejected(
            format!("{name} did not start with {to}: {what}"),
            format!(
                "{hint}. Its files may be written by {to} already, so the old version is not started on them; the other \
                 nodes go on serving. Put it right, then retry this operation"
            ),
        )
        .into(),
        other => other,
    }
}

/// The server itself says that it runs the new version, before the next one is touched.
async fn see(cx: StepContext, node: NodeId, to: String) -> Result<()> {
    let seen = crate::watch::look(&cx.shared, &cx.cluster).await?;
    let spec = cx.spec()?;
    let name = spec.node(&node).map_or("it", |n| n.name.as_str());
    let Some(has) = seen.node(&node).and_then(|n| n.version.as_deref()) else {
        return Err(DriverError::transient(format!("{name} does not say which version it runs")).into());
    };
    if !belongs(has, &to) {
        let hint = "see which programs and images are found (`clusterdeck doctor`), then ask for it again";
        return Err(DriverError::rejected(format!("{name} still runs {has}, not {to}"), hint).into());
    }
    let done = format!("{name} runs {has}");
    cx.report(|outcome| {
        if !outcome.notes.contains(&done) {
            outcome.notes.push(done);
        }
    });
    Ok(())
}
