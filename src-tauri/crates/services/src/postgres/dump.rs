//! A dump for people: what they have in a server as statements for `psql`, in one stream. The programs are those of the server's
//! own version; nobody else writes to it meanwhile, so that its databases, one after the other, are of one moment.

use super::{
    config, flavour, form, migrate,
    sql::{ANSWER, As, Session},
};
use clusterdeck_domain::{NodeSpec, ServiceKind};
use clusterdeck_driver::{ClusterContext, DriverError, Filter, Machine, Outgoing, Progress, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How such a dump is loaded.
const RESTORE: &str = "1. Have a PostgreSQL of the same major version or a newer one, with its extensions, that has no databases of these \
     names.\n\
     2. zstd -dc FILE | psql -v ON_ERROR_STOP=1 -d postgres   (as a superuser)\n\
     3. Roles come without passwords: ALTER ROLE app PASSWORD '...' and what else you need. The role operator, which cannot \
     sign in, owns what Clusterdeck's own user had made.\n";

/// See [`clusterdeck_driver::ServiceDriver::dump_format`].
pub(crate) fn format(service: ServiceKind) -> std::result::Result<&'static str, String> {
    match service {
        ServiceKind::Timescaledb => Err(
            "tables of TimescaleDB want steps of its own before and after a dump is loaded, which are not done yet".to_owned(),
        ),
        _ => Ok(RESTORE),
    }
}

const PASS: &str = "pg/dump.pass";
/// Bytes of the statements that make roles.
const MOST_ROLES: u64 = 64 << 20;
/// Of these people's dump needs none, unless something belongs to one.
const OURS: [&str; 3] = [config::REPLICA, config::REWIND, config::WATCH];

/// `$1` the program, `$2` the passwords, `$3` host, `$4` port, `$5` user; then its own arguments.
const RUN: &str = r#"
umask 077
export PGPASSFILE="$2" PGHOST="$3" PGPORT="$4" PGUSER="$5" PGSSLMODE=require PGCONNECT_TIMEOUT=10 LC_ALL=C
program=$1; shift 5
exec "$program" "$@"
"#;

/// See [`clusterdeck_driver::ServiceDriver::dump`].
pub(crate) async fn out(
    cx: &ClusterContext,
    node: &NodeSpec,
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<()> {
    let machine = cx.machine(node)?.as_ref();
    let session = Session::open(cx, form::leader(cx).await?, As::Operator, ANSWER).await?;
    let mut names: Vec<String> = Vec::new();
    for row in session
        .rows(
            "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1",
            &[],
        )
        .await?
    {
        let name: String = row.get(0);
        // The one that a server has from the beginning, and mostly nothing in it.
        if name != "postgres" || migrate::holds(cx, node, &name).await? > 0 {
            names.push(name);
        }
    }
    let owners = "SELECT DISTINCT r.rolname::text FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid \
         WHERE d.refclassid = 'pg_authid'::regclass AND r.rolname = ANY($1) AND d.dbid IN \
         (SELECT oid FROM pg_database WHERE datname = ANY($2))";
    let ours: Vec<&str> = OURS.to_vec();
    let needed: Vec<String> =
        session.rows(owners, &[&ours, &names]).await?.iter().map(|row| row.get(0)).collect();

    machine.write(PASS, migrate::own_password(cx, machine)?.as_bytes(), 0o600).await?;
    let dumped = all(cx, machine, (&names, &needed), output, progress).await;
    machine.remove(PASS).await?;
    dumped
}

async fn all(
    cx: &ClusterContext,
    machine: &dyn Machine,
    (names, needed): (&[String], &[String]),
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<()> {
    let folder = flavour::software(cx, machine).await?.folder;
    let run = |program: &str, args: &[&str]| {
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let head = [
            text(folder.join(program)),
            text(machine.path(PASS)),
            machine.address().to_string(),
            machine.port(config::PORT).to_string(),
            config::OPERATOR.to_owned(),
        ];
        Filter::script(RUN, head.into_iter().chain(args.iter().map(|arg| (*arg).to_owned())))
    };
    progress.note("dumping its roles");
    let (mut says, hears) = tokio::io::duplex(64 << 10);
    let filter = run("pg_dumpall", &["--roles-only", "--no-role-passwords"]);
    let asked = async move { machine.output_of(&filter, &mut says).await };
    let mut made = String::new();
    let mut hears = hears.take(MOST_ROLES);
    let (asked, read) = tokio::join!(asked, hears.read_to_string(&mut made));
    asked.map_err(refused)?;
    read.map_err(|e| DriverError::broken(format!("the roles cannot be read: {e}")))?;
    write(output, &roles(&made, needed)).await?;
    for name in names {
        progress.note(&format!("dumping {name}"));
        let mut args = vec!["--no-tablespaces", "--no-subscriptions", "-d", name.as_str()];
        match name.as_str() {
            "postgres" => write(output, "\n\\connect postgres\n").await?,
            _ => args.insert(0, "--create"),
        }
        machine.output_of(&run("pg_dump", &args), output).await.map_err(refused)?;
    }
    Ok(())
}

async fn write(output: &mut Outgoing, text: &str) -> Result<()> {
    let written = output.write_all(text.as_bytes()).await;
    written.map_err(|e| DriverError::transient(format!("passing on a dump: {e}")))
}

fn refused(error: DriverError) -> DriverError {
    match error {
        DriverError::Rejected { what, .. } => DriverError::rejected(
            format!("the data could not be dumped: {what}"),
            "Look whether the client programs of this version of PostgreSQL are installed.",
        ),
        other => other,
    }
}

/// The statements that make roles as a server takes them that has some of these already, without those that are only ours.
fn roles(made: &str, needed: &[String]) -> String {
    let mut kept = String::new();
    for line in made.lines() {
        let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
        let of = match words.as_slice() {
            ["CREATE" | "ALTER", "ROLE", name, ..] => Some(*name),
            ["GRANT", _, "TO", name, ..] => Some(*name),
            _ => None,
        };
        let only_ours = |name: &str| OURS.contains(&name) && !needed.iter().any(|n| n == name);
        let create = words.first() == Some(&"CREATE");
        match of {
            Some(name) if only_ours(name) => continue,
            // It keeps what it owns, and no rights.
            Some(name) if !create && (name == config::OPERATOR || OURS.contains(&name)) => continue,
            Some(_) if create => kept.push_str(&format!(
                "DO $clusterdeck$BEGIN {line} EXCEPTION WHEN duplicate_object THEN NULL; END$clusterdeck$;"
            )),
            // Whoever granted it is nobody there.
            Some(_) if words.first() == Some(&"GRANT") => {
                let granted = line.split(" GRANTED BY ").next().unwrap_or(line);
                kept.push_str(&format!("{};", granted.trim_end_matches(';')));
            }
            _ => kept.push_str(line),
        }
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_of_people_come_without_ours_and_where_they_are_already() {
        let made = "-- Roles\nCREATE ROLE app;\nALTER ROLE app WITH LOGIN;\nCREATE ROLE operator;\n\
             ALTER ROLE operator WITH SUPERUSER LOGIN;\nCREATE ROLE rewind;\nALTER ROLE rewind WITH LOGIN;\n\
             CREATE ROLE watch;\nALTER ROLE watch WITH LOGIN;\nCREATE ROLE \"My team\";\n\
             GRANT pg_monitor TO watch WITH INHERIT TRUE GRANTED BY operator;\n\
             GRANT app TO anna WITH INHERIT TRUE GRANTED BY operator;\n";
        let kept = roles(made, &["rewind".to_owned()]);
        assert!(kept.contains("BEGIN CREATE ROLE app; EXCEPTION WHEN duplicate_object"), "{kept}");
        assert!(
            kept.contains("ALTER ROLE app WITH LOGIN;") && kept.contains("CREATE ROLE operator;"),
            "{kept}"
        );
        assert!(kept.contains("CREATE ROLE rewind;"), "something belongs to it: {kept}");
        assert!(kept.contains("CREATE ROLE \"My team\";"), "{kept}");
        for gone in ["watch", "ALTER ROLE operator", "ALTER ROLE rewind", "GRANTED BY"] {
            assert!(!kept.contains(gone), "{gone}: {kept}");
        }
        assert!(kept.contains("GRANT app TO anna WITH INHERIT TRUE;"), "{kept}");
    }
}
