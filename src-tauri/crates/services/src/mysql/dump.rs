//! A dump for people: the databases of a server as statements for its client, in one transaction.

use super::{
    flavour::Flavour,
    migrate,
    sql::{ANSWER, As, Session},
};
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, Filter, Outgoing, Progress, Result};

/// How such a dump is loaded.
const RESTORE: &str = "1. Have a MariaDB of the same version or a newer one. Databases of the same names have their tables replaced.\n\
     2. zstd -dc FILE | mariadb --default-character-set=utf8mb4   (as root)\n\
     3. Users and grants do not come along: CREATE USER app@'%' IDENTIFIED BY '...', GRANT, and what else you need. Views, \
     routines, triggers and events run as whoever defined them, who must be there.\n";
const RESTORE_MYSQL: &str = "1. Have a MySQL of the same version or a newer one. Databases of the same names have their tables replaced.\n\
     2. zstd -dc FILE | mysql --default-character-set=utf8mb4   (as root)\n\
     3. Users and grants do not come along: CREATE USER app@'%' IDENTIFIED BY '...', GRANT, and what else you need. Views, \
     routines, triggers and events run as whoever defined them, who must be there.\n";

const OPTIONS: &str = "mysql/dump.cnf";

/// See [`clusterdeck_driver::ServiceDriver::dump_format`].
pub(crate) fn format(version: &str) -> &'static str {
    match Flavour::of(version) {
        Flavour::MySql => RESTORE_MYSQL,
        Flavour::MariaDb => RESTORE,
    }
}

/// See [`clusterdeck_driver::ServiceDriver::dump`].
pub(crate) async fn out(
    cx: &ClusterContext,
    node: &NodeSpec,
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<()> {
    let machine = cx.machine(node)?.as_ref();
    let names = migrate::of_people(&mut Session::open(cx, node, As::Operator, ANSWER).await?).await?;
    if names.is_empty() {
        return Ok(());
    }
    let (name, own) = match Flavour::of(&cx.spec.version) {
        // Numbers of transactions are the old group's.
        Flavour::MySql => ("mysqldump", Some("--set-gtid-purged=OFF")),
        Flavour::MariaDb => ("mariadb-dump", None),
    };
    let program = migrate::program(machine, name).await?;
    progress.note(&format!("dumping {}", names.join(", ")));
    machine.write(OPTIONS, migrate::ours(cx, machine)?.as_bytes(), 0o600).await?;
    let head = [
        format!("--defaults-extra-file={}", machine.path(OPTIONS).display()),
        "--single-transaction".to_owned(),
        "--quick".to_owned(),
        "--skip-lock-tables".to_owned(),
        "--routines".to_owned(),
        "--events".to_owned(),
        "--triggers".to_owned(),
        "--hex-blob".to_owned(),
        "--no-tablespaces".to_owned(),
        "--default-character-set=utf8mb4".to_owned(),
        "--max-allowed-packet=1G".to_owned(),
    ];
    let names = own.map(str::to_owned).into_iter().chain(["--databases".to_owned()]).chain(names);
    let dumped = machine.output_of(&Filter::new(program, head.into_iter().chain(names)), output).await;
    machine.remove(OPTIONS).await?;
    match dumped {
        Err(DriverError::Rejected { what, .. }) => Err(DriverError::rejected(
            format!("the data could not be dumped: {what}"),
            "Look whether the client programs of this version are installed.",
        )),
        dumped => dumped.map(drop),
    }
}
