//! Every test there is, and an honest sum as the last line.

use crate::stages::{Ran, Stages, Tally};
use crate::{acts, check, generate, host, setup, turns};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    setup: setup::Args,
    /// Also what else takes turns by the day: kills every act at every one of its steps and lives every long life, which
    /// takes hours.
    #[arg(long)]
    thorough: bool,
}

/// Runs everything; the last line it prints is `N passed, N failed`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut stages = Stages::new();
    if stages.stage("set up", || setup::run(&args.setup, setup::Purpose::Everything)) {
        everything(&mut stages, args);
    }
    let outcome = stages.close();
    let sum = stages.sum();
    println!("{} passed, {} failed", sum.passed, sum.failed);
    outcome
}

fn everything(stages: &mut Stages, args: &Args) {
    if !stages.stage("build the window", check::build_ui) {
        return;
    }
    // The whole-product tests start these two programs, so they must be of this source. Built together with the tests:
    // another choice of targets would build half the dependencies twice.
    let built = stages.stage("build programs and tests", || {
        host::run(&mut host::cargo(["build", "--workspace", "--bins", "--tests", "--locked", "--quiet"]))
    });
    if !built {
        return check::source(stages);
    }
    // Images wait for mirrors and unpack, lints compute: side by side they take what the longer one takes.
    std::thread::scope(|scope| {
        let images = scope.spawn(images);
        check::source(stages);
        stages.stage("container images", || images.join().unwrap_or_else(|_| bail!("ended by a panic")));
    });
    stages.stage("generated files fresh", generate::check_built);
    stages.stage("notes of acts emptied", acts::forget);
    let all = ["--all-targets"];
    let well = stages.tests("rust tests", || {
        if args.thorough {
            rust(&all, &[("CLUSTERDECK_EVERY_KILL", "1"), ("NEXTEST_PROFILE", "thorough")])
        } else if host::has("cargo-nextest") {
            rust(&[&all[..], &["--filterset", turns::today().as_str()]].concat(), &[])
        } else {
            // Without nextest nothing can be left to another day but kills.
            rust(&all, &[])
        }
    });
    if well {
        stages.stage("acts they saw", || acts::run(&acts::Args::default()));
    }
    stages.tests("browser tests", || node("playwright", &["run", "test:browser", "--"]));
    stages.tests("window tests", window);
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

/// Rust tests of the whole workspace in this environment, by nextest where it is installed.
pub(crate) fn rust(choice: &[&str], environment: &[(&str, &str)]) -> Result<Ran> {
    let nextest = host::has("cargo-nextest");
    let words: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--status-level", "slow"]
    } else {
        &["test", "--workspace", "--locked", "--no-fail-fast", "--quiet"]
    };
    let mut tally = Tally::default();
    let mut seen = Failures::default();
    let success = host::run_seen(
        host::cargo(words)
            .args(choice)
            .envs(environment.iter().copied())
            .env("CARGO_TERM_COLOR", "never")
            .env("RUST_TEST_THREADS", "1"),
        |line| {
            seen.read(line);
            if let Some(found) = if nextest { nextest_sum(line) } else { libtest_sum(line) } {
                tally = tally.plus(found);
            }
        },
    )?;
    Ok(Ran { tally, success, failures: seen.told })
}

/// What made tests fail, out of all that they and their servers printed.
#[derive(Default)]
struct Failures {
    told: Vec<String>,
    /// Lines of the message that is being read, still to be taken.
    left: usize,
}

impl Failures {
    /// Lines of one message, and characters of one line.
    const LINES: usize = 14;
    const WIDTH: usize = 400;
    /// More than these are not told one by one.
    const MOST: usize = 20;

    /// Takes the lines that name a failed test, and each message of a panic.
    fn read(&mut self, line: &str) {
        let text = line.trim_start();
        let named = text
            .strip_prefix("FAIL [")
            .or_else(|| text.strip_prefix("TIMEOUT ["))
            .or_else(|| text.strip_prefix("SIG").filter(|rest| rest.contains(" [")));
        let panicked = text.starts_with("thread '") && text.contains(" panicked at ");
        if named.is_some() || panicked {
            if self.told.len() == Self::MOST {
                return;
            }
            self.told.push(String::new());
            self.left = if panicked { Self::LINES } else { 1 };
        }
        if text.starts_with("stack backtrace:") || text.starts_with("note: run with") {
            self.left = 0;
        }
        if let (Some(last), true) = (self.told.last_mut(), self.left > 0) {
            last.extend(line.chars().take(Self::WIDTH));
            last.push('\n');
            self.left -= 1;
        }
    }
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
pub(crate) fn window() -> Result<Ran> {
    node("vitest", &["run", "test", "--"])
}

/// Runs an npm script of the window whose runner (vitest or playwright) can write its result as JSON.
fn node(runner: &str, script: &[&str]) -> Result<Ran> {
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
    let text = std::fs::read(&file).with_context(|| format!("no result in {}", file.display()))?;
    let result = serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    let mut failures = Vec::new();
    node_failures(&result, "", &mut failures);
    Ok(Ran { tally: node_sum(&result)?, success, failures })
}

/// What failed, by its title and the first lines of its message, wherever it stands in what the runner wrote: Playwright's
/// specs with their attempts, vitest's `assertionResults`.
fn node_failures(value: &Value, title: &str, told: &mut Vec<String>) {
    let word = |key: &str| value.get(key).and_then(Value::as_str);
    let title = word("fullName").or_else(|| word("title")).unwrap_or(title);
    let messages: Vec<&str> = match word("status") {
        Some("failed" | "timedOut" | "interrupted") => {
            let listed = ["failureMessages", "errors"].iter().filter_map(|key| value.get(key)?.as_array());
            listed
                .flatten()
                .filter_map(|said| said.as_str().or_else(|| said.get("message")?.as_str()))
                .collect()
        }
        _ => Vec::new(),
    };
    for message in messages.iter().take(Failures::MOST.saturating_sub(told.len())) {
        let lines = message.lines().take(Failures::LINES);
        let lines = lines.map(|line| line.chars().take(Failures::WIDTH).collect::<String>());
        told.push(format!("{title}\n    {}\n", lines.collect::<Vec<_>>().join("\n    ")));
    }
    match value {
        Value::Array(inside) => inside.iter().for_each(|inside| node_failures(inside, title, told)),
        Value::Object(inside) => inside.values().for_each(|inside| node_failures(inside, title, told)),
        _ => {}
    }
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
    fn what_failed_is_found_among_what_servers_printed() {
        let printed = "        SLOW [> 60.000s] a::b\n        FAIL [ 181.7s] (620/658) tests::killed a::b\n  stdout ---\n\
                       --- etcd.log\n    warn\n    thread 'a::b' (77) panicked at tests/a.rs:1:9:\n    left: 1\n\
                       right: 2\n    stack backtrace:\n       0: begin_unwind";
        let mut failures = Failures::default();
        printed.lines().for_each(|line| failures.read(line));
        let told = failures.told.concat();
        let lines: Vec<&str> = told.lines().map(str::trim).collect();
        let panic = "thread 'a::b' (77) panicked at tests/a.rs:1:9:";
        assert_eq!(
            lines,
            ["FAIL [ 181.7s] (620/658) tests::killed a::b", panic, "left: 1", "right: 2"],
            "and no more"
        );
    }

    #[test]
    fn what_cargo_test_prints_is_read() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(libtest_sum(line), Some(Tally { passed: 3, failed: 2, skipped: 1 }), "one line a program");
        assert_eq!(libtest_sum("test a::b ... ok"), None, "other lines do not");
    }

    #[test]
    fn what_failed_in_the_browser_is_told_by_its_name() {
        let errors = serde_json::json!([{"message": "expected 1\nfound 2"}]);
        let playwright = serde_json::json!({"suites": [{"title": "a.spec.ts", "suites": [], "specs": [
            {"title": "fine", "tests": [{"status": "expected", "results": [{"status": "passed", "errors": []}]}]},
            {"title": "a button", "tests": [{"status": "unexpected", "results": [{"status": "failed", "errors": errors}]}]},
        ]}]});
        let mut told = Vec::new();
        node_failures(&playwright, "", &mut told);
        assert_eq!(told, ["a button\n    expected 1\n    found 2\n"], "and nothing else");
        let vitest = serde_json::json!({"testResults": [{"assertionResults": [
            {"fullName": "days are told", "status": "failed", "failureMessages": ["Error: no"]},
            {"fullName": "weeks too", "status": "passed", "failureMessages": []},
        ]}]});
        told.clear();
        node_failures(&vitest, "", &mut told);
        assert_eq!(told, ["days are told\n    Error: no\n"], "vitest's as well");
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
