//! Leaving. Servers keep running; operations under way get a moment to finish, and what has not is taken up again at the
//! next start.

use crate::ipc::Streams;
use crate::opening::Opening;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tauri::{AppHandle, Manager as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long operations get to finish: a step is short, and each may be repeated.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long everything together may take before the process ends anyway.
const LIMIT: Duration = Duration::from_secs(18);

/// Tells the shell's tasks to end, and waits for them.
#[derive(Default)]
pub(crate) struct Leaving {
    asked: AtomicBool,
    done: AtomicBool,
    /// Cancelled when the app is left.
    pub(crate) token: CancellationToken,
    /// The shell's own tasks.
    pub(crate) tasks: TaskTracker,
}

/// Begins to leave: hides the window, ends the tasks, lets the engine settle, then exits. Asked again it does nothing.
pub(crate) fn ask(app: &AppHandle) {
    let leaving = app.state::<Arc<Leaving>>();
    if leaving.asked.swap(true, Ordering::AcqRel) {
        return;
    }
    crate::window::hide(app);
    let app = app.clone();
    // This task ends by ending the process, so nobody can wait for it.
    tauri::async_runtime::spawn(async move {
        if tokio::time::timeout(LIMIT, settle(&app)).await.is_err() {
            tracing::error!("not everything ended in time; it is taken up again at the next start");
        }
        app.state::<Arc<Leaving>>().done.store(true, Ordering::Release);
        app.exit(0);
    });
}

/// Waits for the system to ask for the end (log-out, `kill`, Ctrl-C) and leaves.
pub(crate) async fn signalled(app: AppHandle) {
    if let Err(error) = asked_by_system().await {
        tracing::warn!(%error, "signals cannot be heard");
        return std::future::pending().await;
    }
    tracing::info!("asked to end by a signal");
    ask(&app);
}

#[cfg(unix)]
async fn asked_by_system() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn asked_by_system() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// Whether everything was settled and the process may end.
pub(crate) fn is_settled(app: &AppHandle) -> bool {
    app.state::<Arc<Leaving>>().done.load(Ordering::Acquire)
}

async fn settle(app: &AppHandle) {
    let leaving = Arc::clone(&app.state::<Arc<Leaving>>());
    leaving.token.cancel();
    leaving.tasks.close();
    Arc::clone(&app.state::<Arc<Streams>>()).shut().await;
    leaving.tasks.wait().await;
    if let Some(front) = app.state::<Opening>().now() {
        front.close(PATIENCE).await;
    }
}
