//! When a shard may elect again.
//!
//! A server keeps the votes of its last election for a while (Redis 7.0, `clusterHandleSlaveFailover`: until twice the time
//! an election may take is over). A planned promotion that comes before that is won at once with the old votes, in the old
//! epoch: the others do not accept it, the two primaries of the shard settle it between them, and what the wrong one
//! acknowledged meanwhile is lost (seen: 90 to 300 ms). So each hand-over is noted on the shard's machines, and the next
//! one in the same shard waits.

use super::super::config::{CLUSTER_NODE_TIMEOUT_MS, FOLDER};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Twice the time an election may take, which is twice the node timeout; and some more for clocks and timers.
const VOTES_FORGOTTEN: Duration = Duration::from_millis(4 * CLUSTER_NODE_TIMEOUT_MS as u64 + 500);

/// Waits until nobody in the shard has votes of an election that a hand-over began, then notes that one begins now.
pub(super) async fn begin(cx: &ClusterContext, shard: Option<u16>) -> Result<()> {
    let nodes: Vec<&NodeSpec> = cx.spec.data_nodes().filter(|n| n.shard == shard).collect();
    let mut last = None;
    for node in &nodes {
        last = last.max(noted(cx, node).await?);
    }
    if let Some(last) = last {
        // A clock that was set back must not make anybody wait longer than for an election of just now.
        tokio::time::sleep(VOTES_FORGOTTEN.saturating_sub(now().saturating_sub(last))).await;
    }
    let stamp = now().as_millis().to_string();
    for node in nodes {
        match cx.machine(node) {
            Ok(machine) => machine.write(&file(), stamp.as_bytes(), 0o600).await?,
            Err(DriverError::Gone { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// When the last hand-over of its shard began, since 1970, as a node's machine remembers it.
async fn noted(cx: &ClusterContext, node: &NodeSpec) -> Result<Option<Duration>> {
    let Ok(machine) = cx.machine(node) else { return Ok(None) };
    match machine.read(&file()).await {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().parse().ok().map(Duration::from_millis)),
        Err(DriverError::Gone { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

fn file() -> String {
    format!("{FOLDER}/handed-over-at")
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
