//! Numbers and names as people read them: always with a unit, never more exact than useful.

use crate::Keep;
use jiff::Timestamp;

/// `3 GiB`, `1.5 GiB`, `640 KiB`: binary units, a decimal only where it is not nought.
pub(in crate::preview) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < UNITS.len() && n / scale >= 1024 {
        scale *= 1024;
        unit += 1;
    }
    let tenths = (u128::from(n) * 10 + u128::from(scale) / 2) / u128::from(scale);
    match tenths % 10 {
        0 => format!("{} {}", tenths / 10, UNITS[unit]),
        rest => format!("{}.{rest} {}", tenths / 10, UNITS[unit]),
    }
}

/// `20 ms`, `45 s`, `12 min`, `3 h`: rounded up, since it is a wait.
pub(in crate::preview) fn wait(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms.div_ceil(1_000)),
        120_000..7_200_000 => format!("{} min", ms.div_ceil(60_000)),
        _ => format!("{} h", ms.div_ceil(3_600_000)),
    }
}

/// `5 min`, `3 h`, `2 days`: how long ago, rounded down; nothing is ever younger than now.
pub(in crate::preview) fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = (now.as_second() - then.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `3 h`: until then, rounded up.
pub(in crate::preview) fn wait_until(now: Timestamp, then: Timestamp) -> String {
    let ms = then.as_millisecond().saturating_sub(now.as_millisecond());
    wait(u64::try_from(ms).unwrap_or(0).max(1_000))
}

/// As people say it: `every 6 hours`, `every day at 03:00 (Europe/Berlin)`. What is no everyday rhythm stays as it is written.
pub(in crate::preview) fn rhythm(when: &str, zone: &str) -> String {
    let fields: Vec<&str> = when.split_whitespace().collect();
    let two = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() <= 2).map(|n| format!("{n:02}"));
    match fields[..] {
        [minute, hour, date, "*", weekday] => {
            let said = match (two(minute), two(hour), date, weekday) {
                (Some(minute), Some(hour), "*", "*") => Some(format!("every day at {hour}:{minute}")),
                (Some(minute), Some(hour), date, "*") if two(date).is_some() => {
                    Some(format!("on day {date} of every month at {hour}:{minute}"))
                }
                (Some(minute), None, "*", "*") if hour == "*" => Some(format!("every hour at {minute} past")),
                _ => None,
            };
            said.map_or_else(|| format!("at `{when}` ({zone})"), |said| format!("{said} ({zone})"))
        }
        [_, _, _, _, _] => format!("at `{when}` ({zone})"),
        _ => every(&when.replace(' ', "")).unwrap_or_else(|| format!("every {when}")),
    }
}

/// `6h` as `every 6 hours`, `1d` as `every day`.
fn every(when: &str) -> Option<String> {
    let digits = when.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &when[digits.len()..] {
        "m" | "min" => "minute",
        "h" => "hour",
        "d" => "day",
        _ => return None,
    };
    Some(match digits.parse::<usize>().ok()? {
        1 => format!("every {unit}"),
        n => format!("every {}", count(n, unit)),
    })
}

/// Which backups stay, in a sentence.
pub(in crate::preview) fn kept(keep: &Keep) -> String {
    let each = [(keep.daily, "day"), (keep.weekly, "week"), (keep.monthly, "month")];
    let mut said: Vec<String> =
        (keep.last > 0).then(|| format!("the last {}", keep.last)).into_iter().collect();
    let periods = each.iter().filter(|(n, _)| *n > 0);
    said.extend(periods.map(|(n, what)| format!("the newest of each of {}", count(*n as usize, what))));
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    format!("Kept are {}; the newest good one always.", list(&said))
}

/// `1 node`, `3 nodes`.
pub(in crate::preview) fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// `demo-1`, `demo-1 and demo-2`, `demo-1, demo-2 and demo-3`.
pub(in crate::preview) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Starts with a capital letter.
pub(in crate::preview) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rhythm_is_said_as_people_say_it() {
        let said = |when: &str| rhythm(when, "UTC");
        assert_eq!((said("1d").as_str(), said("6h").as_str()), ("every day", "every 6 hours"));
        assert_eq!((said("30 min").as_str(), said("1h").as_str()), ("every 30 minutes", "every hour"));
        assert_eq!(said("0 3 * * *"), "every day at 03:00 (UTC)");
        assert_eq!(said("5 * * * *"), "every hour at 05 past (UTC)");
        assert_eq!(said("30 22 1 * *"), "on day 1 of every month at 22:30 (UTC)");
        assert_eq!(said("*/15 * * * MON-FRI"), "at `*/15 * * * MON-FRI` (UTC)");
    }

    #[test]
    fn sizes_have_a_unit_and_only_the_decimal_they_need() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (512 << 20, "512 MiB"),
            (3 << 30, "3 GiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn waits_are_rounded_up_and_ages_down() {
        assert_eq!([wait(20), wait(1_001), wait(121_000), wait(7_200_001)], ["20 ms", "2 s", "3 min", "3 h"]);
        let now = Timestamp::UNIX_EPOCH;
        let ago = |s: i64| Timestamp::from_second(-s).unwrap();
        assert_eq!(
            [age(now, ago(59)), age(now, ago(179)), age(now, ago(90_000)), age(now, ago(172_800))],
            ["59 s", "2 min", "25 h", "2 days"]
        );
        assert_eq!(age(now, Timestamp::from_second(5).unwrap()), "0 s", "a clock that ran ahead");
    }

    #[test]
    fn names_are_joined_as_in_speech() {
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
