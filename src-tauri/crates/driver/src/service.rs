//! A family of services: how its servers are configured, formed into a cluster, watched and changed.

use crate::{
    ClusterContext, CopyFormat, CopyFrom, DriverError, Extension, Incoming, Listener, LogReady, LogTaken,
    LogTarget, LogWaiting, Migration, OtherPrograms, Outgoing, Passage, Result,
};
use async_trait::async_trait;
use clusterdeck_domain::{
    ClusterObserved, ClusterSpec, Count, Finding, LogPlace, LogSpan, Migrated, NodeId, NodeSpec, Parameter,
    Plan, Progress as Measured, Sensitive, ServiceKind, SourceReport, Unit,
};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, pin::Pin, sync::Arc, time::Duration};

/// Where a slow call says how far it is. A step's deadline moves on with it.
#[derive(Clone)]
pub struct Progress(Arc<Sink>);

/// What is being done, and how far it is where that is measured.
type Sink = dyn Fn(&str, Option<Measured>) + Send + Sync;

impl Progress {
    /// Reports to `sink`: what is being done, and how far it is where that is measured.
    pub fn new(sink: impl Fn(&str, Option<Measured>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }
    /// Reports to nobody.
    pub fn silent() -> Self {
        Self::new(|_, _| {})
    }
    /// Says what is being done.
    pub fn note(&self, note: &str) {
        (self.0)(note, None);
    }
    /// Says how many of how many things are done.
    pub fn measured(&self, note: &str, done: u64, total: u64) {
        (self.0)(note, Some(Measured { done, total, unit: Unit::Count }));
    }
    /// Says how many of how many bytes are there; of 0 while nobody knows how many there will be.
    pub fn copied(&self, note: &str, done: u64, total: u64) {
        (self.0)(note, Some(Measured { done, total, unit: Unit::Bytes }));
    }
}

/// What a node is when its server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAs {
    /// Takes writes.
    Primary,
    /// Follows this node.
    ReplicaOf(NodeId),
    /// Finds its place by itself (a sharded member, a multi-master).
    Member,
}

/// Turns the endpoint; a plain boxed future, so that this room needs no futures library.
pub type Switch = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// How a promotion went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HandOver {
    /// Milliseconds without writes as measured by us: from the last moment the old primary could acknowledge one to
    /// the first moment the new one could through the endpoint.
    pub write_gap_ms: f64,
}

/// A service's own client program, told where to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClientCommand {
    /// The program: `psql`.
    pub program: String,
    /// Its arguments, without a password: anybody can read them.
    pub args: Vec<String>,
    /// The environment variable it reads the password from.
    pub password_variable: String,
}

impl ClientCommand {
    /// A program with its arguments.
    pub fn new(program: &str, args: &[&str], password_variable: &str) -> Self {
        Self {
            program: program.to_owned(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            password_variable: password_variable.to_owned(),
        }
    }
}

/// A driver of one family. Methods that change something look first and may be called again after a kill at any moment.
/// No method waits longer than about ten seconds without reporting progress; most wait much less.
#[async_trait]
pub trait ServiceDriver: Send + Sync {
    /// The services of the family.
    fn services(&self) -> &'static [ServiceKind];
    /// Programs that must be installed for this service: (program, purpose). The first is the server, whose version counts.
    fn programs(&self, service: ServiceKind) -> &'static [(&'static str, &'static str)];
    /// What is loaded into the server of this service and gives it its version. `None`: the server is the service.
    fn extension(&self, _service: ServiceKind) -> Option<&'static Extension> {
        None
    }
    /// What versions of another maker need instead of those.
    fn other_programs(&self, _service: ServiceKind) -> &'static [OtherPrograms] {
        &[]
    }
    /// Images that hold those programs where machines are made from images: (release line, reference), newest first. The
    /// makers' own; people can name others in the settings.
    fn images(&self, _service: ServiceKind) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// Standard ports that its nodes listen on.
    fn ports(&self, service: ServiceKind) -> &'static [u16];
    /// Names of the passwords a cluster needs. The one called `people` is what `credentials` reveals.
    fn secret_names(&self) -> &'static [&'static str];
    /// A secret that is no password, newly made; a rotation of the passwords keeps it. `None` where a random text will do.
    fn make_secret(&self, _name: &str) -> Option<Sensitive<String>> {
        None
    }
    /// The user name that goes with the password `people`, and the scheme of its address (`redis`).
    fn people(&self, service: ServiceKind) -> (&'static str, &'static str);
    /// The database that people find, where a server has several and an address must name one.
    fn database(&self, _service: ServiceKind) -> Option<&'static str> {
        None
    }
    /// The client that people use in a terminal, for the server at this address. `None`: there is none.
    fn client(&self, _spec: &ClusterSpec, _host: IpAddr, _port: u16) -> Option<ClientCommand> {
        None
    }
    /// The name of the unit that is a node's server. When it crashes the engine asks [`ServiceDriver::restart_as`] first;
    /// other units (voters) are started again as they were.
    fn server_unit(&self) -> &'static str;
    /// Nodes that carry a unit which decides on a failover (Sentinel); empty where the servers do it themselves.
    fn voters<'a>(&self, cx: &'a ClusterContext) -> Vec<&'a NodeSpec>;

    // --- forming: called by create and add ---
    /// Writes a node's configuration, and its server's unit is started or left alone. A witness has no server.
    async fn start_node(&self, cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()>;
    /// The folders of a node's machine in which all lies that its servers and its voter wrote or were given, but certificates.
    /// Without them a node is as one that was never started.
    fn folders(&self) -> &'static [&'static str];
    /// Whether a primary is rebooted by [`ServiceDriver::restart_in_place`]. Else it is stopped and started while the voters
    /// stand aside.
    fn restarts_in_place(&self) -> bool {
        false
    }
    /// Restarts a node's server while the node keeps its role and nobody takes over; returns when it serves again.
    async fn restart_in_place(&self, _cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        Err(DriverError::broken(format!("{} cannot be restarted where it is", node.name)))
    }
    /// Whether the software that a stopped node needs to start again is there. Asked before a server is stopped to be
    /// started again.
    async fn can_start(&self, _cx: &ClusterContext, _node: &NodeSpec) -> Result<()> {
        Ok(())
    }
    /// Stops a node's server in order (its data is on disk when it ends).
    async fn stop_node(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()>;
    /// Brings freshly started nodes together: replicas linked, slots assigned, everybody agrees.
    async fn form(&self, cx: &ClusterContext, progress: &Progress) -> Result<()>;
    /// Brings a started node into a running cluster and waits until it has caught up.
    async fn join(&self, cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()>;
    /// Takes a node out of membership, votes and slots. It may be dead.
    async fn leave(&self, cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()>;

    /// What in the data keeps a cluster from getting more nodes; each finding names what must be changed. Asked before nodes
    /// are added; a driver that knows such data looks again when the first of them joins.
    async fn growth_findings(&self, _cx: &ClusterContext) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    // --- automatic failover ---
    /// Makes the voters of `cx.spec` watch `primary` (as seen now when `None`), armed or not as the spec wishes, with the
    /// passwords in force; returns when a majority agrees.
    async fn arm_failover(&self, cx: &ClusterContext, primary: Option<&NodeId>) -> Result<()>;
    /// Makes the voters stand aside, so that a planned change is not mistaken for a failure.
    async fn disarm_failover(&self, cx: &ClusterContext) -> Result<()>;

    // --- changing ---
    /// What takes long before a hand-over to `target` and can be done while the voters still watch and clients write. Nothing
    /// that has to be taken back.
    async fn prepare_hand_over(
        &self,
        _cx: &ClusterContext,
        _target: &NodeSpec,
        _progress: &Progress,
    ) -> Result<()> {
        Ok(())
    }
    /// Hands the writes over to `target` without losing an acknowledged one: the old primary stops taking writes, the
    /// target has everything, then takes over. Fails, with the old primary open again, when the target does not catch
    /// up in time. Finds out by itself how far an interrupted call came. `switch` is awaited the moment the target takes
    /// writes, to turn the endpoint.
    async fn hand_over(
        &self,
        cx: &ClusterContext,
        target: &NodeSpec,
        switch: &(dyn Fn() -> Switch + Send + Sync),
    ) -> Result<HandOver>;
    /// Lets `target` lead although the primary is dead: a person decided so, where nobody takes over by itself. The machine of
    /// the primary must say that its process is gone; the target must hold all that any replica received. Writes that the
    /// dead one sent to nobody are lost.
    async fn take_over(
        &self,
        _cx: &ClusterContext,
        target: &NodeSpec,
        _switch: &(dyn Fn() -> Switch + Send + Sync),
    ) -> Result<HandOver> {
        Err(DriverError::Unsupported { what: format!("promoting {} without its primary", target.name) })
    }
    /// Makes a node a candidate for promotion or not.
    async fn set_candidate(&self, cx: &ClusterContext, node: &NodeSpec, candidate: bool) -> Result<()>;
    /// Makes what all nodes share and what follows from their size fit nodes of size `to`, before the first node gets it and
    /// after the last one had it taken back. The data nodes have their machines as they are.
    async fn share_size(&self, _cx: &ClusterContext, _to: &Plan) -> Result<()> {
        Ok(())
    }
    /// Sets a replica's data aside and lets it copy everything from its primary again; waits until it streams, then the
    /// old data goes. Returns a note when it held writes the primary lacks (they stay set aside then).
    async fn resync(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        progress: &Progress,
    ) -> Result<Option<String>>;
    /// Adds shard `shard` (its nodes are started) and moves its share of the slots to it while clients write.
    async fn add_shard(&self, cx: &ClusterContext, shard: u16, progress: &Progress) -> Result<()>;
    /// Moves all slots of `shard` to the others and forgets its nodes.
    async fn remove_shard(&self, cx: &ClusterContext, shard: u16, progress: &Progress) -> Result<()>;
    /// Applies the spec's options to running servers.
    async fn apply_options(&self, cx: &ClusterContext) -> Result<()>;
    /// The settings of the servers, with what is in force; empty where nothing can be set here.
    async fn parameters(&self, _cx: &ClusterContext) -> Result<Vec<Parameter>> {
        Ok(Vec::new())
    }
    /// What is wrong with the parameters of this spec, taken together; each alone is judged by what it takes. Pure.
    fn parameters_disagree(&self, _spec: &ClusterSpec) -> Vec<Finding> {
        Vec::new()
    }
    /// Makes running servers follow the spec's parameters; what needs a restart waits for one.
    async fn apply_parameters(&self, _cx: &ClusterContext) -> Result<()> {
        Ok(())
    }
    /// Nodes whose servers run with something that takes effect at a restart, replicas before the primary.
    async fn restarts_due(&self, _cx: &ClusterContext) -> Result<Vec<NodeId>> {
        Ok(Vec::new())
    }
    /// Makes the servers let people in only from the addresses of the spec's list, from the endpoint and from their own machine,
    /// and closes what people have open from others; nothing where servers are not told addresses
    /// ([`ServiceKind::knows_addresses`]). A list that is tried is not theirs yet.
    async fn apply_allowlist(&self, _cx: &ClusterContext) -> Result<()> {
        Ok(())
    }
    /// Makes the certificates of running servers name the address at which other computers reach the endpoint; those of servers
    /// that start do by themselves. Nothing where servers have none, or where nobody does.
    async fn name_exposed(&self, _cx: &ClusterContext) -> Result<()> {
        Ok(())
    }
    /// Rotation, first half: every node accepts `secrets.next` as well as `secrets.current`, and uses `next` itself.
    async fn accept_next_secrets(&self, cx: &ClusterContext) -> Result<()>;
    /// Rotation, second half: `secrets.current` (by now the new ones) is all that is accepted.
    async fn retire_old_secrets(&self, cx: &ClusterContext) -> Result<()>;

    // --- copying the data ---
    /// Writes a copy of a running server's data to `output`, as it is at one moment while clients write; says which place in the
    /// server's log that is. What it needs on the machine meanwhile is gone when it returns; what a killed call left is taken
    /// away first.
    async fn copy_out(
        &self,
        cx: &ClusterContext,
        from: &CopyFrom,
        output: &mut Outgoing,
        progress: &Progress,
    ) -> Result<String>;
    /// Lays such a copy, `bytes` long, where the server of a new node will find it when it is started for the first time. Its
    /// passwords will then be those of this cluster, whatever they were in the one it was copied from. Until it returns
    /// nothing is there; a call after one that was cut short begins anew.
    async fn copy_in(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        input: &mut Incoming,
        bytes: u64,
        progress: &Progress,
    ) -> Result<()>;
    /// What such a copy of a server of this version is. Pure.
    fn copy_format(&self, service: ServiceKind, version: &str) -> CopyFormat;
    /// How a dump of a server of this version is loaded elsewhere ([`ServiceDriver::dump`]), step by step, in plain text; `FILE`
    /// stands for the file. Pure.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn dump_format(
        &self,
        _service: ServiceKind,
        _version: &str,
    ) -> std::result::Result<&'static str, String> {
        Err("what a download holds is what other programs read already".to_owned())
    }
    /// Writes what people have in a running server to which nobody writes, as statements for its own client; lines that begin
    /// with `-- ` are remarks in them. What it needs on the machine meanwhile is gone when it returns.
    ///
    /// # Errors
    /// `Transient` when `output` fails.
    async fn dump(
        &self,
        _cx: &ClusterContext,
        _node: &NodeSpec,
        _output: &mut Outgoing,
        _progress: &Progress,
    ) -> Result<()> {
        Err(DriverError::Unsupported { what: "a dump of it".to_owned() })
    }
    /// Counts what a running server holds: what is cheap to count always, the rest for at most `within`; what was not finished
    /// by then is left out. At most some hundred counts.
    async fn count(&self, cx: &ClusterContext, node: &NodeSpec, within: Duration) -> Result<Vec<Count>>;

    // --- its log ---
    /// Why the log of such a cluster cannot be archived, in words; `None` when it can. Pure.
    fn no_log(&self, _spec: &ClusterSpec) -> Option<String> {
        Some("its servers keep no log that could be replayed".to_owned())
    }
    /// Whether moments are more exact than whole seconds in the log of such a version.
    fn log_is_exact(&self, _version: &str) -> bool {
        true
    }
    /// Where in the log a copy ends, from what [`ServiceDriver::copy_out`] said of it. Pure.
    fn log_place(&self, _position: &str) -> Option<LogPlace> {
        None
    }
    /// Makes running servers put their log aside or no longer, as the spec says. Servers that start do so by themselves.
    async fn keep_log(&self, _cx: &ClusterContext) -> Result<()> {
        Ok(())
    }
    /// What there is to archive. A node that does not answer is left out.
    async fn log_ready(&self, _cx: &ClusterContext) -> Result<LogReady> {
        Ok(LogReady::default())
    }
    /// Writes a piece to `output` and says what it holds. It goes on waiting.
    async fn log_out(
        &self,
        _cx: &ClusterContext,
        piece: &LogWaiting,
        _output: &mut Outgoing,
    ) -> Result<LogSpan> {
        Err(DriverError::Gone { what: piece.name.clone() })
    }
    /// Takes pieces that are in a vault away from every node that answers. Gives the names of those that lie there with another
    /// content; they stay.
    async fn log_taken(&self, _cx: &ClusterContext, _taken: &[LogTaken]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// Takes pieces away from every node that answers, whatever they are, and forgets those that were given up.
    async fn log_drop(&self, _cx: &ClusterContext, _names: &[String]) -> Result<()> {
        Ok(())
    }
    /// Lays a piece of the log, `bytes` long, beside the place of a copy, over one of the same name.
    async fn log_in(
        &self,
        _cx: &ClusterContext,
        _node: &NodeSpec,
        name: &str,
        _input: &mut Incoming,
        _bytes: u64,
    ) -> Result<()> {
        Err(DriverError::Unsupported { what: format!("replaying {name}") })
    }
    /// Says up to where the copy that is laid next ([`ServiceDriver::copy_in`]) shall be replayed with the pieces beside it.
    async fn log_until(&self, _cx: &ClusterContext, _node: &NodeSpec, _target: &LogTarget) -> Result<()> {
        Err(DriverError::Unsupported { what: "replaying a log".to_owned() })
    }
    // --- bringing data in ---
    /// Looks at a server elsewhere and at the cluster, and changes neither: what of the source comes along, and what stands against
    /// it. That it does not answer or lets nobody in is a check that failed, not an error.
    async fn look_at_source(&self, _cx: &ClusterContext, _migration: &Migration) -> Result<SourceReport> {
        Err(DriverError::Unsupported { what: "bringing data into this service".to_owned() })
    }
    /// Copies all data of the source, follows what is written to it meanwhile where that can be done, and compares both sides.
    /// It ends when the cluster has everything, or where it shall follow, when the passage says so. A call after one that was cut
    /// short begins anew and leaves nothing twice.
    async fn bring_in(
        &self,
        _cx: &ClusterContext,
        _migration: &Migration,
        _passage: &Passage,
        _progress: &Progress,
    ) -> Result<Migrated> {
        Err(DriverError::Unsupported { what: "bringing data into this service".to_owned() })
    }
    /// Takes away what came in. Returns a note when something of it stays.
    async fn take_out(
        &self,
        _cx: &ClusterContext,
        _migration: &Migration,
        _progress: &Progress,
    ) -> Result<Option<String>> {
        Ok(None)
    }

    // --- watching ---
    /// Looks at every node. Never fails: what does not answer within a second is unknown or down, and says why.
    async fn observe(&self, cx: &ClusterContext) -> ClusterObserved;
    /// What the endpoints of this cluster are.
    fn listeners(&self, cx: &ClusterContext) -> Result<Vec<Listener>>;
    /// What a crashed node's server should be when it is started again now: the engine asks before it restarts one.
    async fn restart_as(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<StartAs>;
    /// Ends a second primary, one that hung, was replaced and woke up, and says who the true one is, so that the endpoint
    /// can be turned there. Asked when two were seen; `Transient` while those who decide do not agree. `None`: there is
    /// but one.
    async fn step_back(&self, _cx: &ClusterContext) -> Result<Option<NodeId>> {
        Ok(None)
    }
    /// Puts right what the servers cannot by themselves although all of them are there: asked in each round in which nobody
    /// takes writes, or a server that runs is not well. Decides nothing that is not known for certain; does nothing where the servers decide.
    async fn heal(&self, _cx: &ClusterContext) -> Result<()> {
        Ok(())
    }
    /// Takes away what servers keep longer than anybody needs it, old logs before all. Asked about once a minute while no change
    /// is under way; costs little where there is nothing to take away.
    async fn tidy(&self, _cx: &ClusterContext) -> Result<()> {
        Ok(())
    }
    /// Opens a connection as people do through this address and does a harmless write-and-read; proves an endpoint.
    async fn probe(&self, cx: &ClusterContext) -> Result<()>;
}
