//! How the program starts and ends.

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

#[tokio::test]
async fn the_page_can_reach_nothing_but_its_two_commands() -> Result<()> {
    let (mut desk, home) = (Desk::new()?, Home::new()?);
    let window = Window::open(&mut desk, home.path()).await?;
    window.see("Deploy my first cluster", SOON).await?;
    let refused = |call: &str| {
        format!(
            "return await {call}.then(() => 'done', e => 'refused: ' + (e && e.message ? e.message : JSON.stringify(e)))"
        )
    };
    let answer = window
        .script(&refused("window.__TAURI_INTERNALS__.invoke('request', {request: {method: 'GET', path: '/v1/info', headers: {}, body: null, connection: null}})"))
        .await?;
    assert_eq!(answer, "done", "the page's own command works");
    for call in [
        "window.__TAURI_INTERNALS__.invoke('plugin:window|close', {label: 'main'})",
        "window.__TAURI_INTERNALS__.invoke('plugin:notification|notify', {options: {title: 'x'}})",
        "window.__TAURI_INTERNALS__.invoke('plugin:event|listen', {event: 'x', target: {kind: 'Any'}, handler: 1})",
        "fetch('http://127.0.0.1:9/')",
    ] {
        let answer = window.script(&refused(call)).await?;
        assert!(answer.as_str().is_some_and(|a| a.starts_with("refused")), "{call}: {answer}");
    }
    let evaluated =
        window.script("try { return String(eval('1+1')) } catch (e) { return 'refused' }").await?;
    // A script of the driver runs outside the page's policy in WebKit; an element's does not.
    let inline = "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.inline = 1\">'); \
                  await new Promise(done => setTimeout(done, 300)); return window.inline === undefined";
    assert_eq!(window.script(inline).await?, true, "inline handlers do not run (eval said {evaluated})");
    window.close().await
}

#[test]
fn without_a_screen_it_says_so_and_names_the_other_ways_in() -> Result<()> {
    let home = Home::new()?;
    for screen in [None, Some(":987")] {
        let mut command = Command::new(program("clusterdeck-desktop")?);
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env("CLUSTERDECK_HOME", home.path());
        if let Some(screen) = screen {
            command.env("DISPLAY", screen);
        }
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{screen:?}: it ends at once: {said}");
        assert!(
            said.contains("no screen") && said.contains("clusterdeck serve"),
            "{screen:?}: what to do: {said}"
        );
        assert!(!said.contains("panicked"), "{screen:?}: it does not panic: {said}");
    }
    Ok(())
}
