//! A client that writes all the time and counts what was acknowledged.

use crate::ground::{Ground, PATIENCE, connect};
use mysql_async::{Conn, prelude::Queryable as _};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// What a load saw.
pub(crate) struct Tally {
    /// Numbers that were acknowledged.
    pub(crate) acknowledged: Vec<u64>,
    /// The longest time between two acknowledgements.
    pub(crate) gap: Duration,
    /// Writes that failed.
    pub(crate) failed: u64,
    /// Sign-ins that were refused for the password.
    pub(crate) refused: u64,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    task: JoinHandle<Tally>,
}

impl Load {
    /// Begins to write numbers into the table `load_N` through the endpoint.
    pub(crate) async fn begin(ground: &Ground, table: &'static str) -> Self {
        let mut conn = ground.people(0).await.unwrap();
        conn.query_drop(format!("CREATE TABLE {table} (n BIGINT PRIMARY KEY) ENGINE=InnoDB")).await.unwrap();
        drop(conn);
        let gateway = ground.cx.gateway().unwrap();
        let at = (gateway.address(), gateway.port(3306));
        let password = ground.cx.secrets.current["people"].reveal().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(write(at, password, table, stop.clone(), count.clone()));
        Self { stop, count, task }
    }
    /// Whether nothing is acknowledged for so long.
    pub(crate) async fn is_idle(&self, time: Duration) -> bool {
        let before = self.count.load(Ordering::Relaxed);
        tokio::time::sleep(time).await;
        self.count.load(Ordering::Relaxed) == before
    }
    /// How many were acknowledged by now.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
    /// Ends it once something was acknowledged again.
    pub(crate) async fn end(self) -> Tally {
        let (before, begun) = (self.count.load(Ordering::Relaxed), Instant::now());
        while self.count.load(Ordering::Relaxed) < before + 50 {
            assert!(begun.elapsed() < PATIENCE, "writes must go on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

async fn write(
    at: (IpAddr, u16),
    password: String,
    table: &str,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> Tally {
    let mut tally = Tally { acknowledged: Vec::new(), gap: Duration::ZERO, failed: 0, refused: 0 };
    let (mut conn, mut last): (Option<Conn>, _) = (None, Instant::now());
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = &mut conn else {
            match connect(at, &password).await {
                Ok(open) => conn = Some(open),
                Err(mysql_async::Error::Server(e)) if e.code == 1045 => {
                    tally.refused += 1;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
            continue;
        };
        number += 1;
        let asked = open.query_drop(format!("INSERT INTO {table} VALUES ({number})"));
        match tokio::time::timeout(Duration::from_secs(2), asked).await {
            Ok(Ok(())) => {
                tally.acknowledged.push(number);
                count.fetch_add(1, Ordering::Relaxed);
                tally.gap = tally.gap.max(last.elapsed());
                last = Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            _ => {
                tally.failed += 1;
                conn = None;
            }
        }
    }
    tally
}

impl Tally {
    /// Numbers that were acknowledged and are not there, seen on a node.
    pub(crate) async fn lost(&self, ground: &Ground, ordinal: u16, table: &str) -> usize {
        let begun = Instant::now();
        loop {
            let mut conn = ground.people(ordinal).await.unwrap();
            let there: Vec<u64> = conn.query(format!("SELECT n FROM {table}")).await.unwrap();
            let there: std::collections::HashSet<u64> = there.into_iter().collect();
            let lost = self.acknowledged.iter().filter(|n| !there.contains(n)).count();
            // A member may have yet to apply what another one has just acknowledged.
            if lost == 0 || begun.elapsed() > Duration::from_secs(5) {
                return lost;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
