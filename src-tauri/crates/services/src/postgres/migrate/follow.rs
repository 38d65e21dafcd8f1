//! Following a source while its clients write: a publication and a slot there, a subscription here, all three of one name. Whoever
//! begins takes away what an earlier call left under that name; a slot that nobody reads would fill the disk of the source.

use super::{PASS, literal, name, quoted, roots, source::Source};
use crate::postgres::{
    form,
    sql::{ANSWER, As, Session},
};
use clusterdeck_domain::{
    BehindIn, Check,
    CheckState::{Passed, Warning},
    SourceUrl,
};
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Migration, Passage, Progress, Result};
use std::time::{Duration, Instant};

/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(250);
/// How often when somebody waits for it.
const SOON: Duration = Duration::from_millis(10);
/// So long nothing may come in although something is there: then whatever stops it does not pass by itself.
const STALLS: Duration = Duration::from_secs(60);
/// A process that lives so long is at work: one that cannot connect or fails ends sooner.
const LASTS: Duration = Duration::from_secs(15);
/// For a session of the source's server to end.
const ENDS: Duration = Duration::from_secs(20);
/// The source may be started again, or the network to it fail, for so long.
const AWAY: Duration = Duration::from_secs(600);
/// Names told of what stands against it.
const TOLD: usize = 5;

/// What the publication, the slot and the subscription of a cluster are called.
pub(super) fn called(cx: &ClusterContext) -> String {
    format!("clusterdeck_{}", cx.spec.id)
}

/// The tables whose rows come: logged ones, which no extension brought; of a partitioned one its parts.
const FOLLOWED: &str = "SELECT c.oid, n.nspname, c.relname, c.relreplident, c.relowner FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' \
        AND (d.classid, d.objid) IN (('pg_class'::regclass, c.oid), ('pg_namespace'::regclass, n.oid)))";

/// Whether it can be followed: each condition with its result. One that does not hold is a warning, since a dump is taken then.
pub(super) async fn conditions(source: &Source, ours: &str) -> Result<Vec<Check>> {
    Ok(vec![
        log(source).await?,
        room(source, ours).await?,
        rights(source).await?,
        identities(source).await?,
        contents(source).await?,
    ])
}

fn check(id: &str, state: clusterdeck_domain::CheckState, text: impl Into<String>) -> Check {
    super::check::check(id, state, text)
}

async fn log(source: &Source) -> Result<Check> {
    let row = source
        .row("SELECT current_setting('server_version_num')::int, current_setting('wal_level'), pg_is_in_recovery()")
        .await?;
    let (version, level, replica): (i32, String, bool) = (row.get(0), row.get(1), row.get(2));
    Ok(match (version >= 100_000, replica, level.as_str()) {
        (false, _, _) => {
            check("follow-log", Warning, "Servers before PostgreSQL 10 do not tell what changes.")
        }
        (_, true, _) => check("follow-log", Warning, "It is a replica, and takes no publication.")
            .hint("Give the address of its primary."),
        (_, _, "logical") => check("follow-log", Passed, "Its wal_level is logical."),
        (_, _, other) => {
            check("follow-log", Warning, format!("Its wal_level is {other}, which does not tell rows."))
                .hint("Set wal_level = logical there and restart it to follow it.")
        }
    })
}

async fn room(source: &Source, ours: &str) -> Result<Check> {
    let row = source
        .rows(
            "SELECT current_setting('max_replication_slots')::int8 - (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> $1), \
             current_setting('max_wal_senders')::int8 - (SELECT count(*) FROM pg_stat_get_wal_senders())",
            &[&ours],
        )
        .await?;
    let free = row.first().map_or((0, 0), |row| (row.get::<_, i64>(0), row.get::<_, i64>(1)));
    Ok(match free {
        (slots, senders) if slots >= 1 && senders >= 1 => {
            check("follow-room", Passed, format!("{slots} slots and {senders} senders of its log are free."))
        }
        (slots, senders) => check(
            "follow-room",
            Warning,
            format!(
                "{} slots and {} senders of its log are free; one of each is needed.",
                slots.max(0),
                senders.max(0)
            ),
        )
        .hint("Raise max_replication_slots and max_wal_senders there to follow it."),
    })
}

async fn rights(source: &Source) -> Result<Check> {
    let row = source
        .row(
            "SELECT r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' \
                AND pg_has_role(current_user, m.oid, 'USAGE')), \
             has_database_privilege(current_database(), 'CREATE') FROM pg_roles r WHERE r.rolname = current_user",
        )
        .await?;
    let (replicates, creates): (bool, bool) = (row.get(0), row.get(1));
    let foreign = source
        .rows(
            &format!(
                "SELECT format('%I.%I', f.nspname, f.relname) FROM ({FOLLOWED}) f \
                 WHERE NOT pg_has_role(f.relowner, 'USAGE') ORDER BY 1 LIMIT {TOLD}"
            ),
            &[],
        )
        .await?;
    let foreign: Vec<String> = foreign.iter().map(|row| row.get(0)).collect();
    Ok(match (replicates, creates, foreign.as_slice()) {
        (true, true, []) => check("follow-rights", Passed, "The user may replicate and publish its tables."),
        (false, _, _) => check("follow-rights", Warning, "The user may not replicate.")
            .hint("ALTER ROLE … REPLICATION there to follow it."),
        (_, false, _) => {
            check("follow-rights", Warning, "The user may make no publication in this database.")
                .hint("GRANT CREATE ON DATABASE … there to follow it.")
        }
        (_, _, some) => check(
            "follow-rights",
            Warning,
            format!("The user does not own {}, which only owners publish.", some.join(", ")),
        )
        .hint("Use their owner, or a member of its role, to follow it."),
    })
}

/// A table without one that is published takes no changes any more at the source: that must never happen.
async fn identities(source: &Source) -> Result<Check> {
    let without = source
        .rows(
            &format!(
                "SELECT format('%I.%I', f.nspname, f.relname) FROM ({FOLLOWED}) f WHERE NOT CASE f.relreplident \
                 WHEN 'd' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = f.oid AND i.indisprimary AND i.indimmediate) \
                 WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = f.oid AND i.indisreplident) \
                 WHEN 'f' THEN NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped \
                    AND a.atttypid::regtype::text IN ('json', 'xml', 'point', 'box', 'polygon', 'path', 'lseg', 'line', 'circle')) \
                 ELSE false END ORDER BY 1 LIMIT {TOLD}"
            ),
            &[],
        )
        .await?;
    let without: Vec<String> = without.iter().map(|row| row.get(0)).collect();
    Ok(match without.as_slice() {
        [] => check("follow-tables", Passed, "Each of its tables says which row is changed."),
        some => check(
            "follow-tables",
            Warning,
            format!("No row of {} can be told from another.", some.join(", ")),
        )
        .hint("Give each a primary key, or ALTER TABLE … REPLICA IDENTITY, to follow it."),
    })
}

/// What does not come along with rows, or would run twice.
async fn contents(source: &Source) -> Result<Check> {
    let row = source
        .row(&format!(
            "SELECT EXISTS (SELECT FROM pg_largeobject_metadata), \
             (SELECT min(format('%I.%I', f.nspname, f.relname)) FROM ({FOLLOWED}) f \
                JOIN pg_trigger t ON t.tgrelid = f.oid AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R')), \
             EXISTS (SELECT FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u')"
        ))
        .await?;
    let (large, trigger, unlogged): (bool, Option<String>, bool) = (row.get(0), row.get(1), row.get(2));
    Ok(match (large, trigger) {
        (true, _) => {
            check("follow-contents", Warning, "It has large objects, whose changes no log tells row by row.")
                .hint("Keep them in columns of bytea to follow it.")
        }
        (_, Some(table)) => check(
            "follow-contents",
            Warning,
            format!("A trigger of {table} runs for replicated rows too, and would run twice."),
        )
        .hint("ALTER TABLE … ENABLE TRIGGER (without ALWAYS or REPLICA) to follow it."),
        (false, None) if unlogged => check(
            "follow-contents",
            Passed,
            "All it holds lies in rows and sequences; those of UNLOGGED tables come as they are when the copy begins.",
        ),
        (false, None) => check("follow-contents", Passed, "All it holds lies in rows and sequences."),
    })
}

/// What is made at the source, for the preview.
pub(super) fn makes(ours: &str) -> String {
    format!(
        "At the source a publication and a replication slot are made, both called {ours}, and dropped when it has ended, also when it fails; \
         meanwhile the source keeps its log for it. Its data is only read. Tables that are made or changed there meanwhile (DDL) do not come along."
    )
}

/// Publishes all tables.
pub(super) async fn publish(source: &Source, ours: &str) -> Result<()> {
    let tables =
        source.rows(&format!("SELECT format('%I.%I', nspname, relname) FROM ({FOLLOWED}) f"), &[]).await?;
    let tables: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
    let which = if tables.is_empty() { String::new() } else { format!(" FOR TABLE {}", tables.join(", ")) };
    source.run(&format!("CREATE PUBLICATION {}{which}", quoted(ours))).await
}

/// Whether what an earlier call made stands whole: then it goes on.
pub(super) async fn stands(cx: &ClusterContext, source: &Source, database: &str) -> Result<bool> {
    let ours = called(cx);
    let there = source
        .rows(
            "SELECT 1 FROM pg_replication_slots s, pg_publication p WHERE s.slot_name = $1 AND p.pubname = $1 \
             AND COALESCE(to_jsonb(s) ->> 'wal_status', 'reserved') <> 'lost'",
            &[&ours],
        )
        .await?;
    Ok(!there.is_empty() && subscribed(cx, database).await?.is_some())
}

/// A session in the database that has the subscription.
async fn subscribed(cx: &ClusterContext, database: &str) -> Result<Option<Session>> {
    let lead = form::leader(cx).await?;
    let session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    let there = "SELECT 1 FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE s.subname = $1 AND d.datname = $2";
    if session.rows(there, &[&called(cx), &database]).await?.is_empty() {
        return Ok(None);
    }
    Ok(Some(Session::inside(cx, lead, database, ENDS).await?))
}

/// Begins to take what was written since the slot was made. The password stays in a file beside the server.
pub(super) async fn subscribe(
    cx: &ClusterContext,
    machine: &dyn Machine,
    inside: &Session,
    url: &SourceUrl,
) -> Result<()> {
    let ours = called(cx);
    let plain = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut way = format!(
        "host={} port={} user={} dbname={} passfile={} application_name={} connect_timeout=10 sslmode={}",
        plain(&url.host),
        url.port(),
        plain(url.user.as_deref().unwrap_or("postgres")),
        plain(url.database.as_deref().unwrap_or_default()),
        plain(&machine.path(PASS).to_string_lossy()),
        plain(&name(cx)),
        super::way(url.tls),
    );
    way += &format!(" sslrootcert={}", plain(&roots(machine, url).await?));
    inside
        .run(&format!(
            "CREATE SUBSCRIPTION {0} CONNECTION {1} PUBLICATION {0} WITH (slot_name = {2}, create_slot = false, copy_data = false)",
            quoted(&ours),
            literal(&way),
            literal(&ours)
        ))
        .await
}

/// Takes the subscription away, not what came in by it. A database with one cannot be dropped.
pub(super) async fn unsubscribe(cx: &ClusterContext, database: &str) -> Result<()> {
    let Some(inside) = subscribed(cx, database).await? else { return Ok(()) };
    let ours = quoted(&called(cx));
    inside.run(&format!("ALTER SUBSCRIPTION {ours} DISABLE")).await?;
    // The slot is dropped by ourselves: the source may not answer now.
    inside.run(&format!("ALTER SUBSCRIPTION {ours} SET (slot_name = NONE)")).await?;
    inside.run(&format!("DROP SUBSCRIPTION {ours}")).await
}

/// Takes away what was made at the source.
pub(super) async fn clean(source: &Source, ours: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let slots = source
            .rows(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1",
                &[&ours],
            )
            .await?;
        if slots.is_empty() {
            break;
        }
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active";
        // Somebody may read it again at this moment.
        if let Err(error) = source.rows(drop, &[&ours]).await
            && begun.elapsed() > ENDS
        {
            return Err(error);
        }
        if begun.elapsed() > ENDS {
            return Err(DriverError::transient(format!("the slot {ours} of the source is still in use")));
        }
        tokio::time::sleep(SOON).await;
    }
    source.run(&format!("DROP PUBLICATION IF EXISTS {}", quoted(ours))).await
}

/// The same where it may not answer: says what then stays there.
pub(super) async fn clean_or_tell(cx: &ClusterContext, migration: &Migration) -> Option<String> {
    let ours = called(cx);
    let cleaned = async {
        let source = Source::open(&migration.from, &name(cx)).await?;
        clean(&source, &ours).await
    };
    cleaned.await.err().map(|error| {
        format!(
            "The slot and the publication {ours} may still be at the source, which keeps its log until they are dropped there: \
             SELECT pg_drop_replication_slot('{ours}'); DROP PUBLICATION IF EXISTS {ours}; ({error})"
        )
    })
}

/// How far the cluster is.
pub(super) struct Follower<'a> {
    pub(super) cx: &'a ClusterContext,
    pub(super) migration: &'a Migration,
    pub(super) source: Source,
    /// In the database that is filled.
    pub(super) inside: Session,
    ours: String,
    /// Where it was when it last moved, and when that was.
    moved: (String, Instant),
    /// The process that applies it, and since when it is that one.
    works: (Option<i32>, Instant),
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        cx: &'a ClusterContext,
        migration: &'a Migration,
        source: Source,
        inside: Session,
    ) -> Self {
        Self {
            cx,
            migration,
            source,
            inside,
            ours: called(cx),
            moved: (String::new(), Instant::now()),
            works: (None, Instant::now()),
        }
    }

    /// Follows until somebody says that it shall end.
    pub(super) async fn follow(&mut self, passage: &Passage, progress: &Progress) -> Result<()> {
        passage.log("Following the source until somebody cuts over");
        let mut away: Option<Instant> = None;
        while !passage.ends() {
            match self.behind(None).await {
                Ok((bytes, _)) => {
                    away = None;
                    passage.set_behind_in(Some(bytes), BehindIn::LogBytes);
                    progress.note(&format!(
                        "Following the source, {:.1} kB of its log behind. Cut over when nobody writes to it any more",
                        bytes as f64 / 1e3
                    ));
                }
                // The subscription comes back by itself when the source does.
                Err(DriverError::Transient { what }) => {
                    let since = *away.get_or_insert_with(|| {
                        passage.log(format!("{what}: waiting for it"));
                        Instant::now()
                    });
                    if since.elapsed() > AWAY {
                        return Err(DriverError::transient(what));
                    }
                    progress.note(&format!("Following the source, which is away: {what}"));
                    if let Ok(source) = Source::open(&self.migration.from, &name(self.cx)).await {
                        self.source = source;
                        self.moved.1 = Instant::now();
                    }
                }
                Err(other) => return Err(other),
            }
            tokio::select! {
                () = passage.until_cut_over() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        Ok(())
    }

    /// Waits until everything that was acknowledged at the source before this call is in the cluster.
    pub(super) async fn until_all(&mut self, passage: &Passage, progress: &Progress) -> Result<()> {
        // A commit of our own lies behind all others, those that were not waited for included.
        self.source.row("SELECT pg_logical_emit_message(true, 'clusterdeck', 'up to here')::text").await?;
        let up_to: String = self.source.row("SELECT pg_current_wal_flush_lsn()::text").await?.get(0);
        self.moved.1 = Instant::now();
        let mut ticks = 0;
        loop {
            let (bytes, has) = self.behind(Some(&up_to)).await?;
            passage.set_behind_in(Some(bytes), BehindIn::LogBytes);
            if has {
                return Ok(());
            }
            ticks += 1;
            progress.measured("Taking what is missing", ticks, 0);
            tokio::time::sleep(SOON).await;
        }
    }

    /// Bytes of the log that are not in the cluster yet, and whether it has all up to a place.
    async fn behind(&mut self, up_to: Option<&str>) -> Result<(u64, bool)> {
        let slots = self
            .source
            .rows(
                "SELECT confirmed_flush_lsn::text, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn)::int8, \
                 COALESCE(confirmed_flush_lsn >= $2::text::pg_lsn, false), COALESCE(to_jsonb(s) ->> 'wal_status', '') = 'lost' \
                 FROM pg_replication_slots s WHERE slot_name = $1",
                &[&self.ours, &up_to],
            )
            .await?;
        let Some(slot) = slots.first().filter(|slot| !slot.get::<_, bool>(3)) else {
            return Err(DriverError::rejected(
                format!(
                    "the slot {} of the source is gone, or its log is: what was written there since is not known",
                    self.ours
                ),
                "Look who dropped it (Patroni drops slots it does not know; max_slot_wal_keep_size ends those that are slow), and migrate again.",
            ));
        };
        let (at, bytes, has): (String, i64, bool) = (slot.get(0), slot.get(1), slot.get(2));
        let bytes = u64::try_from(bytes).unwrap_or_default();
        // It is asked here as well: another node may lead by now.
        let takes = self
            .inside
            .rows(
                "SELECT (SELECT min(pid) FROM pg_stat_subscription t WHERE t.subname = s.subname AND t.relid IS NULL) \
                 FROM pg_subscription s WHERE subname = $1 AND NOT pg_is_in_recovery()",
                &[&self.ours],
            )
            .await?;
        let Some(takes) = takes.first() else {
            return Err(DriverError::transient(
                "another node took over while data came in: it is copied again",
            ));
        };
        // A large transaction counts when it is committed. One that fails ends the process that applies it, which begins anew.
        let works: Option<i32> = takes.get(0);
        if works != self.works.0 {
            self.works = (works, Instant::now());
        }
        let lasts = works.is_some() && self.works.1.elapsed() > LASTS;
        if at != self.moved.0 || bytes == 0 || lasts {
            self.moved = (at, Instant::now());
        } else if self.moved.1.elapsed() > STALLS {
            return Err(DriverError::rejected(
                format!("nothing came in for {} s, although the source has more", STALLS.as_secs()),
                "The log of the cluster's primary says why: a table of the source was changed, or its server does not let it in.",
            ));
        }
        Ok((bytes, has))
    }

    /// Brings sequences over, which no log of rows tells, and makes views that hold rows anew.
    pub(super) async fn beside_rows(&self) -> Result<usize> {
        let sequences = self
            .source
            .rows(
                "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' \
                 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' AND (d.classid, d.objid) = ('pg_class'::regclass, c.oid))",
                &[],
            )
            .await?;
        let sequences: Vec<String> = sequences.iter().map(|row| row.get(0)).collect();
        for some in sequences.chunks(100) {
            let each: Vec<String> = some
                .iter()
                .map(|s| format!("SELECT {}, last_value, is_called FROM {s}", literal(s)))
                .collect();
            for row in self.source.rows(&each.join(" UNION ALL "), &[]).await? {
                let (name, last, called): (String, i64, bool) = (row.get(0), row.get(1), row.get(2));
                let set = "SELECT setval(to_regclass($1), $2, $3)";
                self.inside.rows(set, &[&name, &last, &called]).await?;
            }
        }
        Ok(sequences.len())
    }

    /// Views that hold rows, in the order in which they were made.
    pub(super) async fn refresh(&self) -> Result<()> {
        let views = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                     WHERE c.relkind = 'm' AND c.relispopulated ORDER BY c.oid";
        for view in self.inside.rows(views, &[]).await? {
            self.inside.run(&format!("REFRESH MATERIALIZED VIEW {}", view.get::<_, String>(0))).await?;
        }
        Ok(())
    }
}
