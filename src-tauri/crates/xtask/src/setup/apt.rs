//! Debian and Ubuntu.

use super::wanted::Want;
use crate::host;
use anyhow::{Context as _, Result, bail};
use std::process::Command;

const BACKPORTS: &str = "/etc/apt/sources.list.d/clusterdeck-backports.sources";

/// Those that are not installed, by one question to dpkg.
pub(crate) fn missing(wants: &[Want]) -> Vec<Want> {
    let mut ask = host::program("dpkg-query", ["--show", "--showformat=${db:Status-Status} ${Package}\n"]);
    ask.args(wants.iter().map(|w| w.apt));
    // dpkg-query fails when it has never heard of one of them, and still lists the others.
    let known = ask.output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let installed: Vec<&str> = known.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    wants.iter().copied().filter(|w| !installed.contains(&w.apt)).collect()
}

/// Installs them. What only backports has is taken from there by name and nothing else is.
pub(crate) fn install(missing: &[Want]) -> Result<()> {
    root(&["apt-get", "update"])?;
    let (plain, backported): (Vec<Want>, Vec<Want>) = missing.iter().copied().partition(|w| !w.backports);
    if !plain.is_empty() {
        let mut words = vec!["apt-get", "install", "--yes", "--no-install-recommends"];
        words.extend(plain.iter().map(|w| w.apt));
        root(&words)?;
    }
    for want in backported {
        if candidate(want.apt) {
            root(&["apt-get", "install", "--yes", "--no-install-recommends", want.apt])?;
        } else if let Some(suite) = backports()? {
            root(&[
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
                "--target-release",
                &suite,
                want.apt,
            ])?;
        }
    }
    Ok(())
}

/// Whether apt would install it as things are.
fn candidate(package: &str) -> bool {
    host::said(host::program("apt-cache", ["policy", package]).env("LC_ALL", "C"))
        .and_then(|said| {
            let line = said.lines().find(|l| l.trim_start().starts_with("Candidate:"))?;
            Some(!line.contains("(none)"))
        })
        .unwrap_or(false)
}

/// Adds Debian 12's backports (they rank below everything else unless named) and gives the suite's name; `None` on any
/// other system.
fn backports() -> Result<Option<String>> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !(release.contains("ID=debian") && release.contains("VERSION_CODENAME=bookworm")) {
        return Ok(None);
    }
    let suite = "bookworm-backports".to_owned();
    let mirrors = host::said(&mut host::program(
        "apt-get",
        ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Codename: bookworm"],
    ))
    .unwrap_or_default();
    let mirror =
        mirrors.lines().next().map_or("http://deb.debian.org/debian", |line| line.trim_end_matches('/'));
    println!("adding {suite} from {mirror} in {BACKPORTS}");
    let text = format!(
        "# Written by Clusterdeck's `cargo xtask setup` for valkey-server; may be removed.\n\
         Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    );
    let drawn = host::target().join("clusterdeck-backports.sources");
    std::fs::create_dir_all(host::target()).context("the target folder cannot be made")?;
    std::fs::write(&drawn, text).with_context(|| format!("{} cannot be written", drawn.display()))?;
    let drawn = drawn.display().to_string();
    root(&["install", "-m", "0644", &drawn, BACKPORTS])?;
    root(&["apt-get", "update"])?;
    Ok(Some(suite))
}

/// Runs as root: directly, or through sudo.
fn root(words: &[&str]) -> Result<()> {
    let is_root = host::said(Command::new("id").arg("-u")).is_some_and(|uid| uid.trim() == "0");
    let mut command = if is_root {
        host::program(words[0], &words[1..])
    } else if host::has("sudo") {
        host::program("sudo", ["env", "DEBIAN_FRONTEND=noninteractive"].iter().chain(words))
    } else {
        bail!("`{}` must run as root, and sudo is not installed", words.join(" "));
    };
    host::run(command.env("DEBIAN_FRONTEND", "noninteractive"))
}
