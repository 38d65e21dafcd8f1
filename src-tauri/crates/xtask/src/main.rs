//! `cargo xtask …`: the house's own tools. One command builds and opens the app, one runs every test.
//!
//! Nothing here is shipped, and no other crate may depend on it. What is done is told first; what fails says what to do.

mod acts;
mod app;
mod bench;
mod check;
mod dist;
mod generate;
mod host;
mod icons;
mod setup;
mod shots;
mod stages;
mod test;
mod turns;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The tools of the Clusterdeck workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, build and open the app.
    App(app::Args),
    /// Format, lint, types and the tests that need no server: run it before every commit.
    Check,
    /// Everything: what is missing, checks, every test on real servers, in a browser and in the real window.
    Test(test::Args),
    /// Write the OpenAPI document and the TypeScript client from the code.
    Gen(generate::Args),
    /// Print which acts the tests that ran last saw to work, on what and where.
    Acts(acts::Args),
    /// Measure, and print a table.
    Bench(bench::Args),
    /// Build the packages people install (.deb and .rpm).
    Dist,
    /// Draw every icon size from icons/clusterdeck.svg.
    Icons,
    /// Take pictures of the screens in the real window.
    Shots(shots::Args),
    /// Only install what is missing.
    Setup(setup::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::App(args) => app::run(&args),
        Task::Check => check::run(),
        Task::Test(args) => test::run(&args),
        Task::Gen(args) => generate::run(&args),
        Task::Acts(args) => acts::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Dist => dist::run(),
        Task::Icons => icons::run(),
        Task::Shots(args) => shots::run(&args),
        Task::Setup(args) => setup::run(&args, setup::Purpose::Everything),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_can_be_parsed() {
        super::Cli::command().debug_assert();
    }
}
