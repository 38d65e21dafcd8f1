//! The log of a cluster: the binary log of whoever takes the writes. It waits where the server has it anyhow, and replicas follow
//! by it, so nothing is taken away here; what has no bound of its own gets one in `logs`, which leaves what is not archived yet.
//!
//! Places are the numbers of transactions, which grow by one in the one history of a cluster. A newly promoted node has in its own
//! files what it got from the one before, so the first piece of its log begins within the last one of the other. What is here is
//! of both makers and of MariaDB; what a member of Oracle's group does in another way is in `group/archive`.

use super::{
    config,
    group::{self, GtidSet},
    gtid::Gtids,
    logs,
    sql::{ANSWER, As, Session, number, text},
    survey::{self, At},
};
use crate::laying::lay_piece;
use clusterdeck_domain::{ClusterId, LogMark, LogPlace, LogSpan, NodeId, NodeSpec};
use clusterdeck_driver::{
    ClusterContext, DriverError, Filter, Incoming, LogReady, LogTaken, LogTarget, LogWaiting, Machine,
    Outgoing, Result,
};
use jiff::Timestamp;
use mysql_async::Row;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Where pieces lie that are replayed on a copy, and up to where.
pub(crate) const LAID: &str = "mysql/log.laid";
pub(crate) const UNTIL: &str = "mysql/log.until";

/// A file is closed after so long when something was written, full or not.
const CLOSED_AFTER: Duration = Duration::from_secs(25);

/// What was written before a place between two transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Edge {
    /// How many transactions.
    pub(crate) count: u64,
    /// The highest number of them: more than their count where one with a lower number is still on its way.
    pub(crate) last: u64,
}

impl Edge {
    /// Behind these, none of which is missing.
    pub(crate) const fn after(count: u64) -> Self {
        Self { count, last: count }
    }
    /// Nothing that comes behind it has a lower number than what is before it.
    pub(crate) const fn is_clean(self) -> bool {
        self.count == self.last
    }
}

/// What is remembered of the logs of running servers, so that it is asked once.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<ClusterId, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// What is before each closed file, with its bytes: a node that copied everything anew gives its files names that it had.
    begins: BTreeMap<(NodeId, String), (u64, Edge)>,
    /// The file that is written, and since when something in it waits.
    open: Option<(String, Instant)>,
    /// Up to which transaction the log is in a vault.
    archived: u64,
}

impl Seen {
    fn with<T>(&self, cx: &ClusterContext, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(all.entry(cx.spec.id.clone()).or_default())
    }
    /// What was known of files that may be others by now.
    pub(crate) fn forget(&self, cx: &ClusterContext) {
        self.with(cx, |known| *known = Known::default());
    }
    /// The last transaction that need not wait; whatever there is where nothing is archived.
    pub(crate) fn archived(&self, cx: &ClusterContext) -> u64 {
        if cx.spec.log_schedule().is_none() { u64::MAX } else { self.with(cx, |known| known.archived) }
    }
}

/// See [`clusterdeck_driver::ServiceDriver::log_place`]. `GTID 0-1-4711`, or `… (transaction 4711)` where an id says nothing of
/// its place; that is the next one.
pub(crate) fn place(position: &str) -> Option<LogPlace> {
    let behind = |last: u64| LogPlace { line: 0, at: last + 1 };
    if let Some((_, told)) = position.rsplit_once("(transaction ") {
        return told.strip_suffix(')')?.parse().ok().map(behind);
    }
    // Of a server that never wrote, the place in its file.
    let Some(gtids) = position.strip_prefix("GTID ") else {
        return position.starts_with("binlog.").then_some(behind(0));
    };
    Some(Gtids::parse(gtids).sequence()).filter(|last| *last > 0).map(behind)
}

/// A piece is called after what it holds: the last transaction before it, its last, whose log it is, and the files. Mostly one:
/// `binlog.000012`; `binlog.000012-000014` are three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) before: u64,
    pub(crate) last: u64,
    server: u16,
    files: String,
}

impl Piece {
    /// Of a server's files from the first to the last.
    fn of(server: u16, (before, last): (u64, u64), files: &[At]) -> Option<Self> {
        let ((first, _), (end, _)) = (files.first()?, files.last()?);
        let number = end.rsplit('.').next()?;
        let files = if files.len() == 1 { first.clone() } else { format!("{first}-{number}") };
        Some(Self { before, last, server, files })
    }
    fn name(&self) -> String {
        format!("{:016x}-{:016x}-{}-{}", self.before, self.last, self.server, self.files)
    }
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(4, '-');
        let mut hex = || u64::from_str_radix(parts.next()?, 16).ok();
        let (before, last) = (hex()?, hex()?);
        Some(Self { before, last, server: parts.next()?.parse().ok()?, files: parts.next()?.to_owned() })
    }
    /// What is meant by a name.
    pub(crate) fn meant(name: &str) -> Result<Self> {
        Self::parse(name).ok_or_else(|| DriverError::broken(format!("{name} is no piece of a log")))
    }
    /// The files that it is made of.
    pub(crate) fn files(&self) -> Vec<String> {
        let (first, to) = self.files.split_once('-').unwrap_or((&self.files, ""));
        let numbers = first
            .rsplit_once('.')
            .and_then(|(name, from)| Some((name, from.parse::<u64>().ok()?, to.parse::<u64>().ok()?)));
        match numbers {
            Some((name, from, to)) => (from..=to).map(|n| format!("{name}.{n:06}")).collect(),
            None => vec![first.to_owned()],
        }
    }
    pub(crate) const fn span(&self, first: Option<Timestamp>, last: Option<Timestamp>) -> LogSpan {
        LogSpan::Stretch { line: 0, from: self.before + 1, to: self.last + 1, first, last }
    }
}

/// How the transactions before a file are counted.
pub(crate) enum Numbered {
    /// By the numbers of MariaDB's domain.
    InDomain,
    /// By those of a group, called so; with what its server has without ever having had it in its log, or not any more.
    InGroup(String, GtidSet),
}

impl Numbered {
    async fn before(&self, session: &mut Session, file: &str) -> Result<Edge> {
        match self {
            Self::InDomain => Ok(Edge::after(logs::begins_after(session, file).await?)),
            Self::InGroup(name, purged) => Ok(group::before(session, file, purged).await?.edge(name)),
        }
    }
}

/// The log of the node that takes the writes.
pub(crate) struct Log<'a> {
    pub(crate) cx: &'a ClusterContext,
    pub(crate) seen: &'a Seen,
    pub(crate) lead: &'a NodeSpec,
    pub(crate) numbered: Numbered,
    pub(crate) session: Session,
}

impl Log<'_> {
    /// What is complete of it, when its server has written up to `now`; closes what has waited long enough.
    pub(crate) async fn ready(&mut self, now: Edge, mark: Option<LogMark>) -> Result<LogReady> {
        let mut files = logs::files(&mut self.session).await?;
        if self.close(&files, now).await? {
            files = logs::files(&mut self.session).await?;
        }
        let edges = self.edges(&files).await?;
        let runs = runs(&files, &edges);
        let pieces = runs.into_iter().filter_map(|(numbers, files)| {
            let piece = Piece::of(config::server_id(self.lead), numbers, files)?;
            Some((piece, files.iter().map(|(_, size)| size).sum()))
        });
        let waiting: Vec<(Piece, u64)> = pieces.collect();
        let archived = self.seen.with(self.cx, |known| known.archived);
        Ok(LogReady {
            mark,
            waiting_bytes: waiting.iter().filter(|(p, _)| p.last > archived).map(|(_, bytes)| bytes).sum(),
            most_bytes: logs::bound(self.cx.machine(self.lead)?.as_ref()),
            waiting: waiting
                .into_iter()
                .map(|(piece, used_bytes)| LogWaiting {
                    name: piece.name(),
                    node: self.lead.id.clone(),
                    used_bytes,
                })
                .collect(),
            ..LogReady::default()
        })
    }

    /// Closes the file that is written when something has waited in it for long enough, and at once when the one before it ended
    /// while a transaction was on its way.
    async fn close(&mut self, files: &[At], now: Edge) -> Result<bool> {
        let Some((open, _)) = files.last() else { return Ok(false) };
        let begins = self.numbered.before(&mut self.session, open).await?;
        if begins.count >= now.count {
            self.seen.with(self.cx, |known| known.open = None);
            return Ok(false);
        }
        let waited = self.seen.with(self.cx, |known| {
            let same = known.open.take().filter(|(file, _)| file == open);
            let (file, since) = same.unwrap_or_else(|| (open.clone(), Instant::now()));
            known.open = Some((file, since));
            since.elapsed()
        });
        let due = waited >= CLOSED_AFTER || !begins.is_clean();
        if due {
            self.session.run("FLUSH BINARY LOGS").await?;
        }
        Ok(due)
    }

    /// What is before each file. Of one that was closed it is asked once.
    async fn edges(&mut self, files: &[At]) -> Result<Vec<Edge>> {
        let mut known = self.seen.with(self.cx, |known| std::mem::take(&mut known.begins));
        let (mut edges, mut begins) = (Vec::with_capacity(files.len()), BTreeMap::new());
        for (n, (file, size)) in files.iter().enumerate() {
            let key = (self.lead.id.clone(), file.clone());
            let edge = match known.remove(&key).filter(|(bytes, _)| bytes == size) {
                Some((_, edge)) => edge,
                None => self.numbered.before(&mut self.session, file).await?,
            };
            edges.push(edge);
            if n + 1 < files.len() {
                begins.insert(key, (*size, edge));
            }
        }
        self.seen.with(self.cx, |known| known.begins = begins);
        Ok(edges)
    }
}

/// Files that are a piece together, with the last transaction before them and their last: mostly one. Only where no lower number
/// is missing can one piece end and another begin, of whichever server: else a transaction would be in neither.
fn runs<'a>(files: &'a [At], edges: &[Edge]) -> Vec<((u64, u64), &'a [At])> {
    let mut found = Vec::new();
    let mut begun: Option<(usize, u64)> = None;
    for (at, edge) in edges.iter().enumerate().filter(|(_, edge)| edge.is_clean()) {
        // One in which nothing was written holds nothing.
        if let Some((first, before)) = begun
            && before < edge.last
        {
            found.push(((before, edge.last), &files[first..at]));
        }
        begun = Some((at, edge.last));
    }
    found
}

/// See [`clusterdeck_driver::ServiceDriver::log_ready`]. Of MariaDB.
pub(crate) async fn ready(cx: &ClusterContext, seen: &Seen) -> Result<LogReady> {
    let answers = survey::all(cx).await;
    let Ok(lead) = survey::writer(&answers) else { return Ok(LogReady::default()) };
    let mut session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    let row = session.row(&format!("SELECT {NOW}, @@global.gtid_binlog_pos")).await?;
    let last = Gtids::parse(&text(&row, 1).unwrap_or_default()).sequence();
    let mark = moment(&row).map(|at| LogMark { at, place: LogPlace { line: 0, at: last + 1 } });
    let mut log = Log { cx, seen, lead, numbered: Numbered::InDomain, session };
    log.ready(Edge::after(last), mark).await
}

/// When a question was asked, by the server's clock. Microseconds.
pub(crate) const NOW: &str = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)";

/// What a server said to [`NOW`] first.
pub(crate) fn moment(row: &Row) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::try_from(number(row, 0)?).ok()?).ok()
}

/// `$1` the file. What was acknowledged before it was closed is in it or in one before it.
const CLOSED: &str = r#"stat -c %Y "$1""#;

/// Each file of a piece behind the first begins with four bytes that are no part of its events.
const OUT: &str = r#"
cat -- "$1" || exit 1
shift
for file; do tail -c +5 -- "$file" || exit 1; done
"#;

/// Writes a piece to `output`: its files as one.
pub(crate) async fn write(machine: &dyn Machine, piece: &Piece, output: &mut Outgoing) -> Result<()> {
    let paths = piece.files().into_iter().map(|file| path(machine, &file));
    machine.output_of(&Filter::script(OUT, paths), output).await.map(drop)
}

fn path(machine: &dyn Machine, file: &str) -> String {
    machine.path(&format!("{}/{file}", config::DATA)).display().to_string()
}

/// See [`clusterdeck_driver::ServiceDriver::log_out`]. Of MariaDB.
pub(crate) async fn out(cx: &ClusterContext, piece: &LogWaiting, output: &mut Outgoing) -> Result<LogSpan> {
    let machine = cx.machine(cx.node(&piece.node)?)?.as_ref();
    let meant = Piece::meant(&piece.name)?;
    let mut closed = Vec::new();
    let last = meant.files().pop().unwrap_or_default();
    machine.output_of(&Filter::script(CLOSED, [path(machine, &last)]), &mut closed).await?;
    write(machine, &meant, output).await?;
    let closed = String::from_utf8_lossy(&closed).trim().parse::<i64>().ok();
    Ok(meant.span(None, closed.and_then(|s| Timestamp::from_second(s).ok())))
}

/// See [`clusterdeck_driver::ServiceDriver::log_taken`]. The files stay: replicas follow by them.
pub(crate) fn taken(cx: &ClusterContext, seen: &Seen, taken: &[LogTaken]) {
    let last = taken.iter().filter_map(|piece| Some(Piece::parse(&piece.name)?.last)).max().unwrap_or(0);
    seen.with(cx, |known| known.archived = known.archived.max(last));
}

/// See [`clusterdeck_driver::ServiceDriver::log_in`].
pub(crate) async fn lay(
    cx: &ClusterContext,
    node: &NodeSpec,
    name: &str,
    input: &mut Incoming,
    bytes: u64,
) -> Result<()> {
    lay_piece(cx.machine(node)?.as_ref(), &format!("{LAID}/{name}"), input, bytes).await
}

/// See [`clusterdeck_driver::ServiceDriver::log_until`]. Of MariaDB.
pub(crate) async fn until(cx: &ClusterContext, node: &NodeSpec, target: &LogTarget) -> Result<()> {
    cx.machine(node)?.write(UNTIL, replayed(target).as_bytes(), 0o600).await
}

/// The first second that is not there, then each file with the last transaction before it that is.
fn replayed(target: &LogTarget) -> String {
    let mut text = format!("{}\n", target.at.strftime("%Y-%m-%d %H:%M:%S"));
    let mut after = target.from.at.saturating_sub(1);
    for name in &target.pieces {
        text.push_str(&format!("0-1-{after} {name}\n"));
        after = Piece::parse(name).map_or(after, |piece| piece.last.max(after));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(numbers: std::ops::RangeInclusive<u32>) -> Vec<At> {
        numbers.map(|n| (format!("binlog.{n:06}"), 100)).collect()
    }

    #[test]
    fn a_piece_is_called_after_what_it_holds_and_is_replayed_from_where_the_one_before_ends() {
        let piece = |before, last, server| Piece::of(server, (before, last), &files(12..=12)).unwrap();
        let (one, two) = (piece(99, 150, 1), piece(120, 300, 2));
        assert_eq!(Piece::parse(&one.name()), Some(one.clone()));
        assert_eq!(Piece::parse("binlog.000012"), None);
        assert!(one.name() < two.name(), "in their order");
        let target = LogTarget {
            at: "2026-11-29T12:00:00Z".parse().unwrap(),
            line: 0,
            from: LogPlace { line: 0, at: 101 },
            to_end: false,
            pieces: vec![one.name(), two.name()],
        };
        let (first, second) = (one.name(), two.name());
        assert_eq!(replayed(&target), format!("2026-11-29 12:00:00\n0-1-100 {first}\n0-1-150 {second}\n"));
    }

    #[test]
    fn where_a_copy_ends_is_a_place_only_where_it_has_a_number_of_the_one_history() {
        let at = |at| Some(LogPlace { line: 0, at });
        assert_eq!(place("GTID 0-1-4711"), at(4712));
        assert_eq!(place("binlog.000003:328"), at(1), "a server that never wrote");
        assert_eq!(place("GTID b4c0baf6-ebd1-11f1-888c-0fa44770b373:4"), None, "a member of Galera");
        assert_eq!(place("GTID between aa:1-5 and aa:1-9 (transaction 5)"), at(6));
        assert_eq!(place("before the first transaction (transaction 0)"), at(1));
    }

    #[test]
    fn files_between_which_a_transaction_was_on_its_way_are_one_piece() {
        let one = Piece::of(3, (99, 150), &files(12..=12)).unwrap();
        assert_eq!((one.files(), one.files.as_str()), (vec!["binlog.000012".to_owned()], "binlog.000012"));
        let three =
            Piece::parse(&Piece::of(3, (99, 150), &files(999_998..=1_000_000)).unwrap().name()).unwrap();
        assert_eq!(three.files(), ["binlog.999998", "binlog.999999", "binlog.1000000"]);

        let all = files(1..=6);
        let on_its_way = Edge { count: 20, last: 21 };
        let edges = [0, 10].map(Edge::after).into_iter().chain([on_its_way]);
        let edges: Vec<Edge> = edges.chain([30, 30, 40].map(Edge::after)).collect();
        let found: Vec<_> = runs(&all, &edges).into_iter().map(|(of, files)| (of, files.len())).collect();
        assert_eq!(found, [((0, 10), 1), ((10, 30), 2), ((30, 40), 1)], "what is written yet waits");
        let purged = runs(&all[2..], &edges[2..]);
        assert_eq!(purged[0].0, (30, 40), "what begins in the middle is of no use alone");
    }
}
