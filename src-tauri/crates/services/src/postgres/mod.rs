//! PostgreSQL: Patroni runs the servers and decides who leads, etcd is where the nodes agree, and a guard sees that a server
//! never takes writes without its Patroni.

mod access;
mod additions;
mod archive;
mod change;
mod config;
mod copy;
mod count;
mod diverged;
mod dump;
mod etcd;
mod flavour;
mod form;
mod http;
mod listeners;
mod migrate;
mod observe;
mod parameters;
mod patroni;
mod readiness;
mod resync;
mod sessions;
mod settled;
mod sql;

use crate::{measure::Readings, tls};
use async_trait::async_trait;
use clusterdeck_domain::{
    ClusterObserved, ClusterSpec, Count, Finding, LogPlace, LogSpan, Migrated, NodeId, NodeSpec, Parameter,
    Plan, Sensitive, ServiceKind, SourceReport,
};
use clusterdeck_driver::{
    ClientCommand, ClusterContext, CopyFormat, CopyFrom, DriverError, Extension, HandOver, Incoming,
    Listener, LogReady, LogTaken, LogTarget, LogWaiting, Migration, Outgoing, Passage, Progress, Result,
    ServiceDriver, StartAs, Switch,
};
use std::{net::IpAddr, time::Duration};

/// The driver of the family.
#[derive(Debug, Default)]
pub struct Postgres {
    readings: Readings,
    sessions: sessions::Sessions,
    additions: additions::Seen,
}

impl Postgres {
    /// Makes it.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl ServiceDriver for Postgres {
    fn services(&self) -> &'static [ServiceKind] {
        flavour::SERVICES
    }
    fn programs(&self, _service: ServiceKind) -> &'static [(&'static str, &'static str)] {
        flavour::PROGRAMS
    }
    fn extension(&self, service: ServiceKind) -> Option<&'static Extension> {
        flavour::addition(service).map(|added| added.extension)
    }
    fn ports(&self, _service: ServiceKind) -> &'static [u16] {
        &[config::PORT, patroni::PORT, etcd::CLIENT_PORT, etcd::PEER_PORT]
    }
    fn secret_names(&self) -> &'static [&'static str] {
        &["people", config::OPERATOR, config::REPLICA, config::REWIND, config::WATCH, tls::CA]
    }
    fn make_secret(&self, name: &str) -> Option<Sensitive<String>> {
        if name == tls::CA { tls::new_authority() } else { None }
    }
    fn people(&self, _service: ServiceKind) -> (&'static str, &'static str) {
        (config::PEOPLE, "postgresql")
    }
    fn database(&self, _service: ServiceKind) -> Option<&'static str> {
        Some(config::PEOPLE)
    }
    fn client(&self, _spec: &ClusterSpec, host: IpAddr, port: u16) -> Option<ClientCommand> {
        let (host, port) = (host.to_string(), port.to_string());
        let args = ["-h", &host, "-p", &port, "-U", config::PEOPLE, config::PEOPLE];
        Some(ClientCommand::new("psql", &args, "PGPASSWORD"))
    }
    fn server_unit(&self) -> &'static str {
        patroni::UNIT
    }
    fn voters<'a>(&self, cx: &'a ClusterContext) -> Vec<&'a NodeSpec> {
        etcd::voters(cx)
    }

    fn folders(&self) -> &'static [&'static str] {
        &["pg", "patroni", "etcd"]
    }
    async fn start_node(&self, cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
        form::start_node(cx, node, start_as).await
    }
    fn restarts_in_place(&self) -> bool {
        true
    }
    async fn restart_in_place(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        change::restart(cx, node).await
    }
    async fn can_start(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        flavour::software(cx, cx.machine(node)?.as_ref()).await.map(drop)
    }
    async fn stop_node(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        form::stop_node(cx, node).await
    }
    async fn form(&self, cx: &ClusterContext, progress: &Progress) -> Result<()> {
        form::form(cx, progress).await
    }
    async fn join(&self, cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
        form::caught_up(cx, node, progress).await
    }
    async fn leave(&self, cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
        form::leave(cx, node, progress).await
    }

    async fn arm_failover(&self, cx: &ClusterContext, primary: Option<&NodeId>) -> Result<()> {
        change::arm(cx, primary).await
    }
    async fn disarm_failover(&self, cx: &ClusterContext) -> Result<()> {
        change::set_pause(cx, true).await
    }

    async fn prepare_hand_over(
        &self,
        cx: &ClusterContext,
        target: &NodeSpec,
        progress: &Progress,
    ) -> Result<()> {
        change::prepare_hand_over(cx, target, progress).await
    }
    async fn hand_over(
        &self,
        cx: &ClusterContext,
        target: &NodeSpec,
        switch: &(dyn Fn() -> Switch + Send + Sync),
    ) -> Result<HandOver> {
        change::hand_over(cx, target, switch).await
    }
    async fn share_size(&self, cx: &ClusterContext, to: &Plan) -> Result<()> {
        parameters::share_size(cx, to).await
    }
    async fn set_candidate(&self, cx: &ClusterContext, node: &NodeSpec, candidate: bool) -> Result<()> {
        change::set_candidate(cx, node, candidate).await
    }
    async fn resync(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        progress: &Progress,
    ) -> Result<Option<String>> {
        resync::resync(cx, node, progress).await
    }
    async fn add_shard(&self, _cx: &ClusterContext, _shard: u16, _progress: &Progress) -> Result<()> {
        Err(no_shards())
    }
    async fn remove_shard(&self, _cx: &ClusterContext, _shard: u16, _progress: &Progress) -> Result<()> {
        Err(no_shards())
    }
    async fn apply_options(&self, cx: &ClusterContext) -> Result<()> {
        change::set_replication(cx).await
    }
    async fn parameters(&self, cx: &ClusterContext) -> Result<Vec<Parameter>> {
        parameters::parameters(cx).await
    }
    fn parameters_disagree(&self, spec: &ClusterSpec) -> Vec<Finding> {
        parameters::disagree(spec)
    }
    async fn apply_parameters(&self, cx: &ClusterContext) -> Result<()> {
        parameters::apply(cx).await
    }
    async fn apply_allowlist(&self, cx: &ClusterContext) -> Result<()> {
        access::apply(cx).await
    }
    async fn name_exposed(&self, cx: &ClusterContext) -> Result<()> {
        access::name_exposed(cx).await
    }
    async fn restarts_due(&self, cx: &ClusterContext) -> Result<Vec<NodeId>> {
        parameters::restarts_due(cx).await
    }
    async fn accept_next_secrets(&self, cx: &ClusterContext) -> Result<()> {
        change::accept_next_secrets(cx).await
    }
    async fn retire_old_secrets(&self, _cx: &ClusterContext) -> Result<()> {
        // A role has one password: the old one went when the new one came.
        Ok(())
    }

    async fn copy_out(
        &self,
        cx: &ClusterContext,
        from: &CopyFrom,
        output: &mut Outgoing,
        progress: &Progress,
    ) -> Result<String> {
        copy::out(cx, from, output, progress).await
    }
    async fn copy_in(
        &self,
        cx: &ClusterContext,
        node: &NodeSpec,
        input: &mut Incoming,
        bytes: u64,
        progress: &Progress,
    ) -> Result<()> {
        copy::lay(cx, node, input, bytes, progress).await
    }
    fn copy_format(&self, _service: ServiceKind, _version: &str) -> CopyFormat {
        copy::FORMAT
    }
    fn dump_format(&self, service: ServiceKind, _version: &str) -> std::result::Result<&'static str, String> {
        dump::format(service)
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

    fn no_log(&self, _spec: &ClusterSpec) -> Option<String> {
        None
    }
    fn log_place(&self, position: &str) -> Option<LogPlace> {
        archive::place(position)
    }
    async fn keep_log(&self, cx: &ClusterContext) -> Result<()> {
        archive::keep(cx).await
    }
    async fn log_ready(&self, cx: &ClusterContext) -> Result<LogReady> {
        archive::ready(cx).await
    }
    async fn log_out(
        &self,
        cx: &ClusterContext,
        piece: &LogWaiting,
        output: &mut Outgoing,
    ) -> Result<LogSpan> {
        archive::out(cx, piece, output).await
    }
    async fn log_taken(&self, cx: &ClusterContext, taken: &[LogTaken]) -> Result<Vec<String>> {
        archive::taken(cx, taken).await
    }
    async fn log_drop(&self, cx: &ClusterContext, names: &[String]) -> Result<()> {
        archive::drop_pieces(cx, names).await;
        Ok(())
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
        archive::until(cx, node, target).await
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
        observe::observe(cx, &self.readings, &self.sessions, &self.additions).await
    }
    fn listeners(&self, cx: &ClusterContext) -> Result<Vec<Listener>> {
        listeners::listeners(cx)
    }
    async fn restart_as(&self, _cx: &ClusterContext, _node: &NodeSpec) -> Result<StartAs> {
        Ok(StartAs::Member)
    }
    async fn probe(&self, cx: &ClusterContext) -> Result<()> {
        form::probe(cx).await
    }
}

/// The topology has none; the domain offers none.
fn no_shards() -> DriverError {
    DriverError::rejected("PostgreSQL has no shards", "nothing was changed")
}
