//! A machine: a folder tree, an address, and supervised server processes (units).

use crate::{Carried, ClientCommand, Extension, Filter, Incoming, Outgoing, Result};
use async_trait::async_trait;
use clusterdeck_domain::{MachineId, Plan};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// A server program as found on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Software {
    /// `redis-server`.
    pub program: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself (`7.0.15`); empty when nobody asked it.
    pub version: String,
}

/// A server process that a machine shall keep running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSpec {
    /// Unique on its machine: `redis`, `sentinel`, `haproxy`.
    pub name: String,
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Its arguments. Never a secret: anybody can read them.
    pub args: Vec<String>,
    /// Bytes of memory it may use, enforced where the machine can.
    pub memory_bytes: Option<u64>,
    /// How long to wait after a polite stop (SIGTERM) before it is ended (SIGKILL).
    pub stop_grace: Duration,
    /// Start it again when it ends by itself. The machine waits longer after each crash, 0.5 s to 30 s.
    pub restart: bool,
    /// The machine's watcher never starts it again within this time of its end, so that the engine's own failover goes
    /// first and a dead primary does not come back as a second one.
    pub restart_not_before: Duration,
    /// Its program refuses to run as root. Where we are root it runs as nobody, with the rights to our files and no others.
    #[serde(default)]
    pub unprivileged: bool,
}

impl UnitSpec {
    /// Whether it is the same process started in the same way. A limit of memory that is another by now does not count: a
    /// running one gets it when it is started the next time.
    pub fn starts_as(&self, other: &Self) -> bool {
        Self { memory_bytes: other.memory_bytes, ..self.clone() } == *other
    }
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum UnitState {
    /// Never started, or stopped and cleared.
    Absent,
    /// Its process is there: same pid *and* same start time as noted.
    Running {
        /// Process id.
        pid: u32,
        /// Since when, in milliseconds since 1970.
        since_ms: i64,
        /// Times it was started again after a crash.
        restarts: u32,
    },
    /// Stopped on request.
    Stopped,
    /// Ended without being asked.
    Crashed {
        /// What is known of its end, with the last lines of its log.
        detail: String,
        /// Times it was started again before.
        restarts: u32,
    },
}

impl UnitState {
    /// Its process is there.
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// What a unit has used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UnitUsage {
    /// Processor time since it started, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Resident memory now, in bytes.
    pub memory_bytes: Option<u64>,
}

/// A machine. Paths are relative to its folder, written with `/`, and may not leave it.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Its id.
    fn id(&self) -> &MachineId;
    /// Where its services listen.
    fn address(&self) -> IpAddr;
    /// The port to use for a service's standard `port`.
    fn port(&self, port: u16) -> u16;
    /// Where we ourselves connect to what listens on a service's standard `port`. Another address than the machine's own
    /// where that cannot be reached from this computer; servers, which reach each other, are configured with their own.
    fn reach(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(), self.port(port))
    }
    /// Its size.
    fn plan(&self) -> &Plan;
    /// What enforces the plan: `cgroup-v2`, `cgroup-v1`, or `server-settings` when only the server itself does.
    fn limited_by(&self) -> &'static str;
    /// The absolute path a server on this machine uses for `path`.
    fn path(&self, path: &str) -> PathBuf;
    /// Where we find that ourselves, a socket included; `None` when the machine's files are not in our file system.
    fn here(&self, path: &str) -> Option<PathBuf>;

    /// The versions of a program that are installed here, newest first. Empty when there is none.
    async fn software(&self, program: &str) -> Result<Vec<Software>>;
    /// Where an extension is installed here, the newest carrier first. Empty where it is not.
    async fn extension(&self, extension: &'static Extension) -> Result<Vec<Carried>>;
    /// Writes a file with this mode, and the folders it lies in, atomically: it is the old one or the new one, also after a
    /// kill.
    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<()>;
    /// A file's content; `Gone` when there is none. At most 8 MiB.
    async fn read(&self, path: &str) -> Result<Vec<u8>>;
    /// Makes a folder and its parents (mode 0700); nothing happens when it is there.
    async fn create_dir(&self, path: &str) -> Result<()>;
    /// Renames a file or folder; nothing happens when `from` is gone and `to` is there.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Takes a file or folder away with all in it; nothing happens when it is not there.
    async fn remove(&self, path: &str) -> Result<()>;
    /// Whether there is a file or folder.
    async fn exists(&self, path: &str) -> Result<bool>;
    /// Bytes on disk below a path; 0 when it is not there.
    async fn disk_bytes(&self, path: &str) -> Result<u64>;

    /// Starts a unit, or leaves it alone when it runs in this same way ([`UnitSpec::starts_as`]). A running one with another spec is an error
    /// (`Rejected`): stop it first.
    async fn start(&self, unit: &UnitSpec) -> Result<()>;
    /// Stops a unit and waits for its end; nothing happens when it does not run. It is not started again.
    async fn stop(&self, name: &str) -> Result<()>;
    /// What became of a unit.
    async fn state(&self, name: &str) -> Result<UnitState>;
    /// What a unit has used.
    async fn usage(&self, name: &str) -> Result<UnitUsage>;
    /// The names of all units ever started here and not cleared.
    async fn units(&self) -> Result<Vec<String>>;
    /// Whether a crashed unit's waiting time is over: its back-off and [`UnitSpec::restart_not_before`].
    async fn restart_due(&self, name: &str) -> Result<bool>;
    /// Starts a crashed unit again as it was noted, when that is due; says whether it did.
    async fn restart(&self, name: &str) -> Result<bool>;
    /// The last `lines` lines of a unit's log, oldest first, and the position after them; with `after` those that came
    /// since that position.
    async fn log(&self, unit: &str, lines: usize, after: Option<u64>) -> Result<(Vec<String>, u64)>;

    /// Runs a program on the machine, in the machine's folder and as its servers run, and passes what it writes to `output`, no
    /// faster than that takes it. Gives what it said beside that: the last 8 KiB. It ends when nobody reads any more, a
    /// killed reader included, at the latest when it writes the next time.
    ///
    /// # Errors
    /// `Rejected` with its last words when it ends with another status than 0; `Transient` when `output` fails.
    async fn output_of(&self, filter: &Filter, output: &mut Outgoing) -> Result<String>;
    /// The same for a program that is given `bytes` bytes of `input`, exactly those. It must not wait for an end of its input:
    /// none may come.
    ///
    /// # Errors
    /// As above; `Transient` when `input` fails or ends too soon. The program is ended then.
    async fn feed(&self, filter: &Filter, input: &mut Incoming, bytes: u64) -> Result<String>;

    /// What everything on it runs from, as a [`crate::MachineRequest`] can name it; `None` where machines are not made of
    /// images.
    fn image(&self) -> Option<&str> {
        None
    }
    /// What of its plan nobody enforces here, and why, for people; `None` when all of it is.
    fn not_enforced(&self) -> Option<String> {
        None
    }
    /// The command that starts this client on the machine itself, which has the program and reaches its own address; whoever
    /// runs it gives the password in the same variable. `None` where a client is started on this computer.
    fn inside(&self, _client: &ClientCommand) -> Option<ClientCommand> {
        None
    }
}
