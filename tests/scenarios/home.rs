//! The program in a home of its own, run as a person or a script runs it.

use clusterdeck_engine::repository::StateRepository as _;
use clusterdeck_testkit::containers::{Ground, POSTGRES};
use clusterdeck_tests::places;
use serde_json::Value;
use std::{
    io::Read,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longer than any command takes on a busy machine; only a hang gets there.
pub(crate) const WORN: Duration = Duration::from_secs(180);
/// Longest wait for something to become true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at what tells nobody when it changes.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// A cluster with everything in it and as few processes as that takes: two data nodes and a witness.
pub(crate) const PAIR: [&str; 4] = ["--topology", "primary-replica", "--nodes", "2"];

/// A home, and what runs in it until the test ends.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    path: PathBuf,
    /// The engine of containers that its machines are on; `None` where they are folders of this computer.
    ground: Option<Ground>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn status(self, expected: i32) -> Self {
        assert_eq!(self.status, Some(expected), "{self}");
        self
    }
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("no JSON ({e}): {self}"))
    }
    /// Everything it said.
    pub(crate) fn said(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {:?}, signal {:?}\nout: {}\nerr: {}", self.status, self.signal, self.out, self.err)
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::in_folder(tempfile::Builder::new().prefix("cd-").tempdir().unwrap(), None)
    }
    fn inside(ground: Ground) -> Self {
        let folder = tempfile::Builder::new().prefix("home-").tempdir_in(ground.dir()).unwrap();
        Self::in_folder(folder, Some(ground))
    }
    /// One with an engine of containers. `None`: outside, and the test is done.
    pub(crate) fn in_containers() -> Option<Self> {
        Some(Self::inside(Ground::enter()?))
    }
    /// The same with an image of Oracle's MySQL.
    pub(crate) fn in_containers_with_mysql() -> Option<Self> {
        Some(Self::inside(Ground::enter_with_mysql()?))
    }
    /// The same with an image of PostgreSQL and TimescaleDB.
    pub(crate) fn in_containers_with_postgres() -> Option<Self> {
        let home = Self::inside(Ground::enter_with_postgres()?);
        home.run(&["doctor"]).status(0);
        // As a person names it in the settings of the window.
        let own = serde_json::json!({ "postgresql:17": POSTGRES, "timescaledb:2.19": POSTGRES });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let state = clusterdeck_store::State::open(&home.path).unwrap();
        let settings = serde_json::json!({ "images": { "own": own } });
        runtime.block_on(state.set_setting("settings", &settings)).unwrap();
        drop(state);
        Some(home)
    }
    fn in_folder(folder: tempfile::TempDir, ground: Option<Ground>) -> Self {
        let path = folder.path().join("home");
        let key = folder.path().join("key");
        std::fs::write(&key, "a key for tests that is long enough, 0123456789abcdef\n").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { folder, path, ground }
    }
    /// The home's folder; the program makes it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
    /// A folder beside the home, gone at the end of the test.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// A command for this home. Its environment is what a person's terminal has, without anything that chooses a place.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(places::program("clusterdeck").unwrap());
        command.args(words);
        command.env("CLUSTERDECK_HOME", &self.path).env("CLUSTERDECK_VAULT_KEY_FILE", self.beside("key"));
        for chosen in ["CLUSTERDECK_VAULT_KEY", "CLUSTERDECK_FAULT", "CLUSTERDECK_LOG", "XDG_RUNTIME_DIR"] {
            command.env_remove(chosen);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        finish(self.command(words).spawn().unwrap())
    }
    /// What a command answers in JSON.
    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str]) -> Value {
        self.run(&[&["--json"], words].concat()).status(0).json()
    }
    /// Makes a small Redis cluster `demo`.
    #[track_caller]
    pub(crate) fn create(&self, shape: &[&str]) -> Value {
        self.ask(&create(shape))
    }
    /// Makes a change and expects it to succeed. A cluster that settles (a replica that still catches up) refuses for a
    /// moment.
    #[track_caller]
    pub(crate) fn change(&self, words: &[&str]) -> Value {
        self.settled(words, |_| {}).status(0).json()
    }
    /// Runs a change, again while a settling cluster refuses it.
    pub(crate) fn settled(&self, words: &[&str], prepare: impl Fn(&mut Command)) -> Ended {
        let begun = Instant::now();
        loop {
            let mut command = self.command(&[&["--json"], words].concat());
            prepare(&mut command);
            let ended = finish(command.spawn().unwrap());
            if ended.status != Some(3) || begun.elapsed() > PATIENCE {
                return ended;
            }
            std::thread::sleep(LOOK);
        }
    }
    /// The cluster `demo`, when there is one.
    pub(crate) fn cluster(&self) -> Option<Value> {
        let listed = self.ask(&["cluster", "list"]);
        listed["items"].as_array().unwrap().first().cloned()
    }
    /// Waits until `demo` is as wanted, and returns it.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let cluster = self.ask(&["cluster", "show", "demo"]);
            if fits(&cluster) {
                return cluster;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {cluster:#}");
            std::thread::sleep(LOOK);
        }
    }
    #[track_caller]
    pub(crate) fn until_healthy(&self) -> Value {
        self.until("the cluster must be healthy", |c| c["health"] == "healthy" && c["state"] == "running")
    }
    /// An address with password, ready to connect.
    pub(crate) fn url(&self) -> String {
        let revealed = self.ask(&["cluster", "credentials", "demo", "--reveal"]);
        revealed["url"].as_str().unwrap().to_owned()
    }
    /// Servers that run in this home, with their command lines.
    pub(crate) fn servers(&self) -> Vec<(u32, String)> {
        if self.path.exists() { places::servers(&self.path).unwrap() } else { Vec::new() }
    }
    /// The process of a node's unit (`redis`, `sentinel`, `haproxy`), from the machine's own note.
    pub(crate) fn pid(&self, node: Option<&str>, unit: &str) -> u32 {
        self.find_pid(node, unit)
            .unwrap_or_else(|| panic!("no unit {unit} of {node:?} is noted in {}", self.path.display()))
    }
    /// Nothing between a unit's death and its next start.
    pub(crate) fn find_pid(&self, node: Option<&str>, unit: &str) -> Option<u32> {
        let machines = std::fs::read_dir(self.path.join("machines")).unwrap().flatten();
        for machine in machines.map(|e| e.path()) {
            let note = |file: &str| -> Option<Value> {
                serde_json::from_slice(&std::fs::read(machine.join(file)).ok()?).ok()
            };
            let of_node =
                || note("machine.json").is_some_and(|m| node.is_none_or(|n| m["request"]["name"] == n));
            if let Some(pid) =
                note(&format!("units/{unit}.json")).filter(|_| of_node()).as_ref().and_then(pid_in)
            {
                return Some(pid);
            }
        }
        None
    }
    /// All that a home without clusters must not have.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let clusters = self.ask(&["cluster", "list"]);
        let mut left: Vec<String> =
            clusters["items"].as_array().unwrap().iter().map(|c| format!("cluster {}", c["name"])).collect();
        left.extend(self.servers().iter().map(|(pid, line)| format!("process {pid} {line}")));
        let folders = std::fs::read_dir(self.path.join("machines")).into_iter().flatten().flatten();
        left.extend(folders.map(|e| format!("folder {}", e.path().display())));
        left.extend(self.ground.iter().flat_map(Ground::everything));
        left
    }
    /// Takes `demo` down and sees that nothing is left of it.
    #[track_caller]
    pub(crate) fn end(&self) {
        self.change(&["cluster", "delete", "demo", "--yes", "--confirm", "demo", "--discard-backups"]);
        assert_eq!(self.left_behind(), Vec::<String>::new());
    }
    /// The program as an app that stays: `clusterdeck serve`.
    pub(crate) fn serve(&self) -> App {
        let child =
            self.command(&["--json", "serve", "--listen", "127.0.0.1:0", "--show-token"]).spawn().unwrap();
        let mut app = App { child, said: Value::Null };
        let mut line = String::new();
        // One line when it is ready; its pipe ends when it could not start.
        let out = app.child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::with_capacity(1, out), &mut line).unwrap();
        app.said =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("serve did not start ({e}): {line}"));
        app
    }
    /// Size of the encrypted vault: it says how much is in it without a look inside.
    pub(crate) fn vault_size(&self) -> u64 {
        std::fs::metadata(self.path.join("vault/secrets.vault")).map_or(0, |m| m.len())
    }
    /// The log of the program.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path.join("logs/clusterdeck.log")).unwrap_or_default()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        places::tell_logs_of_a_failure(&self.path);
        // Servers outlive the program by design; a test ends those it started, and only those.
        for (pid, _) in self.servers() {
            drop(Command::new("kill").args(["-KILL", &pid.to_string()]).status());
        }
    }
}

/// An app that hosts the engine until it is killed, or the test ends.
pub(crate) struct App {
    child: Child,
    /// Where it serves, and the token.
    pub(crate) said: Value,
}

impl App {
    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads a command's standard error until so many steps of its operation have ended.
pub(crate) fn await_steps(child: &mut Child, steps: usize) {
    let err = child.stderr.as_mut().unwrap();
    let mut reader = std::io::BufReader::with_capacity(1, err);
    let mut said = String::new();
    while said.matches('✓').count() < steps {
        let mut line = String::new();
        let read = std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
        assert!(read > 0, "it ended before {steps} steps had: {said}");
        said.push_str(&line);
    }
}

/// The words that make a cluster `demo`: Redis, and as small as there is, unless its shape says something else.
pub(crate) fn create<'a>(shape: &[&'a str]) -> Vec<&'a str> {
    let unless = |word: &'a str, usual: &'a str| {
        if shape.contains(&word) { Vec::new() } else { vec![word, usual] }
    };
    let make = ["cluster", "create", "demo", "--yes"];
    [&make, &unless("--plan", "NANO-1C-256M")[..], &unless("--service", "redis"), shape].concat()
}

/// Waits for the end of a command.
pub(crate) fn finish(mut child: Child) -> Ended {
    // Read while it runs, so that a full pipe does not hold it up.
    let out = child.stdout.take().map(|pipe| std::thread::spawn(move || text(pipe)));
    let err = child.stderr.take().map(|pipe| std::thread::spawn(move || text(pipe)));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > WORN {
            child.kill().unwrap();
            panic!("a command hangs: {:?}", err.map(|e| e.join()));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |reader: Option<std::thread::JoinHandle<String>>| {
        reader.map_or_else(String::new, |r| r.join().unwrap())
    };
    Ended { status: status.code(), signal: status.signal(), out: read(out), err: read(err) }
}

fn text(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn pid_in(note: &Value) -> Option<u32> {
    let members = note.as_object()?;
    let own = members.get("pid").and_then(Value::as_u64).and_then(|pid| pid.try_into().ok());
    own.or_else(|| members.values().find_map(pid_in))
}

/// Sends a signal (`-KILL`, `-STOP`) to a process that this test started.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill {name} {pid}");
}
