//! Server software as it is installed on this computer, several versions side by side.

use crate::{
    disk,
    version::{numbers, option, parse},
};
use clusterdeck_driver::{Carried, Extension, Software};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use tokio::{io::AsyncReadExt, process::Command};

/// A program that does not tell its version within this time has none for the moment: a busy computer takes seconds to
/// start an interpreter.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// For so long one that did not tell is not asked again.
const SILENCE_FRESH: Duration = Duration::from_secs(30);
/// What was told, in the home: every command is a process of its own, and asking Patroni costs each 0.3 s.
const NOTE: &str = "versions.json";
/// What a program says of itself is on its first lines.
const ANSWER_BYTES: u64 = 4096;
/// How long the list of folders counts as known: what was installed is found a moment later, and a request that asks for many
/// programs walks the disk once.
const FOLDERS_FRESH: Duration = Duration::from_secs(3);
/// Versions that are remembered; more programs than that are asked again.
const REMEMBERED: usize = 256;

/// Folders that are searched besides those of `PATH`; a `*` stands for every folder there.
const PLACES: [&str; 11] = [
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/bin",
    "/sbin",
    "/usr/lib/*/*/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/sbin",
    "/opt/homebrew/opt/*/bin",
    "/usr/local/opt/*/bin",
];

/// Finds programs and remembers what they said.
#[derive(Debug)]
pub(super) struct Finder {
    patterns: Vec<String>,
    folders: Mutex<Option<(Instant, Arc<[PathBuf]>)>>,
    known: Mutex<Option<BTreeMap<PathBuf, Told>>>,
    silent: Mutex<BTreeMap<PathBuf, Instant>>,
    note: PathBuf,
}

/// What a program said, and when its file had changed last: another file is asked anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    changed: SystemTime,
    version: String,
}

impl Finder {
    /// Searches `CLUSTERDECK_SOFTWARE_PATH`, the home's own `software/*/bin`, `PATH` and the usual places.
    pub(super) fn new(home: &Path) -> Self {
        let variable = |name: &str| {
            let value = std::env::var_os(name).unwrap_or_default();
            std::env::split_paths(&value)
                .filter_map(|p| p.to_str().filter(|p| p.starts_with('/')).map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let mut patterns = variable("CLUSTERDECK_SOFTWARE_PATH");
        patterns.push(format!("{}/software/*/bin", home.display()));
        patterns.extend(variable("PATH"));
        patterns.extend(PLACES.map(str::to_owned));
        Self {
            patterns,
            folders: Mutex::default(),
            known: Mutex::default(),
            silent: Mutex::default(),
            note: home.join(NOTE),
        }
    }

    /// The versions of a program, newest first; of equal ones the first found.
    pub(super) async fn find(&self, program: &str) -> Vec<Software> {
        let mut found: Vec<Software> = Vec::new();
        for path in self.paths(program) {
            let version = self.version(program, &path).await;
            if !found.iter().any(|s| s.version == version && !version.is_empty()) {
                found.push(Software { program: program.to_owned(), path, version });
            }
        }
        found.sort_by_key(|s| std::cmp::Reverse(numbers(&s.version)));
        found
    }

    /// Where an extension describes itself beside its program, that of the newest carrier first.
    pub(super) async fn find_extension(&self, extension: &Extension) -> Vec<Carried> {
        let mut found = Vec::new();
        for by in self.find(extension.beside).await {
            // The folder that the program really lies in: a link's neighbours are others.
            let Some(folder) = by.path.canonicalize().ok().and_then(|p| p.parent().map(Path::to_owned))
            else {
                continue;
            };
            let said = extension.files_beside(&by.version).find_map(|file| description(&folder.join(file)));
            if let Some(version) = said.and_then(|said| extension.version_in(&said)) {
                found.push(Carried { version, by });
            }
        }
        found
    }

    /// Where it is, each file once whatever links lead there.
    fn paths(&self, program: &str) -> Vec<PathBuf> {
        if program.is_empty() || program.contains(['/', '\0']) {
            return Vec::new();
        }
        let mut files = Vec::new();
        let mut paths = Vec::new();
        for folder in self.folders().iter() {
            let path = folder.join(program);
            let Ok(real) = path.canonicalize() else { continue };
            let runs = real.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
            if runs && !stands_in(program, &real) && !files.contains(&real) {
                files.push(real);
                paths.push(path);
            }
        }
        paths
    }

    /// Where to look, each folder once.
    fn folders(&self) -> Arc<[PathBuf]> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, known)) = &*folders
            && at.elapsed() < FOLDERS_FRESH
        {
            return known.clone();
        }
        let mut found: Vec<PathBuf> = Vec::new();
        for folder in self.patterns.iter().flat_map(|pattern| expand(pattern)) {
            if !found.contains(&folder) {
                found.push(folder);
            }
        }
        let found: Arc<[PathBuf]> = found.into();
        *folders = Some((Instant::now(), found.clone()));
        found
    }

    async fn version(&self, program: &str, path: &Path) -> String {
        let changed = fs::metadata(path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        if let Some(version) = self.remembered(path, changed) {
            return version;
        }
        let version = ask(path, option(program)).await.as_deref().and_then(parse);
        self.remember(path, changed, version.clone());
        version.unwrap_or_default()
    }

    fn remembered(&self, path: &Path, changed: SystemTime) -> Option<String> {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if silent.get(path).is_some_and(|since| since.elapsed() < SILENCE_FRESH) {
            return Some(String::new());
        }
        drop(silent);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // A note that cannot be read is as good as none.
        let known = known.get_or_insert_with(|| disk::load(&self.note).ok().flatten().unwrap_or_default());
        known.get(path).filter(|told| told.changed == changed).map(|told| told.version.clone())
    }

    fn remember(&self, path: &Path, changed: SystemTime, version: Option<String>) {
        let Some(version) = version else {
            let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
            silent.retain(|_, since| since.elapsed() < SILENCE_FRESH);
            silent.insert(path.to_path_buf(), Instant::now());
            return;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(path.to_path_buf(), Told { changed, version });
        if let Err(error) = disk::save(&self.note, known) {
            tracing::debug!(%error, "versions of programs are asked for again next time");
        }
    }
}

/// A link with this program's name that leads to another maker's program: compatibility packages of a fork install such.
/// Taking it for the real one would show a wrong version.
fn stands_in(program: &str, real: &Path) -> bool {
    let first = |name: &str| name.split(['-', '.', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let name = real.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.contains("-server") && program.contains("-server") && first(name) != first(program)
}

/// The folders that a pattern stands for, the last ones by name first (`17` before `15`).
fn expand(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|p| !p.is_empty()) {
        found = if part == "*" {
            found
                .iter()
                .flat_map(|dir| {
                    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
                    // The kind is known without asking the disk again: a library folder holds thousands of files.
                    let mut inside: Vec<PathBuf> = entries
                        .filter(|e| e.file_type().is_ok_and(|kind| !kind.is_file()))
                        .map(|e| e.path())
                        .collect();
                    inside.sort_by(|a, b| b.cmp(a));
                    inside
                })
                .collect()
        } else {
            found.into_iter().map(|dir| dir.join(part)).collect()
        };
    }
    found.retain(|dir| dir.is_dir());
    found
}

/// The beginning of a file in which an extension describes itself.
fn description(path: &Path) -> Option<String> {
    let mut said = Vec::new();
    fs::File::open(path).ok()?.take(ANSWER_BYTES).read_to_end(&mut said).ok()?;
    Some(String::from_utf8_lossy(&said).into_owned())
}

async fn ask(path: &Path, option: &str) -> Option<String> {
    let mut child = Command::new(path)
        .arg(option)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let output = child.stdout.take()?;
    let mut answer = Vec::new();
    let read = async {
        output.take(ANSWER_BYTES).read_to_end(&mut answer).await.ok()?;
        child.wait().await.ok()
    };
    tokio::time::timeout(ASK_LIMIT, read).await.ok()??;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Extension = Extension {
        name: "Sample",
        package: "sample",
        purpose: "",
        carrier: "Server",
        beside: "clusterdeck-test-server",
        majors: (15, 17),
        files: &["../share/{major}/sample.control"],
        version_key: "default_version",
        elsewhere: "",
    };

    /// A server of this version in the home's own folder, with the extension beside it or not.
    fn install(home: &Path, version: &str, extension: Option<&str>) {
        let folder = home.join(format!("software/server-{version}"));
        let major = version.split('.').next().unwrap();
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::create_dir_all(folder.join(format!("share/{major}"))).unwrap();
        let program = folder.join("bin").join(SAMPLE.beside);
        fs::write(&program, format!("#!/bin/sh\necho 'server {version}'\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        if let Some(extension) = extension {
            let said = format!("default_version = '{extension}'\n");
            fs::write(folder.join(format!("share/{major}/sample.control")), said).unwrap();
        }
    }

    #[tokio::test]
    async fn an_extension_is_found_beside_each_installed_server_that_carries_it_the_newest_first() {
        let home = tempfile::tempdir().unwrap();
        install(home.path(), "15.18", Some("2.19.0"));
        install(home.path(), "16.4", None);
        install(home.path(), "17.11", Some("2.19.3"));
        install(home.path(), "18.6", Some("2.31.0"));
        let found = Finder::new(home.path()).find_extension(&SAMPLE).await;
        let read: Vec<_> = found.iter().map(|c| (c.version.as_str(), c.by.version.as_str())).collect();
        assert_eq!(read, [("2.19.3", "17.11"), ("2.19.0", "15.18")], "18 is too new for it, 16 has none");
        assert!(found[0].by.path.starts_with(home.path().join("software/server-17.11/bin")));
    }

    #[test]
    fn a_fork_under_another_s_name_is_not_taken_for_it() {
        assert!(stands_in("redis-server", Path::new("/usr/bin/valkey-server")));
        assert!(!stands_in("redis-server", Path::new("/opt/redis/bin/redis-server")));
        assert!(!stands_in("haproxy", Path::new("/usr/sbin/haproxy")));
    }
}
