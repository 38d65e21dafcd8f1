//! What the machines of one home share: its id, what images hold, who works on what, and what was seen a moment ago.

use super::images::Images;
use clusterdeck_domain::MachineId;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OwnedMutexGuard;

/// Entries of a table of memories; a full one is emptied, since everything in it can be found out again.
const REMEMBERED: usize = 1024;

/// Something known about a machine or one of its paths, and since when.
type Known<K, V> = Mutex<HashMap<K, (Instant, V)>>;

/// See the module.
pub(super) struct Shared {
    pub home: PathBuf,
    pub home_id: String,
    pub images: Arc<Images>,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    sizes: Known<(MachineId, String), u64>,
    alive: Known<MachineId, String>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn recall<K: std::hash::Hash + Eq, V: Clone>(known: &Known<K, V>, key: &K, fresh: Duration) -> Option<V> {
    open(known).get(key).filter(|(at, _)| at.elapsed() < fresh).map(|(_, value)| value.clone())
}

fn remember<K: std::hash::Hash + Eq, V>(known: &Known<K, V>, key: K, value: V) {
    let mut known = open(known);
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(key, (Instant::now(), value));
}

impl Shared {
    pub(super) fn new(home: PathBuf, home_id: String, images: Arc<Images>) -> Self {
        let (locks, sizes, alive) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { home, home_id, images, locks, sizes, alive }
    }

    /// Waits until nobody else works on the container of that name. Only one process hosts a home, so a lock in memory does;
    /// the engine itself refuses a second container of a name.
    pub(super) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = open(&self.locks);
            if locks.len() >= REMEMBERED {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            locks.entry(name.to_owned()).or_default().clone()
        };
        lock.lock_owned().await
    }

    /// The size of a folder as found out not long ago.
    pub(super) fn size(&self, key: &(MachineId, String), fresh: Duration) -> Option<u64> {
        recall(&self.sizes, key, fresh)
    }
    /// Keeps it.
    pub(super) fn remember_size(&self, key: (MachineId, String), bytes: u64) {
        remember(&self.sizes, key, bytes);
    }

    /// The image of a machine that was seen running not long ago.
    pub(super) fn alive(&self, id: &MachineId, fresh: Duration) -> Option<String> {
        recall(&self.alive, id, fresh)
    }
    /// Keeps it.
    pub(super) fn remember_alive(&self, id: &MachineId, image: String) {
        remember(&self.alive, id.clone(), image);
    }
    /// Forgets a machine.
    pub(super) fn forget(&self, id: &MachineId) {
        open(&self.alive).remove(id);
        open(&self.sizes).retain(|(machine, _), _| machine != id);
    }
}
