//! What is printed: results to standard output, everything about the way there to standard error. Whoever reads may go
//! away at any time; that is no fault.

mod table;
mod units;

pub(crate) use table::{Table, facts};
pub(crate) use units::{age, bytes, count, lasting, or_unknown, percent, took};

use crate::failure::Failure;
use clusterdeck_api::Problem;
use std::io::{ErrorKind, IsTerminal, Write};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    /// Standard error is a terminal.
    seen: bool,
    /// Somebody can be asked.
    asked: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let seen = std::io::stderr().is_terminal();
        Self { json, seen, asked: seen && std::io::stdin().is_terminal() }
    }
    /// The API's body is wanted.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }
    /// Somebody can be asked.
    pub(crate) const fn can_ask(&self) -> bool {
        self.asked
    }
    /// A line can be drawn over.
    pub(crate) const fn is_live(&self) -> bool {
        self.seen
    }
    /// Nobody wants to read about the way there.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.json && !self.seen
    }

    /// Prints a result.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::Closed),
            Err(error) => Err(Failure::other(format!("the result could not be written: {error}"))),
        }
    }
    /// Prints a body as it came.
    pub(crate) fn body(&self, body: &[u8]) -> Result<(), Failure> {
        self.line(String::from_utf8_lossy(body).trim_end())
    }
    /// Prints a table.
    pub(crate) fn table(&self, table: &Table) -> Result<(), Failure> {
        self.line(&table.text())
    }
    /// Says something about the way there, to whoever still reads.
    pub(crate) fn note(&self, text: &str) {
        let _unread = writeln!(std::io::stderr().lock(), "{text}").is_err();
    }
    /// The same without an end of line, drawn over the line before.
    pub(crate) fn draw(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _unread = write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush()).is_err();
    }

    /// Tells a failure and returns the exit status.
    pub(crate) fn failure(&self, failure: &Failure) -> u8 {
        match failure {
            Failure::Problem(problem) => {
                if self.json {
                    drop(self.body(&serde_json::to_vec(problem).unwrap_or_default()));
                }
                self.problem(problem);
            }
            Failure::Ended(operation) => {
                let state = serde_json::to_value(operation.state).ok();
                let state = state.as_ref().and_then(|s| s.as_str()).unwrap_or("ended");
                self.note(&format!("error: {}: {state}", operation.title));
                if let Some(error) = &operation.error {
                    for text in [&error.title, &error.detail, &error.hint] {
                        self.indented(text);
                    }
                }
                for note in &operation.outcome.notes {
                    self.indented(note);
                }
                if operation.retryable {
                    self.indented(&format!(
                        "`clusterdeck operation retry {}` goes on at the step that failed.",
                        operation.id
                    ));
                }
            }
            Failure::Interrupted(text) if !text.is_empty() => self.note(text),
            Failure::Interrupted(_) | Failure::Closed => {}
        }
        failure.exit()
    }

    fn problem(&self, problem: &Problem) {
        self.note(&format!("error: {}", problem.title));
        for field in problem
            .fields
            .iter()
            .filter(|f| f.message != problem.title && !problem.detail.contains(&f.message))
        {
            self.indented(&format!("{}: {}", field.pointer.trim_start_matches('/'), field.message));
        }
        // A blocked change repeats its first blocker in the title.
        let detail = problem.detail.lines().filter(|line| !problem.title.ends_with(*line) || line.is_empty());
        self.indented(&detail.collect::<Vec<_>>().join("\n"));
        self.indented(&problem.hint);
    }

    fn indented(&self, text: &str) {
        for line in text.lines().filter(|line| !line.is_empty()) {
            self.note(&format!("  {line}"));
        }
    }
}
