//! What differs between PostgreSQL, TimescaleDB and Hydra, as data; and where their programs are.

use super::{config, copy, etcd, patroni};
use clusterdeck_domain::ServiceKind;
use clusterdeck_driver::{Carried, ClusterContext, DriverError, Extension, Machine, Result};
use std::path::{Path, PathBuf};

/// Programs and what they are for; the first is the server, whose version counts unless an extension gives it.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    ("postgres", "the PostgreSQL server"),
    (patroni::PROGRAM, "starts PostgreSQL and agrees with the other nodes on who leads"),
    (etcd::UNIT, "where the nodes agree"),
];

/// A program that every installation has beside its server. Not `postgres`: a link to that one lies in many a folder that has
/// nothing else of it.
const BESIDE: &str = "pg_controldata";

pub(crate) const SERVICES: &[ServiceKind] =
    &[ServiceKind::Postgresql, ServiceKind::Timescaledb, ServiceKind::Hydra];

/// What makes one of these services of a PostgreSQL server: an extension, and what it wants of the server.
#[derive(Debug)]
pub(crate) struct Addition {
    /// How a provider finds it. Nobody's public image holds it together with Patroni and etcd, so none is named.
    pub(crate) extension: &'static Extension,
    /// What `CREATE EXTENSION` makes.
    pub(crate) name: &'static str,
    /// What the server loads when it starts.
    pub(crate) library: &'static str,
    /// Settings of its own, unless somebody chose others.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Background workers it starts.
    pub(crate) workers: u64,
    /// The setting that says which edition runs, where there are several.
    pub(crate) edition: Option<&'static str>,
    /// Nobody mends it any more.
    pub(crate) abandoned: bool,
}

const TIMESCALEDB: Addition = Addition {
    extension: &Extension {
        name: "TimescaleDB",
        package: "timescaledb",
        purpose: "splits tables by time",
        carrier: "PostgreSQL",
        beside: BESIDE,
        majors: (14, 18),
        files: &[
            // Debian and its relatives, with several majors side by side.
            "../../../../share/postgresql/{major}/extension/timescaledb.control",
            "../share/extension/timescaledb.control",
            "../share/postgresql/extension/timescaledb.control",
            "../share/postgresql@{major}/extension/timescaledb.control",
            // Red Hat's.
            "../share/pgsql/extension/timescaledb.control",
        ],
        version_key: "default_version",
        elsewhere: "Its makers' repository (packagecloud.io/timescale/timescaledb) has it for most systems, as \
                    timescaledb-2-postgresql-N. In containers it runs from an image of your own that holds PostgreSQL with it, \
                    Patroni and etcd (the makers' docker.io/timescale/timescaledb-ha is a beginning): name it in the settings \
                    under images, as timescaledb and release line.",
    },
    name: "timescaledb",
    library: "timescaledb",
    // The second is what `workers` makes room for.
    settings: &[("timescaledb.telemetry_level", "off"), ("timescaledb.max_background_workers", "8")],
    // And the one that starts them, and one a database that has it.
    workers: 8 + 1 + 2,
    edition: Some("timescaledb.license"),
    abandoned: false,
};

const HYDRA: Addition = Addition {
    extension: &Extension {
        name: "Hydra",
        package: "columnar",
        purpose: "stores tables by column",
        carrier: "PostgreSQL",
        beside: BESIDE,
        majors: (13, 16),
        files: &[
            "../../../../share/postgresql/{major}/extension/columnar.control",
            "../share/extension/columnar.control",
            "../share/postgresql/extension/columnar.control",
            "../share/postgresql@{major}/extension/columnar.control",
            "../share/pgsql/extension/columnar.control",
        ],
        version_key: "default_version",
        elsewhere: "Nobody packages it, and its makers no longer maintain it: build it from \
                    github.com/hydradatabase/columnar against the server's headers. In containers it runs from an image of \
                    your own that holds PostgreSQL with it, Patroni and etcd (the makers' hydradatabase/hydra is a \
                    beginning): name it in the settings under images, as hydra and release line.",
    },
    name: "columnar",
    library: "columnar",
    settings: &[],
    workers: 0,
    edition: None,
    abandoned: true,
};

/// What a service adds to the server; `None` for PostgreSQL itself.
pub(crate) const fn addition(service: ServiceKind) -> Option<&'static Addition> {
    match service {
        ServiceKind::Timescaledb => Some(&TIMESCALEDB),
        ServiceKind::Hydra => Some(&HYDRA),
        _ => None,
    }
}

impl Addition {
    /// What the server loads: the own library first, then what somebody chose.
    pub(crate) fn preloaded(&self, chosen: &str) -> String {
        let named = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
        let others = chosen.split(',').map(named).filter(|l| !l.is_empty() && l != self.library);
        std::iter::once(self.library.to_owned()).chain(others).collect::<Vec<_>>().join(",")
    }
}

/// The programs of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Software {
    /// The folder of `postgres`, `initdb`, `pg_basebackup`, `pg_rewind`.
    pub(crate) folder: PathBuf,
    /// The path of Patroni.
    pub(crate) patroni: String,
}

/// The server this cluster runs: the newest of its major version, whose minor versions read the same files.
pub(crate) async fn software(cx: &ClusterContext, machine: &dyn Machine) -> Result<Software> {
    let server = match addition(cx.spec.service) {
        None => plain(&cx.spec.version, machine).await?,
        Some(addition) => carrying(addition, cx, machine).await?,
    };
    let patroni = machine.software(patroni::PROGRAM).await?.into_iter().next().ok_or_else(|| {
        DriverError::rejected(
            format!("Patroni is not installed on the machine at {}", machine.address()),
            "install Patroni, then try again",
        )
    })?;
    let folder = server.parent().map(PathBuf::from).unwrap_or_default();
    Ok(Software { folder, patroni: patroni.path.to_string_lossy().into_owned() })
}

/// The first number of a version.
pub(crate) fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

/// A program beside a server of this version.
async fn plain(wanted: &str, machine: &dyn Machine) -> Result<PathBuf> {
    let found = machine.software(BESIDE).await?;
    let server = found.iter().find(|s| wanted.is_empty() || major(&s.version) == major(wanted));
    server.map(|s| s.path.clone()).ok_or_else(|| {
        let there: Vec<&str> = found.iter().map(|s| s.version.as_str()).collect();
        absent(&format!("PostgreSQL {}", major(wanted)), &there, machine)
    })
}

/// A program beside a server that carries the extension.
async fn carrying(addition: &Addition, cx: &ClusterContext, machine: &dyn Machine) -> Result<PathBuf> {
    let found = machine.extension(addition.extension).await?;
    let files = files_are_of(cx, machine).await;
    chosen(&found, files.as_deref(), &cx.spec.version).map(Path::to_owned).ok_or_else(|| {
        let carried = found.iter().map(|c| format!("{} with PostgreSQL {}", c.version, c.by.version));
        let on = files.map_or_else(String::new, |major| format!(" with PostgreSQL {major}"));
        let what = format!("{} {}{on}", addition.extension.name, cx.spec.version);
        let there: Vec<String> = carried.collect();
        absent(&what, &there.iter().map(String::as_str).collect::<Vec<_>>(), machine)
    })
}

/// Which of the servers that carry the extension (newest first) a cluster runs. Where there is data its major version
/// decides, whatever version the extension has by now: a server without it would be worse than one with a newer one.
fn chosen<'a>(found: &'a [Carried], files: Option<&str>, wanted: &str) -> Option<&'a Path> {
    let line = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let there = || found.iter().filter(|c| files.is_none_or(|files| major(&c.by.version) == files));
    let exact = there().find(|c| c.version == wanted);
    let near = || there().find(|c| line(&c.version) == line(wanted));
    let any = || there().find(|_| wanted.is_empty() || files.is_some());
    exact.or_else(near).or_else(any).map(|c| c.by.path.as_path())
}

/// The major version that wrote the data of this machine, or of another of the cluster, which this one copies. While a cluster
/// is made only a copy that was laid on the first of its nodes counts.
async fn files_are_of(cx: &ClusterContext, machine: &dyn Machine) -> Option<String> {
    let creating = cx.spec.lifecycle.begins();
    let own = format!("{}/PG_VERSION", config::DATA);
    let others = cx.spec.data_nodes().filter_map(|n| cx.machine(n).ok()).map(AsRef::as_ref);
    let others = others.map(|machine| (machine, if creating { copy::WRITTEN_BY } else { own.as_str() }));
    for (machine, note) in std::iter::once((machine, own.as_str())).chain(others) {
        if let Ok(text) = machine.read(note).await {
            return Some(String::from_utf8_lossy(&text).trim().to_owned());
        }
    }
    None
}

fn absent(what: &str, there: &[&str], machine: &dyn Machine) -> DriverError {
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    DriverError::rejected(
        format!("{what} is not installed on the machine at {}; found: {there}", machine.address()),
        "install it, then try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusterdeck_driver::Software as Program;

    fn carried(version: &str, server: &str) -> Carried {
        let path = format!("/usr/lib/postgresql/{}/bin/{BESIDE}", major(server)).into();
        Carried {
            version: version.to_owned(),
            by: Program { program: BESIDE.to_owned(), path, version: server.to_owned() },
        }
    }

    #[test]
    fn the_library_of_a_service_is_always_loaded_and_chosen_ones_are_kept_beside_it() {
        assert_eq!(TIMESCALEDB.preloaded(""), "timescaledb");
        assert_eq!(TIMESCALEDB.preloaded("pg_stat_statements"), "timescaledb,pg_stat_statements");
        assert_eq!(
            TIMESCALEDB.preloaded(" auto_explain , 'timescaledb',,pg_stat_statements"),
            "timescaledb,auto_explain,pg_stat_statements"
        );
        assert_eq!(HYDRA.preloaded("timescaledb"), "columnar,timescaledb");
    }

    #[test]
    fn the_data_decide_which_server_runs_and_an_update_of_the_extension_locks_nobody_out() {
        let found = [carried("2.31.0", "18.6"), carried("2.20.0", "17.11")];
        let folder = |files, wanted| chosen(&found, files, wanted).map(|p| p.display().to_string());
        let of = |major: u32| Some(format!("/usr/lib/postgresql/{major}/bin/{BESIDE}"));
        assert_eq!(folder(None, ""), of(18), "the newest where nobody asks for another");
        assert_eq!(folder(None, "2.20.0"), of(17));
        assert_eq!(folder(None, "2.31.4"), of(18), "of its release line");
        assert_eq!(folder(None, "2.19.3"), None, "a new cluster gets what it asks for");
        assert_eq!(folder(Some("17"), "2.19.3"), of(17), "2.19.3 was updated to 2.20.0 below its data");
        assert_eq!(folder(Some("17"), "2.31.0"), of(17), "data are not read by another major");
        assert_eq!(folder(Some("16"), "2.31.0"), None);
    }

    #[test]
    fn each_service_that_is_an_extension_names_the_server_it_is_loaded_into() {
        for service in [ServiceKind::Timescaledb, ServiceKind::Hydra] {
            let addition = addition(service).expect("an addition");
            let beside: Vec<String> = addition.extension.files_beside("15.18").collect();
            assert_eq!(
                beside[0],
                format!("../../../../share/postgresql/15/extension/{}.control", addition.name)
            );
            assert!(addition.extension.files_beside("12.1").next().is_none(), "too old for both");
        }
        assert!(addition(ServiceKind::Postgresql).is_none());
        assert!(HYDRA.extension.files_beside("17.11").next().is_none(), "Hydra ended before PostgreSQL 17");
    }
}
