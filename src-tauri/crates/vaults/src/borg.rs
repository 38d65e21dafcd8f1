//! A vault in a Borg repository, on this computer or over ssh, through the `borg` program. It packs and encrypts by itself:
//! what is alike in two backups lies there once, which what we had sealed never would.

use crate::{folder::nearest, seal::broken};
use async_trait::async_trait;
use clusterdeck_domain::{BackupId, BackupKind, Sensitive, VaultFault};
use clusterdeck_driver::{
    DriverError, Incoming, Outgoing, Result, SealKey, Vault, VaultCheck, VaultTrial, widen,
};
use rustix::fs::Access;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    sync::Mutex,
    time::timeout,
};

const PROGRAM: &str = "borg";
/// For what only looks, over a network.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// A repository that another one works in is waited for so long. Seconds.
const LOCK_WAIT: &str = "60";
/// A program that is asked to stop puts its repository in order first.
const STOPS_WITHIN: Duration = Duration::from_secs(20);
const PIECE: usize = 256 << 10;
/// As what we seal ourselves (`seal`): the next levels cost a quarter of the speed and spare a few parts in a hundred.
const COMPRESSION: &str = "zstd,1";

/// See the module.
pub struct Repository {
    id: String,
    at: String,
    passphrase: Sensitive<String>,
    /// Where borg keeps what it knows of the repository.
    base: PathBuf,
    /// How another computer is reached.
    rsh: String,
    /// Borg lets one write at a time.
    one: Mutex<Emptied>,
}

/// The backup of which nothing is there since it was removed, but these pieces: what is known is not asked for, since each question
/// starts the program anew, which takes it most of a second.
#[derive(Default)]
struct Emptied(Option<BackupId>, BTreeSet<String>);

impl Emptied {
    /// Whether a piece may be there, from now on.
    fn may_hold(&mut self, backup: &BackupId, piece: &str) -> bool {
        self.0.as_ref() != Some(backup) || !self.1.insert(piece.to_owned())
    }
}

impl Repository {
    /// The vault of this name in a repository; `base` is a folder for borg's own notes. Other computers are reached as the
    /// user reaches them by ssh, without a question.
    pub fn new(id: &str, repository: &str, passphrase: Sensitive<String>, base: PathBuf) -> Self {
        let (id, at) = (id.to_owned(), repository.to_owned());
        let rsh = "ssh -o BatchMode=yes -o ConnectTimeout=10".to_owned();
        Self { id, at, passphrase, base, rsh, one: Mutex::default() }
    }

    /// The same with another command for ssh.
    #[must_use]
    pub fn over(mut self, rsh: &str) -> Self {
        rsh.clone_into(&mut self.rsh);
        self
    }

    fn archive(&self, backup: &BackupId, name: &str) -> String {
        format!("{}::{backup}.{name}", self.at)
    }

    /// Where ssh says why it did not reach the other computer. Borg itself stops at the end of a connection, often before
    /// it has read the reason.
    fn words_of_ssh(&self) -> PathBuf {
        self.base.join("ssh.log")
    }

    fn borg(&self) -> Command {
        // Best effort: without it, borg's own words remain.
        drop(std::fs::create_dir_all(&self.base).and_then(|()| std::fs::write(self.words_of_ssh(), "")));
        let words = self.words_of_ssh().to_string_lossy().replace('\'', r"'\''");
        let mut command = Command::new(PROGRAM);
        command
            .env("BORG_PASSPHRASE", self.passphrase.reveal())
            .env("BORG_BASE_DIR", &self.base)
            .env("BORG_RSH", format!("{} -E '{words}'", self.rsh))
            .env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    fn spawn(&self, mut command: Command) -> Result<Child> {
        command.kill_on_drop(true).spawn().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => DriverError::rejected(
                "the program `borg` is not installed on this computer",
                "install it (`apt-get install borgbackup`, `brew install borgbackup`), then try again",
            ),
            _ => DriverError::transient(format!("borg cannot be started: {e}")),
        })
    }

    /// Runs it to its end; what it wrote and said.
    async fn run(&self, args: &[&str], limit: Duration) -> Result<std::result::Result<String, String>> {
        let mut command = self.borg();
        command.args(args).stdout(Stdio::piped());
        let child = self.spawn(command)?;
        let ended = timeout(limit, child.wait_with_output()).await;
        let ended = ended.map_err(|_| DriverError::silent_vault(format!("{} does not answer", self.at)))?;
        let ended = ended.map_err(|e| DriverError::transient(format!("borg: {e}")))?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        // Status 1 is done, with a warning.
        let done = matches!(ended.status.code(), Some(0 | 1));
        Ok(if done { Ok(String::from_utf8_lossy(&ended.stdout).into_owned()) } else { Err(said) })
    }

    fn failed(&self, what: &str, said: &str) -> DriverError {
        let of_ssh = std::fs::read_to_string(self.words_of_ssh()).unwrap_or_default();
        let said = format!("{of_ssh}\n{said}");
        let lower = said.to_lowercase();
        let last =
            said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim();
        let cannot =
            |fault, why: String, hint: &str| DriverError::vault(fault, format!("{what} failed: {why}"), hint);
        if lower.contains("no space left")
            || lower.contains("quota exceeded")
            || lower.contains("insufficient free space")
        {
            return cannot(
                VaultFault::Full,
                format!("the vault is full ({}); the backups in it are as they were", self.at),
                "make room where the repository is, then try again",
            );
        }
        if lower.contains("passphrase supplied in") || lower.contains("wrong passphrase") {
            return cannot(
                VaultFault::Refused,
                format!("the passphrase does not open the repository {}", self.at),
                "give this vault the passphrase the repository was made with",
            );
        }
        if lower.contains("does not exist") && lower.contains("archive") {
            return DriverError::Gone { what: what.to_owned() };
        }
        if lower.contains("integrity") || lower.contains("corrupt") || lower.contains("data mismatch") {
            return DriverError::rejected(
                format!("{what} failed: what the repository returned is damaged: {last}"),
                "this backup cannot be used; choose another one, and look at the repository with `borg check`",
            );
        }
        let telling = |line: &&str| {
            let line = line.to_lowercase();
            line.contains("permission denied") || line.contains("host key verification failed")
        };
        if let Some(line) = said.lines().find(telling) {
            return cannot(
                VaultFault::Refused,
                format!("{} cannot be reached: {}", self.at, line.trim_start_matches("Remote:").trim()),
                "this user must reach it with an ssh key and without a question, and have the right to write there",
            );
        }
        const AWAY: [&str; 7] = [
            "connection refused",
            "connection timed out",
            "connection reset",
            "connection closed by remote",
            "could not resolve hostname",
            "no route to host",
            "network is unreachable",
        ];
        let away = |line: &&str| AWAY.iter().any(|words| line.to_lowercase().contains(words));
        if let Some(line) = said.lines().find(away) {
            let line = line.trim_start_matches("Remote:").trim();
            return DriverError::silent_vault(format!("{what} failed: {} does not answer: {line}", self.at));
        }
        DriverError::transient(format!("{what} failed: {last}"))
    }

    /// Archives of a backup, half made ones as well.
    async fn archives(&self, backup: Option<&BackupId>) -> Result<Vec<String>> {
        let listed = self
            .run(
                &["list", "--lock-wait", LOCK_WAIT, "--consider-checkpoints", "--short", &self.at],
                ANSWERS_WITHIN,
            )
            .await;
        match listed? {
            Ok(names) => Ok(names
                .lines()
                .map(str::trim)
                .filter(|name| backup.is_none_or(|b| name.split('.').next() == Some(b.as_str())))
                .map(str::to_owned)
                .collect()),
            Err(said) if said.contains("does not exist") || said.contains("is not a valid repository") => {
                Ok(Vec::new())
            }
            Err(said) => Err(self.failed("looking into the vault", &said)),
        }
    }

    /// Whether there is a repository, and the passphrase opens it.
    async fn there(&self) -> Result<bool> {
        let info = self.run(&["info", "--lock-wait", LOCK_WAIT, &self.at], ANSWERS_WITHIN).await?;
        match info {
            Ok(_) => Ok(true),
            Err(said) if said.contains("does not exist") || said.contains("is not a valid repository") => {
                Ok(false)
            }
            Err(said) => Err(self.failed("opening the repository", &said)),
        }
    }

    /// An archive of all that `input` gives, over one of the same name; bytes of it that no other archive had.
    async fn create(&self, backup: &BackupId, piece: &str, input: &mut Incoming) -> Result<u64> {
        let (mut emptied, name) = (self.one.lock().await, self.archive(backup, piece));
        let name = name.as_str();
        if emptied.may_hold(backup, piece) {
            // What an earlier try left.
            drop(self.run(&["delete", "--lock-wait", LOCK_WAIT, name], ANSWERS_WITHIN).await?);
        }
        let mut command = self.borg();
        command.args(["create", "--json", "--lock-wait", LOCK_WAIT]);
        command.args(["--compression", COMPRESSION, "--stdin-name", "data", name, "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = self.spawn(command)?;
        let (takes, errors, gives) = (child.stdin.take(), child.stderr.take(), child.stdout.take());
        let feed = async {
            let Some(mut takes) = takes else { return Ok(()) };
            widen(&takes);
            let mut piece = vec![0; PIECE];
            loop {
                match input.read(&mut piece).await {
                    Ok(0) => {
                        drop(takes.shutdown().await);
                        return Ok(());
                    }
                    // One that ends before it has read everything says why.
                    Ok(n) if takes.write_all(&piece[..n]).await.is_err() => return Ok(()),
                    Ok(_) => {}
                    Err(e) => {
                        // An end of its input would be the end of a whole copy: it is stopped before it sees one.
                        stop(&mut child).await;
                        drop(takes);
                        return Err(DriverError::transient(format!("the copy was cut off: {e}")));
                    }
                }
            }
        };
        let (fed, said, stats) = tokio::join!(feed, heard(errors), heard(gives));
        fed?;
        let ended = child.wait().await.map_err(|e| DriverError::transient(format!("borg: {e}")))?;
        match ended.code() {
            Some(0 | 1) => Ok(deduplicated(&stats).unwrap_or(0)),
            _ => Err(self.failed("writing to the vault", &said)),
        }
    }
}

/// Both encrypt alike and differ in how they sum: where the processor does SHA-256 by itself that takes a seventh of the time off a
/// copy (0.84 GB: 2.4 s, with BLAKE2 2.8 s), elsewhere BLAKE2 is the faster one.
fn encryption() -> &'static str {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let sums = std::arch::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    let sums = std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let sums = false;
    if sums { "repokey" } else { "repokey-blake2" }
}

/// What it says until it ends, at most a MiB.
async fn heard(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut said = Vec::new();
    if let Some(mut from) = from {
        let mut piece = vec![0; 8 << 10];
        while let Ok(n @ 1..) = from.read(&mut piece).await {
            let room = (1_usize << 20).saturating_sub(said.len());
            said.extend_from_slice(&piece[..n.min(room)]);
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Asks it to stop, so that it lets go of its repository, and ends it when it does not.
async fn stop(child: &mut Child) {
    if let Some(pid) =
        child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
    {
        rustix::process::kill_process(pid, rustix::process::Signal::INT).ok();
    }
    if timeout(STOPS_WITHIN, child.wait()).await.is_err() {
        drop(child.kill().await);
    }
}

#[async_trait]
impl Vault for Repository {
    fn id(&self) -> &str {
        &self.id
    }
    fn kind(&self) -> BackupKind {
        BackupKind::Borg
    }
    async fn check(&self) -> Result<VaultCheck> {
        let _one = self.one.lock().await;
        if self.there().await? {
            return Ok(VaultCheck { free_bytes: None, used_bytes: None });
        }
        // Made once, when it was added: an empty one in its place would only seem to hold what is elsewhere.
        Err(DriverError::vault(
            VaultFault::Unreachable,
            format!("there is no repository at {}", self.at),
            "bring it back, or mount the disk it is on",
        ))
    }
    async fn try_out(&self) -> Result<VaultTrial> {
        let _one = self.one.lock().await;
        let there = self.there().await?;
        if !there && self.at.starts_with('/') {
            let at = Path::new(&self.at);
            let writable =
                nearest(at).and_then(|at| Ok(rustix::fs::access(at, Access::WRITE_OK | Access::EXEC_OK)?));
            writable.map_err(|e| broken("making the repository", &e))?;
        }
        Ok(VaultTrial { there, free_bytes: None })
    }
    async fn make(&self) -> Result<()> {
        let _one = self.one.lock().await;
        if self.there().await? {
            return Ok(());
        }
        let init = ["init", "--encryption", encryption(), "--make-parent-dirs", &self.at];
        let made = self.run(&init, ANSWERS_WITHIN).await?;
        made.map(drop).map_err(|said| self.failed("making the repository", &said))
    }
    async fn put(&self, backup: &BackupId, piece: &str, input: &mut Incoming, _key: &SealKey) -> Result<u64> {
        self.create(backup, piece, input).await
    }
    async fn get(&self, backup: &BackupId, piece: &str, output: &mut Outgoing, _key: &SealKey) -> Result<()> {
        let mut command = self.borg();
        let name = self.archive(backup, piece);
        command.args(["extract", "--lock-wait", LOCK_WAIT, "--stdout", &name, "data"]).stdout(Stdio::piped());
        let mut child = self.spawn(command)?;
        let (gives, errors) = (child.stdout.take(), child.stderr.take());
        let pass_on = async {
            let Some(mut gives) = gives else { return Ok(()) };
            let mut piece = vec![0; PIECE];
            loop {
                let n =
                    gives.read(&mut piece).await.map_err(|e| DriverError::transient(format!("borg: {e}")))?;
                if n == 0 {
                    return Ok(());
                }
                let passed = output.write_all(&piece[..n]).await;
                passed.map_err(|e| DriverError::transient(format!("passing on a copy failed: {e}")))?;
            }
        };
        let (passed, said) = tokio::join!(pass_on, heard(errors));
        passed?;
        let ended = child.wait().await.map_err(|e| DriverError::transient(format!("borg: {e}")))?;
        if ended.success() { Ok(()) } else { Err(self.failed("reading from the vault", &said)) }
    }
    async fn put_note(&self, backup: &BackupId, name: &str, content: &[u8]) -> Result<()> {
        let note = format!("note-{name}");
        self.create(backup, &note, &mut std::io::Cursor::new(content.to_vec())).await.map(drop)
    }
    async fn remove(&self, backup: &BackupId) -> Result<()> {
        let mut emptied = self.one.lock().await;
        let names = self.archives(Some(backup)).await?;
        if names.is_empty() {
            *emptied = Emptied(Some(backup.clone()), BTreeSet::new());
            return Ok(());
        }
        let first = format!("{}::{}", self.at, names[0]);
        let mut delete = vec!["delete", "--lock-wait", LOCK_WAIT, first.as_str()];
        delete.extend(names[1..].iter().map(String::as_str));
        let gone = self.run(&delete, 10 * ANSWERS_WITHIN).await?;
        match gone.map_err(|said| self.failed("removing from the vault", &said)) {
            Ok(_) | Err(DriverError::Gone { .. }) => {}
            Err(error) => return Err(error),
        }
        // Older ones free the room at once and do not know the word.
        drop(self.run(&["compact", "--lock-wait", LOCK_WAIT, &self.at], 10 * ANSWERS_WITHIN).await?);
        Ok(())
    }
    async fn backups(&self) -> Result<Vec<BackupId>> {
        let names = self.archives(None).await?;
        let mut found: Vec<BackupId> =
            names.iter().filter_map(|name| BackupId::parse(name.split('.').next()?).ok()).collect();
        found.dedup();
        Ok(found)
    }
}

fn deduplicated(info: &str) -> Option<u64> {
    let info: serde_json::Value = serde_json::from_str(info).ok()?;
    info["archive"]["stats"]["deduplicated_size"].as_u64()
}
