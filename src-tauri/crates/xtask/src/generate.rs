//! Generated once, committed, checked: the OpenAPI document from the code, the TypeScript types from the document.

use crate::host;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How to generate.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when a committed file is not what the code gives.
    #[arg(long)]
    pub check: bool,
}

/// Writes or checks them, with a program built for it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let words = [
        "run",
        "--quiet",
        "--locked",
        "--package",
        "clusterdeck-cli",
        "--bin",
        "clusterdeck",
        "--",
        "openapi",
    ];
    with(args, &mut host::cargo(words))
}

/// Checks them with the program that the tests use: to build it alone chooses other features of its dependencies, and
/// builds half of them twice.
pub(crate) fn check_built() -> Result<()> {
    let program = host::target().join("debug/clusterdeck").display().to_string();
    with(&Args { check: true }, &mut host::program(&program, ["openapi"]))
}

fn with(args: &Args, program: &mut Command) -> Result<()> {
    let committed = host::ui().join("src/lib/api");
    let fresh = if args.check { host::target().join("generated") } else { committed.clone() };
    std::fs::create_dir_all(&fresh).with_context(|| format!("{} cannot be made", fresh.display()))?;
    let document = fresh.join("openapi.json");
    let types = fresh.join("schema.d.ts");
    write_document(program, &document)?;
    // The committed document is read from the window's folder so that the tool finds its configuration there.
    host::run(host::npm(["exec", "--", "openapi-typescript"]).arg(&document).arg("--output").arg(&types))?;
    if !args.check {
        println!("wrote {} and {}", document.display(), types.display());
        return Ok(());
    }
    let stale: Vec<String> = [document, types]
        .iter()
        .map(|file| committed.join(file.file_name().unwrap_or_default()))
        .filter(|file| differs(file, &fresh))
        .map(|file| shown(&file))
        .collect();
    if !stale.is_empty() {
        bail!(
            "{} not what the code gives any more; run `cargo xtask gen` and commit it",
            stale.join(" and ")
        );
    }
    Ok(())
}

/// The document as the program itself prints it, so it cannot describe another program.
fn write_document(program: &mut Command, file: &Path) -> Result<()> {
    let text = host::said(program).context("`clusterdeck openapi` failed; run it to see why")?;
    let mut text = text.trim_end().to_owned();
    text.push('\n');
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

fn differs(committed: &Path, fresh: &Path) -> bool {
    let fresh = fresh.join(committed.file_name().unwrap_or_default());
    match (std::fs::read(committed), std::fs::read(fresh)) {
        (Ok(a), Ok(b)) => a != b,
        _ => true,
    }
}

fn shown(file: &Path) -> String {
    file.strip_prefix(host::root()).map_or_else(|_| file.to_owned(), PathBuf::from).display().to_string()
}
