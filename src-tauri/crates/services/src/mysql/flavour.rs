//! Which of the two servers of this family a cluster runs, and where its programs are. Oracle's MySQL keeps its replicas and
//! members by Group Replication, which is another way of forming, changing and failing over: the folder `group`.

use clusterdeck_domain::{ClusterSpec, ServiceKind};
use clusterdeck_driver::{DriverError, Machine, OtherPrograms, Result, alternatives};
use std::path::PathBuf;

/// The server.
pub(crate) const SERVER: &str = "mariadbd";

/// What runs the script that answers role checks; one of them is in every image and package of a server.
const ANSWERS: &str = "perl or python3 or mysqlsh";
const ANSWERS_WHAT: &str = "answers the endpoint's question for a node's role";

/// Programs and what they are for; the first is the server, whose version counts. `mariadb-install-db`, `mbstream` and the
/// client lie beside them in every installation.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    (SERVER, "the MariaDB server"),
    ("mariadb-backup", "copies a running server to a new replica"),
    ("socat", "carries that copy over TLS"),
    (ANSWERS, ANSWERS_WHAT),
];

/// What Oracle's MySQL needs: it copies to new members by itself.
const GROUP_PROGRAMS: &[(&str, &str)] = &[("mysqld", "the MySQL server"), (ANSWERS, ANSWERS_WHAT)];

pub(crate) const OTHER_PROGRAMS: &[OtherPrograms] =
    &[OtherPrograms { majors: (0, 9), programs: GROUP_PROGRAMS }];

/// The makers' own images.
pub(crate) const IMAGES: &[(&str, &str)] = &[
    ("11.8", "docker.io/library/mariadb:11.8"),
    ("10.11", "docker.io/library/mariadb:10.11"),
    ("9.7", "docker.io/library/mysql:9.7"),
    ("8.4", "docker.io/library/mysql:8.4"),
];

pub(crate) const SERVICES: &[ServiceKind] = &[ServiceKind::Mysql];

/// A server of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Replicas by transaction ids, members by Galera.
    MariaDb,
    /// Replicas and members by Group Replication (`group`).
    MySql,
}

impl Flavour {
    /// MariaDB counts from 10 on, MySQL stopped at 9.
    pub(crate) fn of(version: &str) -> Self {
        let major = version.split('.').next().and_then(|n| n.parse::<u32>().ok());
        if major.is_some_and(|n| n < 10) { Self::MySql } else { Self::MariaDb }
    }
    /// What its maker calls it.
    pub(crate) const fn name(self) -> &'static str {
        self.programs().0
    }
    /// Its name, its programs with the server first, and its client.
    const fn programs(self) -> (&'static str, &'static [(&'static str, &'static str)], &'static str) {
        match self {
            Self::MariaDb => ("MariaDB", PROGRAMS, "mariadb"),
            Self::MySql => ("MySQL", GROUP_PROGRAMS, "mysql"),
        }
    }
}

/// The programs of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Software {
    /// The server.
    pub(crate) server: PathBuf,
    /// Its client, through which role checks ask it.
    pub(crate) client: PathBuf,
    /// What runs the script that answers role checks.
    pub(crate) answers: Interpreter,
}

/// A program that runs a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interpreter {
    /// Of Perl.
    Perl(PathBuf),
    /// Of Python.
    Python(PathBuf),
    /// MySQL's shell, which has Python inside.
    Shell(PathBuf),
}

impl Interpreter {
    /// By the name of its program.
    fn of(program: &str, path: PathBuf) -> Self {
        match program {
            "perl" => Self::Perl(path),
            "mysqlsh" => Self::Shell(path),
            _ => Self::Python(path),
        }
    }
}

/// The release line: minor versions of one read the same files.
fn line(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// The server this cluster runs: the newest of its release line.
pub(crate) async fn software(spec: &ClusterSpec, machine: &dyn Machine) -> Result<Software> {
    let flavour = Flavour::of(&spec.version);
    let (maker, programs, client) = flavour.programs();
    let (server, others) = programs.split_first().map_or((SERVER, programs), |(first, rest)| (first.0, rest));
    let found = machine.software(server).await?;
    // Where MariaDB is installed, its server answers to the other one's name too.
    let found: Vec<_> = found.into_iter().filter(|s| Flavour::of(&s.version) == flavour).collect();
    let server = found.iter().find(|s| spec.version.is_empty() || line(&s.version) == line(&spec.version));
    let Some(server) = server else {
        let there = found.iter().map(|s| s.version.as_str()).collect::<Vec<_>>().join(", ");
        let there = if there.is_empty() { "none".to_owned() } else { there };
        let (wanted, at) = (line(&spec.version), machine.address());
        return Err(DriverError::rejected(
            format!("{maker} {wanted} is not installed on the machine at {at}; found: {there}"),
            "install it, then try again",
        ));
    };
    for (program, purpose) in others {
        first(machine, program, purpose).await?;
    }
    Ok(Software {
        server: server.path.clone(),
        client: first(machine, client, "asks the server for the role check").await?.path,
        answers: {
            let found = first(machine, ANSWERS, ANSWERS_WHAT).await?;
            Interpreter::of(&found.program, found.path)
        },
    })
}

/// The newest of a program, or of the first of its alternatives that is there.
async fn first(machine: &dyn Machine, program: &str, purpose: &str) -> Result<clusterdeck_driver::Software> {
    for one in alternatives(program) {
        if let Some(found) = machine.software(one).await?.into_iter().next() {
            return Ok(found);
        }
    }
    Err(DriverError::rejected(
        format!("{program} is not installed on the machine at {}: {purpose}", machine.address()),
        format!("install {}, then try again", alternatives(program).next().unwrap_or(program)),
    ))
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
