//! MySQL's family. MariaDB, whose replicas follow by transaction ids and whose members agree through Galera: replication has
//! no vote of its own, so a primary is only ever replaced because a person says so; who leads is noted on the machines. And
//! Oracle's MySQL on Group Replication, in a folder of its own (`group`); which of the two a call is for is decided here.

mod accounts;
mod archive;
mod backup;
mod change;
mod config;
mod copy;
mod count;
mod dump;
mod flavour;
mod form;
mod galera;
mod group;
mod gtid;
mod hand_over;
mod listeners;
mod logs;
mod migrate;
mod note;
mod observe;
mod readiness;
mod replication;
mod sql;
mod survey;
mod unit;

use self::flavour::Flavour::{self, MariaDb, MySql};
use crate::{measure::Readings, tls};
use async_trait::async_trait;
use clusterdeck_domain::{
    ClusterObserved, ClusterSpec, Count, Finding, LogPlace, LogSpan, Migrated, NodeId, NodeSpec, Sensitive,
    ServiceKind, SourceReport, Topology,
};
use clusterdeck_driver::{
    ClientCommand, ClusterContext, CopyFormat, CopyFrom, DriverError, HandOver, Incoming, Listener, LogReady,
    LogTaken, LogTarget, LogWaiting, Migration, OtherPrograms, Outgoing, Passage, Progress, Result,
    ServiceDriver, StartAs, Switch,
};
use std::{net::IpAddr, time::Duration};

/// The driver of the family.
#[derive(Debug, Default)]
pub struct Mysql {
    readings: Readings,
    logs: archive::Seen,
}

impl Mysql {
    /// Makes it.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl ServiceDriver for Mysql {
    fn services(&self) -> &'static [ServiceKind] {
        flavour::SERVICES
    }
    fn programs(&self, _service: ServiceKind) -> &'static [(&'static str, &'static str)] {
        flavour::PROGRAMS
    }
    fn other_programs(&self, _service: ServiceKind) -> &'static [OtherPrograms] {
        flavour::OTHER_PROGRAMS
    }
    fn images(&self, _service: ServiceKind) -> &'static [(&'static str, &'static str)] {
        flavour::IMAGES
    }
    fn ports(&self, _service: ServiceKind) -> &'static [u16] {
        &[config::PORT, config::COPY_PORT, config::HEALTH_PORT, galera::PORT, galera::CATCH_UP_PORT]
    }
    fn secret_names(&self) -> &'static [&'static str] {
        &["people", accounts::OPERATOR, accounts::REPLICA, accounts::WATCH, accounts::COPY, tls::CA]
    }
    fn make_secret(&self, name: &str) -> Option<Sensitive<String>> {
        if name == tls::CA { tls::new_authority() } else { None }
    }
    fn people(&self, _service: ServiceKind) -> (&'static str, &'static str) {
        (accounts::PEOPLE, "mysql")
    }
    fn database(&self, _service: ServiceKind) -> Option<&'static str> {
        Some(accounts::PEOPLE)
    }
    fn client(&self, spec: &ClusterSpec, host: IpAddr, port: u16) -> Option<ClientCommand> {
        let program = match flavour::Flavour::of(&spec.version) {
            flavour::Flavour::MariaDb => "mariadb",
            flavour::Flavour::MySql => "mysql",
        };
        let (host, port) = (format!("--host={host}"), format!("--port={port}"));
        let user = format!("--user={}", accounts::PEOPLE);
        let args = ["--protocol=tcp", &host, &port, &user, accounts::PEOPLE];
        Some(ClientCommand::new(program, &args, "MYSQL_PWD"))
    }
    fn server_unit(&self) -> &'static str {
        unit::UNIT
    }
    fn voters<'a>(&self, _cx: &'a ClusterContext) -> Vec<&'a NodeSpec> {
        Vec::new()
    }

    fn folders(&self) -> &'static [&'static str] {
        &["mysql"]
    }
    async fn start_node(&self, cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
        match of(cx) {
            MariaDb => form::start_node(cx, node, start_as).await,
            MySql => group::start_node(cx, node, start_as).await,
        }
    }
    fn restarts_in_place(&self) -> bool {
        true
    }
    async fn restart_in_place(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        match of(cx) {
            MariaDb => change::restart_in_place(cx, node).await,
            MySql => group::restart_in_place(cx, node).await,
        }
    }
    async fn can_start(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        flavour::software(&cx.spec, cx.machine(node)?.as_ref()).await.map(drop)
    }
    async fn stop_node(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        match of(cx) {
            MariaDb => form::stop_node(cx, node).await,
            MySql => group::stop_node(cx, node).await,
        }
    }
    async fn form(&self, cx: &ClusterContext, progress: &Progress) -> Result<()> {
        match of(cx) {
            MariaDb => form::form(cx, progress).await,
            MySql => group::form(cx, progress).await,
        }
    }
    async fn join(&self, cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
        match of(cx) {
            MariaDb => form::join(cx, node, progress).await,
            MySql => group::join(cx, node, progress).await,
        }
    }
    async fn leave(&self, cx: &ClusterContext, node: &NodeSpec, _progress: &Progress) -> Result<()> {
        match of(cx) {
            MariaDb => form::leave(cx, node).await,
            MySql => group::leave(cx, node).await,
        }
    }

    async fn growth_findings(&self, cx: &ClusterContext) -> Result<Vec<Finding>> {
        match of(cx) {
            // Its replicas take tables of every kind; what it grows into is no multi-master.
            MariaDb => Ok(Vec::new()),
            MySql => group::growth_findings(cx).await,
        }
    }

    async fn arm_failover(&self, cx: &ClusterContext, _primary: Option<&NodeId>) -> Result<()> {
        match of(cx) {
            MariaDb => form::settle(cx).await,
            MySql => group::settle(cx).await,
        }
    }
    async fn disarm_failover(&self, _cx: &ClusterContext) -> Result<()> {
        // Nobody acts by itself here, so nobody has to stand aside.
        Ok(())
    }

    async fn hand_over(
        &self,
        cx: &ClusterContext,
        target: &NodeSpec,
        switch: &(dyn Fn() -> Switch + Send + Sync),
    ) -> Result<HandOver> {
        match of(cx) {
            MariaDb => hand_over::hand_over(cx, target, switch).await,
            MySql => group::hand_over(cx, target, switch).await,
        }
    }
    async fn take_over(
        &self,
        cx: &ClusterContext,
        target: &NodeSpec,
        switch: &(dyn Fn() -> Switch + Send + Sync),
    ) -> Result<HandOver> {
        match of(cx) {
            MariaDb => hand_over::take_over(cx, target, switch).await,
            MySql => Err(DriverError::Unsupported { what: "leading without the group's vote".to_owned() }),
        }
    }
    async fn set_candidate(&self, cx: &ClusterContext, node: &NodeSpec, candidate: bool) -> Result<()> {
        match of(cx) {
            // Nobody is chosen but by a person.
            MariaDb => Ok(()),
            MySql => group::set_candidate(cx, node, candidate).await,
        }
    }
    async fn resync(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        progress: &Progress,
    ) -> Result<Option<String>> {
        match of(cx) {
            MariaDb => change::resync(cx, node, progress).await,
            MySql => group::resync(cx, node, progress).await,
        }
    }
    async fn add_shard(&self, _cx: &ClusterContext, _shard: u16, _progress: &Progress) -> Result<()> {
        Err(no_shards())
    }
    async fn remove_shard(&self, _cx: &ClusterContext, _shard: u16, _progress: &Progress) -> Result<()> {
        Err(no_shards())
    }
    async fn apply_options(&self, _cx: &ClusterContext) -> Result<()> {
        Ok(())
    }
    async fn name_exposed(&self, cx: &ClusterContext) -> Result<()> {
        change::name_exposed(cx).await
    }
    async fn accept_next_secrets(&self, cx: &ClusterContext) -> Result<()> {
        match of(cx) {
            MariaDb => change::accept_next_secrets(cx).await,
            MySql => group::accept_next_secrets(cx).await,
        }
    }
    async fn retire_old_secrets(&self, cx: &ClusterContext) -> Result<()> {
        match of(cx) {
            MariaDb => change::retire_old_secrets(cx).await,
            MySql => group::retire_old_secrets(cx).await,
        }
    }

    async fn copy_out(
        &self,
        cx: &ClusterContext,
        from: &CopyFrom,
        output: &mut Outgoing,
        progress: &Progress,
    ) -> Result<String> {
        match of(cx) {
            MariaDb => backup::copy_out(cx, from, output, progress).await,
            MySql => group::copy_out(cx, from, output, progress).await,
        }
    }
    async fn copy_in(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        input: &mut Incoming,
        bytes: u64,
        progress: &Progress,
    ) -> Result<()> {
        match of(cx) {
            MariaDb => backup::copy_in(cx, node, input, bytes, progress).await,
            MySql => group::copy_in(cx, node, input, bytes, progress).await,
        }
    }
    fn copy_format(&self, _service: ServiceKind, version: &str) -> CopyFormat {
        match Flavour::of(version) {
            Flavour::MySql => group::COPY_FORMAT,
            _ => backup::FORMAT,
        }
    }
    fn dump_format(&self, _service: ServiceKind, version: &str) -> std::result::Result<&'static str, String> {
        Ok(dump::format(version))
    }
    async fn dump(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        output: &mut Outgoing,
        progress: &Progress,
    ) -> Result<()> {
        dump::out(cx, node, output, progress).await
    }
    async fn count(&self, cx: &ClusterContext, node: &NodeSpec, within: Duration) -> Result<Vec<Count>> {
        count::count(cx, node, within).await
    }

    fn no_log(&self, spec: &ClusterSpec) -> Option<String> {
        let several = spec.topology == Topology::MultiMaster;
        let why = match Flavour::of(&spec.version) {
            MariaDb => "members of Galera keep no log of their own that could be archived",
            MySql => {
                "where several members take writes each writes them down in an order of its own, in which no moment has one place"
            }
        };
        several.then(|| why.to_owned())
    }
    fn log_is_exact(&self, version: &str) -> bool {
        Flavour::of(version) == MySql
    }
    fn log_place(&self, position: &str) -> Option<LogPlace> {
        archive::place(position)
    }
    async fn keep_log(&self, cx: &ClusterContext) -> Result<()> {
        self.logs.forget(cx);
        Ok(())
    }
    async fn log_ready(&self, cx: &ClusterContext) -> Result<LogReady> {
        match of(cx) {
            MariaDb => archive::ready(cx, &self.logs).await,
            MySql => group::log_ready(cx, &self.logs).await,
        }
    }
    async fn log_out(
        &self,
        cx: &ClusterContext,
        piece: &LogWaiting,
        output: &mut Outgoing,
    ) -> Result<LogSpan> {
        match of(cx) {
            MariaDb => archive::out(cx, piece, output).await,
            MySql => group::log_out(cx, piece, output).await,
        }
    }
    async fn log_taken(&self, cx: &ClusterContext, taken: &[LogTaken]) -> Result<Vec<String>> {
        archive::taken(cx, &self.logs, taken);
        Ok(Vec::new())
    }
    async fn log_in(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        name: &str,
        input: &mut Incoming,
        bytes: u64,
    ) -> Result<()> {
        archive::lay(cx, node, name, input, bytes).await
    }
    async fn log_until(&self, cx: &ClusterContext, node: &NodeSpec, target: &LogTarget) -> Result<()> {
        match of(cx) {
            MariaDb => archive::until(cx, node, target).await,
            MySql => group::log_until(cx, node, target).await,
        }
    }
    async fn look_at_source(&self, cx: &ClusterContext, migration: &Migration) -> Result<SourceReport> {
        migrate::look(cx, migration).await
    }
    async fn bring_in(
        &self,
        cx: &ClusterContext,
        migration: &Migration,
        passage: &Passage,
        progress: &Progress,
    ) -> Result<Migrated> {
        migrate::bring_in(cx, migration, passage, progress).await
    }
    async fn take_out(
        &self,
        cx: &ClusterContext,
        migration: &Migration,
        _progress: &Progress,
    ) -> Result<Option<String>> {
        migrate::take_out(cx, migration).await
    }

    async fn observe(&self, cx: &ClusterContext) -> ClusterObserved {
        match of(cx) {
            MariaDb => observe::observe(cx, &self.readings).await,
            MySql => group::observe(cx, &self.readings).await,
        }
    }
    fn listeners(&self, cx: &ClusterContext) -> Result<Vec<Listener>> {
        listeners::listeners(cx)
    }
    async fn restart_as(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<StartAs> {
        match of(cx) {
            MariaDb => form::restart_as(cx, node).await,
            MySql => Ok(group::restart_as(cx)),
        }
    }
    async fn step_back(&self, cx: &ClusterContext) -> Result<Option<NodeId>> {
        match of(cx) {
            MariaDb => form::step_back(cx).await,
            // A member that has no majority opens for nobody, whatever it says of itself.
            MySql => Ok(None),
        }
    }
    async fn heal(&self, cx: &ClusterContext) -> Result<()> {
        match of(cx) {
            MariaDb => form::heal(cx).await,
            MySql => group::heal(cx).await,
        }
    }
    async fn tidy(&self, cx: &ClusterContext) -> Result<()> {
        match of(cx) {
            MariaDb => logs::tidy(cx, &self.logs).await,
            MySql => group::tidy(cx, &self.logs).await,
        }
    }
    async fn probe(&self, cx: &ClusterContext) -> Result<()> {
        form::probe(cx).await
    }
}

/// Whose server a cluster runs.
fn of(cx: &ClusterContext) -> Flavour {
    Flavour::of(&cx.spec.version)
}

/// The topology has none; the domain offers none.
fn no_shards() -> DriverError {
    DriverError::rejected("this service has no shards", "nothing was changed")
}
