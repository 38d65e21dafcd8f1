//! What there is to choose from and to read: services, providers, logs.

use crate::{
    engine::{Live, Shared},
    error::EngineError,
    facade::{LogPage, ProviderReport, Result, ServiceReport},
};
use clusterdeck_domain::{NodeKind, Parameter, Plan, SERVICES, ServiceKind};
use clusterdeck_driver::{ClientCommand, DriverError, Provider};
use std::sync::Arc;

/// Everything that must be installed for a service: its own programs first, then the gateway's.
pub(crate) fn programs(shared: &Shared, service: ServiceKind) -> Result<Vec<(&'static str, &'static str)>> {
    let own = shared.driver(service)?.programs(service);
    Ok(own.iter().chain(shared.gateway.programs()).copied().collect())
}

pub(crate) async fn services(shared: &Arc<Shared>) -> Result<Vec<ServiceReport>> {
    let provider = shared.providers.first().ok_or(EngineError::NotFound { what: "provider".to_owned() })?;
    let mut reports = Vec::with_capacity(SERVICES.len());
    for entry in &SERVICES {
        let Ok(programs) = programs(shared, entry.id) else {
            reports.push(ServiceReport {
                service: entry.id,
                has_driver: false,
                installed: vec![],
                missing: vec![],
            });
            continue;
        };
        let capacity = provider.capacity(None, &programs, &[]).await?;
        reports.push(ServiceReport {
            service: entry.id,
            has_driver: true,
            installed: capacity.versions,
            missing: capacity.missing,
        });
    }
    Ok(reports)
}

pub(crate) async fn providers(shared: &Arc<Shared>) -> Result<Vec<ProviderReport>> {
    let mut programs = Vec::new();
    for driver in &shared.services {
        for service in driver.services() {
            programs.extend_from_slice(driver.programs(*service));
        }
    }
    programs.extend_from_slice(shared.gateway.programs());
    programs.sort_unstable();
    programs.dedup_by_key(|(program, _)| *program);
    let mut reports = Vec::new();
    for provider in &shared.providers {
        let check = provider.check(&programs).await?;
        reports.push(ProviderReport { id: provider.id(), name: provider.name().to_owned(), check });
    }
    Ok(reports)
}

/// A provider's plans in a region; in its first where none is named.
pub(crate) async fn plans(provider: &Arc<dyn Provider>, region: Option<&str>) -> Result<Vec<Plan>> {
    let region = match region {
        Some(region) => region.to_owned(),
        None => provider.regions().await?.into_iter().next().map(|r| r.id).unwrap_or_default(),
    };
    Ok(provider.plans(&region).await?)
}

/// The client of a node's server.
pub(crate) async fn client(shared: &Arc<Shared>, node: &str) -> Result<ClientCommand> {
    let (live, id) = shared.find_node(node)?;
    let spec = live.spec.node(&id).ok_or_else(|| EngineError::NotFound { what: format!("node `{node}`") })?;
    let driver = shared.driver(live.spec.service)?;
    let refused = |what: String, hint: &str| EngineError::Driver(DriverError::rejected(what, hint));
    if spec.kind == NodeKind::Witness {
        let what = format!("{} only votes and has no server to talk to", spec.name);
        return Err(refused(what, "open one of the data nodes"));
    }
    let machine = shared.provider_of(&live.spec.provider)?.machine(&spec.machine).await?;
    let port = driver.ports(live.spec.service).first().copied().unwrap_or_default();
    driver.client(&live.spec, machine.address(), machine.port(port)).ok_or_else(|| {
        refused(
            format!("{} has no client for a terminal", live.spec.service),
            "its endpoint is shown in the window",
        )
    })
}

/// What can be set in the servers of a cluster.
pub(crate) async fn parameters(shared: &Arc<Shared>, live: &Live) -> Result<Vec<Parameter>> {
    let context = shared.context(&live.spec.id).await?;
    Ok(shared.driver(live.spec.service)?.parameters(&context).await?)
}

pub(crate) async fn log(
    shared: &Arc<Shared>,
    node: &str,
    unit: Option<&str>,
    lines: usize,
    after: Option<u64>,
) -> Result<LogPage> {
    let (live, id) = shared.find_node(node)?;
    let spec = live.spec.node(&id).ok_or_else(|| EngineError::NotFound { what: format!("node `{node}`") })?;
    let machine = shared.provider_of(&live.spec.provider)?.machine(&spec.machine).await?;
    let mut units = machine.units().await?;
    units.sort();
    let server = shared.driver(live.spec.service)?.server_unit();
    let default =
        if spec.kind == NodeKind::Data { server } else { units.first().map_or(server, String::as_str) };
    let unit = unit.unwrap_or(default).to_owned();
    if !units.contains(&unit) {
        return Err(EngineError::NotFound { what: format!("unit `{unit}` on {node}") });
    }
    let (lines, next) = match machine.log(&unit, lines.clamp(1, 5_000), after).await {
        Err(DriverError::Gone { .. }) => (Vec::new(), 0),
        other => other?,
    };
    Ok(LogPage { unit, units, lines, next })
}
