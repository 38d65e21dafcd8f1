//! A file that shall be on the disk when it is done: what is written is sent there on the way, so that little is left to wait for
//! at the end, and what fills the memory of the computer meanwhile has a bound.

use std::{
    fs::File,
    io::{self, Write},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

/// Bytes after which the disk is asked to take what it has not.
const EVERY: usize = 32 << 20;

/// See the module.
pub(crate) struct Syncing {
    file: File,
    since: usize,
    /// The thread that asks the disk, and its ear; it ends with the first error, which nobody else would hear: a disk tells each once.
    asking: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
}

impl Syncing {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let same = file.try_clone()?;
        let (ask, asked) = sync_channel(1);
        let thread = thread::Builder::new().name("sync".to_owned());
        let thread = thread.spawn(move || asked.into_iter().try_for_each(|()| same.sync_data()))?;
        Ok(Self { file, since: 0, asking: Some((ask, thread)) })
    }

    fn end(&mut self) -> io::Result<()> {
        let Some((ask, thread)) = self.asking.take() else { return Ok(()) };
        drop(ask);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs ended without a word")))
    }

    /// Nothing more comes. The last of it is still to be synced.
    pub(crate) fn done(mut self) -> io::Result<File> {
        self.end()?;
        self.file.try_clone()
    }
}

impl Write for Syncing {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.since += n;
        if self.since >= EVERY {
            self.since = 0;
            if let Some((ask, _)) = &self.asking {
                // One that is under way is enough; of one that failed the end tells.
                ask.try_send(()).ok();
            }
        }
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        drop(self.end());
    }
}
