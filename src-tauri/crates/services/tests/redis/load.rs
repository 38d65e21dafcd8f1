//! Clients that write as fast as they can through an endpoint and remember what was acknowledged.

use crate::ground::{Ground, connect};
use clusterdeck_driver::Machine;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// What the clients saw.
pub(crate) struct Written {
    /// Keys whose write was acknowledged, with the moment.
    pub(crate) acknowledged: Vec<(String, Instant)>,
    /// Answers that were errors, and broken connections.
    pub(crate) errors: u64,
    /// Some of the errors.
    pub(crate) samples: Vec<String>,
}

impl Written {
    /// The longest time without any acknowledged write.
    pub(crate) fn gap(&self) -> Duration {
        let mut times: Vec<_> = self.acknowledged.iter().map(|(_, at)| *at).collect();
        times.sort_unstable();
        times.windows(2).map(|w| w[1] - w[0]).max().unwrap_or_default()
    }
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acks: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Written>>,
}

impl Load {
    /// Starts clients on the cluster's endpoint and waits until each has written.
    pub(crate) async fn start(ground: &Ground, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acks = Arc::new(AtomicU64::new(0));
        let password = ground.cx.secrets.newest("people").unwrap().reveal().clone();
        let gateway = ground.cx.gateway().unwrap().clone();
        let clients = (0..clients)
            .map(|client| {
                let (stop, acks) = (stop.clone(), acks.clone());
                tokio::spawn(write(client, gateway.clone(), password.clone(), stop, acks))
            })
            .collect();
        let load = Self { stop, acks, clients };
        load.goes_on(200, Duration::from_secs(5)).await;
        load
    }
    /// Waits until so many more writes were acknowledged.
    pub(crate) async fn goes_on(&self, more: u64, limit: Duration) {
        let (goal, begun) = (self.acks.load(Ordering::Relaxed) + more, Instant::now());
        while self.acks.load(Ordering::Relaxed) < goal {
            assert!(begun.elapsed() < limit, "{more} more writes within {limit:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    pub(crate) async fn stop(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Written { acknowledged: Vec::new(), errors: 0, samples: Vec::new() };
        for client in self.clients {
            let one = client.await.unwrap();
            all.acknowledged.extend(one.acknowledged);
            all.errors += one.errors;
            all.samples.extend(one.samples);
        }
        all
    }
}

async fn write(
    client: usize,
    gateway: Arc<dyn Machine>,
    password: String,
    stop: Arc<AtomicBool>,
    acks: Arc<AtomicU64>,
) -> Written {
    let mut seen = Written { acknowledged: Vec::new(), errors: 0, samples: Vec::new() };
    let mut number = 0_u64;
    let failed = |seen: &mut Written, e: &redis::RedisError| {
        seen.errors += 1;
        if seen.samples.len() < 5 {
            seen.samples.push(e.to_string());
        }
    };
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match connect(gateway.as_ref(), 6379, &password).await {
            Ok(connection) => connection,
            Err(e) => {
                failed(&mut seen, &e);
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let key = format!("w:{client}:{number}");
            match redis::cmd("SET").arg(&key).arg(number).query_async::<()>(&mut connection).await {
                Ok(()) => {
                    seen.acknowledged.push((key, Instant::now()));
                    acks.fetch_add(1, Ordering::Relaxed);
                }
                Err(e) => {
                    failed(&mut seen, &e);
                    break;
                }
            }
        }
    }
    seen
}

/// How many acknowledged writes a node does not have.
pub(crate) async fn lost(ground: &Ground, ordinal: u16, written: &Written) -> usize {
    let mut connection = ground.people(ground.machine(ordinal).as_ref(), 6379).await;
    let mut lost = 0;
    for keys in written.acknowledged.chunks(1000) {
        let keys: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
        let found: Vec<Option<u64>> =
            redis::cmd("MGET").arg(keys).query_async(&mut connection).await.unwrap();
        lost += found.iter().filter(|value| value.is_none()).count();
    }
    lost
}
