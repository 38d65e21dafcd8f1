//! What this computer must have, and how it gets it. Asking costs little when all is there: one question to the package
//! database, one comparison of lock files.

mod apt;
mod wanted;

use crate::host;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use wanted::{Want, wanted};

/// What is to be done afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Build and open the app, and create clusters in it.
    App,
    /// That, and run every test.
    Everything,
}

/// How to set up.
#[derive(Debug, Default, Clone, clap::Args)]
#[group(skip)] // it is flattened into the arguments of others, whose group already has this name
pub(crate) struct Args {
    /// Install without asking.
    #[arg(long, short)]
    pub yes: bool,
}

/// Installs what is missing: system packages, the window's npm packages, the crates.
pub(crate) fn run(args: &Args, purpose: Purpose) -> Result<()> {
    system(args, purpose)?;
    npm()?;
    crates()
}

fn system(args: &Args, purpose: Purpose) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("{}", wanted::elsewhere());
        return Ok(());
    }
    if !(host::has("apt-get") && host::has("dpkg-query")) {
        return other_linux(purpose);
    }
    let missing = apt::missing(&wanted(purpose));
    if missing.is_empty() {
        println!("system packages: all there");
        return Ok(());
    }
    println!("missing system packages, and what each is for:");
    for want in &missing {
        println!("  {:<30} {}", want.apt, want.reason);
    }
    if missing.iter().any(|w| w.starts_itself) {
        let all: Vec<_> = missing.iter().filter(|w| w.starts_itself).map(|w| w.apt).collect();
        println!(
            "Debian starts servers by itself when their package is installed. Clusterdeck does not use those;"
        );
        println!("`systemctl disable --now {}` ends them.", all.join(" "));
    }
    if !args.yes && !agreed()? {
        bail!(
            "nothing was installed; by hand: apt-get install --no-install-recommends {}",
            names(&missing).join(" ")
        );
    }
    apt::install(&missing)?;
    let still = apt::missing(&missing);
    // Valkey is a choice in the catalogue, not a condition of the app: where no package has it, the catalogue says so.
    let (needed, nice): (Vec<Want>, Vec<Want>) = still.into_iter().partition(|w| w.required);
    if !nice.is_empty() {
        println!("not to be had here, so what needs it stays unavailable: {}", names(&nice).join(" "));
    }
    if !needed.is_empty() {
        bail!("still missing after installing: {}", names(&needed).join(" "));
    }
    Ok(())
}

fn names(wants: &[Want]) -> Vec<&'static str> {
    wants.iter().map(|w| w.apt).collect()
}

/// Asks; without a terminal there is nobody to ask and the answer is yes.
fn agreed() -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(true);
    }
    print!("Install them now? [Y/n] ");
    std::io::stdout().flush().context("the terminal is gone")?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("no answer could be read")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

/// Systems with another package tool: we look for the programs and say the command, but do not install.
fn other_linux(purpose: Purpose) -> Result<()> {
    let missing: Vec<Want> =
        wanted(purpose).into_iter().filter(|w| !w.found_without_package_database()).collect();
    if missing.iter().all(|w| !w.required) {
        println!("system packages: what can be checked is there");
        return Ok(());
    }
    println!("missing: {}", missing.iter().map(|w| w.reason).collect::<Vec<_>>().join("; "));
    for (tool, command) in wanted::OTHER_LINUX {
        if host::has(tool) {
            bail!("install it with\n  {command}\nand start again");
        }
    }
    bail!("install what is missing with your system's package tool and start again");
}

/// `npm ci`, when what is installed was made from another lock file (or nothing is).
fn npm() -> Result<()> {
    let lock = host::ui().join("package-lock.json");
    if !lock.exists() {
        bail!("{} is not there; is this a whole checkout?", lock.display());
    }
    if !host::has("npm") {
        bail!(
            "npm is missing; install Node.js 20.19 or newer (https://nodejs.org, or your system's `nodejs npm`)"
        );
    }
    let mark = host::ui().join("node_modules/.clusterdeck-installed-from");
    let wanted = std::fs::read(&lock).with_context(|| format!("{} cannot be read", lock.display()))?;
    if std::fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        println!("npm packages: all there");
        return Ok(());
    }
    host::run(&mut host::npm(["ci", "--no-audit", "--no-fund"]))?;
    std::fs::write(&mark, wanted).with_context(|| format!("{} cannot be written", mark.display()))
}

fn crates() -> Result<()> {
    host::run(&mut host::cargo(["fetch", "--locked", "--quiet"]))
}
