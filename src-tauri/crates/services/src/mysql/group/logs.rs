//! The bound of the binary logs of a group's members. One that misses what was taken away copies everything by itself.

use super::super::{
    archive::Seen,
    logs::{bound, files, first_to_stay, nearly_full, purge},
    sql::{As, GLANCE, Session, text},
};
use super::{
    config,
    gtid::GtidSet,
    survey::{self, Answer, Place},
};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use futures::future::join_all;

/// Takes away what a cluster's logs have beyond their bound.
pub(crate) async fn tidy(cx: &ClusterContext, seen: &Seen) -> Result<()> {
    let answers = survey::all(cx).await;
    let asked = answers.iter().filter_map(|a| Some((a.node, a.place.as_ref().ok()?)));
    let done = asked.map(|(node, place)| tidy_node(cx, (node, place), &answers, seen.archived(cx)));
    join_all(done).await.into_iter().collect::<Result<Vec<()>>>().map(drop)
}

async fn tidy_node(
    cx: &ClusterContext,
    (node, place): (&NodeSpec, &Place),
    answers: &[Answer<'_>],
    archived: u64,
) -> Result<()> {
    let machine = cx.machine(node)?;
    let mut session = Session::open(cx, node, As::Operator, GLANCE).await?;
    let files = files(&mut session).await?;
    let Some(mut first) = first_to_stay(&files, bound(machine.as_ref())) else { return Ok(()) };
    if !nearly_full(machine.as_ref()).await? {
        while first > 0 {
            let set = before(&mut session, &files[first].0, &place.purged).await?;
            // Archived, where it is, as well.
            if set.edge(&config::group(cx)).last <= archived && everybody_has(cx, node, answers, &set) {
                break;
            }
            first -= 1;
        }
    }
    purge(&mut session, node, &files, first).await
}

/// Whether all other nodes have these; of one that is drained or does not answer nothing is known.
fn everybody_has(cx: &ClusterContext, node: &NodeSpec, answers: &[Answer<'_>], set: &GtidSet) -> bool {
    let mut others = cx.spec.data_nodes().filter(|n| n.id != node.id);
    others.all(|n| answers.iter().any(|a| a.node.id == n.id && a.is(|p| p.executed.contains(set))))
}

/// All transactions before a file: those before it in the log, as it says itself in its first events, and those that its server
/// has from a copy or has purged.
pub(crate) async fn before(session: &mut Session, file: &str, purged: &GtidSet) -> Result<GtidSet> {
    let rows = session.rows(&format!("SHOW BINLOG EVENTS IN '{file}' LIMIT 3")).await?;
    let known = rows.iter().find(|row| text(row, 2).as_deref() == Some("Previous_gtids"));
    let whom = session.whom();
    let known = known.and_then(|row| text(row, 5)).ok_or_else(|| {
        DriverError::broken(format!("{file} of {whom} does not say after which transactions it begins"))
    })?;
    GtidSet::parse(&known).map(|set| set.and(purged)).map_err(|part| {
        DriverError::broken(format!("{whom} has a transaction that is not understood: {part}"))
    })
}
