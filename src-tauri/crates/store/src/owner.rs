//! The thread that owns a database, and the bounded queue to it.

use crate::fault::{Fault, Place};
use clusterdeck_engine::repository::{RepositoryError, Result};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// How many calls may wait; further callers wait for a place. Twice what the watchers of a large home ask at once.
const QUEUE: usize = 64;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread with something only it may touch. Dropping the owner lets it finish what was asked and waits for its end, so
/// that the file is closed afterwards.
pub(crate) struct Owner<S> {
    jobs: Option<mpsc::Sender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
    place: Place,
}

impl<S: Send + 'static> Owner<S> {
    /// Starts the thread. `between` runs after every call, when its answer is already on the way.
    pub(crate) fn start(
        place: Place,
        mut owned: S,
        mut between: impl FnMut(&mut S) + Send + 'static,
    ) -> Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job<S>>(QUEUE);
        let work = move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut owned);
                between(&mut owned);
            }
        };
        let thread = std::thread::Builder::new()
            .name(place.name().to_owned())
            .spawn(work)
            .map_err(|e| place.broken(&format!("its thread could not be started ({e})")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), place })
    }

    /// Lets the owning thread do `job` and waits for its answer. Every statement ends by itself (waiting for another
    /// process's lock is limited by the busy timeout), so this does too. A caller that goes away does not undo its job.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> std::result::Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job<S> = Box::new(move |owned| {
            // Nobody may be waiting any more; what was done stays done.
            let _gone = answer.send(job(owned)).is_err();
        });
        let jobs = self.jobs.as_ref().ok_or_else(|| self.ended())?;
        jobs.send(job).await.map_err(|_| self.ended())?;
        let result = answered.await.map_err(|_| self.ended())?;
        result.map_err(|fault| self.place.tell(fault))
    }

    fn ended(&self) -> RepositoryError {
        self.place.broken("it was closed. The servers keep running; start Clusterdeck again")
    }
}

impl<S> Drop for Owner<S> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(file = %self.place.path.display(), "the thread of the database ended in a panic");
        }
    }
}
