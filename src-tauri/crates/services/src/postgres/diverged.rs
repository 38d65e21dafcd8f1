//! Whether a node holds writes that the one that leads lacks, and what was given up of such writes.
//!
//! A node that is elected begins a new timeline where its log ended. A former primary that wrote further is on the old one,
//! beyond that place; so is a replica that had received more than the one elected.

use jiff::Timestamp;
use serde_json::Value;

/// The file in which `launch.py` notes what was given up.
pub(crate) const NOTE: &str = "patroni/given-up.json";

/// Where a node is in its log: a timeline, and the furthest place on it that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) timeline: u64,
    pub(crate) held: u64,
}

impl Place {
    /// From what Patroni says of its server.
    pub(crate) fn of(status: &Value) -> Option<Self> {
        let known =
            ["location", "received_location", "replayed_location"].map(|n| status["xlog"][n].as_u64());
        Some(Self { timeline: status["timeline"].as_u64()?, held: known.into_iter().flatten().max()? })
    }

    /// Whether it holds what one that leads on `timeline` lacks. `ends`: where the timelines before that one ended. `None`:
    /// nobody knows.
    pub(crate) fn is_beyond(self, timeline: u64, ends: &[(u64, u64)]) -> Option<bool> {
        if self.timeline >= timeline {
            return Some(self.timeline > timeline);
        }
        match ends.iter().find(|(line, _)| *line == self.timeline) {
            Some((_, end)) => Some(self.held > *end),
            // The leader's way does not lead over it. One that was just elected has not written its way down yet.
            None => ends.iter().any(|(line, _)| *line > self.timeline).then_some(true),
        }
    }
}

/// What was given up when a node followed again, in words.
pub(crate) fn given_up(status: &Value) -> Option<String> {
    let note = &status["given_up"];
    let at: Timestamp = note["at"].as_str()?.parse().ok()?;
    let at = at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let kept = note["kept"]
        .as_str()
        .map(|place| format!("all it held, kept in {place} until the next resync, {at}"));
    let count = match (note["transactions"].as_u64(), note["more"] == true) {
        (Some(1), false) => "1 transaction".to_owned(),
        (Some(count), false) => format!("{count} transactions"),
        (Some(count), true) => format!("{count} transactions or more"),
        (None, _) => "an unknown number of transactions".to_owned(),
    };
    Some(kept.unwrap_or_else(|| format!("{count} that the new primary lacked, {at}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ENDS: [(u64, u64); 3] = [(1, 100), (2, 200), (4, 400)];

    #[test]
    fn who_wrote_beyond_the_place_where_the_next_one_began_holds_what_that_one_lacks() {
        let at = |timeline, held| Place { timeline, held };
        assert_eq!(
            at(4, 401).is_beyond(5, &ENDS),
            Some(true),
            "a former primary: its timeline is the lower one"
        );
        assert_eq!(at(4, 400).is_beyond(5, &ENDS), Some(false), "one that follows and has not crossed yet");
        assert_eq!(at(2, 390).is_beyond(5, &ENDS), Some(true), "also some elections ago");
        assert_eq!(at(5, 900).is_beyond(5, &ENDS), Some(false), "it streams, or will");
        assert_eq!(at(6, 10).is_beyond(5, &ENDS), Some(true), "nobody elected it");
        assert_eq!(at(3, 10).is_beyond(5, &ENDS), Some(true), "a way that ended beside the leader's");
    }

    #[test]
    fn what_is_not_written_down_yet_is_unknown() {
        let at = Place { timeline: 4, held: 401 };
        assert_eq!(at.is_beyond(5, &ENDS[..2]), None, "the last election is missing");
        assert_eq!(at.is_beyond(5, &[]), None);
    }

    #[test]
    fn a_place_is_the_furthest_that_is_held() {
        let replica = json!({ "timeline": 3, "xlog": { "received_location": 40, "replayed_location": 30 } });
        assert_eq!(Place::of(&replica), Some(Place { timeline: 3, held: 40 }));
        let primary = json!({ "timeline": 3, "xlog": { "location": 50 } });
        assert_eq!(Place::of(&primary), Some(Place { timeline: 3, held: 50 }));
        assert_eq!(Place::of(&json!({ "state": "starting" })), None);
    }

    #[test]
    fn what_was_given_up_is_told() {
        let at = "2026-11-28T17:02:03Z";
        let some = given_up(&json!({ "given_up": { "transactions": 5, "more": false, "at": at } })).unwrap();
        assert_eq!(some, "5 transactions that the new primary lacked, 2026-11-28 17:02:03 UTC");
        let many = given_up(&json!({ "given_up": { "transactions": 99, "more": true, "at": at } })).unwrap();
        assert!(many.starts_with("99 transactions or more"), "{many}");
        let unknown =
            given_up(&json!({ "given_up": { "transactions": null, "more": null, "at": at } })).unwrap();
        assert!(unknown.starts_with("an unknown number"), "{unknown}");
        let all = given_up(&json!({ "given_up": { "kept": "/m/pg/data.diverged", "at": at } })).unwrap();
        assert!(all.contains("kept in /m/pg/data.diverged"), "{all}");
        assert_eq!(given_up(&json!({})), None);
    }
}
