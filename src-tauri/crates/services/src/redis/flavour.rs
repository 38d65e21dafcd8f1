//! What differs between Redis, Valkey and KeyDB, as data. Everything else in this folder is the same for all three.

use clusterdeck_domain::{ClusterSpec, ServiceKind};
use clusterdeck_driver::{DriverError, Machine, Result, Software};

/// One of the three.
#[derive(Debug)]
pub(crate) struct Flavour {
    pub(crate) service: ServiceKind,
    /// As its makers write it.
    pub(crate) name: &'static str,
    /// Programs and what they are for; the first is the server, which is also the Sentinel.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// The client of a terminal.
    pub(crate) client: &'static str,
    /// Images of the makers: (release line, reference), newest first.
    pub(crate) images: &'static [(&'static str, &'static str)],
    /// Versions count from here where a directive came with Redis 7 (`0`: it always had it).
    knows_redis_7_from: Option<u32>,
    /// What the user `replica` needs besides the handshake.
    pub(crate) replica_commands: &'static str,
}

const REDIS: Flavour = Flavour {
    service: ServiceKind::Redis,
    name: "Redis",
    programs: &[("redis-server", "the Redis server and Sentinel")],
    client: "redis-cli",
    images: &[
        ("8.0", "docker.io/library/redis:8.0"),
        ("7.2", "docker.io/library/redis:7.2"),
        ("7.0", "docker.io/library/redis:7.0"),
        ("6.2", "docker.io/library/redis:6.2"),
    ],
    knows_redis_7_from: Some(7),
    replica_commands: "+psync +replconf +ping",
};
const VALKEY: Flavour = Flavour {
    service: ServiceKind::Valkey,
    name: "Valkey",
    programs: &[("valkey-server", "the Valkey server and Sentinel")],
    client: "valkey-cli",
    images: &[
        ("9.1", "docker.io/valkey/valkey:9.1"),
        ("9.0", "docker.io/valkey/valkey:9.0"),
        ("8.1", "docker.io/valkey/valkey:8.1"),
        ("8.0", "docker.io/valkey/valkey:8.0"),
        ("7.2", "docker.io/valkey/valkey:7.2"),
    ],
    // Valkey began as Redis 7.2.
    knows_redis_7_from: Some(0),
    replica_commands: "+psync +replconf +ping",
};
const KEYDB: Flavour = Flavour {
    service: ServiceKind::Keydb,
    name: "KeyDB",
    programs: &[("keydb-server", "the KeyDB server and Sentinel")],
    client: "keydb-cli",
    images: &[("6.3", "docker.io/eqalpha/keydb:x86_64_v6.3.4")],
    knows_redis_7_from: None,
    // Active replicas send each other's writes on as RREPLAY, and the link carries keep-alives and expiries.
    replica_commands: "+psync +replconf +ping +rreplay +keydb.cron +keydb.hrename +keydb.mvccrestore +expiremember",
};

/// The services of the family.
pub(crate) const SERVICES: &[ServiceKind] = &[ServiceKind::Redis, ServiceKind::Valkey, ServiceKind::Keydb];

impl Flavour {
    /// The flavour of a service. Services of other families are nobody's here; the engine never asks.
    pub(crate) const fn of(service: ServiceKind) -> &'static Self {
        match service {
            ServiceKind::Valkey => &VALKEY,
            ServiceKind::Keydb => &KEYDB,
            _ => &REDIS,
        }
    }
    /// The server program.
    pub(crate) const fn server(&self) -> &'static str {
        self.programs[0].0
    }
    /// Whether a server of this version understands what came with Redis 7.
    pub(crate) fn knows_redis_7(&self, version: &str) -> bool {
        let major = version.split('.').next().and_then(|v| v.parse::<u32>().ok());
        match (self.knows_redis_7_from, major) {
            (Some(from), Some(major)) => major >= from,
            (Some(from), None) => from == 0,
            (None, _) => false,
        }
    }
    /// Both nodes of a multi-master take writes and follow each other.
    pub(crate) const fn has_active_replicas(&self) -> bool {
        matches!(self.service, ServiceKind::Keydb)
    }
}

/// The server program that this cluster runs on this machine: the chosen version, else the newest of its release line. The
/// system's updates replace 7.0.15 by 7.0.16 under a running server; the node must start again all the same.
pub(crate) async fn software(spec: &ClusterSpec, machine: &dyn Machine) -> Result<Software> {
    let flavour = Flavour::of(spec.service);
    let found = machine.software(flavour.server()).await?;
    if let Some(fits) = fitting(&found, &spec.version) {
        return Ok(fits.clone());
    }
    let there = found.iter().map(|s| s.version.as_str()).collect::<Vec<_>>().join(", ");
    let what = if found.is_empty() {
        format!("{} is not installed on the machine at {}", flavour.server(), machine.address())
    } else {
        let address = machine.address();
        format!(
            "{} {} is not installed on the machine at {address}; found: {there}",
            flavour.name, spec.version
        )
    };
    Err(DriverError::rejected(what, format!("install {} {}, then try again", flavour.name, spec.version)))
}

/// The program of a Sentinel, which has no data: any version of the major one will do, as in the middle of an upgrade.
pub(crate) async fn voter(spec: &ClusterSpec, machine: &dyn Machine) -> Result<Software> {
    let flavour = Flavour::of(spec.service);
    let found = machine.software(flavour.server()).await?;
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    let near = || found.iter().find(|s| major(&s.version) == major(&spec.version));
    match fitting(&found, &spec.version).or_else(near) {
        Some(fits) => Ok(fits.clone()),
        None => software(spec, machine).await,
    }
}

/// Which of the installed versions (newest first) stands for the wanted one.
fn fitting<'a>(found: &'a [Software], wanted: &str) -> Option<&'a Software> {
    let line = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let exact = found.iter().find(|s| s.version == wanted);
    exact.or_else(|| found.iter().find(|s| wanted.is_empty() || line(&s.version) == line(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_of_the_system_stands_for_the_version_before_and_another_line_does_not() {
        let found: Vec<Software> = ["8.0.2", "7.2.4", "7.0.16", "7.0.14"]
            .iter()
            .map(|version| Software {
                program: "redis-server".to_owned(),
                path: "/usr/bin/redis-server".into(),
                version: (*version).to_owned(),
            })
            .collect();
        let fits = |wanted| fitting(&found, wanted).map(|s| s.version.as_str());
        assert_eq!(fits("7.0.14"), Some("7.0.14"), "the very version, when it is there");
        assert_eq!(fits("7.0.15"), Some("7.0.16"), "else the newest of its line");
        assert_eq!(fits("7.4.1"), None, "another line may not read its data");
        assert_eq!(fits(""), Some("8.0.2"), "no wish: the newest");
    }

    #[test]
    fn every_line_that_is_offered_has_an_image_and_the_other_way_round() {
        for kind in SERVICES {
            let lines: Vec<&str> = Flavour::of(*kind).images.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, clusterdeck_domain::service(*kind).versions, "{kind}");
        }
    }

    #[test]
    fn directives_of_redis_7_go_to_those_who_know_them() {
        let knows = |service, version| Flavour::of(service).knows_redis_7(version);
        assert!(knows(ServiceKind::Redis, "7.0.15"));
        assert!(!knows(ServiceKind::Redis, "6.2.1"), "6.2 would refuse to start");
        assert!(knows(ServiceKind::Valkey, "8.0.1"));
        assert!(!knows(ServiceKind::Keydb, "6.3.4"));
    }
}
