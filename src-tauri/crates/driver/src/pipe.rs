//! Pipes to programs.

/// What Linux gives without asking for more rights (`/proc/sys/fs/pipe-max-size`). Bytes.
#[cfg(target_os = "linux")]
const WIDE: usize = 1 << 20;

/// Lets as much wait in a pipe as it may: with the usual 64 KiB both ends of a large copy wake each other for every piece. Where
/// that is not to be had it stays as it is, and works.
#[cfg(target_os = "linux")]
pub fn widen(pipe: &impl std::os::fd::AsFd) {
    rustix::pipe::fcntl_setpipe_size(pipe, WIDE).ok();
}

/// Elsewhere the system sizes its pipes by itself.
#[cfg(not(target_os = "linux"))]
pub fn widen<T>(_pipe: &T) {}
