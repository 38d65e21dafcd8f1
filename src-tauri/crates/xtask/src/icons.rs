//! Every icon size, from the one drawing.
//!
//! Tauri's own command draws them; it is fetched at a pinned version when it is used, which is rarely, so the window's
//! dependencies stay free of it. What it writes for phones and the Windows shop is not kept.

use crate::host;
use anyhow::{Context as _, Result};

/// 2.12.5 has no complete set of platform packages on npm.
pub(crate) const TAURI_CLI: &str = "@tauri-apps/cli@2.12.3";

const KEPT: [&str; 6] = ["32x32.png", "128x128.png", "128x128@2x.png", "icon.png", "icon.icns", "icon.ico"];

/// Draws them.
pub(crate) fn run() -> Result<()> {
    let icons = host::root().join("icons");
    let drawn = host::target().join("icons");
    host::run(
        host::program("npx", ["--yes", TAURI_CLI, "icon"])
            .arg(icons.join("clusterdeck.svg"))
            .arg("--output")
            .arg(&drawn),
    )?;
    for name in KEPT {
        std::fs::copy(drawn.join(name), icons.join(name)).with_context(|| format!("{name} was not drawn"))?;
    }
    println!("wrote {} to {}", KEPT.join(", "), icons.display());
    Ok(())
}
