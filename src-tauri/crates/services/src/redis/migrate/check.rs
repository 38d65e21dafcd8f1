//! What is looked at before data is brought in: each thing with its result, and nothing is changed.

use super::{
    source::{Server, Source, version},
    target::Target,
};
use crate::{
    outside,
    redis::{flavour::Flavour, info::Info, session::command},
};
use clusterdeck_domain::{
    Check,
    CheckState::{Failed, Passed, Warning},
    Scheme, SourceReport, Topology,
};
use clusterdeck_driver::{ClusterContext, Migration, Result};
use redis::Value;

/// Keys of the source of which we look whether the cluster has them too.
const COMPARED: usize = 20_000;
/// What a user must be able to do. Each is tried on nothing.
const RIGHTS: [&str; 4] =
    ["SCAN 0 COUNT 1", "DUMP clusterdeck:none", "PTTL clusterdeck:none", "EXISTS clusterdeck:none"];

const TITLES: [(&str, &str); 9] = [
    ("reachable", "The source answers"),
    ("certificate", "It is who it says"),
    ("credentials", "It lets us in"),
    ("rights", "We may read everything"),
    ("version", "The cluster understands its values"),
    ("extensions", "The cluster has its modules"),
    ("databases", "The cluster has its databases"),
    ("changes", "It tells what is written meanwhile"),
    ("names", "Nothing is mixed"),
];

pub(super) fn check(id: &str, state: clusterdeck_domain::CheckState, text: impl Into<String>) -> Check {
    outside::check(&TITLES, id, state, text)
}

/// See [`clusterdeck_driver::ServiceDriver::look_at_source`].
pub(crate) async fn look(cx: &ClusterContext, migration: &Migration) -> Result<SourceReport> {
    let mut report = SourceReport::default();
    let url = &migration.from;
    let skip_the_rest = |report| outside::skip_the_rest(&TITLES, url, report);
    if url.scheme != Scheme::Redis {
        let text = format!("A {} server cannot be brought into this cluster.", url.scheme.id());
        report.checks.push(
            check("reachable", Failed, text).hint("Give an address that begins with redis:// or rediss://."),
        );
        return Ok(skip_the_rest(report));
    }
    if outside::is_ours(cx, url).await {
        let text = "That address leads to the cluster itself.";
        report.checks.push(check("reachable", Failed, text).hint("Give the address of another server."));
        return Ok(skip_the_rest(report));
    }
    let mut server = match Server::open(url, &url.host, url.port()).await {
        Ok(server) => server,
        Err(refused) => {
            const USERS: &str = "Give the user and the password that it knows.";
            report.checks.extend(outside::kept_out(&TITLES, url, refused, USERS));
            return Ok(skip_the_rest(report));
        }
    };
    report.checks.extend(outside::let_in(&TITLES, url));
    for words in RIGHTS {
        if let Err(why) = server.try_out(&command(words)).await? {
            let verb = words.split(' ').next().unwrap_or_default();
            let text = format!("{verb} is not allowed: {why}.");
            report.checks.push(
                check("rights", Failed, text).hint("Use a user with `+@read ~*`, or an administrator."),
            );
            return Ok(skip_the_rest(report));
        }
    }
    report.checks.push(check("rights", Passed, "All keys can be read."));
    let mut target = Target::open(cx).await?;
    // By whatever way it is reached.
    let ours: Vec<String> = target.ask_each(&command("INFO server")).await?;
    if ours.iter().any(|text| Info::parse(text).text("run_id") == server.info.text("run_id")) {
        let text = "What answers there is the cluster itself.";
        report.checks.push(check("version", Failed, text).hint("Give the address of another server."));
        return Ok(skip_the_rest(report));
    }
    described(&server.info, &mut report);
    report.checks.push(versions(cx, &server.info));
    report.checks.push(modules(&mut server, &mut target).await?);
    drop(server);
    let mut source = Source::open(url).await?;
    changes(&source, migration, &mut report);
    let keys = source.keys().await?;
    report.items = Some(keys);
    let mut bytes = 0_u64;
    for server in &source.servers {
        let of = |name| server.info.number(name);
        bytes += of("used_memory_dataset").or_else(|| of("used_memory")).unwrap_or(0);
    }
    report.bytes = Some(bytes);
    names(cx, migration, &mut source, &mut target, &mut report).await?;
    report.how.push(format!("Each of its {keys} keys is copied with the time it has left to live."));
    if source.is_sharded() {
        let servers = source.servers.len();
        report.how.push(format!("It is a cluster: all {servers} primaries are read at once."));
    }
    report.how.push("Users, passwords and settings of the source stay where they are.".to_owned());
    Ok(report)
}

fn described(info: &Info, report: &mut SourceReport) {
    let own = info.text("valkey_version").map(|v| format!("Valkey {v}"));
    let text = info.text("redis_version").unwrap_or("of an unknown version");
    report.server = Some(own.unwrap_or_else(|| format!("Redis {text}")));
}

/// Which version its values are written down in: a server reads its own and those before.
fn values_version(is_valkey: bool, version: (u32, u32)) -> u32 {
    match (is_valkey, version) {
        (true, (9.., _)) => 80,
        (true, _) => 11,
        (false, (..=3, _)) => 7,
        (false, (4, _)) => 8,
        (false, (5 | 6, _)) => 9,
        (false, (7, 0 | 1)) => 10,
        (false, (7, 2 | 3)) => 11,
        (false, (7, _) | (8, 0 | 1)) => 12,
        (false, _) => 13,
    }
}

fn pair(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn versions(cx: &ClusterContext, info: &Info) -> Check {
    use clusterdeck_domain::ServiceKind;
    let valkey = info.text("valkey_version");
    let theirs = values_version(valkey.is_some(), valkey.map_or_else(|| version(info), pair));
    let ours = match cx.spec.service {
        // KeyDB is a Redis 6 to this end, whatever its own number.
        ServiceKind::Keydb => 9,
        service => values_version(service == ServiceKind::Valkey, pair(&cx.spec.version)),
    };
    let name = Flavour::of(cx.spec.service).name;
    if theirs <= ours {
        return check("version", Passed, format!("{name} {} reads what the source writes.", cx.spec.version));
    }
    let text = format!(
        "The source writes its values in format {theirs}; {name} {} reads formats up to {ours}.",
        cx.spec.version
    );
    check("version", Failed, text).hint("Make a cluster of a version that is at least as new as the source.")
}

async fn modules(server: &mut Server, target: &mut Target) -> Result<Check> {
    let loaded = |value: &Value| -> Vec<String> {
        let Value::Array(all) = value else { return Vec::new() };
        let name = |one: &Value| match one {
            Value::Array(parts) => parts.windows(2).find_map(|two| match (&two[0], &two[1]) {
                (Value::BulkString(key), Value::BulkString(name)) if key == b"name" => {
                    String::from_utf8(name.clone()).ok()
                }
                _ => None,
            }),
            _ => None,
        };
        all.iter().filter_map(name).collect()
    };
    let Ok(theirs) = server.try_out(&command("MODULE LIST")).await? else {
        let text = "Which modules the source has could not be found out: it does not let us ask.";
        return Ok(check("extensions", Warning, text)
            .hint("Values of a module that the cluster lacks make it fail."));
    };
    let ours: Vec<Value> = target.ask_each(&command("MODULE LIST")).await?;
    let ours = ours.first().map(loaded).unwrap_or_default();
    let missing: Vec<String> = loaded(&theirs).into_iter().filter(|name| !ours.contains(name)).collect();
    Ok(match missing.as_slice() {
        [] => check("extensions", Passed, "It has no module that the cluster lacks."),
        some => {
            check("extensions", Warning, format!("The cluster does not have its module {}.", some.join(", ")))
                .hint("Values of a module's own type make it fail; others come along.")
        }
    })
}

fn changes(source: &Source, migration: &Migration, report: &mut SourceReport) {
    report.online = source.deaf.is_none();
    report.checks.push(match &source.deaf {
        None => check("changes", Passed, "It tells which keys are written, so clients may go on meanwhile."),
        Some(why) => {
            let when = if migration.follow { "from before you cut over" } else { "from now on" };
            check(
                "changes",
                Warning,
                format!("It does not tell which keys are written ({why}): nobody may write to it {when}, and all is copied twice."),
            )
            .hint("Redis 6 and newer tell it, to users with the right to say CLIENT TRACKING.")
        }
    });
}

async fn names(
    cx: &ClusterContext,
    migration: &Migration,
    source: &mut Source,
    target: &mut Target,
    report: &mut SourceReport,
) -> Result<()> {
    let mut databases = std::collections::BTreeSet::new();
    for server in &mut source.servers {
        databases.extend(server.databases().await?.into_iter().filter(|(_, keys)| *keys > 0).map(|(n, _)| n));
    }
    let (own, _) = target.databases().await?;
    report.target_is_empty = own == 0;
    let beyond = databases.iter().any(|n| *n > 0);
    report.checks.push(if beyond && cx.spec.topology == Topology::Sharded {
        check(
            "databases",
            Failed,
            "The source has keys in databases beyond 0; a sharded cluster has only that one.",
        )
        .hint("Choose a cluster that is not sharded.")
    } else if databases.len() > 1 && own > 0 {
        check(
            "databases",
            Failed,
            "The source has keys in several databases, and the cluster has keys of its own.",
        )
        .hint("Choose a cluster that is empty.")
    } else {
        let all: Vec<String> = databases.iter().map(u32::to_string).collect();
        let text = if all.is_empty() {
            "It is empty.".to_owned()
        } else {
            format!("It has keys in database {}.", all.join(", "))
        };
        check("databases", Passed, text)
    });
    if own == 0 {
        report.checks.push(check("names", Passed, "The cluster is empty."));
        return Ok(());
    }
    let clashing = clashing(source, target).await?;
    report.clashes = clashing > 0;
    report.checks.push(match (clashing, migration.replace) {
        (0, _) => check(
            "names",
            Warning,
            format!("The cluster has {own} keys of its own: they stay, beside what comes in."),
        )
        .hint("Use an empty cluster if that is not meant."),
        (n, true) => check(
            "names",
            Warning,
            format!("At least {n} keys of the cluster are replaced by those of the source."),
        ),
        (n, false) => check(
            "names",
            Failed,
            format!("At least {n} keys of the source have names that the cluster has too."),
        )
        .hint("Use an empty cluster, or have what is there replaced (`--replace`)."),
    });
    Ok(())
}

/// How many of the first keys of the source the cluster has too.
async fn clashing(source: &mut Source, target: &mut Target) -> Result<u64> {
    let mut found = 0;
    for server in &mut source.servers {
        let mut looked = 0;
        for (database, _) in server.databases().await? {
            let mut cursor = 0;
            loop {
                let (next, keys) = server.scan(database, cursor, 500).await?;
                found += target.has(database, &keys).await?;
                looked += keys.len();
                cursor = next;
                if cursor == 0 || looked > COMPARED {
                    break;
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_servers_that_are_at_least_as_new() {
        assert!(values_version(false, (6, 2)) < values_version(false, (7, 0)));
        assert!(
            values_version(false, (7, 4)) > values_version(true, (8, 1)),
            "Valkey does not read what Redis 7.4 writes"
        );
        assert_eq!(values_version(false, (7, 2)), values_version(true, (8, 0)), "they were one then");
    }
}
