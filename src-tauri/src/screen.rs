//! Before anything else: is there a screen, and does the web view know how to draw on it?

/// Says why no window can be opened, or makes ready for one. Must be called first in `main`, before any thread starts.
#[cfg(target_os = "linux")]
pub(crate) fn prepare() -> Result<(), String> {
    // The DMA-BUF renderer costs about 80 MB and 100 ms at the start (measured, see ARCHITECTURE.md) and shows an empty
    // window with some graphics drivers; a page of tables and small charts gains nothing from it.
    const RENDERER: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    let refused = gtk::glib::setenv(RENDERER, "1", false).is_err();
    let named = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
    if named && gtk::init().is_ok() {
        if refused {
            eprintln!("clusterdeck-desktop: {RENDERER} could not be set; going on without it");
        }
        return Ok(());
    }
    let why = if named {
        "the screen named by DISPLAY or WAYLAND_DISPLAY cannot be opened"
    } else {
        "neither DISPLAY nor WAYLAND_DISPLAY is set"
    };
    Err(format!(
        "clusterdeck-desktop: there is no screen to open a window on ({why}).\n\
         Servers that run are not affected.\n\
         The same app in a browser: `clusterdeck serve` prints an address to open. In a terminal: `clusterdeck --help`."
    ))
}

/// Other systems always have a screen where a program can be started.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prepare() -> Result<(), String> {
    Ok(())
}
