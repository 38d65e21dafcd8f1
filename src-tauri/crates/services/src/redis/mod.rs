//! Redis, Valkey and KeyDB: one driver, since they speak the same protocol and differ in names and a few directives
//! (see `flavour`). Primary and replicas are watched by Sentinels, shards by themselves.

mod change;
mod config;
mod copy;
mod flavour;
mod form;
mod hand_over;
mod info;
mod listeners;
mod migrate;
mod observe;
mod readiness;
mod sentinel;
mod session;
mod shards;
mod survey;

use crate::measure::Readings;
use async_trait::async_trait;
use clusterdeck_domain::{
    ClusterObserved, ClusterSpec, Count, Migrated, NodeId, NodeSpec, ServiceKind, SourceReport, Topology,
};
use clusterdeck_driver::{
    ClientCommand, ClusterContext, CopyFormat, CopyFrom, HandOver, Incoming, Listener, Migration, Outgoing,
    Passage, Progress, Result, ServiceDriver, StartAs, Switch,
};
use flavour::Flavour;
use std::{net::IpAddr, time::Duration};

/// The driver of the family.
#[derive(Debug, Default)]
pub struct Redis {
    readings: Readings,
}

impl Redis {
    /// Makes it.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl ServiceDriver for Redis {
    fn services(&self) -> &'static [ServiceKind] {
        flavour::SERVICES
    }
    fn programs(&self, service: ServiceKind) -> &'static [(&'static str, &'static str)] {
        Flavour::of(service).programs
    }
    fn images(&self, service: ServiceKind) -> &'static [(&'static str, &'static str)] {
        Flavour::of(service).images
    }
    fn ports(&self, _service: ServiceKind) -> &'static [u16] {
        &[session::PORT, session::VOTER_PORT, session::BUS_PORT]
    }
    fn secret_names(&self) -> &'static [&'static str] {
        &["people", "operator", "replica", "sentinel", "watch", "voter"]
    }
    fn people(&self, _service: ServiceKind) -> (&'static str, &'static str) {
        ("default", "redis")
    }
    fn client(&self, spec: &ClusterSpec, host: IpAddr, port: u16) -> Option<ClientCommand> {
        let (host, port) = (host.to_string(), port.to_string());
        let mut args = vec!["-h", &host, "-p", &port, "--user", "default"];
        if spec.topology == Topology::Sharded {
            // Follows redirections to the node that has the key.
            args.push("-c");
        }
        Some(ClientCommand::new(Flavour::of(spec.service).client, &args, "REDISCLI_AUTH"))
    }
    fn server_unit(&self) -> &'static str {
        form::UNIT
    }
    fn voters<'a>(&self, cx: &'a ClusterContext) -> Vec<&'a NodeSpec> {
        sentinel::voters(cx)
    }

    fn folders(&self) -> &'static [&'static str] {
        &["redis", "sentinel"]
    }
    async fn start_node(&self, cx: &ClusterContext, node: &NodeSpec, start_as: &StartAs) -> Result<()> {
        form::start_node(cx, node, start_as).await
    }
    async fn can_start(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        flavour::software(&cx.spec, cx.machine(node)?.as_ref()).await.map(drop)
    }
    async fn stop_node(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<()> {
        form::stop_node(cx, node).await
    }
    async fn form(&self, cx: &ClusterContext, progress: &Progress) -> Result<()> {
        form::form(cx, progress).await
    }
    async fn join(&self, cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
        form::join(cx, node, progress).await
    }
    async fn leave(&self, cx: &ClusterContext, node: &NodeSpec, progress: &Progress) -> Result<()> {
        form::leave(cx, node, progress).await
    }

    async fn arm_failover(&self, cx: &ClusterContext, primary: Option<&NodeId>) -> Result<()> {
        change::apply_options(cx).await?;
        sentinel::arm(cx, primary).await
    }
    async fn disarm_failover(&self, cx: &ClusterContext) -> Result<()> {
        sentinel::disarm(cx).await
    }

    async fn hand_over(
        &self,
        cx: &ClusterContext,
        target: &NodeSpec,
        switch: &(dyn Fn() -> Switch + Send + Sync),
    ) -> Result<HandOver> {
        match cx.spec.topology {
            // Clients of a sharded cluster find the new primary of a shard by themselves: the endpoint stays.
            Topology::Sharded => shards::hand_over(cx, target).await,
            _ => hand_over::hand_over(cx, target, switch).await,
        }
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
        change::resync(cx, node, progress).await
    }
    async fn add_shard(&self, cx: &ClusterContext, shard: u16, progress: &Progress) -> Result<()> {
        shards::add_shard(cx, shard, progress).await
    }
    async fn remove_shard(&self, cx: &ClusterContext, shard: u16, progress: &Progress) -> Result<()> {
        shards::remove_shard(cx, shard, progress).await
    }
    async fn apply_options(&self, cx: &ClusterContext) -> Result<()> {
        change::apply_options(cx).await
    }
    async fn accept_next_secrets(&self, cx: &ClusterContext) -> Result<()> {
        change::accept_next_secrets(cx).await
    }
    async fn retire_old_secrets(&self, cx: &ClusterContext) -> Result<()> {
        change::retire_old_secrets(cx).await
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
        _progress: &Progress,
    ) -> Result<()> {
        copy::lay(cx, node, input, bytes).await
    }
    fn copy_format(&self, _service: ServiceKind, _version: &str) -> CopyFormat {
        copy::FORMAT
    }
    fn dump_format(
        &self,
        _service: ServiceKind,
        _version: &str,
    ) -> std::result::Result<&'static str, String> {
        Err("a download of it is an RDB file, which is what other programs read already".to_owned())
    }
    async fn count(&self, cx: &ClusterContext, node: &NodeSpec, _within: Duration) -> Result<Vec<Count>> {
        copy::count(cx, node).await
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
        observe::observe(cx, &self.readings).await
    }
    fn listeners(&self, cx: &ClusterContext) -> Result<Vec<Listener>> {
        listeners::listeners(cx)
    }
    async fn restart_as(&self, cx: &ClusterContext, node: &NodeSpec) -> Result<StartAs> {
        form::restart_as(cx, node).await
    }
    async fn step_back(&self, cx: &ClusterContext) -> Result<Option<NodeId>> {
        form::step_back(cx).await
    }
    async fn probe(&self, cx: &ClusterContext) -> Result<()> {
        listeners::probe(cx).await
    }
}
