//! Binary logs have a bound: a tenth of the plan's disk, as PostgreSQL's log has. Neither server has one of its own (MariaDB
//! only from 11.4 on), and three days of a busy primary fill any disk. What a node of the cluster has not got yet stays,
//! drained and silent ones included, until the disk is nearly full: then the node copies everything when it is back.

use super::{
    archive::Seen,
    config,
    gtid::Gtids,
    sql::{As, GLANCE, Session, number, text},
    survey::{self, At},
};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{ClusterContext, Machine, Result};
use futures::future::join_all;
use std::time::Duration;

/// Taking files away takes the time of the disk.
const PURGES_WITHIN: Duration = Duration::from_secs(10);
/// Of the plan's disk, what the logs may have.
const SHARE: u64 = 10;
/// Beyond so much of the plan's disk it is nearly full. Percent.
const NEARLY_FULL: u64 = 90;

/// Takes away what a cluster's logs have beyond their bound.
pub(crate) async fn tidy(cx: &ClusterContext, seen: &Seen) -> Result<()> {
    // Members of Galera keep no such log; what they send again is a file of a fixed size.
    if cx.spec.topology == Topology::MultiMaster {
        return Ok(());
    }
    let answers = survey::all(cx).await;
    let done = answers.iter().filter(|a| a.place.is_ok()).map(|answer| {
        // The last transaction that everybody else has; of one that does not answer nothing is known.
        let has = |a: &survey::Answer<'_>| a.place.as_ref().map_or(0, survey::Place::sequence);
        let others = answers.iter().filter(|a| a.node.id != answer.node.id);
        // And what is archived, where it is.
        let everybody = others.map(has).chain([seen.archived(cx)]).min().unwrap_or(u64::MAX);
        tidy_node(cx, answer.node, everybody)
    });
    join_all(done).await.into_iter().collect::<Result<Vec<()>>>().map(drop)
}

async fn tidy_node(cx: &ClusterContext, node: &NodeSpec, everybody: u64) -> Result<()> {
    let machine = cx.machine(node)?;
    let mut session = Session::open(cx, node, As::Operator, GLANCE).await?;
    let files = files(&mut session).await?;
    let Some(mut first) = first_to_stay(&files, bound(machine.as_ref())) else { return Ok(()) };
    if !nearly_full(machine.as_ref()).await? {
        // What lies before a file is known by the transactions it begins after.
        while first > 0 && begins_after(&mut session, &files[first].0).await? > everybody {
            first -= 1;
        }
    }
    purge(&mut session, node, &files, first).await
}

/// The last transaction before a file.
pub(crate) async fn begins_after(session: &mut Session, file: &str) -> Result<u64> {
    let before = session.word(&format!("SELECT BINLOG_GTID_POS('{file}', 4)")).await?;
    Ok(Gtids::parse(&before).sequence())
}

/// A server's files, the oldest first.
pub(crate) async fn files(session: &mut Session) -> Result<Vec<At>> {
    let rows = session.rows("SHOW BINARY LOGS").await?;
    Ok(rows.iter().filter_map(|row| Some((text(row, 0)?, number(row, 1)?))).collect())
}

pub(crate) fn bound(machine: &dyn Machine) -> u64 {
    machine.plan().disk_bytes / SHARE
}

pub(crate) async fn nearly_full(machine: &dyn Machine) -> Result<bool> {
    let used = machine.disk_bytes(config::FOLDER).await?;
    Ok(used.saturating_mul(100) > machine.plan().disk_bytes.saturating_mul(NEARLY_FULL))
}

/// The first file that stays when what is beyond the bound goes; nothing when nothing is. The last one is being written.
pub(crate) fn first_to_stay(files: &[At], bound: u64) -> Option<usize> {
    let mut all: u64 = files.iter().map(|(_, size)| size).sum();
    let mut first = 0;
    while all > bound && first + 1 < files.len() {
        all -= files[first].1;
        first += 1;
    }
    (first > 0).then_some(first)
}

/// Takes the files before the first that stays away.
pub(crate) async fn purge(session: &mut Session, node: &NodeSpec, files: &[At], first: usize) -> Result<()> {
    if first == 0 {
        return Ok(());
    }
    let (stays, _) = &files[first];
    session.run_within(format!("PURGE BINARY LOGS TO '{stays}'"), PURGES_WITHIN).await?;
    tracing::info!(node = %node.name, files = first, "binary logs beyond their bound were taken away");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_go_until_the_rest_fits_and_the_last_one_stays() {
        let files = |sizes: &[u64]| -> Vec<At> {
            sizes.iter().enumerate().map(|(n, size)| (format!("binlog.{n}"), *size)).collect()
        };
        assert_eq!(first_to_stay(&files(&[10, 10, 10, 5]), 35), None);
        assert_eq!(first_to_stay(&files(&[10, 10, 10, 5]), 34), Some(1));
        assert_eq!(first_to_stay(&files(&[10, 10, 10, 5]), 15), Some(2));
        assert_eq!(first_to_stay(&files(&[10, 90]), 1), Some(1), "it is being written");
        assert_eq!(first_to_stay(&files(&[90]), 1), None);
        assert_eq!(first_to_stay(&[], 1), None);
    }
}
