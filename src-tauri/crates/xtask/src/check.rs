//! What is run before every commit: format, lints, types, and the tests that need no server.
//!
//! The rule that keeps it quick: a unit test (in a crate's `src`) starts no server; what does lives in a crate's `tests`
//! folder or in the workspace's, and runs with `cargo xtask test`.

use crate::{generate, host, stages::Stages, test};
use anyhow::Result;

/// Runs it.
pub(crate) fn run() -> Result<()> {
    let mut stages = Stages::new();
    stages.stage("window built", built_ui);
    source(&mut stages);
    stages.stage("generated files fresh", || generate::run(&generate::Args { check: true }));
    stages.tests("window tests", test::window);
    stages.tests("tests without servers", || test::rust(&["--lib", "--bins", "--test", "architecture"], &[]));
    stages.close()
}

/// Everything that reads the source and runs nothing of it.
pub(crate) fn source(stages: &mut Stages) {
    stages.stage("format", || host::run(&mut host::cargo(["fmt", "--all", "--", "--check"])));
    stages.stage("clippy", || {
        host::run(&mut host::cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]))
    });
    stages.stage("window: types", || host::run(&mut host::npm(["run", "--silent", "types"])));
    stages.stage("window: lint", || host::run(&mut host::npm(["run", "--silent", "lint"])));
    if host::has("cargo-deny") {
        // Advisories live on GitHub; what can be checked offline is checked always.
        stages.stage("dependencies", || {
            host::run(&mut host::cargo(["deny", "check", "bans", "licenses", "sources"]))
        });
    } else {
        println!("\ncargo-deny is not installed: licences and duplicate crates were not checked");
    }
}

/// The shell embeds the built window, so even its lints need one. Any will do here.
fn built_ui() -> Result<()> {
    if host::ui().join("build/index.html").exists() {
        return Ok(());
    }
    build_ui()
}

/// Builds the window.
pub(crate) fn build_ui() -> Result<()> {
    host::run(&mut host::npm(["run", "--silent", "build"]))
}
