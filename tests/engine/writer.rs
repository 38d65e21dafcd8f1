//! A client that writes as fast as it can through an address and remembers what was acknowledged.

use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Written>,
}

/// What a writer did.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Numbers whose write was acknowledged.
    pub(crate) acknowledged: Vec<u64>,
    /// Longest time between two acknowledged writes.
    pub(crate) longest_gap: Duration,
    /// Writes that were refused or whose answer never came.
    pub(crate) errors: u64,
}

pub(crate) async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_millis(500)))
        .set_response_timeout(Some(Duration::from_millis(1000)));
    redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

impl Writer {
    /// Starts writing `w:<n>` through this address, one write after the other.
    pub(crate) fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(write(url, stop.clone()));
        Self { stop, task }
    }
    pub(crate) async fn stop(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

async fn write(url: String, stop: Arc<AtomicBool>) -> Written {
    let mut written = Written::default();
    let mut connection = None;
    let mut last: Option<Instant> = None;
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        if connection.is_none() {
            connection = connect(&url).await.ok();
        }
        let Some(open) = connection.as_mut() else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        number += 1;
        let result: redis::RedisResult<()> =
            redis::cmd("SET").arg(format!("w:{number}")).arg(number).query_async(open).await;
        match result {
            Ok(()) => {
                let now = Instant::now();
                if let Some(last) = last {
                    written.longest_gap = written.longest_gap.max(now - last);
                }
                last = Some(now);
                written.acknowledged.push(number);
            }
            Err(_) => {
                written.errors += 1;
                connection = None;
            }
        }
    }
    written
}

/// Acknowledged writes that are not there any more.
pub(crate) async fn missing(url: &str, written: &Written) -> Vec<u64> {
    let mut connection = connect(url).await.unwrap();
    let mut missing = Vec::new();
    for chunk in written.acknowledged.chunks(1_000) {
        let keys: Vec<String> = chunk.iter().map(|n| format!("w:{n}")).collect();
        let values: Vec<Option<u64>> =
            redis::cmd("MGET").arg(&keys).query_async(&mut connection).await.unwrap();
        missing.extend(chunk.iter().zip(values).filter(|(n, v)| *v != Some(**n)).map(|(n, _)| *n));
    }
    missing
}
