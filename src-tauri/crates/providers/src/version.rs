//! Versions as programs tell them, and extensions.

use clusterdeck_domain::{Carrier, belongs};
use clusterdeck_driver::{Carried, DriverError, Extension, Result, Software, alternatives};
use std::cmp::Reverse;

/// What a program is asked with. HAProxy knows only the short form, and takes the long one for a wrong option.
pub(crate) fn option(program: &str) -> &'static str {
    if program.starts_with("haproxy") { "-v" } else { "--version" }
}

/// The first `1.2` or `1.2.3` in a text.
pub(crate) fn parse(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|word| word.trim_matches('.'))
        .find(|word| word.contains('.') && word.split('.').all(|n| !n.is_empty()))
        .map(|word| word.split('.').take(3).collect::<Vec<_>>().join("."))
}

/// For comparing: `10.0` is newer than `9.1`.
pub(crate) fn numbers(version: &str) -> Vec<u64> {
    version.split('.').filter_map(|n| n.parse().ok()).collect()
}

/// Each version once, the newest first.
pub(crate) fn newest_first(mut versions: Vec<String>) -> Vec<String> {
    versions.sort_by_key(|version| Reverse(numbers(version)));
    versions.dedup();
    versions
}

/// Every program to look for, in order: of those of which one is enough, each.
pub(crate) fn each<'a>(programs: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    programs.into_iter().flat_map(alternatives).collect()
}

/// What was found of [`each`], by the names as they were given: of those of which one is enough, what any one gives.
pub(crate) fn together<'a>(
    programs: impl IntoIterator<Item = &'a str>,
    held: Vec<Vec<Software>>,
) -> Vec<Vec<Software>> {
    let mut held = held.into_iter();
    programs
        .into_iter()
        .map(|name| held.by_ref().take(alternatives(name).count()).flatten().collect())
        .collect()
}

/// Whether all of these programs are among what was found of [`each`], and the first of them in this version or one that begins
/// with it.
pub(crate) fn ready(
    place: &str,
    programs: &[(&str, &str)],
    held: Vec<Vec<Software>>,
    version: &str,
) -> Result<()> {
    let hint = "nothing was stopped for it: put it right, then ask again";
    let held = together(names(programs), held);
    for (program, found) in names(programs).zip(&held) {
        if found.is_empty() {
            return Err(DriverError::rejected(format!("{place} does not hold {program}"), hint));
        }
    }
    let found: Vec<&str> = held.first().into_iter().flatten().map(|s| s.version.as_str()).collect();
    if found.iter().any(|has| belongs(has, version)) {
        return Ok(());
    }
    Err(DriverError::rejected(format!("{place} holds {}, not {version}", found.join(", ")), hint))
}

/// Of programs with the packages that hold them, the programs.
pub(crate) fn names<'a>(programs: &[(&'a str, &str)]) -> impl Iterator<Item = &'a str> {
    programs.iter().map(|(program, _)| *program)
}

/// Which server each version of an extension is loaded into: of several that carry the same one, the newest.
pub(crate) fn carriers(extension: &Extension, found: &[Carried]) -> Vec<Carrier> {
    let mut carriers: Vec<Carrier> = Vec::new();
    for carried in found {
        if !carriers.iter().any(|c| c.version == carried.version) {
            let server = format!("{} {}", extension.carrier, carried.by.version);
            carriers.push(Carrier { version: carried.version.clone(), server });
        }
    }
    carriers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_really_say() {
        let redis =
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=d81ef8a05a1ca2cb";
        assert_eq!(parse(redis).as_deref(), Some("7.0.15"));
        assert_eq!(parse("HAProxy version 2.6.12-1+deb12u2 2025/04/23").as_deref(), Some("2.6.12"));
        assert_eq!(parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0)").as_deref(), Some("15.18"));
        assert_eq!(parse("no number here..."), None);
    }

    #[test]
    fn of_programs_that_stand_for_each_other_one_is_enough() {
        let programs = [("mariadbd", "mariadb-server"), ("perl or python3", "perl"), ("haproxy", "haproxy")];
        assert_eq!(each(names(&programs)), ["mariadbd", "perl", "python3", "haproxy"]);
        let one = |program: &str, version: &str| {
            vec![Software { program: program.to_owned(), path: program.into(), version: version.to_owned() }]
        };
        let mut held =
            vec![one("mariadbd", "10.11.19"), Vec::new(), one("python3", "3.11.2"), one("haproxy", "2.6.12")];
        assert!(ready("here", &programs, held.clone(), "10.11").is_ok());
        assert!(
            ready("here", &programs, held.clone(), "10.12").unwrap_err().to_string().contains("10.11.19")
        );
        held[2].clear();
        let lacks = ready("here", &programs, held.clone(), "10.11").unwrap_err();
        assert!(lacks.to_string().contains("does not hold perl or python3"), "{lacks}");
    }

    #[test]
    fn ten_is_newer_than_nine() {
        assert!(numbers("10.0") > numbers("9.1.2"));
        assert!(numbers("7.0.15") > numbers("7.0.9"));
    }
}
