//! Small notices of what changed, for everybody who watches. Bounded: a slow listener is told to look again.

use clusterdeck_domain::{ClusterId, OperationId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};
use tokio::sync::broadcast;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum EventKind {
    ClusterChanged,
    ClusterRemoved,
    OperationChanged,
    NodeDown,
    NodeRecovered,
    FailoverNoticed,
    BackupChanged,
    AlertRaised,
    AlertChanged,
    SettingsChanged,
}

impl EventKind {
    /// The id used in shapes.
    pub const fn id(self) -> &'static str {
        match self {
            Self::ClusterChanged => "cluster-changed",
            Self::ClusterRemoved => "cluster-removed",
            Self::OperationChanged => "operation-changed",
            Self::NodeDown => "node-down",
            Self::NodeRecovered => "node-recovered",
            Self::FailoverNoticed => "failover-noticed",
            Self::BackupChanged => "backup-changed",
            Self::AlertRaised => "alert-raised",
            Self::AlertChanged => "alert-changed",
            Self::SettingsChanged => "settings-changed",
        }
    }
}

/// How loud it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// A notice. It says what to look at again, not what is there now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Growing without gaps within one run of the engine; starts from the clock so that runs do not overlap.
    pub id: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// To which cluster.
    pub cluster_id: Option<ClusterId>,
    /// Its name.
    pub cluster: Option<String>,
    /// To which node, by name.
    pub node: Option<String>,
    /// In which operation.
    pub operation_id: Option<OperationId>,
    /// How loud.
    pub level: Level,
    /// In a sentence.
    pub text: String,
}

impl Event {
    /// A notice about nothing in particular yet; [`EventHub::send`] gives it its number and time.
    pub fn new(kind: EventKind, level: Level, text: impl Into<String>) -> Self {
        Self {
            id: 0,
            at: Timestamp::UNIX_EPOCH,
            kind,
            cluster_id: None,
            cluster: None,
            node: None,
            operation_id: None,
            level,
            text: text.into(),
        }
    }
}

/// How many notices are kept for a listener that comes back.
const KEPT: usize = 1024;

/// Hands notices to all listeners.
pub struct EventHub {
    state: Mutex<(u64, VecDeque<Event>)>,
    live: broadcast::Sender<Event>,
}

impl EventHub {
    /// A hub whose first notice has the number after `first`.
    pub fn new(first: u64) -> Self {
        Self { state: Mutex::new((first, VecDeque::with_capacity(KEPT))), live: broadcast::Sender::new(KEPT) }
    }
    /// Sends a notice.
    pub fn send(&self, mut event: Event, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        event.id = state.0;
        event.at = now;
        if state.1.len() == KEPT {
            state.1.pop_front();
        }
        state.1.push_back(event.clone());
        // Nobody listening is fine.
        drop(self.live.send(event));
    }
    /// Listens from now on, or from after notice `last`: what was missed comes first. `None` in the first place means
    /// that too much was missed and everything must be read again.
    pub fn listen(&self, last: Option<u64>) -> (Option<Vec<Event>>, broadcast::Receiver<Event>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.live.subscribe();
        let missed = match last {
            None => Some(Vec::new()),
            Some(last) if last > state.0 => None,
            Some(last) => {
                let oldest = state.1.front().map_or(state.0 + 1, |e| e.id);
                (last + 1 >= oldest).then(|| state.1.iter().filter(|e| e.id > last).cloned().collect())
            }
        };
        (missed, receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice() -> Event {
        Event::new(EventKind::ClusterChanged, Level::Info, "x")
    }

    #[test]
    fn a_listener_that_comes_back_gets_what_it_missed_or_is_told_to_read_again() {
        let hub = EventHub::new(100);
        for _ in 0..3 {
            hub.send(notice(), Timestamp::UNIX_EPOCH);
        }
        let ids =
            |last| hub.listen(Some(last)).0.map(|missed| missed.iter().map(|e| e.id).collect::<Vec<_>>());
        assert_eq!(ids(101), Some(vec![102, 103]), "what came after notice 101");
        assert_eq!(ids(103), Some(vec![]), "nothing was missed");
        assert_eq!(ids(7), None, "notices of an earlier run are gone");
        assert_eq!(ids(999), None, "a number from the future is another run's");
        for _ in 0..KEPT {
            hub.send(notice(), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(ids(101), None, "no longer kept");
    }
}
