//! Bringing a database of another PostgreSQL in: as it is at one moment, by the programs that its makers give for that, several
//! tables at once. Where it shall be followed and can be, that moment is the one at which a slot of its log begins, and a subscription
//! takes what is written from then on (`online`). Else both sides are compared at that moment, which the session that holds it open
//! makes possible.

mod check;
mod compare;
mod follow;
mod online;
mod source;
mod tell;

pub(crate) use check::{holds, look};

use super::{
    config, flavour, form,
    sql::{ANSWER, As, Session},
};
use crate::outside::{self, alive, tls};
use clusterdeck_domain::{Compared, Migrated, SourceTls, SourceUrl};
use clusterdeck_driver::{
    ClusterContext, DriverError, Filter, Machine, Migration, Passage, Progress, Result,
};
use source::Source;
use std::time::{Duration, Instant};
use tell::Lines;

/// Where the dump lies until it is restored, and how its programs sign in. On the machine of the one that leads.
const DUMP: &str = "pg/migration";
const PASS: &str = "pg/migration.pass";
/// Who must have signed the source's certificate, where that was said.
const CA: &str = "pg/migration.ca";
/// Says that what the cluster had is gone.
const EMPTIED: &str = "pg/migration.emptied";
/// Says that the copy is whole and followed, and how many bytes it had: a call after a kill goes on from there.
const FOLLOWED: &str = "pg/migration.followed";
/// For one answer of the cluster: a sum over a large table, a database that is dropped.
const PATIENT: Duration = Duration::from_secs(3 * 3600);
/// Bytes on their way of what programs say.
const PIPE: usize = 64 << 10;
/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_secs(1);

/// What our sessions are called, so that those of a call that was killed are found again.
fn name(cx: &ClusterContext) -> String {
    format!("clusterdeck migration {}", cx.spec.name)
}

/// `"a ""name"""`.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// In which words a database is written, and in which order they are.
struct Words {
    encoding: String,
    collate: String,
    ctype: String,
}

impl Words {
    async fn of(source: &Source) -> Result<Self> {
        let row = source
            .row(
                "SELECT pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text FROM pg_database \
                 WHERE datname = current_database()",
            )
            .await?;
        Ok(Self { encoding: row.get(0), collate: row.get(1), ctype: row.get(2) })
    }
    async fn known_to(&self, target: &Session) -> Result<bool> {
        let plain = |name: &str| ["C", "POSIX", "C.UTF-8", "C.utf8"].contains(&name);
        if plain(&self.collate) && plain(&self.ctype) {
            return Ok(true);
        }
        let same = "SELECT 1 FROM pg_collation WHERE lower(replace(collcollate, '-', '')) = lower(replace($1, '-', '')) LIMIT 1";
        Ok(!target.rows(same, &[&self.collate]).await?.is_empty())
    }
}

/// Takes the database away and makes it anew, empty. Sessions of a call that was killed end with it.
async fn emptied(
    cx: &ClusterContext,
    session: &Session,
    database: &str,
    words: Option<&Words>,
) -> Result<()> {
    session.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(database))).await?;
    let how = match words {
        None => String::new(),
        Some(words) => {
            let (collate, ctype) = match words.known_to(session).await? {
                true => (words.collate.as_str(), words.ctype.as_str()),
                false => ("C", "C"),
            };
            format!(
                " TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
                literal(&words.encoding),
                literal(collate),
                literal(ctype)
            )
        }
    };
    session.run(&format!("CREATE DATABASE {} OWNER {}{how}", quoted(database), config::PEOPLE)).await?;
    if database == config::PEOPLE {
        form::add_to_people(cx).await?;
    }
    Ok(())
}

/// A clean place for it: nothing of a call that was killed runs on, here and there, and the database is empty.
async fn prepare(
    cx: &ClusterContext,
    source: &Source,
    session: &Session,
    database: &str,
    passage: &Passage,
) -> Result<()> {
    let machine = cx.machine(form::leader(cx).await?)?;
    let ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND usename = current_user \
                AND pid <> pg_backend_pid()";
    source.rows(ours, &[&name(cx)]).await?;
    session.rows(ours, &[&name(cx)]).await?;
    for left in [DUMP, FOLLOWED] {
        machine.remove(left).await?;
    }
    follow::unsubscribe(cx, database).await?;
    machine.write(EMPTIED, b"", 0o600).await?;
    emptied(cx, session, database, Some(&Words::of(source).await?)).await?;
    extensions(cx, source, database, passage).await
}

/// What is copied as of which moment.
#[derive(Clone, Copy)]
enum Moment<'a> {
    /// The one that a session of ours holds open.
    Snapshot(&'a str),
    /// The one at which a slot begins, which is made for that.
    Slot(&'a str),
}

/// Copies the database, and says meanwhile how far it is.
async fn copied(
    cx: &ClusterContext,
    (session, url): (&Session, &SourceUrl),
    moment: Moment<'_>,
    total: u64,
    (passage, progress): (&Passage, &Progress),
) -> Result<u64> {
    let machine = cx.machine(form::leader(cx).await?)?;
    write_way_in(cx, machine.as_ref(), url).await?;
    let database = url.database.as_deref().unwrap_or_default();
    let copying = copy(cx, machine.as_ref(), url, moment, (passage, progress));
    let watching = watch(machine.as_ref(), session, database, total, progress);
    tokio::pin!(copying, watching);
    let bytes = tokio::select! {
        copied = copying => copied,
        never = watching => match never {},
    };
    machine.remove(DUMP).await?;
    bytes
}

async fn size(source: &Source) -> Result<u64> {
    let total: i64 = source.row("SELECT pg_database_size(current_database())").await?.get(0);
    Ok(u64::try_from(total).unwrap_or_default())
}

/// See [`clusterdeck_driver::ServiceDriver::bring_in`].
pub(crate) async fn bring_in(
    cx: &ClusterContext,
    migration: &Migration,
    passage: &Passage,
    progress: &Progress,
) -> Result<Migrated> {
    let url = &migration.from;
    let database =
        url.database.clone().ok_or_else(|| DriverError::broken("a migration without a database"))?;
    let source = Source::open(url, &name(cx)).await?;
    if migration.online {
        return online::bring_in(cx, migration, (source, &database), passage, progress).await;
    }
    let lead = form::leader(cx).await?;
    let machine = cx.machine(lead)?;
    let session = Session::open(cx, lead, As::Operator, ANSWER).await?.patient(PATIENT);
    prepare(cx, &source, &session, &database, passage).await?;

    source.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let (up_to, begun) = (jiff::Timestamp::now(), Instant::now());
    let snapshot: String = source.row("SELECT pg_export_snapshot()").await?.get(0);
    let total = size(&source).await?;
    passage.log(format!("Copying {database} of {} as it was at {up_to}", url.place()));
    let copying = copied(cx, (&session, url), Moment::Snapshot(&snapshot), total, (passage, progress));
    let (copied, theirs) = tokio::join!(copying, compare::sums(&source, passage));
    for left in [PASS, CA] {
        machine.remove(left).await?;
    }
    let (bytes, theirs) = (copied?, theirs?);
    source.run("COMMIT").await?;
    let gap = begun.elapsed();
    passage.log(format!("Copied in {:.1} s", gap.as_secs_f64()));

    progress.note("gathering statistics");
    let inside = Session::inside(cx, lead, &database, ANSWER).await?.patient(PATIENT);
    let analysing = inside.run("ANALYZE");
    alive(progress, compare::BOTH, analysing).await?;
    compare::same_words(&inside).await?;
    let ours = alive(progress, compare::BOTH, compare::sums_here(&inside, theirs)).await?;
    let mut report = Migrated {
        items: ours.iter().map(|part| part.target).sum(),
        bytes,
        gap_ms: Some(gap.as_secs_f64() * 1e3),
        up_to: Some(up_to),
        ..Migrated::default()
    };
    report.differences = ours.iter().filter(|part| !part.equal()).map(differs).collect();
    let verdict = if report.differences.is_empty() { "both sides are the same" } else { "they differ" };
    let line = format!(
        "{} tables were compared by count and checksum, as they were at {up_to}: {verdict}",
        ours.len()
    );
    passage.log(line.clone());
    report.notes.push(line);
    report.compared = ours;
    machine.remove(EMPTIED).await?;
    Ok(report)
}

fn differs(part: &Compared) -> String {
    match part.source == part.target {
        true => format!("{} holds other values", part.of),
        false => {
            format!("{} has {} rows at the source and {} in the cluster", part.of, part.source, part.target)
        }
    }
}

/// What people may not make in a database, they find there.
async fn extensions(cx: &ClusterContext, source: &Source, database: &str, passage: &Passage) -> Result<()> {
    let rows = source
        .rows(
            "SELECT e.extname::text, n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
             WHERE e.extname <> 'plpgsql' ORDER BY e.oid",
            &[],
        )
        .await?;
    let inside = Session::inside(cx, form::leader(cx).await?, database, ANSWER).await?.patient(PATIENT);
    for row in rows {
        let (name, schema): (String, String) = (row.get(0), row.get(1));
        if schema != "pg_catalog" {
            inside
                .run(&format!(
                    "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}",
                    quoted(&schema),
                    config::PEOPLE
                ))
                .await?;
        }
        inside
            .run(&format!(
                "CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} CASCADE",
                quoted(&name),
                quoted(&schema)
            ))
            .await?;
        passage.log(format!("The extension {name} is there"));
    }
    Ok(())
}

/// A word in a file of passwords.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

/// A file with our own password on this machine, as the programs read it.
pub(crate) fn own_password(cx: &ClusterContext, machine: &dyn Machine) -> Result<String> {
    let own = cx.secrets.newest(config::OPERATOR)?;
    Ok(format!(
        "{}:{}:*:{}:{}\n",
        plain(&machine.address().to_string()),
        machine.port(config::PORT),
        config::OPERATOR,
        plain(own.reveal())
    ))
}

/// The same with that of the source.
fn passwords(cx: &ClusterContext, machine: &dyn Machine, url: &SourceUrl) -> Result<String> {
    let mut text = own_password(cx, machine)?;
    if let Some(password) = &url.password {
        let user = url.user.as_deref().unwrap_or("postgres");
        // First: a user of ours may have the same name there.
        text = format!(
            "{}:{}:*:{}:{}\n{text}",
            plain(&url.host),
            url.port(),
            plain(user),
            plain(password.reveal())
        );
    }
    Ok(text)
}

/// What programs on a machine need to come into the source.
async fn write_way_in(cx: &ClusterContext, machine: &dyn Machine, url: &SourceUrl) -> Result<()> {
    if let Some(authorities) = tls::file(url)? {
        machine.write(CA, authorities.as_bytes(), 0o600).await?;
    }
    machine.write(PASS, passwords(cx, machine, url)?.as_bytes(), 0o600).await
}

/// The file with those who may have signed the source's certificate. Where none is named, one in the home of a user counts, and
/// `require` verifies by any that is there: nobody is meant to vouch then.
async fn roots(machine: &dyn Machine, url: &SourceUrl) -> Result<String> {
    match (url.tls, &url.ca) {
        (SourceTls::Verify, Some(_)) => Ok(machine.path(CA).to_string_lossy().into_owned()),
        (SourceTls::Verify, None) => outside::roots(machine).await,
        _ => Ok("/dev/null/none".to_owned()),
    }
}

const fn way(tls: SourceTls) -> &'static str {
    match tls {
        SourceTls::Off => "disable",
        SourceTls::Encrypt => "require",
        SourceTls::Verify => "verify-full",
    }
}

/// `$1` folder of the programs, `$2` the dump, `$3` the passwords, `$4` how many at once, `$5` the snapshot; the source: `$6` host, `$7`
/// port, `$8` user, `$9` way; `${10}` the database; here: `${11}` host, `${12}` port, `${13}` user, `${14}` who owns it, `${15}` our name;
/// `${16}` the slot that is made, whose beginning is then the snapshot. That one is held by the session that made it, which ends with
/// whatever ends this script. Making a slot waits for transactions that are open at the source. `${17}` the file of those who are trusted.
const COPY: &str = r#"
umask 077
export PGPASSFILE="$3" PGAPPNAME="${15}" PGSSLROOTCERT="${17}" PGCONNECT_TIMEOUT=10 LC_ALL=C
chmod 600 "$3"; rm -rf "$2"
snapshot=$5
if [ -n "${16}" ]; then
  rm -f "$2.ask" "$2.slot"; mkfifo "$2.ask" || exit 1
  PGHOST="$6" PGPORT="$7" PGUSER="$8" PGSSLMODE="$9" PGDATABASE="${10}" \
    "$1/psql" -X -q -t -A -d replication=database <"$2.ask" >"$2.slot" 2>&1 &
  asked=$!
  exec 3>"$2.ask"
  echo "CREATE_REPLICATION_SLOT ${16} LOGICAL pgoutput EXPORT_SNAPSHOT;" >&3
  waited=0
  until [ -s "$2.slot" ]; do
    waited=$((waited + 1))
    kill -0 "$asked" 2>/dev/null || break
    [ "$waited" -gt 1200 ] && { echo "error: a transaction at the source has been open for 120 s, which holds the slot up"; exit 1; }
    sleep 0.1
  done
  snapshot=$(cut -s -d '|' -f 3 "$2.slot")
  [ -n "$snapshot" ] || { echo "error: no slot could be made: $(cat "$2.slot")"; exit 1; }
  echo "clusterdeck: slot from $(cut -d '|' -f 2 "$2.slot")"
fi
PGHOST="$6" PGPORT="$7" PGUSER="$8" PGSSLMODE="$9" PGDATABASE="${10}" "$1/pg_dump" -v -Fd -Z1 -j "$4" --snapshot="$snapshot" \
  --no-owner --no-privileges --no-publications --no-subscriptions --no-tablespaces -f "$2" 2>&1 || exit 1
exec 3>&-
echo "clusterdeck: dumped $(du -sk "$2" | cut -f1)"
"$1/pg_restore" -l "$2" > "$2.all" 2>&1 || { cat "$2.all"; exit 1; }
grep -v -E '^[0-9]+; [0-9]+ [0-9]+ (COMMENT - )?EXTENSION ' "$2.all" > "$2.list"
export PGSSLROOTCERT=/dev/null/none
PGHOST="${11}" PGPORT="${12}" PGUSER="${13}" PGSSLMODE=require "$1/pg_restore" -v -j "$4" --exit-on-error --no-owner --no-privileges \
  --no-tablespaces --role="${14}" -L "$2.list" -d "${10}" "$2" 2>&1 || exit 1
rm -rf "$2" "$2.all" "$2.list" "$2.ask" "$2.slot"
"#;

/// Dumps and restores; says how many bytes travelled.
async fn copy(
    cx: &ClusterContext,
    machine: &dyn Machine,
    url: &SourceUrl,
    moment: Moment<'_>,
    (passage, progress): (&Passage, &Progress),
) -> Result<u64> {
    let folder = flavour::software(cx, machine).await?.folder.to_string_lossy().into_owned();
    let path = |name: &str| machine.path(name).to_string_lossy().into_owned();
    let jobs = machine.plan().cpus.clamp(2, 8).to_string();
    let database = url.database.clone().unwrap_or_default();
    let (snapshot, slot) = match moment {
        Moment::Snapshot(snapshot) => (snapshot, ""),
        Moment::Slot(slot) => ("", slot),
    };
    let args: [String; 17] = [
        folder,
        path(DUMP),
        path(PASS),
        jobs,
        snapshot.to_owned(),
        url.host.clone(),
        url.port().to_string(),
        url.user.clone().unwrap_or_else(|| "postgres".to_owned()),
        way(url.tls).to_owned(),
        database,
        machine.address().to_string(),
        machine.port(config::PORT).to_string(),
        config::OPERATOR.to_owned(),
        config::PEOPLE.to_owned(),
        name(cx),
        slot.to_owned(),
        roots(machine, url).await?,
    ];
    let (mut says, hears) = tokio::io::duplex(PIPE);
    let filter = Filter::script(COPY, args);
    let copying = async move {
        // With it goes the pipe, which is how the other end knows.
        machine.output_of(&filter, &mut says).await
    };
    let (ended, told) = tokio::join!(copying, Lines::new(passage, progress).listen(hears));
    match ended {
        Ok(_) => Ok(told.dumped_bytes),
        Err(DriverError::Rejected { .. }) => {
            let why = told.error.unwrap_or_else(|| "it does not say why".to_owned());
            // The other side may have gone for a moment: it is begun anew.
            let passes = [
                "could not connect",
                "server closed the connection",
                "terminating connection",
                "Connection refused",
            ];
            if passes.iter().any(|words| why.contains(words)) {
                return Err(DriverError::transient(format!("copying was interrupted: {why}")));
            }
            Err(DriverError::rejected(
                format!("the data could not be copied: {why}"),
                "The log of the migration says more.",
            ))
        }
        Err(other) => Err(other),
    }
}

enum Never {}

/// Says how far it is, by what lies there.
async fn watch(
    machine: &dyn Machine,
    session: &Session,
    database: &str,
    total: u64,
    progress: &Progress,
) -> Never {
    let (begun, mut most) = (Instant::now(), 0_u64);
    loop {
        tokio::time::sleep(LOOK).await;
        let dumped = machine.disk_bytes(DUMP).await.unwrap_or_default();
        let size = session.rows("SELECT pg_database_size($1::text::name)", &[&database]).await;
        let restored = size.ok().and_then(|rows| Some(rows.first()?.get::<_, i64>(0)));
        let restored = restored.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
        // An index that is made moves nothing for long: that somebody works on it is progress too.
        let works = "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Lock' \
                     AND pid <> pg_backend_pid() LIMIT 1";
        let busy = session.rows(works, &[&database]).await.is_ok_and(|rows| !rows.is_empty());
        most = (dumped + restored).max(most + u64::from(busy));
        let rate = most as f64 / begun.elapsed().as_secs_f64() / 1e6;
        let note = format!(
            "Copying: {:.1} MB dumped, {:.1} MB of {:.1} MB restored, {rate:.1} MB/s",
            dumped as f64 / 1e6,
            restored as f64 / 1e6,
            total as f64 / 1e6
        );
        progress.copied(&note, most, total.max(most));
    }
}

/// See [`clusterdeck_driver::ServiceDriver::take_out`].
pub(crate) async fn take_out(cx: &ClusterContext, migration: &Migration) -> Result<Option<String>> {
    let Some(database) = &migration.from.database else { return Ok(None) };
    let lead = form::leader(cx).await?;
    let machine = cx.machine(lead)?;
    follow::unsubscribe(cx, database).await?;
    let stays = if migration.online { follow::clean_or_tell(cx, migration).await } else { None };
    for left in [
        DUMP,
        "pg/migration.all",
        "pg/migration.list",
        "pg/migration.ask",
        "pg/migration.slot",
        PASS,
        CA,
        FOLLOWED,
    ] {
        machine.remove(left).await?;
    }
    let mut notes: Vec<String> = stays.into_iter().collect();
    if !migration.fresh && !machine.exists(EMPTIED).await? {
        // It did not come so far, or another node leads by now.
        notes.push(format!("The database {database} of the cluster was left as it is"));
        return Ok(Some(notes.join(". ")));
    }
    let session = Session::open(cx, lead, As::Operator, ANSWER).await?.patient(PATIENT);
    if database == config::PEOPLE {
        emptied(cx, &session, database, None).await?;
    } else {
        session.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(database))).await?;
    }
    machine.remove(EMPTIED).await?;
    if !migration.fresh {
        notes.push(format!("The database {database} that the cluster had before was replaced and is gone"));
    }
    Ok((!notes.is_empty()).then(|| notes.join(". ")))
}
