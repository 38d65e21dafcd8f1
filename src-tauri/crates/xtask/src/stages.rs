//! Stages: each is named, timed and told; a failing one does not hide the others, and the sum at the end is honest.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Tests that ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Did what they should.
    pub passed: u64,
    /// Did not.
    pub failed: u64,
    /// Were there but did not run.
    pub skipped: u64,
}

impl Tally {
    /// Both together.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// What became of a program that ran tests.
pub(crate) struct Ran {
    /// What it counted.
    pub tally: Tally,
    /// Whether it ended well.
    pub success: bool,
    /// What failed and why, in its words.
    pub failures: Vec<String>,
}

struct Ended {
    name: String,
    took: Duration,
    tally: Option<Tally>,
    failure: Option<String>,
}

/// A run of stages.
pub(crate) struct Stages {
    began: Instant,
    ended: Vec<Ended>,
    /// What failed and why, told once more at the end: above it stands all that servers printed.
    failures: Vec<String>,
}

impl Stages {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), ended: Vec::new(), failures: Vec::new() }
    }

    /// Runs a stage that only succeeds or fails. Says which.
    pub(crate) fn stage(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        self.keep(name, || work().map(|()| None))
    }

    /// Runs a stage that counts tests. One that fails without a failed test (it did not build, it crashed) counts as one
    /// failed test, and so does one in which no test ran at all: nothing tested is not a success.
    pub(crate) fn tests(&mut self, name: &str, work: impl FnOnce() -> Result<Ran>) -> bool {
        let mut told = Vec::new();
        let well = self.keep(name, || {
            let Ran { mut tally, success, failures } = work()?;
            told = failures;
            if tally.passed + tally.failed == 0 {
                bail!("no test ran");
            }
            if !success && tally.failed == 0 {
                tally.failed = 1;
            }
            Ok(Some(tally))
        });
        self.failures.extend(told);
        well
    }

    fn keep(&mut self, name: &str, work: impl FnOnce() -> Result<Option<Tally>>) -> bool {
        println!("\n== {name}");
        let began = Instant::now();
        let (tally, failure) = match work() {
            Ok(tally) => (tally, None),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                (None, Some(format!("{error:#}")))
            }
        };
        let took = began.elapsed();
        let good = failure.is_none() && tally.is_none_or(|t| t.failed == 0);
        println!("== {name}: {} in {}", if good { "done" } else { "FAILED" }, seconds(took));
        self.ended.push(Ended { name: name.to_owned(), took, tally, failure });
        good
    }

    /// The sum so far: every test counted, and one failure for each stage that failed otherwise.
    pub(crate) fn sum(&self) -> Tally {
        self.ended.iter().fold(Tally::default(), |sum, stage| {
            let broken = Tally { failed: u64::from(stage.failure.is_some()), ..Tally::default() };
            sum.plus(stage.tally.unwrap_or_default()).plus(broken)
        })
    }

    /// Prints what each stage took, and what failed.
    ///
    /// # Errors
    /// When a stage failed.
    pub(crate) fn close(&self) -> Result<()> {
        let widest = self.ended.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
        println!("\nstages");
        for stage in &self.ended {
            let what = match (&stage.failure, stage.tally) {
                (Some(why), _) => format!("FAILED: {}", why.lines().next().unwrap_or("")),
                (None, Some(t)) if t.skipped > 0 => {
                    format!("{} passed, {} failed, {} not run", t.passed, t.failed, t.skipped)
                }
                (None, Some(t)) => format!("{} passed, {} failed", t.passed, t.failed),
                (None, None) => "done".to_owned(),
            };
            println!("  {:<widest$}  {:>8}  {what}", stage.name, seconds(stage.took));
        }
        println!("  {:<widest$}  {:>8}", "together", seconds(self.began.elapsed()));
        if !self.failures.is_empty() {
            println!("\nwhat failed, and why\n{}", self.failures.concat());
        }
        if self.sum().failed > 0 { bail!("not everything is well, see above") } else { Ok(()) }
    }
}

/// A duration for people.
pub(crate) fn seconds(took: Duration) -> String {
    let s = took.as_secs_f64();
    if s >= 60.0 { format!("{:.0}m {:02.0}s", (s / 60.0).floor(), s % 60.0) } else { format!("{s:.1}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(tally: Tally, success: bool) -> Ran {
        Ran { tally, success, failures: Vec::new() }
    }

    #[test]
    fn a_stage_that_breaks_counts_as_one_failure_and_later_stages_still_run() {
        let mut stages = Stages::new();
        assert!(stages.stage("fine", || Ok(())), "a stage that works");
        assert!(!stages.stage("broken", || bail!("did not build")), "a stage that does not");
        let counted = Tally { passed: 3, failed: 0, skipped: 1 };
        assert!(stages.tests("tests", || Ok(ran(counted, true))), "tests that pass");
        assert_eq!(
            stages.sum(),
            Tally { passed: 3, failed: 1, skipped: 1 },
            "the broken stage is in the sum"
        );
        assert!(stages.close().is_err(), "one failure fails the run");
    }

    #[test]
    fn a_test_stage_in_which_nothing_ran_is_a_failure() {
        let mut stages = Stages::new();
        assert!(!stages.tests("none", || Ok(ran(Tally::default(), true))), "nothing tested is not a success");
        assert_eq!(stages.sum().failed, 1, "it counts");
    }

    #[test]
    fn a_runner_that_crashed_after_its_tests_passed_is_a_failure() {
        let mut stages = Stages::new();
        let counted = Tally { passed: 2, failed: 0, skipped: 0 };
        assert!(!stages.tests("crash", || Ok(ran(counted, false))), "the exit status counts");
        assert_eq!(stages.sum().failed, 1, "as one failure");
    }
}
