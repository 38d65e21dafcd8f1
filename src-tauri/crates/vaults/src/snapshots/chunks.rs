//! One piece of a snapshot: a folder with a file for each chunk, named by a keyed hash of what is in it, and an index that says
//! in which order they follow. Each file is sealed as any piece of any vault is, so the plain tools open these too.
//!
//! The folder has another name until it is whole. Whoever is killed meanwhile leaves that, and it goes with the next piece of that
//! name or with its backup.

use super::{damaged, gone};
use crate::seal::{Opener, broken, seal_into};
use age::x25519::Recipient;
use clusterdeck_driver::{DriverError, Result, SealKey};
use fastcdc::v2020::{Normalization, StreamCDC};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Bytes of a chunk. What changes here and there in a file costs a chunk each time; smaller ones would be more files than the
/// folders of a large database should hold (100 GB are some 80,000).
const SMALLEST: usize = 256 << 10;
const USUAL: usize = 1 << 20;
const LARGEST: usize = 4 << 20;
/// Snapshots leave so much of the disk to the data beside them: a twentieth of it, and no more than this.
const LEFT_AT_MOST: u64 = 2 << 30;
/// The index is a file as the chunks are.
const INDEX: &str = "index.zst.age";
/// Its first line, and how its last one begins.
const FIRST: &str = "clusterdeck snapshot 1";
const LAST: &str = "all";
/// Bytes of an index, which is held as a whole: with some 75 a chunk it is enough for a piece of 1.5 TB.
const LARGEST_INDEX: usize = 256 << 20;

/// What chunks are called, and where they end. Both follow from the secret half of the key: without it nobody can tell whether
/// a chunk that he knows is among them.
pub(super) struct Names {
    key: [u8; 32],
    cuts: u64,
}

impl Names {
    pub(super) fn of(key: &SealKey) -> Result<Self> {
        let from = Hkdf::<Sha256>::new(None, key.secret.reveal().as_bytes());
        let mut made = [0; 40];
        from.expand(b"clusterdeck snapshots", &mut made)
            .map_err(|_| DriverError::broken("a key for the chunks of snapshots cannot be made"))?;
        let (name, cuts) = made.split_at(32);
        let wrong = |_| DriverError::broken("a key for the chunks of snapshots has a wrong length");
        Ok(Self {
            key: name.try_into().map_err(wrong)?,
            cuts: u64::from_le_bytes(cuts.try_into().map_err(wrong)?),
        })
    }
    /// HMAC-SHA256, in hexadecimal digits.
    fn name(&self, content: &[u8]) -> io::Result<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(io::Error::other)?;
        mac.update(content);
        Ok(hex::encode(mac.finalize().into_bytes()))
    }
}

fn file(name: &str) -> String {
    format!("{name}.zst.age")
}

fn create(at: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(at)
}

/// Bytes that snapshots may still take.
pub(super) fn free(at: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(at)?;
    let left = (stat.f_blocks.saturating_mul(stat.f_frsize) / 20).min(LEFT_AT_MOST);
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize).saturating_sub(left))
}

fn sync_folder(at: &Path) -> io::Result<()> {
    File::open(at)?.sync_all()
}

/// A piece that is being made.
pub(super) struct Making {
    /// The folder of its backup.
    mine: PathBuf,
    name: String,
    /// Where it is until it is whole.
    part: PathBuf,
    index: String,
    /// Bytes of the stream, and those that were written: what is linked costs nothing.
    bytes: u64,
    written: u64,
}

impl Making {
    pub(super) fn begin(mine: &Path, name: &str) -> io::Result<Self> {
        // Whoever was given up may still be at its last chunk.
        static TRIES: AtomicU64 = AtomicU64::new(0);
        let mut folders = DirBuilder::new();
        folders.recursive(true).mode(0o700).create(mine)?;
        remains(mine, name)?;
        let try_ = TRIES.fetch_add(1, Ordering::Relaxed);
        let part = mine.join(format!("{}{}-{try_}", begun(name), std::process::id()));
        folders.create(&part)?;
        Ok(Self {
            mine: mine.to_owned(),
            name: name.to_owned(),
            part,
            index: format!("{FIRST}\n"),
            bytes: 0,
            written: 0,
        })
    }

    /// Takes the whole stream. `has` opens what earlier snapshots have in these folders.
    pub(super) fn take(
        &mut self,
        from: impl Read,
        names: &Names,
        sealer: &Recipient,
        has: (&Opener, Vec<PathBuf>),
    ) -> io::Result<()> {
        let (opener, mut earlier) = has;
        let cut =
            StreamCDC::with_level_and_seed(from, SMALLEST, USUAL, LARGEST, Normalization::Level1, names.cuts);
        for chunk in cut {
            let content = chunk?.data;
            let name = names.name(&content)?;
            let here = self.part.join(file(&name));
            if !here.exists() && !linked(&here, &name, &content, opener, &mut earlier)? {
                if free(&self.part)? < content.len() as u64 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let to = io::BufWriter::with_capacity(USUAL, create(&here)?);
                let made = seal_into(content.as_slice(), sealer, to)?;
                let made = made.into_inner().map_err(io::IntoInnerError::into_error)?;
                made.sync_data()?;
                self.written += made.metadata()?.len();
            }
            self.bytes += content.len() as u64;
            self.index.push_str(&format!("{name} {}\n", content.len()));
            if self.index.len() > LARGEST_INDEX / 2 {
                return Err(io::Error::other("a piece of this size does not go into snapshots"));
            }
        }
        Ok(())
    }

    /// It is there from now on, in the place of one of the same name. Gives the bytes that were written.
    pub(super) fn keep(mut self, sealer: &Recipient) -> io::Result<u64> {
        self.index.push_str(&format!("{LAST} {}\n", self.bytes));
        let index = seal_into(self.index.as_bytes(), sealer, create(&self.part.join(INDEX))?)?;
        index.sync_all()?;
        sync_folder(&self.part)?;
        let whole = self.mine.join(&self.name);
        gone(fs::remove_dir_all(&whole))?;
        fs::rename(&self.part, &whole)?;
        sync_folder(&self.mine)?;
        Ok(self.written + index.metadata()?.len())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // Nothing has this name any more when it was kept.
        drop(fs::remove_dir_all(&self.part));
    }
}

/// What the folder of a piece is called until it is whole, as far as that is always the same.
fn begun(name: &str) -> String {
    format!(".{name}.part-")
}

/// Takes away what was left of a piece by whoever was killed while making it.
pub(super) fn remains(mine: &Path, name: &str) -> io::Result<()> {
    let begun = begun(name);
    let entries = match fs::read_dir(mine) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&begun) {
            gone(fs::remove_dir_all(entry.path()))?;
        }
    }
    Ok(())
}

/// Links a chunk from the snapshot that has it, or copies it where files cannot have another name. It is opened first: what was
/// changed on the disk is written anew, so that one flipped byte does not spoil all snapshots to come.
fn linked(
    here: &Path,
    name: &str,
    content: &[u8],
    opener: &Opener,
    earlier: &mut [PathBuf],
) -> io::Result<bool> {
    for n in 0..earlier.len() {
        let there = earlier[n].join(file(name));
        match fs::hard_link(&there, here) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            // No links here, none to there, or as many as there can be. A copy shares what it holds where the file system can.
            Err(_) => match fs::copy(&there, here).and_then(|_| File::open(here)?.sync_data()) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            },
        }
        if holds(here, content, opener) {
            // The next ones are most likely there as well.
            earlier[..=n].rotate_right(1);
            return Ok(true);
        }
        fs::remove_file(here)?;
    }
    Ok(false)
}

fn holds(here: &Path, content: &[u8], opener: &Opener) -> bool {
    let mut rest = content;
    let opened = File::open(here).map_err(|e| broken("reading a chunk", &e)).and_then(|from| {
        opener.open(from, |piece| match rest.strip_prefix(piece.as_slice()) {
            Some(left) => {
                rest = left;
                true
            }
            None => false,
        })
    });
    opened.is_ok() && rest.is_empty()
}

/// A chunk, or the index; no more than so many bytes of it.
fn whole(at: &Path, most: usize, opener: &Opener) -> Result<Vec<u8>> {
    let from = File::open(at).map_err(|e| broken("opening a chunk", &e))?;
    let (mut content, mut fits) = (Vec::new(), true);
    opener.open(from, |piece| {
        fits = content.len() + piece.len() <= most;
        if fits {
            content.extend_from_slice(&piece);
        }
        fits
    })?;
    if !fits {
        return Err(damaged("it holds more than it should"));
    }
    Ok(content)
}

/// Gives a piece chunk by chunk, each compared with its name.
pub(super) fn give(
    there: &Path,
    shown: &str,
    names: &Names,
    opener: &Opener,
    give: &mut dyn FnMut(Vec<u8>) -> bool,
) -> Result<()> {
    if !there.is_dir() {
        return Err(DriverError::Gone { what: shown.to_owned() });
    }
    let missing = |error, what: &str| match error {
        DriverError::Gone { .. } => damaged(what),
        other => other,
    };
    let index = whole(&there.join(INDEX), LARGEST_INDEX, opener);
    let index = index.map_err(|e| missing(e, &format!("the index of {shown} is missing")))?;
    let index = String::from_utf8(index).map_err(|_| damaged("its index is no text"))?;
    let mut lines = index.lines();
    if lines.next() != Some(FIRST) {
        return Err(damaged("its index is of a kind that is not known here"));
    }
    let (mut bytes, mut all) = (0_u64, None);
    for line in lines {
        let (name, length) = line.split_once(' ').ok_or_else(|| damaged("its index makes no sense"))?;
        let length: u64 = length.parse().map_err(|_| damaged("its index makes no sense"))?;
        if name == LAST {
            all = Some(length);
            break;
        }
        if name.len() != 64 || !name.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(damaged("its index makes no sense"));
        }
        let chunk = whole(&there.join(file(name)), LARGEST, opener);
        let chunk = chunk.map_err(|e| missing(e, &format!("a chunk of {shown} is missing ({name})")))?;
        let same = names.name(&chunk).map_err(|e| broken("comparing a chunk", &e))? == name;
        if !same || chunk.len() as u64 != length {
            return Err(damaged("a chunk is not the one that its name says"));
        }
        bytes += length;
        if !give(chunk) {
            return Ok(());
        }
    }
    match all {
        Some(all) if all == bytes => Ok(()),
        _ => Err(damaged("its index was cut short")),
    }
}
