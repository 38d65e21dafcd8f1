//! Copying a server's data out, and laying such a copy for a new one.
//!
//! The copy is what `pg_basebackup` writes: an archive of the data folder with the log up to its end, and a manifest of it all
//! as its last file. It is laid as a server leaves its data that was stopped in order: held against the manifest, its log
//! replayed, the passwords those of its new cluster. Patroni then finds a data folder when it starts for the first time, and
//! takes it over as it does with any server that was there before it: by a promotion, so that the new cluster goes on in a
//! timeline of its own. Its bootstrap by a command of ours would let everybody on the machine in without a password for a
//! moment, and put a folder with which it fails aside and go on with an empty one.

use super::{
    archive,
    change::{WRITTEN_WITHIN, checkpoint, told},
    config,
    flavour::{self, Software},
    form, settled,
    sql::{ANSWER, As, Session},
    tls,
};
use crate::{
    laying::{clear, unusable},
    wait::{Look, until},
};
use clusterdeck_domain::{NodeSpec, Sensitive};
use clusterdeck_driver::{
    ClusterContext, CopyFormat, CopyFrom, DriverError, Filter, Incoming, Machine, Outgoing, Progress, Result,
};
use std::{fmt, time::Duration};
use tokio_postgres::types::PgLsn;

/// A copy is what `pg_basebackup -Ft -X fetch` writes.
pub(crate) const FORMAT: CopyFormat = CopyFormat {
    ending: "tar",
    restore: "1. Install PostgreSQL of the same major version (manifest.json says which), and its extensions.\n\
              2. mkdir -m 0700 data && tar -x -C data -f FILE\n\
              3. Empty data/postgresql.conf, data/postgresql.auto.conf and data/pg_hba.conf: they name places of the old\n   \
                 node. Into data/pg_hba.conf write: local all all trust\n\
              4. Rename data/postgresql.base.conf to data/postgresql.conf when it is there.\n\
              5. pg_ctl -D data -o '-c unix_socket_directories=/tmp -c listen_addresses=' start\n\
              6. psql -h /tmp -U operator app; there ALTER ROLE app PASSWORD '...' and what else you need.\n",
};

/// Where a copy waits for the server that starts on it.
pub(crate) const LAID: &str = "pg/data.laid";
/// Where it is until it is whole.
pub(crate) const LAYING: &str = "pg/data.laying";
/// Says which major version wrote it, for as long as the node lives: the others that copy from it need the same.
pub(crate) const WRITTEN_BY: &str = "pg/laid.version";
const PASS: &str = "pg/copy.pass";
/// All that a copy is laid in, in the order it is taken away.
const LAID_IN: [&str; 3] = [WRITTEN_BY, LAID, LAYING];

/// A replica that does not come nearer for so long does not follow.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Where a copy ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    timeline: u32,
    end: PgLsn,
}

impl Place {
    /// From what `pg_basebackup` tells.
    fn told(words: &str) -> Option<Self> {
        let after = |mark: &str| words.lines().find_map(|line| Some(line.split_once(mark)?.1.trim()));
        let (_, timeline) = after("start point: ")?.split_once(" on timeline ")?;
        Some(Self { timeline: timeline.parse().ok()?, end: after("end point: ")?.parse().ok()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timeline {}, {}", self.timeline, self.end)
    }
}

/// See [`clusterdeck_driver::ServiceDriver::copy_out`].
pub(crate) async fn out(
    cx: &ClusterContext,
    from: &CopyFrom,
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<String> {
    let node = cx.node(&from.node)?;
    let session = Session::open(cx, node, As::Operator, ANSWER).await?;
    stands_alone(&session, node).await?;
    keep_log(&session).await?;
    let copied = copy(cx, node, &session, output, progress).await;
    // With what it kept for us. What is lost of this goes with the session.
    session.rows(GIVE_UP, &[]).await.ok();
    copied
}

async fn copy(
    cx: &ClusterContext,
    node: &NodeSpec,
    session: &Session,
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<String> {
    let machine = cx.machine(node)?.as_ref();
    let software = flavour::software(cx, machine).await?;
    let goal = has_everything(cx, node, session, progress).await?;
    // A replica's copy ends where its files have to be replayed to, which may be before what it has replayed. A checkpoint with
    // nothing left to write makes the two the same: the one that `pg_basebackup` asks for, after this one.
    let note = format!("{} writes to disk what changed", node.name);
    told(progress, &note, Some(WRITTEN_WITHIN), checkpoint(cx, node, WRITTEN_WITHIN)).await?;
    progress.note(&format!("copying {}", node.name));
    let copied = give(cx, machine, &software, output).await;
    machine.remove(PASS).await?;
    let words = copied.map_err(|e| refused(node, e))?;
    let place = Place::told(&words)
        .ok_or_else(|| DriverError::broken("pg_basebackup does not say up to where it has copied"))?;
    if place.end < goal {
        return Err(DriverError::broken(format!(
            "the copy of {} ends at {}, before {goal}, where the log was when it was begun",
            node.name, place.end
        )));
    }
    Ok(place.to_string())
}

/// Runs the program that copies. As everywhere the newest password is tried first: while passwords are changed some servers know
/// it already, the others still the one before. One that is refused has given nothing yet.
async fn give(
    cx: &ClusterContext,
    machine: &dyn Machine,
    software: &Software,
    output: &mut Outgoing,
) -> Result<String> {
    let (newest, current) = (cx.secrets.newest(config::REPLICA)?, cx.secrets.get(config::REPLICA)?);
    let program = base_backup(machine, software);
    machine.write(PASS, pass(newest).reveal().as_bytes(), 0o600).await?;
    match machine.output_of(&program, output).await {
        Err(DriverError::Rejected { what, .. }) if newest != current && what.contains(WRONG_PASSWORD) => {
            machine.write(PASS, pass(current).reveal().as_bytes(), 0o600).await?;
            machine.output_of(&program, output).await
        }
        copied => copied,
    }
}

/// As a server says it.
const WRONG_PASSWORD: &str = "password authentication failed";

/// Data outside of the data folder would need files of their own.
async fn stands_alone(session: &Session, node: &NodeSpec) -> Result<()> {
    let rows = session
        .rows(
            "SELECT spcname::text FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1",
            &[],
        )
        .await?;
    let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(DriverError::rejected(
        format!(
            "{} has tablespaces outside of its data folder, which are not copied: {}",
            node.name,
            names.join(", ")
        ),
        "move what lies in them to pg_default (ALTER TABLE ALL IN TABLESPACE … SET TABLESPACE pg_default), drop them, then \
         try again",
    ))
}

/// Lets the server keep its log until the copy has all of it, at most as much as it may keep for a replica. Temporary: it goes
/// with the session, also when we are killed.
async fn keep_log(session: &Session) -> Result<()> {
    // Where somebody chose that idle ones are ended. Servers before 14 do not know it.
    let busy = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'";
    session.rows(busy, &[]).await?;
    session
        .rows(
            "SELECT 1 FROM pg_create_physical_replication_slot('clusterdeck_copy_' || pg_backend_pid(), true, true)",
            &[],
        )
        .await
        .map(drop)
}

const GIVE_UP: &str = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                       WHERE temporary AND active_pid = pg_backend_pid()";

/// Waits until a node has what was acknowledged by now, and says where in the log that ends.
async fn has_everything(
    cx: &ClusterContext,
    node: &NodeSpec,
    session: &Session,
    progress: &Progress,
) -> Result<PgLsn> {
    let lead = form::leader(cx).await?;
    let written = "SELECT pg_current_wal_lsn()";
    if lead.id == node.id {
        return Ok(session.row(written, &[]).await?.get(0));
    }
    let goal: PgLsn = Session::open(cx, lead, As::Operator, ANSWER).await?.row(written, &[]).await?.get(0);
    until!(STUCK_AFTER, async {
        let at: Option<PgLsn> = session.row("SELECT pg_last_wal_replay_lsn()", &[]).await?.get(0);
        Ok(match at {
            Some(at) if at >= goal => Look::Done(goal),
            at => {
                let note = format!("{} catches up", node.name);
                progress.note(&note);
                Look::Moving(note, at.map_or(0, u64::from))
            }
        })
    })
}

/// `$1` is the file with the password. It is gone before the copy begins, so that nothing is left of it however that ends, also by
/// being killed: what is open can still be read where the system shows it as a file. Elsewhere it goes with the copy.
const GIVE: &str = r#"
file=$1; shift
pass=$file
if [ -e /proc/self/fd ]; then
  exec 3< "$file" && rm -f "$file" || exit 1
  pass=/proc/self/fd/3
fi
PGPASSFILE=$pass "$@"
status=$?
rm -f "$file"
exit $status
"#;

fn base_backup(machine: &dyn Machine, software: &Software) -> Filter {
    let text = |path: &str| machine.path(path).display().to_string();
    let own = [
        text(PASS),
        "/usr/bin/env".to_owned(),
        // Its words are read.
        "LC_ALL=C".to_owned(),
        "PGSSLMODE=verify-full".to_owned(),
        format!("PGSSLROOTCERT={}", text(tls::CA_FILE)),
        software.folder.join("pg_basebackup").display().to_string(),
        "--host".to_owned(),
        machine.address().to_string(),
        "--port".to_owned(),
        machine.port(config::PORT).to_string(),
        "--username".to_owned(),
        config::REPLICA.to_owned(),
    ];
    // It is told what cannot be asked: `fetch` puts the log into the one archive that there is.
    let how = [
        "--no-password",
        "--pgdata=-",
        "--format=tar",
        "--wal-method=fetch",
        "--checkpoint=fast",
        "--verbose",
    ];
    Filter::script(GIVE, own.into_iter().chain(how.map(str::to_owned)))
}

/// A line of a password file.
fn pass(password: &Sensitive<String>) -> Sensitive<String> {
    let password = password.reveal().replace('\\', "\\\\").replace(':', "\\:");
    Sensitive::new(format!("*:*:*:{}:{password}\n", config::REPLICA))
}

/// Why a server gave no copy. One that was stopped, or promoted, in the middle gives one in a moment.
fn refused(node: &NodeSpec, e: DriverError) -> DriverError {
    let DriverError::Rejected { what, hint } = e else { return e };
    let says = |marks: &[&str]| marks.iter().any(|mark| what.contains(mark));
    let told = format!("{} gave no copy: {what}", node.name);
    if says(&["checksum"]) {
        return DriverError::rejected(
            told,
            "its disk has changed what was written to it: copy from another node, and resync this one",
        );
    }
    if says(&["could not find WAL file", "has already been removed"]) {
        return DriverError::rejected(
            told,
            "more was written meanwhile than the server may keep: raise max_slot_wal_keep_size, or copy when less is written",
        );
    }
    let passes = [
        "closed the connection",
        "terminating connection",
        "Connection refused",
        "starting up",
        "shutting down",
        "promoted during",
        "exceeds max_wal_senders",
    ];
    if says(&passes) { DriverError::transient(told) } else { DriverError::rejected(told, hint) }
}

/// `$1` bytes of input, `$2` the folder. The manifest comes last: where it is, nothing is missing behind it. Whoever feeds us
/// must get rid of all, also of what lies behind the end of an archive.
const LAY: &str = r#"
umask 077
mkdir -p "$2" || exit 1
head -c "$1" | { tar -xf - -C "$2" && cat > /dev/null; } || exit 1
for file in PG_VERSION backup_label global/pg_control backup_manifest; do
  [ -f "$2/$file" ] || { echo "it is no whole copy of a server: it has no $file" >&2; exit 1; }
done
"#;

/// See [`clusterdeck_driver::ServiceDriver::copy_in`].
pub(crate) async fn lay(
    cx: &ClusterContext,
    node: &NodeSpec,
    input: &mut Incoming,
    bytes: u64,
    progress: &Progress,
) -> Result<()> {
    let machine = cx.machine(node)?.as_ref();
    if machine.exists(config::DATA).await? {
        return Err(DriverError::rejected(
            format!("{} holds data already", node.name),
            "a copy is laid for a new node; add one, or make a new cluster from it",
        ));
    }
    clear(machine, &LAID_IN).await?;
    let folder = machine.path(LAYING).display().to_string();
    let laid = async {
        machine.feed(&Filter::script(LAY, [bytes.to_string(), folder]), input, bytes).await?;
        settled::settle(cx, node, machine, progress).await
    };
    let laid = laid.await;
    // What was replayed is in the data by now.
    clear(machine, &[archive::UNTIL, archive::LAID]).await?;
    match laid {
        Ok(()) => machine.rename(LAYING, LAID).await,
        Err(e) => {
            clear(machine, &LAID_IN).await?;
            Err(unusable(node, e))
        }
    }
}

/// Puts a copy that was laid in the place of the data, before the server of a new node starts.
pub(crate) async fn take(machine: &dyn Machine) -> Result<()> {
    match machine.rename(LAID, config::DATA).await {
        // Else an empty cluster would pass for the one that was meant.
        Err(DriverError::Gone { what }) if machine.exists(WRITTEN_BY).await? => {
            Err(DriverError::broken(format!("the copy to start on, {what}, is gone")))
        }
        Err(DriverError::Gone { .. }) => Ok(()),
        taken => taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_pg_basebackup_tells_it() {
        let words = "pg_basebackup: checkpoint completed\n\
                     pg_basebackup: write-ahead log start point: 0/2000028 on timeline 3\n\
                     pg_basebackup: write-ahead log end point: 0/3000100\n\
                     pg_basebackup: base backup completed";
        assert_eq!(Place::told(words).map(|p| p.to_string()).as_deref(), Some("timeline 3, 0/3000100"));
        assert_eq!(Place::told("pg_basebackup: base backup completed"), None);
    }
}
