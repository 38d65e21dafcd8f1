//! What differs between PostgreSQL, TimescaleDB and Hydra, as data; and where their programs are.

use super::{etcd, patroni};
use clusterdeck_domain::{ClusterSpec, ServiceKind};
use clusterdeck_driver::{DriverError, Machine, Result};
use std::path::PathBuf;

/// Programs and what they are for; the first is the server, whose version counts.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    ("postgres", "the PostgreSQL server"),
    (patroni::PROGRAM, "starts PostgreSQL and agrees with the other nodes on who leads"),
    (etcd::UNIT, "where the nodes agree"),
];

/// A program that every installation has beside its server.
const BESIDE: &str = "pg_controldata";

pub(crate) const SERVICES: &[ServiceKind] = &[ServiceKind::Postgresql];

/// The programs of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Software {
    /// The folder of `postgres`, `initdb`, `pg_basebackup`, `pg_rewind`.
    pub(crate) folder: PathBuf,
    /// The path of Patroni.
    pub(crate) patroni: String,
}

/// The server this cluster runs: the newest of its major version, whose minor versions read the same files.
pub(crate) async fn software(spec: &ClusterSpec, machine: &dyn Machine) -> Result<Software> {
    let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
    // Not `postgres`: a link to that one lies in many a folder that has nothing else of it.
    let found = machine.software(BESIDE).await?;
    let server = found.iter().find(|s| spec.version.is_empty() || major(&s.version) == major(&spec.version));
    let Some(server) = server else {
        let there = found.iter().map(|s| s.version.as_str()).collect::<Vec<_>>().join(", ");
        let there = if there.is_empty() { "none".to_owned() } else { there };
        let (wanted, at) = (major(&spec.version), machine.address());
        return Err(DriverError::rejected(
            format!("PostgreSQL {wanted} is not installed on the machine at {at}; found: {there}"),
            "install it, then try again",
        ));
    };
    let patroni = machine.software(patroni::PROGRAM).await?.into_iter().next().ok_or_else(|| {
        DriverError::rejected(
            format!("Patroni is not installed on the machine at {}", machine.address()),
            "install Patroni, then try again",
        )
    })?;
    let folder = server.path.parent().map(PathBuf::from).unwrap_or_default();
    Ok(Software { folder, patroni: patroni.path.to_string_lossy().into_owned() })
}
