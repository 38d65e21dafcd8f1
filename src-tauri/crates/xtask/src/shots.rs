//! Pictures of the screens, taken in the real window on a virtual screen, to be looked at.

use crate::{check, host};
use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// Where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the pictures.
    #[arg(long, default_value = "target/shots")]
    to: PathBuf,
}

/// Builds the app and has the window tests take a picture at each step. One of them is the README's.
pub(crate) fn run(args: &Args) -> Result<()> {
    let to = host::root().join(&args.to);
    check::build_ui()?;
    host::run(&mut host::cargo(["build", "--workspace", "--bins", "--tests", "--locked", "--quiet"]))?;
    host::run(
        host::cargo(["test", "--workspace", "--locked", "--test", "desktop", "--", "--test-threads=1"])
            .env("CLUSTERDECK_SHOTS", &to),
    )?;
    let readme = host::root().join("icons/overview.png");
    std::fs::copy(to.join("overview.png"), &readme)
        .with_context(|| format!("{} cannot be written", readme.display()))?;
    println!("pictures are in {}; the README's is {}", to.display(), readme.display());
    Ok(())
}
