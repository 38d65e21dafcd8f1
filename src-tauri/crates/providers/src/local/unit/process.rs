//! Processes by identity: a pid alone is not enough, since the system gives it to somebody else one day.

use super::{portable, procfs};
use clusterdeck_driver::UnitUsage;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::{io, path::Path, time::Duration};

/// A process, told apart from any other that has or will have its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::local) struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started: ticks since the boot (Linux), else seconds since 1970.
    pub started: u64,
    /// Which boot that was, as ticks begin anew with each; empty where the time is absolute.
    pub boot: String,
}

/// A process that carries the mark of a unit.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    /// Which.
    pub id: ProcessId,
    /// It is the one that was started; the others are its children.
    pub leader: bool,
}

/// How a unit is recognised when no note names its process.
#[derive(Debug, Clone)]
pub(super) struct Mark<'a> {
    /// The value of [`MARK`] in its environment. Servers that set their title (Redis) wipe that, so it is not enough.
    pub text: &'a str,
    /// The log that its standard output goes to.
    pub log: &'a Path,
    /// Where the start-up shell notes its pid, on systems without `/proc`.
    pub pid_file: &'a Path,
}

/// The environment variable that marks a unit's processes: `<folder of the machine>/<unit>`.
pub(super) const MARK: &str = "CLUSTERDECK_UNIT";

/// How often to look where the system cannot wake us.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl ProcessId {
    /// The process with this pid; `None` when there is none or only its remains (a zombie), which is the same to us.
    pub(super) fn of(pid: u32) -> Option<Self> {
        if cfg!(target_os = "linux") { procfs::identify(pid, false) } else { portable::identify(pid) }
    }
    /// As [`ProcessId::of`], for a child of our own that may have ended already.
    pub(super) fn of_child(pid: u32) -> Option<Self> {
        if cfg!(target_os = "linux") { procfs::identify(pid, true) } else { portable::identify(pid) }
    }
    /// Whether it is still there.
    pub(super) fn is_there(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
    /// Sends a signal, to this process or to nobody. Says whether it was there.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
        let sent = send(pid, signal, || self.is_there());
        match sent {
            Err(rustix::io::Errno::SRCH) => Ok(false),
            other => Ok(other?),
        }
    }
    /// Waits for its end, at most this long; says whether it has ended.
    pub(super) async fn ended(&self, limit: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        while self.is_there() {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            self.wait_a_while(left).await;
        }
        true
    }
    /// Waits for its end on a thread for blocking work, in slices, so that giving up leaves that thread soon.
    #[cfg(target_os = "linux")]
    async fn wait_a_while(&self, left: Duration) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let this = self.clone();
        let slice = left.min(Duration::from_secs(1));
        let waited = tokio::task::spawn_blocking(move || {
            let pid = i32::try_from(this.pid).ok().and_then(Pid::from_raw)?;
            let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
            // Opened first, looked at second: the descriptor stands for the process we mean, or that one has ended.
            if this.is_there() {
                poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec::try_from(slice).ok()?)).ok()?;
            }
            Some(())
        })
        .await;
        if !matches!(waited, Ok(Some(()))) {
            // It has just ended, or this system has no such descriptors: look often.
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }
    #[cfg(not(target_os = "linux"))]
    async fn wait_a_while(&self, left: Duration) {
        tokio::time::sleep(left.min(LOOK_AGAIN)).await;
    }
    /// What it has used so far.
    pub(super) fn usage(&self) -> UnitUsage {
        if !self.is_there() {
            return UnitUsage::default();
        }
        if cfg!(target_os = "linux") { procfs::usage(self.pid) } else { portable::usage(self.pid) }
    }
}

/// Signals through a descriptor of the process where there is such a thing, so that nobody else can get its pid between
/// the look and the signal.
fn send(pid: Pid, signal: Signal, is_there: impl Fn() -> bool) -> rustix::io::Result<bool> {
    #[cfg(target_os = "linux")]
    match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(fd) => {
            return if is_there() {
                rustix::process::pidfd_send_signal(&fd, signal).map(|()| true)
            } else {
                Ok(false)
            };
        }
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    if is_there() { rustix::process::kill_process(pid, signal).map(|()| true) } else { Ok(false) }
}

/// All processes that carry this mark, leaders first, the oldest first.
pub(super) fn marked(mark: &Mark<'_>) -> Vec<Marked> {
    let mut found =
        if cfg!(target_os = "linux") { procfs::marked(mark) } else { portable::marked(mark.pid_file) };
    found.sort_by_key(|m| (!m.leader, m.id.started));
    found
}
