//! Bringing the databases of another MariaDB or MySQL in: as they are at one moment, in one transaction of their maker's own program,
//! which gives them straight to the server that takes the writes. Nothing lies on a disk in between. Where the source shall be
//! followed and can be, its binary log is applied from that moment on (`online`).

mod check;
mod compare;
mod events;
mod follow;
mod online;
mod programs;
mod source;

pub(crate) use check::look;
pub(crate) use programs::{ours, program};

use super::{
    accounts,
    flavour::Flavour,
    group,
    sql::{ANSWER, As, Session, number, text},
    survey,
};
use clusterdeck_domain::{Compared, Migrated, NodeSpec, SourceUrl};
use clusterdeck_driver::{ClusterContext, Migration, Passage, Progress, Result};
use source::Source;
use std::time::{Duration, Instant};

/// From where on the source's log has what the copy does not.
const PLACE: &str = "mysql/migration.place";
/// For one answer: a sum over a large table.
const PATIENT: Duration = Duration::from_secs(3 * 3600);
/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_secs(1);

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// `'one', 'two'`.
fn list(names: &[String]) -> String {
    names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
}

/// Those that come along: the one that is named, or all that are nobody's of the server itself.
async fn databases(source: &mut Source, url: &SourceUrl) -> Result<Vec<String>> {
    if let Some(database) = &url.database {
        return Ok(vec![database.clone()]);
    }
    let rows = source
        .rows(&format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ({}) ORDER BY 1",
            super::count::SYSTEM
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// Those of people that a server of ours has.
pub(crate) async fn of_people(session: &mut Session) -> Result<Vec<String>> {
    let rows = session
        .rows(&format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ({}) ORDER BY 1",
            super::count::SYSTEM
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// The node that takes the writes.
async fn writer(cx: &ClusterContext) -> Result<&NodeSpec> {
    match Flavour::of(&cx.spec.version) {
        Flavour::MariaDb => survey::writer(&survey::all(cx).await),
        Flavour::MySql => group::writer(cx).await,
    }
}

/// Everything as of one moment, into databases that are emptied for it. Gives how many bytes that were.
async fn copied(
    cx: &ClusterContext,
    (source, session, names): (&mut Source, &mut Session, &[String]),
    migration: &Migration,
    (passage, progress): (&Passage, &Progress),
) -> Result<u64> {
    let lead = writer(cx).await?;
    let machine = cx.machine(lead)?;
    follow::note_emptied(session).await?;
    emptied(session, names).await?;
    let size = format!(
        "SELECT COALESCE(SUM(DATA_LENGTH), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})",
        list(names)
    );
    let total = source.number(&size).await?;
    programs::signs_in(cx, machine.as_ref(), &migration.from).await?;
    passage.log(format!("Copying {} of {}", names.join(", "), migration.from.place()));
    let copying = programs::copy(cx, machine.as_ref(), names, migration.online);
    let copied = watched(session, copying, total, (passage, progress)).await;
    programs::forget(cx, lead).await?;
    let bytes = copied?;
    for name in names {
        session
            .run(format!("GRANT ALL PRIVILEGES ON {}.* TO `{}`@`%`", pattern(name), accounts::PEOPLE))
            .await?;
    }
    Ok(bytes)
}

/// See [`clusterdeck_driver::ServiceDriver::bring_in`].
pub(crate) async fn bring_in(
    cx: &ClusterContext,
    migration: &Migration,
    passage: &Passage,
    progress: &Progress,
) -> Result<Migrated> {
    let url = &migration.from;
    let lead = writer(cx).await?;
    let mut session = Session::open(cx, lead, As::Operator, ANSWER).await?.patient(PATIENT);
    let mut source = Source::open(url).await?;
    let names = databases(&mut source, url).await?;
    if migration.online {
        return online::bring_in(cx, migration, (source, session, names), passage, progress).await;
    }
    let (up_to, begun, written) = (jiff::Timestamp::now(), Instant::now(), source.writes().await?);
    let bytes = copied(cx, (&mut source, &mut session, &names), migration, (passage, progress)).await?;
    let gap = begun.elapsed();
    passage.log(format!("Copied in {:.1} s", gap.as_secs_f64()));
    let compared = compare::compare(&mut source, &mut session, &names, (passage, progress)).await?;
    let quiet = source.writes().await? == written;
    let mut report = Migrated {
        items: compared.iter().map(|part| part.target).sum(),
        bytes,
        gap_ms: Some(gap.as_secs_f64() * 1e3),
        up_to: Some(up_to),
        ..Migrated::default()
    };
    let differ: Vec<String> = compared.iter().filter(|part| !part.equal()).map(differs).collect();
    let verdict = if differ.is_empty() { "both sides are the same" } else { "they differ" };
    let line = format!("{} tables were compared by count and checksum: {verdict}", compared.len());
    passage.log(line.clone());
    report.notes.push(line);
    report.compared = compared;
    follow::forget(&mut session).await?;
    if quiet || differ.is_empty() {
        report.differences = differ;
    } else {
        // What was written after the copy began is not in it: nobody can tell that from a fault.
        report.notes.push(format!(
            "The source was written to after {up_to}, so it cannot be told whether it was copied right: {}",
            differ.join("; ")
        ));
    }
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

/// A name in a grant, where `_` and `%` stand for others.
fn pattern(name: &str) -> String {
    quoted(&name.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%"))
}

/// Takes databases away, and sessions of a call that was killed with them.
async fn emptied(session: &mut Session, names: &[String]) -> Result<()> {
    let loading = session
        .rows(&format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{}' AND DB IN ({}) AND ID <> CONNECTION_ID()",
            accounts::OPERATOR,
            list(names)
        ))
        .await?;
    for id in loading.iter().filter_map(|row| number(row, 0)) {
        // It may have ended by now.
        drop(session.run(format!("KILL {id}")).await);
    }
    for name in names {
        session.run(format!("DROP DATABASE IF EXISTS {}", quoted(name))).await?;
        if name == accounts::PEOPLE {
            session.run(format!("CREATE DATABASE {}", quoted(name))).await?;
        }
    }
    Ok(())
}

/// Says how far it is: bytes that the server has received since. Gives how many those were.
async fn watched(
    session: &mut Session,
    copying: impl Future<Output = Result<()>>,
    total: u64,
    (passage, progress): (&Passage, &Progress),
) -> Result<u64> {
    const RECEIVED: &str = "SHOW GLOBAL STATUS LIKE 'Bytes_received'";
    let received =
        |rows: Vec<mysql_async::Row>| rows.first().and_then(|row| number(row, 1)).unwrap_or_default();
    let before = received(session.rows(RECEIVED).await?);
    let (begun, mut logged, mut bytes) = (Instant::now(), Instant::now(), 0);
    tokio::pin!(copying);
    let ended = loop {
        tokio::select! {
            ended = &mut copying => break ended,
            () = tokio::time::sleep(LOOK) => {
                let Ok(rows) = session.rows(RECEIVED).await else { continue };
                bytes = received(rows).saturating_sub(before);
                let rate = bytes as f64 / begun.elapsed().as_secs_f64();
                let left = total.saturating_sub(bytes) as f64 / rate.max(1.0);
                let note = format!(
                    "Copying: {:.1} MB of about {:.1} MB, {:.1} MB/s, about {left:.0} s left",
                    bytes as f64 / 1e6,
                    total as f64 / 1e6,
                    rate / 1e6
                );
                if logged.elapsed() > 10 * LOOK {
                    passage.log(note.clone());
                    logged = Instant::now();
                }
                progress.copied(&note, bytes, total.max(bytes));
            }
        }
    };
    ended?;
    if let Ok(rows) = session.rows(RECEIVED).await {
        bytes = received(rows).saturating_sub(before);
    }
    Ok(bytes)
}

/// See [`clusterdeck_driver::ServiceDriver::take_out`].
pub(crate) async fn take_out(cx: &ClusterContext, migration: &Migration) -> Result<Option<String>> {
    let url = &migration.from;
    let lead = writer(cx).await?;
    programs::forget(cx, lead).await?;
    cx.machine(lead)?.remove(PLACE).await?;
    let mut session = Session::open(cx, lead, As::Operator, ANSWER).await?.patient(PATIENT);
    if !migration.fresh && !follow::was_emptied(&mut session).await? {
        follow::forget(&mut session).await?;
        return Ok(Some("The databases of the cluster were left as they are".to_owned()));
    }
    let names = match (&url.database, Source::open(url).await) {
        (Some(database), _) => vec![database.clone()],
        (None, Ok(mut source)) => databases(&mut source, url).await?,
        (None, Err(_)) => {
            return Ok(Some(
                "What was brought in stays in the cluster: which databases those are could not be found out"
                    .to_owned(),
            ));
        }
    };
    emptied(&mut session, &names).await?;
    for name in names.iter().filter(|name| *name != accounts::PEOPLE) {
        // Nothing was granted yet where it failed before.
        drop(
            session
                .run(format!("REVOKE ALL PRIVILEGES ON {}.* FROM `{}`@`%`", pattern(name), accounts::PEOPLE))
                .await,
        );
    }
    follow::forget(&mut session).await?;
    Ok((!migration.fresh)
        .then(|| "Databases that the cluster had before were replaced and are gone".to_owned()))
}
