//! The name of this computer and of the one who uses it, for people and for the audit trail.

/// The computer's name.
pub fn name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name =
        kernel.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    name.map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).unwrap_or_else(|| "this computer".to_owned())
}

/// The one who started this program, as `face:anna`.
pub fn actor(face: &str) -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = user.filter(|u| !u.is_empty()).or_else(account).unwrap_or_else(|| "somebody".to_owned());
    let user: String = user.chars().filter(|c| !c.is_control()).take(60).collect();
    format!("{face}:{user}")
}

/// The name of the account this program runs under, where nothing in the environment says it (a service, a container).
#[cfg(unix)]
fn account() -> Option<String> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| line.split(':').nth(2) == Some(&uid);
    let found = accounts.lines().find(|line| of(line)).and_then(|line| line.split(':').next());
    Some(found.map_or_else(|| format!("uid {uid}"), ToOwned::to_owned))
}

#[cfg(not(unix))]
fn account() -> Option<String> {
    None
}
