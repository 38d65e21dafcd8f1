//! The README's tour, typed as it stands there.

use anyhow::{Context as _, Result};
use clusterdeck_tests::places::{Home, program, workspace};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

/// The lines of the block that starts with putting the program on the path.
fn tour() -> Result<Vec<String>> {
    let readme = std::fs::read_to_string(workspace().join("README.md"))?;
    let (_, rest) = readme
        .split_once("```sh\nexport PATH=\"$PWD/target/debug:$PATH\"\n")
        .context("no tour in the README")?;
    let (block, _) = rest.split_once("```").context("the tour does not end")?;
    Ok(block.lines().map(str::to_owned).collect())
}

#[test]
fn the_tour_of_the_readme_works_as_it_is_written() -> Result<()> {
    let home = Home::new()?;
    let folder = program("clusterdeck")?.parent().context("no folder")?.display().to_string();
    let key = home.path().join("key");
    std::fs::write(&key, "a key for tests that is long enough, 0123456789abcdef\n")?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    let path = format!("{folder}:{}", std::env::var("PATH")?);
    let lines = tour()?;
    assert!(lines.len() >= 6, "the tour goes from doctor to delete: {lines:#?}");
    for line in lines {
        // A terminal of its own, in which somebody says yes when asked.
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(home.path())
            .env("PATH", &path)
            .env("CLUSTERDECK_HOME", home.path())
            .env("CLUSTERDECK_VAULT_KEY_FILE", &key)
            .stdin(yes()?)
            .output()
            .context("`script` of util-linux is missing")?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{line}\n{said}");
        println!("$ {line}\n{said}");
    }
    assert_eq!(home.servers()?, Vec::new(), "the last line of the tour leaves no server");
    Ok(())
}

fn yes() -> Result<Stdio> {
    let (reader, mut writer) = std::io::pipe()?;
    std::io::Write::write_all(&mut writer, b"y\n")?;
    Ok(reader.into())
}
