//! What is looked at before databases are brought in: each thing with its result, and nothing is changed.

use super::{
    databases, follow, programs,
    source::{Source, line},
};
use crate::mysql::{
    flavour::Flavour,
    group,
    sql::{ANSWER, As, Session, number, text},
};
use crate::outside;
use clusterdeck_domain::{
    Check, CheckState,
    CheckState::{Failed, Passed, Warning},
    Scheme, SourceReport, Topology,
};
use clusterdeck_driver::{ClusterContext, Migration, Result};

const TITLES: [(&str, &str); 15] = [
    ("reachable", "The source answers"),
    ("certificate", "It is who it says"),
    ("credentials", "It lets us in"),
    ("database", "It has the database"),
    ("version", "The cluster understands it"),
    ("tools", "The programs that copy are there"),
    ("extensions", "The cluster has its storage engines"),
    ("character-sets", "The cluster knows its character sets"),
    ("group-tables", "A group takes its tables"),
    ("follow-log", "Its log tells what changes"),
    ("follow-rights", "We may follow it"),
    ("follow-tables", "All of it can be followed"),
    ("follow-target", "The cluster can follow it"),
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
    if url.scheme != Scheme::Mysql {
        let text = format!("A {} server cannot be brought into this cluster.", url.scheme.id());
        report
            .checks
            .push(check("reachable", Failed, text).hint("Give an address that begins with mysql://."));
        return Ok(skip_the_rest(report));
    }
    if outside::is_ours(cx, url).await {
        let text = "That address leads to the cluster itself.";
        report.checks.push(check("reachable", Failed, text).hint("Give the address of another server."));
        return Ok(skip_the_rest(report));
    }
    let mut source = match Source::open(url).await {
        Ok(source) => source,
        Err(refused) => {
            const USERS: &str =
                "Give the user and the password that it knows, and let that user come from here.";
            report.checks.extend(outside::kept_out(&TITLES, url, refused, USERS));
            return Ok(skip_the_rest(report));
        }
    };
    report.checks.extend(outside::let_in(&TITLES, url));
    let names = databases(&mut source, url).await?;
    if names.is_empty() {
        report.checks.push(check("database", Failed, "The user sees no database there."));
        return Ok(skip_the_rest(report));
    }
    report.checks.push(check("database", Passed, format!("{} come along.", names.join(", "))));
    report.checks.push(version(cx, &source, &mut report.server));
    report.checks.push(tools(cx).await?);
    let lead = super::writer(cx).await?;
    let mut target = Session::open(cx, lead, As::Operator, ANSWER).await?;
    let listed = super::list(&names);
    // By whatever way it is reached.
    let which = "SELECT CONCAT_WS(' ', @@hostname, @@datadir, @@server_id, @@port)";
    if source.word(which).await? == target.word(which).await? {
        let text = "What answers there is the cluster itself.";
        report.checks.push(check("names", Failed, text).hint("Give the address of another server."));
        return Ok(skip_the_rest(report));
    }
    report.checks.push(engines(&mut source, &mut target, &listed).await?);
    report.checks.push(characters(&mut source, &mut target, &listed).await?);
    if Flavour::of(&cx.spec.version) == Flavour::MySql {
        report.checks.push(group_tables(cx, &mut source, &listed).await?);
    }
    changes(cx, migration, (&mut source, &names), &mut report).await?;
    let size = format!(
        "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({listed})"
    );
    report.bytes = Some(source.number(&size).await?);
    let there = target
        .rows(&format!(
            "SELECT d, COUNT(*) FROM (SELECT TABLE_SCHEMA AS d FROM information_schema.TABLES WHERE TABLE_NAME <> 'clusterdeck_probe' \
             UNION ALL SELECT ROUTINE_SCHEMA FROM information_schema.ROUTINES \
             UNION ALL SELECT EVENT_SCHEMA FROM information_schema.EVENTS) o WHERE d IN ({listed}) GROUP BY d"
        ))
        .await?;
    names_clash(&there, migration, &mut report);
    let (dump, _) = programs::named(Flavour::of(&cx.spec.version));
    report.how.push(format!(
        "Its databases are copied as they are at one moment, in one transaction of {dump}, with routines, triggers and events."
    ));
    if report.online && source.maker == Flavour::MySql {
        report.how.push(
            "Writes there wait for a moment when the copy begins (FLUSH TABLES WITH READ LOCK), longer where a long query runs."
                .to_owned(),
        );
    }
    if report.online {
        report.how.push(
            "From that moment on its binary log is applied, row by row, as writes of the cluster's own."
                .to_owned(),
        );
        report
            .how
            .push("Tables that are made or changed there meanwhile (DDL) end the migration.".to_owned());
    }
    report.how.push("Views, routines and triggers run as the user of the cluster; users and grants of the source stay there.".to_owned());
    Ok(report)
}

/// Whether it is followed, or what is written meanwhile stays behind and why.
async fn changes(
    cx: &ClusterContext,
    migration: &Migration,
    (source, names): (&mut Source, &[String]),
    report: &mut SourceReport,
) -> Result<()> {
    const BEHIND: &str = "what is written to it after the copy began does not come along.";
    const STILL: &str = "Let nobody write to it until the migration has ended.";
    if !migration.follow {
        let text = format!("It is copied by a dump and not followed: {BEHIND}");
        report.checks.push(check("changes", Warning, text).hint(STILL));
        return Ok(());
    }
    let conditions = follow::conditions(cx, source, names).await?;
    let against: Vec<String> =
        conditions.iter().filter(|c| c.state != Passed).map(|c| c.title.to_lowercase()).collect();
    report.online = against.is_empty();
    report.checks.extend(conditions);
    report.checks.push(if report.online {
        check("changes", Passed, "It is followed online, by its binary log, until you cut over.")
    } else {
        let text = format!(
            "It cannot be followed and is copied by a dump, since this does not hold: {}. So {BEHIND}",
            against.join("; ")
        );
        check("changes", Warning, text).hint(STILL)
    });
    Ok(())
}

fn names_clash(there: &[mysql_async::Row], migration: &Migration, report: &mut SourceReport) {
    report.target_is_empty = there.is_empty();
    report.clashes = !there.is_empty();
    let told: Vec<String> = there
        .iter()
        .filter_map(|row| Some(format!("{} with {} tables and routines", text(row, 0)?, number(row, 1)?)))
        .collect();
    let told = told.join(", ");
    report.checks.push(match (there.is_empty(), migration.replace) {
        (true, _) => check("names", Passed, "The cluster has nothing in databases of these names."),
        (false, true) => {
            check("names", Warning, format!("What the cluster has is dropped and replaced: {told}."))
        }
        (false, false) => {
            check("names", Failed, format!("The cluster has databases of the same name: {told}."))
                .hint("Choose another cluster, or have them replaced (`--replace`).")
        }
    });
}

fn version(cx: &ClusterContext, source: &Source, told: &mut Option<String>) -> Check {
    let ours = Flavour::of(&cx.spec.version);
    let from = format!("{} {}", source.maker.name(), source.version);
    *told = Some(from.clone());
    if source.maker != ours {
        let to = format!("{} {}", ours.name(), cx.spec.version);
        let text = format!("From {from} to {to}: what only the one knows makes it fail.");
        return check("version", Warning, text).hint("It is told by name, and nothing stays behind.");
    }
    if line(&source.version) <= line(&cx.spec.version) {
        return check("version", Passed, format!("From {from} to {}.", cx.spec.version));
    }
    check("version", Failed, format!("The source is {from}, newer than the cluster's {}.", cx.spec.version))
        .hint("Make a cluster of a version that is at least as new as the source.")
}

async fn tools(cx: &ClusterContext) -> Result<Check> {
    let machine = cx.machine(super::writer(cx).await?)?;
    let maker = Flavour::of(&cx.spec.version);
    let (dump, load) = programs::named(maker);
    let package = if maker == Flavour::MySql { "mysql-client" } else { "mariadb-client" };
    Ok(match programs::both(machine.as_ref(), maker).await {
        Ok(_) => check("tools", Passed, format!("{dump} and {load} are there.")),
        Err(e) => check("tools", Failed, format!("{e}."))
            .hint(format!("Install the client programs of {} (package {package}).", maker.name())),
    })
}

/// A group refuses writes to some tables: they would stop the copy in its middle. A single node takes them, and does not grow.
async fn group_tables(cx: &ClusterContext, source: &mut Source, listed: &str) -> Result<Check> {
    let mut found = Vec::new();
    let mut remedies = Vec::new();
    let all_write = (cx.spec.topology == Topology::MultiMaster).then_some(&group::REFUSED_WHERE_ALL_WRITE);
    for refused in group::REFUSED.iter().chain(all_write) {
        let [count, names] = refused.asked(listed);
        let count = source.number(&count).await?;
        let names: Vec<String> = source.rows(&names).await?.iter().filter_map(|row| text(row, 0)).collect();
        if let Some(names) = group::listed(count, &names) {
            found.push(format!("{}: {names}.", refused.text));
            remedies.push(format!("{} at the source first.", refused.remedy));
        }
    }
    let (found, remedies) = (found.join(" "), remedies.join(" "));
    Ok(match (found.is_empty(), cx.spec.topology) {
        (true, _) => check("group-tables", Passed, "A group takes writes to all of them."),
        (false, Topology::Single) => check("group-tables", Warning, found)
            .hint(format!("This cluster takes them, but cannot grow into a group with them. {remedies}")),
        (false, _) => check("group-tables", Failed, found).hint(remedies),
    })
}

async fn engines(source: &mut Source, target: &mut Session, listed: &str) -> Result<Check> {
    let used = source
        .rows(&format!("SELECT DISTINCT ENGINE FROM information_schema.TABLES WHERE ENGINE IS NOT NULL AND TABLE_SCHEMA IN ({listed})"))
        .await?;
    let known = target
        .rows("SELECT ENGINE FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')")
        .await?;
    let lower = |row: &mysql_async::Row| text(row, 0).unwrap_or_default().to_lowercase();
    let known: Vec<String> = known.iter().map(lower).collect();
    let missing: Vec<String> = used.iter().map(lower).filter(|name| !known.contains(name)).collect();
    let kept = used.iter().map(lower).any(|name| name != "innodb");
    Ok(match (missing.as_slice(), kept) {
        ([], false) => check("extensions", Passed, "All its tables are of InnoDB."),
        ([], true) => check(
            "extensions",
            Warning,
            "Some of its tables are not of InnoDB: they are not copied at one moment with the others.",
        )
        .hint("Let nobody write to those meanwhile."),
        (some, _) => check("extensions", Failed, format!("The cluster does not have {}.", some.join(", ")))
            .hint("Change those tables to InnoDB at the source first."),
    })
}

async fn characters(source: &mut Source, target: &mut Session, listed: &str) -> Result<Check> {
    let used = source
        .rows(&format!(
            "SELECT DISTINCT COLLATION_NAME FROM information_schema.COLUMNS WHERE COLLATION_NAME IS NOT NULL AND TABLE_SCHEMA IN ({listed}) \
             UNION SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ({listed})"
        ))
        .await?;
    let used: Vec<String> = used.iter().filter_map(|row| text(row, 0)).collect();
    let known = target.rows("SHOW COLLATION").await?;
    let known: Vec<String> = known.iter().filter_map(|row| text(row, 0)).collect();
    let missing: Vec<&str> = used.iter().filter(|name| !known.contains(name)).map(String::as_str).collect();
    Ok(match missing.as_slice() {
        [] => check("character-sets", Passed, format!("It uses {}.", used.join(", "))),
        some => check("character-sets", Failed, format!("The cluster does not know {}.", some.join(", ")))
            .hint("Change those to utf8mb4_unicode_ci at the source first."),
    })
}
