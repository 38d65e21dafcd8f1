//! Units: server processes that outlive the app. What is wanted and what runs stands in a note on disk; whoever holds
//! the unit's lock may change both. Nothing is kept in memory that matters, so that a second program (the CLI beside the
//! window, the app after a crash) sees the same and does not start anything twice.

mod cgroup;
mod launch;
mod log;
mod note;
mod portable;
mod process;
mod procfs;

pub(super) use cgroup::{Group, granted};
pub(super) use launch::{as_servers_run, keep_inherited_files_to_ourselves};
pub(super) use process::ProcessId;

use super::config::{self, Ended, Intent, UnitNote, now_ms};
use super::files::{broken, off_thread};
use clusterdeck_driver::{DriverError, Result, UnitSpec, UnitState, UnitUsage};
use launch::Launch;
use log::Log;
use process::{Mark, Marked};
use rustix::process::Signal;
use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    os::unix::{fs::OpenOptionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long one waits for another who is at the same unit.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_STEP: Duration = Duration::from_millis(10);
/// A server that cannot get its port says so and ends within a few milliseconds.
const FIRST_MOMENTS: Duration = Duration::from_millis(40);
/// The system ends a killed process at once, unless it hangs in a broken disk or network share.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How often processes that an ended server left are looked for.
const LEFTOVER_ROUNDS: u32 = 5;
/// Lines of the log that are told with a crash.
const LAST_LINES: usize = 5;

/// The processes we started ourselves, kept to be waited for: each look at a unit does, so a dead one does not linger.
/// One per unit.
#[derive(Debug, Clone, Default)]
pub(super) struct Children(Arc<Mutex<HashMap<String, Child>>>);

impl Children {
    fn keep(&self, mark: &str, child: Child) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(mark.to_owned(), child);
    }
    /// How our child ended, if it is ours and has; it is cleared away with that.
    fn take_end(&self, mark: &str) -> Option<ExitStatus> {
        let mut children = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = children.get_mut(mark)?.try_wait().ok().flatten();
        if status.is_some() {
            children.remove(mark);
        }
        status
    }
}

/// The units of one machine.
#[derive(Debug, Clone)]
pub(super) struct Units {
    pub root: PathBuf,
    pub children: Children,
    pub group: Option<Group>,
}

/// Held while one works on a unit; the system lets go of it when we die.
struct Lock(#[allow(dead_code)] File);

impl Units {
    /// The folder, not the machine's id: a copy of a home has machines of the same ids, and shall not touch ours.
    fn mark(&self, name: &str) -> String {
        format!("{}/{name}", self.root.display())
    }
    fn log_of(&self, name: &str) -> Log {
        Log::new(&self.root, name)
    }
    fn load(&self, name: &str) -> Result<Option<UnitNote>> {
        config::check_unit_name(name)?;
        config::load(&config::unit_note(&self.root, name))
    }
    fn save(&self, note: &UnitNote) -> Result<()> {
        config::save(&config::unit_note(&self.root, &note.spec.name), note)
    }
    fn marked(&self, name: &str) -> Vec<Marked> {
        let pid_file = launch::pid_file(&self.root, name);
        process::marked(&Mark { text: &self.mark(name), log: &self.log_of(name).path(), pid_file: &pid_file })
    }

    /// Tries to get the lock; `None` when somebody else has it.
    fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        config::check_unit_name(name)?;
        let path = config::unit_lock(&self.root, name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| broken(format!("locking {}", path.display()), &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(broken(format!("locking {}", path.display()), &e)),
        }
    }
    async fn lock(&self, name: &str) -> Result<Lock> {
        let deadline = tokio::time::Instant::now() + LOCK_WAIT;
        loop {
            if let Some(lock) = self.try_lock(name)? {
                return Ok(lock);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(DriverError::transient(format!(
                    "{name} is being started or stopped by somebody else"
                )));
            }
            tokio::time::sleep(LOCK_STEP).await;
        }
    }

    /// The note as it stands now: a process found again, or its end written down. The caller holds the lock.
    fn look(&self, name: &str) -> Result<Option<UnitNote>> {
        let Some(mut note) = self.load(name)? else { return Ok(None) };
        if note.ended.is_some() {
            return Ok(Some(note));
        }
        match &note.process {
            Some(process) if process.is_there() => {}
            Some(process) => {
                let rebooted = ProcessId::of(std::process::id()).is_some_and(|me| me.boot != process.boot);
                note.ended = Some(Ended { at_ms: now_ms(), how: self.how_it_ended(name, rebooted) });
                self.save(&note)?;
            }
            None if note.intent == Intent::Stop => {}
            // Somebody was killed between starting it and noting its pid: it may well be there.
            None => {
                match self.marked(name).into_iter().find(|m| m.leader) {
                    Some(found) => {
                        tracing::info!(
                            unit = name,
                            pid = found.id.pid,
                            "found a server that was started but not noted"
                        );
                        self.admit(&note.spec, found.id.pid);
                        note.process = Some(found.id);
                    }
                    None => {
                        let how = "it was about to be started when Clusterdeck itself ended".to_owned();
                        note.ended = Some(Ended { at_ms: now_ms(), how });
                    }
                }
                self.save(&note)?;
            }
        }
        Ok(Some(note))
    }

    fn how_it_ended(&self, name: &str, rebooted: bool) -> String {
        let how = match self.children.take_end(&self.mark(name)) {
            _ if rebooted => "this computer was started anew".to_owned(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("it ended with exit status {code}"),
                (None, Some(signal)) => format!("it was ended by signal {signal}"),
                (None, None) => "it ended".to_owned(),
            },
            None => "it ended".to_owned(),
        };
        match self.log_of(name).last_words(LAST_LINES) {
            words if words.is_empty() => how,
            // What a person can mend comes first.
            words => match launch::explain(name, &words) {
                Some(reason) => format!("{reason}; {how}; its log ends:\n{words}"),
                None => format!("{how}; its log ends:\n{words}"),
            },
        }
    }

    fn admit(&self, spec: &UnitSpec, pid: u32) {
        if let Some(group) = &self.group
            && let Err(e) = group.admit(&spec.name, spec.memory_bytes, pid)
        {
            tracing::warn!(unit = spec.name, error = %e, "a server runs without its memory and processor limits");
        }
    }

    /// Starts what the note says. The caller holds the lock and has made sure that no process is left.
    fn launch(&self, mut note: UnitNote) -> Result<UnitNote> {
        let name = note.spec.name.clone();
        self.save(&note)?;
        let mark = self.mark(&name);
        let pid_file = launch::pid_file(&self.root, &name);
        let log = self.log_of(&name);
        let unit = Launch { spec: &note.spec, root: &self.root, mark: &mark, pid_file: &pid_file, log: &log };
        let child = match launch::launch(&unit) {
            Ok(child) => child,
            Err(e) => {
                note.ended = Some(Ended { at_ms: now_ms(), how: e.to_string() });
                // The first error is the one to tell; without this note the next look finds no process and says so.
                drop(self.save(&note));
                return Err(e);
            }
        };
        let pid = child.id();
        note.process = ProcessId::of_child(pid);
        note.since_ms = now_ms();
        self.children.keep(&mark, child);
        self.save(&note)?;
        self.admit(&note.spec, pid);
        Ok(note)
    }

    /// Ends what is left of a unit whose server has ended: workers and writers of snapshots that it had started.
    fn clear_leftovers(&self, name: &str) {
        // Again while there are any: one may be starting another in the moment we look.
        for _ in 0..LEFTOVER_ROUNDS {
            let left = self.marked(name);
            if left.is_empty() {
                return;
            }
            for one in left {
                if let Err(e) = one.id.signal(Signal::KILL) {
                    tracing::warn!(unit = name, pid = one.id.pid, error = %e, "a process of an ended server stays");
                }
            }
        }
    }

    /// Starts a unit, or leaves it alone when it runs.
    pub(super) async fn start(&self, spec: &UnitSpec) -> Result<()> {
        let lock = self.lock(&spec.name).await?;
        let next = match self.blocking(&spec.name, Self::look).await? {
            Some(note) if note.runs() && note.intent == Intent::Run => {
                if note.spec.starts_as(spec) {
                    return Ok(());
                }
                return Err(DriverError::rejected(
                    format!("{} runs already, started in another way", spec.name),
                    "stop it first, then start it",
                ));
            }
            // A stop that was cut short: it may be about to end.
            Some(note) if note.runs() => {
                self.end(&note).await?;
                UnitNote::fresh(spec)
            }
            Some(note) if note.crash().is_some() => note.again(spec),
            _ => UnitNote::fresh(spec),
        };
        self.launch_and_watch(next).await?;
        drop(lock);
        Ok(())
    }

    /// Starts it and looks at its first moments: what a person can mend is told at once.
    async fn launch_and_watch(&self, note: UnitNote) -> Result<()> {
        let this = self.clone();
        let note = off_thread(move || {
            this.clear_leftovers(&note.spec.name);
            this.launch(note)
        })
        .await?;
        let Some(process) = &note.process else { return Ok(()) };
        if !process.ended(FIRST_MOMENTS).await {
            return Ok(());
        }
        let name = note.spec.name.as_str();
        self.blocking(name, Self::look).await?;
        launch::explain(name, &self.log_of(name).last_words(LAST_LINES)).map_or(Ok(()), Err)
    }

    /// Stops a unit and waits for its end.
    pub(super) async fn stop(&self, name: &str) -> Result<()> {
        if self.load(name)?.is_none() {
            return Ok(());
        }
        let lock = self.lock(name).await?;
        let Some(mut note) = self.blocking(name, Self::look).await? else { return Ok(()) };
        if note.intent == Intent::Stop && note.process.is_none() {
            return Ok(());
        }
        // First the wish, then the deed: a kill in between leaves a unit that nobody restarts.
        note.intent = Intent::Stop;
        let path = config::unit_note(&self.root, name);
        config::save_even_when_full(&path, &note)?;
        if note.runs() {
            self.end(&note).await?;
        }
        let this = self.clone();
        off_thread(move || {
            this.clear_leftovers(&note.spec.name);
            note.process = None;
            note.ended = None;
            config::save_even_when_full(&path, &note)
        })
        .await?;
        drop(lock);
        Ok(())
    }

    /// Stops a unit of a machine that is being taken away: when no note of it can be written, then without one.
    pub(super) async fn discard(&self, name: &str) -> Result<()> {
        let Err(failed) = self.stop(name).await else { return Ok(()) };
        tracing::warn!(unit = name, error = %failed, "is ended without a note");
        let note = self.load(name).ok().flatten();
        if let Some(note) = note.filter(|note| note.ended.is_none()) {
            self.end(&note).await?;
        }
        let (this, name) = (self.clone(), name.to_owned());
        off_thread(move || {
            this.clear_leftovers(&name);
            Ok(())
        })
        .await
    }

    /// Asks the process to end, and makes it when it does not.
    async fn end(&self, note: &UnitNote) -> Result<()> {
        let Some(process) = &note.process else { return Ok(()) };
        let name = note.spec.name.as_str();
        let send = |signal| process.signal(signal).map_err(|e| broken(format!("stopping {name}"), &e));
        send(Signal::TERM)?;
        // One that was suspended would never see it.
        send(Signal::CONT)?;
        if !process.ended(note.spec.stop_grace).await {
            tracing::warn!(unit = name, pid = process.pid, "did not stop when asked, is ended now");
            send(Signal::KILL)?;
            if !process.ended(KILL_WAIT).await {
                return Err(DriverError::broken(format!(
                    "{name} (pid {}) does not end, not even when killed; it hangs in a disk or network share",
                    process.pid
                )));
            }
        }
        // Not for its status: so that it does not linger.
        self.children.take_end(&self.mark(name));
        Ok(())
    }

    /// What became of a unit; rotates its log on the way, since this is what the watcher calls.
    pub(super) fn state(&self, name: &str) -> Result<UnitState> {
        if self.load(name)?.is_none() {
            return Ok(UnitState::Absent);
        }
        let lock = self.try_lock(name)?;
        let note = match &lock {
            Some(_) => {
                if let Err(e) = self.log_of(name).rotate(log::MAX_BYTES) {
                    tracing::warn!(unit = name, error = %e, "its log could not be rotated");
                }
                self.look(name)?
            }
            // Somebody is at it: read only, and believe only in a process that is there.
            None => self.load(name)?.map(|note| UnitNote {
                process: note.process.filter(|process| note.ended.is_some() || process.is_there()),
                ..note
            }),
        };
        let Some(note) = note else { return Ok(UnitState::Absent) };
        Ok(match (&note.process, note.crash()) {
            (Some(process), None) if note.runs() => {
                UnitState::Running { pid: process.pid, since_ms: note.since_ms, restarts: note.restarts }
            }
            (_, Some(ended)) => UnitState::Crashed { detail: ended.how.clone(), restarts: note.restarts },
            _ if note.intent == Intent::Stop => UnitState::Stopped,
            _ => {
                return Err(DriverError::transient(format!(
                    "{name} is being started or stopped by somebody else"
                )));
            }
        })
    }

    /// What a unit has used.
    pub(super) fn usage(&self, name: &str) -> Result<UnitUsage> {
        let note = self.load(name)?.ok_or_else(|| DriverError::Gone { what: format!("the unit {name}") })?;
        Ok(note.process.map(|p| p.usage()).unwrap_or_default())
    }

    /// All units there are notes of.
    pub(super) fn names(root: &Path) -> Result<Vec<String>> {
        let mut names: Vec<String> = super::files::names(&config::units_dir(root))?
            .iter()
            .filter_map(|file| file.strip_suffix(".json"))
            .filter(|name| config::check_unit_name(name).is_ok())
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }

    /// Whether a crashed unit's waiting time is over.
    pub(super) fn restart_due(&self, name: &str) -> Result<bool> {
        if self.load(name)?.is_none() {
            return Ok(false);
        }
        let Some(_lock) = self.try_lock(name)? else { return Ok(false) };
        let Some(mut note) = self.look(name)? else { return Ok(false) };
        let now = now_ms();
        // The clock was set back: count from now, not from a moment to come.
        if let Some(ended) = note.ended.as_mut().filter(|e| e.at_ms > now) {
            ended.at_ms = now;
            self.save(&note)?;
        }
        Ok(note.due(now))
    }

    /// Starts a crashed unit again, when that is due; says whether it did.
    pub(super) async fn restart(&self, name: &str) -> Result<bool> {
        if self.load(name)?.is_none() {
            return Ok(false);
        }
        let lock = self.lock(name).await?;
        let Some(note) = self.blocking(name, Self::look).await?.filter(|note| note.due(now_ms())) else {
            return Ok(false);
        };
        self.launch_and_watch(note.again(&note.spec)).await?;
        drop(lock);
        Ok(true)
    }

    /// Lines of a unit's log.
    pub(super) fn log(&self, name: &str, lines: usize, after: Option<u64>) -> Result<(Vec<String>, u64)> {
        config::check_unit_name(name)?;
        self.log_of(name).read(lines, after)
    }

    /// Runs something that reads files and `/proc` where it holds nobody up.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Self, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (this, name) = (self.clone(), name.to_owned());
        off_thread(move || work(&this, &name)).await
    }
}
