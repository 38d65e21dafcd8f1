//! Starting a process that has nothing to do with us from then on: its own session, its own output, nothing of our
//! environment, nothing of our open files.

use super::{log::Log, process::MARK};
use clusterdeck_driver::{DriverError, Result, UnitSpec};
use std::{
    ffi::OsString,
    io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::local::files::broken;

/// What a unit needs to be started.
pub(super) struct Launch<'a> {
    /// The unit.
    pub spec: &'a UnitSpec,
    /// The machine's folder, where it starts.
    pub root: &'a Path,
    /// The value of [`MARK`].
    pub mark: &'a str,
    /// Where its pid is noted on systems without `/proc`.
    pub pid_file: &'a Path,
    /// Where its output goes.
    pub log: &'a Log,
}

/// Starts it. The child's pid is the server's own.
pub(super) fn launch(unit: &Launch<'_>) -> Result<Child> {
    let spec = unit.spec;
    check_program(&spec.program)?;
    let failed = |what: &str, e: &io::Error| broken(format!("{what} {}", spec.name), e);
    let output = unit.log.open().map_err(|e| failed("opening the log of", &e))?;
    let errors = output.try_clone().map_err(|e| failed("opening the log of", &e))?;
    let mut command = if spec.unprivileged && rustix::process::geteuid().is_root() {
        let mut command = in_own_session(unit.pid_file, &as_nobody(&spec.program)?);
        command.args(AS_NOBODY).arg(&spec.program);
        command
    } else {
        in_own_session(unit.pid_file, &spec.program)
    };
    command
        .args(&spec.args)
        .current_dir(unit.root)
        .env_clear()
        .envs(environment())
        .env(MARK, unit.mark)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    command.spawn().map_err(|e| failed("starting", &e))
}

/// A command that becomes `program` in a session of its own, so that closing the terminal or the desktop session's
/// process group does not reach it.
///
/// `setsid` (util-linux, on every Linux) makes the session and then *becomes* the program, because a fresh child leads
/// no group: the pid stays. macOS has no such program; there it gets a process group of its own, and the shell notes the
/// pid before it becomes the program, since a lost pid could not be found again without `/proc`.
fn in_own_session(pid_file: &Path, program: &Path) -> Command {
    if cfg!(target_os = "linux")
        && let Some(setsid) = ["/usr/bin/setsid", "/bin/setsid"].iter().find(|p| Path::new(p).exists())
    {
        let mut command = Command::new(setsid);
        command.arg(program);
        return command;
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@""#]).arg(pid_file).arg(program);
    command.process_group(0);
    command
}

/// What makes a program believe that it is not root: a user namespace in which we are nobody. Its files stay ours, so
/// nothing changes hands; over what others own it has no right.
const AS_NOBODY: [&str; 4] = ["--user", "--map-user=nobody", "--map-group=nogroup", "--"];

/// `unshare`, which becomes the program it is given.
fn as_nobody(program: &Path) -> Result<PathBuf> {
    let found = ["/usr/bin/unshare", "/bin/unshare"].iter().map(PathBuf::from).find(|p| p.exists());
    found.ok_or_else(|| {
        DriverError::rejected(
            format!("{} refuses to run as root", program.display()),
            "start Clusterdeck as an ordinary user, or install `unshare` (util-linux)",
        )
    })
}

/// All a server gets to see of our environment: where programs are, and how to write dates and letters.
fn environment() -> Vec<(&'static str, OsString)> {
    let kept = ["PATH", "LANG", "TZ"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut all: Vec<(&'static str, OsString)> = kept.collect();
    if !all.iter().any(|(name, _)| *name == "PATH") {
        all.push(("PATH", OsString::from("/usr/local/bin:/usr/bin:/bin")));
    }
    if !all.iter().any(|(name, _)| *name == "LANG") {
        all.push(("LANG", OsString::from("C.UTF-8")));
    }
    all
}

/// A command that runs a program of a machine as its servers run: what they see of our environment, and as nobody where we
/// are root, since servers' own tools may refuse that.
pub(in crate::local) fn as_servers_run(root: &Path, program: &Path) -> Result<Command> {
    check_program(program)?;
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new(as_nobody(program)?);
        command.args(AS_NOBODY).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(root).env_clear().envs(environment());
    Ok(command)
}

/// A missing program would otherwise only show as exit status 127 of `setsid`.
fn check_program(program: &Path) -> Result<()> {
    let reject = |why: &str| {
        Err(DriverError::rejected(
            format!("{} cannot be started: {why}", program.display()),
            "install the server software again; `clusterdeck doctor` shows what is found and how to install it",
        ))
    };
    if !program.is_absolute() {
        return reject("it is not an absolute path");
    }
    match program.metadata() {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Ok(()),
        Ok(_) => reject("it is not a program"),
        Err(_) => reject("it is not there"),
    }
}

/// Why a server that wrote this ended at once, when that is something a person can mend.
pub(super) fn explain(name: &str, last_words: &str) -> Option<DriverError> {
    let words = last_words.to_ascii_lowercase();
    if words.contains("address already in use") || words.contains("cannot bind socket") {
        return Some(DriverError::rejected(
            format!("{name} did not start: a port it listens on is taken by another program"),
            "stop the program that listens there (`ss -ltnp` names it), then try again",
        ));
    }
    if words.contains("no space left on device") {
        return Some(DriverError::rejected(
            format!("{name} did not start: the disk is full; its data is as it was"),
            "free some disk space (`df -h` shows where it is short), then try again",
        ));
    }
    None
}

/// Keeps descriptors that we inherited ourselves (a shell's, a build tool's) from every server started later. Those we
/// open are closed on their own. Called once, before anything is started, so that nobody's hand-over is disturbed.
pub(in crate::local) fn keep_inherited_files_to_ourselves() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| close_fds::set_fds_cloexec_threadsafe(3, &[]));
}

/// Where the pid of a unit is noted on systems without `/proc`.
pub(super) fn pid_file(root: &Path, name: &str) -> PathBuf {
    crate::local::config::units_dir(root).join(format!("{name}.pid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_and_a_full_disk_are_recognised_and_other_words_are_not() {
        let redis = "Warning: Could not create server TCP listening socket 127.0.0.1:6379: bind: Address already in use";
        assert!(explain("redis", redis).unwrap().to_string().contains("port"), "redis");
        let haproxy =
            "[ALERT] (1) : Starting frontend x: cannot bind socket (Address already in use) [127.0.0.1:80]";
        assert!(explain("haproxy", haproxy).is_some(), "haproxy");
        assert!(explain("x", "write: No space left on device").unwrap().to_string().contains("disk"), "full");
        assert!(explain("x", "Bad directive or wrong number of arguments").is_none(), "not ours to explain");
    }
}
