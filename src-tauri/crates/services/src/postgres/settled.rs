//! Making a copy of a running server what a server leaves that was stopped in order, without anybody who could connect to it:
//! the server's own single-user mode does it, as part of the call that lays the copy. So its log is replayed where progress and
//! errors are told, and no password of the cluster it comes from opens the new one for a moment.

use super::{
    archive,
    change::told,
    config, copy,
    flavour::{self, Software},
    form,
};
use clusterdeck_domain::{NodeSpec, Sensitive};
use clusterdeck_driver::{ClusterContext, DriverError, Filter, Machine, Progress, Result};
use serde_json::Value;
use std::time::Duration;

const CONF: &str = "pg/laid.conf";
const ROLES: &str = "pg/laid.sql";
/// For checking the files and replaying the log: some hundred gigabytes.
const WITHIN: Duration = Duration::from_secs(3600);

/// `$1` the folder, `$2` that of the programs, `$5` `replay` where more of the log is replayed than the copy has.
///
/// What the old node was told is not for this one: paths of its machine, settings of its size, who may come in, what its
/// Patroni remembers of its cluster. `postgresql.base.conf` is what `initdb` wrote, and stays.
const SETTLE: &str = r#"
export LC_ALL=C
umask 077
cd "$1" || exit 1
if [ -x "$2/pg_verifybackup" ] && [ -x "$2/pg_waldump" ]; then
  "$2/pg_verifybackup" --quiet --exit-on-error "$1" || exit 1
fi
for file in postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf; do : > "$file" || exit 1; done
rm -f ./*.conf.backup patroni.dynamic.json standby.signal recovery.signal postmaster.opts backup_manifest || exit 1
[ "$5" != replay ] || : > recovery.signal
"#;

/// `$1` the folder, `$2` that of the programs, `$3` settings, `$4` what to say to the server. It takes the place of the shell, so
/// that it ends with whoever waits for it. It says nothing but why it fails, and never with the statement, which may hold a password.
const SAY: &str = r#"
export LC_ALL=C
exec "$2/postgres" --single -D "$1" -c config_file="$3" -c exit_on_error=on -c log_min_messages=fatal \
  -c log_error_verbosity=terse -c log_min_error_statement=panic -c log_min_duration_statement=-1 postgres < "$4"
"#;

/// The same for a server that replays and is told nothing.
const REPLAY: &str = r#"
export LC_ALL=C
exec "$2/postgres" --single -D "$1" -c config_file="$3" -c exit_on_error=on -c log_min_messages=log postgres < /dev/null
"#;

/// Settles a copy where it is being laid.
pub(crate) async fn settle(
    cx: &ClusterContext,
    node: &NodeSpec,
    machine: &dyn Machine,
    progress: &Progress,
) -> Result<()> {
    let software = software(cx, machine).await?;
    machine.write(CONF, settings(cx, machine).as_bytes(), 0o600).await?;
    machine.write(ROLES, roles(cx)?.reveal().as_bytes(), 0o600).await?;
    let text = |path: &str| machine.path(path).display().to_string();
    let folder = software.folder.display().to_string();
    let target = target(machine).await?;
    let what = if target.is_some() { "replay" } else { "" };
    let args = [text(copy::LAYING), folder, text(CONF), text(ROLES), what.to_owned()];
    let run = |script: &str| Filter::script(script, args.clone());
    let settling = async {
        let settling = async {
            machine.output_of(&run(SETTLE), &mut tokio::io::sink()).await?;
            if let Some(target) = &target {
                replay(cx, machine, target, &run(REPLAY)).await?;
            }
            machine.write(CONF, settings(cx, machine).as_bytes(), 0o600).await?;
            machine.output_of(&run(SAY), &mut tokio::io::sink()).await
        };
        tokio::time::timeout(WITHIN, settling)
            .await
            .unwrap_or_else(|_| Err(DriverError::transient("the server replays the log for too long")))
    };
    let note = format!("{} checks its copy and replays the log", node.name);
    let settled = told(progress, &note, None, settling).await;
    for path in [CONF, ROLES] {
        machine.remove(path).await?;
    }
    settled.map(drop)
}

/// Up to where more of the log is replayed than the copy has; `None`: the copy is all.
async fn target(machine: &dyn Machine) -> Result<Option<String>> {
    match machine.read(archive::UNTIL).await {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(DriverError::Gone { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What a server says of a log that ends before the moment it shall stop at (from version 13 on; older ones just stop there).
const ENDED_EARLY: &str = "recovery ended before configured recovery target was reached";

/// Replays the pieces that were laid. Where nothing in them lies behind the moment, the server takes that for a failure; it is
/// none, since who chose them knows that they lead there. All of them are replayed then.
async fn replay(cx: &ClusterContext, machine: &dyn Machine, target: &str, run: &Filter) -> Result<()> {
    let conf = settings(cx, machine);
    let until = [target.to_owned(), archive::without_moment(target)];
    for (attempt, target) in until.iter().enumerate() {
        machine.write(CONF, format!("{conf}{target}").as_bytes(), 0o600).await?;
        match machine.output_of(run, &mut tokio::io::sink()).await {
            Err(DriverError::Rejected { what, .. }) if attempt == 0 && what.contains(ENDED_EARLY) => {}
            replayed => return replayed.map(|said| tracing::debug!(%said, "the log was replayed")),
        }
    }
    Ok(())
}

/// The programs that read what was laid.
async fn software(cx: &ClusterContext, machine: &dyn Machine) -> Result<Software> {
    let wrote = machine.read(&format!("{}/PG_VERSION", copy::LAYING)).await?;
    machine.write(copy::WRITTEN_BY, &wrote, 0o600).await?;
    let wrote = String::from_utf8_lossy(&wrote).trim().to_owned();
    let runs = flavour::major(&cx.spec.version);
    if flavour::addition(cx.spec.service).is_none() && !runs.is_empty() && runs != wrote {
        return Err(DriverError::rejected(
            format!("it is of PostgreSQL {wrote}, and the cluster runs PostgreSQL {runs}"),
            format!("choose version {wrote} for the new cluster"),
        ));
    }
    flavour::software(cx, machine).await
}

/// What the server needs to replay the log of its kind. It notes the sizes of the new cluster in the data, so that none of the
/// old one's is waited for at its first start.
fn settings(cx: &ClusterContext, machine: &dyn Machine) -> String {
    let mut all = config::parameters(&cx.spec, machine.plan());
    if let Some(loaded) = config::local_parameters(cx, machine).get(config::PRELOADED) {
        all[config::PRELOADED] = loaded.clone();
    }
    let line = |(name, value): (&String, &Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), |text| text.replace('\'', "''"));
        format!("{name} = '{text}'\n")
    };
    all.as_object().map(|all| all.iter().map(line).collect()).unwrap_or_default()
}

/// What is said to the server, a line each: every role of ours gets the password of this cluster. Roles that people made stay,
/// with their passwords; those of watching and of people may be missing, and are made when the cluster is formed.
///
/// Subscriptions are put to sleep, as `pg_dump` does: else a copy that is only tried out would take from its publisher what the
/// true one waits for.
fn roles(cx: &ClusterContext) -> Result<Sensitive<String>> {
    let hashed = |secret: &str| Ok::<_, DriverError>(form::hashed(cx.secrets.newest(secret)?));
    let mut all = String::new();
    for (role, rights) in
        [(config::OPERATOR, "SUPERUSER"), (config::REPLICA, "REPLICATION"), (config::REWIND, "")]
    {
        let password = hashed(role)?;
        all.push_str(&format!("ALTER ROLE {role} LOGIN {rights} PASSWORD '{}';\n", password.reveal()));
    }
    for (role, secret) in [(config::WATCH, config::WATCH), (config::PEOPLE, "people")] {
        let password = hashed(secret)?;
        all.push_str(&format!(
            "DO $$BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN \
             ALTER ROLE {role} LOGIN PASSWORD '{}'; END IF; END$$;\n",
            password.reveal()
        ));
    }
    all.push_str("UPDATE pg_catalog.pg_subscription SET subenabled = false WHERE subenabled;\n");
    Ok(Sensitive::new(all))
}
