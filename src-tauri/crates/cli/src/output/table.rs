//! Tables that fit the terminal: columns shrink and wrap; without a terminal every row is one line.

use comfy_table::{ContentArrangement, presets};
use std::io::IsTerminal;

/// Fewest columns of characters that a table is fitted into.
const NARROW: u16 = 60;

/// A table being filled.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        // A pipe has no width: nothing is cut or wrapped then. Nor on a terminal that does not say how wide it is, or that
        // is too narrow for columns: it wraps whole lines itself, which is easier to read than words cut into letters.
        let wide = table.width().filter(|wide| *wide >= NARROW && std::io::stdout().is_terminal());
        table.set_content_arrangement(match wide {
            Some(_) => ContentArrangement::Dynamic,
            None => ContentArrangement::Disabled,
        });
        table.set_header(columns.iter().map(|c| c.to_uppercase()).collect::<Vec<_>>());
        Self(table)
    }
    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.add_row(cells);
    }
    /// The table as text.
    pub(crate) fn text(&self) -> String {
        // Every cell has a blank on its left, also the first.
        self.0
            .trim_fmt()
            .lines()
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Names and values, one a line; what has no value is left out.
pub(crate) fn facts(pairs: &[(&str, String)]) -> String {
    let wide = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    // A value of several lines stays in its column.
    let below = format!("\n{:wide$}  ", "");
    let line = |(name, value): &(&str, String)| format!("{name:wide$}  {}", value.replace('\n', &below));
    shown.map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_under_each_other_and_empty_ones_are_left_out() {
        let text = facts(&[("Name", "demo".into()), ("Version", "7.0".into()), ("Note", String::new())]);
        assert_eq!(text, "Name     demo\nVersion  7.0");
        let text = facts(&[("Name", "demo".into()), ("Missing", "this\nthat".into())]);
        assert_eq!(text, "Name     demo\nMissing  this\n         that");
    }
}
