//! Processes on systems without `/proc` (macOS), through the `sysinfo` library. Compiled and tested everywhere.

use super::process::{Marked, ProcessId};
use clusterdeck_driver::UnitUsage;
use std::{
    path::Path,
    time::{Duration, UNIX_EPOCH},
};
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

fn with<T>(pid: u32, what: ProcessRefreshKind, see: impl FnOnce(&sysinfo::Process) -> T) -> Option<T> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    system
        .process(pid)
        .filter(|p| !matches!(p.status(), ProcessStatus::Zombie | ProcessStatus::Dead))
        .map(see)
}

/// The process with this pid; the start time is absolute, so the boot does not matter.
pub(super) fn identify(pid: u32) -> Option<ProcessId> {
    with(pid, ProcessRefreshKind::nothing(), |p| ProcessId {
        pid,
        started: p.start_time(),
        boot: String::new(),
    })
}

/// Processor time and resident memory.
pub(super) fn usage(pid: u32) -> UnitUsage {
    with(pid, ProcessRefreshKind::nothing().with_cpu().with_memory(), |p| UnitUsage {
        cpu_ms: Some(p.accumulated_cpu_time()),
        memory_bytes: Some(p.memory()),
    })
    .unwrap_or_default()
}

/// The process that the start-up shell noted, unless the pid went to somebody that started much later than the note.
pub(super) fn marked(pid_file: &Path) -> Vec<Marked> {
    let noted = std::fs::metadata(pid_file).and_then(|m| m.modified()).ok();
    let pid = std::fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let (Some(noted), Some(pid)) = (noted, pid) else { return Vec::new() };
    identify(pid)
        // The shell started, noted its pid and became the server, all within a moment; a second is the grain of `started`.
        .filter(|id| UNIX_EPOCH + Duration::from_secs(id.started) <= noted + Duration::from_secs(1))
        .map(|id| Marked { id, leader: true })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_pid_is_found_and_one_that_started_after_the_note_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("unit.pid");
        std::fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(marked(&file).len(), 1, "this process started before the note");
        let old = std::fs::File::options().write(true).open(&file).unwrap();
        old.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
        assert!(marked(&file).is_empty(), "this process started after the note: the pid is somebody else's");
    }

    #[test]
    fn what_it_says_of_this_process_is_plausible() {
        let me = identify(std::process::id()).unwrap();
        assert!(me.started > 1_500_000_000, "seconds since 1970: {}", me.started);
        assert!(usage(me.pid).memory_bytes.unwrap() > 100_000, "a test binary is larger than that");
    }
}
