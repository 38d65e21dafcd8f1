//! Copying a server's data out, and laying such a copy for a new cluster. Of Oracle's MySQL.
//!
//! The copy is the server's own clone, which it makes in a folder beside its data: so for a while its data is on its disk twice.
//! It is laid by starting a server on it for a moment, which is how a clone becomes a data folder; that one writes the accounts
//! of its new cluster and forgets the group it was in. It goes on knowing what it had executed, so the other members of its
//! new group clone it.

use super::super::{
    archive::{LAID, UNTIL},
    backup::{Laying, bash},
    config::FOLDER,
    flavour,
    sql::{ANSWER, As, Session, number},
};
use super::{
    accounts, config,
    enter::cloned,
    growth,
    gtid::GtidSet,
    survey::{self, Place},
};
use crate::{
    laying::clear,
    wait::{Look, until},
};
use clusterdeck_domain::{NodeSpec, Topology};
use clusterdeck_driver::{
    ClusterContext, CopyFormat, CopyFrom, DriverError, Incoming, Machine, Outgoing, Progress, Result,
};
use std::time::Duration;

/// A copy is the files of a clone, one after the other: a line `size path`, then so many bytes; `- path` is a folder. The last
/// line is `end`.
pub(crate) const FORMAT: CopyFormat = CopyFormat {
    ending: "clone",
    restore: "1. Install MySQL of the same version (manifest.json says which).\n\
              2. Unpack it with this program, kept as unpack.py: python3 unpack.py data < FILE\n\n\
              import os, sys\n\
              to, src = sys.argv[1], sys.stdin.buffer\n\
              while True:\n    \
                  size, _, path = src.readline().decode().rstrip('\\n').partition(' ')\n    \
                  if size == 'end': break\n    \
                  if not size: sys.exit('it was cut short')\n    \
                  at = os.path.join(to, path)\n    \
                  if size == '-': os.makedirs(at, exist_ok=True); continue\n    \
                  os.makedirs(os.path.dirname(at), exist_ok=True)\n    \
                  left = int(size)\n    \
                  with open(at, 'wb') as f:\n        \
                      while left:\n            \
                          some = src.read(min(left, 1 << 20))\n            \
                          if not some: sys.exit('it was cut short')\n            \
                          f.write(some); left -= len(some)\n\n\
              3. mysqld --no-defaults --datadir=$PWD/data --socket=/tmp/restored.sock --skip-networking --skip-grant-tables\n\
              4. In another terminal: mysql --socket=/tmp/restored.sock; there FLUSH PRIVILEGES, then\n   \
                 ALTER USER app@'%' IDENTIFIED BY '...'. Start it again without --skip-grant-tables.\n",
};

const OUT: &str = include_str!("copy-out.sh");
const IN: &str = include_str!("copy-in.sh");

/// Where a clone lies until it is sent.
const CLONE: &str = "mysql/clone-out";

/// A member that does not come nearer for so long does not catch up.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// A clone that is told to end does so after the piece it is copying.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// While it goes on it says how far it is, which is what a caller goes by.
const CLONES_WITHIN: Duration = Duration::from_secs(24 * 3600);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Whose rows a clone has, or that have none once the server ends.
const CLONED: &str = "'InnoDB', 'MEMORY', 'BLACKHOLE', 'FEDERATED', 'MRG_MYISAM'";
/// Another one is being made: a member that joins gets it.
const TOO_MANY_CLONES: &str = "(3634)";

/// See [`clusterdeck_driver::ServiceDriver::copy_out`].
pub(crate) async fn copy_out(
    cx: &ClusterContext,
    from: &CopyFrom,
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<String> {
    let node = cx.node(&from.node)?;
    let machine = cx.machine(node)?.as_ref();
    let mut session = Session::open(cx, node, As::Operator, ANSWER).await?;
    end_the_one_before(&mut session).await?;
    machine.remove(CLONE).await?;
    has_everything(cx, node, progress).await?;
    all_is_cloned(&mut session, node).await?;
    fits(&mut session, node, machine).await?;
    let copied = async {
        let before = executed(&mut session).await?;
        let whole = GtidSet::parse(&before).unwrap_or_default().whole(&config::group(cx));
        clone(cx, node, &mut session, progress).await?;
        let after = executed(&mut session).await?;
        all_is_cloned(&mut session, node).await?;
        progress.note(&format!("copying {}", node.name));
        let folder = machine.path(CLONE).to_string_lossy().into_owned();
        machine.output_of(&bash(OUT, [folder]), output).await?;
        Ok(position(&before, &after, whole))
    };
    let copied = copied.await;
    machine.remove(CLONE).await?;
    copied
}

/// A call that was killed leaves its clone under way: the server does not notice that nobody waits for it.
async fn end_the_one_before(session: &mut Session) -> Result<()> {
    until!(ENDS_WITHIN, async {
        let rows = session
            .rows(
                "SELECT PID FROM performance_schema.clone_status WHERE STATE = 'In Progress' AND SOURCE = 'LOCAL INSTANCE'",
            )
            .await?;
        let Some(id) = rows.first().and_then(|row| number(row, 0)) else { return Ok(Look::Done(())) };
        // It may have ended by itself.
        drop(session.run(format!("KILL {id}")).await);
        Ok(Look::NotYet(format!("{} still makes a copy for a call before this one", session.whom())))
    })
}

/// Waits until a member has what was acknowledged by now, wherever that was.
async fn has_everything(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    if cx.spec.topology == Topology::Single {
        return Ok(());
    }
    let answers = survey::all(cx).await;
    survey::serving(&answers)?;
    let goal = survey::known(&answers);
    until!(STUCK_AFTER, async {
        let place: Place = survey::ask(cx, node).await?;
        Ok(if !place.serves() {
            Look::NotYet(format!("{} is not in step with the group", node.name))
        } else if place.executed.contains(&goal) {
            Look::Done(())
        } else {
            let note = format!("{} catches up", node.name);
            progress.measured(&note, place.executed.count(), goal.count());
            Look::Moving(note, place.executed.count())
        })
    })
}

/// A clone holds the rows of InnoDB's tables; others would be there and empty.
async fn all_is_cloned(session: &mut Session, node: &NodeSpec) -> Result<()> {
    // What is known of their sizes may be a day old.
    session.run("SET SESSION information_schema_stats_expiry = 0").await?;
    let left = format!("t.ENGINE NOT IN ({CLONED}) AND COALESCE(t.TABLE_ROWS, 1) > 0");
    match growth::tables(session, &left).await? {
        None => Ok(()),
        Some(names) => Err(DriverError::rejected(
            format!("{} has rows in tables that are not InnoDB, which are not copied: {names}", node.name),
            "convert each (`ALTER TABLE … ENGINE = InnoDB`) or drop it, then try again",
        )),
    }
}

/// A clone takes as much of the disk as the data.
async fn fits(session: &mut Session, node: &NodeSpec, machine: &dyn Machine) -> Result<()> {
    let row = session.row("SELECT SUM(FILE_SIZE) FROM information_schema.INNODB_TABLESPACES").await?;
    let needed = number(&row, 0).unwrap_or(0);
    let free = machine.plan().disk_bytes.saturating_sub(machine.disk_bytes(FOLDER).await?);
    if needed <= free {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    Err(DriverError::rejected(
        format!(
            "{} makes a copy of its data beside it first, which takes {} MiB, and has {} MiB of disk free",
            node.name,
            mib(needed),
            mib(free)
        ),
        "free some disk space, or choose a larger plan, then try again",
    ))
}

async fn executed(session: &mut Session) -> Result<String> {
    session.word("SELECT REPLACE(@@global.gtid_executed, '\\n', '')").await
}

/// Makes the clone, and says how far it is.
async fn clone(
    cx: &ClusterContext,
    node: &NodeSpec,
    session: &mut Session,
    progress: &Progress,
) -> Result<()> {
    let folder = cx.machine(node)?.path(CLONE).to_string_lossy().replace('\\', "\\\\").replace('\'', "\\'");
    let note = format!("{} copies its data", node.name);
    progress.note(&note);
    let mut look = Session::open(cx, node, As::Watch, ANSWER).await?;
    let made = session.run_within(format!("CLONE LOCAL DATA DIRECTORY = '{folder}'"), CLONES_WITHIN);
    tokio::pin!(made);
    loop {
        match tokio::time::timeout(LOOK_EVERY, &mut made).await {
            Ok(made) => return made.map_err(|e| refused(node, e)),
            Err(_) => {
                if let Some((done, total)) = cloned(&mut look).await? {
                    progress.copied(&note, done.min(total), total);
                }
            }
        }
    }
}

fn refused(node: &NodeSpec, e: DriverError) -> DriverError {
    match e {
        DriverError::Rejected { what, .. } if what.contains(TOO_MANY_CLONES) => {
            DriverError::transient(format!("{} gives a copy to another member at the moment", node.name))
        }
        other => other,
    }
}

/// Up to where a clone goes. The server tells that only when it is started on it, so while others write it is between two.
/// Up to `whole` it has every one of the cluster's history.
fn position(before: &str, after: &str, whole: u64) -> String {
    let told = match (before, after) {
        ("", "") => "before the first transaction".to_owned(),
        ("", after) => format!("GTID up to {after}"),
        (before, after) if before == after => format!("GTID {after}"),
        (before, after) => format!("GTID between {before} and {after}"),
    };
    format!("{told} (transaction {whole})")
}

/// See [`clusterdeck_driver::ServiceDriver::copy_in`].
pub(crate) async fn copy_in(
    cx: &ClusterContext,
    node: &NodeSpec,
    input: &mut Incoming,
    bytes: u64,
    progress: &Progress,
) -> Result<()> {
    let machine = cx.machine(node)?.as_ref();
    let software = flavour::software(&cx.spec, machine).await?;
    let laying = Laying::begin(cx, node).await?;
    let call = |what: &str, with: String| {
        let client = software.client.to_string_lossy().into_owned();
        bash(IN, [what.to_owned(), laying.path(), with, client])
    };
    let server = software.server.to_string_lossy().into_owned();
    let calls = [call("lay", bytes.to_string()), call("prepare", server)];
    if machine.exists(UNTIL).await? {
        // The group that the copy was in is forgotten, and then what was replayed.
        laying.may_replay(cx, "RESET REPLICA ALL").await?;
    }
    let accounts = accounts::statements_for_a_copy(&cx.secrets)?;
    let laid = laying.end(&accounts, calls, (input, bytes), progress).await;
    // What was replayed is in the data by now.
    clear(machine, &[UNTIL, LAID]).await?;
    laid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_clone_ends_is_told_as_exactly_as_it_is_known() {
        assert_eq!(position("", "", 0), "before the first transaction (transaction 0)");
        assert_eq!(position("aa:1-5", "aa:1-5", 5), "GTID aa:1-5 (transaction 5)");
        assert_eq!(position("aa:1-5", "aa:1-9", 5), "GTID between aa:1-5 and aa:1-9 (transaction 5)");
    }
}
