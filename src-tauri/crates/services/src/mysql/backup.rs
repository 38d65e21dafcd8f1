//! Copying a server's data out, and laying such a copy for a new cluster. Of MariaDB; both makers share where a copy lies
//! while it is laid, and how the other nodes of the new cluster know of it.
//!
//! The copy is the stream of `mariadb-backup`, the same that a new replica gets (`copy`). It is laid as a server leaves its data
//! that was stopped in order, with the accounts of its new cluster and nothing of the old one's replication. So the first node
//! begins a history of its own; the others copy from it instead of making a folder of their own.

use super::{
    accounts, archive, config, copy, flavour, galera,
    sql::{ANSWER, As, Session},
    survey,
    unit::UNIT,
};
use crate::{
    laying::{clear, unusable},
    wait::{Look, until},
};
use clusterdeck_domain::{NodeSpec, Sensitive, Topology};
use clusterdeck_driver::{
    ClusterContext, CopyFormat, CopyFrom, DriverError, Filter, Incoming, Machine, Outgoing, Progress, Result,
    UnitState,
};
use std::time::{Duration, Instant};

/// A copy is what `mariadb-backup --stream=mbstream` writes.
pub(crate) const FORMAT: CopyFormat = CopyFormat {
    ending: "mbstream",
    restore: "1. Install MariaDB of the same version (manifest.json says which) and mariadb-backup.\n\
              2. mkdir -m 0700 data && mbstream -x -C data < FILE\n\
              3. mariadb-backup --prepare --target-dir=data\n\
              4. mariadbd --no-defaults --datadir=$PWD/data --socket=/tmp/restored.sock --skip-networking --skip-grant-tables\n\
              5. In another terminal: mariadb --socket=/tmp/restored.sock; there FLUSH PRIVILEGES, then\n   \
                 ALTER USER app@'%' IDENTIFIED BY '...'. Start it again without --skip-grant-tables.\n",
};

const OUT: &str = include_str!("copy-out.sh");
const IN: &str = include_str!("copy-in.sh");

/// What copying a running server needs beside its data.
const COPYING: &str = "mysql/tmp/copy-out";
/// Where copies lie that are being laid, each in a folder of its own: what an attempt that was cut short still runs does not
/// reach into the next one's.
const LAYING: &str = "mysql/copy-in";
/// On the machine of a node whose data was laid, for as long as the node lives.
const LAID: &str = "mysql/copied-in";
/// All that a copy is laid in, in the order it is taken away.
const LAID_IN: [&str; 3] = [config::DATA, LAID, LAYING];

/// A replica that does not come nearer for so long does not follow.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// What was written while it was copied is applied; after so long nobody is told any more that it goes on.
const PREPARES_WITHIN: Duration = Duration::from_secs(3600);
const TELL_EVERY: Duration = Duration::from_secs(2);

/// See [`clusterdeck_driver::ServiceDriver::copy_out`].
pub(crate) async fn copy_out(
    cx: &ClusterContext,
    from: &CopyFrom,
    output: &mut Outgoing,
    progress: &Progress,
) -> Result<String> {
    let node = cx.node(&from.node)?;
    let machine = cx.machine(node)?.as_ref();
    let program = copy::program(machine).await?;
    has_everything(cx, node, progress).await?;
    copy::sign_in(cx, machine).await?;
    progress.note(&format!("copying {}", node.name));
    let text = |path: &str| machine.path(path).to_string_lossy().into_owned();
    let mut args = vec![text(config::FOLDER), program.to_string_lossy().into_owned()];
    if cx.spec.topology == Topology::MultiMaster {
        args.push("--galera-info".to_owned());
    }
    let copied = machine.output_of(&bash(OUT, args), output).await;
    // The script does so itself, unless it was ended because nobody took what it wrote.
    machine.remove(COPYING).await?;
    let said = copied.map_err(|e| refused(node, e))?;
    position(&said)
        .ok_or_else(|| DriverError::broken("mariadb-backup does not say up to where it has copied"))
}

/// A script and its `$1`, `$2`…
pub(crate) fn bash(text: &str, args: impl IntoIterator<Item = String>) -> Filter {
    let head = ["-c", text, "bash"].map(str::to_owned);
    Filter::new("/bin/bash", head.into_iter().chain(args))
}

/// Waits until a node has what was acknowledged by now, wherever that was.
async fn has_everything(cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
    match cx.spec.topology {
        Topology::Single | Topology::Sharded => return Ok(()),
        Topology::MultiMaster => return galera::in_step(cx, node).await,
        Topology::PrimaryReplica => {}
    }
    let lead = survey::writer(&survey::all(cx).await)?;
    if lead.id == node.id {
        return Ok(());
    }
    let goal = survey::place(&mut Session::open(cx, lead, As::Operator, ANSWER).await?).await?;
    until!(STUCK_AFTER, async {
        let at = survey::ask(cx, node).await?.sequence();
        Ok(if at >= goal.sequence() {
            Look::Done(())
        } else {
            progress.measured(&format!("{} catches up", node.name), at, goal.sequence());
            Look::Moving(format!("{} is behind {}", node.name, lead.name), at)
        })
    })
}

/// Why a server gave no copy.
fn refused(node: &NodeSpec, e: DriverError) -> DriverError {
    let DriverError::Rejected { what, hint } = e else { return e };
    let says = |marks: &[&str]| marks.iter().any(|mark| what.contains(mark));
    let told = format!("{} gave no copy: {what}", node.name);
    if says(&["only able to copy log"]) {
        return DriverError::rejected(
            told,
            "its log went round before it was copied: copy when less is written, to a faster vault, or choose a larger plan, \
             whose log is larger",
        );
    }
    let passes = ["Failed to connect", "server has gone away", "Lost connection", "shutdown in progress"];
    if says(&passes) { DriverError::transient(told) } else { DriverError::rejected(told, hint) }
}

/// Up to where a copy goes, from what `mariadb-backup` says: the last transaction, or where there is none yet, the place in
/// the log.
fn position(said: &str) -> Option<String> {
    let between = |mark: &str| Some(said.split_once(mark)?.1.split('\'').next()?.trim());
    let member =
        said.split_once("Galera info succeeded with ").and_then(|(_, at)| at.split_whitespace().next());
    let gtid = member.or_else(|| between("GTID of the last change '")).filter(|gtid| !gtid.is_empty());
    match gtid {
        Some(gtid) => Some(format!("GTID {gtid}")),
        None => Some(format!("{}:{}", between("filename '")?, between("position '")?)),
    }
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
    let redo = config::redo_log_bytes(machine).to_string();
    let laying = Laying::begin(cx, node).await?;
    let call = |what: &str, with: String| {
        let server = software.server.to_string_lossy().into_owned();
        bash(IN, [what.to_owned(), laying.path(), server, with])
    };
    let calls = [call("lay", bytes.to_string()), call("prepare", redo)];
    if machine.exists(archive::UNTIL).await? {
        laying.may_replay(cx, "FLUSH PRIVILEGES").await?;
    }
    let laid = laying.end(&accounts(cx)?, calls, (input, bytes), progress).await;
    // What was replayed is in the data by now.
    clear(machine, &[archive::UNTIL, archive::LAID]).await?;
    laid
}

/// Who replays a log, through the socket and while nobody else can come in. Gone before the server starts for others.
const REPLAYS: &str = "clusterdeck_replay";

/// What a copy is given: the accounts of this cluster, as after a change of passwords; those that people made stay. Whom a
/// replica followed is forgotten, so that a history of its own begins.
fn accounts(cx: &ClusterContext) -> Result<Sensitive<String>> {
    let mut text = String::from("TRUNCATE mysql.gtid_slave_pos;\nFLUSH PRIVILEGES;\n");
    for statement in accounts::statements(&cx.secrets)? {
        text.push_str(statement.reveal());
        text.push_str(";\n");
    }
    text.push_str(&format!("CREATE DATABASE IF NOT EXISTS `{}`;\n", accounts::PEOPLE));
    Ok(Sensitive::new(text))
}

/// A copy that is being laid for a node.
pub(crate) struct Laying<'a> {
    node: &'a NodeSpec,
    machine: &'a dyn Machine,
    folder: String,
}

impl<'a> Laying<'a> {
    /// Takes away what an attempt that was cut short left, and makes a folder.
    ///
    /// # Errors
    /// `Rejected` when a server was ever started on what lies in the node's folder: that is no copy then.
    pub(crate) async fn begin(cx: &'a ClusterContext, node: &'a NodeSpec) -> Result<Self> {
        let machine = cx.machine(node)?.as_ref();
        let ended = matches!(machine.state(UNIT).await?, UnitState::Absent | UnitState::Stopped);
        // A server is given its configuration just before it starts.
        if !ended || machine.exists(config::CONF).await? {
            return Err(DriverError::rejected(
                format!("{} has a server already", node.name),
                "a copy is laid for a new node; make a new cluster from it",
            ));
        }
        clear(machine, &LAID_IN).await?;
        let folder = format!("{LAYING}/{}", jiff::Timestamp::now().as_nanosecond());
        machine.create_dir(&folder).await?;
        Ok(Self { node, machine, folder })
    }
    /// Lets the call that prepares sign in to replay a log. `first` is said before all else, and again before that account goes.
    pub(crate) async fn may_replay(&self, cx: &ClusterContext, first: &str) -> Result<()> {
        let password = cx.secrets.newest(accounts::OPERATOR)?.reveal();
        let files = [
            ("replay.cnf", format!("[client]\nuser={REPLAYS}\npassword={password}\nsocket=replay.sock\n")),
            (
                "replay.sql",
                format!(
                    "{first};\nDROP USER IF EXISTS {REPLAYS}@localhost;\n\
                     CREATE USER {REPLAYS}@localhost IDENTIFIED BY '{password}';\n\
                     GRANT ALL PRIVILEGES ON *.* TO {REPLAYS}@localhost WITH GRANT OPTION;\n"
                ),
            ),
            ("replayed.sql", format!("{first};\nDROP USER {REPLAYS}@localhost;\n")),
        ];
        for (name, text) in files {
            self.machine.write(&format!("{}/{name}", self.folder), text.as_bytes(), 0o600).await?;
        }
        Ok(())
    }
    /// The absolute path of its folder.
    pub(crate) fn path(&self) -> String {
        self.machine.path(&self.folder).to_string_lossy().into_owned()
    }
    /// Takes it in and makes it what a server can start on: in `data`, with what `accounts` says (`accounts.sql`). The node has
    /// it when it is whole; else nothing is left.
    pub(crate) async fn end(
        self,
        accounts: &Sensitive<String>,
        [lay, prepare]: [Filter; 2],
        (input, bytes): (&mut Incoming, u64),
        progress: &Progress,
    ) -> Result<()> {
        let machine = self.machine;
        let laid = async {
            let note = format!("{} takes in the copy", self.node.name);
            progress.note(&note);
            machine.feed(&lay, input, bytes).await?;
            machine
                .write(&format!("{}/accounts.sql", self.folder), accounts.reveal().as_bytes(), 0o600)
                .await?;
            let mut nobody = tokio::io::sink();
            let note = format!("{} makes the copy ready", self.node.name);
            told(progress, &note, machine.output_of(&prepare, &mut nobody)).await?;
            // First what tells the other nodes: where the data is, they must not begin with nothing.
            machine.write(LAID, b"", 0o600).await?;
            machine.rename(&format!("{}/data", self.folder), config::DATA).await
        };
        match laid.await {
            Ok(()) => machine.remove(LAYING).await,
            Err(e) => {
                clear(machine, &LAID_IN).await?;
                Err(unusable(self.node, e))
            }
        }
    }
}

/// Does what says nothing meanwhile. How much there is to do nobody knows; how long it may take yet is what can be told.
async fn told<T>(progress: &Progress, note: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(TELL_EVERY, &mut work).await {
            Ok(done) => return done,
            Err(_) => progress.measured(note, begun.elapsed().as_secs(), PREPARES_WITHIN.as_secs()),
        }
    }
}

/// Whether this cluster is being made from a copy: its first node has it then, and the others copy from that one.
///
/// # Errors
/// When the first one's machine cannot be asked: a node that began with nothing then would never agree with it.
pub(crate) async fn is_restored(cx: &ClusterContext) -> Result<bool> {
    match cx.spec.data_nodes().next() {
        Some(first) if cx.spec.lifecycle.begins() => cx.machine(first)?.exists(LAID).await,
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_copy_ends_is_read_as_mariadb_backup_tells_it() {
        let log = |gtid: &str| {
            format!(
                "[00] MySQL binlog position: filename 'binlog.000003', position '328', GTID of the last change '{gtid}'"
            )
        };
        assert_eq!(position(&log("0-1-4711")).as_deref(), Some("GTID 0-1-4711"));
        assert_eq!(position(&log("")).as_deref(), Some("binlog.000003:328"), "a server that never wrote");
        let member = "[00] Writing Galera info succeeded with b4c0baf6-ebd1-11f1-888c-0fa44770b373:4 0";
        assert_eq!(position(member).as_deref(), Some("GTID b4c0baf6-ebd1-11f1-888c-0fa44770b373:4"));
        assert_eq!(position(""), None);
    }
}
