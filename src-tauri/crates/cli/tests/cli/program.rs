//! The program, started in a home of its own, and that home's end: no server outlives its test.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; only a hang gets there.
pub(crate) const WORN: Duration = Duration::from_secs(90);
/// The smallest size.
pub(crate) const SMALL: [&str; 2] = ["--plan", "NANO-1C-256M"];

/// A home that is taken down at its end.
pub(crate) struct Home(TempDir);

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("no JSON ({e}): {} {}", self.out, self.err))
    }
    #[track_caller]
    pub(crate) fn status(self, expected: i32) -> Self {
        assert_eq!(self.status, expected, "out: {}\nerr: {}", self.out, self.err);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("cd").tempdir().expect("a folder");
        let key = folder.path().join("key");
        std::fs::write(&key, "test key material 0123456789 abcdefghij").expect("written");
        #[cfg(unix)]
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
        Self(folder)
    }
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("home")
    }
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clusterdeck"));
        command.args(words);
        command
            .env("CLUSTERDECK_HOME", self.path())
            .env("CLUSTERDECK_VAULT_KEY_FILE", self.0.path().join("key"));
        command.env("USER", "anna").env_remove("CLUSTERDECK_VAULT_KEY").env_remove("XDG_RUNTIME_DIR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        finish(self.begin(words))
    }
    /// Starts a command.
    pub(crate) fn begin(&self, words: &[&str]) -> Child {
        self.command(words).spawn().expect("the program starts")
    }
    /// Runs a command that reads this from its standard input.
    pub(crate) fn tell(&self, words: &[&str], input: &str) -> Ended {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().expect("the program starts");
        writeln!(child.stdin.take().expect("a pipe"), "{input}").expect("written");
        finish(child)
    }
    /// Makes a small cluster.
    pub(crate) fn create(&self, name: &str, more: &[&str]) -> Value {
        let words = [&["--json", "cluster", "create", name, "--service", "redis", "--yes"], &SMALL[..], more]
            .concat();
        self.run(&words).status(0).json()
    }
    /// `clusterdeck serve` on a port of its own, and what it said.
    pub(crate) fn serve(&self) -> (Child, Value) {
        let mut child = self.begin(&["--json", "serve", "--listen", "127.0.0.1:0", "--show-token"]);
        let line = line(child.stdout.as_mut().expect("a pipe"));
        (child, serde_json::from_str(&line).expect("JSON"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.path().join("state.db").exists() {
            return;
        }
        let listed = Ended::from(
            self.command(&["--json", "--connection", "this-computer", "cluster", "list"])
                .output()
                .expect("run"),
        );
        let listed: Value = serde_json::from_str(&listed.out).unwrap_or_default();
        for cluster in listed["items"].as_array().into_iter().flatten() {
            let name = cluster["name"].as_str().unwrap_or_default();
            let here = ["--connection", "this-computer", "cluster"];
            let unprotect = [&here[..], &["protect", name, "off", "--yes"]].concat();
            drop(self.command(&unprotect).output());
            let delete = [&here[..], &["delete", name, "--confirm", name, "--discard-backups"]].concat();
            drop(self.command(&delete).output());
        }
    }
}

/// Waits for the end of a command.
pub(crate) fn finish(mut child: Child) -> Ended {
    let begun = Instant::now();
    // Read while it runs, so that a full pipe does not hold it up.
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut text).expect("readable");
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = read(out.map(|p| Box::new(p) as Box<dyn std::io::Read + Send>));
    let err = read(err.map(|p| Box::new(p) as Box<dyn std::io::Read + Send>));
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begun.elapsed() > WORN {
            child.kill().expect("killed");
            panic!("a command hangs: {}", err.join().expect("read"));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Ended {
        status: status.code().unwrap_or(-1),
        out: out.join().expect("read"),
        err: err.join().expect("read"),
    }
}

/// The next line a command prints.
pub(crate) fn line(out: &mut ChildStdout) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, out).read_line(&mut line).expect("readable");
    line
}

/// Reads a command's standard error up to a line that contains this text.
pub(crate) fn await_word(child: &mut Child, word: &str) {
    let err = child.stderr.as_mut().expect("a pipe");
    let mut reader = BufReader::with_capacity(1, err);
    let mut said = String::new();
    while !said.contains(word) {
        let mut line = String::new();
        let read = reader.read_line(&mut line).expect("readable");
        assert!(read > 0, "it ended without saying `{word}`: {said}");
        said.push_str(&line);
    }
}

/// Sends a signal (`INT`, `TERM`, `KILL`).
pub(crate) fn signal(child: &Child, name: &str) {
    let sent =
        Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
