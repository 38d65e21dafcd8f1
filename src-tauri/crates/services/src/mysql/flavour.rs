//! Which of the two servers of this family a cluster runs, and where its programs are. MariaDB is what this driver knows;
//! Oracle's MySQL keeps its replicas by Group Replication, which is another way of forming, changing and failing over, and
//! is refused here by name until it is written.

use clusterdeck_domain::{ClusterSpec, ServiceKind};
use clusterdeck_driver::{DriverError, Machine, Result};
use std::path::PathBuf;

/// The server.
pub(crate) const SERVER: &str = "mariadbd";

/// Programs and what they are for; the first is the server, whose version counts. `mariadb-install-db`, `mbstream` and the
/// client lie beside them in every installation.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    (SERVER, "the MariaDB server"),
    ("mariadb-backup", "copies a running server to a new replica"),
    ("socat", "carries that copy over TLS"),
    ("perl", "answers the endpoint's question for a node's role"),
];

pub(crate) const SERVICES: &[ServiceKind] = &[ServiceKind::Mysql];

/// A server of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Replicas by transaction ids, members by Galera.
    MariaDb,
    /// Replicas and members by Group Replication. Not written yet.
    MySql,
}

impl Flavour {
    /// MariaDB counts from 10 on, MySQL stopped at 9.
    pub(crate) fn of(version: &str) -> Self {
        let major = version.split('.').next().and_then(|n| n.parse::<u32>().ok());
        if major.is_some_and(|n| n < 10) { Self::MySql } else { Self::MariaDb }
    }
}

/// The programs of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Software {
    /// The server.
    pub(crate) server: PathBuf,
    /// What answers role checks.
    pub(crate) perl: PathBuf,
}

/// The release line: minor versions of one read the same files.
fn line(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// The server this cluster runs: the newest of its release line.
pub(crate) async fn software(spec: &ClusterSpec, machine: &dyn Machine) -> Result<Software> {
    if Flavour::of(&spec.version) == Flavour::MySql {
        return Err(DriverError::Unsupported {
            what: format!(
                "MySQL {} (Group Replication); MariaDB 10.11 or newer is what can be run",
                spec.version
            ),
        });
    }
    let found = machine.software(SERVER).await?;
    let server = found.iter().find(|s| spec.version.is_empty() || line(&s.version) == line(&spec.version));
    let Some(server) = server else {
        let there = found.iter().map(|s| s.version.as_str()).collect::<Vec<_>>().join(", ");
        let there = if there.is_empty() { "none".to_owned() } else { there };
        let (wanted, at) = (line(&spec.version), machine.address());
        return Err(DriverError::rejected(
            format!("MariaDB {wanted} is not installed on the machine at {at}; found: {there}"),
            "install it, then try again",
        ));
    };
    for (program, purpose) in &PROGRAMS[1..] {
        if machine.software(program).await?.is_empty() {
            return Err(DriverError::rejected(
                format!("{program} is not installed on the machine at {}: {purpose}", machine.address()),
                format!("install {program}, then try again"),
            ));
        }
    }
    let perl = machine.software("perl").await?.into_iter().next();
    let perl = perl.ok_or_else(|| DriverError::Gone { what: "perl".to_owned() })?.path;
    Ok(Software { server: server.path.clone(), perl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_servers_are_told_apart_by_their_versions() {
        assert_eq!(Flavour::of("10.11.19"), Flavour::MariaDb);
        assert_eq!(Flavour::of("11.8.6"), Flavour::MariaDb);
        assert_eq!(Flavour::of("9.7.4"), Flavour::MySql);
        assert_eq!(line("10.11.19"), "10.11");
    }
}
