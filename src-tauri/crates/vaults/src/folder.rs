//! A vault in a folder: one folder a backup, one file a piece, and beside them the notes.

use crate::{
    seal::{broken, seal, unseal},
    syncing::Syncing,
};
use async_trait::async_trait;
use clusterdeck_domain::{BackupId, BackupKind, VaultFault};
use clusterdeck_driver::{DriverError, Incoming, Outgoing, Result, SealKey, Vault, VaultCheck, VaultTrial};
use rustix::fs::Access;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// See the module.
#[derive(Debug, Clone)]
pub struct Folder {
    id: String,
    at: PathBuf,
    /// It is there only while this file is: a disk that is not mounted leaves an empty folder behind.
    marked: bool,
}

/// Says that a folder is a vault.
const MARK: &str = ".clusterdeck-vault";

impl Folder {
    /// A vault of this name in this folder, which is made when it is first used.
    pub fn new(id: &str, at: PathBuf) -> Self {
        Self { id: id.to_owned(), at, marked: false }
    }
    /// The same in a folder that may be elsewhere one day: it is a vault only once it was made one ([`Vault::make`]).
    pub fn elsewhere(id: &str, at: PathBuf) -> Self {
        Self { marked: true, ..Self::new(id, at) }
    }
    pub(crate) fn there(&self) -> Result<()> {
        if !self.marked || self.at.join(MARK).exists() {
            return Ok(());
        }
        Err(DriverError::vault(
            VaultFault::Unreachable,
            format!("{} is not there, or it is not this vault", self.at.display()),
            "mount the disk it is on, then try again",
        ))
    }
    pub(crate) fn of(&self, backup: &BackupId) -> PathBuf {
        self.at.join(backup.as_str())
    }
}

/// Names of pieces and notes become names of files.
pub(crate) fn named(name: &str, ending: &str) -> Result<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    if name.is_empty() || name.starts_with('.') || name.len() > 100 || !name.chars().all(fine) {
        return Err(DriverError::broken(format!("`{name}` is no name for a piece of a backup")));
    }
    Ok(format!("{name}{ending}"))
}

pub(crate) fn make_folder(at: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(at)
}

/// A file that is there when it is whole: until then it has another name.
struct Coming {
    file: PathBuf,
    part: PathBuf,
}

impl Coming {
    fn begin(folder: &Path, name: &str) -> io::Result<(Self, File)> {
        make_folder(folder)?;
        let me = Self { file: folder.join(name), part: folder.join(format!(".{name}.part")) };
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&me.part)?;
        Ok((me, opened))
    }
    /// Gives its size.
    fn keep(self, written: &File) -> io::Result<u64> {
        written.sync_all()?;
        fs::rename(&self.part, &self.file)?;
        if let Some(folder) = self.file.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(written.metadata()?.len())
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        // Nothing has this name any more when it was kept.
        drop(fs::remove_file(&self.part));
    }
}

/// The nearest folder above, or itself, that is there.
pub(crate) fn nearest(at: &Path) -> io::Result<&Path> {
    let stands = at.ancestors().find(|above| above.exists());
    let stands = stands.ok_or(io::ErrorKind::NotFound)?;
    if stands.is_dir() {
        return Ok(stands);
    }
    Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is no folder", stands.display())))
}

pub(crate) async fn off_thread<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = spawn_blocking(work).await;
    done.map_err(|_| DriverError::broken(format!("{what} ended without a word")))?
        .map_err(|e| broken(what, &e))
}

#[async_trait]
impl Vault for Folder {
    fn id(&self) -> &str {
        &self.id
    }
    fn kind(&self) -> BackupKind {
        BackupKind::Local
    }
    async fn check(&self) -> Result<VaultCheck> {
        self.there()?;
        let at = self.at.clone();
        off_thread("writing to the vault", move || {
            let (probe, file) = Coming::begin(&at, "probe")?;
            drop((probe, file));
            let stat = rustix::fs::statvfs(&at)?;
            Ok(VaultCheck { free_bytes: Some(stat.f_bavail.saturating_mul(stat.f_frsize)), used_bytes: None })
        })
        .await
    }
    async fn try_out(&self) -> Result<VaultTrial> {
        let there = self.at.join(MARK).exists();
        if there {
            return Ok(VaultTrial { there, free_bytes: self.check().await?.free_bytes });
        }
        let at = self.at.clone();
        off_thread("making the vault", move || {
            let stands = nearest(&at)?;
            rustix::fs::access(stands, Access::WRITE_OK | Access::EXEC_OK)?;
            let stat = rustix::fs::statvfs(stands)?;
            Ok(VaultTrial { there, free_bytes: Some(stat.f_bavail.saturating_mul(stat.f_frsize)) })
        })
        .await
    }
    async fn make(&self) -> Result<()> {
        if !self.marked {
            return Ok(());
        }
        let at = self.at.clone();
        off_thread("making the vault", move || {
            let (coming, file) = Coming::begin(&at, MARK)?;
            coming.keep(&file).map(drop)
        })
        .await
    }
    async fn put(&self, backup: &BackupId, piece: &str, input: &mut Incoming, key: &SealKey) -> Result<u64> {
        self.there()?;
        let (folder, name) = (self.of(backup), named(piece, ".zst.age")?);
        let (coming, file) = off_thread("writing to the vault", move || {
            let (coming, file) = Coming::begin(&folder, &name)?;
            Ok((coming, Syncing::new(file)?))
        })
        .await?;
        let written = seal(input, key, io::BufWriter::with_capacity(1 << 20, file)).await?;
        off_thread("writing to the vault", move || {
            let written = written.into_inner().map_err(io::IntoInnerError::into_error)?;
            coming.keep(&written.done()?)
        })
        .await
    }
    async fn get(&self, backup: &BackupId, piece: &str, output: &mut Outgoing, key: &SealKey) -> Result<()> {
        self.there()?;
        let file = self.of(backup).join(named(piece, ".zst.age")?);
        let shown = format!("the piece {piece} of backup {backup}");
        let opened = spawn_blocking(move || File::open(file)).await;
        let opened = opened.map_err(|_| DriverError::broken("opening a piece ended without a word"))?;
        unseal(opened.map_err(|e| broken(&shown, &e))?, output, key).await
    }
    async fn put_note(&self, backup: &BackupId, name: &str, content: &[u8]) -> Result<()> {
        self.there()?;
        let (folder, name, content) = (self.of(backup), named(name, "")?, content.to_vec());
        off_thread("writing to the vault", move || {
            let (coming, mut file) = Coming::begin(&folder, &name)?;
            io::Write::write_all(&mut file, &content)?;
            coming.keep(&file).map(drop)
        })
        .await
    }
    async fn remove_piece(&self, backup: &BackupId, piece: &str) -> Result<()> {
        self.there()?;
        let file = self.of(backup).join(named(piece, ".zst.age")?);
        off_thread("removing from the vault", move || match fs::remove_file(file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        })
        .await
    }
    async fn remove(&self, backup: &BackupId) -> Result<()> {
        self.there()?;
        let folder = self.of(backup);
        off_thread("removing from the vault", move || match fs::remove_dir_all(folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        })
        .await
    }
    async fn backups(&self) -> Result<Vec<BackupId>> {
        let at = self.at.clone();
        off_thread("looking into the vault", move || match fs::read_dir(at) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => {
                let names = entries?.flatten().filter_map(|e| e.file_name().into_string().ok());
                Ok(names.filter_map(|name| BackupId::parse(&name).ok()).collect())
            }
        })
        .await
    }
}
