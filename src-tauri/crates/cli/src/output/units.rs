//! Numbers with their units.

use jiff::Timestamp;

/// How long ago, in the largest unit that fits.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    let ago = |n: i64, unit: &str| format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
    match seconds {
        ..0 => "just now".to_owned(),
        0..5 => "just now".to_owned(),
        5..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => ago(seconds / 3_600, "hour"),
        _ => ago(seconds / 86_400, "day"),
    }
}

/// Bytes in binary units, three figures.
pub(crate) fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = value.max(0.0);
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", units[unit])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

/// A share.
pub(crate) fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

/// A number of things.
pub(crate) fn count(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// How long something took.
pub(crate) fn took(from: Timestamp, to: Timestamp) -> String {
    lasting(to.as_millisecond() - from.as_millisecond())
}

/// A length of time.
pub(crate) fn lasting(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{} ms", ms.max(0)),
        1_000..60_000 => {
            let tenths = ms / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        _ => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
    }
}

/// What is not known is said so, never shown as zero.
pub(crate) fn or_unknown<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "unknown".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_carry_their_units() {
        assert_eq!(
            [0.0, 1023.0, 1536.0, 1_073_741_824.0].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "1.0 GiB"]
        );
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let ago = |s: i64| age(Timestamp::from_second(1_000_000 - s).expect("a time"), now);
        assert_eq!(
            [ago(-5), ago(2), ago(90), ago(200), ago(7_200), ago(200_000)],
            ["just now", "just now", "90 s ago", "3 min ago", "2 hours ago", "2 days ago"]
        );
        let ms = |ms| Timestamp::from_millisecond(ms).expect("a time");
        assert_eq!(
            [took(ms(0), ms(5)), took(ms(0), ms(2_340)), took(ms(0), ms(61_000))],
            ["5 ms", "2.3 s", "1 min 1 s"]
        );
    }
}
