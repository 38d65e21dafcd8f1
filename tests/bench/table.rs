//! The table: one line a measurement.

/// Runs of everything that takes seconds; of a median that says something and a sitting that ends.
pub(crate) const RUNS: usize = 5;

struct Row {
    name: String,
    ours: Option<f64>,
    raw: Option<f64>,
    unit: &'static str,
    runs: usize,
    aim: &'static str,
}

pub(crate) struct Table {
    wanted: String,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) const fn new(wanted: String) -> Self {
        Self { wanted, rows: Vec::new() }
    }

    /// Whether somebody asked for any of a group of measurements.
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.wanted.is_empty() || group.contains(&self.wanted)
    }

    /// The same for one that takes too long to be among all.
    pub(crate) fn wants_by_name(&self, group: &str) -> bool {
        !self.wanted.is_empty() && self.wants(group)
    }

    /// Adds a line: the medians of our runs and of the raw tool's, said as soon as it is known.
    pub(crate) fn add(
        &mut self,
        name: &str,
        unit: &'static str,
        ours: &[f64],
        raw: &[f64],
        aim: &'static str,
    ) {
        let row = Row {
            name: name.to_owned(),
            ours: median(ours),
            raw: median(raw),
            unit,
            runs: ours.len().max(raw.len()),
            aim,
        };
        eprintln!("{name}: ours {ours:.1?} {unit}, raw {raw:.1?}");
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        println!("| measured | ours | raw tool | ratio | runs | aim |\n|---|---|---|---|---|---|");
        for row in &self.rows {
            let figure = |value: Option<f64>| {
                value.map_or_else(
                    || "–".to_owned(),
                    |v| format!("{} {}", digits(v), row.unit).trim().to_owned(),
                )
            };
            let ratio = match (row.ours, row.raw) {
                (Some(ours), Some(raw)) if raw > 0.0 => format!("{:.2}", ours / raw),
                _ => "–".to_owned(),
            };
            println!(
                "| {} | {} | {} | {ratio} | {} | {} |",
                row.name,
                figure(row.ours),
                figure(row.raw),
                row.runs,
                row.aim
            );
        }
    }
}

fn digits(value: f64) -> String {
    if value >= 100.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}
