//! From a clone to an open window, in one command.

use crate::{check, host, setup, stages::Stages};
use anyhow::Result;

/// How to build and open.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    setup: setup::Args,
    /// Optimised: smaller and a little quicker, but the first build takes about three times as long.
    #[arg(long)]
    release: bool,
    /// Build only.
    #[arg(long)]
    no_open: bool,
}

/// Sets up, builds, opens. Without a screen it serves the same window to a browser instead.
///
/// The development profile is the default because the app waits for servers, not for its own arithmetic: nobody sees the
/// difference in the window, and everybody sees the one in the first build.
pub(crate) fn run(args: &Args) -> Result<()> {
    let screen = host::has_display();
    // The terminal's program is built with it: the tour of the README goes on there.
    let mut words = vec!["--locked", "--package", "clusterdeck-cli"];
    if screen {
        words.extend(["--package", "clusterdeck-desktop"]);
    }
    if args.release {
        words.push("--release");
    }
    let mut stages = Stages::new();
    let ready = stages.stage("set up", || setup::run(&args.setup, setup::Purpose::App))
        && stages.stage("build the window", check::build_ui)
        && stages.stage("build the app", || host::run(host::cargo(["build"]).args(&words)));
    stages.close()?;
    if !ready || args.no_open {
        return Ok(());
    }
    let profile = if args.release { "release" } else { "debug" };
    let folder = host::target().join(profile);
    if screen {
        return host::run(&mut host::program(
            &folder.join("clusterdeck-desktop").display().to_string(),
            [""; 0],
        ));
    }
    println!(
        "\nThere is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set), so the window cannot open."
    );
    println!(
        "Serving the same app to a browser instead; open the address it prints. Ctrl-C ends it, servers keep running."
    );
    host::run(&mut host::program(&folder.join("clusterdeck").display().to_string(), ["serve"]))
}
