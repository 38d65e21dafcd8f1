//! The exact command that installs a program here, where there is one. Told to people, never run by us.

use std::{fs, path::Path};

/// What installs software on this system.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// Debian (with its code name) and what derives from it.
    Apt {
        debian: Option<String>,
        backports: bool,
    },
    Dnf,
    Pacman,
    Zypper,
    Apk,
    Brew,
    /// Nothing we know.
    Unknown,
}

/// How to install software on this system.
#[derive(Debug, Clone)]
pub(super) struct Installer {
    source: Source,
    root: bool,
}

/// Names of packages: program, then Debian, Fedora and relatives, Arch, SUSE, Alpine, Homebrew. Empty: not packaged there
/// (Debian's looked up in November 2026; the others from memory, unverified).
const PACKAGES: &[(&str, [&str; 6])] = &[
    ("redis-server", ["redis-server", "redis", "", "redis", "redis", "redis"]),
    ("redis-cli", ["redis-tools", "redis", "", "redis", "redis", "redis"]),
    ("valkey-server", ["valkey-server", "valkey", "valkey", "valkey", "valkey", "valkey"]),
    ("valkey-cli", ["valkey-tools", "valkey", "valkey", "valkey", "valkey-cli", "valkey"]),
    ("haproxy", ["haproxy", "haproxy", "haproxy", "haproxy", "haproxy", "haproxy"]),
    ("keydb-server", ["", "", "", "", "", ""]),
    (
        "postgres",
        ["postgresql", "postgresql-server", "postgresql", "postgresql-server", "postgresql", "postgresql"],
    ),
    ("patroni", ["patroni", "patroni-etcd", "", "", "", ""]),
    ("podman", ["podman", "podman", "podman", "podman", "podman", "podman"]),
    ("etcd", ["etcd-server", "etcd", "", "etcd", "etcd", "etcd"]),
    ("mariadbd", ["mariadb-server", "mariadb-server", "mariadb", "mariadb", "mariadb", "mariadb"]),
    (
        "mariadb-backup",
        ["mariadb-backup", "mariadb-backup", "mariadb", "mariadb", "mariadb-backup", "mariadb"],
    ),
    ("socat", ["socat", "socat", "socat", "socat", "socat", "socat"]),
    ("rsync", ["rsync", "rsync", "rsync", "rsync", "rsync", "rsync"]),
    ("perl", ["perl", "perl", "perl", "perl", "perl", "perl"]),
];

/// A package by Debian's release.
type OfDebian = &'static [(&'static str, &'static str)];

/// Packages of extensions: name, then Debian's by release (looked up in November 2026: those before have none), then Fedora
/// and relatives, Arch, SUSE, Alpine, Homebrew as above.
const EXTENSIONS: &[(&str, OfDebian, [&str; 5])] = &[(
    "timescaledb",
    &[("trixie", "postgresql-17-timescaledb"), ("sid", "postgresql-18-timescaledb")],
    ["timescaledb", "timescaledb", "", "postgresql-timescaledb", "timescale/tap/timescaledb"],
)];

/// Programs that Debian 12 has in its backports only.
const BACKPORTS: [&str; 2] = ["valkey-server", "valkey-cli"];

impl Installer {
    /// Looks at the system we run on.
    pub(super) fn of_this_system() -> Self {
        let root = rustix::process::geteuid().is_root();
        if cfg!(target_os = "macos") {
            return Self { source: Source::Brew, root };
        }
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self { source: source_of(&release, backports_are_on(Path::new("/etc/apt"))), root }
    }

    /// The command, when there is one.
    pub(super) fn command(&self, program: &str) -> Option<String> {
        let column = match self.source {
            Source::Apt { .. } => 0,
            Source::Dnf => 1,
            Source::Pacman => 2,
            Source::Zypper => 3,
            Source::Apk => 4,
            Source::Brew => 5,
            Source::Unknown => return None,
        };
        let package = PACKAGES.iter().find(|(name, _)| *name == program)?.1[column];
        if package.is_empty() {
            return None;
        }
        let sudo = self.sudo();
        if let Source::Apt { debian: Some(release), backports } = &self.source
            && release == "bookworm"
            && BACKPORTS.contains(&program)
        {
            let install = format!("{sudo}apt-get install -y -t bookworm-backports {package}");
            return Some(if *backports {
                install
            } else {
                format!(
                    "echo 'deb http://deb.debian.org/debian bookworm-backports main' | {sudo}tee \
                     /etc/apt/sources.list.d/bookworm-backports.list && {sudo}apt-get update && {install}"
                )
            });
        }
        self.package(package)
    }

    /// The command that installs an extension, when there is a package of it.
    pub(super) fn extension(&self, name: &str) -> Option<String> {
        let (_, debian, others) = EXTENSIONS.iter().find(|(known, ..)| *known == name)?;
        let package = match &self.source {
            Source::Apt { debian: release, .. } => {
                debian.iter().find(|(of, _)| Some(*of) == release.as_deref())?.1
            }
            Source::Dnf => others[0],
            Source::Pacman => others[1],
            Source::Zypper => others[2],
            Source::Apk => others[3],
            Source::Brew => others[4],
            Source::Unknown => "",
        };
        if package.is_empty() { None } else { self.package(package) }
    }

    const fn sudo(&self) -> &'static str {
        if self.root { "" } else { "sudo " }
    }

    fn package(&self, package: &str) -> Option<String> {
        let sudo = self.sudo();
        Some(match &self.source {
            Source::Apt { .. } => format!("{sudo}apt-get install -y {package}"),
            Source::Dnf => format!("{sudo}dnf install -y {package}"),
            Source::Pacman => format!("{sudo}pacman -S --noconfirm {package}"),
            Source::Zypper => format!("{sudo}zypper install -y {package}"),
            Source::Apk => format!("{sudo}apk add {package}"),
            // Homebrew refuses to run as root.
            Source::Brew => format!("brew install {package}"),
            Source::Unknown => return None,
        })
    }
}

/// Reads `/etc/os-release`: the system itself, then what it is like.
fn source_of(release: &str, backports: bool) -> Source {
    let value = |key: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|v| v.trim().trim_matches(['"', '\'']).to_owned())
    };
    let id = value("ID").unwrap_or_default();
    let like = value("ID_LIKE").unwrap_or_default();
    for one in std::iter::once(id.as_str()).chain(like.split_whitespace()) {
        return match one {
            "debian" | "ubuntu" => {
                let debian = value("VERSION_CODENAME").filter(|_| id == "debian");
                Source::Apt { debian, backports }
            }
            "fedora" | "rhel" | "centos" => Source::Dnf,
            "arch" => Source::Pacman,
            "suse" | "opensuse" => Source::Zypper,
            "alpine" => Source::Apk,
            _ => continue,
        };
    }
    Source::Unknown
}

fn backports_are_on(apt: &Path) -> bool {
    let listed = fs::read_dir(apt.join("sources.list.d")).into_iter().flatten().flatten().map(|e| e.path());
    std::iter::once(apt.join("sources.list")).chain(listed).any(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("bookworm-backports"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_CODENAME=bookworm\nID=debian\n";

    fn command(release: &str, backports: bool, root: bool, program: &str) -> Option<String> {
        Installer { source: source_of(release, backports), root }.command(program)
    }

    #[test]
    fn debian_gets_apt_with_sudo_unless_root() {
        let redis = |root| command(BOOKWORM, false, root, "redis-server").unwrap();
        assert_eq!(redis(false), "sudo apt-get install -y redis-server");
        assert_eq!(redis(true), "apt-get install -y redis-server");
    }

    #[test]
    fn valkey_on_bookworm_comes_from_backports_which_are_switched_on_first() {
        let install = "sudo apt-get install -y -t bookworm-backports valkey-server";
        assert_eq!(command(BOOKWORM, true, false, "valkey-server").unwrap(), install);
        let with_source = command(BOOKWORM, false, false, "valkey-server").unwrap();
        assert!(with_source.starts_with("echo 'deb ") && with_source.ends_with(install), "{with_source}");
        let trixie = BOOKWORM.replace("bookworm", "trixie");
        assert_eq!(
            command(&trixie, false, true, "valkey-server").unwrap(),
            "apt-get install -y valkey-server"
        );
    }

    #[test]
    fn relatives_are_recognised_by_what_they_are_like() {
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=virginia\n";
        assert_eq!(command(mint, false, false, "haproxy").unwrap(), "sudo apt-get install -y haproxy");
        let rocky = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
        assert_eq!(command(rocky, false, false, "valkey-server").unwrap(), "sudo dnf install -y valkey");
    }

    #[test]
    fn an_extension_has_a_command_only_where_its_package_is() {
        let extension =
            |release: &str, name| Installer { source: source_of(release, false), root: true }.extension(name);
        let trixie = BOOKWORM.replace("bookworm", "trixie");
        let install = "apt-get install -y postgresql-17-timescaledb";
        assert_eq!(extension(&trixie, "timescaledb").as_deref(), Some(install));
        assert_eq!(extension(BOOKWORM, "timescaledb"), None, "Debian 12 has none");
        assert_eq!(extension("ID=ubuntu\n", "timescaledb"), None);
        assert_eq!(extension(&trixie, "columnar"), None, "nobody packages it");
    }

    #[test]
    fn what_nobody_packages_has_no_command() {
        assert_eq!(command(BOOKWORM, true, false, "keydb-server"), None);
        assert_eq!(command("ID=plan9\n", true, false, "haproxy"), None);
        assert_eq!(command("ID=arch\n", true, false, "redis-server"), None, "Arch replaced it by valkey");
    }
}
