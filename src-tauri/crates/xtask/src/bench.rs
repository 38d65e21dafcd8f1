//! Measurements, printed as a table. Each says what was measured, how often, and what it is held against.

use anyhow::Result;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those whose name contains this.
    filter: Option<String>,
}

/// One measurement.
struct Row {
    name: &'static str,
    figure: String,
    runs: usize,
    target: &'static str,
}

/// A measurement and its name.
type Bench = (&'static str, fn() -> Result<Row>);

/// All there are, in the order they are run.
const ALL: [Bench; 0] = [];

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = |name: &str| args.filter.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let rows =
        ALL.iter().filter(|(name, _)| wanted(name)).map(|(_, bench)| bench()).collect::<Result<Vec<_>>>()?;
    print(&rows);
    Ok(())
}

fn print(rows: &[Row]) {
    let name = rows.iter().map(|r| r.name.len()).max().unwrap_or(0).max("measured".len());
    let figure = rows.iter().map(|r| r.figure.len()).max().unwrap_or(0).max("figure".len());
    println!("{:<name$}  {:>figure$}  {:>4}  target", "measured", "figure", "runs");
    for row in rows {
        println!("{:<name$}  {:>figure$}  {:>4}  {}", row.name, row.figure, row.runs, row.target);
    }
}
