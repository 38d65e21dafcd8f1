//! The log of MariaDB: the binary log of whoever takes the writes. It waits where the server has it anyhow, and replicas follow by
//! it, so nothing is taken away here; what has no bound of its own gets one in `logs`, which leaves what is not archived yet.
//!
//! Places are the numbers of transactions, which grow by one in the one history of a cluster. A newly promoted node has in its own
//! files what it got from the one before, so the first piece of its log begins within the last one of the other.

use super::{
    config,
    gtid::Gtids,
    logs,
    sql::{ANSWER, As, Session, number},
    survey,
};
use crate::laying::lay_piece;
use clusterdeck_domain::{ClusterId, LogMark, LogPlace, LogSpan, NodeId, NodeSpec};
use clusterdeck_driver::{
    ClusterContext, DriverError, Filter, Incoming, LogReady, LogTaken, LogTarget, LogWaiting, Outgoing,
    Result,
};
use jiff::Timestamp;
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

/// What is remembered of the logs of running servers, so that it is asked once.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<ClusterId, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The last transaction before each file.
    begins: BTreeMap<(NodeId, String), u64>,
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

/// See [`clusterdeck_driver::ServiceDriver::log_place`]. `GTID 0-1-4711`; the place is the next one.
pub(crate) fn place(position: &str) -> Option<LogPlace> {
    // Of a server that never wrote, the place in its file.
    let Some(gtids) = position.strip_prefix("GTID ") else {
        return position.starts_with("binlog.").then_some(LogPlace { line: 0, at: 1 });
    };
    let at = Gtids::parse(gtids).sequence();
    (at > 0).then_some(LogPlace { line: 0, at: at + 1 })
}

/// A piece is called after what it holds: the last transaction before it, its last, whose log it is, and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    before: u64,
    last: u64,
    server: u16,
    file: String,
}

impl Piece {
    fn name(&self) -> String {
        format!("{:016x}-{:016x}-{}-{}", self.before, self.last, self.server, self.file)
    }
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(4, '-');
        let mut hex = || u64::from_str_radix(parts.next()?, 16).ok();
        let (before, last) = (hex()?, hex()?);
        Some(Self { before, last, server: parts.next()?.parse().ok()?, file: parts.next()?.to_owned() })
    }
}

/// See [`clusterdeck_driver::ServiceDriver::log_ready`].
pub(crate) async fn ready(cx: &ClusterContext, seen: &Seen) -> Result<LogReady> {
    let answers = survey::all(cx).await;
    let Ok(lead) = survey::writer(&answers) else { return Ok(LogReady::default()) };
    let mut session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    let row = session
        .row("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED), @@global.gtid_binlog_pos")
        .await?;
    let at =
        number(&row, 0).and_then(|n| i64::try_from(n).ok()).and_then(|n| Timestamp::from_microsecond(n).ok());
    let last = Gtids::parse(&super::sql::text(&row, 1).unwrap_or_default()).sequence();
    let mut files = logs::files(&mut session).await?;
    if close(cx, seen, lead, &mut session, &files, last).await? {
        files = logs::files(&mut session).await?;
    }
    let mut waiting = Vec::new();
    for pair in files.windows(2) {
        let [(file, size), (next, _)] = pair else { continue };
        let before = begins_after(cx, seen, lead, &mut session, file).await?;
        let last = begins_after(cx, seen, lead, &mut session, next).await?;
        // One in which nothing was written holds nothing.
        if before < last {
            let piece = Piece { before, last, server: config::server_id(lead), file: file.clone() };
            waiting.push(LogWaiting { name: piece.name(), node: lead.id.clone(), used_bytes: *size });
        }
    }
    let archived = seen.with(cx, |known| known.archived);
    let waits = |w: &&LogWaiting| Piece::parse(&w.name).is_some_and(|piece| piece.last > archived);
    Ok(LogReady {
        mark: at.map(|at| LogMark { at, place: LogPlace { line: 0, at: last + 1 } }),
        waiting_bytes: waiting.iter().filter(waits).map(|w| w.used_bytes).sum(),
        most_bytes: logs::bound(cx.machine(lead)?.as_ref()),
        waiting,
        ..LogReady::default()
    })
}

/// Closes the file that is written when something has waited in it for long enough.
async fn close(
    cx: &ClusterContext,
    seen: &Seen,
    lead: &NodeSpec,
    session: &mut Session,
    files: &[survey::At],
    last: u64,
) -> Result<bool> {
    let Some((open, _)) = files.last() else { return Ok(false) };
    if begins_after(cx, seen, lead, session, open).await? >= last {
        seen.with(cx, |known| known.open = None);
        return Ok(false);
    }
    let due = seen.with(cx, |known| {
        let same = known.open.take().filter(|(file, _)| file == open);
        let (file, since) = same.unwrap_or_else(|| (open.clone(), Instant::now()));
        known.open = Some((file, since));
        since.elapsed() >= CLOSED_AFTER
    });
    if due {
        session.run("FLUSH BINARY LOGS").await?;
    }
    Ok(due)
}

async fn begins_after(
    cx: &ClusterContext,
    seen: &Seen,
    node: &NodeSpec,
    session: &mut Session,
    file: &str,
) -> Result<u64> {
    let key = (node.id.clone(), file.to_owned());
    if let Some(known) = seen.with(cx, |known| known.begins.get(&key).copied()) {
        return Ok(known);
    }
    let begins = logs::begins_after(session, file).await?;
    seen.with(cx, |known| known.begins.insert(key, begins));
    Ok(begins)
}

/// `$1` the file. What was acknowledged before it was closed is in it or in one before it.
const OUT: &str = r#"exec cat -- "$1""#;
const CLOSED: &str = r#"stat -c %Y "$1""#;

/// See [`clusterdeck_driver::ServiceDriver::log_out`].
pub(crate) async fn out(cx: &ClusterContext, piece: &LogWaiting, output: &mut Outgoing) -> Result<LogSpan> {
    let machine = cx.machine(cx.node(&piece.node)?)?.as_ref();
    let meant = Piece::parse(&piece.name)
        .ok_or_else(|| DriverError::broken(format!("{} is no piece of a log", piece.name)))?;
    let file = machine.path(&format!("{}/{}", config::DATA, meant.file)).display().to_string();
    let mut closed = Vec::new();
    machine.output_of(&Filter::script(CLOSED, [file.clone()]), &mut closed).await?;
    machine.output_of(&Filter::script(OUT, [file]), output).await?;
    let closed = String::from_utf8_lossy(&closed).trim().parse::<i64>().ok();
    let last = closed.and_then(|s| Timestamp::from_second(s).ok());
    Ok(LogSpan::Stretch { line: 0, from: meant.before + 1, to: meant.last + 1, first: None, last })
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

/// See [`clusterdeck_driver::ServiceDriver::log_until`].
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

    #[test]
    fn a_piece_is_called_after_what_it_holds_and_is_replayed_from_where_the_one_before_ends() {
        let piece = |before, last, server| Piece { before, last, server, file: "binlog.000012".to_owned() };
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
        assert_eq!(place("GTID 0-1-4711"), Some(LogPlace { line: 0, at: 4712 }));
        assert_eq!(
            place("binlog.000003:328"),
            Some(LogPlace { line: 0, at: 1 }),
            "a server that never wrote"
        );
        assert_eq!(place("GTID b4c0baf6-ebd1-11f1-888c-0fa44770b373:4"), None, "a member of Galera");
    }
}
