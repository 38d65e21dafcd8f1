//! The thread that asks a keyring or a vault, and the limit on each call.
//!
//! Waiting is done on a blocking thread with the system's clock: a call to a keyring can neither be interrupted nor
//! awaited, and a runtime whose clock is paused (in tests) must not cut it short.

use async_trait::async_trait;
use clusterdeck_domain::{SecretRef, Sensitive};
use clusterdeck_engine::repository::{SecretError, SecretRepository};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How many calls may wait.
const QUEUE: usize = 64;

/// A place for secrets that answers when it can.
pub(crate) trait Backend: Send + 'static {
    /// What it is, for people.
    fn describe(&self) -> String;
    /// Keeps a secret.
    fn put(&mut self, at: &SecretRef, value: &Sensitive<String>) -> Result<(), SecretError>;
    /// Recalls one.
    fn get(&mut self, at: &SecretRef) -> Result<Option<Sensitive<String>>, SecretError>;
    /// Forgets one.
    fn remove(&mut self, at: &SecretRef) -> Result<(), SecretError>;
    /// Why an answer may take longer than the limit.
    fn late() -> SecretError;
}

type Job<B> = Box<dyn FnOnce(&mut B) + Send>;

/// A backend on its own thread.
pub(crate) struct Worker<B: Backend> {
    description: String,
    jobs: Option<SyncSender<Job<B>>>,
    /// A call is under way: the thread cannot be joined soon.
    busy: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    wait: Duration,
}

impl<B: Backend> Worker<B> {
    pub(crate) fn start(name: &str, mut backend: B, wait: Duration) -> Result<Self, SecretError> {
        let description = backend.describe();
        let (jobs, queue): (_, Receiver<Job<B>>) = sync_channel(QUEUE);
        let busy = Arc::new(AtomicBool::new(false));
        let at_work = Arc::clone(&busy);
        let work = move || {
            while let Ok(job) = queue.recv() {
                at_work.store(true, Ordering::Release);
                job(&mut backend);
                at_work.store(false, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|e| SecretError::Failed(format!("its thread could not be started ({e})")))?;
        Ok(Self { description, jobs: Some(jobs), busy, thread: Mutex::new(Some(thread)), wait })
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut B) -> Result<T, SecretError> + Send + 'static,
    ) -> Result<T, SecretError> {
        let ended = || SecretError::Failed("it was closed".to_owned());
        let (answer, answered) = sync_channel(1);
        let given_up = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&given_up);
        let job: Job<B> = Box::new(move |backend| {
            // Whoever asked has been told that it failed; to do it now would surprise them.
            if !stop.load(Ordering::Acquire) {
                let _gone = answer.try_send(job(backend)).is_err();
            }
        });
        match self.jobs.as_ref().ok_or_else(ended)?.try_send(job) {
            Ok(()) => {}
            // The one in front waits for a person, and so many behind it already.
            Err(TrySendError::Full(_)) => return Err(B::late()),
            Err(TrySendError::Disconnected(_)) => return Err(ended()),
        }
        let wait = self.wait;
        let waited = tokio::task::spawn_blocking(move || answered.recv_timeout(wait));
        match waited.await {
            Ok(Ok(result)) => result,
            Ok(Err(std::sync::mpsc::RecvTimeoutError::Timeout)) => {
                given_up.store(true, Ordering::Release);
                Err(B::late())
            }
            Ok(Err(std::sync::mpsc::RecvTimeoutError::Disconnected)) | Err(_) => Err(ended()),
        }
    }
}

impl<B: Backend> Drop for Worker<B> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // One that waits for a person's answer to a dialog ends with the process.
        if let Some(thread) = thread
            && !self.busy.load(Ordering::Acquire)
            && thread.join().is_err()
        {
            tracing::error!("the thread of the secrets ended in a panic");
        }
    }
}

#[async_trait]
impl<B: Backend> SecretRepository for Worker<B> {
    fn describe(&self) -> String {
        self.description.clone()
    }
    async fn put(&self, at: &SecretRef, value: &Sensitive<String>) -> Result<(), SecretError> {
        let (at, value) = (at.clone(), value.clone());
        self.call(move |backend| backend.put(&at, &value)).await
    }
    async fn get(&self, at: &SecretRef) -> Result<Option<Sensitive<String>>, SecretError> {
        let at = at.clone();
        self.call(move |backend| backend.get(&at)).await
    }
    async fn remove(&self, at: &SecretRef) -> Result<(), SecretError> {
        let at = at.clone();
        self.call(move |backend| backend.remove(&at)).await
    }
}
