//! What the window is made of. The stores and drivers themselves are named once, in `clusterdeck_cli::compose`, so that
//! window, `clusterdeck serve` and a command in a terminal cannot differ in what they can do.

use clusterdeck_api::{Front, default_home, host};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The home's folder: `CLUSTERDECK_HOME`, or where the system keeps a program's data.
pub(crate) fn home() -> PathBuf {
    let named = std::env::var_os("CLUSTERDECK_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    named.unwrap_or_else(default_home)
}

/// Opens the home. One that cannot be opened still answers: with what is wrong, which the window shows.
pub(crate) async fn open(home: &Path) -> Front {
    match Front::open(home, host::actor("desktop"), Arc::new(clusterdeck_cli::compose::Real)).await {
        Ok(front) => {
            tracing::info!(home = %home.display(), hosts = front.is_host(), "the home is open");
            front
        }
        Err(problem) => {
            tracing::error!(code = problem.code.id(), title = %problem.title, "the home cannot be opened");
            Front::broken(problem)
        }
    }
}
