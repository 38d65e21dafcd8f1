//! The catalogue: what Clusterdeck says about each service. Data only; whether a driver exists is not known here.

use crate::{Category, ClusterOption, OptionEntry, ServiceKind, Topology};
use serde::Serialize;

/// A port a service listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Port {
    /// What for.
    pub name: &'static str,
    /// The standard number.
    pub number: u16,
}

/// How many data nodes a topology of a service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TopologyEntry {
    /// Which.
    pub topology: Topology,
    /// Fewest data nodes.
    pub min_nodes: u16,
    /// Most data nodes.
    pub max_nodes: u16,
    /// What the wizard starts with.
    pub default_nodes: u16,
    /// Shards the wizard starts with; 0 when not sharded.
    pub default_shards: u16,
    /// What it is good for, in a sentence.
    pub about: &'static str,
    /// How a dead primary is replaced.
    pub failover: Failover,
    /// Where that is by vote: every node in service votes, not three or five of them.
    pub all_vote: bool,
    /// What clients must know before they rely on it, in a sentence.
    pub limits: Option<&'static str>,
    /// Switches it has.
    pub options: &'static [OptionEntry],
}

impl TopologyEntry {
    const fn offers(mut self, options: &'static [OptionEntry]) -> Self {
        self.options = options;
        self
    }
    /// One of its switches, where it has it.
    pub fn option(&self, option: ClusterOption) -> Option<&'static OptionEntry> {
        self.options.iter().find(|o| o.id == option)
    }
}

/// How a dead primary is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Failover {
    /// By those who vote, without anybody's help.
    ByVote,
    /// By a person who promotes a replica: nobody has a vote.
    ByHand,
    /// Not at all: there is no primary, or nobody else.
    Never,
}

/// What a range of versions of a service offers, where that is not the same for all: one protocol, two makers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Line {
    /// Its name as its makers write it.
    pub name: &'static str,
    /// First and last major version.
    #[serde(skip)]
    pub majors: (u32, u32),
    /// Topologies it can run in, the default first.
    pub topologies: &'static [TopologyEntry],
    /// Memory without which its server does not start or does not last; 0 when every plan will do.
    pub least_memory_bytes: u64,
    /// How long writes wait while one node hands them over to another. Milliseconds, measured.
    pub hand_over_ms: u64,
}

/// A service of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ServiceEntry {
    /// Its id.
    pub id: ServiceKind,
    /// Its name as its makers write it.
    pub name: &'static str,
    /// Its shelf.
    pub category: Category,
    /// One line.
    pub tagline: &'static str,
    /// A few sentences.
    pub description: &'static str,
    /// Topologies it can run in, the default first.
    pub topologies: &'static [TopologyEntry],
    /// Settings of its servers can be read and changed.
    pub parameters: bool,
    /// Ports it listens on.
    pub ports: &'static [Port],
    /// Release lines this program knows, newest first.
    pub versions: &'static [&'static str],
    /// Licence of the server software.
    pub licence: &'static str,
    /// Something to know before choosing it.
    pub caution: Option<&'static str>,
    /// Versions that differ in what they offer; empty where all offer the same.
    #[serde(skip)]
    pub lines: &'static [Line],
}

const fn entry(
    topology: Topology,
    nodes: (u16, u16, u16),
    default_shards: u16,
    about: &'static str,
) -> TopologyEntry {
    TopologyEntry {
        topology,
        min_nodes: nodes.0,
        max_nodes: nodes.1,
        default_nodes: nodes.2,
        default_shards,
        about,
        failover: match topology {
            Topology::PrimaryReplica | Topology::Sharded => Failover::ByVote,
            Topology::Single | Topology::MultiMaster => Failover::Never,
        },
        all_vote: false,
        limits: None,
        options: &[],
    }
}

const fn port(name: &'static str, number: u16) -> Port {
    Port { name, number }
}

const SINGLE: TopologyEntry = entry(
    Topology::Single,
    (1, 1, 1),
    0,
    "One node. For development; there is nobody to take over when it fails.",
);
const REDIS_REPLICA: TopologyEntry = entry(
    Topology::PrimaryReplica,
    (2, 7, 3),
    0,
    "One node takes the writes, the others follow it; three Sentinels replace a dead primary by themselves.",
)
.offers(&[OptionEntry {
    id: ClusterOption::StopWritesWithoutReplica,
    name: "Stop writes without a replica",
    on: "A primary that reaches no replica stops taking writes, so that no failover can discard any.",
    off: "A primary takes writes whether or not a replica follows it.",
    risk: "A primary that is cut off from its replicas goes on taking writes, and a failover discards them.",
    from_nodes: 3,
    default_on: true,
    needs: None,
}]);
const REDIS_SHARDED: TopologyEntry = entry(
    Topology::Sharded,
    (3, 60, 6),
    3,
    "The keys are split over shards, each with its own replicas. Needs a client that understands Redis Cluster.",
);
const PG_REPLICA: TopologyEntry = entry(
    Topology::PrimaryReplica,
    (2, 9, 3),
    0,
    "One node takes the writes, the others stream from it; Patroni and etcd agree on who leads.",
)
.offers(&[
    OptionEntry {
        id: ClusterOption::Synchronous,
        name: "Synchronous replication",
        on: "A write is acknowledged when a replica has it on disk too: a failover loses none, and each write waits for \
             that replica.",
        off: "A write is acknowledged when the primary alone has it on disk.",
        risk: "A failover that nobody planned discards writes that no replica had received yet.",
        from_nodes: 2,
        default_on: false,
        needs: None,
    },
    OptionEntry {
        id: ClusterOption::StopWritesWithoutReplica,
        name: "Stop writes without a replica",
        on: "Writes wait while no replica is there to take them: none is acknowledged that only one node has.",
        off: "While no replica is there the primary takes writes alone.",
        risk: "While no replica is there, writes are acknowledged that only the primary has.",
        from_nodes: 2,
        default_on: false,
        needs: Some(ClusterOption::Synchronous),
    },
]);
const MARIADB: Line = Line {
    name: "MariaDB",
    majors: (10, u32::MAX),
    topologies: &[
        TopologyEntry {
            failover: Failover::ByHand,
            ..entry(
                Topology::PrimaryReplica,
                (2, 9, 3),
                0,
                "One node takes the writes, the others follow it; when it fails, you promote one of them by hand.",
            )
        },
        TopologyEntry {
            limits: Some(
                "Two members that change the same row at once: one is refused on commit and must try again. AUTO_INCREMENT \
                 goes up in steps; every table needs a primary key and InnoDB; a transaction of more than 1 GiB is refused.",
            ),
            ..entry(
                Topology::MultiMaster,
                (3, 9, 3),
                0,
                "Every member takes writes and Galera keeps them equal; when one fails the others go on by themselves.",
            )
        },
        SINGLE,
    ],
    least_memory_bytes: 0,
    // Read-only, the last transaction awaited, open: measured at 9 to 54 ms; a statement that runs longer than a second ends first.
    hand_over_ms: 60,
};
const MYSQL: Line = Line {
    name: "MySQL",
    majors: (0, 9),
    topologies: &[
        TopologyEntry {
            all_vote: true,
            limits: Some(
                "Every table needs a primary key and InnoDB, or writes to it are refused; so is a transaction of more than \
                 143 MiB. A write is acknowledged when a majority of the members has received it.",
            ),
            ..entry(
                Topology::PrimaryReplica,
                (3, 9, 3),
                0,
                "One member takes the writes, the others get each of them; when it fails the group elects the next by itself.",
            )
        },
        TopologyEntry {
            all_vote: true,
            limits: Some(
                "Two members that change the same row at once: one is refused on commit and must try again. AUTO_INCREMENT \
                 goes up in steps of 9; every table needs a primary key and InnoDB, or writes to it are refused; no foreign \
                 keys that cascade; a transaction of more than 143 MiB is refused.",
            ),
            ..entry(
                Topology::MultiMaster,
                (3, 9, 3),
                0,
                "Every member takes writes and the group agrees on each; when one fails the others go on by themselves.",
            )
        },
        SINGLE,
    ],
    // Its makers design its defaults for a machine of some 512 MiB; being a member of a group comes on top.
    least_memory_bytes: 768 << 20,
    // Measured at 347 ms, and 364 ms for a client, in containers on two cores beside other tests; the rest is reserve.
    hand_over_ms: 500,
};
const REDIS_PORTS: &[Port] = &[port("redis", 6379), port("sentinel", 26379), port("cluster-bus", 16379)];
const PG_PORTS: &[Port] = &[port("postgresql", 5432), port("patroni", 8008), port("etcd", 2379)];

/// Every service, in the order of the wizard.
pub const SERVICES: [ServiceEntry; 11] = [
    ServiceEntry {
        id: ServiceKind::Postgresql,
        name: "PostgreSQL",
        category: Category::Databases,
        tagline: "The relational database most teams reach for first",
        description: "Transactions, SQL to the standard, and an extension for nearly everything. Replicas stream the \
                      write-ahead log and serve reads.",
        topologies: &[PG_REPLICA, SINGLE],
        parameters: true,
        ports: PG_PORTS,
        versions: &["18", "17", "15"],
        licence: "PostgreSQL",
        caution: None,
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Mysql,
        name: "MySQL",
        category: Category::Databases,
        tagline: "The relational database behind much of the web",
        description: "Fast simple reads, a wide choice of tools and hosts. It runs as MariaDB, whose replicas follow by \
                      transaction ids and whose members agree through Galera, or as Oracle's MySQL, whose members agree \
                      and elect a primary through Group Replication.",
        topologies: MARIADB.topologies,
        parameters: false,
        ports: &[port("mysql", 3306), port("group", 4567)],
        versions: &["11.8", "10.11", "9.7", "8.4"],
        licence: "GPL-2.0",
        caution: None,
        lines: &[MARIADB, MYSQL],
    },
    ServiceEntry {
        id: ServiceKind::Redis,
        name: "Redis",
        category: Category::Databases,
        tagline: "Data structures in memory: cache, queue, session store",
        description: "Answers in microseconds, keeps a log on disk, and follows a primary or splits its keys over \
                      shards. Sentinel or Redis Cluster take care of failover.",
        topologies: &[REDIS_REPLICA, REDIS_SHARDED, SINGLE],
        parameters: false,
        ports: REDIS_PORTS,
        versions: &["8.0", "7.2", "7.0", "6.2"],
        licence: "BSD-3-Clause up to 7.2; AGPL-3.0 or RSAL from 8.0",
        caution: None,
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Valkey,
        name: "Valkey",
        category: Category::Databases,
        tagline: "The community's continuation of open-source Redis",
        description: "Speaks the same protocol and reads the same files as Redis 7.2, developed by the Linux \
                      Foundation's community under a permissive licence.",
        topologies: &[REDIS_REPLICA, REDIS_SHARDED, SINGLE],
        parameters: false,
        ports: REDIS_PORTS,
        versions: &["9.1", "9.0", "8.1", "8.0", "7.2"],
        licence: "BSD-3-Clause",
        caution: None,
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Keydb,
        name: "KeyDB",
        category: Category::Databases,
        tagline: "Redis-compatible, on many threads, with active replicas",
        description: "A fork of Redis 6 that serves one data set from several threads and can run two nodes that \
                      both take writes.",
        topologies: &[
            REDIS_REPLICA,
            entry(
                Topology::MultiMaster,
                (2, 4, 2),
                0,
                "Active replicas: every node takes writes and passes them on; the last writer of a key wins.",
            ),
            REDIS_SHARDED,
            SINGLE,
        ],
        parameters: false,
        ports: REDIS_PORTS,
        versions: &["6.3"],
        licence: "BSD-3-Clause",
        caution: Some("No release since 2023."),
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Timescaledb,
        name: "TimescaleDB",
        category: Category::Databases,
        tagline: "PostgreSQL for measurements over time",
        description: "Tables that split themselves by time, with the functions to ask them. It is an extension, so \
                      everything PostgreSQL can do stays available.",
        topologies: &[PG_REPLICA, SINGLE],
        parameters: true,
        ports: PG_PORTS,
        versions: &["2.31", "2.19"],
        licence: "Apache-2.0; compression and continuous aggregates under the Timescale License",
        caution: None,
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Clickhouse,
        name: "ClickHouse",
        category: Category::Databases,
        tagline: "Column store for questions over billions of rows",
        description: "Reads only the columns a query names and compresses them well. Shards split the data, replicas \
                      agree through Keeper.",
        topologies: &[
            entry(
                Topology::PrimaryReplica,
                (2, 9, 2),
                0,
                "Replicas that all take writes, kept equal by Keeper.",
            ),
            entry(Topology::Sharded, (2, 60, 4), 2, "The rows are split over shards, each with replicas."),
            SINGLE,
        ],
        parameters: false,
        ports: &[port("native", 9000), port("http", 8123), port("keeper", 9181)],
        versions: &["26.9", "18.16"],
        licence: "Apache-2.0",
        caution: None,
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Hydra,
        name: "Hydra",
        category: Category::Databases,
        tagline: "Columnar tables inside PostgreSQL",
        description: "An extension that stores chosen tables by column, which makes analytic queries on them small \
                      and quick, beside ordinary tables.",
        topologies: &[PG_REPLICA, SINGLE],
        parameters: true,
        ports: PG_PORTS,
        versions: &["11.1"],
        licence: "AGPL-3.0",
        caution: Some("No longer maintained by its makers."),
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Keycloak,
        name: "Keycloak",
        category: Category::Development,
        tagline: "Sign-in and access for your applications",
        description: "Single sign-on with OpenID Connect and SAML, users and groups, login through other accounts. \
                      Its members share sessions; a PostgreSQL cluster keeps the data.",
        topologies: &[
            entry(
                Topology::MultiMaster,
                (2, 9, 2),
                0,
                "Every member serves; sessions are shared between them.",
            ),
            SINGLE,
        ],
        parameters: false,
        ports: &[port("http", 8080), port("management", 9000)],
        versions: &["26"],
        licence: "Apache-2.0",
        caution: None,
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Rke2,
        name: "RKE2",
        category: Category::HostingAndInfra,
        tagline: "Kubernetes with secure defaults",
        description: "A Kubernetes distribution that passes the CIS benchmark as installed and carries its own \
                      container runtime. Servers hold etcd, agents run the work.",
        topologies: &[
            entry(
                Topology::MultiMaster,
                (3, 9, 3),
                0,
                "Three or more servers, each with etcd and the control plane.",
            ),
            SINGLE,
        ],
        parameters: false,
        ports: &[port("kubernetes", 6443), port("supervisor", 9345), port("etcd", 2379)],
        versions: &["1.34", "1.33"],
        licence: "Apache-2.0",
        caution: None,
        lines: &[],
    },
    ServiceEntry {
        id: ServiceKind::Rabbitmq,
        name: "RabbitMQ",
        category: Category::Development,
        tagline: "Message broker with queues that survive a node",
        description: "Accepts messages over AMQP, MQTT and STOMP and hands them on once acknowledged. Quorum queues \
                      keep copies on several nodes.",
        topologies: &[
            entry(
                Topology::MultiMaster,
                (3, 9, 3),
                0,
                "Every node serves; quorum queues elect their own leaders.",
            ),
            SINGLE,
        ],
        parameters: false,
        ports: &[port("amqp", 5672), port("management", 15672), port("clustering", 25672)],
        versions: &["4.3", "4.0", "3.10"],
        licence: "MPL-2.0",
        caution: None,
        lines: &[],
    },
];

/// The catalogue's entry of a service.
pub fn service(kind: ServiceKind) -> &'static ServiceEntry {
    // The test below holds every kind to have an entry.
    SERVICES.iter().find(|s| s.id == kind).unwrap_or(&SERVICES[0])
}

impl ServiceEntry {
    fn line(&self, version: &str) -> Option<&'static Line> {
        let major: u32 = version.split('.').next()?.parse().ok()?;
        self.lines.iter().find(|line| (line.majors.0..=line.majors.1).contains(&major))
    }
    /// Every line it has; one that stands for all versions where they offer the same.
    pub fn all_lines(&self) -> Vec<Line> {
        if !self.lines.is_empty() {
            return self.lines.to_vec();
        }
        let (majors, topologies) = ((0, u32::MAX), self.topologies);
        vec![Line { name: self.name, majors, topologies, least_memory_bytes: 0, hand_over_ms: 0 }]
    }
    /// What its makers call this version: one service may have several makers.
    pub fn name_of(&self, version: &str) -> &'static str {
        self.line(version).map_or(self.name, |line| line.name)
    }
    /// Memory that a node of this version needs at least; 0 when every plan will do.
    pub fn least_memory_bytes(&self, version: &str) -> u64 {
        self.line(version).map_or(0, |line| line.least_memory_bytes)
    }
    /// How long writes wait while one node of this version hands them over, where that differs from line to line.
    pub(crate) fn hand_over_ms(&self, version: &str) -> Option<u64> {
        self.line(version).map(|line| line.hand_over_ms)
    }
    /// Topologies this version can run in, the default first.
    pub fn topologies_of(&self, version: &str) -> &'static [TopologyEntry] {
        self.line(version).map_or(self.topologies, |line| line.topologies)
    }
    /// What this version offers in a topology.
    pub fn offer(&self, version: &str, topology: Topology) -> Option<&'static TopologyEntry> {
        self.topologies_of(version).iter().find(|t| t.topology == topology)
    }
    /// What the catalogue says about one of its topologies.
    pub fn topology(&self, topology: Topology) -> Option<&'static TopologyEntry> {
        self.topologies.iter().find(|t| t.topology == topology)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_two_makers_offer_what_each_can() {
        let mysql = service(ServiceKind::Mysql);
        let failover = |version| mysql.offer(version, Topology::PrimaryReplica).map(|t| t.failover);
        assert_eq!((mysql.name_of("10.11.19"), failover("10.11.19")), ("MariaDB", Some(Failover::ByHand)));
        assert_eq!((mysql.name_of("9.7.4"), failover("9.7.4")), ("MySQL", Some(Failover::ByVote)));
        let names: Vec<&str> = mysql.all_lines().iter().map(|line| line.name).collect();
        assert_eq!(names, ["MariaDB", "MySQL"]);
        let redis = service(ServiceKind::Redis);
        assert_eq!(redis.all_lines().iter().map(|line| line.name).collect::<Vec<_>>(), ["Redis"]);
        assert_eq!(redis.offer("7.0", Topology::Sharded).map(|t| t.failover), Some(Failover::ByVote));
    }

    #[test]
    fn every_service_has_one_entry_and_a_default_that_its_topology_takes() {
        use ServiceKind::{
            Clickhouse, Hydra, Keycloak, Keydb, Mysql, Postgresql, Rabbitmq, Redis, Rke2, Timescaledb, Valkey,
        };
        for kind in [
            Postgresql,
            Mysql,
            Redis,
            Valkey,
            Keydb,
            Timescaledb,
            Clickhouse,
            Hydra,
            Keycloak,
            Rke2,
            Rabbitmq,
        ] {
            assert_eq!(SERVICES.iter().filter(|s| s.id == kind).count(), 1, "{kind} has exactly one entry");
            let entry = service(kind);
            assert_eq!(entry.id, kind);
            assert!(!entry.topologies.is_empty() && !entry.versions.is_empty(), "{kind} can be chosen");
            for t in entry.topologies {
                assert!((t.min_nodes..=t.max_nodes).contains(&t.default_nodes), "{kind} {}", t.topology);
                if t.default_shards > 0 {
                    assert_eq!(t.default_nodes % t.default_shards, 0, "{kind}: even shards");
                }
            }
        }
    }
}
