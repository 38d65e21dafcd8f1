//! Versions of servers: which of them read the same data files.

use crate::ServiceKind;

/// The numbers of a version: `8.0.2` is 8, 0, 2. What follows a number without a dot does not count (`7.0.15-rc1`).
pub(crate) fn numbers(version: &str) -> Vec<u64> {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    version.split('.').map_while(|part| digits(part).parse().ok()).collect()
}

/// The line whose versions read the same data files, as numbers: of the MySQL family the first two (`10.11`), of all others
/// the first (`17`, `8`).
pub fn release_line(service: ServiceKind, version: &str) -> Vec<u64> {
    let counts = if service == ServiceKind::Mysql { 2 } else { 1 };
    numbers(version).into_iter().take(counts).collect()
}

/// Whether a version is, or begins with, another: `8.0.2` belongs to `8.0` and `8`, `80.1` does not.
pub fn belongs(version: &str, to: &str) -> bool {
    version.strip_prefix(to).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Which of the versions found a new node gets whose cluster runs `version`: the very one, else a newer one of its release
/// line (an older one may not read what the others write). An extension's version lies in the databases too, so no other stands for it.
pub(crate) fn stand_in<'a>(service: ServiceKind, version: &str, found: &'a [String]) -> Option<&'a str> {
    let counts = if service == ServiceKind::Postgresql { 1 } else { 2 };
    let line =
        |version: &str| Some(numbers(version)).filter(|n| n.len() >= counts).map(|n| n[..counts].to_vec());
    let fit = |found: &str| numbers(found) >= numbers(version) || belongs(version, found);
    let near = |found: &&String| {
        !service.is_extension() && line(version).is_some() && line(found) == line(version) && fit(found)
    };
    let exact = found.iter().find(|found| *found == version);
    exact.or_else(|| found.iter().filter(near).max_by_key(|found| numbers(found))).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_reads_the_same_files() {
        let same = |service, a, b| release_line(service, a) == release_line(service, b);
        assert!(same(ServiceKind::Postgresql, "17.10", "17.11"));
        assert!(!same(ServiceKind::Postgresql, "17.11", "18.1"));
        assert!(same(ServiceKind::Redis, "8.0.2", "8.4.0") && !same(ServiceKind::Redis, "7.2.4", "8.0.2"));
        assert!(same(ServiceKind::Mysql, "10.11.6", "10.11.19"), "MariaDB");
        assert!(
            !same(ServiceKind::Mysql, "10.11.19", "10.12.1") && !same(ServiceKind::Mysql, "8.4.1", "8.5.0")
        );
    }

    #[test]
    fn a_newer_patch_stands_for_the_version_a_cluster_runs_and_another_line_does_not() {
        let gets = |service, version: &str, found: &[&str]| {
            let found: Vec<String> = found.iter().map(|f| (*f).to_owned()).collect();
            stand_in(service, version, &found).map(str::to_owned)
        };
        assert_eq!(gets(ServiceKind::Redis, "8.0.2", &["8.0.5", "8.0.2"]).as_deref(), Some("8.0.2"));
        assert_eq!(gets(ServiceKind::Redis, "8.0.2", &["8.0.5"]).as_deref(), Some("8.0.5"));
        assert_eq!(gets(ServiceKind::Redis, "8.0.2", &["8.0"]).as_deref(), Some("8.0"), "not fetched yet");
        assert_eq!(gets(ServiceKind::Redis, "8.0", &["8.0.5"]).as_deref(), Some("8.0.5"));
        assert_eq!(gets(ServiceKind::Redis, "8.0.2", &["8.2.1", "8", "8.0.1"]), None);
        assert_eq!(gets(ServiceKind::Postgresql, "17.4", &["18.0", "17.6"]).as_deref(), Some("17.6"));
        assert_eq!(gets(ServiceKind::Timescaledb, "2.19.3", &["2.19.4"]), None, "its databases hold 2.19.3");
    }

    #[test]
    fn ten_is_more_than_nine() {
        assert!(numbers("10.11.19") > numbers("10.11.9") && numbers("8.0.2") > numbers("8.0"));
        assert_eq!(numbers("7.0.15-rc1"), [7, 0, 15]);
        assert_eq!(numbers("unknown"), Vec::<u64>::new());
    }
}
