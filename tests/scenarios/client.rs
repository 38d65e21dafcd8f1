//! A client of the cluster that remembers what was acknowledged.

use redis::{ConnectionLike, RedisResult};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a healthy cluster may take to answer.
const SOON: Duration = Duration::from_secs(15);
/// Between two writes: fast enough to meet every moment of a change, slow enough to leave the machine to the servers.
const PACE: Duration = Duration::from_millis(2);

/// Connects; one that knows Redis Cluster where the cluster is sharded.
pub(crate) fn connect(url: &str, sharded: bool) -> RedisResult<Box<dyn ConnectionLike + Send>> {
    let limit = Duration::from_millis(1_000);
    if sharded {
        let client = redis::cluster::ClusterClientBuilder::new([url])
            .connection_timeout(limit)
            .response_timeout(limit)
            .retries(4)
            .build()?;
        return Ok(Box::new(client.get_connection()?));
    }
    let connection = redis::Client::open(url)?.get_connection_with_timeout(limit)?;
    connection.set_read_timeout(Some(limit))?;
    connection.set_write_timeout(Some(limit))?;
    Ok(Box::new(connection))
}

fn set(connection: &mut dyn ConnectionLike, number: u64) -> RedisResult<()> {
    redis::cmd("SET").arg(format!("w:{number}")).arg(number).query(connection)
}

/// What was written and acknowledged in the life of a cluster.
#[derive(Default)]
pub(crate) struct Ledger {
    sharded: bool,
    acknowledged: Vec<u64>,
    next: u64,
}

impl Ledger {
    pub(crate) fn new(sharded: bool) -> Self {
        Self { sharded, ..Self::default() }
    }
    /// Writes a few known keys; a healthy cluster takes them.
    pub(crate) fn write(&mut self, url: &str) {
        let begun = Instant::now();
        let mut due = 8;
        while due > 0 {
            let written = connect(url, self.sharded).and_then(|mut open| {
                while due > 0 {
                    self.next += 1;
                    set(&mut *open, self.next)?;
                    self.acknowledged.push(self.next);
                    due -= 1;
                }
                Ok(())
            });
            if let Err(error) = written {
                assert!(begun.elapsed() < SOON, "a healthy cluster takes writes: {error}");
            }
        }
    }
    /// Takes over what a writer got acknowledged.
    pub(crate) fn add(&mut self, written: &Written) {
        self.acknowledged.extend(&written.acknowledged);
    }
    /// How many writes were acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.len()
    }
    /// Reads everything back.
    #[track_caller]
    pub(crate) fn check(&self, url: &str, when: &str) {
        let lost = self.lost(url);
        assert!(
            lost.is_empty(),
            "{when}: {} of {} acknowledged writes are lost: {lost:?}",
            lost.len(),
            self.len()
        );
    }
    fn lost(&self, url: &str) -> Vec<u64> {
        let begun = Instant::now();
        loop {
            match self.read(url) {
                Ok(lost) => return lost,
                Err(error) => assert!(begun.elapsed() < SOON, "a healthy cluster answers: {error}"),
            }
        }
    }
    fn read(&self, url: &str) -> RedisResult<Vec<u64>> {
        let mut connection = connect(url, self.sharded)?;
        let mut lost = Vec::new();
        if self.sharded {
            // Keys of different slots, one by one.
            for number in &self.acknowledged {
                let found: Option<u64> =
                    redis::cmd("GET").arg(format!("w:{number}")).query(&mut *connection)?;
                lost.extend((found != Some(*number)).then_some(*number));
            }
            return Ok(lost);
        }
        for chunk in self.acknowledged.chunks(500) {
            let mut ask = redis::cmd("MGET");
            for number in chunk {
                ask.arg(format!("w:{number}"));
            }
            let found: Vec<Option<u64>> = ask.query(&mut *connection)?;
            lost.extend(chunk.iter().zip(found).filter(|(n, v)| *v != Some(**n)).map(|(n, _)| *n));
        }
        Ok(lost)
    }
}

/// A client that writes all the time.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Written>>,
}

/// What it did.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) acknowledged: Vec<u64>,
    /// Longest time between two acknowledged writes.
    pub(crate) longest_gap: Duration,
    /// Writes that were refused or whose answer never came.
    pub(crate) errors: u64,
}

impl Writer {
    /// Begins to write through this address. Its keys are none of a ledger's.
    pub(crate) fn start(url: String, sharded: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let end = stop.clone();
        Self { stop, thread: Some(std::thread::spawn(move || write(&url, sharded, &end))) }
    }
    pub(crate) fn stop(mut self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn write(url: &str, sharded: bool, stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    let mut connection = None;
    let mut last: Option<Instant> = None;
    let mut number = 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(PACE);
        let Some(open) = connection.as_mut() else {
            connection = connect(url, sharded).ok();
            continue;
        };
        number += 1;
        if set(&mut **open, number).is_ok() {
            let now = Instant::now();
            written.longest_gap = written.longest_gap.max(last.map_or(Duration::ZERO, |l| now - l));
            last = Some(now);
            written.acknowledged.push(number);
        } else {
            written.errors += 1;
            connection = None;
        }
    }
    written
}
