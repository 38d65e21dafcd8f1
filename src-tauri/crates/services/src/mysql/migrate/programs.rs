//! The makers' own programs that copy: what dumps the source gives it straight to what loads it here, and nothing lies on a disk
//! in between. Both run on the machine of the node that takes the writes, and are those of the cluster's maker.

use crate::{
    mysql::{
        accounts, config,
        flavour::Flavour::{self, MariaDb, MySql},
    },
    outside, tls,
};
use clusterdeck_domain::{NodeSpec, SourceTls, SourceUrl};
use clusterdeck_driver::{ClusterContext, DriverError, Filter, Machine, Result};
use std::path::PathBuf;

/// How the programs sign in.
const THEIRS: &str = "mysql/migration.source.cnf";
const OURS: &str = "mysql/migration.cnf";
/// Who must have signed the source's certificate, where that was said.
const CA: &str = "mysql/migration.ca";
/// What a copy leaves on the machine while it runs, beside the place.
const LEFT: [&str; 7] = [
    THEIRS,
    OURS,
    CA,
    "mysql/migration.dumped",
    "mysql/migration.loaded",
    "mysql/migration.dump.said",
    "mysql/migration.load.said",
];

/// What dumps, and what loads.
pub(super) const fn named(maker: Flavour) -> (&'static str, &'static str) {
    match maker {
        MariaDb => ("mariadb-dump", "mariadb"),
        MySql => ("mysqldump", "mysql"),
    }
}

/// Where a program is.
pub(crate) async fn program(machine: &dyn Machine, name: &str) -> Result<PathBuf> {
    let found = machine.software(name).await?.into_iter().next();
    found.map(|software| software.path).ok_or_else(|| {
        DriverError::rejected(
            format!("{name} is not installed on the machine at {}", machine.address()),
            "install it, then try again",
        )
    })
}

/// Where the two are.
pub(super) async fn both(machine: &dyn Machine, maker: Flavour) -> Result<(PathBuf, PathBuf)> {
    let (dump, load) = named(maker);
    Ok((program(machine, dump).await?, program(machine, load).await?))
}

/// What the program that dumps is told beside what both makers' understand.
const fn told(maker: Flavour, placed: bool) -> &'static str {
    match (maker, placed) {
        (MariaDb, false) => "",
        (MariaDb, true) => "--master-data=2",
        // The numbers of the source's transactions stay there: here they get the cluster's own.
        (MySql, false) => "--set-gtid-purged=OFF",
        (MySql, true) => "--set-gtid-purged=OFF --source-data=2",
    }
}

/// A value in a file of options.
fn option(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// How a maker's programs are told what to think of the source's certificate.
async fn encrypted(machine: &dyn Machine, maker: Flavour, url: &SourceUrl) -> Result<String> {
    let given = url.ca.as_ref().map(|_| machine.path(CA).to_string_lossy().into_owned());
    Ok(match (maker, url.tls) {
        (MariaDb, SourceTls::Off) => "skip-ssl\n".to_owned(),
        (MariaDb, SourceTls::Encrypt) => "ssl\nskip-ssl-verify-server-cert\n".to_owned(),
        (MariaDb, SourceTls::Verify) => {
            let ca = given.map_or_else(String::new, |path| format!("ssl-ca={}\n", option(&path)));
            format!("ssl\nssl-verify-server-cert\n{ca}")
        }
        // Where nothing is encrypted the key with which the password is has to be asked for.
        (MySql, SourceTls::Off) => "ssl-mode=DISABLED\nget-server-public-key\n".to_owned(),
        (MySql, SourceTls::Encrypt) => "ssl-mode=REQUIRED\n".to_owned(),
        (MySql, SourceTls::Verify) => {
            let roots = match given {
                Some(path) => path,
                None => outside::roots(machine).await?,
            };
            format!("ssl-mode=VERIFY_IDENTITY\nssl-ca={}\n", option(&roots))
        }
    })
}

async fn theirs(machine: &dyn Machine, maker: Flavour, url: &SourceUrl) -> Result<String> {
    let user = option(url.user.as_deref().unwrap_or("root"));
    let password =
        url.password.as_ref().map_or_else(String::new, |p| format!("password={}\n", option(p.reveal())));
    let tls = encrypted(machine, maker, url).await?;
    Ok(format!(
        "[client]\nprotocol=tcp\nhost={}\nport={}\nuser={user}\n{password}{tls}",
        option(&url.host),
        url.port()
    ))
}

/// A file of options with our own way in.
pub(crate) fn ours(cx: &ClusterContext, machine: &dyn Machine) -> Result<String> {
    let password = cx.secrets.newest(accounts::OPERATOR)?;
    // Each maker's programs refuse the other's word for it.
    let encrypted = match Flavour::of(&cx.spec.version) {
        MySql => "ssl-mode=VERIFY_CA",
        MariaDb => "ssl",
    };
    Ok(format!(
        "[client]\nprotocol=tcp\nhost={}\nport={}\nuser={}\npassword={}\n{encrypted}\nssl-ca={}\n",
        machine.address(),
        machine.port(config::PORT),
        accounts::OPERATOR,
        option(password.reveal()),
        option(&machine.path(tls::CA_FILE).to_string_lossy())
    ))
}

/// Writes down for the programs how they sign in, at the source and here.
pub(super) async fn signs_in(cx: &ClusterContext, machine: &dyn Machine, url: &SourceUrl) -> Result<()> {
    let theirs = theirs(machine, Flavour::of(&cx.spec.version), url).await?;
    if let Some(authorities) = outside::tls::file(url)? {
        machine.write(CA, authorities.as_bytes(), 0o600).await?;
    }
    machine.write(THEIRS, theirs.as_bytes(), 0o600).await?;
    machine.write(OURS, ours(cx, machine)?.as_bytes(), 0o600).await
}

/// Takes away what a copy left, and where an earlier call ran while another node led at least how it signed in.
pub(super) async fn forget(cx: &ClusterContext, lead: &NodeSpec) -> Result<()> {
    for left in LEFT {
        cx.machine(lead)?.remove(left).await?;
    }
    for node in cx.spec.data_nodes().filter(|node| node.id != lead.id) {
        for left in [THEIRS, CA] {
            if let Err(error) = cx.machine(node)?.remove(left).await {
                tracing::warn!(node = %node.name, %error, "a file with the way into a migration's source may be left");
            }
        }
    }
    Ok(())
}

/// `$1` what dumps, `$2` what loads, `$3` where its files lie, `$4` who owns what runs, `$5` what else the first is told; then the
/// databases. `sed` touches no row: those lines begin otherwise.
const COPY: &str = r#"
umask 077
dump=$1 load=$2 at=$3 owner=$4 told=$5; shift 5
rm -f "$at.dumped" "$at.loaded" "$at.place"
{ "$dump" --defaults-extra-file="$at.source.cnf" --single-transaction --quick --skip-lock-tables --routines --events --triggers \
    --hex-blob --no-tablespaces --default-character-set=utf8mb4 --max-allowed-packet=1G $told --databases "$@" 2>"$at.dump.said" \
    && : >"$at.dumped"; } |
  sed -E -e "/^-- CHANGE (MASTER|REPLICATION SOURCE) TO /w $at.place" -e "/^(\/\*!50|CREATE DEFINER)/s/DEFINER=\`[^\`]*\`@\`[^\`]*\`/DEFINER=\`$owner\`@\`%\`/" |
  { "$load" --defaults-extra-file="$at.cnf" --default-character-set=utf8mb4 --binary-mode --max-allowed-packet=1G 2>"$at.load.said" \
    && : >"$at.loaded"; }
[ -e "$at.dumped" ] && [ -e "$at.loaded" ] && exit 0
{ grep -v -i warning "$at.load.said"; grep -v -i warning "$at.dump.said"; } >&2
exit 1
"#;

/// Copies these databases; where it is `placed` it is noted where the source's log goes on.
pub(super) async fn copy(
    cx: &ClusterContext,
    machine: &dyn Machine,
    names: &[String],
    placed: bool,
) -> Result<()> {
    let maker = Flavour::of(&cx.spec.version);
    let (dump, load) = both(machine, maker).await?;
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let mut args = vec![
        path(&dump),
        path(&load),
        path(&machine.path("mysql/migration")),
        accounts::PEOPLE.to_owned(),
        told(maker, placed).to_owned(),
    ];
    args.extend(names.iter().cloned());
    match machine.output_of(&Filter::script(COPY, args), &mut tokio::io::sink()).await {
        Ok(_) => Ok(()),
        Err(DriverError::Rejected { what, .. }) => {
            let passes =
                ["Lost connection", "gone away", "Can't connect", "was killed", "Connection was killed"];
            if passes.iter().any(|words| what.contains(words)) {
                return Err(DriverError::transient(format!("copying was interrupted: {what}")));
            }
            Err(DriverError::rejected(
                format!("the data could not be copied: {what}"),
                "The log of the migration says more.",
            ))
        }
        Err(other) => Err(other),
    }
}
