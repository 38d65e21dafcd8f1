//! The shell's log: files in the home, rotated by size, so that a year in the tray does not fill a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;

const NAME: &str = "desktop.log";
/// A file is set aside when it has grown to this.
const LIMIT: u64 = 4 * 1024 * 1024;
/// Files kept beside the one written to.
const KEPT: u32 = 3;
/// zbus tells every D-Bus message at info level; the rest are just as talkative.
const DEFAULT: &str = "info,zbus=warn,hyper=warn,reqwest=warn,rustls=warn,tao=warn,wry=warn";

/// Starts logging to `<home>/logs/desktop.log`. `CLUSTERDECK_LOG` sets another filter.
///
/// # Errors
/// When the folder or file cannot be made.
pub(crate) fn start(home: &Path) -> io::Result<()> {
    let folder = home.join("logs");
    let mut private = std::fs::DirBuilder::new();
    // A home is its owner's alone, whoever makes it first.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    private.recursive(true).create(&folder)?;
    let file = RotatingFile::open(folder.join(NAME), LIMIT, KEPT)?;
    let filter = std::env::var("CLUSTERDECK_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(DEFAULT));
    let begun = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .try_init();
    // A second start in one process (tests) keeps the first log.
    drop(begun);
    Ok(())
}

/// A file that is set aside (`.1`, `.2`, …) when it is full; the oldest one goes.
struct RotatingFile {
    path: PathBuf,
    file: File,
    written: u64,
    limit: u64,
    kept: u32,
}

impl RotatingFile {
    fn open(path: PathBuf, limit: u64, kept: u32) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let written = file.metadata()?.len();
        Ok(Self { path, file, written, limit, kept })
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.kept).rev() {
            if self.aside(number).exists() {
                std::fs::rename(self.aside(number), self.aside(number + 1))?;
            }
        }
        std::fs::rename(&self.path, self.aside(1))?;
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A failed rotation must not lose the line: it goes into the file that is open.
        if self.written >= self.limit && self.rotate().is_err() {
            self.written = 0;
        }
        let count = self.file.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_set_aside_and_the_oldest_one_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        let mut log = RotatingFile::open(path.clone(), 10, 2).expect("a log");
        for line in ["first line\n", "second line\n", "third line\n", "fourth line\n"] {
            log.write_all(line.as_bytes()).expect("a line");
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        assert_eq!(read("x.log"), "fourth line\n", "the newest is in the file itself");
        assert_eq!(read("x.log.1"), "third line\n", "the one before is set aside");
        assert_eq!(read("x.log.2"), "second line\n", "so is the one before that");
        assert!(!folder.path().join("x.log.3").exists(), "no more than two are kept");
    }
}
