//! The lock of a home: whoever holds it hosts the engine.

use crate::problem::{Code, Problem};
use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

/// A held lock. The system lets go of it when the process ends, however it ends.
pub(crate) struct Lock(#[allow(dead_code, reason = "held open for as long as the lock is held")] File);

impl Lock {
    /// Takes the lock, or says that somebody else has it.
    pub(crate) fn take(home: &Path) -> Result<Option<Self>, Problem> {
        let path = home.join("lock");
        let failed = |error: std::io::Error| {
            Problem::new(Code::StoreBroken, format!("{} cannot be locked: {error}", path.display()))
                .detail("Nothing was changed; the servers keep running.")
                .hint("Check the folder's owner and permissions, or name another home.")
        };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lock_at_a_time_and_it_is_free_again_when_let_go() {
        let home = tempfile::tempdir().expect("a folder");
        let held = Lock::take(home.path()).expect("usable").expect("free");
        assert!(Lock::take(home.path()).expect("usable").is_none(), "a second one must not get it");
        drop(held);
        assert!(Lock::take(home.path()).expect("usable").is_some(), "free again");
    }
}
