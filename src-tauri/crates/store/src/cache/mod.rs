//! `cache.db`: what may be lost at any time. Last observations, samples, and copies of answers for reading offline.

mod chunk;
mod copies;
mod level;
mod observed;
mod points;
mod samples;
mod tidy;

pub use copies::KeptCopy;

use crate::{
    fault::{Fault, Place},
    file::{self, Kind},
    migrate::{self, Migration},
    owner::Owner,
};
use async_trait::async_trait;
use clusterdeck_domain::{ClusterId, ClusterObserved, Metric, NodeId, Point};
use clusterdeck_engine::repository::{CacheRepository, Result, SampleRow};
use jiff::Timestamp;
use rusqlite::Connection;
use std::{fs, path::Path};

pub(crate) const MIGRATIONS: [Migration; 3] = [observed::CREATE, samples::CREATE, copies::CREATE];

const KIND: Kind = Kind {
    application_id: 0x434c_4443, // "CLDC"
    synchronous: "off",
};

/// How much of the disk the cache may take. What is over goes, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of samples as measured, before SQLite's own overhead (about a third more on the disk).
    pub raw_bytes: u64,
    /// Bytes of 1-minute means.
    pub minute_bytes: u64,
    /// Bytes of 10-minute means.
    pub ten_minute_bytes: u64,
    /// Copies of answers.
    pub copies: u32,
    /// Bytes of all copies together; one alone may have an eighth of it.
    pub copy_bytes: u64,
}

impl Default for Limits {
    /// About 200 MB on the disk when all are reached.
    fn default() -> Self {
        Self {
            raw_bytes: 70 << 20,
            minute_bytes: 30 << 20,
            ten_minute_bytes: 30 << 20,
            copies: 2_000,
            copy_bytes: 16 << 20,
        }
    }
}

/// `cache.db`, open.
pub struct Cache {
    owner: Owner<Inner>,
}

/// What the owning thread owns.
struct Inner {
    connection: Connection,
    place: Place,
    limits: Limits,
    samples: samples::Buffer,
}

impl Cache {
    /// Opens `<home>/cache.db`, making it when it is not there. A damaged or foreign one is moved to
    /// `cache.db.damaged` and made anew.
    ///
    /// # Errors
    /// `DiskFull`; `Broken` when the file or its folder may not be written.
    pub fn open(home: &Path) -> Result<Self> {
        Self::open_with(home, Limits::default())
    }

    /// Opens it with other limits.
    ///
    /// # Errors
    /// As [`Cache::open`].
    pub fn open_with(home: &Path, limits: Limits) -> Result<Self> {
        file::make_home(home)?;
        let place = Place::new(home.join("cache.db"));
        let connection = open_or_renew(&place).map_err(|fault| place.tell(fault))?;
        let inner = Inner { connection, place: place.clone(), limits, samples: samples::Buffer::default() };
        Ok(Self { owner: Owner::start(place, inner, |_| {})? })
    }

    /// Keeps the answer to `path` of a connection for reading offline, over the one that was there. What is too large is
    /// left out, and so is whatever the path says holds credentials.
    ///
    /// # Errors
    /// `DiskFull`, `Broken`.
    pub async fn put_copy(&self, connection: &str, path: &str, body: &[u8], at: Timestamp) -> Result<()> {
        let (name, path, body) = (connection.to_owned(), path.to_owned(), body.to_owned());
        self.call(move |inner| copies::put(inner, &name, &path, &body, at)).await
    }

    /// The answer that was kept, and when.
    ///
    /// # Errors
    /// `Broken`.
    pub async fn get_copy(&self, connection: &str, path: &str) -> Result<Option<KeptCopy>> {
        let (name, path) = (connection.to_owned(), path.to_owned());
        self.call(move |inner| copies::get(inner, &name, &path)).await
    }

    /// Forgets all copies of a connection.
    ///
    /// # Errors
    /// `Broken`.
    pub async fn forget_connection(&self, connection: &str) -> Result<()> {
        let name = connection.to_owned();
        self.call(move |inner| copies::forget(inner, &name)).await
    }

    /// Runs `job`; where it meets damage, the file is made anew and the job runs on the new one.
    async fn call<T: Send + 'static>(
        &self,
        job: impl Fn(&mut Inner) -> std::result::Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        self.owner
            .call(move |inner| match job(inner) {
                Err(fault) if fault.is_damage() => {
                    inner.renew(&fault)?;
                    job(inner)
                }
                other => other,
            })
            .await
    }
}

impl Inner {
    fn renew(&mut self, fault: &Fault) -> std::result::Result<(), Fault> {
        // Out of the way first: a connection must not outlive the name of its file.
        self.connection = Connection::open_in_memory()?;
        self.connection = renew(&self.place, fault)?;
        self.samples = samples::Buffer::default();
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(fault) = samples::flush(self) {
            tracing::warn!(%fault, "the last samples could not be kept");
        }
    }
}

fn open(place: &Place) -> std::result::Result<Connection, Fault> {
    file::make_private(place)?;
    let mut connection = file::connect(&place.path)?;
    file::recognise(&connection, place, KIND, migrate::newest(&MIGRATIONS))?;
    file::check(&connection, place)?;
    file::settle(&connection, KIND)?;
    migrate::migrate(&mut connection, place, KIND, &MIGRATIONS, |_, _| Ok(()))?;
    Ok(connection)
}

fn open_or_renew(place: &Place) -> std::result::Result<Connection, Fault> {
    match open(place) {
        Err(fault) if fault.is_damage() || is_newer(place) => renew(place, &fault),
        other => other,
    }
}

/// A newer program wrote it. What it holds can be had again, so it is not worth a refusal.
fn is_newer(place: &Place) -> bool {
    file::connect(&place.path)
        .and_then(|c| Ok(c.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))?))
        .is_ok_and(|version| version > migrate::newest(&MIGRATIONS))
}

/// Moves the file aside and makes a new one.
fn renew(place: &Place, fault: &Fault) -> std::result::Result<Connection, Fault> {
    let aside = file::beside(&place.path, ".damaged");
    tracing::warn!(
        file = %place.path.display(), aside = %aside.display(), %fault,
        "the cache cannot be used and is made anew; charts begin again, nothing else is lost"
    );
    let told = |e: std::io::Error| Fault::Told(place.io("moving the damaged cache aside", &e));
    for suffix in ["-wal", "-shm"] {
        match fs::remove_file(file::beside(&place.path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(told(error)),
            _ => {}
        }
    }
    if place.path.exists() {
        fs::rename(&place.path, &aside).map_err(told)?;
    }
    open(place)
}

#[async_trait]
impl CacheRepository for Cache {
    async fn put_observed(&self, cluster: &ClusterId, observed: &ClusterObserved) -> Result<()> {
        let (cluster, observed) = (cluster.clone(), observed.clone());
        self.call(move |inner| observed::put(&inner.connection, &cluster, &observed)).await
    }

    async fn observed(&self) -> Result<Vec<(ClusterId, ClusterObserved)>> {
        self.call(|inner| observed::all(&inner.connection)).await
    }

    async fn add_samples(&self, samples: &[SampleRow]) -> Result<()> {
        let samples = samples.to_owned();
        self.call(move |inner| samples::add(inner, &samples)).await
    }

    async fn points(
        &self,
        node: &NodeId,
        metric: Metric,
        from: i64,
        to: i64,
        step: i64,
    ) -> Result<Vec<Point>> {
        let node = node.clone();
        self.call(move |inner| points::points(inner, &node, metric, from, to, step)).await
    }

    async fn tidy(&self, now: i64) -> Result<()> {
        self.call(move |inner| tidy::tidy(inner, now)).await
    }

    async fn forget(&self, cluster: &ClusterId) -> Result<()> {
        let cluster = cluster.clone();
        self.call(move |inner| {
            observed::forget(&inner.connection, &cluster)?;
            samples::forget(inner, &cluster)
        })
        .await
    }
}
