//! `clusterdeck`: every use case of Clusterdeck in a terminal.

use std::process::ExitCode;

fn main() -> ExitCode {
    clusterdeck_cli::run()
}
