//! The log of Oracle's MySQL, alone or in a group of which one member takes the writes. Its ids are of the group, whoever
//! leads, and grow by one where it hands them out one by one (`group_replication_gtid_assignment_block_size`): so they are
//! places, with what a single node wrote before there was a group counted before them. A primary may write two
//! transactions down in another order than that of their numbers; where one of its files ends between the two, the next
//! one is of the same piece.
//!
//! Pieces are replayed by the server itself, as what a replica received. That leaves out by itself what a copy holds, or an
//! earlier piece of another member, and needs no `mysqlbinlog`, which the makers' images lack.

use super::super::{
    archive::{LAID, Log, NOW, Numbered, Piece, Seen, UNTIL, moment, write},
    sql::{ANSWER, As, Session, number},
};
use super::{config, events::Reader, survey};
use clusterdeck_domain::{LogMark, LogPlace, LogSpan, NodeSpec, Topology};
use clusterdeck_driver::{
    ClusterContext, DriverError, Filter, LogReady, LogTarget, LogWaiting, Outgoing, Result,
};
use jiff::Timestamp;
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// So long after a member said that it leads nobody else can: others wait for five seconds before they miss it.
const LEADS_FOR: Duration = Duration::from_secs(4);
/// More transactions are not on their way at a time: where so many numbers are missing, they were handed out in blocks.
const ON_THEIR_WAY: u64 = 100_000;

const IN_BLOCKS: &str = "its members number transactions in blocks of their own, as those of an older Clusterdeck do, so \
     that one number says nothing of a place; a clone of the cluster has its log archived";

/// See [`clusterdeck_driver::ServiceDriver::log_ready`].
pub(crate) async fn ready(cx: &ClusterContext, seen: &Seen) -> Result<LogReady> {
    let begun = Instant::now();
    let answers = survey::all(cx).await;
    let Some(lead) = survey::writer(cx, &answers) else { return Ok(LogReady::default()) };
    let mut session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    // First the moment, then what there is: all that was acknowledged by then is in that.
    let asked = session.row(&format!("SELECT {NOW}, {BLOCK}")).await?;
    let place = survey::place(&mut session).await?;
    let group = config::group(cx);
    let (now, has) = (place.executed.edge(&group), place.has().edge(&group));
    let in_blocks = cx.spec.topology != Topology::Single && number(&asked, 1) != Some(1);
    if in_blocks || now.last - now.count > ON_THEIR_WAY {
        return Ok(LogReady { problem: Some(IN_BLOCKS.to_owned()), ..LogReady::default() });
    }
    let mark = moment(&asked).filter(|_| begun.elapsed() < LEADS_FOR);
    let mark = mark.map(|at| LogMark { at, place: LogPlace { line: 0, at: has.last + 1 } });
    let mut log = Log { cx, seen, lead, numbered: Numbered::InGroup(group, place.purged), session };
    log.ready(now, mark).await
}

/// How many numbers a member takes at a time.
pub(super) const BLOCK: &str = "@@global.group_replication_gtid_assignment_block_size";

/// What is read of a log at once. Bytes.
const AT_ONCE: usize = 64 << 10;

/// Passes a piece on, as `give` writes it, and reads it meanwhile.
async fn read<F>(
    name: &str,
    until: Option<Timestamp>,
    give: impl FnOnce(DuplexStream) -> F,
    output: &mut Outgoing,
) -> Result<Reader>
where
    F: Future<Output = Result<()>>,
{
    let (inlet, mut outlet) = tokio::io::duplex(AT_ONCE);
    let take = async move {
        let (mut reader, mut bytes) = (Reader::until(until), vec![0; AT_ONCE]);
        loop {
            let count = outlet.read(&mut bytes).await?;
            let read = bytes.get(..count).filter(|read| !read.is_empty());
            let Some(read) = read else { return Ok(reader) };
            reader.read(read);
            output.write_all(read).await?;
        }
    };
    let (given, taken) = tokio::join!(give(inlet), take);
    let reader = taken.map_err(|e: io::Error| DriverError::transient(format!("passing on the log: {e}")))?;
    given?;
    match reader.strange {
        None => Ok(reader),
        Some(what) => Err(DriverError::rejected(
            format!("the piece {name} of the log holds {what}"),
            "moments cannot be brought back from it; do without such transactions, or stop archiving the log",
        )),
    }
}

/// See [`clusterdeck_driver::ServiceDriver::log_out`].
pub(crate) async fn out(cx: &ClusterContext, piece: &LogWaiting, output: &mut Outgoing) -> Result<LogSpan> {
    let (machine, meant) = (cx.machine(cx.node(&piece.node)?)?, Piece::meant(&piece.name)?);
    let files = &meant;
    let give = |mut to| async move { write(machine.as_ref(), files, &mut to).await };
    let reader = read(&piece.name, None, give, output).await?;
    Ok(meant.span(reader.first, reader.last))
}

/// See [`clusterdeck_driver::ServiceDriver::log_until`]: at which byte of the last piece replaying ends, `end` where all of it is
/// replayed; then the pieces.
pub(crate) async fn until(cx: &ClusterContext, node: &NodeSpec, target: &LogTarget) -> Result<()> {
    let machine = cx.machine(node)?;
    let mut text = "end\n".to_owned();
    if let (Some(name), false) = (target.pieces.last(), target.to_end) {
        let file = machine.path(&format!("{LAID}/{name}")).display().to_string();
        let cat = Filter::new("/bin/cat", [file]);
        let give = |mut to| async move { machine.output_of(&cat, &mut to).await.map(drop) };
        let beyond = read(name, Some(target.at), give, &mut tokio::io::sink()).await?.beyond;
        let byte = beyond.ok_or_else(|| {
            DriverError::broken(format!("the piece {name} of the log has nothing behind {}", target.at))
        })?;
        text = format!("{byte}\n");
    }
    for name in &target.pieces {
        text.push_str(&format!("{name}\n"));
    }
    machine.write(UNTIL, text.as_bytes(), 0o600).await
}
