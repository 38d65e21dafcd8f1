//! An older package of this computer's Debian in the place of the installed one, for one test, and then the newer one: what
//! `apt upgrade` does to the programs of running servers. Nothing of this computer changes: both are unpacked beside the
//! images of containers, and only the test sees them, in a namespace of mounts of its own.
//!
//! A test calls [`Older::enter`] first. Outside it starts itself again inside, and returns `None` when that has ended well.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Says that we are inside.
const INSIDE: &str = "CLUSTERDECK_TEST_PACKAGES";

/// Packages of one source, and what of them servers are started from.
pub struct Packages {
    /// As apt knows them; the first one's versions count.
    pub names: &'static [&'static str],
    /// Files and folders that the older one's take the place of, which must be there.
    pub places: &'static [&'static str],
}

/// PostgreSQL 15 with its client's programs, which Debian keeps in the same folder.
pub const POSTGRES: Packages = Packages {
    names: &["postgresql-15", "postgresql-client-15"],
    places: &["/usr/lib/postgresql/15", "/usr/share/postgresql/15"],
};
/// The server of MariaDB.
pub const MARIADB: Packages =
    Packages { names: &["mariadb-server-core"], places: &["/usr/sbin/mariadbd", "/usr/share/mysql"] };

/// See the module.
pub struct Older {
    packages: &'static Packages,
    newer: PathBuf,
}

impl Older {
    /// Goes inside, where the older version is what is installed. `None`: outside, and all is done; the test returns.
    ///
    /// # Panics
    /// When the test fails inside, or when Debian does not offer two versions.
    #[must_use]
    pub fn enter(packages: &'static Packages) -> Option<Self> {
        let [older, newer] = versions(packages).map(|version| unpacked(packages, &version));
        if std::env::var_os(INSIDE).is_some() {
            put(packages, &older);
            return Some(Self { packages, newer });
        }
        let test = std::thread::current().name().expect("a test's thread has its name").to_owned();
        let inside = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe().expect("a program"))
            .args(["--exact", &test, "--nocapture"])
            .env(INSIDE, "1")
            .stdin(Stdio::null())
            .status()
            .expect("unshare starts");
        assert!(inside.success(), "{test} failed inside");
        None
    }
    /// Puts the newer version in its place.
    pub fn upgrade(&self) {
        put(self.packages, &self.newer);
    }
}

fn put(packages: &Packages, from: &Path) {
    for place in packages.places {
        let ours = from.join(place.trim_start_matches('/'));
        told(Command::new("mount").arg("--bind").arg(&ours).arg(place));
    }
}

/// The oldest and the newest that apt knows of.
fn versions(packages: &Packages) -> [String; 2] {
    let first = packages.names.first().expect("a package");
    let table = told(Command::new("apt-cache").args(["madison", first]));
    let mut found: Vec<&str> =
        table.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim).collect();
    found.dedup();
    let (Some(newest), Some(oldest)) = (found.first(), found.last()) else {
        panic!("apt knows no {first}; `apt-get update` may help:\n{table}");
    };
    assert_ne!(newest, oldest, "Debian offers one version of {first}, so there is nothing to upgrade");
    [(*oldest).to_owned(), (*newest).to_owned()]
}

/// The folder in which these packages lie unpacked, fetched once.
fn unpacked(packages: &Packages, version: &str) -> PathBuf {
    let first = packages.names.first().expect("a package");
    let store = crate::containers::target().join("packages");
    let folder = store.join(format!("{first}-{}", version.replace(':', "%3a")));
    if folder.exists() {
        return folder;
    }
    fs::create_dir_all(&store).expect("a folder");
    let making = tempfile::tempdir_in(&store).expect("a folder");
    for name in packages.names {
        told(
            Command::new("apt-get")
                .args(["download", "-q", "-o", "APT::Sandbox::User=root"])
                .arg(format!("{name}={version}"))
                .current_dir(making.path()),
        );
    }
    let root = making.path().join("root");
    for entry in fs::read_dir(making.path()).expect("a folder").flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "deb") {
            told(Command::new("dpkg-deb").arg("-x").arg(entry.path()).arg(&root));
        }
    }
    // Another test may have been faster; then its folder stays.
    if let Err(error) = fs::rename(&root, &folder) {
        assert!(folder.exists(), "{}: {error}", folder.display());
    }
    folder
}

fn told(command: &mut Command) -> String {
    let said = command.stdin(Stdio::null()).output().expect("a program of Debian");
    assert!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}
