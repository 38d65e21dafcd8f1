//! The log of a unit: what its server writes to standard output and error, kept by the engine, which bounds it.
//!
//! A position is the second of the last line and how many lines of that second were read: Podman tells no more of a
//! line's time than its second.

use super::super::{
    engines::Engine,
    failure::{ANSWERS_WITHIN, asked, failed},
};
use bollard::{models::HostConfigLogConfig, query_parameters::LogsOptionsBuilder};
use clusterdeck_driver::{DriverError, Result};
use futures::StreamExt as _;
use std::collections::{HashMap, VecDeque};

/// A log takes this much, then its beginning goes.
const MAX_SIZE: &str = "8m";
/// Docker keeps so many pieces of that size; Podman one.
const PIECES: &str = "2";
/// Lines since a position that are read at once.
const MOST_LINES: usize = 20_000;
/// Bytes of a line that are kept.
const LONGEST_LINE: usize = 16 << 10;
/// The lower bits of a position count lines.
const COUNT_BITS: u32 = 24;

/// How an engine shall keep a unit's log.
pub(super) fn config(podman: bool) -> HostConfigLogConfig {
    let mut config = HashMap::from([("max-size".to_owned(), MAX_SIZE.to_owned())]);
    if !podman {
        config.insert("max-file".to_owned(), PIECES.to_owned());
    }
    // Podman takes the name for its own file format.
    HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(config) }
}

/// Lines with the second of each.
type Lines = VecDeque<(i64, String)>;

/// The last `lines` lines and the position after them; with `after` those that came since.
pub(super) async fn read(
    engine: &Engine,
    container: &str,
    lines: usize,
    after: Option<u64>,
) -> Result<(Vec<String>, u64)> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true);
    let Some(after) = after else {
        // One second more than asked for would be needed to count the lines of the first second; the whole is bounded.
        let all = fetch(engine, container, options.build()).await?;
        let position = position(&all, 0);
        let skip = all.len().saturating_sub(lines);
        return Ok((all.into_iter().skip(skip).map(|(_, line)| line).collect(), position));
    };
    let (second, count) = apart(after);
    let since = options.since(i32::try_from(second).unwrap_or(i32::MAX));
    let found = fetch(engine, container, since.build()).await?;
    Ok(news(found, second, count, after))
}

/// What of the lines since a second is new, and the position after it.
fn news(found: Lines, second: i64, count: usize, before: u64) -> (Vec<String>, u64) {
    let later: Lines = found.into_iter().filter(|(at, _)| *at >= second).collect();
    let position = position(&later, before);
    let known = later.iter().take_while(|(at, _)| *at == second).count().min(count);
    (later.into_iter().skip(known).map(|(_, line)| line).collect(), position)
}

fn position(lines: &Lines, none: u64) -> u64 {
    let Some((last, _)) = lines.back() else { return none };
    let count = lines.iter().rev().take_while(|(at, _)| at == last).count() as u64;
    (u64::try_from(*last).unwrap_or(0) << COUNT_BITS) | count.min((1 << COUNT_BITS) - 1)
}

fn apart(position: u64) -> (i64, usize) {
    let count = usize::try_from(position & ((1 << COUNT_BITS) - 1)).unwrap_or(usize::MAX);
    (i64::try_from(position >> COUNT_BITS).unwrap_or(i64::MAX), count)
}

async fn fetch(
    engine: &Engine,
    container: &str,
    options: bollard::query_parameters::LogsOptions,
) -> Result<Lines> {
    let what = "reading the log";
    let listen = async {
        let mut lines = Lines::new();
        let mut output = std::pin::pin!(engine.docker.logs(container, Some(options)));
        while let Some(piece) = output.next().await {
            let bytes = piece.map_err(|e| failed(what, e))?.into_bytes();
            let text = String::from_utf8_lossy(&bytes);
            for line in text.lines() {
                let at = lines.back().map_or(0, |(at, _)| *at);
                if lines.len() >= MOST_LINES {
                    lines.pop_front();
                }
                lines.push_back(split(line, at));
            }
        }
        Ok(lines)
    };
    match tokio::time::timeout(ANSWERS_WITHIN, listen).await {
        Ok(lines) => lines,
        Err(_) => Err(DriverError::transient(format!("{what}: the container engine took too long"))),
    }
}

/// The second of a line, and the line. One without a time belongs to the line before.
fn split(line: &str, before: i64) -> (i64, String) {
    let (at, rest) = match line.split_once(' ').map(|(at, rest)| (at.parse::<jiff::Timestamp>(), rest)) {
        Some((Ok(at), rest)) => (at.as_second(), rest),
        _ => (before, line),
    };
    let mut end = rest.len().min(LONGEST_LINE);
    while !rest.is_char_boundary(end) {
        end -= 1;
    }
    (at, rest[..end].to_owned())
}

/// The last words of a unit, for telling how it ended.
pub(super) async fn last_words(engine: &Engine, container: &str, lines: usize) -> String {
    let options =
        LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).tail(&lines.to_string());
    let what = "reading the log";
    let read =
        asked(what, ANSWERS_WITHIN, async { Ok(fetch(engine, container, options.build()).await) }).await;
    match read {
        Ok(Ok(lines)) => lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(all: &[(i64, &str)]) -> Lines {
        all.iter().map(|(at, line)| (*at, (*line).to_owned())).collect()
    }

    #[test]
    fn nothing_is_told_twice_or_left_out_within_a_second() {
        let first = lines(&[(10, "a"), (11, "b"), (11, "c")]);
        let position = position(&first, 0);
        assert_eq!(apart(position), (11, 2));
        let (none, same) = news(lines(&[(11, "b"), (11, "c")]), 11, 2, position);
        assert!(none.is_empty() && same == position);
        let (new, next) = news(lines(&[(11, "b"), (11, "c"), (11, "d"), (12, "e")]), 11, 2, position);
        assert_eq!(new, ["d", "e"]);
        assert_eq!(apart(next), (12, 1));
    }

    #[test]
    fn a_line_without_a_time_belongs_to_the_one_before() {
        assert_eq!(split("2026-11-23T06:50:37Z ready now", 0), (1_795_416_637, "ready now".to_owned()));
        assert_eq!(split("2026-11-23T06:50:37.407123456Z x", 0).0, 1_795_416_637);
        assert_eq!(split("continued", 7), (7, "continued".to_owned()));
    }
}
