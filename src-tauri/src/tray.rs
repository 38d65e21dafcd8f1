//! The tray: the app is there while its window is closed. Open, one line of how things are, quit.

use crate::{quit, window};
use clusterdeck_api::wire::Cluster;
use clusterdeck_domain::{ClusterState, Health};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tauri::menu::{Menu, MenuItem, PredefinedMenuItem};
use tauri::tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Wry};

/// Its id.
const ID: &str = "main";

/// The tray icon and the line that says how things are.
pub(crate) struct Tray {
    icon: TrayIcon,
    state: MenuItem<Wry>,
}

/// Makes the tray; `None` where there is none.
pub(crate) fn make(app: &AppHandle) -> Option<Tray> {
    // On Linux the library is loaded when it is first used, and the binding panics where it is not installed.
    match catch_unwind(AssertUnwindSafe(|| build(app))) {
        Ok(Ok(tray)) => Some(tray),
        Ok(Err(error)) => {
            tracing::warn!(%error, "there is no tray");
            None
        }
        Err(_) => {
            tracing::warn!("there is no tray: libayatana-appindicator3 is not installed");
            None
        }
    }
}

/// Whether the icon can be seen right now, so that a window may hide behind it. Asked when it matters: a desktop may start
/// its panel after us, and GNOME has none without an extension.
pub(crate) fn is_seen(app: &AppHandle) -> bool {
    app.tray_by_id(ID).is_some() && has_host()
}

#[cfg(target_os = "linux")]
fn has_host() -> bool {
    use gtk::gio::{BusType, Cancellable, DBusCallFlags, bus_get_sync};
    use gtk::glib::ToVariant as _;
    const PATIENCE_MS: i32 = 500;
    let Ok(bus) = bus_get_sync(BusType::Session, Cancellable::NONE) else { return false };
    let answer = bus.call_sync(
        Some("org.freedesktop.DBus"),
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus",
        "NameHasOwner",
        Some(&("org.kde.StatusNotifierWatcher",).to_variant()),
        None,
        DBusCallFlags::NONE,
        PATIENCE_MS,
        Cancellable::NONE,
    );
    answer.is_ok_and(|answer| answer.child_value(0).get::<bool>() == Some(true))
}

#[cfg(not(target_os = "linux"))]
const fn has_host() -> bool {
    true
}

fn build(app: &AppHandle) -> tauri::Result<Tray> {
    let open = MenuItem::with_id(app, "open", "Open Clusterdeck", true, None::<&str>)?;
    let state = MenuItem::with_id(app, "state", "Starting…", false, None::<&str>)?;
    let quit_item = MenuItem::with_id(app, "quit", "Quit (servers keep running)", true, None::<&str>)?;
    let menu = Menu::with_items(
        app,
        &[
            &open,
            &PredefinedMenuItem::separator(app)?,
            &state,
            &PredefinedMenuItem::separator(app)?,
            &quit_item,
        ],
    )?;
    let mut builder = TrayIconBuilder::with_id(ID)
        .tooltip("Clusterdeck")
        .menu(&menu)
        .show_menu_on_left_click(false)
        .on_menu_event(|app, event| match event.id().as_ref() {
            "open" => window::focus(app),
            "quit" => quit::ask(app),
            _ => {}
        })
        .on_tray_icon_event(|icon, event| {
            if let TrayIconEvent::Click {
                button: MouseButton::Left,
                button_state: MouseButtonState::Up,
                ..
            } = event
            {
                window::focus(icon.app_handle());
            }
        });
    if let Some(image) = app.default_window_icon() {
        builder = builder.icon(image.clone());
    }
    Ok(Tray { icon: builder.build(app)?, state })
}

impl Tray {
    /// Shows how things are.
    pub(crate) fn tell(&self, clusters: &[Cluster]) {
        let line = state_line(clusters);
        let told = self
            .state
            .set_text(&line)
            .and_then(|()| self.icon.set_tooltip(Some(format!("Clusterdeck: {line}"))));
        if let Err(error) = told {
            tracing::warn!(%error, "the tray could not be updated");
        }
    }
}

/// One line for all clusters: the worst is named.
fn state_line(clusters: &[Cluster]) -> String {
    let names = |wanted: &dyn Fn(&Cluster) -> bool| {
        clusters.iter().filter(|c| wanted(c)).map(|c| c.name.to_string()).collect::<Vec<_>>()
    };
    let settled = |c: &Cluster| !matches!(c.state, ClusterState::Creating | ClusterState::Deleting);
    let down = names(&|c| settled(c) && c.health == Health::Down);
    let degraded = names(&|c| settled(c) && c.health == Health::Degraded);
    let unknown = names(&|c| settled(c) && c.health == Health::Unknown);
    summary(clusters.len(), &down, &degraded, &unknown)
}

fn summary(all: usize, down: &[String], degraded: &[String], unknown: &[String]) -> String {
    let worst = [("down", down), ("degraded", degraded), ("not seen yet", unknown)]
        .into_iter()
        .find(|(_, n)| !n.is_empty());
    match (all, worst) {
        (0, _) => "No clusters yet".to_owned(),
        (1, None) => "1 cluster, healthy".to_owned(),
        (_, None) => format!("{all} clusters, all healthy"),
        (_, Some((word, [one]))) => format!("{one} is {word}"),
        (_, Some((word, several))) => format!("{} of {all} clusters are {word}", several.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_worst() {
        let of = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>();
        assert_eq!(summary(0, &[], &[], &[]), "No clusters yet");
        assert_eq!(summary(3, &[], &[], &[]), "3 clusters, all healthy");
        assert_eq!(summary(3, &of(1), &of(2), &[]), "c0 is down", "down is worse than degraded");
        assert_eq!(summary(5, &[], &of(2), &of(1)), "2 of 5 clusters are degraded");
        assert_eq!(summary(2, &[], &[], &of(1)), "c0 is not seen yet", "unknown is not healthy");
    }
}
