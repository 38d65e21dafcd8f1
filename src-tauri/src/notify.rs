//! What is said on the desktop, and when: bad news always, good news only to those who look elsewhere.

use clusterdeck_domain::{Operation, OperationId, OperationState};
use clusterdeck_engine::{BY_SCHEDULE, Event, EventKind};
use std::collections::VecDeque;
use tauri::AppHandle;
use tauri_plugin_notification::NotificationExt as _;

/// Operations whose end was told; an old one does not end twice.
const REMEMBERED: usize = 256;

/// A desktop notification.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// What happened, in a few words.
    pub(crate) title: String,
    /// In a sentence.
    pub(crate) body: String,
    /// Told also to somebody who looks at the window.
    pub(crate) urgent: bool,
}

/// What closing the window means, told once while the app runs.
pub(crate) fn still_here() -> Words {
    Words {
        title: "Clusterdeck keeps watching".to_owned(),
        body: "It is in the tray; quit it from there. Settings say whether closing the window does this."
            .to_owned(),
        urgent: false,
    }
}

/// What to say about a notice, if anything. `operation` is the one the notice is about, as it is now.
pub(crate) fn words_for(event: &Event, operation: Option<&Operation>) -> Option<Words> {
    let who = event.node.as_ref().or(event.cluster.as_ref()).map_or("A node", String::as_str);
    let said = |title: String, urgent: bool| Some(Words { title, body: event.text.clone(), urgent });
    match event.kind {
        EventKind::NodeDown => said(format!("{who} is down"), true),
        EventKind::FailoverNoticed => {
            said(format!("{}: another node took over", event.cluster.as_deref().unwrap_or("A cluster")), true)
        }
        EventKind::NodeRecovered => said(format!("{who} is back"), false),
        EventKind::OperationChanged => {
            let operation = operation.filter(|o| o.state.is_final())?;
            // Nobody asked for it: its failures are told as an alert, once.
            if operation.actor == BY_SCHEDULE {
                return None;
            }
            let (word, urgent) = match operation.state {
                OperationState::Succeeded => ("done", false),
                OperationState::Cancelled => ("cancelled", false),
                _ => ("failed", true),
            };
            let body =
                operation.error.as_ref().map_or_else(|| event.text.clone(), |error| error.title.clone());
            Some(Words { title: format!("{}: {word}", operation.title), body, urgent })
        }
        // Told once, however often the problem is met while it lasts.
        EventKind::AlertRaised => {
            let about =
                event.cluster.as_deref().map_or("Backups".to_owned(), |name| format!("Backups of {name}"));
            said(format!("{about} need attention"), true)
        }
        EventKind::ClusterChanged
        | EventKind::ClusterRemoved
        | EventKind::BackupChanged
        | EventKind::AlertChanged
        | EventKind::SettingsChanged => None,
    }
}

/// Says it. A desktop without notifications is no fault of ours.
pub(crate) fn say(app: &AppHandle, words: &Words) {
    if let Err(error) = app.notification().builder().title(&words.title).body(&words.body).show() {
        tracing::warn!(%error, "the desktop could not be told");
    }
}

/// Operations whose end was told.
#[derive(Default)]
pub(crate) struct Told(VecDeque<OperationId>);

impl Told {
    /// Whether its end was told.
    pub(crate) fn has(&self, id: &OperationId) -> bool {
        self.0.contains(id)
    }

    /// Its end is told now.
    pub(crate) fn remember(&mut self, id: &OperationId) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(id.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_engine::Level;

    fn operation(state: &str, error: Option<&str>) -> Operation {
        serde_json::from_value(serde_json::json!({
            "id": OperationId::new(7), "kind": "promote-node", "title": "Promote demo-2",
            "cluster_id": clusterdeck_domain::ClusterId::new(1), "cluster": "demo", "state": state, "steps": [],
            "error": error.map(|title| serde_json::json!({"code": "failed", "title": title})),
            "actor": "desktop:anna", "created_at": "2026-01-01T00:00:00Z", "ended_at": null,
        }))
        .expect("an operation")
    }

    fn notice(kind: EventKind) -> Event {
        Event { node: Some("demo-1".to_owned()), ..Event::new(kind, Level::Info, "In a sentence.") }
    }

    #[test]
    fn a_node_that_goes_down_is_told_even_to_somebody_who_looks() {
        let words = words_for(&notice(EventKind::NodeDown), None).expect("worth telling");
        assert_eq!((words.title.as_str(), words.urgent), ("demo-1 is down", true));
    }

    #[test]
    fn only_the_end_of_an_operation_is_told_and_a_failure_is_urgent() {
        let of = |operation: &Operation| words_for(&notice(EventKind::OperationChanged), Some(operation));
        assert_eq!(of(&operation("running", None)), None, "its steps are not");
        assert!(!of(&operation("succeeded", None)).expect("told").urgent, "success is not urgent");
        let failed = of(&operation("failed", Some("demo-2 did not catch up"))).expect("told");
        assert_eq!(
            (failed.title.as_str(), failed.body.as_str()),
            ("Promote demo-2: failed", "demo-2 did not catch up")
        );
        assert!(failed.urgent, "failure is");
    }

    #[test]
    fn a_scheduled_backup_that_fails_is_told_by_its_alert_alone() {
        let alert = Event { cluster: Some("demo".to_owned()), ..notice(EventKind::AlertRaised) };
        let words = words_for(&alert, None).expect("told");
        assert_eq!((words.title.as_str(), words.urgent), ("Backups of demo need attention", true));
        assert_eq!(words_for(&notice(EventKind::AlertChanged), None), None, "nor is it told again");
        let scheduled =
            Operation { actor: BY_SCHEDULE.to_owned(), ..operation("failed", Some("the vault is full")) };
        assert_eq!(words_for(&notice(EventKind::OperationChanged), Some(&scheduled)), None);
    }

    #[test]
    fn what_was_told_is_remembered_within_bounds() {
        let mut told = Told::default();
        for n in 0..=REMEMBERED as u128 {
            told.remember(&OperationId::new(n));
        }
        assert!(told.has(&OperationId::new(REMEMBERED as u128)), "the newest");
        assert!(!told.has(&OperationId::new(0)), "the oldest is forgotten");
    }
}
