//! Members of a multi-master: Galera. Not written yet.

use super::flavour::Software;
use clusterdeck_domain::NodeSpec;
use clusterdeck_driver::{ClusterContext, DriverError, Machine, Progress, Result, StartAs};

fn not_yet() -> DriverError {
    DriverError::Unsupported { what: "multi-master".to_owned() }
}
pub(crate) fn conf(
    _: &ClusterContext,
    _: &NodeSpec,
    _: &dyn Machine,
    _: &Software,
) -> Result<Vec<(&'static str, String)>> {
    Err(not_yet())
}
pub(crate) async fn take_part(_: &ClusterContext, _: &NodeSpec) -> Result<()> {
    Err(not_yet())
}
pub(crate) async fn form(_: &ClusterContext, _: &Progress) -> Result<()> {
    Err(not_yet())
}
pub(crate) async fn joined(_: &ClusterContext, _: &NodeSpec, _: &Progress) -> Result<()> {
    Err(not_yet())
}
pub(crate) async fn restart_as(_: &ClusterContext, _: &NodeSpec) -> Result<StartAs> {
    Ok(StartAs::Member)
}
pub(crate) async fn any_member(_: &ClusterContext) -> Result<&NodeSpec> {
    Err(not_yet())
}
