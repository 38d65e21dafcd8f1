//! Bringing the data of a server elsewhere into a cluster. The source's data is only read; what must be made there meanwhile (a
//! session, a publication with its slot) is told in the preview and taken away again.

use clusterdeck_domain::{BehindIn, MigrateIn, SourceUrl};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Lines of its log that wait to be written down.
const LINES: usize = 512;

/// What is brought in.
#[derive(Debug, Clone)]
pub struct Migration {
    /// From where, with the password.
    pub from: SourceUrl,
    /// The cluster's own of the same name is replaced.
    pub replace: bool,
    /// The cluster held nothing when this was confirmed: all that is in it came from the source.
    pub fresh: bool,
    /// It follows the source until it is told to cut over.
    pub follow: bool,
    /// The source can be followed while clients write to it: that was found, and told, when this was confirmed
    /// ([`clusterdeck_domain::SourceReport::online`]).
    pub online: bool,
}

impl Migration {
    /// What somebody asks for, before anything was found out.
    pub fn wished(wish: &MigrateIn) -> Self {
        let from = wish.source();
        Self { from, replace: wish.replace, fresh: false, follow: wish.follow, online: false }
    }
}

/// Between the driver that brings data in and whoever watches it.
#[derive(Debug)]
pub struct Passage {
    cut_over: watch::Sender<bool>,
    behind: Mutex<Option<(u64, BehindIn)>>,
    lines: Mutex<VecDeque<(Instant, String)>>,
}

impl Default for Passage {
    fn default() -> Self {
        Self { cut_over: watch::channel(false).0, behind: Mutex::default(), lines: Mutex::default() }
    }
}

impl Passage {
    /// Somebody said that it shall end now.
    pub fn cut_over(&self) {
        self.cut_over.send_replace(true);
    }
    /// Whether somebody said so.
    pub fn ends(&self) -> bool {
        *self.cut_over.borrow()
    }
    /// Waits until somebody says so.
    pub async fn until_cut_over(&self) {
        // The sender is ours: it cannot go before us.
        drop(self.cut_over.subscribe().wait_for(|said| *said).await);
    }
    /// How far the cluster is behind its source, and in what that is counted; `None` while the first copy is made.
    pub fn behind(&self) -> Option<(u64, BehindIn)> {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Says so, in changes.
    pub fn set_behind(&self, behind: Option<u64>) {
        self.set_behind_in(behind, BehindIn::Changes);
    }
    /// Says so, in whatever the source counts.
    pub fn set_behind_in(&self, behind: Option<u64>, unit: BehindIn) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = behind.map(|n| (n, unit));
    }
    /// A line of the log that is kept. The oldest go when nobody writes them down.
    pub fn log(&self, line: impl Into<String>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= LINES {
            lines.pop_front();
        }
        lines.push_back((Instant::now(), line.into()));
    }
    /// Takes the lines that nobody has written down yet, each with how long ago it was said.
    pub fn lines(&self) -> Vec<(Duration, String)> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.drain(..).map(|(said, line)| (said.elapsed(), line)).collect()
    }
}
