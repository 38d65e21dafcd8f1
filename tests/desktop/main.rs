//! The real window on a virtual screen, with a real keyring and real servers.

use anyhow::Result;
use clusterdeck_tests::places::{Home, program};
use clusterdeck_tests::window::SOON;
use clusterdeck_tests::{Desk, Window};
use std::process::{Command, Stdio};

#[tokio::test]
async fn an_empty_home_opens_with_one_clear_action() -> Result<()> {
    let (mut desk, home) = (Desk::new()?, Home::new()?);
    let window = Window::open(&mut desk, home.path()).await?;
    window.see("Deploy my first cluster", SOON).await?;
    window.shot("empty").await?;
    window.close().await
}

#[test]
fn without_a_screen_it_says_so_and_names_the_other_ways_in() -> Result<()> {
    let home = Home::new()?;
    let output = Command::new(program("clusterdeck-desktop")?)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env("CLUSTERDECK_HOME", home.path())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "it ends at once: {said}");
    assert!(said.contains("there is no screen") && said.contains("clusterdeck serve"), "it says what to do: {said}");
    assert!(!said.contains("panicked"), "and does not panic: {said}");
    Ok(())
}
