//! The list: each package with its reason.

use super::Purpose;
use crate::host;

/// Something this computer must have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    /// Its name for apt.
    pub apt: &'static str,
    /// What for.
    pub reason: &'static str,
    /// How to see that it is there where no package database can be asked.
    pub sign: Sign,
    /// Nothing works without it.
    pub required: bool,
    /// The package starts a server of its own.
    pub starts_itself: bool,
    /// In Debian 12 it comes from backports.
    pub backports: bool,
}

/// A sign that something is installed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sign {
    /// A program on the path.
    Program(&'static str),
    /// A library that pkg-config knows.
    Library(&'static str),
    /// Nothing cheap to look for.
    Nothing,
}

impl Want {
    /// Whether its sign is there. What has no sign counts as there: the build will say.
    pub(crate) fn found_without_package_database(&self) -> bool {
        match self.sign {
            Sign::Program(name) => host::has(name),
            Sign::Library(name) => host::said(&mut host::program("pkg-config", ["--exists", name])).is_some(),
            Sign::Nothing => true,
        }
    }
}

const fn want(apt: &'static str, sign: Sign, reason: &'static str) -> Want {
    Want { apt, reason, sign, required: true, starts_itself: false, backports: false }
}

const fn server(apt: &'static str, program: &'static str, reason: &'static str) -> Want {
    Want { starts_itself: true, ..want(apt, Sign::Program(program), reason) }
}

const BUILD: [Want; 4] = [
    want("build-essential", Sign::Program("cc"), "linker, and the C of SQLite and ring"),
    want("pkg-config", Sign::Program("pkg-config"), "finds the system's libraries"),
    want("libwebkit2gtk-4.1-dev", Sign::Library("webkit2gtk-4.1"), "the window's web view"),
    want(
        "libayatana-appindicator3-dev",
        Sign::Library("ayatana-appindicator3-0.1"),
        "the tray icon, and packaging",
    ),
];

const SERVERS: [Want; 14] = [
    server("redis-server", "redis-server", "Redis clusters"),
    server("redis-sentinel", "redis-sentinel", "their automatic failover"),
    want(
        "redis-tools",
        Sign::Program("redis-cli"),
        "redis-cli for you, and redis-benchmark for measurements",
    ),
    server("haproxy", "haproxy", "the stable address in front of a cluster"),
    Want { required: false, backports: true, ..server("valkey-server", "valkey-server", "Valkey clusters") },
    server("postgresql", "pg_ctlcluster", "PostgreSQL clusters"),
    server("patroni", "patroni", "the same: runs their servers"),
    want("python3-psycopg2", Sign::Nothing, "the same: what Patroni speaks to them with"),
    server("etcd-server", "etcd", "the same: where their nodes agree"),
    server("mariadb-server", "mariadbd", "MariaDB clusters, as MySQL's family"),
    want("galera-4", Sign::Nothing, "the same: where its members agree"),
    want("mariadb-backup", Sign::Program("mariadb-backup"), "the same: copies a running server"),
    want("rsync", Sign::Program("rsync"), "the same: copies a member"),
    Want { required: false, ..want("borgbackup", Sign::Program("borg"), "backups in Borg repositories") },
];

const TESTS: [Want; 29] = [
    want(
        "runc",
        Sign::Program("runc"),
        "starts containers; before podman, which else brings one that refuses mixed cgroups",
    ),
    want("podman", Sign::Program("podman"), "clusters in containers"),
    want("netavark", Sign::Nothing, "their networks"),
    want("iptables", Sign::Program("iptables"), "the same"),
    want("nftables", Sign::Program("nft"), "nodes' ports in networks of containers are held to a list"),
    want("iproute2", Sign::Program("ip"), "tests with another computer beside this one"),
    want("catatonit", Sign::Program("catatonit"), "the first process in each container"),
    want("slirp4netns", Sign::Program("slirp4netns"), "containers of a user who is not root: their network"),
    want("uidmap", Sign::Program("newuidmap"), "the same: their users"),
    server("docker-registry", "docker-registry", "where images are fetched from in tests"),
    want(
        "mmdebstrap",
        Sign::Program("mmdebstrap"),
        "images from Debian's packages, since no registry is asked in tests",
    ),
    want("webkit2gtk-driver", Sign::Program("WebKitWebDriver"), "drives the real window in tests"),
    want("xvfb", Sign::Program("Xvfb"), "a screen for tests where there is none"),
    want("xauth", Sign::Program("xauth"), "the same"),
    want("dbus", Sign::Program("dbus-run-session"), "a session bus for tests"),
    want("gnome-keyring", Sign::Program("gnome-keyring-daemon"), "a real keyring for tests"),
    want("libsecret-tools", Sign::Program("secret-tool"), "looks into that keyring as another program does"),
    want("fonts-dejavu-core", Sign::Nothing, "letters on the test screen"),
    want("age", Sign::Program("age"), "opens what we sealed, as anybody with the key would"),
    want("zstd", Sign::Program("zstd"), "the same: unpacks it"),
    server("openssh-server", "sshd", "a Borg repository on another computer, which is this one"),
    server("radosgw", "radosgw", "a real S3-compatible store for backups"),
    server("ceph-mon", "ceph-mon", "the same: its monitor"),
    server("ceph-mgr", "ceph-mgr", "the same: what looks after it"),
    server("ceph-osd", "ceph-osd", "the same: its disk"),
    want("curl", Sign::Program("curl"), "the same: makes a bucket in it"),
    want("openssl", Sign::Program("openssl"), "a certificate of a server outside of clusters"),
    want("chromium", Sign::Program("chromium"), "browser tests"),
    want("chromium-driver", Sign::Program("chromedriver"), "browser tests"),
];

/// What the purpose needs.
pub(crate) fn wanted(purpose: Purpose) -> Vec<Want> {
    let mut all: Vec<Want> = BUILD.into_iter().chain(SERVERS).collect();
    if purpose == Purpose::Everything {
        all.extend(TESTS);
    }
    all
}

/// Commands for Linux systems without apt: their tool, and what to type.
pub(crate) const OTHER_LINUX: [(&str, &str); 3] = [
    (
        "dnf",
        "sudo dnf install gcc pkgconf webkit2gtk4.1-devel libayatana-appindicator-gtk3-devel redis valkey haproxy \
         xorg-x11-server-Xvfb dbus-daemon gnome-keyring chromium chromedriver",
    ),
    (
        "pacman",
        "sudo pacman -S --needed base-devel webkit2gtk-4.1 libayatana-appindicator valkey haproxy \
         xorg-server-xvfb dbus gnome-keyring chromium",
    ),
    (
        "zypper",
        "sudo zypper install gcc pkgconf webkit2gtk3-devel libayatana-appindicator3-devel redis haproxy \
         xorg-x11-server-Xvfb gnome-keyring chromium chromedriver",
    ),
];

/// What to install where there is no Linux.
pub(crate) const fn elsewhere() -> &'static str {
    if cfg!(target_os = "macos") {
        "On macOS: `xcode-select --install` once, then `brew install redis valkey haproxy` for the servers."
    } else {
        "On Windows the window and team servers work; local clusters need Linux or macOS (or WSL 2)."
    }
}
