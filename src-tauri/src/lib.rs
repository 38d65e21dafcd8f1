//! The desktop shell: a window, a tray, three commands. Everything it can do is a route of the api; nothing about clusters
//! is decided here.
//!
//! Start: look for a screen, start the log, open the window, and only then open the home (`opening`), so that the first
//! paint never waits for a database. Leaving (`quit`) lets operations settle; servers always keep running.

mod compose;
mod follow;
mod ipc;
mod log;
mod notify;
mod opening;
mod quit;
mod saving;
mod screen;
mod tray;
mod window;

use crate::follow::Wishes;
use crate::ipc::Streams;
use crate::opening::Opening;
use crate::quit::Leaving;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tauri::{App, AppHandle, Manager as _, RunEvent, WindowEvent};
use tauri_plugin_window_state::StateFlags;

/// Runs the app until it is left.
pub fn run() -> ExitCode {
    if let Err(words) = screen::prepare() {
        eprintln!("{words}");
        return ExitCode::FAILURE;
    }
    let home = compose::home();
    if let Err(error) = log::start(&home) {
        eprintln!("clusterdeck-desktop: no log can be written to {}: {error}", home.join("logs").display());
    }
    match build(&home) {
        Ok(app) => {
            app.run(on_event);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "the window cannot be opened");
            eprintln!(
                "clusterdeck-desktop: the window cannot be opened: {error}\nServers that run are not affected."
            );
            ExitCode::FAILURE
        }
    }
}

fn build(home: &Path) -> tauri::Result<App> {
    let mut builder = tauri::Builder::default();
    if let Some(plugin) = single_instance(home) {
        // First of all plugins: a second instance must end before it does anything.
        builder = builder.plugin(plugin);
    }
    let home = home.to_owned();
    builder
        .plugin(
            tauri_plugin_window_state::Builder::new()
                // Whether it is visible is decided here: hidden until painted, never hidden at the next start.
                .with_state_flags(StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED)
                .build(),
        )
        .plugin(tauri_plugin_notification::init())
        .manage(Opening::new())
        .manage(Arc::new(Streams::default()))
        .manage(Arc::new(Leaving::default()))
        .manage(Wishes::default())
        .invoke_handler(tauri::generate_handler![ipc::request, ipc::stream, saving::save])
        .on_window_event(|window, event| {
            if let WindowEvent::CloseRequested { api, .. } = event {
                api.prevent_close();
                closed(window.app_handle());
            }
        })
        .setup(move |app| {
            let app = app.handle();
            window::make(app)?;
            begin(app, home);
            Ok(())
        })
        .build(tauri::generate_context!())
}

/// Starts what runs beside the window. Each task ends when the app is left.
fn begin(app: &AppHandle, home: std::path::PathBuf) {
    let opening = app.state::<Opening>().inner().clone();
    let leaving = Arc::clone(&app.state::<Arc<Leaving>>());
    let tray = tray::make(app);
    let follow = follow::follow(app.clone(), opening.clone(), tray);
    let signals = quit::signalled(app.clone());
    let start = |work| {
        let token = leaving.token.clone();
        let work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = work;
        leaving.tasks.spawn_on(
            async move {
                token.run_until_cancelled(work).await;
            },
            tauri::async_runtime::handle().inner(),
        );
    };
    start(Box::pin(async move { opening.opened(compose::open(&home).await) }));
    start(Box::pin(follow));
    start(Box::pin(signals));
}

fn on_event(app: &AppHandle, event: RunEvent) {
    match event {
        RunEvent::ExitRequested { api, .. } if !quit::is_settled(app) => {
            api.prevent_exit();
            quit::ask(app);
        }
        // macOS: a click on the dock icon.
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::focus(app),
        _ => {}
    }
}

/// The window was closed: it goes to the tray where there is one and the settings say so; else the app is left.
fn closed(app: &AppHandle) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let wishes = app.state::<Wishes>().now();
    if !(wishes.close_to_tray && tray::is_seen(app)) {
        return quit::ask(app);
    }
    window::hide(app);
    if wishes.notifications && !TOLD.swap(true, Ordering::Relaxed) {
        notify::say(app, &notify::still_here());
    }
}

/// One window a home: a second start focuses the first. Off in tests, which start many at once.
fn single_instance(home: &Path) -> Option<tauri::plugin::TauriPlugin<tauri::Wry>> {
    if std::env::var_os("CLUSTERDECK_NO_SINGLE_INSTANCE").is_some() {
        return None;
    }
    // Only D-Bus names can carry the home; elsewhere another home means a window that does not look for others.
    let ours = home == clusterdeck_api::default_home();
    if !(ours || cfg!(target_os = "linux")) {
        return None;
    }
    let real = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let mark: String =
        Sha256::digest(real.as_os_str().as_encoded_bytes())[..8].iter().map(|b| format!("{b:02x}")).collect();
    let plugin = tauri_plugin_single_instance::Builder::new()
        .callback(|app, _, _| window::focus(app))
        .dbus_id(format!("io.clusterdeck.desktop.h{mark}"));
    Some(plugin.build())
}
