//! The log of a command that hosts the engine: `logs/clusterdeck.log` in its home, so that the terminal stays for people.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    sync::Mutex,
};
use tracing_subscriber::EnvFilter;

/// A log longer than this is set aside at the next start; one older log is kept.
const LONGEST: u64 = 5 << 20;
/// `debug`, `clusterdeck_engine=trace`…
const FILTER: &str = "CLUSTERDECK_LOG";

/// Begins to log. Failing to is no reason to fail.
pub(crate) fn begin(home: &Path) {
    let filter =
        EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("info,zbus=warn,hyper=warn"));
    let Ok(file) = file(&home.join("logs")) else { return };
    let subscriber =
        // A log that cannot be written (a full disk) is no reason to fill the terminal.
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).log_internal_errors(false).with_writer(Mutex::new(file));
    // A second call in one process keeps the first log.
    drop(subscriber.try_init());
}

fn file(folder: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("clusterdeck.log");
    if std::fs::metadata(&path).is_ok_and(|m| m.len() > LONGEST) {
        std::fs::rename(&path, folder.join("clusterdeck.log.1"))?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
