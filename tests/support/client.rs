//! A client of a cluster that remembers what was acknowledged. It speaks what the address says: `redis://`,
//! `postgresql://`, `mysql://`. Blocking: inside a runtime call it through `tokio::task::block_in_place`.

mod mysql;
mod postgres;
mod redis;

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
/// How long a member may take to apply what another one acknowledged.
const APPLIED: Duration = Duration::from_secs(5);
/// Between two writes: fast enough to meet every moment of a change, slow enough to leave the machine to the servers.
const PACE: Duration = Duration::from_millis(2);
/// For connecting and for each answer.
const ANSWER: Duration = Duration::from_secs(1);

type Result<T> = std::result::Result<T, String>;

/// A connection that keeps numbers.
pub trait Numbers: Send {
    /// Writes a number; `Ok` when that was acknowledged.
    ///
    /// # Errors
    /// In the server's words.
    fn put(&mut self, number: u64) -> Result<()>;
    /// Those of `numbers` that are not there.
    ///
    /// # Errors
    /// In the server's words.
    fn lacks(&mut self, numbers: &[u64]) -> Result<Vec<u64>>;
    /// All that are there.
    ///
    /// # Errors
    /// In the server's words; where there is no SQL.
    fn all(&mut self) -> Result<Vec<u64>> {
        Err("it has no list of them".to_owned())
    }
    /// Says something to the server for which it gives no answer but that it is done.
    ///
    /// # Errors
    /// In the server's words; where there is no SQL.
    fn say(&mut self, _sql: &str) -> Result<()> {
        Err("it speaks no SQL".to_owned())
    }
}

/// Connects; with a client that knows shards where the cluster is sharded.
///
/// # Errors
/// In the server's words.
pub fn connect(url: &str, sharded: bool) -> Result<Box<dyn Numbers>> {
    if url.starts_with("postgresql:") {
        return Ok(Box::new(postgres::Postgres::connect(url)?));
    }
    if url.starts_with("mysql:") {
        return Ok(Box::new(mysql::Mysql::connect(url)?));
    }
    redis::connect(url, sharded)
}

/// Acknowledged writes that are not there any more. Asks again while the cluster is not ready, and for a moment where
/// something is missing: a member that was asked may have yet to apply what another one has just acknowledged.
///
/// # Panics
/// When nobody answers.
pub fn missing(url: &str, sharded: bool, acknowledged: &[u64]) -> Vec<u64> {
    let begun = Instant::now();
    loop {
        match connect(url, sharded).and_then(|mut open| open.lacks(acknowledged)) {
            Ok(lost) if !lost.is_empty() && begun.elapsed() < APPLIED => std::thread::sleep(PACE * 50),
            Ok(lost) => return lost,
            Err(error) => assert!(begun.elapsed() < SOON, "a healthy cluster answers: {error}"),
        }
    }
}

/// What was written and acknowledged in the life of a cluster.
#[derive(Default)]
pub struct Ledger {
    sharded: bool,
    acknowledged: Vec<u64>,
    next: u64,
}

impl Ledger {
    /// Of a cluster in which nothing was written yet.
    pub fn new(sharded: bool) -> Self {
        Self { sharded, ..Self::default() }
    }
    /// Writes a few known numbers; a healthy cluster takes them.
    ///
    /// # Panics
    /// When it does not.
    pub fn write(&mut self, url: &str) {
        let begun = Instant::now();
        let mut due = 8;
        while due > 0 {
            let written = connect(url, self.sharded).and_then(|mut open| {
                while due > 0 {
                    self.next += 1;
                    open.put(self.next)?;
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
    pub fn add(&mut self, written: &Written) {
        self.acknowledged.extend(&written.acknowledged);
    }
    /// How many writes were acknowledged.
    pub fn len(&self) -> usize {
        self.acknowledged.len()
    }
    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.acknowledged.is_empty()
    }
    /// Reads everything back.
    ///
    /// # Panics
    /// When something is missing.
    #[track_caller]
    pub fn check(&self, url: &str, when: &str) {
        let lost = missing(url, self.sharded, &self.acknowledged);
        assert!(
            lost.is_empty(),
            "{when}: {} of {} acknowledged writes are lost: {lost:?}",
            lost.len(),
            self.len()
        );
    }
}

/// A client that writes all the time.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Written>>,
}

/// What it did.
#[derive(Debug, Default)]
pub struct Written {
    /// Numbers whose write was acknowledged.
    pub acknowledged: Vec<u64>,
    /// Longest time between two acknowledged writes.
    pub longest_gap: Duration,
    /// Writes that were refused or whose answer never came.
    pub errors: u64,
}

impl Writer {
    /// Begins to write through this address. Its numbers are none of a ledger's.
    pub fn start(url: String, sharded: bool) -> Self {
        Self::paced(url, sharded, PACE)
    }
    /// Writes as fast as one client can, to measure.
    pub fn without_pause(url: String) -> Self {
        Self::paced(url, false, Duration::ZERO)
    }
    fn paced(url: String, sharded: bool, pace: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let end = stop.clone();
        Self { stop, thread: Some(std::thread::spawn(move || write(&url, sharded, pace, &end))) }
    }
    /// Ends it; what it did.
    ///
    /// # Panics
    /// When its thread did.
    pub fn stop(mut self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().expect("the writer ends in order")).unwrap_or_default()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn write(url: &str, sharded: bool, pace: Duration, stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    let mut connection = None;
    let mut last: Option<Instant> = None;
    let mut number = 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        if pace > Duration::ZERO {
            std::thread::sleep(pace);
        }
        let Some(open) = connection.as_mut() else {
            connection = connect(url, sharded).ok();
            if connection.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            continue;
        };
        number += 1;
        if open.put(number).is_ok() {
            let now = Instant::now();
            written.longest_gap = written.longest_gap.max(last.map_or(Duration::ZERO, |l| now - l));
            last = Some(now);
            written.acknowledged.push(number);
        } else {
            written.errors += 1;
            connection = None;
        }
    }
    // One that waits still has waited, too.
    written.longest_gap = written.longest_gap.max(last.map_or(Duration::ZERO, |last| last.elapsed()));
    written
}
