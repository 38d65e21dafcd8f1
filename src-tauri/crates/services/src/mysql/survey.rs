//! Asking all servers at once who they are, whom they follow, and who takes writes.

use super::{
    gtid::Gtids,
    sql::{As, GLANCE, Session, address, number, text},
};
use clusterdeck_domain::{NodeId, NodeSpec};
use clusterdeck_driver::{ClusterContext, DriverError, Result};
use futures::future::join_all;
use mysql_async::Row;

/// Errors by which a server says that its history and its primary's have parted: the primary does not have what it has
/// (1236, which also says that the primary no longer has what it needs), or it wrote by itself (1950).
const NOT_IN_THE_LOG: (u64, &str) = (1236, "not in the master's binlog");
const OUT_OF_ORDER: u64 = 1950;

/// Where in a primary's binary log: file and offset.
pub(crate) type At = (String, u64);

/// What a follower says of its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Follows {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The threads that receive and apply run, and the first has a connection.
    pub(crate) receives: bool,
    pub(crate) applies: bool,
    /// How far it has received and applied, in the places of its primary's log.
    pub(crate) received: At,
    pub(crate) applied: At,
    /// The newest transaction it has received.
    pub(crate) received_gtid: Gtids,
    pub(crate) seconds: Option<u64>,
    /// Its last error, receiving before applying: number and words.
    error: (u64, String),
}

impl Follows {
    fn of(row: &Row) -> Self {
        let word = |name: &str| text(row, name).unwrap_or_default();
        let at = |file: &str, offset: &str| (word(file), number(row, offset).unwrap_or(0));
        let error = |name: &str| {
            (number(row, format!("{name}_Errno").as_str()).unwrap_or(0), word(&format!("{name}_Error")))
        };
        let (io, sql) = (error("Last_IO"), error("Last_SQL"));
        Self {
            host: word("Master_Host"),
            port: number(row, "Master_Port").and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
            receives: word("Slave_IO_Running") == "Yes",
            applies: word("Slave_SQL_Running") == "Yes",
            received: at("Master_Log_File", "Read_Master_Log_Pos"),
            applied: at("Relay_Master_Log_File", "Exec_Master_Log_Pos"),
            received_gtid: Gtids::parse(&word("Gtid_IO_Pos")),
            seconds: number(row, "Seconds_Behind_Master"),
            error: if io.0 == 0 { sql } else { io },
        }
    }
    /// Both of its threads do their work.
    pub(crate) const fn runs(&self) -> bool {
        self.receives && self.applies
    }
    /// It stopped because it holds what its primary lacks.
    fn has_parted(&self) -> bool {
        let (code, words) = &self.error;
        *code == OUT_OF_ORDER || (*code == NOT_IN_THE_LOG.0 && words.contains(NOT_IN_THE_LOG.1))
    }
    /// Why it does not run, in its own words.
    pub(crate) fn complaint(&self) -> Option<String> {
        let (code, words) = &self.error;
        (*code != 0)
            .then(|| words.split(['\n', ';']).next().unwrap_or_default().trim_end_matches('.').to_owned())
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) server: u32,
    pub(crate) writable: bool,
    /// The last transaction in its own log, of those it applied as a follower, and the newest of each server in its log.
    pub(crate) log: Gtids,
    pub(crate) applied: Gtids,
    pub(crate) log_state: Gtids,
    /// The end of its own log.
    pub(crate) end: Option<At>,
    pub(crate) follows: Option<Follows>,
}

impl Place {
    /// The last transaction it has, whoever wrote it.
    pub(crate) fn sequence(&self) -> u64 {
        self.log.sequence().max(self.applied.sequence())
    }
    /// How far it has received, applied or not.
    pub(crate) fn received(&self) -> u64 {
        let received = self.follows.as_ref().map_or(0, |f| f.received_gtid.sequence());
        self.sequence().max(received)
    }
    /// It holds transactions that `primary` lacks, as far as anybody can tell without it.
    pub(crate) fn diverged(&self, primary: Option<&Self>) -> bool {
        let said = self.follows.as_ref().is_some_and(Follows::has_parted);
        let wrote = !self.writable && self.log.has_own_writes(self.server, &self.applied);
        said || wrote
            || primary.is_some_and(|p| self.log_state.parts_from(&p.log_state, &p.applied, p.server))
    }
}

/// What one node answered.
pub(crate) struct Answer<'a> {
    pub(crate) node: &'a NodeSpec,
    pub(crate) place: Result<Place>,
}

/// Asks a server for its place.
pub(crate) async fn place(session: &mut Session) -> Result<Place> {
    let row = session
        .row(
            "SELECT @@global.server_id, @@global.read_only + 0, @@global.gtid_binlog_pos, @@global.gtid_slave_pos, \
             @@global.gtid_binlog_state",
        )
        .await?;
    let end = session.rows("SHOW MASTER STATUS").await?;
    let follows = session.rows("SHOW SLAVE STATUS").await?;
    let gtids = |column: usize| Gtids::parse(&text(&row, column).unwrap_or_default());
    Ok(Place {
        server: number(&row, 0).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        writable: number(&row, 1) == Some(0),
        log: gtids(2),
        applied: gtids(3),
        log_state: gtids(4),
        end: end.first().and_then(|row| Some((text(row, 0)?, number(row, 1)?))),
        follows: follows.first().map(Follows::of),
    })
}

/// Asks one node.
pub(crate) async fn ask(cx: &ClusterContext, node: &NodeSpec) -> Result<Place> {
    let asked = async {
        let mut session = Session::open(cx, node, As::Watch, GLANCE).await?;
        place(&mut session).await
    };
    match tokio::time::timeout(GLANCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(DriverError::transient(format!("{} does not answer", node.name))),
    }
}

/// Asks all data nodes at once, in the order of the spec.
pub(crate) async fn all(cx: &ClusterContext) -> Vec<Answer<'_>> {
    join_all(cx.spec.data_nodes().map(|node| async move { Answer { node, place: ask(cx, node).await } }))
        .await
}

/// The nodes that take writes.
pub(crate) fn writers<'a, 'b>(answers: &'b [Answer<'a>]) -> Vec<(&'a NodeSpec, &'b Place)> {
    let found = answers.iter().filter_map(|a| Some((a.node, a.place.as_ref().ok()?)));
    found.filter(|(_, place)| place.writable).collect()
}

/// The one node that takes writes.
///
/// # Errors
/// `Transient` when nobody does or more than one.
pub(crate) fn writer<'a>(answers: &[Answer<'a>]) -> Result<&'a NodeSpec> {
    match writers(answers).as_slice() {
        [(node, _)] => Ok(node),
        [] => Err(DriverError::transient("no node takes writes at the moment")),
        several => {
            let names: Vec<_> = several.iter().map(|(n, _)| n.name.as_str()).collect();
            Err(DriverError::transient(format!(
                "{} take writes; one of them must step back",
                names.join(", ")
            )))
        }
    }
}

/// The node that a follower follows.
pub(crate) fn followed(cx: &ClusterContext, follows: &Follows) -> Option<NodeId> {
    let there = |n: &&NodeSpec| {
        cx.machine(n).is_ok_and(|m| {
            let (ip, port) = address(m.as_ref());
            ip.to_string() == follows.host && port == follows.port
        })
    };
    cx.spec.data_nodes().find(there).map(|n| n.id.clone())
}
