//! Sets of transaction ids as Oracle's MySQL writes them: `uuid:1-5:9,uuid:tag:3`. Who has what is a question of which set
//! contains which, never of a single number. Pure.

use super::super::archive::Edge;
use std::{collections::BTreeMap, fmt};

/// A set of transactions: for each source (with its tag, where it has one) the numbers, as ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GtidSet(BTreeMap<String, Vec<(u64, u64)>>);

impl GtidSet {
    /// Reads a set; blanks and line ends between its parts are the server's own.
    ///
    /// # Errors
    /// The part that is no transaction id: what is not understood must not count as nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = || part.to_owned();
            let mut words = part.split(':').map(str::trim);
            let source = words.next().unwrap_or_default().to_ascii_lowercase();
            let mut key = source.clone();
            for word in words {
                if word.starts_with(|c: char| c.is_ascii_digit()) {
                    let (first, last) = word.split_once('-').unwrap_or((word, word));
                    let range = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
                    set.0.entry(key.clone()).or_default().push(range);
                } else {
                    key = format!("{source}:{word}");
                }
            }
        }
        set.0.values_mut().for_each(|ranges| *ranges = joined(std::mem::take(ranges)));
        Ok(set)
    }
    /// Nothing was ever written.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many transactions.
    pub(crate) fn count(&self) -> u64 {
        self.0.values().map(|ranges| numbers(ranges)).sum()
    }
    /// How many are of other sources than a group, and the numbers of those that are its own. A group's come after all others:
    /// those were there before it.
    fn split(&self, group: &str) -> (u64, &[(u64, u64)]) {
        let own = self.0.get(group).map_or(&[][..], Vec::as_slice);
        (self.count() - numbers(own), own)
    }
    /// How far it is in the history of a group.
    pub(crate) fn edge(&self, group: &str) -> Edge {
        let (others, own) = self.split(group);
        Edge { count: self.count(), last: others + own.last().map_or(0, |(_, last)| *last) }
    }
    /// Up to which number of that history nothing is missing.
    pub(crate) fn whole(&self, group: &str) -> u64 {
        let (others, own) = self.split(group);
        others + own.first().filter(|(first, _)| *first == 1).map_or(0, |(_, last)| *last)
    }
    /// Whether every transaction of `other` is here.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(source, ranges)| {
            let own = self.0.get(source).map_or(&[][..], Vec::as_slice);
            ranges.iter().all(|(first, last)| own.iter().any(|(a, b)| a <= first && last <= b))
        })
    }
    /// Both together.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        for (source, ranges) in &other.0 {
            let all = self.0.entry(source.clone()).or_default();
            all.extend(ranges);
            *all = joined(std::mem::take(all));
        }
        self
    }
}

/// How many numbers are in ranges.
fn numbers(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(first, last)| last.saturating_sub(*first) + 1).sum()
}

/// Ranges in order, those that touch made one.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut all: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match all.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => all.push((first, last)),
        }
    }
    all
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |(first, last): &(u64, u64)| format!(":{first}-{last}");
        let all = self
            .0
            .iter()
            .map(|(source, ranges)| source.clone() + &ranges.iter().map(one).collect::<String>());
        f.write_str(&all.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> GtidSet {
        GtidSet::parse(text).unwrap()
    }

    #[test]
    fn sets_are_read_as_the_server_writes_them() {
        let many = set("aa:1-5:7,\nbb:tag:3:4:2");
        assert_eq!((many.to_string().as_str(), many.count()), ("aa:1-5:7-7,bb:tag:2-4", 9));
        assert!(set("").is_empty());
        assert!(GtidSet::parse("aa:1-x").is_err(), "what is not understood is not nothing");
    }

    #[test]
    fn how_far_a_group_has_come_counts_what_was_before_it() {
        let edge =
            |text: &str| (set(text).edge("gg").count, set(text).edge("gg").last, set(text).whole("gg"));
        assert_eq!(edge(""), (0, 0, 0));
        assert_eq!(edge("aa:1-7"), (7, 7, 7), "a single node");
        assert_eq!(edge("aa:1-7:1000001-1000002,gg:1-5"), (14, 14, 14), "of a group before this one");
        assert_eq!(edge("aa:1-7,gg:1-5:8-9"), (14, 16, 12), "two are on their way");
        assert_eq!(edge("gg:2-3"), (2, 3, 0));
    }

    #[test]
    fn one_contains_the_other_only_with_every_transaction() {
        assert!(set("aa:1-9,bb:1").contains(&set("aa:2-4:6")));
        assert!(!set("aa:1-9").contains(&set("aa:1-10")));
        assert!(!set("aa:1-9").contains(&set("aa:1-9,bb:1")), "a write of its own");
        assert!(!set("aa:1-4:6-9").contains(&set("aa:1-9")), "a gap is no transaction");
        assert!(set("aa:1-4").and(&set("aa:5-9")).contains(&set("aa:1-9")));
    }
}
