//! The table of acts: what the tests that ran last saw to work, on what and where; and its copy in the README.

use crate::host;
use anyhow::{Context as _, Result, bail};
use std::{fs, path::PathBuf};

const BEGIN: &str = "<!-- acts: printed by `cargo xtask acts` -->\n";
const END: &str = "<!-- /acts -->";

/// What to do with it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Writes it into the README.
    #[arg(long)]
    write: bool,
    /// Fails when the README has another one.
    #[arg(long, conflicts_with = "write")]
    check: bool,
}

/// Prints the table, and writes or checks the README's copy.
pub(crate) fn run(args: &Args) -> Result<()> {
    let table = table()?;
    print!("{table}");
    if !args.write && !args.check {
        return Ok(());
    }
    let path = host::root().join("README.md");
    let readme = fs::read_to_string(&path).context("README.md")?;
    let with = replaced(&readme, &table).context("README.md has no place for the table of acts")?;
    if args.write {
        fs::write(&path, with).context("README.md")?;
    } else if with != readme {
        bail!(
            "README.md claims other acts than these tests saw; look at them, then `cargo xtask acts --write`"
        );
    }
    Ok(())
}

/// Forgets what earlier tests saw.
pub(crate) fn forget() -> Result<()> {
    match fs::remove_dir_all(folder()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("notes of earlier tests"),
        _ => Ok(()),
    }
}

fn folder() -> PathBuf {
    host::target().join("proofs")
}

fn table() -> Result<String> {
    // The choice of targets that tests are built with, so that nothing is built twice.
    host::run(&mut host::cargo(["build", "--workspace", "--all-targets", "--locked", "--quiet"]))?;
    let program = host::target().join("debug/examples/acts").display().to_string();
    let table = host::said(&mut host::program(&program, [""; 0])).context("the table of acts")?;
    Ok(format!("{}\n", table.trim_end()))
}

fn replaced(readme: &str, table: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_replaced_and_nothing_else() {
        let readme = format!("a\n{BEGIN}old\n{END}\nb\n");
        assert_eq!(replaced(&readme, "new\n").unwrap(), format!("a\n{BEGIN}new\n{END}\nb\n"));
        assert_eq!(replaced("a\n", "new\n"), None);
    }
}
