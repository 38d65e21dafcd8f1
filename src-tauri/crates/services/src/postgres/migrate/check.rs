//! What is looked at before a database is brought in: each thing with its result, and nothing is changed.

use super::{follow, source::Source};
use crate::outside;
use crate::postgres::{
    flavour, form,
    sql::{ANSWER, As, Session},
};
use clusterdeck_domain::{
    Check, CheckState,
    CheckState::{Failed, Passed, Warning},
    NodeSpec, Scheme, SourceReport,
};
use clusterdeck_driver::{ClusterContext, Filter, Migration, Result};

const TITLES: [(&str, &str); 16] = [
    ("reachable", "The source answers"),
    ("certificate", "It is who it says"),
    ("credentials", "It lets us in"),
    ("database", "It has the database"),
    ("rights", "We may read everything"),
    ("version", "The cluster is at least as new"),
    ("tools", "The programs that copy are there"),
    ("extensions", "The cluster has its extensions"),
    ("character-sets", "The cluster knows its character set"),
    ("follow-log", "Its log tells what changes"),
    ("follow-room", "There is room for one that follows"),
    ("follow-rights", "We may follow it"),
    ("follow-tables", "Its rows can be told apart"),
    ("follow-contents", "All of it can be followed"),
    ("changes", "Clients may write to it meanwhile"),
    ("names", "Nothing is mixed"),
];

pub(super) fn check(id: &str, state: CheckState, text: impl Into<String>) -> Check {
    outside::check(&TITLES, id, state, text)
}

/// See [`clusterdeck_driver::ServiceDriver::look_at_source`].
pub(crate) async fn look(cx: &ClusterContext, migration: &Migration) -> Result<SourceReport> {
    let mut report = SourceReport::default();
    let url = &migration.from;
    let skip_the_rest = |report| outside::skip_the_rest(&TITLES, url, report);
    if url.scheme != Scheme::Postgres {
        let text = format!("A {} server cannot be brought into this cluster.", url.scheme.id());
        report
            .checks
            .push(check("reachable", Failed, text).hint("Give an address that begins with postgres://."));
        return Ok(skip_the_rest(report));
    }
    let Some(database) = &url.database else {
        let text = "The address names no database.";
        report.checks.push(
            check("database", Failed, text).hint("Give it behind the host: postgres://user@host/database."),
        );
        return Ok(skip_the_rest(report));
    };
    if outside::is_ours(cx, url).await {
        let text = "That address leads to the cluster itself.";
        report.checks.push(check("reachable", Failed, text).hint("Give the address of another server."));
        return Ok(skip_the_rest(report));
    }
    let source = match Source::open(url, &super::name(cx)).await {
        Ok(source) => source,
        Err(refused) => {
            const USERS: &str = "Give the user and the password that it knows.";
            report.checks.extend(outside::kept_out(&TITLES, url, refused, USERS));
            return Ok(skip_the_rest(report));
        }
    };
    report.checks.extend(outside::let_in(&TITLES, url));
    report.checks.push(check("database", Passed, format!("It has {database}.")));
    report.checks.push(rights(&source).await?);
    version(cx, &source, &mut report).await?;
    report.checks.push(tools(cx).await?);
    let lead = form::leader(cx).await?;
    let target = Session::open(cx, lead, As::Operator, ANSWER).await?;
    // By whatever way it is reached.
    let which = "SELECT system_identifier FROM pg_control_system()";
    if source.row(which).await?.get::<_, i64>(0) == target.row(which, &[]).await?.get::<_, i64>(0) {
        let text = "What answers there is the cluster itself, or a copy of its data folder.";
        report.checks.push(check("names", Failed, text).hint("Give the address of another server."));
        return Ok(skip_the_rest(report));
    }
    report.checks.push(extensions(&source, &target).await?);
    report.checks.push(characters(&source, &target).await?);
    changes(cx, migration, &source, &mut report).await?;
    let row = source.row("SELECT pg_database_size(current_database())").await?;
    report.bytes = u64::try_from(row.get::<_, i64>(0)).ok();
    names(cx, migration, database, &target, &mut report).await?;
    report.how.push(format!(
        "The database {database} is copied as it is at one moment, by pg_dump and pg_restore of the cluster's version, several tables at \
         once."
    ));
    if report.online {
        report.how.push("From that moment on a subscription takes what is written there; sequences come when you cut over.".to_owned());
    }
    report.how.push("What it holds belongs to the user of the cluster; roles, passwords and grants of the source stay there.".to_owned());
    Ok(report)
}

/// Whether it is followed, or what is written meanwhile stays behind and why.
async fn changes(
    cx: &ClusterContext,
    migration: &Migration,
    source: &Source,
    report: &mut SourceReport,
) -> Result<()> {
    const BEHIND: &str = "what is written to it after the copy began does not come along.";
    const STILL: &str = "Let nobody write to it until the migration has ended.";
    if !migration.follow {
        report.checks.push(
            check("changes", Warning, format!("It is copied by a dump and not followed: {BEHIND}"))
                .hint(STILL),
        );
        return Ok(());
    }
    let ours = follow::called(cx);
    let conditions = follow::conditions(source, &ours).await?;
    let against: Vec<String> =
        conditions.iter().filter(|c| c.state != Passed).map(|c| c.title.to_lowercase()).collect();
    report.online = against.is_empty();
    report.checks.extend(conditions);
    report.checks.push(if report.online {
        report.makes = Some(follow::makes(&ours));
        check("changes", Passed, "It is followed online, by logical replication, until you cut over.")
    } else {
        let text = format!(
            "It cannot be followed and is copied by a dump, since this does not hold: {}. So {BEHIND}",
            against.join("; ")
        );
        check("changes", Warning, text).hint(STILL)
    });
    Ok(())
}

async fn rights(source: &Source) -> Result<Check> {
    let rows = source
        .rows(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'm', 'S') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' \
             AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) ORDER BY 1 LIMIT 5",
            &[],
        )
        .await?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(match names.as_slice() {
        [] => check("rights", Passed, "All tables and sequences can be read."),
        some => check("rights", Failed, format!("The user may not read {}.", some.join(", ")))
            .hint("Use its owner, or a member of pg_read_all_data."),
    })
}

async fn version(cx: &ClusterContext, source: &Source, report: &mut SourceReport) -> Result<()> {
    let row = source
        .row("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
        .await?;
    let (number, text): (i32, String) = (row.get(0), row.get(1));
    let short = text.split(' ').next().unwrap_or_default().to_owned();
    report.server = Some(format!("PostgreSQL {short}"));
    let lead = form::leader(cx).await?;
    let row = Session::open(cx, lead, As::Operator, ANSWER).await?;
    let row = row.row("SELECT current_setting('server_version_num')::int", &[]).await?;
    let ours: i32 = row.get(0);
    report.checks.push(if number / 10_000 <= ours / 10_000 {
        check("version", Passed, format!("From PostgreSQL {short} to {}.", ours / 10_000))
    } else {
        let text = format!("The source is PostgreSQL {short}, the cluster {}: an older server does not take what a newer one gives.", ours / 10_000);
        check("version", Failed, text).hint("Make a cluster of a version that is at least as new as the source.")
    });
    Ok(())
}

async fn tools(cx: &ClusterContext) -> Result<Check> {
    let machine = cx.machine(form::leader(cx).await?)?;
    let folder = flavour::software(cx, machine.as_ref()).await?.folder;
    for program in ["pg_dump", "pg_restore", "psql"] {
        let path = folder.join(program);
        let asked = machine.output_of(&Filter::new(&path, ["--version"]), &mut tokio::io::sink()).await;
        if asked.is_err() {
            let text = format!("{} cannot be run.", path.display());
            return Ok(check("tools", Failed, text)
                .hint("Install the client programs of this version of PostgreSQL."));
        }
    }
    Ok(check("tools", Passed, "pg_dump and pg_restore of the cluster's version are there."))
}

async fn extensions(source: &Source, target: &Session) -> Result<Check> {
    let rows = source
        .rows("SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1", &[])
        .await?;
    let theirs: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if theirs.iter().any(|name| name == "timescaledb") {
        let text = "Its database has TimescaleDB, whose tables cannot be copied like this.";
        return Ok(check("extensions", Failed, text).hint("Follow TimescaleDB's own guide of a migration."));
    }
    let rows = target
        .rows("SELECT name::text FROM pg_available_extensions WHERE name = ANY($1)", &[&theirs])
        .await?;
    let ours: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let missing: Vec<&str> = theirs.iter().filter(|name| !ours.contains(name)).map(String::as_str).collect();
    Ok(match (missing.as_slice(), theirs.as_slice()) {
        ([], []) => check("extensions", Passed, "It has none."),
        ([], some) => check("extensions", Passed, format!("The cluster has {}.", some.join(", "))),
        (some, _) => check("extensions", Failed, format!("The cluster does not have {}.", some.join(", ")))
            .hint("Install those on its machines, or drop them at the source."),
    })
}

/// Whether the order of texts exists where the cluster is.
async fn characters(source: &Source, target: &Session) -> Result<Check> {
    let place = super::Words::of(source).await?;
    let known = place.known_to(target).await?;
    Ok(if known {
        check("character-sets", Passed, format!("{}, sorted as {}.", place.encoding, place.collate))
    } else {
        check(
            "character-sets",
            Warning,
            format!(
                "The machines of the cluster do not know the order {}: texts are sorted by their bytes.",
                place.collate
            ),
        )
        .hint("Install that locale on the machines first, if the order matters.")
    })
}

/// Tables, views, sequences, functions and types of people's.
const HOLDS: &str = "SELECT count(*) FROM (\
    SELECT 'pg_class'::regclass AS of, oid, relnamespace AS lies FROM pg_class WHERE relpersistence <> 't' UNION ALL \
    SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc UNION ALL \
    SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type WHERE typtype IN ('e', 'd')) o \
    JOIN pg_namespace n ON n.oid = o.lies WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' \
        AND (d.classid, d.objid) IN ((o.of, o.oid), ('pg_namespace'::regclass, n.oid)))";

/// How many objects of people's a database of a node has.
pub(crate) async fn holds(cx: &ClusterContext, node: &NodeSpec, database: &str) -> Result<i64> {
    let inside = Session::read(cx, node, database, ANSWER).await?;
    Ok(inside.row(HOLDS, &[]).await?.get(0))
}

async fn names(
    cx: &ClusterContext,
    migration: &Migration,
    database: &str,
    target: &Session,
    report: &mut SourceReport,
) -> Result<()> {
    if ["postgres", "template0", "template1"].contains(&database) {
        let text = format!("The database {database} belongs to the cluster itself.");
        report.checks.push(
            check("names", Failed, text)
                .hint("Rename it at the source, or copy it to one of another name there."),
        );
        return Ok(());
    }
    let there = !target.rows("SELECT 1 FROM pg_database WHERE datname = $1", &[&database]).await?.is_empty();
    let mut holds = 0_i64;
    if there {
        holds = self::holds(cx, form::leader(cx).await?, database).await?;
    }
    report.target_is_empty = holds == 0;
    report.clashes = holds > 0;
    report.checks.push(match (holds, migration.replace) {
        (0, _) => check("names", Passed, format!("The cluster has nothing in {database}.")),
        (n, true) => check("names", Warning, format!("The database {database} of the cluster, with {n} tables and other objects, is dropped and replaced.")),
        (n, false) => check("names", Failed, format!("The cluster has a database {database} already, with {n} tables and other objects in it."))
            .hint("Choose another cluster, or have it replaced (`--replace`)."),
    });
    Ok(())
}
