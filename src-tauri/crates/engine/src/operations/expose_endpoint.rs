//! Whether other computers reach the endpoints. The row says where, and what runs the endpoints follows it whenever it is
//! written or started: nothing else must remember it.

use crate::{
    facade::Result,
    step::{Step, StepContext, step},
};
use clusterdeck_domain::Exposure;
use clusterdeck_driver::DriverError;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) to: Option<Exposure>,
    pub(crate) from: Option<Exposure>,
}

pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let Plan { to, from } = *plan;
    let mut steps = Vec::new();
    let opens = to.is_some_and(|to| to.on.is_some());
    if opens {
        steps.push(step("look", "See that the ports are still free", move |cx| see_free(cx, to)));
    }
    if opens {
        // Before anybody comes in who would compare. There is no way back to take: a name too many harms nobody.
        steps.push(step("certificates", "Let the servers' certificates name the address", move |cx| {
            name(cx, to)
        }));
    }
    let title = if opens {
        "Open the endpoints to other computers"
    } else {
        "Close the endpoints to other computers"
    };
    steps.push(step("endpoints", title, move |cx| turn(cx, to)).undo(move |cx| turn(cx, from)));
    steps
}

/// Programs that agree to share a port would each get some of the connections, and nobody would be told.
async fn see_free(cx: StepContext, to: Option<Exposure>) -> Result<()> {
    let spec = cx.spec()?;
    let Some((to, on)) = to.and_then(|to| Some((to, to.on?))) else { return Ok(()) };
    let place = cx.provider()?.exposable(Some(on)).await?;
    if !place.addresses.contains(&on) {
        return Err(DriverError::rejected(
            format!("{on} is not an address of this computer any more; nothing was changed"),
            "Choose one that it has.",
        )
        .into());
    }
    let own = spec.exposure.filter(|kept| kept.on == Some(on)).map(Exposure::ports);
    let others = to.ports().into_iter().filter(|port| own.is_none_or(|own| !own.contains(port)));
    for port in others {
        if let Some(who) = place.holder(port) {
            return Err(DriverError::rejected(
                format!("port {port} of {on} is taken by now: {who} listens there; nothing was changed"),
                "Ask again: the next free one is taken where none was named.",
            )
            .into());
        }
    }
    Ok(())
}

async fn name(cx: StepContext, to: Option<Exposure>) -> Result<()> {
    let mut context = cx.context().await?;
    context.spec.exposure = to;
    Ok(cx.driver()?.name_exposed(&context).await?)
}

/// What came in by a way that is no more is closed.
async fn turn(cx: StepContext, to: Option<Exposure>) -> Result<()> {
    cx.update_spec(move |spec| spec.exposure = to).await?;
    cx.apply_endpoints().await?;
    let context = cx.context().await?;
    let closed = cx.shared.gateway.cut_outsiders(&context).await?;
    if closed > 0 {
        cx.report(|outcome| outcome.notes.push(format!("{closed} open connections were closed")));
    }
    Ok(())
}
