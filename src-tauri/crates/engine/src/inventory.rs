//! What there is to choose from and to read: services, providers, logs.

use crate::{
    engine::{Live, Shared},
    error::EngineError,
    facade::{LogPage, ProviderReport, Result, ServiceReport},
};
use clusterdeck_domain::{Instead, NodeKind, Parameter, Plan, SERVICES, ServiceKind};
use clusterdeck_driver::{ClientCommand, DriverError, Needs, Programs, Provider};
use std::sync::Arc;

/// What the servers of a service need: programs, or images that hold them.
pub(crate) fn server(shared: &Shared, service: ServiceKind) -> Result<Programs> {
    let driver = shared.driver(service)?;
    let images = shared.settings().images.of(service.id(), driver.images(service));
    Ok(Programs {
        programs: driver.programs(service).to_vec(),
        extension: driver.extension(service),
        others: driver.other_programs(service),
        images,
    })
}

/// What the endpoints need.
pub(crate) fn gateway(shared: &Shared) -> Programs {
    let gateway = &shared.gateway;
    let images = shared.settings().images.of(gateway.unit(), gateway.images());
    Programs { programs: gateway.programs().to_vec(), images, ..Programs::default() }
}

/// The image of a release line, or of a version that belongs to it; the newest when none is asked for.
pub(crate) fn image_of(programs: &Programs, version: &str) -> Option<String> {
    let fits = |line: &str| {
        let longer = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('.'));
        version.is_empty() || version == line || longer(version, line) || longer(line, version)
    };
    programs.images.iter().find(|image| fits(&image.line)).map(|image| image.reference.clone())
}

pub(crate) async fn services(shared: &Arc<Shared>) -> Result<Vec<ServiceReport>> {
    let mut reports = Vec::with_capacity(SERVICES.len());
    for entry in &SERVICES {
        let Ok(server) = server(shared, entry.id) else {
            reports.push(ServiceReport {
                service: entry.id,
                has_driver: false,
                installed: vec![],
                carriers: vec![],
                missing: vec![],
            });
            continue;
        };
        let needs = Needs { server, gateway: gateway(shared), ..Needs::default() };
        reports.push(service(shared, entry.id, &needs).await?);
    }
    Ok(reports)
}

/// A place other than this one that lacks nothing of what is needed.
pub(crate) async fn instead(shared: &Shared, not: &Arc<dyn Provider>, needs: &Needs<'_>) -> Option<Instead> {
    let needs = Needs { region: None, plan: None, ..needs.clone() };
    for provider in shared.providers.iter().filter(|p| p.id() != not.id()) {
        if let Ok(there) = provider.capacity(&needs).await
            && there.missing.is_empty()
            && !there.versions.is_empty()
        {
            return Some(Instead { provider: provider.id(), name: provider.name().to_owned() });
        }
    }
    None
}

/// Whether a service can run anywhere: the first provider that lacks nothing speaks for it, else the first of all, since
/// what is missing there is what a person can install.
async fn service(shared: &Shared, service: ServiceKind, needs: &Needs<'_>) -> Result<ServiceReport> {
    let mut told = None;
    for provider in &shared.providers {
        let capacity = match provider.capacity(needs).await {
            Ok(capacity) => capacity,
            // A place that cannot be asked offers nothing; it says why in its own check.
            Err(error) if told.is_some() => {
                tracing::debug!(provider = %provider.id(), %error, "cannot be asked what it can run");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let whole = capacity.missing.is_empty() && !capacity.versions.is_empty();
        let report = ServiceReport {
            service,
            has_driver: true,
            installed: capacity.versions,
            carriers: capacity.carriers,
            missing: capacity.missing,
        };
        if whole {
            return Ok(report);
        }
        told.get_or_insert(report);
    }
    told.ok_or(EngineError::NotFound { what: "provider".to_owned() })
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
    let at = machine.reach(port);
    driver.client(&live.spec, at.ip(), at.port()).ok_or_else(|| {
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
