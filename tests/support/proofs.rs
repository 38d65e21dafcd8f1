//! What was seen to work. A test that ended well leaves a note of every act it saw end well, on what, and where;
//! `cargo xtask acts` makes one table of all notes.

use crate::places::workspace;
use clusterdeck_domain::{ServiceKind, Topology, service};
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

/// What an act was done to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The service's id.
    pub service: String,
    /// The version that ran.
    pub version: String,
    /// The topology's id.
    pub topology: String,
    /// The provider's id.
    pub provider: String,
}

/// How well an act is known to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// It ran to its end.
    Ran,
    /// The program was killed in it, and the next one brought it to its end.
    Killed,
}

/// One note.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// On what and where.
    pub subject: Subject,
    /// The id of the kind of change, or `failover`.
    pub act: String,
    /// How well.
    pub seen: Seen,
}

/// The notes of one test; written when it is dropped, unless the test has failed.
#[derive(Debug, Default)]
pub struct Proofs(BTreeSet<Proof>);

impl Proofs {
    /// An act has ended well.
    pub fn note(&mut self, subject: &Subject, act: &str, seen: Seen) {
        self.0.insert(Proof { subject: subject.clone(), act: act.to_owned(), seen });
    }
}

impl Subject {
    /// From what the program says of a cluster.
    pub fn of(cluster: &serde_json::Value) -> Self {
        let word = |name: &str| cluster[name].as_str().unwrap_or_default().to_owned();
        Self {
            service: word("service"),
            version: word("version"),
            topology: word("topology"),
            provider: word("provider"),
        }
    }
    /// The service and the topology in the catalogue's terms.
    pub fn known(&self) -> Option<(ServiceKind, Topology)> {
        let of = |text: &str| serde_json::Value::from(text);
        Some((
            serde_json::from_value(of(&self.service)).ok()?,
            serde_json::from_value(of(&self.topology)).ok()?,
        ))
    }
    /// *MariaDB 10.11*, *PostgreSQL 15*: the rest of a version changes with every update of the machine.
    pub fn name(&self) -> String {
        let known = self.known().map(|(kind, _)| service(kind));
        let name = known.map_or(self.service.as_str(), |service| service.name_of(&self.version));
        let release = |v: &&&str| self.version.strip_prefix(**v).is_some_and(|rest| rest.starts_with('.'));
        let told = known.and_then(|service| service.versions.iter().find(release));
        let two = || self.version.split('.').take(2).collect::<Vec<_>>().join(".");
        format!("{name} {}", told.map_or_else(two, |v| (*v).to_owned()))
    }
}

/// Where the notes lie.
pub fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|p| p.join("CACHEDIR.TAG").exists()).map(PathBuf::from);
    target.unwrap_or_else(|| workspace().join("target")).join("proofs")
}

/// Reads all notes.
///
/// # Errors
/// When a file cannot be read; none at all is no error.
pub fn read() -> std::io::Result<BTreeSet<Proof>> {
    let Ok(files) = fs::read_dir(folder()) else { return Ok(BTreeSet::new()) };
    let mut all = BTreeSet::new();
    for file in files {
        all.extend(fs::read_to_string(file?.path())?.lines().filter_map(parse));
    }
    Ok(all)
}

fn parse(line: &str) -> Option<Proof> {
    let mut words = line.split('\t').map(str::to_owned);
    let mut next = || words.next();
    let subject = Subject { service: next()?, version: next()?, topology: next()?, provider: next()? };
    let (act, seen) = (next()?, next()?);
    let seen = if seen == "killed" { Seen::Killed } else { Seen::Ran };
    Some(Proof { subject, act, seen })
}

fn line(proof: &Proof) -> String {
    let Subject { service, version, topology, provider } = &proof.subject;
    let seen = if proof.seen == Seen::Killed { "killed" } else { "ran" };
    format!("{service}\t{version}\t{topology}\t{provider}\t{}\t{seen}\n", proof.act)
}

impl Drop for Proofs {
    fn drop(&mut self) {
        if std::thread::panicking() || self.0.is_empty() {
            return;
        }
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        // Ids of processes repeat in the namespaces that some tests run in.
        let path = folder().join(format!("{since}-{}-{number}.tsv", std::process::id()));
        let text: String = self.0.iter().map(line).collect();
        if let Err(error) = fs::create_dir_all(folder()).and_then(|()| fs::write(&path, text)) {
            eprintln!("what was seen to work could not be noted at {}: {error}", path.display());
        }
    }
}
