//! Pieces of a log out of their vault, beside the place of a copy.

use super::{Found, base, folder, forget, with};
use crate::{
    backups::{key, moving::both, stream::pipe, vault},
    engine::Shared,
    facade::Result,
};
use clusterdeck_domain::{Backup, LogPiece, NodeSpec};
use clusterdeck_driver::{ClusterContext, DriverError, LogTarget, Progress, ServiceDriver};
use jiff::Timestamp;

/// Lays what leads from a backup to a moment on the machine of a node that was never started.
pub(crate) async fn lay(
    shared: &Shared,
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    node: &NodeSpec,
    (from, at): (&Backup, Timestamp),
    progress: &Progress,
) -> Result<()> {
    let base = base(shared, from);
    let found = with(shared, &from.of.id, |archive| archive.replay(base.as_slice(), at));
    let Found { base, pieces, line, to_end } = found.ok_or_else(|| {
        DriverError::rejected(
            format!("the log does not lead from the backup to {at} any more"),
            "look at the moments that can be brought back: `clusterdeck backup range`",
        )
    })?;
    let total = pieces.iter().map(|piece| piece.data_bytes).sum();
    let mut done = 0;
    for piece in &pieces {
        progress.copied(&format!("bringing {} its log", node.name), done, total);
        one(shared, cx, driver, node, piece).await?;
        done += piece.data_bytes;
    }
    let names = pieces.into_iter().map(|piece| piece.name).collect();
    Ok(driver.log_until(cx, node, &LogTarget { at, line, from: base.place, to_end, pieces: names }).await?)
}

async fn one(
    shared: &Shared,
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    node: &NodeSpec,
    piece: &LogPiece,
) -> Result<()> {
    let (vault, key) = (vault(shared, &piece.vault).await?, key::of(shared, &piece.sealed_for).await?);
    let folder = folder(&piece.cluster)?;
    let (mut inlet, mut outlet) = pipe(|_| {});
    let give = async {
        vault.get(&folder, &piece.key(), &mut inlet.to, &key).await?;
        let sum = inlet.finish().await;
        sum.map_err(|e| DriverError::transient(format!("passing on the log: {e}")))
    };
    let take = async {
        let taken = driver.log_in(cx, node, &piece.name, &mut outlet, piece.data_bytes).await;
        if taken.is_ok() {
            drop(tokio::io::copy(&mut outlet, &mut tokio::io::sink()).await);
        }
        drop(outlet);
        taken
    };
    let lost = |why: String| {
        DriverError::rejected(
            format!("the piece {} of the log cannot be used: {why}", piece.name),
            "it counts as missing from now on: choose a moment before it, or behind the next backup",
        )
    };
    let missing = match both(tokio::join!(give, take)) {
        Ok((sum, ())) if sum.sha256 == piece.sha256 && sum.bytes == piece.data_bytes => return Ok(()),
        Ok(_) => lost("what the vault returned is not what was sent".to_owned()),
        Err(DriverError::Gone { what }) => lost(format!("{what} is gone")),
        Err(DriverError::Rejected { what, .. }) if what.contains("piece") || what.contains("damaged") => {
            lost(what)
        }
        Err(other) => return Err(other.into()),
    };
    // A range that leads through it would not be honest.
    forget(shared, &piece.cluster, std::slice::from_ref(piece)).await?;
    Err(missing.into())
}
