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
    fn ten_is_more_than_nine() {
        assert!(numbers("10.11.19") > numbers("10.11.9") && numbers("8.0.2") > numbers("8.0"));
        assert_eq!(numbers("7.0.15-rc1"), [7, 0, 15]);
        assert_eq!(numbers("unknown"), Vec::<u64>::new());
    }
}
