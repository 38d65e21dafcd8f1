//! Snapshots: copies on the disk that the data is on, each whole by itself, which together take little more than what changed
//! between them. A stream is cut where its content says (`chunks`), each chunk is sealed into a file of its own, and one that an
//! earlier snapshot has is linked, not written. The file system counts the links: what goes with a snapshot is what no other one
//! has, and nobody has to look for it.

mod chunks;

use crate::{
    folder::{Folder, named, off_thread},
    seal::{Opener, passing, sealer, working},
};
use async_trait::async_trait;
use chunks::{Making, Names, remains};
use clusterdeck_domain::{BackupId, BackupKind};
use clusterdeck_driver::{DriverError, Incoming, Outgoing, Result, SealKey, Vault, VaultCheck};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Earlier snapshots that are looked into, the newest ones: each costs a look for every chunk that is new.
const LOOKED_INTO: usize = 200;

/// See the module.
#[derive(Debug, Clone)]
pub struct Snapshots {
    /// Names, notes and what is the same with any folder.
    folder: Folder,
    at: PathBuf,
    /// Bytes that all of them take, as counted since the last change, and how many changes there were.
    used: Arc<Mutex<(u64, Option<u64>)>>,
}

impl Snapshots {
    /// A vault of this name in this folder, which is made when it is first used.
    pub fn new(id: &str, at: PathBuf) -> Self {
        Self { folder: Folder::new(id, at.clone()), at, used: Arc::default() }
    }
    fn changed(&self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = (used.0 + 1, None);
    }
    /// Bytes of disk, what several have once.
    async fn used(&self) -> Result<u64> {
        let (changes, counted) = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = counted {
            return Ok(bytes);
        }
        let at = self.at.clone();
        let bytes = off_thread("looking into the vault", move || on_disk(&at)).await?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // What changed meanwhile may not be in it.
        if used.0 == changes {
            used.1 = Some(bytes);
        }
        Ok(bytes)
    }
}

/// Each link has its share of a file: of files with all links in here that is their size, without remembering any of them.
fn on_disk(at: &Path) -> io::Result<u64> {
    let mut sum = 0;
    let entries = match fs::read_dir(at) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        // What goes meanwhile takes nothing.
        let Ok(meta) = entry.as_ref().map_err(drop).and_then(|e| e.metadata().map_err(drop)) else {
            continue;
        };
        sum += match meta.is_dir() {
            true => on_disk(&entry?.path())?,
            false => meta.blocks() * 512 / meta.nlink().max(1),
        };
    }
    Ok(sum)
}

/// Where earlier snapshots have the same piece, the newest first; `mine` as well.
fn earlier(at: &Path, mine: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let mut ids: Vec<BackupId> = fs::read_dir(at)?
        .flatten()
        .filter_map(|e| BackupId::parse(&e.file_name().into_string().ok()?).ok())
        .collect();
    // An id begins with its time.
    ids.sort_unstable_by(|a, b| b.as_str().cmp(a.as_str()));
    let others = ids.into_iter().map(|id| at.join(id.as_str()).join(name)).filter(|there| there.is_dir());
    Ok(std::iter::once(mine.join(name))
        .filter(|there| there.is_dir())
        .chain(others)
        .take(LOOKED_INTO)
        .collect())
}

#[async_trait]
impl Vault for Snapshots {
    fn id(&self) -> &str {
        self.folder.id()
    }
    fn kind(&self) -> BackupKind {
        BackupKind::Snapshot
    }
    async fn check(&self) -> Result<VaultCheck> {
        self.folder.check().await?;
        let at = self.at.clone();
        let free = off_thread("looking into the vault", move || chunks::free(&at)).await?;
        Ok(VaultCheck { free_bytes: Some(free), used_bytes: Some(self.used().await?) })
    }
    async fn put(&self, backup: &BackupId, piece: &str, input: &mut Incoming, key: &SealKey) -> Result<u64> {
        let (at, mine, name) = (self.at.clone(), self.at.join(backup.as_str()), named(piece, ".chunks")?);
        let (names, sealer, opener) = (Names::of(key)?, sealer(key)?, Opener::new(key)?);
        let put = working(input, move |from| {
            let mut making = Making::begin(&mine, &name)?;
            let earlier = earlier(&at, &mine, &name)?;
            making.take(from, &names, &sealer, (&opener, earlier))?;
            making.keep(&sealer)
        })
        .await;
        self.changed();
        put
    }
    async fn get(&self, backup: &BackupId, piece: &str, output: &mut Outgoing, key: &SealKey) -> Result<()> {
        let there = self.at.join(backup.as_str()).join(named(piece, ".chunks")?);
        let (names, opener) = (Names::of(key)?, Opener::new(key)?);
        let shown = format!("the piece {piece} of backup {backup}");
        passing(output, move |give| chunks::give(&there, &shown, &names, &opener, give)).await
    }
    async fn put_note(&self, backup: &BackupId, name: &str, content: &[u8]) -> Result<()> {
        self.folder.put_note(backup, name, content).await
    }
    async fn remove_piece(&self, backup: &BackupId, piece: &str) -> Result<()> {
        let (mine, name) = (self.at.join(backup.as_str()), named(piece, ".chunks")?);
        let removed = off_thread("removing from the vault", move || {
            remains(&mine, &name)?;
            gone(fs::remove_dir_all(mine.join(name)))
        });
        let removed = removed.await;
        self.changed();
        removed
    }
    async fn remove(&self, backup: &BackupId) -> Result<()> {
        let removed = self.folder.remove(backup).await;
        self.changed();
        removed
    }
    async fn backups(&self) -> Result<Vec<BackupId>> {
        self.folder.backups().await
    }
}

/// What is not there need not be taken away.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What was changed in the vault, and how.
fn damaged(what: &str) -> DriverError {
    crate::seal::damaged(&what)
}
