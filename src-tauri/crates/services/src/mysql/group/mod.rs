//! Oracle's MySQL on Group Replication: the members agree on each transaction before it is acknowledged and elect the one
//! that takes writes by themselves; with several primaries all of them do. Everything that decides is theirs. What is ours:
//! forming the group, letting members enter (whole copies are their own, by clone), asking for a promotion, and after an
//! outage of all members finding the one that has most.

mod accounts;
mod archive;
mod backup;
mod change;
mod config;
mod enter;
mod events;
mod failover;
mod form;
mod growth;
mod gtid;
mod hand_over;
mod heal;
mod logs;
mod observe;
mod survey;

pub(crate) use archive::{out as log_out, ready as log_ready, until as log_until};
pub(crate) use backup::{FORMAT as COPY_FORMAT, copy_in, copy_out};
pub(crate) use change::{accept_next_secrets, restart_in_place, resync, retire_old_secrets};
pub(crate) use failover::{set_candidate, settle};
pub(crate) use form::{form, join, leave, start_node, stop_node};
pub(crate) use growth::{REFUSED, REFUSED_WHERE_ALL_WRITE, growth_findings, listed};
pub(crate) use gtid::GtidSet;
pub(crate) use hand_over::hand_over;
pub(crate) use heal::heal;
pub(crate) use logs::{before, tidy};
pub(crate) use observe::observe;

use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, DriverError, Result, StartAs};

/// What a crashed node's server should be when it is started again: a single node takes writes, every other one is outside
/// until it has entered the group (`heal`).
pub(crate) fn restart_as(cx: &ClusterContext) -> StartAs {
    if cx.spec.topology == Topology::Single { StartAs::Primary } else { StartAs::Member }
}

/// The node that takes the writes.
pub(crate) async fn writer(cx: &ClusterContext) -> Result<&NodeSpec> {
    let found = survey::writer(cx, &survey::all(cx).await);
    found.ok_or_else(|| DriverError::transient("no node takes writes at the moment"))
}
