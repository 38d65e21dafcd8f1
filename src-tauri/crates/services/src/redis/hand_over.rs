//! A planned promotion. The order is what makes it safe:
//!
//! 1. The old primary holds writes back (`CLIENT PAUSE … WRITE`) for a limited time: when we die here it opens again by
//!    itself.
//! 2. We watch until the target has received every byte.
//! 3. `FAILOVER TO … FORCE` on the old primary: the server itself steps back, tells the target to take over on the same
//!    connection, and takes its own place back when the target does not. It needs nobody's help from here on, so our
//!    death changes nothing. At no moment do two nodes take writes.
//! 4. The endpoint turns, the old primary closes people's connections, everybody else follows the target.
//!
//! `FAILOVER` alone does the same but looks at what replicas acknowledge, which is once a second (measured: a gap of
//! 0.3 to 1.0 s); having done step 2 ourselves, its own waiting is cut to a millisecond.

use super::{
    config,
    form::{self, follow},
    info::Place,
    session::{Session, address, command},
    survey,
};
use crate::wait::{Look, until};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, HandOver, Progress, Result, Switch};
use futures::future::join_all;
use std::time::{Duration, Instant};

/// The old primary opens by itself after this time. Longer than the waiting below, so that it never opens between
/// seeing the target complete and handing over.
const HOLD_BACK: Duration = Duration::from_millis(3000);
/// For the target to receive what is on its way.
const CATCH_UP: Duration = Duration::from_millis(1000);
/// For the target to take over once told. The server gives up by itself and reopens the old primary when it cannot.
const TAKE_OVER: Duration = Duration::from_secs(4);
/// For an interrupted hand-over to come to its own end.
const SETTLE: Duration = Duration::from_secs(5);
/// A replica that is further behind is not handed to; the preview has the same limit.
const MOST_BEHIND: u64 = 1 << 20;
/// The old primary's server works on its hand-over whenever something comes in; this makes sure something does.
const POKE_EVERY: Duration = Duration::from_micros(300);

/// Hands the writes over to `target`.
pub(crate) async fn hand_over(
    cx: &ClusterContext,
    target: &NodeSpec,
    switch: &(dyn Fn() -> Switch + Send + Sync),
) -> Result<HandOver> {
    let primary = current_primary(cx).await?;
    let (write_gap_ms, turned) = if primary.id == target.id {
        // An interrupted call came this far.
        (0.0, switch().await)
    } else {
        change_places(cx, primary, target, switch).await?
    };
    everybody_follows(cx, target).await?;
    turned?;
    Ok(HandOver { write_gap_ms })
}

/// Who takes writes. A hand-over that was interrupted ends by itself, one way or the other.
async fn current_primary(cx: &ClusterContext) -> Result<&NodeSpec> {
    until!(SETTLE, async {
        let answers = survey::all(cx).await;
        Ok(match survey::primary(&answers) {
            Ok(primary) => Look::Done(primary),
            Err(e) => Look::NotYet(e.to_string()),
        })
    })
}

async fn change_places(
    cx: &ClusterContext,
    primary: &NodeSpec,
    target: &NodeSpec,
    switch: &(dyn Fn() -> Switch + Send + Sync),
) -> Result<(f64, Result<()>)> {
    let mut old = Session::open(cx, primary).await?;
    let mut new = Session::open(cx, target).await?;
    let before = survey::place(&mut old).await?;
    let (from, to) = (address(cx.machine(primary)?.as_ref()), address(cx.machine(target)?.as_ref()));
    let streams = before.streams_to(to);
    fit(primary, target, &before, &survey::place(&mut new).await?, from, streams)?;
    let (ip, port) = to;

    let since = Instant::now();
    old.say::<()>(&format!("CLIENT PAUSE {} WRITE", HOLD_BACK.as_millis())).await?;
    if let Err(e) = has_everything(&mut old, &mut new, target).await {
        reopen(&mut old).await;
        return Err(e);
    }
    if let Err(e) = old.say::<()>(&format!("FAILOVER TO {ip} {port} FORCE TIMEOUT 1")).await {
        reopen(&mut old).await;
        return Err(e);
    }
    taken_over(&mut old, &mut new, primary, target).await?;
    let turned = switch().await;
    let write_gap_ms = since.elapsed().as_secs_f64() * 1000.0;
    if let Err(e) = &turned {
        tracing::warn!(target = %target.name, error = %e, "the endpoint was not turned; its role checks will do it");
    }
    close(&mut old, primary).await;
    Ok((write_gap_ms, turned))
}

/// Whether the target can take over now.
fn fit(
    primary: &NodeSpec,
    target: &NodeSpec,
    old: &Place,
    new: &Place,
    at: (std::net::IpAddr, u16),
    streams: bool,
) -> Result<()> {
    let behind = old.offset.saturating_sub(new.offset);
    let what = if new.follows != Some(at) {
        format!("{} does not follow {}", target.name, primary.name)
    } else if !new.link_up || !streams || new.syncing.is_some() || new.loading {
        format!("{} is not in step with {}", target.name, primary.name)
    } else if behind > MOST_BEHIND {
        format!("{} is {behind} bytes behind", target.name)
    } else {
        return Ok(());
    };
    Err(DriverError::rejected(
        what,
        format!("{} goes on taking writes; wait or resync the replica", primary.name),
    ))
}

/// Waits, with writes held back, until the target has every byte.
async fn has_everything(old: &mut Session, new: &mut Session, target: &NodeSpec) -> Result<()> {
    let goal = survey::place(old).await?;
    if !goal.primary {
        return Err(DriverError::transient(format!("{} is not primary any more", old.whom())));
    }
    let begun = Instant::now();
    loop {
        let place = survey::place(new).await?;
        if place.offset >= goal.offset && place.history == goal.history {
            return Ok(());
        }
        if begun.elapsed() > CATCH_UP || !place.link_up {
            let left = goal.offset.saturating_sub(place.offset);
            return Err(DriverError::rejected(
                format!("{} did not catch up in time, {left} bytes are missing", target.name),
                "the old primary takes writes again and nothing was lost; try again when there is less load",
            ));
        }
    }
}

/// Lets the old primary take writes again after a hand-over that did not begin. When it cannot be told, its own limit
/// does it.
async fn reopen(old: &mut Session) {
    if let Err(e) = old.say::<()>("CLIENT UNPAUSE").await {
        tracing::warn!(error = %e, "writes stay held back for up to three seconds");
    }
}

/// Waits until the target takes writes.
async fn taken_over(
    old: &mut Session,
    new: &mut Session,
    primary: &NodeSpec,
    target: &NodeSpec,
) -> Result<()> {
    let begun = Instant::now();
    let mut last = Ok(());
    while begun.elapsed() < TAKE_OVER {
        // What it answers does not matter; the next line asks the one that does.
        drop(old.say::<String>("PING").await);
        match new.say::<Vec<redis::Value>>("ROLE").await {
            Ok(role) if says_master(&role) => return Ok(()),
            Ok(_) => last = Ok(()),
            Err(e) => last = Err(e),
        }
        tokio::time::sleep(POKE_EVERY).await;
    }
    // The server ends its attempt itself; asking it to is only quicker. It refuses when there is none any more.
    drop(old.say::<()>("FAILOVER ABORT").await);
    reopen(old).await;
    last?;
    Err(DriverError::transient(format!(
        "{} did not take over; {} keeps the writes",
        target.name, primary.name
    )))
}

fn says_master(role: &[redis::Value]) -> bool {
    matches!(role.first(), Some(redis::Value::BulkString(name)) if name == b"master")
}

/// Ends people's connections to the former primary: those that did not come through the endpoint, or through one that
/// was reloaded since, would go on asking a node that refuses their writes.
async fn close(old: &mut Session, primary: &NodeSpec) {
    for words in ["CLIENT KILL USER default", "CLIENT UNPAUSE"] {
        if let Err(e) = old.ask::<redis::Value>(&command(words)).await {
            tracing::warn!(node = %primary.name, error = %e, "the former primary could not be told: {words}");
        }
    }
}

/// Everybody else follows the target, now and after a restart. Nodes that do not answer find out when they start again.
async fn everybody_follows(cx: &ClusterContext, target: &NodeSpec) -> Result<()> {
    form::remember(cx, target, None).await?;
    let others = cx.spec.data_nodes().filter(|n| n.id != target.id && !n.drained);
    let done = join_all(others.map(|node| async move {
        match survey::ask(cx, node).await {
            Ok(_) => {
                follow(cx, node, target).await?;
                form::caught_up(cx, node, target, &Progress::silent()).await
            }
            Err(e) if e.is_transient() => {
                tracing::info!(node = %node.name, "does not answer; it will follow when it starts again");
                Ok(())
            }
            Err(e) => Err(e),
        }
    }))
    .await;
    done.into_iter().collect::<Result<Vec<()>>>()?;
    let wanted = config::replicas_for_writes(cx).to_string();
    let mut session = Session::open(cx, target).await?;
    session.say::<()>(&format!("CONFIG SET min-replicas-to-write {wanted}")).await
}
