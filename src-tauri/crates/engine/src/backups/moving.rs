//! From a server into a vault, from a vault onto a machine, and from a vault past a checksum.

use super::{
    key,
    stream::{Sum, Summing, pipe},
    vault,
};
use crate::{engine::Shared, facade::Result};
use clusterdeck_domain::{Backup, BackupPart, Count, NodeSpec, part_name, spanning};
use clusterdeck_driver::{ClusterContext, CopyFrom, DriverError, Progress, SealKey, ServiceDriver, Vault};
use std::time::Duration;

/// How long a server is asked to count what it holds, before its copy and after it.
pub(crate) const COUNTS_WITHIN: Duration = Duration::from_secs(4);

/// One piece into the vault; with the first of them goes what an earlier try left there.
pub(crate) async fn copy(
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    from: &CopyFrom,
    (vault, key): (&dyn Vault, &SealKey),
    (backup, first): (&Backup, bool),
    progress: &Progress,
) -> Result<BackupPart> {
    let node = cx.node(&from.node)?;
    let name = part_name(from.shard);
    let ((before, position, sum, after), stored_bytes) = {
        let note = format!("copying from {}", node.name);
        let progress_ = progress.clone();
        let told = move |bytes| progress_.copied(&note, bytes, 0);
        let (mut inlet, mut outlet) = pipe(told);
        let give = async {
            let before = driver.count(cx, node, COUNTS_WITHIN).await?;
            let position = driver.copy_out(cx, from, &mut inlet.to, progress).await?;
            let sum = inlet.finish().await;
            let sum = sum.map_err(|e| DriverError::transient(format!("passing on the copy: {e}")))?;
            // While the vault takes the rest: what is counted from here on was there at the end of the copy, or came later.
            let after = driver.count(cx, node, COUNTS_WITHIN).await?;
            Ok::<_, DriverError>((before, position, sum, after))
        };
        let take = async {
            let taken = async {
                if first {
                    vault.remove(&backup.id).await?;
                }
                vault.put(&backup.id, &name, &mut outlet, key).await
            };
            let taken = taken.await;
            // Whoever still gives hears that nobody takes.
            drop(outlet);
            taken
        };
        both(tokio::join!(give, take))?
    };
    Ok(BackupPart {
        name,
        node: node.name.clone(),
        data_bytes: sum.bytes,
        stored_bytes,
        sha256: sum.sha256,
        position,
        counts: spanning(&before, &after),
        copied_at: None,
    })
}

/// Both ends of a pipe. When one fails the other does too, because of that: the cause is the one that is told.
pub(crate) fn both<A, B>((one, other): (Result2<A>, Result2<B>)) -> Result2<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(cause), Ok(_)) => Err(cause),
        (Ok(_), Err(cause)) => Err(cause),
        (Err(_), Err(vault @ DriverError::Vault { .. })) => Err(vault),
        (Err(one), Err(other)) => Err(if other.is_transient() { one } else { other }),
    }
}

type Result2<T> = std::result::Result<T, DriverError>;

/// One piece from the vault onto the machine of a node that was never started.
pub(crate) async fn lay(
    shared: &Shared,
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    node: &NodeSpec,
    (backup, part): (&Backup, &BackupPart),
    progress: &Progress,
) -> Result<()> {
    let (vault, key) = (vault(shared, &backup.vault).await?, key::of(shared, &backup.sealed_for).await?);
    let (note, total) = (format!("bringing {} its data", node.name), part.data_bytes);
    let progress_ = progress.clone();
    let (mut inlet, mut outlet) = pipe(move |bytes| progress_.copied(&note, bytes, total));
    let give = async {
        vault.get(&backup.id, &part.name, &mut inlet.to, &key).await?;
        let sum = inlet.finish().await;
        sum.map_err(|e| DriverError::transient(format!("passing on the copy: {e}")))
    };
    let take = async {
        let taken = driver.copy_in(cx, node, &mut outlet, part.data_bytes, progress).await;
        // To its end, which says whether it was whole.
        if taken.is_ok() {
            drop(tokio::io::copy(&mut outlet, &mut tokio::io::sink()).await);
        }
        drop(outlet);
        taken
    };
    let (sum, ()) = both(tokio::join!(give, take))?;
    Ok(same(&sum, part)?)
}

/// Reads one piece back and compares it with what was sent.
pub(crate) async fn read_back(
    shared: &Shared,
    (backup, part): (&Backup, &BackupPart),
    progress: &Progress,
) -> Result<()> {
    let (vault, key) = (vault(shared, &backup.vault).await?, key::of(shared, &backup.sealed_for).await?);
    let (progress_, total) = (progress.clone(), part.data_bytes);
    let told = move |bytes| progress_.copied("reading it back", bytes, total);
    let mut into = Summing::new(tokio::io::sink(), told);
    vault.get(&backup.id, &part.name, &mut into, &key).await?;
    Ok(same(&into.sum(), part)?)
}

fn same(sum: &Sum, part: &BackupPart) -> Result2<()> {
    if sum.bytes == part.data_bytes && sum.sha256 == part.sha256 {
        return Ok(());
    }
    Err(DriverError::rejected(
        format!(
            "what the vault returned is not what was sent: {} bytes with checksum {}…, not {} bytes with {}…",
            sum.bytes,
            sum.sha256.get(..12).unwrap_or_default(),
            part.data_bytes,
            part.sha256.get(..12).unwrap_or_default()
        ),
        "this backup cannot be used; choose another one",
    ))
}

/// What a restored server holds.
pub(crate) async fn counted(
    cx: &ClusterContext,
    driver: &dyn ServiceDriver,
    node: &NodeSpec,
) -> Result<Vec<Count>> {
    // Nobody else works on it: it may take the time that all of it takes.
    Ok(driver.count(cx, node, 10 * COUNTS_WITHIN).await?)
}
