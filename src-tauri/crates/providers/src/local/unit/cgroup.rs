//! Limits through cgroup v2, where this user may set them: root everywhere, others below what systemd hands their
//! session. One group per machine, in it one per unit; a group's files are the interface, nothing else is needed.
//!
//! ```text
//! <granted>/clusterdeck/<machine>/cpu.max, memory.max      the plan
//! <granted>/clusterdeck/<machine>/<unit>/memory.max        the unit's own limit; its process is in here
//! ```

use clusterdeck_domain::{MachineId, Plan};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const NEEDED: [&str; 2] = ["memory", "cpu"];

/// The group below which this process may make others with limits; `None` where there is none.
pub(in crate::local) fn granted() -> Option<PathBuf> {
    if cfg!(target_os = "linux") { granted_in(Path::new("/")) } else { None }
}

/// As [`granted`], for the system whose files lie below `root`.
///
/// A group that holds processes cannot pass controllers on (except the topmost), so our own is none: the nearest one
/// above it that passes on both and is ours to write is. Servers then are beside the app's group, not in it, and stay
/// when the desktop ends that one.
fn granted_in(root: &Path) -> Option<PathBuf> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let mount = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| place.split(' ').nth(4).map(str::to_owned))?
    })?;
    let top = root.join(mount.trim_start_matches('/'));
    top.join(own)
        .ancestors()
        .take_while(|dir| dir.starts_with(&top))
        .find(|dir| grants(dir))
        .map(Path::to_path_buf)
}

fn grants(dir: &Path) -> bool {
    let passed_on = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    NEEDED.iter().all(|need| passed_on.split_whitespace().any(|c| c == *need))
        && writable(dir)
        && writable(&dir.join("cgroup.procs"))
}

/// The group of one machine.
#[derive(Debug, Clone)]
pub(in crate::local) struct Group(PathBuf);

impl Group {
    /// Makes the group of a machine with the limits of its plan, or finds it.
    pub(in crate::local) fn ensure(granted: &Path, machine: &MachineId, plan: &Plan) -> io::Result<Self> {
        let Self(dir) = Self::of(granted, machine);
        fs::create_dir_all(&dir)?;
        for group in [granted.join("clusterdeck"), dir.clone()] {
            fs::write(group.join("cgroup.subtree_control"), "+memory +cpu")?;
        }
        // A period of 100 ms, the kernel's own default.
        fs::write(dir.join("cpu.max"), format!("{} 100000", u64::from(plan.cpus) * 100_000))?;
        fs::write(dir.join("memory.max"), plan.memory_bytes.to_string())?;
        Ok(Self(dir))
    }
    /// The group of a machine, whether it is there or not.
    pub(in crate::local) fn of(granted: &Path, machine: &MachineId) -> Self {
        Self(granted.join("clusterdeck").join(machine.as_str()))
    }
    /// Puts a unit's process into its own group.
    pub(super) fn admit(&self, unit: &str, memory_bytes: Option<u64>, pid: u32) -> io::Result<()> {
        let dir = self.0.join(unit);
        fs::create_dir_all(&dir)?;
        fs::write(
            dir.join("memory.max"),
            memory_bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string()),
        )?;
        fs::write(dir.join("cgroup.procs"), pid.to_string())
    }
    /// Takes the groups away; processes are gone by now. What cannot go holds nothing and costs nothing.
    pub(in crate::local) fn remove(&self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                drop(fs::remove_dir(entry.path()));
            }
        }
        drop(fs::remove_dir(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system on paper: a user's session as systemd makes it, with our app in a group that holds processes.
    fn session(passes_on: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let slice = root.path().join("sys/fs/cgroup/user.slice/app.slice");
        fs::create_dir_all(slice.join("app-us.scope")).unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let put = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        put("proc/self/cgroup", "0::/user.slice/app.slice/app-us.scope\n");
        put(
            "proc/self/mountinfo",
            "22 1 0:21 / /proc rw - proc proc rw\n30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        put("sys/fs/cgroup/user.slice/app.slice/app-us.scope/cgroup.subtree_control", "");
        put("sys/fs/cgroup/user.slice/app.slice/app-us.scope/cgroup.procs", "");
        put("sys/fs/cgroup/user.slice/app.slice/cgroup.subtree_control", passes_on);
        put("sys/fs/cgroup/user.slice/app.slice/cgroup.procs", "");
        root
    }

    #[test]
    fn the_nearest_group_that_passes_on_memory_and_cpu_is_used() {
        let root = session("cpu memory pids");
        let expected = root.path().join("sys/fs/cgroup/user.slice/app.slice");
        assert_eq!(granted_in(root.path()), Some(expected));
    }

    #[test]
    fn without_the_cpu_controller_the_servers_own_settings_have_to_do() {
        assert_eq!(granted_in(session("memory pids").path()), None);
        assert_eq!(granted_in(tempfile::tempdir().unwrap().path()), None, "no cgroups at all");
    }

    #[test]
    fn a_version_1_system_with_an_empty_version_2_mount_grants_nothing() {
        let root = session("hugetlb");
        fs::write(root.path().join("proc/self/cgroup"), "4:memory:/x\n1:cpu:/\n0::/\n").unwrap();
        assert_eq!(granted_in(root.path()), None);
    }

    #[test]
    fn the_plan_stands_in_the_machines_group_and_the_process_in_the_units() {
        let root = tempfile::tempdir().unwrap();
        let plans = crate::local::plans::plans();
        let plan = plans.into_iter().find(|p| p.id.as_str() == "SMALL-1C-2G").unwrap();
        let machine = MachineId::new(7);
        let group = Group::ensure(root.path(), &machine, &plan).unwrap();
        group.admit("server", Some(1000), 42).unwrap();
        let read = |path: &str| fs::read_to_string(group.0.join(path)).unwrap();
        assert_eq!(read("cpu.max"), "100000 100000", "one core");
        assert_eq!(read("memory.max"), (2_u64 << 30).to_string());
        assert_eq!(
            (read("server/memory.max").as_str(), read("server/cgroup.procs").as_str()),
            ("1000", "42")
        );
    }
}
