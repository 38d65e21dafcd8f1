//! The packages people install.

use crate::{check, host, icons};
use anyhow::Result;

/// Builds .deb and .rpm. An AppImage is not built: its tool downloads a program at build time.
pub(crate) fn run() -> Result<()> {
    check::build_ui()?;
    host::run(&mut host::cargo(["build", "--locked", "--release", "--package", "clusterdeck-cli"]))?;
    host::run(
        host::program("npx", ["--yes", icons::TAURI_CLI, "build", "--bundles", "deb,rpm"])
            .current_dir(host::root().join("src-tauri")),
    )?;
    println!("packages are in {}", host::target().join("release/bundle").display());
    Ok(())
}
