//! A binary log of Oracle's MySQL, read as it passes: when each of its transactions was committed where it came from. Pure.
//!
//! A file is four bytes and then events, each with a head of 19 bytes: seconds, kind, server, its length, where the next one
//! begins, marks. A transaction begins with an event of kind `GTID_LOG_EVENT`, which has the moment of its commit in microseconds
//! (`original_commit_timestamp`; of a transaction that came in here itself, `immediate_commit_timestamp`). A member of a group takes
//! that moment before the others are asked: so whatever was acknowledged by a moment lies before the first transaction that
//! has a later one, on every member.

use jiff::Timestamp;

const MAGIC: u64 = 4;
const HEAD: usize = 19;
const GTID: u8 = 33;
/// A transaction whose id has a tag.
const TAGGED: u8 = 42;
/// Where the first moment stands in a [`GTID`]: behind the head, marks, a source, a number and how it is applied in parallel.
const MOMENT: usize = HEAD + 42;
const MOMENT_BYTES: usize = 7;
/// The mark of a first moment that is followed by another one, of where the transaction came from.
const ANOTHER: u64 = 1 << 55;

/// Reads a log, however it is cut into pieces.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The moment whose end is looked for.
    until: Option<Timestamp>,
    /// Bytes read.
    at: u64,
    /// What was read of an event that is needed.
    event: Vec<u8>,
    /// Bytes that are not needed.
    skipped: u64,
    /// When the first and the last of its transactions were committed.
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    /// The byte at which the first transaction behind the moment begins.
    pub(super) beyond: Option<u64>,
    /// What is not understood of it, in words.
    pub(super) strange: Option<&'static str>,
}

impl Reader {
    pub(super) fn until(until: Option<Timestamp>) -> Self {
        Self { until, skipped: MAGIC, ..Self::default() }
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.strange.is_none() {
            let passed = usize::try_from(self.skipped).unwrap_or(usize::MAX).min(bytes.len());
            self.skipped -= passed as u64;
            let wanted = if self.event.len() < HEAD { HEAD } else { self.length() };
            let kept = wanted.saturating_sub(self.event.len()).min(bytes.len() - passed);
            self.event.extend(&bytes[passed..passed + kept]);
            self.at += (passed + kept) as u64;
            bytes = &bytes[passed + kept..];
            if self.event.len() == wanted {
                self.event();
            }
        }
    }

    /// Bytes of the event whose head was read.
    fn length(&self) -> usize {
        self.event.get(9..13).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
    }

    /// What there is of an event: its head, or all of one that is needed.
    fn event(&mut self) {
        let (length, kind) = (self.length(), self.event.get(4).copied());
        if length < HEAD {
            self.strange = Some("an event that is shorter than its head");
        } else if kind == Some(TAGGED) {
            self.strange =
                Some("a transaction whose id has a tag, so that it has no place in the order of all");
        } else if kind != Some(GTID) {
            self.skipped = (length - self.event.len()) as u64;
            self.event.clear();
        } else if self.event.len() == length {
            self.transaction();
            self.event.clear();
        }
    }

    fn transaction(&mut self) {
        let number = |from: usize| -> Option<u64> {
            let bytes = self.event.get(from..from + MOMENT_BYTES)?;
            Some(bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
        };
        let here = number(MOMENT).unwrap_or(0);
        let origin = if here & ANOTHER == 0 { None } else { number(MOMENT + MOMENT_BYTES) };
        // What the group itself wrote (that its members are others) comes from nobody.
        let micros = origin.filter(|micros| *micros > 0).unwrap_or(here & !ANOTHER);
        let moment = i64::try_from(micros).ok().filter(|micros| *micros > 0);
        let Some(moment) = moment.and_then(|micros| Timestamp::from_microsecond(micros).ok()) else {
            self.strange = Some("a transaction without the moment of its commit");
            return;
        };
        self.first = Some(self.first.map_or(moment, |first| first.min(moment)));
        self.last = Some(self.last.map_or(moment, |last| last.max(moment)));
        if self.beyond.is_none() && self.until.is_some_and(|until| moment > until) {
            self.beyond = Some(self.at - self.event.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut all = vec![0; HEAD];
        all[4] = kind;
        all[9..13].copy_from_slice(&u32::try_from(HEAD + body.len()).unwrap().to_le_bytes());
        all.extend(body);
        all
    }
    fn transaction(here: u64, origin: Option<u64>) -> Vec<u8> {
        let mut body = vec![0; 42];
        let marked = here | origin.map_or(0, |_| ANOTHER);
        for moment in [Some(marked), origin].into_iter().flatten() {
            body.extend(&moment.to_le_bytes()[..MOMENT_BYTES]);
        }
        body.extend([7; 12]);
        event(GTID, &body)
    }
    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    /// A description, and transactions of the seconds 10, 12 (which came in elsewhere a little before) and 11.
    fn log() -> (Vec<u8>, Vec<u64>) {
        let mut all = b"\xfebin".to_vec();
        let mut begins = Vec::new();
        all.extend(event(15, &[1; 100]));
        for one in [
            transaction(10_000_000, None),
            transaction(12_500_000, Some(12_000_000)),
            transaction(11_000_000, None),
        ] {
            begins.push(all.len() as u64);
            all.extend(one);
            all.extend(event(30, &vec![3; 70_000]));
        }
        all.extend(event(4, b"binlog.000002"));
        (all, begins)
    }

    #[test]
    fn moments_are_those_of_where_a_transaction_came_from_however_the_log_is_cut() {
        let (log, begins) = log();
        for step in [1, 7, 8192, log.len()] {
            for (until, beyond) in [(9, Some(0)), (10, Some(1)), (11, Some(1)), (12, None)] {
                let mut reader = Reader::until(Some(at(until * 1_000_000)));
                log.chunks(step).for_each(|bytes| reader.read(bytes));
                assert_eq!(reader.strange, None);
                assert_eq!((reader.first, reader.last), (Some(at(10_000_000)), Some(at(12_000_000))));
                assert_eq!(reader.beyond, beyond.map(|n: usize| begins[n]), "second {until} by {step}");
            }
        }
    }

    #[test]
    fn what_comes_from_nobody_has_the_moment_at_which_it_came_in_here() {
        let mut reader = Reader::until(None);
        reader.read(b"\xfebin");
        reader.read(&transaction(12_500_000, Some(0)));
        assert_eq!((reader.strange, reader.last), (None, Some(at(12_500_000))));
        reader.read(&transaction(0, None));
        assert!(reader.strange.is_some());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let mut reader = Reader::until(None);
        reader.read(b"\xfebin");
        reader.read(&event(TAGGED, &[0; 30]));
        assert!(reader.strange.is_some_and(|what| what.contains("tag")));
        let mut reader = Reader::until(None);
        reader.read(&[0; 60]);
        assert!(reader.strange.is_some(), "no event is that short");
    }
}
