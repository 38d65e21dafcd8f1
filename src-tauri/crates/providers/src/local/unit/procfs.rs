//! Processes as `/proc` shows them.

use super::process::{MARK, Mark, Marked, ProcessId};
use clusterdeck_driver::UnitUsage;
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// What we use of `/proc/<pid>/stat`; times in ticks, memory in pages.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    group: u32,
    cpu: u64,
    children_cpu: u64,
    started: u64,
    resident: u64,
}

/// Reads the line; the name in brackets may hold anything, so counting begins behind the last one.
fn parse(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        group: fields.get(2)?.parse().ok()?,
        cpu: number(11)? + number(12)?,
        children_cpu: number(13)? + number(14)?,
        started: number(19)?,
        resident: number(21)?,
    })
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn boot() -> String {
    // Read each time: the file is made by the kernel as it is read, there is nothing to cache.
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The process with this pid; its remains only when asked for.
pub(super) fn identify(pid: u32, remains: bool) -> Option<ProcessId> {
    let stat = stat(pid)?;
    if matches!(stat.state, 'Z' | 'X' | 'x') && !remains {
        return None;
    }
    Some(ProcessId { pid, started: stat.started, boot: boot() })
}

/// Processor time with that of its children, ended ones and direct ones that live; resident memory of the same.
pub(super) fn usage(pid: u32) -> UnitUsage {
    let Some(own) = stat(pid) else { return UnitUsage::default() };
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut ticks = own.cpu + own.children_cpu;
    let mut pages = own.resident;
    // Some servers do their work in one child (haproxy's worker). A forked snapshot shares its parent's memory, so
    // counting it as well would show twice what is used: only the largest of them counts.
    for child in children.split_whitespace().filter_map(|c| c.parse().ok()).filter_map(stat) {
        ticks += child.cpu + child.children_cpu;
        pages = pages.max(child.resident);
    }
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    UnitUsage {
        cpu_ms: Some(ticks.saturating_mul(1000) / per_second),
        memory_bytes: Some(pages.saturating_mul(rustix::param::page_size() as u64)),
    }
}

/// All processes of ours with this mark: in the environment they were started with, or by where their output goes.
pub(super) fn marked(mark: &Mark<'_>) -> Vec<Marked> {
    let log = file_of(mark.log);
    let variable = format!("{MARK}={}", mark.text);
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            (log.is_some() && file_of(Path::new(&format!("/proc/{pid}/fd/1"))) == log)
                || fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == variable.as_bytes()))
        })
        .filter_map(|pid| {
            // Looked at last: what was read above was of this process or of one that has ended.
            let id = identify(pid, false)?;
            Some(Marked { leader: stat(pid)?.group == pid, id })
        })
        .collect()
}

fn file_of(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = "42 (a) S 1) R 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 98765 5555 12 18446744073709551615";
        let stat = parse(line).unwrap();
        let expected =
            Stat { state: 'R', group: 42, cpu: 30, children_cpu: 70, started: 98765, resident: 12 };
        assert_eq!(stat, expected);
    }

    #[test]
    fn this_process_is_there_and_has_used_something() {
        let me = identify(std::process::id(), false).unwrap();
        assert!(me.started > 0 && !me.boot.is_empty(), "{me:?}");
        assert!(usage(me.pid).memory_bytes.unwrap() > 100_000, "a test binary is larger than that");
    }
}
