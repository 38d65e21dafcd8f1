//! The value axis: round steps in the metric's own unit, and how a value reads.

use clusterdeck_domain::Unit;

/// Nothing that is measured is larger: a thousand EiB. What is, is a mistake, and would flatten all the rest.
const LARGEST: f64 = 1e21;

/// A number that can be drawn.
pub(crate) fn drawable(value: f64) -> bool {
    value.is_finite() && value.abs() <= LARGEST
}

/// An axis from the bottom to the top of the chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ValueAxis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Values with a line and a label, ascending.
    pub(crate) ticks: Vec<f64>,
    step: f64,
    unit: Unit,
}

impl ValueAxis {
    /// An axis that holds `low` to `high` in at most about `steps` round steps. It begins at nought, since a part of an axis
    /// makes small things look large; it goes below only for values below.
    pub(crate) fn new(unit: Unit, low: f64, high: f64, steps: usize) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let high = if high - low > 0.0 { high } else { low + of_nothing(unit) };
        // Past half of the whole, a share is shown against the whole.
        let high = if unit == Unit::Percent && high > 50.0 { high.max(100.0) } else { high };
        let rough = ((high - low) / steps.max(1) as f64).max(least(unit) / 10.0);
        let step = match unit {
            Unit::Bytes | Unit::BytesPerSecond => round_binary(rough),
            Unit::Count => round_decimal(rough).max(1.0),
            Unit::Percent | Unit::PerSecond => round_decimal(rough),
        };
        let (first, last) = ((low / step).floor(), (high / step - 1e-9).ceil());
        let count = (last - first).clamp(1.0, 64.0) as usize;
        let ticks: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step).collect();
        Self { low: first * step, high: (first + count as f64) * step, ticks, step, unit }
    }

    /// Where a value stands: 0 at the bottom, 1 at the top, and never outside.
    pub(crate) fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// What stands beside a line.
    pub(crate) fn label(&self, tick: f64) -> String {
        match self.unit {
            Unit::Bytes => bytes(tick, self.high),
            Unit::BytesPerSecond => format!("{}/s", bytes(tick, self.high)),
            Unit::Percent => format!("{} %", plain(tick, self.step)),
            Unit::PerSecond => format!("{}/s", short(tick, self.step)),
            Unit::Count => short(tick, self.step),
        }
    }
}

/// What an axis spans that has nothing to show.
const fn of_nothing(unit: Unit) -> f64 {
    match unit {
        Unit::Percent => 100.0,
        _ => least(unit),
    }
}

/// The smallest span worth an axis.
const fn least(unit: Unit) -> f64 {
    match unit {
        Unit::Bytes | Unit::BytesPerSecond => 1024.0,
        Unit::Percent | Unit::Count => 4.0,
        Unit::PerSecond => 1.0,
    }
}

/// 1, 2, 5 and their tenfolds.
fn round_decimal(rough: f64) -> f64 {
    let magnitude = 10_f64.powf(rough.log10().floor());
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * magnitude >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * magnitude
}

/// Powers of two: halves, quarters and eighths of a unit read better than tenths of it.
fn round_binary(rough: f64) -> f64 {
    2_f64.powf(rough.log2().ceil()).max(1.0)
}

/// In the unit that suits the largest value of the axis, so that all labels share it.
fn bytes(value: f64, largest: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut scale = 1.0;
    let mut unit = 0;
    while unit + 1 < UNITS.len() && largest.abs() / scale >= 1024.0 {
        scale *= 1024.0;
        unit += 1;
    }
    if value == 0.0 {
        return "0 B".to_owned();
    }
    // A power of two below the unit needs as many decimals as it has halvings; three tell an eighth.
    let text = format!("{:.3}", value / scale);
    format!("{} {}", text.trim_end_matches('0').trim_end_matches('.'), UNITS[unit])
}

/// As many decimals as the step has.
fn plain(value: f64, step: f64) -> String {
    let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil().min(6.0) as usize };
    format!("{value:.decimals$}")
}

/// `800`, `1.5k`, `20k`, `3M`.
fn short(value: f64, step: f64) -> String {
    for (scale, letter) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if value.abs() >= scale && step >= scale / 100.0 {
            return format!("{}{letter}", plain(value / scale, step / scale));
        }
    }
    plain(value, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(unit: Unit, high: f64, steps: usize) -> Vec<String> {
        let axis = ValueAxis::new(unit, 0.0, high, steps);
        axis.ticks.iter().map(|t| axis.label(*t)).collect()
    }

    #[test]
    fn bytes_are_told_in_binary_units() {
        const MIB: f64 = 1_048_576.0;
        assert_eq!(labels(Unit::Bytes, 700.0 * MIB, 4), ["0 B", "256 MiB", "512 MiB", "768 MiB"]);
        assert_eq!(labels(Unit::Bytes, 1000.0 * MIB, 4), ["0 B", "0.25 GiB", "0.5 GiB", "0.75 GiB", "1 GiB"]);
        assert_eq!(labels(Unit::Bytes, 3.0 * 1024.0 * MIB, 4), ["0 B", "1 GiB", "2 GiB", "3 GiB"]);
        assert_eq!(
            labels(Unit::BytesPerSecond, 30_000.0, 4),
            ["0 B/s", "8 KiB/s", "16 KiB/s", "24 KiB/s", "32 KiB/s"]
        );
        assert_eq!(labels(Unit::Bytes, 900.0, 4), ["0 B", "0.25 KiB", "0.5 KiB", "0.75 KiB", "1 KiB"]);
    }

    #[test]
    fn shares_are_shown_against_the_whole_once_they_are_half_of_it() {
        assert_eq!(labels(Unit::Percent, 62.0, 5), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        assert_eq!(labels(Unit::Percent, 3.0, 4), ["0 %", "1 %", "2 %", "3 %"]);
        assert_eq!(labels(Unit::Percent, 180.0, 4).last().unwrap(), "200 %", "several cores");
    }

    #[test]
    fn large_rates_are_shortened_without_losing_their_steps() {
        assert_eq!(labels(Unit::PerSecond, 20_000.0, 4), ["0/s", "5k/s", "10k/s", "15k/s", "20k/s"]);
        assert_eq!(labels(Unit::PerSecond, 1_400.0, 4), ["0/s", "500/s", "1.0k/s", "1.5k/s"]);
        assert_eq!(labels(Unit::PerSecond, 0.3, 4), ["0.0/s", "0.1/s", "0.2/s", "0.3/s"]);
        assert_eq!(labels(Unit::PerSecond, 3e6, 3), ["0/s", "1M/s", "2M/s", "3M/s"]);
    }

    #[test]
    fn things_are_counted_in_whole_numbers() {
        assert_eq!(labels(Unit::Count, 3.0, 6), ["0", "1", "2", "3"]);
        assert_eq!(labels(Unit::Count, 0.0, 4), ["0", "1", "2", "3", "4"], "an empty chart has an axis too");
    }

    #[test]
    fn every_value_lies_on_its_axis() {
        for unit in [Unit::Bytes, Unit::BytesPerSecond, Unit::Count, Unit::Percent, Unit::PerSecond] {
            for high in [0.0, 1e-9, 0.4, 1.0, 7.0, 99.9, 100.0, 1023.0, 1024.0, 123_456.0, 1e12, 9e18] {
                for steps in [1, 3, 8] {
                    let axis = ValueAxis::new(unit, 0.0, high, steps);
                    assert!((0.0..=1.0).contains(&axis.place(high)), "{unit:?} {high} {steps}: {axis:?}");
                    assert!(axis.ticks.len() <= 66 && axis.low == 0.0, "{unit:?} {high} {steps}: {axis:?}");
                }
            }
        }
        let below = ValueAxis::new(Unit::Count, -3.0, 5.0, 4);
        assert!(below.low <= -3.0 && below.high >= 5.0, "{below:?}");
    }
}
