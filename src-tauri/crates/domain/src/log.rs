//! The log of a cluster as it is archived beside its backups, and the moments to which it leads.
//!
//! A backup is a place in the log. From there the pieces of the archive lead on, one touching the next, through every fork at
//! which another node took the lead. Where a piece is missing the way ends, however much lies behind it: that is a hole, and it
//! is told. A new backup begins a new way.

use crate::{BackupId, ClusterId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A place in a server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogPlace {
    /// Which history it is in: PostgreSQL's timeline, the domain of MariaDB's transactions.
    pub line: u32,
    /// How far in it: bytes, transactions.
    pub at: u64,
}

/// Where a history left the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fork {
    /// The history that was left.
    pub line: u32,
    /// Where.
    pub at: u64,
}

/// What a piece of the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "holds", rename_all = "kebab-case")]
pub enum LogSpan {
    /// What was written from one place up to another.
    Stretch {
        /// In which history.
        line: u32,
        /// The first place.
        from: u64,
        /// The first place behind it.
        to: u64,
        /// When the first transaction that ends in it ended; `null`: none does.
        #[schema(value_type = Option<String>, format = DateTime)]
        first: Option<Timestamp>,
        /// When the last one did.
        #[schema(value_type = Option<String>, format = DateTime)]
        last: Option<Timestamp>,
    },
    /// How a history came to be.
    Forks {
        /// Which.
        line: u32,
        /// Where those before it were left, the oldest first.
        forks: Vec<Fork>,
    },
}

/// A piece of a cluster's log in a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogPiece {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// What the server calls it.
    pub name: String,
    /// Which of its cluster's pasts it is of: another one begins when what a cluster holds is replaced. Names and places mean
    /// something within one only.
    #[serde(default)]
    pub era: u32,
    /// What it holds.
    pub span: LogSpan,
    /// The vault it lies in.
    pub vault: String,
    /// The key it is encrypted for.
    pub sealed_for: String,
    /// Bytes as the server gave them.
    pub data_bytes: u64,
    /// Bytes of it that are no emptiness at its end.
    pub used_bytes: u64,
    /// Bytes in the vault.
    pub stored_bytes: u64,
    /// SHA-256 of what the server gave, in hexadecimal digits.
    pub sha256: String,
    /// When it was in the vault.
    #[schema(value_type = String, format = DateTime)]
    pub stored_at: Timestamp,
}

impl LogPiece {
    /// What it is called among all of its cluster.
    pub fn key(&self) -> String {
        if self.era == 0 { self.name.clone() } else { format!("e{}.{}", self.era, self.name) }
    }
}

/// A moment, and the place up to which the log holds all that was acknowledged by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMark {
    /// The moment, by the server's clock.
    pub at: Timestamp,
    /// The place.
    pub place: LogPlace,
}

/// A backup that the log can be replayed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBase {
    /// Which.
    pub backup: BackupId,
    /// From which moment on it can be replayed to.
    pub from: Timestamp,
    /// Where in the log it ends.
    pub place: LogPlace,
}

/// Moments that a cluster can be brought back to, from the first to the last, without a hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogRange {
    /// The first.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// The last.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
}

impl LogRange {
    /// Whether a moment is in it.
    pub fn holds(&self, moment: Timestamp) -> bool {
        self.from <= moment && moment <= self.to
    }
}

/// How far the pieces lead from a base.
#[derive(Debug, Clone, PartialEq)]
pub struct Way<'a> {
    /// The pieces in the order in which they are replayed.
    pub pieces: Vec<&'a LogPiece>,
    /// Where it ends.
    pub end: LogPlace,
    /// The last moment that it leads to.
    pub to: Timestamp,
    /// Pieces lie behind its end, and what is between is missing: in words.
    pub hole: Option<String>,
}

/// What is replayed to get to a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay<'a> {
    /// The backup that it begins on.
    pub base: &'a LogBase,
    /// The pieces that are needed, in their order; with them the forks of the history that they end in.
    pub pieces: Vec<&'a LogPiece>,
    /// The history that it ends in.
    pub line: u32,
    /// Nothing behind the moment is in these pieces: they are replayed to their end.
    pub to_end: bool,
}

/// One history after the other, each with the place at which it begins and the one at which it was left.
struct Leg {
    line: u32,
    from: u64,
    until: u64,
}

/// The histories from a base to the newest one that came of its own.
fn legs(base: LogPlace, pieces: &[LogPiece]) -> Vec<Leg> {
    let came_of = pieces.iter().filter_map(|piece| match &piece.span {
        LogSpan::Forks { line, forks } => {
            let left = forks.iter().position(|fork| fork.line == base.line && fork.at >= base.at)?;
            Some((*line, &forks[left..]))
        }
        LogSpan::Stretch { .. } => None,
    });
    let mut legs = Vec::new();
    let mut from = base.at;
    let newest = came_of.max_by_key(|(line, _)| *line);
    for fork in newest.iter().flat_map(|(_, forks)| forks.iter()) {
        legs.push(Leg { line: fork.line, from, until: fork.at });
        from = fork.at;
    }
    let line = newest.map_or(base.line, |(line, _)| line);
    legs.push(Leg { line, from, until: u64::MAX });
    legs
}

/// For each place at which a piece begins, the piece that leads farthest of all that begin there or before it: an archive has
/// tens of thousands. One server's touch each other; that of another, which has what it received in files of its own, may
/// begin before any number of them.
struct Index<'a>(BTreeMap<(u32, u64), (&'a LogPiece, u64)>);

impl<'a> Index<'a> {
    fn of(pieces: &'a [LogPiece]) -> Self {
        let mut all: BTreeMap<(u32, u64), (&LogPiece, u64)> = BTreeMap::new();
        for piece in pieces {
            let LogSpan::Stretch { line, from, to, .. } = piece.span else { continue };
            let known = all.entry((line, from)).or_insert((piece, to));
            if known.1 < to {
                *known = (piece, to);
            }
        }
        let mut farthest: Option<(u32, (&LogPiece, u64))> = None;
        for ((line, _), found) in &mut all {
            if let Some((of, before)) = farthest
                && of == *line
                && before.1 > found.1
            {
                *found = before;
            }
            farthest = Some((*line, *found));
        }
        Self(all)
    }
    /// The piece of a history that holds a place; of several the one that leads farthest.
    fn holding(&self, line: u32, place: u64) -> Option<(&'a LogPiece, u64)> {
        let (_, found) = self.0.range((line, 0)..=(line, place)).next_back()?;
        Some(*found).filter(|(_, to)| place < *to)
    }
}

fn last(piece: &LogPiece) -> Option<Timestamp> {
    match piece.span {
        LogSpan::Stretch { last, .. } => last,
        LogSpan::Forks { .. } => None,
    }
}

/// The way from a base through the archive.
pub fn way<'a>(base: &LogBase, pieces: &'a [LogPiece], mark: Option<&LogMark>) -> Way<'a> {
    let (legs, index) = (legs(base.place, pieces), Index::of(pieces));
    let (mut at, mut on) = (base.place.at, 0);
    let mut taken: Vec<&LogPiece> = Vec::new();
    // A history begins in the middle of a piece, of which it has a copy of its own; that one leads on, the other one ends.
    loop {
        let newer = (on + 1..legs.len()).rev().find_map(|leg| {
            let (piece, to) = index.holding(legs[leg].line, at)?;
            (to > legs[leg].from).then_some((leg, piece, to))
        });
        let same = || {
            let (piece, to) = index.holding(legs[on].line, at)?;
            let to = to.min(legs[on].until);
            (to > at).then_some((on, piece, to))
        };
        match newer.or_else(same) {
            Some((leg, piece, to)) => {
                taken.push(piece);
                (on, at) = (leg, to.min(legs[leg].until));
            }
            // Left exactly where a piece ends: the next one is of the next history.
            None if at >= legs[on].until && on + 1 < legs.len() => on += 1,
            None => break,
        }
    }
    let end = LogPlace { line: legs[on].line, at };
    let passed = |place: &LogPlace| {
        let leg = legs.iter().position(|leg| leg.line == place.line);
        leg.is_some_and(|leg| leg < on && place.at <= legs[leg].until || leg == on && place.at <= at)
    };
    let marked = mark.filter(|mark| passed(&mark.place)).map(|mark| mark.at);
    let to = taken.iter().filter_map(|piece| last(piece)).chain(marked).fold(base.from, Timestamp::max);
    let hole = hole(&legs, on, at, pieces);
    Way { pieces: taken, end, to, hole }
}

/// What lies behind the end of a way.
fn hole(legs: &[Leg], on: usize, at: u64, pieces: &[LogPiece]) -> Option<String> {
    let newest = legs.last().map_or(0, |leg| leg.line);
    let behind = pieces.iter().filter_map(|piece| match piece.span {
        LogSpan::Stretch { line, from, .. } => {
            let leg = legs.iter().position(|leg| leg.line == line);
            let beyond =
                leg.is_some_and(|leg| (leg > on || leg == on && from > at) && from < legs[leg].until);
            // A newer history of which it is not known where it came from.
            (beyond || line > newest).then_some((line, from, piece))
        }
        LogSpan::Forks { .. } => None,
    });
    let next = behind.min_by_key(|(line, from, _)| (*line, *from));
    next.map(|(_, _, piece)| format!("what comes before {} is missing", piece.name))
}

/// What leads to a moment: the newest backup before it whose way does.
pub fn replay<'a>(
    bases: &'a [LogBase],
    pieces: &'a [LogPiece],
    mark: Option<&LogMark>,
    moment: Timestamp,
) -> Option<Replay<'a>> {
    let mut before: Vec<&LogBase> = bases.iter().filter(|base| base.from <= moment).collect();
    before.sort_by_key(|base| std::cmp::Reverse(base.from));
    before.into_iter().find_map(|base| {
        let way = way(base, pieces, mark);
        if way.to < moment {
            return None;
        }
        let beyond = way.pieces.iter().position(|piece| last(piece).is_some_and(|last| last > moment));
        let needed = &way.pieces[..beyond.map_or(way.pieces.len(), |at| at + 1)];
        let line = needed.last().map_or(base.place.line, |piece| match piece.span {
            LogSpan::Stretch { line, .. } | LogSpan::Forks { line, .. } => line,
        });
        let forks = pieces.iter().filter(|p| matches!(p.span, LogSpan::Forks { line: of, .. } if of == line));
        Some(Replay {
            base,
            pieces: forks.chain(needed.iter().copied()).collect(),
            line,
            to_end: beyond.is_none(),
        })
    })
}

/// All moments that can be brought back, the oldest range first; those that touch are one.
pub fn ranges(bases: &[LogBase], pieces: &[LogPiece], mark: Option<&LogMark>) -> Vec<LogRange> {
    let mut all: Vec<LogRange> = bases
        .iter()
        .map(|base| LogRange { from: base.from, to: way(base, pieces, mark).to })
        .filter(|range| range.from < range.to)
        .collect();
    all.sort_by_key(|range| range.from);
    let mut joined: Vec<LogRange> = Vec::new();
    for range in all {
        match joined.last_mut() {
            Some(before) if range.from <= before.to => before.to = before.to.max(range.to),
            _ => joined.push(range),
        }
    }
    joined
}

/// A backup on the time line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RangeBase {
    /// Which.
    pub backup: BackupId,
    /// From which moment on it is replayed from.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// A server was started on it and found good.
    pub verified: bool,
}

/// Which moments a cluster can be brought back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PointInTime {
    /// Its log is archived now.
    pub on: bool,
    /// Into which vault.
    pub vault: Option<String>,
    /// The moments, without the holes between them, the oldest first.
    pub ranges: Vec<LogRange>,
    /// Backups of it, the oldest first.
    pub bases: Vec<RangeBase>,
    /// How far the archive is behind what is acknowledged; `null` where that is not known or nothing is archived.
    pub behind_ms: Option<u64>,
    /// Bytes of log that wait on the nodes: the most of any node.
    pub waiting_bytes: u64,
    /// Bytes that they may take there.
    pub waiting_most_bytes: u64,
    /// Bytes of log in the vault.
    pub stored_bytes: u64,
    /// What keeps it from being complete, in words.
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + n).unwrap()
    }
    fn piece(name: &str, span: LogSpan) -> LogPiece {
        LogPiece {
            cluster: ClusterId::new(1),
            name: name.to_owned(),
            era: 0,
            span,
            vault: "local".to_owned(),
            sealed_for: "age1".to_owned(),
            data_bytes: 16,
            used_bytes: 16,
            stored_bytes: 1,
            sha256: String::new(),
            stored_at: second(0),
        }
    }
    /// A piece of 100 whose transactions ended in these seconds.
    fn stretch(line: u32, from: u64, ended: std::ops::RangeInclusive<i64>) -> LogPiece {
        let (first, last) = (Some(second(*ended.start())), Some(second(*ended.end())));
        piece(&format!("{line}-{from}"), LogSpan::Stretch { line, from, to: from + 100, first, last })
    }
    fn forks(line: u32, forks: &[(u32, u64)]) -> LogPiece {
        let forks = forks.iter().map(|(line, at)| Fork { line: *line, at: *at }).collect();
        piece(&format!("{line}.history"), LogSpan::Forks { line, forks })
    }
    fn base(n: u128, from: i64, line: u32, at: u64) -> LogBase {
        LogBase { backup: BackupId::new(n), from: second(from), place: LogPlace { line, at } }
    }
    fn mark(at: i64, line: u32, place: u64) -> LogMark {
        LogMark { at: second(at), place: LogPlace { line, at: place } }
    }
    fn names<'a>(pieces: &[&'a LogPiece]) -> Vec<&'a str> {
        pieces.iter().map(|piece| piece.name.as_str()).collect()
    }
    fn range(from: i64, to: i64) -> LogRange {
        LogRange { from: second(from), to: second(to) }
    }

    #[test]
    fn a_range_goes_from_the_backup_to_the_last_transaction_or_to_the_last_look_when_nothing_followed() {
        let bases = [base(1, 10, 1, 150)];
        let pieces = [stretch(1, 100, 5..=15), stretch(1, 200, 16..=20)];
        assert_eq!(ranges(&bases, &pieces, None), [range(10, 20)]);
        assert_eq!(ranges(&bases, &pieces, Some(&mark(40, 1, 300))), [range(10, 40)], "nothing came since");
        assert_eq!(ranges(&bases, &pieces, Some(&mark(40, 1, 301))), [range(10, 20)], "something did");
        assert_eq!(ranges(&bases, &[], None), [], "a backup alone is a moment, not a range");
        assert_eq!(ranges(&[], &pieces, None), [], "a log alone leads nowhere");
        let all = way(&bases[0], &pieces, None);
        assert_eq!((names(&all.pieces), all.hole), (vec!["1-100", "1-200"], None));
    }

    #[test]
    fn a_missing_piece_ends_the_range_and_is_told_and_the_next_backup_begins_another_one() {
        let pieces = [stretch(1, 100, 5..=15), stretch(1, 300, 26..=30), stretch(1, 400, 31..=40)];
        let bases = [base(1, 10, 1, 150), base(2, 32, 1, 420)];
        assert_eq!(ranges(&bases, &pieces, Some(&mark(50, 1, 500))), [range(10, 15), range(32, 50)]);
        let first = way(&bases[0], &pieces, None);
        assert_eq!(first.hole.as_deref(), Some("what comes before 1-300 is missing"));
        assert_eq!(way(&bases[1], &pieces, None).hole, None);
        for (moment, found) in [(9, false), (10, true), (15, true), (16, false), (31, false), (33, true)] {
            let replay = replay(&bases, &pieces, Some(&mark(50, 1, 500)), second(moment));
            assert_eq!(replay.is_some(), found, "second {moment}");
        }
    }

    #[test]
    fn the_newest_backup_before_the_moment_is_taken_and_no_piece_more_than_it_needs() {
        let pieces = [stretch(1, 100, 5..=15), stretch(1, 200, 16..=25), stretch(1, 300, 26..=30)];
        let bases = [base(1, 10, 1, 150), base(2, 20, 1, 220)];
        let taken = |moment| {
            let found = replay(&bases, &pieces, Some(&mark(60, 1, 400)), second(moment)).unwrap();
            (found.base.backup.clone(), names(&found.pieces), found.to_end)
        };
        assert_eq!(taken(12), (BackupId::new(1), vec!["1-100"], false));
        assert_eq!(taken(15), (BackupId::new(1), vec!["1-100", "1-200"], false), "at the end of a piece");
        assert_eq!(taken(22), (BackupId::new(2), vec!["1-200"], false));
        assert_eq!(taken(30), (BackupId::new(2), vec!["1-200", "1-300"], true));
        assert_eq!(taken(60), (BackupId::new(2), vec!["1-200", "1-300"], true), "nothing came since");
        // A way that ends too soon is none; an older backup may have a whole one.
        let broken = [base(1, 10, 1, 150), base(3, 28, 7, 0)];
        let found = replay(&broken, &pieces, None, second(29)).unwrap();
        assert_eq!(found.base.backup, BackupId::new(1));
    }

    #[test]
    fn the_way_goes_through_a_fork_and_not_into_what_the_dead_node_alone_wrote() {
        // The old one died at 230; its own log went on to 270, and it had closed that piece by force.
        let lost = stretch(1, 200, 16..=99);
        let after = [stretch(2, 200, 16..=25), stretch(2, 300, 26..=30)];
        let history = forks(2, &[(1, 230)]);
        let mut pieces = vec![stretch(1, 100, 5..=15), lost, history.clone()];
        pieces.extend(after.clone());
        let bases = [base(1, 10, 1, 150)];
        let found = way(&bases[0], &pieces, None);
        assert_eq!(names(&found.pieces), ["1-100", "2-200", "2-300"]);
        assert_eq!((found.to, found.hole), (second(30), None));
        let replayed = replay(&bases, &pieces, None, second(28)).unwrap();
        assert_eq!(
            (names(&replayed.pieces), replayed.line),
            (vec!["2.history", "1-100", "2-200", "2-300"], 2)
        );
        let before = replay(&bases, &pieces, None, second(12)).unwrap();
        assert_eq!((names(&before.pieces), before.line), (vec!["1-100"], 1), "the fork is not needed yet");
        // Without the first piece of the new history the old one leads up to the fork, no farther.
        pieces.retain(|piece| piece.name != "2-200");
        let cut = way(&bases[0], &pieces, Some(&mark(99, 2, 400)));
        assert_eq!(cut.end, LogPlace { line: 2, at: 230 });
        assert_eq!(cut.hole.as_deref(), Some("what comes before 2-300 is missing"));
        // Without the history nobody knows where the new one came from.
        let unknown = [vec![stretch(1, 100, 5..=15)], after.to_vec()].concat();
        assert!(way(&bases[0], &unknown, None).hole.is_some());
        // A backup taken behind the fork on the dead node belongs to nobody's past.
        let stray = way(&base(9, 20, 1, 260), &pieces, None);
        assert_eq!(stray.end.line, 1);
    }

    #[test]
    fn a_fork_between_two_pieces_and_two_forks_in_one_are_passed() {
        let between = [stretch(1, 100, 5..=15), forks(2, &[(1, 200)]), stretch(2, 200, 16..=20)];
        let bases = [base(1, 10, 1, 150)];
        assert_eq!(names(&way(&bases[0], &between, None).pieces), ["1-100", "2-200"]);
        let twice = [stretch(1, 100, 5..=15), forks(3, &[(1, 210), (2, 250)]), stretch(3, 200, 16..=20)];
        let found = way(&bases[0], &twice, Some(&mark(30, 3, 300)));
        assert_eq!((names(&found.pieces), found.to), (vec!["1-100", "3-200"], second(30)));
    }

    #[test]
    fn pieces_of_two_servers_that_overlap_lead_on() {
        let one =
            piece("a", LogSpan::Stretch { line: 0, from: 0, to: 50, first: None, last: Some(second(5)) });
        let two =
            piece("b", LogSpan::Stretch { line: 0, from: 10, to: 90, first: None, last: Some(second(9)) });
        let found = [two, one];
        let way = way(&base(1, 1, 0, 5), &found, None);
        assert_eq!((names(&way.pieces), way.end.at, way.to), (vec!["a", "b"], 90, second(9)));
    }

    #[test]
    fn the_file_of_whoever_took_over_leads_on_however_many_pieces_of_the_one_before_it_holds() {
        let of = |name: String, from, to, last| {
            piece(&name, LogSpan::Stretch { line: 0, from, to, first: None, last: Some(second(last)) })
        };
        let mut found: Vec<LogPiece> =
            (0_u32..500).map(|n| of(format!("one-{n:03}"), u64::from(n), u64::from(n) + 1, 5)).collect();
        found.push(of("two".to_owned(), 0, 600, 9));
        let way = way(&base(1, 1, 0, 5), &found, None);
        assert_eq!((names(&way.pieces), way.end.at, way.to), (vec!["two"], 600, second(9)));
        found.push(of("two-more".to_owned(), 600, 700, 12));
        let bases = [base(1, 1, 0, 5)];
        assert_eq!(ranges(&bases, &found, None), [range(1, 12)]);
    }
}
