//! A container engine for one test: a Podman of its own in namespaces of its own (network, processes, mounts), so that
//! nothing of this computer is touched and everything is gone with the test, also when it is killed.
//!
//! A test calls [`Ground::enter`] first. Outside it starts itself again inside, and returns `None` when that has ended well;
//! inside it goes on. Images are built once from Debian's packages and kept in the target folder; no registry is asked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Says that we are inside, and where the folder of the test is.
const INSIDE: &str = "CLUSTERDECK_TEST_CONTAINERS";
/// Where images are kept.
const STORE: &str = "CLUSTERDECK_TEST_IMAGES";
/// Where the provider looks for engines.
const ENGINES: &str = "CLUSTERDECK_CONTAINER_ENGINES";
/// Building images downloads some hundred megabytes.
const BUILDS_WITHIN: Duration = Duration::from_secs(1200);

/// A root file system and the images that are made of it.
struct Rootfs {
    name: &'static str,
    suite: &'static str,
    /// A line for apt, beside that of the suite.
    also: Option<&'static str>,
    packages: &'static str,
    images: &'static [&'static str],
}

/// Debian 13 is the nearest thing to the makers' images that can be had without a registry.
const MEMORY: Rootfs = Rootfs {
    name: "memory",
    suite: "trixie",
    also: None,
    packages: "redis-server,valkey-server,haproxy",
    images: &["docker.io/library/redis:8.0", "docker.io/valkey/valkey:8.1", "docker.io/library/haproxy:3.0"],
};
/// What nobody's public image holds together: somebody's own, as the settings would name it.
const RELATIONAL: Rootfs = Rootfs {
    name: "relational",
    suite: "trixie",
    also: None,
    packages: "postgresql-17,postgresql-17-timescaledb,patroni,etcd-server,python3-psycopg2,python3-etcd,procps",
    images: &[POSTGRES],
};
/// PostgreSQL 17 with TimescaleDB, Patroni and etcd; there only after [`Ground::enter_with_postgres`].
pub const POSTGRES: &str = "clusterdeck.test/postgres-patroni:17";
/// Oracle's server is in Debian's unstable suite only. Its client keeps `perl`, which answers role checks, company.
const ORACLE: Rootfs = Rootfs {
    name: "mysql",
    suite: "sid",
    also: None,
    packages: "mysql-server,mysql-client,perl,procps",
    images: &["docker.io/library/mysql:9.7"],
};
/// MariaDB is the MySQL of a Debian.
const MARIADB: Rootfs = Rootfs {
    name: "mariadb",
    suite: "trixie",
    also: None,
    packages: "mariadb-server,mariadb-backup,galera-4,rsync,perl,socat,procps",
    images: &["docker.io/library/mariadb:11.8"],
};
/// A newer minor version of the Redis in [`MEMORY`], from the suite that moves every day.
const NEWER: Rootfs =
    Rootfs { name: "newer", suite: "sid", also: None, packages: "redis-server", images: &[NEWER_REDIS] };
/// An older Valkey than the one in [`MEMORY`], of the same major version and another line.
const OLDER: Rootfs = Rootfs {
    name: "older",
    suite: "bookworm",
    also: Some("deb http://deb.debian.org/debian bookworm-backports main"),
    packages: "valkey-server",
    images: &["docker.io/valkey/valkey:8.0"],
};
/// Redis of a newer minor version than `redis:8.0`; there only after [`Ground::enter_with_newer`].
pub const NEWER_REDIS: &str = "clusterdeck.test/redis-newer:8";
/// Where [`Ground::registry`] listens, in the network of its test.
pub const REGISTRY: &str = "127.0.0.1:5000";
/// A registry that is nowhere, and that Podman asks the one at [`REGISTRY`] for.
pub const MIRRORED: &str = "mirrored.invalid";
/// `secret` as a registry keeps it.
const SECRET: &str = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";
const MIRROR: &str = "http://deb.debian.org/debian";
const LEFT_OUT: [&str; 3] = ["man", "doc", "locale"];

/// Runs as the first process inside: a network with loopback, an engine, then the test.
const INSIDE_SCRIPT: &str = r#"
set -e
dir="$1"; shift
mount -t tmpfs tmpfs /run
ip link set lo up
here=$(pwd)
# Watchers of containers write into the folder they are started from.
cd "$dir"
case "$CLUSTERDECK_TEST_ENGINE" in
docker)
  dockerd --data-root "$dir/graph" --exec-root "$dir/run" --pidfile "$dir/dockerd.pid" -H "unix://$dir/engine.sock" \
    > "$dir/engine.log" 2>&1 &
  ;;
rootless)
  # A user with ranges of ids, a run-time folder and a device for tunnels, none of which anybody outside sees.
  id=4242
  user=/run/user/$id
  mkdir -p "$dir/etc" "$dir/user" "$user"
  for file in passwd group subuid subgid; do cp "/etc/$file" "$dir/etc/$file" 2>/dev/null || touch "/etc/$file"; done
  echo "cdtest:x:$id:$id::$dir/user:/bin/sh" >> "$dir/etc/passwd"
  echo "cdtest:x:$id:" >> "$dir/etc/group"
  for file in subuid subgid; do echo "cdtest:100000:65536" >> "$dir/etc/$file"; done
  for file in passwd group subuid subgid; do mount --bind "$dir/etc/$file" "/etc/$file"; done
  mount -t tmpfs tmpfs /dev/net
  mknod -m 666 /dev/net/tun c 10 200
  chown -R "$id:$id" "$dir" "$user"
  HOME="$dir/user" XDG_RUNTIME_DIR="$user" setpriv --reuid "$id" --regid "$id" --init-groups \
    env -u DOCKER_CONFIG podman system service --time=0 "unix://$dir/engine.sock" > "$dir/engine.log" 2>&1 &
  ;;
*)
  # Who signed in at registries is for the program under test to tell it.
  env -u DOCKER_CONFIG podman system service --time=0 "unix://$dir/engine.sock" > "$dir/engine.log" 2>&1 &
  ;;
esac
cd "$here"
exec "$@"
"#;
/// Which engine: `docker`, `rootless` for a Podman of a user who is not root, or Podman. Docker needs its package, which brings
/// a service of its own, so it is for those who ask: `CLUSTERDECK_TEST_ENGINE=docker cargo nextest run -p
/// clusterdeck-providers --test container`.
const ENGINE: &str = "CLUSTERDECK_TEST_ENGINE";

/// See [`ENGINE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Podman,
    Rootless,
    Docker,
}

impl Kind {
    fn asked_for() -> Self {
        match std::env::var(ENGINE).as_deref() {
            Ok("docker") => Self::Docker,
            Ok("rootless") => Self::Rootless,
            _ => Self::Podman,
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Rootless => "rootless",
            Self::Docker => "docker",
        }
    }
    /// What must be installed.
    const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Rootless => {
                &["podman", "unshare", "catatonit", "netavark", "mmdebstrap", "slirp4netns", "newuidmap"]
            }
            _ => &["podman", "unshare", "catatonit", "netavark", "iptables", "mmdebstrap"],
        }
    }
}

/// See the module.
pub struct Ground {
    dir: PathBuf,
    kind: Kind,
    registries: Mutex<Vec<Child>>,
}

impl Ground {
    /// Goes inside. `None`: outside, and all is done; the test returns.
    ///
    /// # Panics
    /// When the test fails inside, or when what it needs is not installed.
    #[must_use]
    pub fn enter() -> Option<Self> {
        Self::enter_with(&[MEMORY])
    }

    /// The same with [`POSTGRES`], which takes two more minutes to build, once.
    ///
    /// # Panics
    /// As [`Ground::enter`].
    #[must_use]
    pub fn enter_with_postgres() -> Option<Self> {
        Self::enter_with(&[MEMORY, RELATIONAL])
    }

    /// The same with MySQL 9.7, which takes about a minute to build, once.
    ///
    /// # Panics
    /// As [`Ground::enter`].
    #[must_use]
    pub fn enter_with_mysql() -> Option<Self> {
        Self::enter_with(&[MEMORY, ORACLE])
    }

    /// The same with MariaDB 11.8, which takes about a minute to build, once.
    ///
    /// # Panics
    /// As [`Ground::enter`].
    #[must_use]
    pub fn enter_with_mariadb() -> Option<Self> {
        Self::enter_with(&[MEMORY, MARIADB])
    }

    /// The same with [`NEWER_REDIS`], which takes about a minute to build, once.
    ///
    /// # Panics
    /// As [`Ground::enter`].
    #[must_use]
    pub fn enter_with_newer() -> Option<Self> {
        Self::enter_with(&[MEMORY, NEWER])
    }

    /// The same with Valkey 8.0 beside 8.1, which takes about a minute to build, once.
    ///
    /// # Panics
    /// As [`Ground::enter`].
    #[must_use]
    pub fn enter_with_older() -> Option<Self> {
        Self::enter_with(&[MEMORY, OLDER])
    }

    /// The same for a program that is no test: outside it starts itself again inside with these arguments.
    ///
    /// # Panics
    /// As [`Ground::enter`].
    #[must_use]
    pub fn enter_program_with_mysql(args: &[&str]) -> Option<Self> {
        Self::enter_again(Kind::asked_for(), &[MEMORY, ORACLE], args)
    }

    /// As [`Ground::enter`], with a Podman of a user who is not root: the addresses of its containers lead nowhere from here.
    ///
    /// # Panics
    /// As [`Ground::enter`].
    #[must_use]
    pub fn enter_without_root() -> Option<Self> {
        Self::enter_on(Kind::Rootless, &[MEMORY])
    }

    fn enter_with(roots: &[Rootfs]) -> Option<Self> {
        Self::enter_on(Kind::asked_for(), roots)
    }

    fn enter_on(kind: Kind, roots: &[Rootfs]) -> Option<Self> {
        let test = std::thread::current().name().expect("a test's thread has its name").to_owned();
        Self::enter_again(kind, roots, &["--exact", &test, "--nocapture"])
    }

    fn enter_again(kind: Kind, roots: &[Rootfs], args: &[&str]) -> Option<Self> {
        if let Some(dir) = std::env::var_os(INSIDE) {
            let ground = Self { dir: dir.into(), kind, registries: Mutex::default() };
            ground.wait_for_engine();
            ground.load_images(roots);
            return Some(ground);
        }
        for program in kind.programs() {
            let found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/lib/podman"]
                .iter()
                .any(|dir| Path::new(dir).join(program).exists());
            assert!(found, "{program} is not installed; `cargo xtask setup` installs it");
        }
        let store = store();
        ensure_images(&store, roots);
        let dir = tempfile::Builder::new().prefix("cd-c-").tempdir().expect("a folder");
        configure(dir.path(), (kind != Kind::Rootless).then_some(&*store));
        let inside = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            // Reaps what nobody waits for: engines leave their watchers to the first process.
            .args(["catatonit", "--", "sh", "-c", INSIDE_SCRIPT, "sh"])
            .arg(dir.path())
            .arg(std::env::current_exe().expect("a program"))
            .args(args)
            .envs(variables(dir.path()))
            .env(INSIDE, dir.path())
            .env(STORE, &store)
            // How the person at this computer signed in at registries is nothing to a test.
            .env("DOCKER_CONFIG", dir.path().join("docker"))
            .env(ENGINE, kind.name())
            .env(ENGINES, format!("unix://{}/engine.sock", dir.path().display()))
            .stdin(Stdio::null())
            .status()
            .expect("unshare starts");
        if !inside.success() {
            let log = fs::read_to_string(dir.path().join("engine.log")).unwrap_or_default();
            let from = log.len().saturating_sub(4000);
            panic!("{args:?} failed inside; the engine's log ends:\n{}", log.get(from..).unwrap_or_default());
        }
        None
    }

    fn wait_for_engine(&self) {
        let socket = self.dir.join("engine.sock");
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the engine must start: {}",
                self.engine_log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the engine wrote.
    pub fn engine_log(&self) -> String {
        fs::read_to_string(self.dir.join("engine.log")).unwrap_or_default()
    }

    /// The folder of this test.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Docker has no store that others can read from, and the one that is there belongs to root.
    fn load_images(&self, roots: &[Rootfs]) {
        let built = PathBuf::from(std::env::var_os(STORE).expect("where images are"));
        for root in roots.iter().filter(|_| self.kind != Kind::Podman) {
            let (first, rest) = root.images.split_first().expect("an image");
            self.podman(&["import", &built.join(format!("{}.tar", root.name)).to_string_lossy(), first]);
            for image in rest {
                self.podman(&["tag", first, image]);
            }
        }
    }

    /// What the engine's own client says to these arguments; a look that does not go through the code under test.
    ///
    /// # Panics
    /// When it refuses.
    pub fn podman(&self, args: &[&str]) -> String {
        let said = self.client(args).output().expect("a client starts");
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success(), "podman {args:?}: {out}{err}");
        out.trim().to_owned()
    }

    fn client(&self, args: &[&str]) -> Command {
        let socket = format!("unix://{}/engine.sock", self.dir.display());
        let mut client = Command::new(if self.kind == Kind::Docker { "docker" } else { "podman" });
        client.env("DOCKER_HOST", &socket);
        if self.kind == Kind::Rootless {
            client.args(["--url", &socket]);
        }
        client.args(args);
        client
    }

    /// Writes the last lines of every container's log to standard error, for a test that has failed.
    pub fn tell_logs(&self) {
        for name in self.podman(&["ps", "-a", "--format", "{{.Names}}"]).lines() {
            let said = self.client(&["logs", "--tail", "80", name]).output();
            let Ok(said) = said else { continue };
            let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
            eprintln!("--- {name}\n{out}{err}");
        }
    }

    /// Starts a registry of images at [`REGISTRY`] that holds `image` under the name that is given back.
    ///
    /// # Panics
    /// When it does not start.
    pub fn registry(&self, image: &str) -> String {
        self.serve_registry("");
        self.push(image, &[])
    }

    /// The same for a registry that asks for the name `me` and the password `secret`. Signing in is noting both in
    /// `config.json` of the folder `docker` in the folder of the test.
    ///
    /// # Panics
    /// When it does not start.
    pub fn registry_with_password(&self, image: &str) -> String {
        let passwords = self.dir.join("passwords");
        fs::write(&passwords, format!("me:{SECRET}\n")).expect("a file");
        self.serve_registry(&format!(
            "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            passwords.display()
        ));
        self.push(image, &["--creds", "me:secret"])
    }

    fn serve_registry(&self, auth: &str) {
        let config = self.dir.join("registry.yml");
        let data = self.dir.join("registry").display().to_string();
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {data}\nhttp:\n  addr: {REGISTRY}\n{auth}"
        );
        fs::write(&config, text).expect("a file");
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`cargo xtask setup` installs docker-registry");
        self.registries.lock().unwrap_or_else(PoisonError::into_inner).push(started);
        let begun = Instant::now();
        while std::net::TcpStream::connect(REGISTRY).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the registry must start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn push(&self, image: &str, with: &[&str]) -> String {
        let name = format!("{REGISTRY}/{}", image.rsplit('/').next().unwrap_or(image));
        self.podman(&["tag", image, &name]);
        self.podman(&[&["push"], with, &[&name]].concat());
        self.podman(&["rmi", &name]);
        name
    }

    /// Every container, volume and network there is, the engine's own network apart.
    pub fn everything(&self) -> Vec<String> {
        let list = |args: &[&str], kind: &str| -> Vec<String> {
            let said = self.podman(args);
            said.lines().filter(|l| !l.is_empty()).map(|l| format!("{kind} {l}")).collect()
        };
        let mut all = list(&["ps", "-a", "--format", "{{.Names}}"], "container");
        all.extend(list(&["volume", "ls", "--format", "{{.Name}}"], "volume"));
        let networks = list(&["network", "ls", "--format", "{{.Name}}"], "network");
        let own = ["network podman", "network bridge", "network host", "network none"];
        all.extend(networks.into_iter().filter(|n| !own.contains(&n.as_str())));
        all
    }
}

/// Where images are kept: the target folder that this test was built into.
fn store() -> PathBuf {
    target().join("containers")
}

/// The folder that this program was built into.
pub(crate) fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a program");
    let target = program.ancestors().find(|p| p.join("CACHEDIR.TAG").exists());
    target.expect("tests are built into a target folder").to_owned()
}

fn variables(dir: &Path) -> [(&'static str, PathBuf); 3] {
    [
        ("CONTAINERS_CONF", dir.join("containers.conf")),
        ("CONTAINERS_STORAGE_CONF", dir.join("storage.conf")),
        ("CONTAINERS_REGISTRIES_CONF", dir.join("registries.conf")),
    ]
}

/// Writes an engine's configuration. `runc` and `cgroupfs`, because `crun` refuses cgroups of both versions side by side,
/// and there may be no systemd. The images in `store` are read where they are.
fn configure(dir: &Path, store: Option<&Path>) {
    let write = |name: &str, text: String| fs::write(dir.join(name), text).expect("a file");
    fs::create_dir_all(dir.join("docker")).expect("a folder");
    let dir = dir.display();
    write(
        "containers.conf",
        format!(
            "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             tmp_dir = \"{dir}/tmp\"\nvolume_path = \"{dir}/volumes\"\n\
             [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{dir}/networks\"\n"
        ),
    );
    write("docker/config.json", "{}".to_owned());
    let own = format!("location = \"{REGISTRY}\"\ninsecure = true\n");
    let mirrored = format!("[[registry]]\nlocation = \"{MIRRORED}\"\n[[registry.mirror]]\n{own}");
    write("registries.conf", format!("[[registry]]\n{own}{mirrored}"));
    let also = store.map(|store| {
        format!("[storage.options]\nadditionalimagestores = [\"{}/images\"]\n", store.display())
    });
    write(
        "storage.conf",
        format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{dir}/graph\"\nrunroot = \"{dir}/run\"\n{}",
            also.unwrap_or_default()
        ),
    );
}

/// Builds what is not there. A file tells what was built; a list that changed is built anew.
fn ensure_images(store: &Path, roots: &[Rootfs]) {
    fs::create_dir_all(store).expect("a folder");
    let lock = fs::File::create(store.join("lock")).expect("a lock");
    lock.lock().expect("a lock");
    let own = store.join("build");
    fs::create_dir_all(&own).expect("a folder");
    configure(&own, Some(store));
    let images = "[storage]\ndriver = \"overlay\"\n";
    let text =
        format!("{images}graphroot = \"{s}/images\"\nrunroot = \"{s}/images-run\"\n", s = store.display());
    fs::write(own.join("storage.conf"), text).expect("a file");
    for root in roots {
        let stamp = store.join(format!("{}.built", root.name));
        let wanted = format!("{} {} {}", root.suite, root.packages, root.images.join(" "));
        if fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
            continue;
        }
        let begun = Instant::now();
        eprintln!("building {} from Debian's packages, once", root.images.join(", "));
        let tar = store.join(format!("{}.tar", root.name));
        let mut build = Command::new("mmdebstrap");
        build.arg("--variant=minbase").arg(format!("--include={}", root.packages));
        for folder in LEFT_OUT {
            build.arg(format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
        }
        // The lists of a suite that moves every day are older than their own word allows, where the mirror is a copy of a day.
        // Signatures are looked at all the same.
        build.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
        run(build.arg(root.suite).arg(&tar).arg(MIRROR).args(root.also));
        let podman = |args: &[&str]| run(Command::new("podman").envs(variables(&own)).args(args));
        let (first, rest) = root.images.split_first().expect("an image");
        podman(&["import", "--quiet", &tar.to_string_lossy(), first]);
        for image in rest {
            podman(&["tag", first, image]);
        }
        fs::write(&stamp, wanted).expect("a file");
        eprintln!("built in {:.0} s", begun.elapsed().as_secs_f64());
    }
}

fn run(command: &mut Command) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it starts");
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            assert!(status.success(), "{command:?}: {status}");
            return;
        }
        if begun.elapsed() > BUILDS_WITHIN {
            drop(child.kill());
            panic!("{command:?} takes too long");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for registry in self.registries.get_mut().unwrap_or_else(PoisonError::into_inner) {
            drop(registry.kill().and_then(|()| registry.wait()));
        }
        // Takes the groups of processes away that the kernel keeps for containers; the rest goes with the namespaces.
        let socket = format!("unix://{}/engine.sock", self.dir.display());
        let text = match self.kind {
            Kind::Docker => "docker ps -aq | xargs -r docker rm -f",
            Kind::Podman => "podman rm -af -t 0",
            Kind::Rootless => "podman --url \"$DOCKER_HOST\" rm -af -t 0",
        };
        drop(Command::new("sh").args(["-c", text]).env("DOCKER_HOST", socket).stdout(Stdio::null()).status());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Rootfs] = &[MEMORY, RELATIONAL, ORACLE, MARIADB, NEWER, OLDER];

    /// `cargo xtask test` runs this before all others, so that no test's own limit holds the minutes it takes.
    #[test]
    fn every_image_that_tests_need_is_built() {
        ensure_images(&store(), ALL);
        for root in ALL {
            assert!(store().join(format!("{}.built", root.name)).exists(), "{}", root.name);
        }
    }
}
