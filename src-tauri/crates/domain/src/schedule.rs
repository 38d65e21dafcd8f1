//! When backups are made by themselves, and which of them are kept.

use crate::{Backup, BackupId, BackupReason, BackupState};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The shortest time between two backups: a copy of everything each time is no replication.
const SHORTEST: SignedDuration = SignedDuration::from_mins(5);

/// Which backups of a schedule stay. One that was made in several of these senses stays for the longest of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of so many days.
    pub daily: u32,
    /// The newest of each of so many weeks, which begin on Monday.
    pub weekly: u32,
    /// The newest of each of so many months.
    pub monthly: u32,
}

impl Keep {
    /// What is kept when nobody says.
    pub const USUAL: Self = Self { last: 7, daily: 7, weekly: 4, monthly: 0 };
}

/// Backups that are made by themselves. A cluster has at most one schedule for each vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BackupSchedule {
    /// Where they go.
    pub vault: String,
    /// `30m`, `6h`, `1d`: so long after the one before; or the five fields of cron: `0 3 * * *`.
    pub when: String,
    /// For cron and for the days of `keep`: `Europe/Berlin`, `UTC`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Which of them stay.
    #[serde(default)]
    pub keep: Keep,
    /// Each is restored on a throw-away machine.
    #[serde(default = "yes")]
    pub verify: bool,
    /// The log is archived beside them, so that the cluster can be brought back as it was at any second.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub point_in_time: bool,
    /// From when on: a missed time before that is none. Set when the schedule is.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
}

fn utc() -> String {
    "UTC".to_owned()
}
const fn yes() -> bool {
    true
}

/// What is wrong with a schedule, with the member it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct BadSchedule {
    /// The member, as a JSON pointer within the schedule.
    pub pointer: &'static str,
    /// What is wrong with it.
    pub text: String,
}

enum When {
    Every(SignedDuration),
    Cron(Box<cronexpr::Crontab>),
}

impl BackupSchedule {
    fn zone(&self) -> Result<TimeZone, BadSchedule> {
        TimeZone::get(&self.time_zone).map_err(|_| BadSchedule {
            pointer: "/time_zone",
            text: format!("`{}` is no time zone; they are called like `Europe/Berlin`", self.time_zone),
        })
    }

    fn when(&self) -> Result<When, BadSchedule> {
        let wrong = |text: String| BadSchedule { pointer: "/when", text };
        let when = self.when.trim();
        if when.split_whitespace().count() == 5 {
            let text = format!("{when} {}", self.time_zone);
            let read = cronexpr::parse_crontab(&text);
            return read
                .map(|cron| When::Cron(Box::new(cron)))
                .map_err(|_| wrong(format!("`{when}` is not the five fields of cron, such as `0 3 * * *`")));
        }
        let number = when.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let minutes = match when[number.len()..].trim() {
            "m" | "min" => Some(1),
            "h" => Some(60),
            "d" => Some(24 * 60),
            _ => None,
        };
        let count = number.trim().parse::<i64>().ok().filter(|n| (1..=10_000).contains(n));
        match minutes.zip(count).map(|(minutes, n)| SignedDuration::from_mins(minutes * n)) {
            Some(every) if every >= SHORTEST => Ok(When::Every(every)),
            Some(_) => Err(wrong("backups are made at most every 5 minutes".to_owned())),
            None => {
                Err(wrong(format!("`{when}` is neither a time such as `6h` nor the five fields of cron")))
            }
        }
    }

    /// Whether it can be followed.
    ///
    /// # Errors
    /// With the member that is wrong.
    pub fn check(&self) -> Result<(), BadSchedule> {
        self.zone()?;
        self.when()?;
        let Keep { last, daily, weekly, monthly } = self.keep;
        if last == 0 && daily == 0 && weekly == 0 && monthly == 0 {
            let text = "nothing would be kept: keep at least the last one".to_owned();
            return Err(BadSchedule { pointer: "/keep", text });
        }
        Ok(())
    }

    /// When the next backup is due after one that was begun at `last`; the first one when there was none. A time that was
    /// missed because nobody was there is made up for once. `None` where the schedule makes no sense. A schedule that was set
    /// before the clock was set back to `now` has been due for ever: it would make none for long.
    pub fn due(&self, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let since = self.since.filter(|since| !is_to_come(*since, now)).unwrap_or(Timestamp::UNIX_EPOCH);
        match self.when().ok()? {
            When::Every(every) => match last {
                Some(last) => last.checked_add(every).ok(),
                // There is none yet: now.
                None => Some(since),
            },
            When::Cron(cron) => {
                let after = last.map_or(since, |last| last.max(since));
                Some(cron.find_next(cronexpr::MakeTimestamp(after)).ok()?.timestamp())
            }
        }
    }

    /// Those of its backups that stay. The newest that can be relied on always does, however old it is.
    ///
    /// Those of a time to come were made before the clock was set back: nobody can say how old they are, so they stay, and take
    /// no place of those that are made from `now` on.
    pub fn kept(&self, backups: &[Backup], now: Timestamp) -> BTreeSet<BackupId> {
        let zone = self.zone().unwrap_or(TimeZone::UTC);
        let all = backups
            .iter()
            .filter(|b| b.vault == self.vault && b.reason == BackupReason::Scheduled && b.usable());
        let (mut mine, to_come): (Vec<&Backup>, Vec<&Backup>) =
            all.partition(|b| !is_to_come(b.created_at, now));
        mine.sort_by_key(|b| std::cmp::Reverse(b.created_at));
        let day = |b: &Backup| b.created_at.to_zoned(zone.clone()).date();
        let mut kept: BTreeSet<BackupId> =
            mine.iter().take(self.keep.last as usize).chain(&to_come).map(|b| b.id.clone()).collect();
        let week = |date: Date| {
            let week = date.iso_week_date();
            (i32::from(week.year()), i32::from(week.week()))
        };
        let month = |date: Date| (i32::from(date.year()), i32::from(date.month()));
        let each = |date: Date| (i32::from(date.year()), i32::from(date.day_of_year()));
        kept.extend(newest_of_each(&mine, self.keep.daily, |b| each(day(b))));
        kept.extend(newest_of_each(&mine, self.keep.weekly, |b| week(day(b))));
        kept.extend(newest_of_each(&mine, self.keep.monthly, |b| month(day(b))));
        let proven = mine.iter().find(|b| b.state == BackupState::Verified);
        kept.extend(mine.first().into_iter().chain(proven).map(|b| b.id.clone()));
        kept
    }
}

/// Whether something was made before the clock was set back. Clocks are put right by a little all the time.
pub fn is_to_come(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) > SignedDuration::from_mins(5)
}

/// The newest of each of `count` days, weeks, months; `backups` are the newest first.
fn newest_of_each(backups: &[&Backup], count: u32, of: impl Fn(&Backup) -> (i32, i32)) -> Vec<BackupId> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for backup in backups {
        if kept.len() >= count as usize {
            break;
        }
        if seen.insert(of(backup)) {
            kept.push(backup.id.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule(when: &str, time_zone: &str) -> BackupSchedule {
        BackupSchedule {
            vault: "local".to_owned(),
            when: when.to_owned(),
            time_zone: time_zone.to_owned(),
            keep: Keep::USUAL,
            verify: true,
            point_in_time: false,
            since: Some(at("2026-11-29T08:00:00Z")),
        }
    }

    #[test]
    fn the_next_one_is_due_after_the_last_or_at_the_hour_of_the_place() {
        let due = |when: &str, zone: &str, last: Option<&str>| {
            schedule(when, zone).due(last.map(at), at("2027-12-31T00:00:00Z")).unwrap()
        };
        assert_eq!(due("6h", "UTC", None), at("2026-11-29T08:00:00Z"), "the first one at once");
        assert_eq!(due("6h", "UTC", Some("2026-11-29T08:00:00Z")), at("2026-11-29T14:00:00Z"));
        assert_eq!(due("0 3 * * *", "UTC", None), at("2026-11-30T03:00:00Z"));
        assert_eq!(due("0 3 * * *", "Europe/Berlin", None), at("2026-11-30T02:00:00Z"));
        // A half past two that there is not: it is left out.
        assert_eq!(
            due("30 2 * * *", "Europe/Berlin", Some("2027-03-27T12:00:00Z")),
            at("2027-03-29T00:30:00Z")
        );
        let missed = due("0 3 * * *", "UTC", Some("2026-12-01T03:00:00Z"));
        assert_eq!(missed, at("2026-12-02T03:00:00Z"), "made up for once, however long ago");
    }

    #[test]
    fn what_cannot_be_followed_is_told_with_the_member_that_is_wrong() {
        let wrong = |schedule: BackupSchedule| schedule.check().unwrap_err().pointer;
        for when in ["", "often", "0h", "1m", "-3h", "3 * *", "61 3 * * *", "* * * * * *", "99999999999999d"]
        {
            assert_eq!(wrong(schedule(when, "UTC")), "/when", "{when}");
        }
        assert_eq!(wrong(schedule("6h", "Mars/Olympus")), "/time_zone");
        let keep = Keep { last: 0, daily: 0, weekly: 0, monthly: 0 };
        assert_eq!(wrong(BackupSchedule { keep, ..schedule("6h", "UTC") }), "/keep");
        for when in ["5m", "30 min", "6h", "1d", "0 3 * * *", "*/15 * * * MON-FRI"] {
            schedule(when, "Europe/Berlin").check().unwrap();
        }
    }

    fn made(n: usize, created_at: Timestamp) -> Backup {
        serde_json::from_value(serde_json::json!({
            "id": format!("bak_{n:032x}"), "cluster": "demo", "kind": "local", "reason": "scheduled", "state": "verified",
            "vault": "local", "sealed_for": "", "parts": [], "size_bytes": 1, "data_bytes": 1, "created_at": created_at,
            "ended_at": null, "verified_at": null, "expires_at": null, "error": null, "operation": null,
            "of": {
                "id": format!("clu_{:032x}", 1), "name": "demo", "service": "redis", "version": "7", "topology": "single",
                "nodes": 1, "shards": 0, "provider": "local", "region": "here", "plan": "NANO-1C-256M",
                "protected": false, "auto_failover": false, "options": {}, "parameters": {}
            }
        }))
        .unwrap()
    }

    #[test]
    fn what_was_made_before_the_clock_was_set_back_stays_and_takes_no_place_of_what_is_made_after() {
        let now = at("2026-11-29T12:00:00Z");
        let hours = |n: i64| now + SignedDuration::from_hours(n);
        let backups: Vec<Backup> =
            [48, 24, 0, -6, -12].iter().enumerate().map(|(n, h)| made(n, hours(*h))).collect();
        let kept = |now: Timestamp| {
            let keep = Keep { last: 2, daily: 0, weekly: 0, monthly: 0 };
            let kept = BackupSchedule { keep, ..schedule("6h", "UTC") }.kept(&backups, now);
            backups.iter().map(|b| kept.contains(&b.id)).collect::<Vec<_>>()
        };
        assert_eq!(kept(now), [true, true, true, true, false], "two of each side");
        assert_eq!(kept(hours(48)), [true, true, false, false, false], "when the clock is there again");
    }
}
