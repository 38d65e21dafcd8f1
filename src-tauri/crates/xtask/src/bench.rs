//! Measurements: builds the programs in release, then has `tests/bench` measure them beside the raw tools.

use crate::{check, host};
use anyhow::Result;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the group whose words contain this: `create promote failover`, `postgresql`, `mariadb galera`, `mysql group`, `migrate postgresql`, `migrate mariadb`, `migrate redis`, `copies` (those four only by name), `api reads`, `window start memory idle`.
    filter: Option<String>,
}

/// Builds, measures and prints a table.
pub(crate) fn run(args: &Args) -> Result<()> {
    check::build_ui()?;
    host::run(&mut host::cargo([
        "build",
        "--release",
        "--locked",
        "--package",
        "clusterdeck-cli",
        "--package",
        "clusterdeck-desktop",
        "--package",
        "clusterdeck-tests",
        "--bins",
        "--examples",
    ]))?;
    let bench = host::target().join("release/examples/bench").display().to_string();
    host::run(&mut host::program(&bench, &args.filter))
}
