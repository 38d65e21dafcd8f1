//! The log: each server puts every piece of it aside on its machine as soon as that is complete, replicas as well
//! (`archive_mode=always`), so that no node takes a part of it with it when it dies. Whoever archives fetches the pieces from
//! there and takes them away on all nodes.
//!
//! The mode stands from the first start on, since it changes with a restart only; what is turned on and off is the command.
//! `archive.sh` is the plain kind that the server's manual describes: a copy under another name, synced, renamed, never over
//! another content. What it is given up for, and why not pgBackRest, stands in ARCHITECTURE.md.

use super::{
    flavour, form, patroni,
    patroni::{Client, Part},
    sql::{ANSWER, As, Session},
};
use crate::laying::lay_piece;
use clusterdeck_domain::{Fork, LogMark, LogPlace, LogSpan, NodeSpec};
use clusterdeck_driver::{
    ClusterContext, DriverError, Filter, Incoming, LogReady, LogTaken, LogTarget, LogWaiting, Machine,
    Outgoing, Result,
};
use futures::future::join_all;
use jiff::Timestamp;
use tokio_postgres::types::PgLsn;

pub(crate) const SCRIPT: &str = "pg/archive.sh";
pub(crate) const SCRIPT_TEXT: &str = include_str!("archive.sh");
/// Where pieces wait.
pub(crate) const WAITING: &str = "pg/log";
/// Where pieces lie that are replayed on a copy, and up to where.
pub(crate) const LAID: &str = "pg/log.laid";
pub(crate) const UNTIL: &str = "pg/log.until";

/// The share of a node's disk that pieces may take.
const SHARE: u64 = 10;
/// A piece is closed after so long when something was written, full or not. With a look each few seconds, and the way into the
/// vault, it stays below the minute that is promised.
const CLOSED_AFTER_S: u64 = 30;
/// Bytes of a piece, as `initdb` chooses.
const PIECE: u64 = 16 << 20;

/// What the server does with a complete piece.
pub(crate) fn command(cx: &ClusterContext, machine: &dyn Machine) -> String {
    if cx.spec.log_schedule().is_none() {
        return "/bin/true".to_owned();
    }
    let text = |path: &str| machine.path(path).display().to_string();
    let (script, waiting) = (text(SCRIPT), text(WAITING));
    format!("/bin/sh '{script}' \"%p\" \"%f\" '{waiting}' {}", most(machine) >> 10)
}

/// After how many seconds a piece is closed.
pub(crate) fn timeout_s(cx: &ClusterContext) -> u64 {
    if cx.spec.log_schedule().is_some() { CLOSED_AFTER_S } else { 0 }
}

fn most(machine: &dyn Machine) -> u64 {
    machine.plan().disk_bytes / SHARE
}

/// See [`clusterdeck_driver::ServiceDriver::log_place`]. `timeline 3, 0/3000100`.
pub(crate) fn place(position: &str) -> Option<LogPlace> {
    let (line, at) = position.strip_prefix("timeline ")?.split_once(", ")?;
    Some(LogPlace { line: line.parse().ok()?, at: at.parse::<PgLsn>().ok()?.into() })
}

/// See [`clusterdeck_driver::ServiceDriver::keep_log`].
pub(crate) async fn keep(cx: &ClusterContext) -> Result<()> {
    let client = Client::new(cx)?;
    for node in cx.spec.data_nodes() {
        let Ok(machine) = cx.machine(node) else { continue };
        let software = patroni::write(cx, node, Part::noted(cx, node).await).await?;
        if cx.spec.log_schedule().is_some() {
            let dump = software.folder.join("pg_waldump").display().to_string();
            let there = Filter::script(r#"[ -x "$1" ] || { echo "there is no $1" >&2; exit 1; }"#, [dump]);
            machine.output_of(&there, &mut tokio::io::sink()).await.map_err(|_| {
                DriverError::rejected(
                    format!(
                        "the server on {} has no pg_waldump, which tells the times in its log",
                        node.name
                    ),
                    "install PostgreSQL's server package as a whole",
                )
            })?;
        }
        if machine.state(patroni::UNIT).await?.is_running() {
            client.reload(&node.name).await?;
        }
    }
    Ok(())
}

/// See [`clusterdeck_driver::ServiceDriver::log_ready`].
pub(crate) async fn ready(cx: &ClusterContext) -> Result<LogReady> {
    let mut ready = LogReady::default();
    let lead = form::leader(cx).await.ok();
    if let Some(lead) = lead
        && let Ok(mark) = mark(cx, lead).await
    {
        (ready.mark, ready.quiet, ready.problem) = mark;
    }
    let looks = cx.spec.data_nodes().filter_map(|node| Some((node, cx.machine(node).ok()?)));
    let looks = join_all(
        looks.map(|(node, machine)| async move { (node, machine, waiting(machine.as_ref()).await) }),
    );
    let mut seen = looks.await;
    // Who leads is the first to have a piece.
    seen.sort_by_key(|(node, ..)| lead.is_none_or(|lead| lead.id != node.id));
    for (node, machine, found) in seen {
        let Ok((pieces, given_up)) = found else { continue };
        let bytes = pieces.iter().map(|(used, _)| used).sum();
        ready.waiting_bytes = ready.waiting_bytes.max(bytes);
        ready.most_bytes = ready.most_bytes.max(most(machine.as_ref()));
        ready.given_up.extend(given_up);
        ready.waiting.extend(pieces.into_iter().map(|(used_bytes, name)| LogWaiting {
            name,
            node: node.id.clone(),
            used_bytes,
        }));
    }
    ready.given_up.sort();
    ready.given_up.dedup();
    Ok(ready)
}

type Marked = (Option<LogMark>, Option<u64>, Option<String>);

/// Where the log is now. The time is taken before the snapshot and that before the place: what was acknowledged by then lies
/// before it.
async fn mark(cx: &ClusterContext, lead: &NodeSpec) -> Result<Marked> {
    let session = Session::open(cx, lead, As::Operator, ANSWER).await?;
    let asked = "SELECT (extract(epoch FROM now()) * 1000000)::bigint, \
                 txid_snapshot_xmin(s), txid_snapshot_xmax(s), pg_current_wal_lsn(), \
                 pg_walfile_name(pg_current_wal_lsn()), current_setting('archive_mode') \
                 FROM txid_current_snapshot() s";
    let row = session.row(asked, &[]).await?;
    let (at, low, high): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let (place, file, mode): (PgLsn, String, String) = (row.get(3), row.get(4), row.get(5));
    let at = Timestamp::from_microsecond(at).ok();
    let line = u32::from_str_radix(file.get(..8).unwrap_or_default(), 16).ok();
    let mark = at.zip(line).map(|(at, line)| LogMark { at, place: LogPlace { line, at: place.into() } });
    // With nobody under way, the same next number later says that nobody came.
    let quiet = (low == high).then(|| u64::try_from(high).ok()).flatten();
    let problem = (mode != "always").then(|| {
        format!("{} was started before its log could be archived: it does so after a reboot", lead.name)
    });
    Ok((mark, quiet, problem))
}

/// KiB and names of all that waits, then a line, then what was given up.
const LIST: &str = r#"
cd "$1" 2> /dev/null || exit 0
du -ak . && echo - && { cat given-up 2> /dev/null || :; }
"#;

/// Bytes and name of each piece that waits, and the names of those that were given up.
async fn waiting(machine: &dyn Machine) -> Result<(Vec<(u64, String)>, Vec<String>)> {
    let mut said = Vec::new();
    let list = Filter::script(LIST, [machine.path(WAITING).display().to_string()]);
    machine.output_of(&list, &mut said).await?;
    Ok(listed(&String::from_utf8_lossy(&said)))
}

fn listed(said: &str) -> (Vec<(u64, String)>, Vec<String>) {
    let (files, given_up) = said.split_once("-\n").unwrap_or((said, ""));
    let piece = |line: &str| {
        let (kib, name) = line.split_once("\t./")?;
        is_piece(name).then_some((kib.parse::<u64>().ok()? << 10, name.to_owned()))
    };
    let mut pieces: Vec<_> = files.lines().filter_map(piece).collect();
    pieces.sort_by(|a, b| a.1.cmp(&b.1));
    (pieces, given_up.lines().filter(|name| is_piece(name)).map(str::to_owned).collect())
}

fn is_piece(name: &str) -> bool {
    stretch(name).is_some() || name.strip_suffix(".history").is_some_and(|line| u32_hex(line).is_some())
}

fn u32_hex(digits: &str) -> Option<u32> {
    let fine = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_lowercase());
    fine.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// Which timeline, from where: from the 24 digits of a name.
fn stretch(name: &str) -> Option<(u32, u64)> {
    let part = |n: usize| u32_hex(name.get(8 * n..8 * (n + 1))?);
    let whole = name.len() == 24;
    let (line, high, low) = (part(0)?, part(1)?, part(2)?);
    whole.then(|| (line, (u64::from(high) << 32) + u64::from(low) * PIECE))
}

/// `$1` pg_waldump, `$2` the piece. It complains of the end of what it was given; the times are what counts.
const TIMES: &str = r#"
export LC_ALL=C TZ=UTC
cd "${2%/*}" || exit 1
"$1" --rmgr=Transaction "${2##*/}" "${2##*/}" 2> /dev/null |
  sed -n -E 's/.* desc: (COMMIT|ABORT)[^-]*(....-..-.. ..:..:..[.0-9]*) UTC.*/\2/p' | sort | sed -n '1p;$p'
"#;

/// See [`clusterdeck_driver::ServiceDriver::log_out`].
pub(crate) async fn out(cx: &ClusterContext, piece: &LogWaiting, output: &mut Outgoing) -> Result<LogSpan> {
    let machine = cx.machine(cx.node(&piece.node)?)?.as_ref();
    let path = format!("{WAITING}/{}", piece.name);
    let full = machine.path(&path).display().to_string();
    machine.output_of(&Filter::script(r#"exec cat -- "$1""#, [full.clone()]), output).await?;
    let Some((line, from)) = stretch(&piece.name) else {
        return history(&piece.name, &String::from_utf8_lossy(&machine.read(&path).await?));
    };
    let dump = flavour::software(cx, machine).await?.folder.join("pg_waldump").display().to_string();
    let mut said = Vec::new();
    machine.output_of(&Filter::script(TIMES, [dump, full]), &mut said).await?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let time = |line: &str| format!("{}Z", line.trim().replace(' ', "T")).parse::<Timestamp>().ok();
    let (first, last) = (said.lines().next().and_then(time), said.lines().next_back().and_then(time));
    Ok(LogSpan::Stretch { line, from, to: from + PIECE, first, last })
}

/// What a history file says: a line for each timeline before, with the place where it was left.
fn history(name: &str, text: &str) -> Result<LogSpan> {
    let fork = |line: &str| {
        let mut words = line.split_whitespace();
        let (line, at) = (words.next()?.parse().ok()?, words.next()?.parse::<PgLsn>().ok()?);
        Some(Fork { line, at: at.into() })
    };
    let line = name.split('.').next().and_then(u32_hex);
    let line = line.ok_or_else(|| DriverError::broken(format!("{name} is no piece of a log")))?;
    let said = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    Ok(LogSpan::Forks { line, forks: said.filter_map(fork).collect() })
}

/// `$1` where pieces wait, then a name and a checksum, and so on. Says the names of those that are not what they should be.
const TAKEN: &str = r#"
cd "$1" 2> /dev/null || exit 0
shift
while [ $# -ge 2 ]; do
  if [ -e "$1" ]; then
    sum=$(sha256sum < "$1") || exit 1
    if [ "${sum%% *}" = "$2" ]; then rm -f "$1"; else echo "$1"; fi
  fi
  shift 2
done
"#;

/// See [`clusterdeck_driver::ServiceDriver::log_taken`].
pub(crate) async fn taken(cx: &ClusterContext, taken: &[LogTaken]) -> Result<Vec<String>> {
    let pairs = taken.iter().flat_map(|piece| [piece.name.clone(), piece.sha256.clone()]);
    let said = everywhere(cx, TAKEN, &pairs.collect::<Vec<_>>()).await;
    let mut differ: Vec<String> = said.iter().flat_map(|said| said.lines().map(str::to_owned)).collect();
    differ.sort();
    differ.dedup();
    Ok(differ)
}

/// See [`clusterdeck_driver::ServiceDriver::log_drop`].
pub(crate) async fn drop_pieces(cx: &ClusterContext, names: &[String]) {
    let script = r#"cd "$1" 2> /dev/null || exit 0; shift; rm -f -- given-up "$@""#;
    everywhere(cx, script, names).await;
}

/// Runs a script where the pieces wait, on every node that answers; what each said.
async fn everywhere(cx: &ClusterContext, script: &str, args: &[String]) -> Vec<String> {
    let machines = cx.spec.data_nodes().filter_map(|node| cx.machine(node).ok());
    let runs = machines.map(|machine| async move {
        let at = machine.path(WAITING).display().to_string();
        let mut said = Vec::new();
        let filter = Filter::script(script, std::iter::once(at).chain(args.iter().cloned()));
        let ran = machine.output_of(&filter, &mut said).await;
        ran.map(|_| String::from_utf8_lossy(&said).into_owned()).ok()
    });
    join_all(runs).await.into_iter().flatten().collect()
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
    cx.machine(node)?.write(UNTIL, recovery(cx.machine(node)?.as_ref(), target).as_bytes(), 0o600).await
}

/// What the server is told that replays. The pieces are linked, not copied: they lie on the same disk and are not needed after.
fn recovery(machine: &dyn Machine, target: &LogTarget) -> String {
    let at = target.at.to_string().replace('T', " ").replace('Z', "+00");
    let laid = machine.path(LAID).display().to_string().replace('\'', "''");
    format!(
        "restore_command = 'ln \"{laid}/%f\" \"%p\" 2> /dev/null || cp \"{laid}/%f\" \"%p\"'\n\
         recovery_target_timeline = '{}'\n\
         recovery_target_action = 'promote'\n\
         recovery_target_time = '{at}'\n",
        target.line
    )
}

/// The same, replayed to the end of the pieces.
pub(crate) fn without_moment(target: &str) -> String {
    let lines = target.lines().filter(|line| !line.starts_with("recovery_target_time "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_a_piece_lies_and_other_files_are_none() {
        assert_eq!(stretch("000000030000000100000005"), Some((3, (1 << 32) + 5 * PIECE)));
        for name in ["000000030000000100000005.partial", "given-up", "00000003000000010000000g", ".", ""] {
            assert!(!is_piece(name), "{name}");
        }
        assert!(is_piece("00000003.history") && !is_piece("3.history"));
        let listed =
            listed("16\t./000000010000000000000002\n4\t./given-up\n16388\t.\n-\n000000010000000000000003\n");
        assert_eq!(listed.0, [(16 << 10, "000000010000000000000002".to_owned())]);
        assert_eq!(listed.1, ["000000010000000000000003"]);
    }

    #[test]
    fn where_a_copy_ends_and_where_a_timeline_was_left_are_read_as_the_server_writes_them() {
        assert_eq!(place("timeline 3, 1/3000100"), Some(LogPlace { line: 3, at: (1 << 32) + 0x300_0100 }));
        assert_eq!(place("offset 5"), None);
        let text = "1\t0/5000148\tno recovery target specified\n\n2\t0/6000000\tbefore 2026-11-29\n";
        let forks = vec![Fork { line: 1, at: 0x500_0148 }, Fork { line: 2, at: 0x600_0000 }];
        assert_eq!(history("00000003.history", text).unwrap(), LogSpan::Forks { line: 3, forks });
    }
}
