//! A fake gateway over the fake world.

use crate::world::World;
use async_trait::async_trait;
use clusterdeck_domain::NodeId;
use clusterdeck_driver::{ClusterContext, Gateway, GatewayStatus, Listener, Result, UnitSpec};
use std::time::Duration;

pub(crate) struct FakeGateway(pub(crate) World);

#[async_trait]
impl Gateway for FakeGateway {
    fn programs(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    fn unit(&self) -> &'static str {
        "gateway"
    }
    async fn apply(&self, cx: &ClusterContext, listeners: &[Listener]) -> Result<()> {
        let machine = cx.gateway()?.clone();
        {
            let mut world = self.0.call("gateway.apply")?;
            world.endpoint =
                Some(listeners.iter().flat_map(|l| &l.backends).map(|b| b.node.clone()).collect());
            world.drained = listeners
                .iter()
                .flat_map(|l| &l.backends)
                .filter(|b| b.drained)
                .map(|b| b.node.clone())
                .collect();
        }
        let unit = UnitSpec {
            name: "gateway".to_owned(),
            program: "/fake/gateway".into(),
            args: Vec::new(),
            memory_bytes: None,
            stop_grace: Duration::from_secs(1),
            restart: true,
            restart_not_before: Duration::ZERO,
            unprivileged: false,
        };
        machine.start(&unit).await
    }
    async fn point_to(&self, _cx: &ClusterContext, _node: &NodeId) -> Result<()> {
        self.0.call("gateway.point_to").map(drop)
    }
    async fn drain(&self, _cx: &ClusterContext, node: &NodeId) -> Result<()> {
        self.0.call("gateway.drain")?.drained.insert(node.clone());
        Ok(())
    }
    async fn undrain(&self, _cx: &ClusterContext, node: &NodeId) -> Result<()> {
        self.0.call("gateway.undrain")?.drained.remove(node);
        Ok(())
    }
    async fn disconnect(&self, _cx: &ClusterContext, _node: &NodeId) -> Result<()> {
        self.0.call("gateway.disconnect").map(drop)
    }
    async fn cut_outsiders(&self, _cx: &ClusterContext) -> Result<u64> {
        self.0.call("gateway.cut_outsiders").map(|_| 0)
    }
    async fn status(&self, _cx: &ClusterContext) -> Result<GatewayStatus> {
        Ok(GatewayStatus::default())
    }
}
