//! Following a server while its clients write: its binary log, asked for as a replica asks, is applied here row by row.
//!
//! Not by the server's own replication: that keeps the transaction ids of the source. MariaDB's have domain 0 like the cluster's, so the
//! numbers of the two would mix in one history (`gtid_strict_mode` refuses that, and who diverged is seen by those numbers); in a group
//! of Oracle's MySQL they would be foreign ones for ever, and the channel would end with its primary. What is applied in a session of
//! ours is written anew as the cluster's own. And how far it is stands in a table that each transaction moves: after a kill or a
//! failover nothing is lost and nothing comes twice.

use super::{
    events::{Group, Happened, Reader},
    list, literal,
    source::{Log, Place, Source, line},
    writer,
};
use crate::mysql::{
    flavour::Flavour,
    sql::{ANSWER, As, Session, number, text},
};
use clusterdeck_domain::{
    BehindIn, Check, CheckState,
    CheckState::{Passed, Warning},
};
use clusterdeck_driver::{ClusterContext, DriverError, Migration, Passage, Progress, Result};
use std::time::{Duration, Instant};

/// Where it stands how far the cluster is; gone in the end.
const OWN: &str = "clusterdeck_migration";
/// How often it is looked how far the source is.
const LOOK: Duration = Duration::from_secs(1);
/// A source that says nothing for so long is asked anew; it says something every two seconds.
const SILENT: Duration = Duration::from_secs(20);
/// It may be started again, or the network to it fail, for so long.
const AWAY: Duration = Duration::from_secs(600);
/// For one statement here: others may hold its rows, a large transaction ends.
const APPLIES: Duration = Duration::from_secs(120);
/// Bytes of transactions of the source that become one here, when there are more than one can wait for.
const AT_ONCE: usize = 1 << 20;
/// Bytes of events that are applied by one statement here: each is a way there and back.
const STATEMENT: usize = 256 << 10;
/// So long they wait for more to come.
const WAITS: Duration = Duration::from_millis(100);

fn check(id: &str, state: CheckState, text: impl Into<String>) -> Check {
    super::check::check(id, state, text)
}

/// Whether it can be followed: each condition with its result. One that does not hold is a warning, since a dump is taken then.
pub(super) async fn conditions(
    cx: &ClusterContext,
    source: &mut Source,
    names: &[String],
) -> Result<Vec<Check>> {
    Ok(vec![log(cx, source).await?, rights(source).await?, tables(source, names).await?, target(cx)])
}

/// What decides what a log holds. Where one is unknown it cannot be otherwise than we need it.
const SETTINGS: [(&str, &str, &str); 5] = [
    ("binlog_format", "ROW", "holds statements, not rows"),
    ("binlog_row_image", "FULL", "holds rows in part"),
    ("binlog_row_value_options", "", "holds values in part"),
    ("log_bin_compress", "OFF", "is compressed"),
    ("binlog_transaction_compression", "OFF", "is compressed"),
];

async fn log(cx: &ClusterContext, source: &mut Source) -> Result<Check> {
    let (theirs, ours) = (source.maker, Flavour::of(&cx.spec.version));
    if theirs != ours {
        let text =
            format!("It is {} {}: {} does not take its log.", theirs.name(), source.version, ours.name());
        return Ok(check("follow-log", Warning, text));
    }
    if theirs == Flavour::MySql && line(&source.version) < (8, 0) {
        let text = format!("It is MySQL {}, which is followed from 8.0 on.", source.version);
        return Ok(check("follow-log", Warning, text));
    }
    if source.word("SELECT @@global.log_bin + 0").await? != "1" {
        return Ok(check("follow-log", Warning, "It writes no binary log.")
            .hint("Set log_bin there and restart it to follow it."));
    }
    let asked: Vec<String> = SETTINGS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let said =
        source.rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", list(&asked))).await?;
    let other = said.iter().find_map(|row| {
        let (name, value) = (text(row, 0)?, text(row, 1)?);
        let (_, wanted, means) = SETTINGS.iter().find(|(known, ..)| *known == name)?;
        (value != *wanted).then_some((name, value, *wanted, *means))
    });
    Ok(match other {
        None => check("follow-log", Passed, "Its binary log holds whole rows."),
        Some((name, value, wanted, means)) => {
            check("follow-log", Warning, format!("Its binary log {means} ({name} is {value}).")).hint(
                format!(
                    "SET GLOBAL {name} = '{wanted}' there, and let its clients sign in anew, to follow it."
                ),
            )
        }
    })
}

/// A right by its name, and what a list of rights has where it is given.
type Right = (&'static str, &'static [&'static str]);

/// What whoever follows must be allowed to. MySQL's program that dumps stops the writes of the source for a moment, to find out at
/// which place of the log that is.
const fn needed(maker: Flavour) -> &'static [Right] {
    const READ: Right = ("REPLICATION SLAVE", &["REPLICATION SLAVE,", "REPLICATION SLAVE ON"]);
    match maker {
        Flavour::MariaDb => &[READ, ("BINLOG MONITOR", &["BINLOG MONITOR", "REPLICATION CLIENT"])],
        Flavour::MySql => &[READ, ("REPLICATION CLIENT", &["REPLICATION CLIENT"]), ("RELOAD", &["RELOAD"])],
    }
}

async fn rights(source: &mut Source) -> Result<Check> {
    let grants = source.rows("SHOW GRANTS").await?;
    let everywhere: Vec<String> =
        grants.iter().filter_map(|row| text(row, 0)).filter(|grant| grant.contains(" ON *.* ")).collect();
    let has = |rights: &[&str]| {
        let all = |grant: &String| grant.starts_with("GRANT ALL PRIVILEGES");
        everywhere.iter().any(|grant| all(grant) || rights.iter().any(|right| grant.contains(right)))
    };
    let missing: Vec<&str> =
        needed(source.maker).iter().filter(|(_, rights)| !has(rights)).map(|(name, _)| *name).collect();
    Ok(match missing.as_slice() {
        [] => check("follow-rights", Passed, "The user may read its binary log."),
        some => check("follow-rights", Warning, format!("The user lacks {}.", some.join(" and ")))
            .hint(format!("GRANT {} ON *.* TO it there to follow it.", some.join(", "))),
    })
}

/// Rows of other engines are not copied at the moment from which the log is read.
async fn tables(source: &mut Source, names: &[String]) -> Result<Check> {
    let others = source
        .rows(&format!(
            "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_TYPE LIKE 'BASE TABLE' \
             AND ENGINE <> 'InnoDB' AND TABLE_SCHEMA IN ({}) ORDER BY 1 LIMIT 5",
            list(names)
        ))
        .await?;
    let others: Vec<String> = others.iter().filter_map(|row| text(row, 0)).collect();
    Ok(match others.as_slice() {
        [] => check("follow-tables", Passed, "All its tables are of InnoDB."),
        some => check("follow-tables", Warning, format!("{} are not of InnoDB.", some.join(", ")))
            .hint("Change those tables to InnoDB there to follow it."),
    })
}

fn target(cx: &ClusterContext) -> Check {
    if cx.spec.topology == clusterdeck_domain::Topology::MultiMaster {
        return check(
            "follow-target",
            Warning,
            "The nodes of this cluster all take writes, and rows of another server's log are not applied there.",
        );
    }
    check("follow-target", Passed, "Its primary applies what is written there as writes of its own.")
}

/// Takes away where it stands how far it is.
pub(super) async fn forget(session: &mut Session) -> Result<()> {
    session.run(format!("DROP DATABASE IF EXISTS {OWN}")).await
}

/// Writes down that what the cluster had is about to go: in the cluster, for whichever node leads when somebody asks.
pub(super) async fn note_emptied(session: &mut Session) -> Result<()> {
    session.run(format!("CREATE DATABASE IF NOT EXISTS {OWN}")).await?;
    let table = format!("CREATE TABLE IF NOT EXISTS {OWN}.emptied (one INT PRIMARY KEY) ENGINE=InnoDB");
    session.run(table).await
}

/// Whether what the cluster had is gone, or may be.
pub(super) async fn was_emptied(session: &mut Session) -> Result<bool> {
    has(session, "emptied").await
}

async fn has(session: &mut Session, table: &str) -> Result<bool> {
    let there = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{OWN}' AND TABLE_NAME = '{table}'"
    );
    Ok(!session.rows(&there).await?.is_empty())
}

/// From where the log goes on, where an earlier call copied everything and the source still has it.
pub(super) async fn stands(session: &mut Session, source: &mut Source, from: &str) -> Result<Option<Place>> {
    if !has(session, "place").await? {
        return Ok(None);
    }
    let noted = session.word(&format!("SELECT source FROM {OWN}.place")).await?;
    let Some(place) = here(session).await?.filter(|_| noted == from) else { return Ok(None) };
    let kept = source.rows("SHOW BINARY LOGS").await?;
    let kept = kept.iter().any(|row| text(row, 0).as_ref() == Some(&place.file));
    Ok(kept.then_some(place))
}

/// Up to where everything is here.
async fn here(session: &mut Session) -> Result<Option<Place>> {
    let rows = session.rows(&format!("SELECT file, at FROM {OWN}.place")).await?;
    Ok(rows.first().and_then(|row| Some(Place { file: text(row, 0)?, at: number(row, 1)? })))
}

/// Writes down that everything up to a place is here.
pub(super) async fn begin(session: &mut Session, from: &str, place: &Place) -> Result<()> {
    session.run(format!("DROP TABLE IF EXISTS {OWN}.place")).await?;
    session
        .run(format!(
            "CREATE TABLE {OWN}.place (one INT PRIMARY KEY, file VARCHAR(512) NOT NULL, at BIGINT UNSIGNED NOT NULL, \
             source VARCHAR(512) NOT NULL) ENGINE=InnoDB"
        ))
        .await?;
    let (file, from) = (literal(&place.file), literal(from));
    session.run(format!("INSERT INTO {OWN}.place VALUES (1, {file}, {}, {from})", place.at)).await
}

/// Applies the log of a source.
pub(super) struct Follower<'a> {
    cx: &'a ClusterContext,
    migration: &'a Migration,
    /// Asked while the log is read by another session.
    pub(super) source: Source,
    /// What is asked here beside what is applied.
    pub(super) beside: Session,
    session: Session,
    reader: Reader,
    log: Option<Log>,
    /// Everything up to here is in the cluster.
    place: Place,
    /// What was read and is not committed here yet.
    group: Group,
    begun: Instant,
    applied: u64,
}

impl<'a> Follower<'a> {
    pub(super) async fn new(
        cx: &'a ClusterContext,
        migration: &'a Migration,
        source: Source,
        names: &[String],
        place: Place,
    ) -> Result<Self> {
        let lead = writer(cx).await?;
        let mut session = Session::open(cx, lead, As::Operator, ANSWER).await?.patient(APPLIES);
        let beside = Session::open(cx, lead, As::Operator, ANSWER).await?.patient(APPLIES);
        // One of a call that was killed ends first, and what it has not committed is gone; what it has is known then.
        let alone = session.row(&format!("SELECT GET_LOCK('{OWN}', {})", SILENT.as_secs())).await?;
        if number(&alone, 0) != Some(1) {
            return Err(DriverError::transient("an earlier call still applies what it has"));
        }
        let place = here(&mut session).await?.unwrap_or(place);
        Ok(Self {
            cx,
            migration,
            source,
            beside,
            session,
            reader: Reader::new(names),
            log: None,
            place,
            group: Group::default(),
            begun: Instant::now(),
            applied: 0,
        })
    }

    /// Takes the next of the log, or says that nothing came for a moment.
    async fn step(&mut self, within: Duration) -> Result<bool> {
        if self.log.is_none() {
            // What was begun and not committed comes again.
            self.rolled_back().await?;
            self.reader.restart(&self.place.file);
            self.log = Some(Log::open(&self.migration.from, &self.place, id(self.cx)).await?);
        }
        let Some(log) = &mut self.log else { return Ok(false) };
        let event = match log.next(within).await {
            Ok(Some(event)) => event,
            Ok(None) => {
                if log.silent() > SILENT {
                    self.log = None;
                    return Err(DriverError::transient("the source does not send its log any more"));
                }
                self.commit().await?;
                return Ok(false);
            }
            Err(error) => {
                self.log = None;
                return Err(error);
            }
        };
        match self.reader.read(&event)? {
            Happened::Nothing => {}
            Happened::At(place) => {
                self.group.up_to = Some(place);
                // Nothing of ours: it is written down now and then, with what comes.
                if self.group.is_empty() && !self.group.open {
                    self.place = self.group.up_to.take().unwrap_or_else(|| self.place.clone());
                }
            }
            Happened::Description(event) => {
                self.commit().await?;
                self.session.run(binlog(&event)).await?;
                if self.source.maker == Flavour::MySql {
                    // Who is told that waits to be told the source's id of each transaction too.
                    self.session.run("SET SESSION gtid_next = 'AUTOMATIC'").await?;
                }
            }
            Happened::Rows(events) => {
                if !self.group.open {
                    self.session.run("BEGIN").await?;
                    self.group.open = true;
                    self.begun = Instant::now();
                }
                self.group.bytes += events.len();
                self.group.events.extend(events);
                self.group.rows = true;
                if self.group.events.len() > STATEMENT {
                    self.apply().await?;
                }
            }
            Happened::Committed(place) => {
                self.group.up_to = Some(place);
                if self.group.bytes > AT_ONCE || self.group.open && self.begun.elapsed() > WAITS {
                    self.commit().await?;
                } else if !self.group.open {
                    self.place = self.group.up_to.take().unwrap_or_else(|| self.place.clone());
                }
            }
        }
        Ok(true)
    }

    async fn rolled_back(&mut self) -> Result<()> {
        if std::mem::take(&mut self.group).open {
            self.session.run("ROLLBACK").await?;
        }
        Ok(())
    }

    /// Events that were read and nobody has applied.
    async fn apply(&mut self) -> Result<()> {
        match std::mem::take(&mut self.group.events) {
            none if none.is_empty() => Ok(()),
            events => self.session.run(binlog(&events)).await,
        }
    }

    /// What was read of whole transactions is here from now on. In the middle of one nothing is done.
    async fn commit(&mut self) -> Result<()> {
        if self.reader.inside() {
            return Ok(());
        }
        self.apply().await?;
        let group = std::mem::take(&mut self.group);
        let place = group.up_to.unwrap_or_else(|| self.place.clone());
        if group.open {
            let (file, at) = (literal(&place.file), place.at);
            self.session.run(format!("UPDATE {OWN}.place SET file = {file}, at = {at}")).await?;
            self.session.run("COMMIT").await?;
            self.applied += 1;
        }
        self.place = place;
        Ok(())
    }

    /// Follows until somebody says that it shall end.
    pub(super) async fn follow(&mut self, passage: &Passage, progress: &Progress) -> Result<()> {
        passage.log(format!("Following the source from {} on until somebody cuts over", self.place));
        let (mut away, mut looked): (Option<Instant>, Option<Instant>) = (None, None);
        while !passage.ends() {
            // To its end: what is given up in the middle of a statement leaves its session useless.
            let taken = self.step(Duration::from_millis(20)).await;
            let due = looked.is_none_or(|last| last.elapsed() > LOOK);
            let told = match taken {
                Ok(_) if due => {
                    looked = Some(Instant::now());
                    self.tell(passage, progress).await
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            match told {
                Ok(()) if due => away = None,
                Ok(()) => {}
                Err(DriverError::Transient { what }) => {
                    self.log = None;
                    if away.is_none() {
                        passage.log(format!("{what}: waiting for it"));
                    }
                    if away.get_or_insert_with(Instant::now).elapsed() > AWAY {
                        return Err(DriverError::transient(what));
                    }
                    progress.note(&format!("Following the source, which is away: {what}"));
                    tokio::time::sleep(LOOK).await;
                    if let Ok(source) = Source::open(&self.migration.from).await {
                        self.source = source;
                    }
                    // Another node may lead by now: then it goes on there.
                    takes_writes(&mut self.beside).await?;
                    takes_writes(&mut self.session).await?;
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn tell(&mut self, passage: &Passage, progress: &Progress) -> Result<()> {
        let bytes = self.behind().await?;
        passage.set_behind_in(Some(bytes), BehindIn::LogBytes);
        progress.note(&format!(
            "Following the source, {:.1} kB of its log behind. Cut over when nobody writes to it any more",
            bytes as f64 / 1e3
        ));
        Ok(())
    }

    /// Waits until everything that was acknowledged at the source before this call is in the cluster.
    pub(super) async fn until_all(&mut self, passage: &Passage, progress: &Progress) -> Result<()> {
        let up_to = self.source.place().await?;
        let (mut began, mut ticks) = (Instant::now(), 0);
        let mut last = (self.place.clone(), 0);
        while self.place < up_to {
            self.step(Duration::from_millis(5)).await?;
            ticks += 1;
            progress.measured("Taking what is missing", ticks, 0);
            // Within a large transaction only what was read of it moves.
            if (&self.place, self.group.bytes) != (&last.0, last.1) {
                (last, began) = ((self.place.clone(), self.group.bytes), Instant::now());
            }
            if began.elapsed() > APPLIES {
                return Err(DriverError::transient("nothing comes in although the source has more"));
            }
        }
        self.commit().await?;
        passage.set_behind_in(Some(0), BehindIn::LogBytes);
        Ok(())
    }

    /// Bytes of the source's log that are not here yet.
    async fn behind(&mut self) -> Result<u64> {
        let now = self.source.place().await?;
        if now.file == self.place.file {
            return Ok(now.at.saturating_sub(self.place.at));
        }
        let mut bytes = 0;
        for row in self.source.rows("SHOW BINARY LOGS").await? {
            let place = Place { file: text(&row, 0).unwrap_or_default(), at: 0 };
            let size = number(&row, 1).unwrap_or_default();
            if place.file == self.place.file {
                bytes += size.saturating_sub(self.place.at);
            } else if place > self.place {
                bytes += size;
            }
        }
        Ok(bytes)
    }

    /// Commits of the cluster that applied something.
    pub(super) const fn applied(&self) -> u64 {
        self.applied
    }
}

/// One that others put in its place goes on answering.
async fn takes_writes(session: &mut Session) -> Result<()> {
    match number(&session.row("SELECT @@global.read_only + 0").await?, 0) {
        Some(0) => Ok(()),
        _ => Err(DriverError::transient(format!("{} does not take the writes any more", session.whom()))),
    }
}

/// As which replica the source knows us: the same after a kill, so that it ends the session from before.
fn id(cx: &ClusterContext) -> u32 {
    crc32fast::hash(cx.spec.id.as_str().as_bytes()) | 0x8000_0000
}

fn binlog(events: &[u8]) -> String {
    use base64::Engine as _;
    format!("BINLOG '{}'", base64::engine::general_purpose::STANDARD.encode(events))
}
