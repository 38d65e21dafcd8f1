//! Every test there is, and an honest sum as the last line.

use crate::stages::{Stages, Tally};
use crate::{acts, check, generate, host, setup};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::Path;

/// How to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    setup: setup::Args,
}

/// Runs everything; the last line it prints is `N passed, N failed`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut stages = Stages::new();
    if stages.stage("set up", || setup::run(&args.setup, setup::Purpose::Everything)) {
        everything(&mut stages);
    }
    let outcome = stages.close();
    let sum = stages.sum();
    println!("{} passed, {} failed", sum.passed, sum.failed);
    outcome
}

fn everything(stages: &mut Stages) {
    if !stages.stage("build the window", check::build_ui) {
        return;
    }
    check::source(stages);
    stages.tests("window tests", window);
    // The whole-product tests start these two programs, so they must be of this source. Built together with the tests:
    // another choice of targets would build half the dependencies twice.
    let built = stages.stage("build programs and tests", || {
        host::run(&mut host::cargo(["build", "--workspace", "--bins", "--tests", "--locked", "--quiet"]))
    });
    if built {
        stages.stage("generated files fresh", generate::check_built);
        stages.stage("container images", images);
        stages.stage("notes of acts emptied", acts::forget);
        if stages.tests("rust tests", || rust(&["--all-targets"])) {
            stages.stage("acts they saw", || acts::run(&acts::Args::print()));
        }
        stages.tests("browser tests", || node("playwright", &["run", "test:browser", "--"]));
    }
}

/// Builds the images that tests run machines from, where that was not done yet: a test's own limit is too short for it.
fn images() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    // The same choice of targets as below, so that nothing is built twice.
    let run: &[&str] = if host::has("cargo-nextest") { &["nextest", "run"] } else { &["test"] };
    let test = ["--workspace", "--all-targets", "--locked", "every_image_that_tests_need_is_built"];
    host::run(host::cargo(run).args(test))
}

/// Rust tests of the whole workspace, by nextest where it is installed.
pub(crate) fn rust(choice: &[&str]) -> Result<(Tally, bool)> {
    let nextest = host::has("cargo-nextest");
    let words: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--status-level", "slow"]
    } else {
        &["test", "--workspace", "--locked", "--no-fail-fast", "--quiet"]
    };
    let mut tally = Tally::default();
    let success = host::run_seen(
        host::cargo(words).args(choice).env("CARGO_TERM_COLOR", "never").env("RUST_TEST_THREADS", "1"),
        |line| {
            if let Some(found) = if nextest { nextest_sum(line) } else { libtest_sum(line) } {
                tally = tally.plus(found);
            }
        },
    )?;
    Ok((tally, success))
}

/// Reads `Summary [ 1.0s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 3 skipped`.
fn nextest_sum(line: &str) -> Option<Tally> {
    let (_, counts) = line.trim_start().strip_prefix("Summary")?.split_once(" run: ")?;
    Some(counts.split(',').fold(Tally::default(), |sum, part| sum.plus(counted(part))))
}

/// Reads `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.0s`.
fn libtest_sum(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    Some(counts.split(';').fold(Tally::default(), |sum, part| sum.plus(counted(part))))
}

/// One count and its word. Words that are not here (`slow`, `filtered out`, `finished in`) count nothing.
fn counted(part: &str) -> Tally {
    let mut words = part.trim().splitn(2, ' ');
    let number = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let word = words.next().unwrap_or("");
    let mut tally = Tally::default();
    if word.starts_with("passed") {
        tally.passed = number;
    } else if ["failed", "timed out", "exec failed", "setup script"].iter().any(|bad| word.starts_with(bad)) {
        tally.failed = number;
    } else if word.starts_with("skipped") || word.starts_with("ignored") {
        tally.skipped = number;
    }
    tally
}

/// The window's own tests, which need neither a browser nor an engine.
pub(crate) fn window() -> Result<(Tally, bool)> {
    node("vitest", &["run", "test", "--"])
}

/// Runs an npm script of the window whose runner (vitest or playwright) can write its result as JSON.
fn node(runner: &str, script: &[&str]) -> Result<(Tally, bool)> {
    let file = host::target().join(format!("{runner}.json"));
    if file.exists() {
        std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
    }
    let mut command = host::npm(script);
    match runner {
        "vitest" => {
            command.args(["--reporter=default", "--reporter=json"]);
            command.arg(format!("--outputFile.json={}", file.display()));
        }
        _ => {
            command.arg("--reporter=line,json").env("PLAYWRIGHT_JSON_OUTPUT_NAME", &file);
        }
    }
    let success = host::run_seen(&mut command, |_| ())?;
    Ok((read_result(&file)?, success))
}

fn read_result(file: &Path) -> Result<Tally> {
    let text = std::fs::read(file).with_context(|| format!("no result in {}", file.display()))?;
    node_sum(&serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))?)
}

/// Vitest's `numPassedTests…` or Playwright's `stats`. A test that passed only when repeated is flaky: it counts as failed.
fn node_sum(result: &Value) -> Result<Tally> {
    let count = |pointer: &str| result.pointer(pointer).and_then(Value::as_u64);
    if let Some(passed) = count("/numPassedTests") {
        let skipped = count("/numPendingTests").unwrap_or(0) + count("/numTodoTests").unwrap_or(0);
        return Ok(Tally { passed, failed: count("/numFailedTests").unwrap_or(0), skipped });
    }
    let passed =
        count("/stats/expected").context("the result has neither vitest's nor playwright's counts")?;
    let failed = count("/stats/unexpected").unwrap_or(0) + count("/stats/flaky").unwrap_or(0);
    Ok(Tally { passed, failed, skipped: count("/stats/skipped").unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nextest_prints_is_read() {
        let line = "     Summary [   1.05s] 16 tests run: 12 passed (2 slow), 2 failed, 1 timed out, 1 exec failed, 3 skipped";
        assert_eq!(
            nextest_sum(line),
            Some(Tally { passed: 12, failed: 4, skipped: 3 }),
            "every kind of failure counts"
        );
        assert_eq!(nextest_sum("        PASS [ 0.1s] a summary"), None, "other lines do not");
        let cut = "     Summary [   0.30s] 4/16 tests run: 3 passed, 1 failed, 12 skipped";
        assert_eq!(
            nextest_sum(cut),
            Some(Tally { passed: 3, failed: 1, skipped: 12 }),
            "also when it stopped early"
        );
    }

    #[test]
    fn what_cargo_test_prints_is_read() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(libtest_sum(line), Some(Tally { passed: 3, failed: 2, skipped: 1 }), "one line a program");
        assert_eq!(libtest_sum("test a::b ... ok"), None, "other lines do not");
    }

    #[test]
    fn a_flaky_browser_test_counts_as_failed() {
        let playwright =
            serde_json::json!({"stats": {"expected": 5, "unexpected": 1, "flaky": 1, "skipped": 2}});
        let sum = node_sum(&playwright).expect("playwright's counts");
        assert_eq!(sum, Tally { passed: 5, failed: 2, skipped: 2 }, "flaky is not passed");
        let vitest = serde_json::json!({"numPassedTests": 4, "numFailedTests": 0, "numPendingTests": 1});
        assert_eq!(node_sum(&vitest).expect("vitest's counts").passed, 4, "vitest's own names");
        assert!(node_sum(&serde_json::json!({})).is_err(), "no counts is not zero failures");
    }
}
