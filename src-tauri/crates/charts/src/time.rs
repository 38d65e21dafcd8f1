//! The time axis: round moments of the clock on the wall it is drawn for.

use crate::ChartError;
use jiff::{Timestamp, civil::DateTime, tz::Offset};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances between labels that a person reads without reckoning.
const STEPS: [i64; 26] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    180 * DAY,
    365 * DAY,
];

/// The axis from the left to the right of the chart.
#[derive(Debug, Clone)]
pub(crate) struct TimeAxis {
    pub(crate) from: i64,
    pub(crate) to: i64,
    offset: Offset,
}

impl TimeAxis {
    pub(crate) fn new(from: i64, to: i64, offset_seconds: i32) -> Result<Self, ChartError> {
        let offset = Offset::from_seconds(offset_seconds).map_err(|_| ChartError::Offset(offset_seconds))?;
        let known = |at: i64| Timestamp::from_millisecond(at).is_ok();
        // A day beyond the ends must be reckonable too, for the labels.
        let reckonable = known(from.saturating_sub(2 * DAY)) && known(to.saturating_add(2 * DAY));
        if from < to && reckonable {
            Ok(Self { from, to, offset })
        } else {
            Err(ChartError::Range { from, to })
        }
    }

    fn local(&self, at: i64) -> DateTime {
        let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
        self.offset.to_datetime(at)
    }

    /// Where a moment stands: 0 at the left, 1 at the right.
    pub(crate) fn place(&self, at: i64) -> f64 {
        (at - self.from) as f64 / (self.to - self.from) as f64
    }

    /// Moments with a label, at most `most` of them.
    pub(crate) fn ticks(&self, most: usize) -> Vec<(i64, String)> {
        let span = self.to - self.from;
        let most = i64::try_from(most.max(1)).unwrap_or(i64::MAX);
        let step = STEPS.into_iter().find(|s| span / s < most).unwrap_or_else(|| {
            let years = span / (365 * DAY) / most + 1;
            365 * DAY * years
        });
        let east = i64::from(self.offset.seconds()) * SECOND;
        let first = (self.from + east).div_euclid(step) * step - east;
        let moments = (0..=most + 1).map(|i| first + i * step);
        moments.filter(|at| (self.from..=self.to).contains(at)).map(|at| (at, self.label(at, step))).collect()
    }

    fn label(&self, at: i64, step: i64) -> String {
        let local = self.local(at);
        let midnight = local.time() == jiff::civil::Time::midnight();
        match step {
            _ if step >= 90 * DAY => local.strftime("%b %Y").to_string(),
            _ if step >= DAY || midnight => local.strftime("%-d %b").to_string(),
            _ if step < MINUTE => local.strftime("%H:%M:%S").to_string(),
            _ => local.strftime("%H:%M").to_string(),
        }
    }

    /// The span in words, from the one that says all (`22 Nov 2026, 11:00 – 12:00 UTC`) to one for little room.
    pub(crate) fn captions(&self) -> [String; 3] {
        let (from, to) = (self.local(self.from), self.local(self.to));
        let clock = if self.to - self.from < 10 * MINUTE { "%H:%M:%S" } else { "%H:%M" };
        let days = from.date() != to.date();
        let whole = |day: &str| {
            let start = format!("{day}, {clock}");
            let end = if days { start.clone() } else { clock.to_owned() };
            format!("{} – {} {}", from.strftime(&start), to.strftime(&end), self.zone())
        };
        let brief = if days { "%-d %b" } else { clock };
        let brief = format!("{} – {} {}", from.strftime(brief), to.strftime(brief), self.zone());
        [whole("%-d %b %Y"), whole("%-d %b"), brief]
    }

    fn zone(&self) -> String {
        match self.offset.seconds() {
            0 => "UTC".to_owned(),
            s => format!(
                "UTC{}{:02}:{:02}",
                if s < 0 { '−' } else { '+' },
                s.abs() / 3_600,
                s.abs() % 3_600 / 60
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }
    fn axis(from: &str, to: &str, offset: i32) -> TimeAxis {
        TimeAxis::new(at(from), at(to), offset).unwrap()
    }
    fn labels(axis: &TimeAxis, most: usize) -> Vec<String> {
        axis.ticks(most).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn an_hour_is_told_in_round_minutes() {
        let hour = axis("2026-11-22T11:03:12Z", "2026-11-22T12:03:12Z", 0);
        assert_eq!(labels(&hour, 7), ["11:10", "11:20", "11:30", "11:40", "11:50", "12:00"]);
        assert_eq!(hour.captions()[0], "22 Nov 2026, 11:03 – 12:03 UTC");
    }

    #[test]
    fn five_minutes_have_seconds_in_their_caption() {
        let five = axis("2026-11-22T11:59:30Z", "2026-11-22T12:04:30Z", 0);
        assert_eq!(labels(&five, 6), ["12:00", "12:01", "12:02", "12:03", "12:04"]);
        assert_eq!(five.captions()[0], "22 Nov 2026, 11:59:30 – 12:04:30 UTC");
        assert_eq!(labels(&axis("2026-11-22T12:00:01Z", "2026-11-22T12:00:31Z", 0), 4)[0], "12:00:10");
    }

    #[test]
    fn a_day_shows_its_date_at_midnight_of_the_wall() {
        let day = axis("2026-11-21T17:00:00Z", "2026-11-22T17:00:00Z", 3_600);
        assert_eq!(labels(&day, 5), ["18:00", "22 Nov", "06:00", "12:00", "18:00"]);
        assert_eq!(day.captions()[0], "21 Nov 2026, 18:00 – 22 Nov 2026, 18:00 UTC+01:00");
        assert_eq!(axis("2026-11-21T17:00:00Z", "2026-11-22T17:00:00Z", -12_600).zone(), "UTC−03:30");
    }

    #[test]
    fn a_month_is_told_in_days() {
        let month = axis("2026-10-23T12:00:00Z", "2026-11-22T12:00:00Z", 0);
        let labels = labels(&month, 8);
        assert!(
            labels.len() >= 4 && labels.iter().all(|l| l.contains("Oct") || l.contains("Nov")),
            "{labels:?}"
        );
    }

    #[test]
    fn there_are_never_more_labels_than_room() {
        for span in [1, 999, 1_000, 61_000, HOUR, 26 * HOUR, 9 * DAY, 400 * DAY, 90_000 * DAY] {
            for most in [1, 2, 5, 12] {
                let axis = TimeAxis::new(1_700_000_123_456, 1_700_000_123_456 + span, 0).unwrap();
                assert!(axis.ticks(most).len() <= most + 1, "{span} {most}");
            }
        }
    }

    #[test]
    fn what_is_no_span_of_time_is_refused() {
        assert!(matches!(TimeAxis::new(5, 5, 0), Err(ChartError::Range { .. })));
        assert!(matches!(TimeAxis::new(i64::MIN, i64::MAX, 0), Err(ChartError::Range { .. })));
        assert!(matches!(TimeAxis::new(0, 5, 200_000), Err(ChartError::Offset(200_000))));
    }
}
