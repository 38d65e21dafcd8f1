//! The log of a unit: what its server writes to standard output and error.
//!
//! Rotated by copying and cutting off: the server keeps its descriptor open for life and no process of ours is there
//! to take its output while the app is closed, so the file it writes to has to stay the same one. It is open for
//! appending, which makes cutting off safe (the next line goes to the new end, not to the old place). A line written in
//! the microseconds between the last copy and the cut is lost; a second process per server that pipes would be the price
//! of keeping it.
//!
//! Positions count bytes since the unit was first started, over all rotations; `<name>.base` says where the file begins.

use clusterdeck_driver::Result;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::local::files::{broken, create_dirs, write_atomic};

/// A log is rotated when it is longer. With three old ones a unit's logs take 32 MiB and what comes between two looks.
pub(super) const MAX_BYTES: u64 = 8 << 20;
/// Old logs that are kept.
const KEEP: u32 = 3;
/// Most that one call reads.
const MAX_READ: u64 = 1 << 20;
/// Most lines of one call.
const MAX_LINES: usize = 20_000;
/// Longer lines are cut, bytes.
const MAX_LINE: usize = 8 << 10;
/// An unfinished last line is shown when nothing was added for this long.
const SETTLED: Duration = Duration::from_secs(1);

/// The logs of one unit.
#[derive(Debug, Clone)]
pub(super) struct Log {
    dir: PathBuf,
    name: String,
}

impl Log {
    /// The logs of the unit `name` of the machine at `root`.
    pub(super) fn new(root: &Path, name: &str) -> Self {
        Self { dir: root.join("logs"), name: name.to_owned() }
    }
    /// The one being written.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }
    fn old(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{}.log.{number}", self.name))
    }
    fn base_path(&self) -> PathBuf {
        self.dir.join(format!("{}.base", self.name))
    }
    /// Opens it for a server to write to.
    pub(super) fn open(&self) -> io::Result<File> {
        create_dirs(&self.dir)?;
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.path())
    }
    fn base(&self) -> u64 {
        fs::read_to_string(self.base_path()).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
    }

    /// Rotates it when it is longer than `max`; says whether it did. The caller holds the unit's lock.
    pub(super) fn rotate(&self, max: u64) -> io::Result<bool> {
        let path = self.path();
        let length = fs::metadata(&path).map_or(0, |m| m.len());
        if length <= max {
            return Ok(false);
        }
        let copy = self.dir.join(format!(".{}.log.copy", self.name));
        let mut source = OpenOptions::new().read(true).write(true).open(&path)?;
        let copied = match copy_tail(&mut source, &copy, max) {
            Ok(()) => {
                for number in (1..KEEP).rev() {
                    rename_if_there(&self.old(number), &self.old(number + 1))?;
                }
                fs::rename(&copy, self.old(1))?;
                true
            }
            // No room for a copy. Losing old lines is better than a log that fills the disk of a database.
            Err(e) if e.kind() == io::ErrorKind::StorageFull => false,
            Err(e) => return Err(e),
        };
        let end = source.seek(SeekFrom::End(0))?;
        source.set_len(0)?;
        if !copied {
            drop(fs::remove_file(&copy));
            drop(fs::remove_file(self.old(1)));
        }
        write_atomic(&self.base_path(), (self.base() + end).to_string().as_bytes(), 0o600)?;
        Ok(true)
    }

    /// The last `lines` lines, oldest first, and the position after them; with `after` the first ones since then.
    pub(super) fn read(&self, lines: usize, after: Option<u64>) -> Result<(Vec<String>, u64)> {
        let lines = lines.min(MAX_LINES);
        let failed = |e: io::Error| broken(format!("reading {}", self.path().display()), &e);
        let mut file = match File::open(self.path()) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(e) => return Err(failed(e)),
        };
        let meta = file.metadata().map_err(failed)?;
        let base = self.base();
        let end = base + meta.len();
        let older = File::open(self.old(1)).ok();
        let start =
            base.saturating_sub(older.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len()));
        // Positions from before a log that was lost count as its beginning, ones beyond the end as the end's file.
        let (from, whole) = match after {
            Some(after) if after > end => (base, true),
            Some(after) => (after.max(start), after >= start),
            None => (end.saturating_sub(MAX_READ).max(start), end.saturating_sub(MAX_READ) <= start),
        };
        let mut bytes = Vec::new();
        if from < base
            && let Some(mut older) = older
        {
            older.seek(SeekFrom::Start(from - start)).map_err(failed)?;
            older.take(MAX_READ.min(base - from)).read_to_end(&mut bytes).map_err(failed)?;
        }
        let room = MAX_READ.saturating_sub(bytes.len() as u64);
        file.seek(SeekFrom::Start(from.saturating_sub(base))).map_err(failed)?;
        file.take(room).read_to_end(&mut bytes).map_err(failed)?;
        let settled =
            meta.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|since| since > SETTLED);
        Ok(cut(&bytes, from, lines, after.is_some(), whole, settled))
    }

    /// The last lines as one text, for what is told of a crash; empty when there are none.
    pub(super) fn last_words(&self, lines: usize) -> String {
        let mut bytes = Vec::new();
        let read = File::open(self.path()).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
            file.take(4096).read_to_end(&mut bytes)
        });
        if read.is_err() {
            return String::new();
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut last: Vec<&str> =
            text.lines().map(str::trim).filter(|l| !l.is_empty()).rev().take(lines).collect();
        last.reverse();
        last.join("\n")
    }
}

/// Splits what was read at `from` into lines: the last ones, or when following the first ones.
fn cut(
    bytes: &[u8],
    from: u64,
    lines: usize,
    follow: bool,
    whole: bool,
    settled: bool,
) -> (Vec<String>, u64) {
    let mut found: Vec<(&[u8], u64)> = Vec::new();
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        let complete = line.ends_with(b"\n") || settled || line.len() as u64 >= MAX_READ;
        // The first may be the end of a line that was not read as a whole.
        if complete && (whole || at != line.len()) {
            found.push((line, from + at as u64));
        }
    }
    let mut wanted: &[(&[u8], u64)] = &found;
    if follow {
        wanted = &wanted[..wanted.len().min(lines)];
    } else {
        wanted = &wanted[wanted.len().saturating_sub(lines)..];
    }
    let position = match (wanted.last(), found.last()) {
        (Some((_, end)), _) => *end,
        // No lines were asked for: everything that is there counts as seen.
        (None, Some((_, end))) if !follow => *end,
        _ => from,
    };
    let text = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        String::from_utf8_lossy(&line[..line.len().min(MAX_LINE)]).into_owned()
    };
    (wanted.iter().map(|(line, _)| text(line)).collect(), position)
}

/// Copies what the log holds, and what is added while that goes on, up to four times the limit.
fn copy_tail(source: &mut File, to: &Path, max: u64) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    // A writer that was not looked at for long may have left more; only the end of it is kept.
    let length = source.metadata()?.len();
    source.seek(SeekFrom::Start(length.saturating_sub(max * 4)))?;
    io::copy(&mut source.take(max * 8), &mut copy)?;
    copy.flush()
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
