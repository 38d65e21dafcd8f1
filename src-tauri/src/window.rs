//! The one window: made hidden and shown when its page is there, kept on its own page, saving downloads where people
//! look for them.

use crate::ipc::Streams;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tauri::webview::{DownloadEvent, NewWindowResponse, PageLoadEvent};
use tauri::{AppHandle, Manager as _, Url, WebviewWindow, WebviewWindowBuilder};

/// Its label in tauri.conf.json and in the capability.
const MAIN: &str = "main";

/// Under `LANG=C.UTF-8` WebKitGTK says its language is `C`, which is none: `Intl` throws, and with it every library that
/// asks for the user's number format.
const LANGUAGE: &str = "try { new Intl.Locale(navigator.language) } catch {
    Object.defineProperty(navigator, 'language', { get: () => 'en-US' });
    Object.defineProperty(navigator, 'languages', { get: () => ['en-US'] });
}";

/// Makes the window.
pub(crate) fn make(app: &AppHandle) -> tauri::Result<WebviewWindow> {
    let config = app.config().app.windows.iter().find(|w| w.label == MAIN).cloned().unwrap_or_default();
    let window = WebviewWindowBuilder::from_config(app, &config)?
        .initialization_script(LANGUAGE)
        .on_navigation(is_ours)
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .on_download(|webview, event| {
            if let DownloadEvent::Requested { url, destination } = event {
                let from_url = || Some(PathBuf::from(url.path_segments()?.next_back()?));
                let name = destination.file_name().map(PathBuf::from).or_else(from_url);
                let Some(place) = name.and_then(|name| place_for(webview.app_handle(), &name)) else {
                    return false;
                };
                *destination = place;
            }
            true
        })
        .on_page_load(|window, page| match page.event() {
            // Whatever the page before had open listens no more.
            PageLoadEvent::Started => window.state::<Arc<Streams>>().close_all(),
            PageLoadEvent::Finished => show(&window),
        })
        .build()?;
    Ok(window)
}

/// Brings the window to the front.
pub(crate) fn focus(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(MAIN) {
        show(&window);
        log_failure("focused", window.set_focus());
    }
}

/// Hides it; what is watched goes on being watched.
pub(crate) fn hide(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(MAIN) {
        log_failure("hidden", window.hide());
    }
}

/// Whether somebody is looking at it.
pub(crate) fn is_focused(app: &AppHandle) -> bool {
    app.get_webview_window(MAIN)
        .is_some_and(|w| w.is_focused().unwrap_or(false) && w.is_visible().unwrap_or(false))
}

/// Gives the title bar the theme chosen in the settings; anything but `light` and `dark` follows the system.
pub(crate) fn set_theme(app: &AppHandle, theme: &str) {
    let theme = match theme {
        "light" => Some(tauri::Theme::Light),
        "dark" => Some(tauri::Theme::Dark),
        _ => None,
    };
    if let Some(window) = app.get_webview_window(MAIN) {
        log_failure("given its theme", window.set_theme(theme));
    }
}

fn show(window: &WebviewWindow) {
    log_failure("unminimised", window.unminimize());
    log_failure("shown", window.show());
}

fn log_failure(what: &str, result: tauri::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the window could not be {what}");
    }
}

/// The window shows its own page and nothing else, whatever a link says.
fn is_ours(url: &Url) -> bool {
    url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost") || url.as_str() == "about:blank"
}

/// A name in the downloads folder that is not taken.
pub(crate) fn place_for(app: &AppHandle, name: &Path) -> Option<PathBuf> {
    let folder = app.path().download_dir().or_else(|_| app.path().home_dir()).ok()?;
    std::fs::create_dir_all(&folder).ok()?;
    free_name(&folder, name)
}

fn free_name(folder: &Path, name: &Path) -> Option<PathBuf> {
    let stem = name.file_stem()?.to_string_lossy().into_owned();
    let ending = name.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    (0..1000)
        .map(|n| if n == 0 { format!("{stem}{ending}") } else { format!("{stem} ({n}){ending}") })
        .map(|name| folder.join(name))
        .find(|path| !path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_stays_on_its_own_page() {
        let ours = |text: &str| is_ours(&text.parse().expect("an address"));
        assert!(ours("tauri://localhost/clusters"), "its page");
        assert!(ours("http://tauri.localhost/"), "its page on Windows");
        assert!(!ours("https://example.org/"), "a link out");
        assert!(!ours("http://localhost:8080/"), "another program's page");
        assert!(!ours("file:///etc/passwd"), "a file");
    }

    #[test]
    fn a_download_never_replaces_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = |name: &str| free_name(folder.path(), Path::new(name)).expect("a free name");
        assert_eq!(name("cpu.svg"), folder.path().join("cpu.svg"), "its own name first");
        std::fs::write(folder.path().join("cpu.svg"), "").expect("a file");
        assert_eq!(name("cpu.svg"), folder.path().join("cpu (1).svg"), "then a number");
    }
}
