//! Pictures of the screens, taken in the real window on a virtual screen, to be looked at.

use crate::{check, host};
use anyhow::Result;
use std::path::PathBuf;

/// Where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the pictures.
    #[arg(long, default_value = "target/shots")]
    to: PathBuf,
}

/// Builds the app and has the window tests take a picture at each step.
pub(crate) fn run(args: &Args) -> Result<()> {
    let to = host::root().join(&args.to);
    check::build_ui()?;
    host::run(&mut host::cargo(["build", "--locked", "--package", "clusterdeck-desktop"]))?;
    host::run(
        host::cargo(["test", "--locked", "--package", "clusterdeck-tests", "--test", "desktop"])
            .env("CLUSTERDECK_SHOTS", &to),
    )?;
    println!("pictures are in {}", to.display());
    Ok(())
}
