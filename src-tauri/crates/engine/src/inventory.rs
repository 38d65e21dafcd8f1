//! What there is to choose from and to read: services, providers, logs.

use crate::{
    engine::{Live, Shared},
    error::EngineError,
    facade::{LogPage, PlaceReport, ProviderReport, Result, ServiceReport},
};
use clusterdeck_domain::{
    Capacity, ClusterSpec, Instead, NodeKind, Parameter, Plan, SERVICES, ServiceKind, belongs,
};
use clusterdeck_driver::{ClientCommand, DriverError, Image, Machine, Needs, Programs, Provider};
use futures::future::join_all;
use std::{net::SocketAddr, sync::Arc};

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

/// The same for new machines of a cluster. What its own machines run from goes first: a name may stand for a newer image by
/// now, and a registry need not answer for what is here.
pub(crate) async fn server_of(shared: &Shared, spec: &ClusterSpec) -> Result<Programs> {
    let mut programs = server(shared, spec.service)?;
    let provider = shared.provider_of(&spec.provider)?;
    for node in spec.data_nodes() {
        // One that does not answer says nothing; the next one may.
        let Ok(machine) = provider.machine(&node.machine).await else { continue };
        let Some(reference) = machine.image() else { break };
        if let Some(line) = version_on(&*machine, &programs, &spec.version).await {
            programs.images.insert(0, Image { line, reference: reference.to_owned() });
            break;
        }
    }
    Ok(programs)
}

/// What the endpoints of a cluster run from already, before what new ones would.
pub(crate) async fn gateway_of(shared: &Shared, spec: &ClusterSpec) -> Result<Programs> {
    let mut programs = gateway(shared);
    let Some(there) = &spec.gateway else { return Ok(programs) };
    if let Ok(machine) = shared.provider_of(&spec.provider)?.machine(there).await
        && let Some(reference) = machine.image()
        && let Some(line) = version_on(&*machine, &programs, "").await
    {
        programs.images = vec![Image { line, reference: reference.to_owned() }];
    }
    Ok(programs)
}

/// The version on a machine that is, or belongs to, the wanted one; any when none is wanted.
async fn version_on(machine: &dyn Machine, programs: &Programs, wanted: &str) -> Option<String> {
    let found: Vec<String> = match programs.extension {
        Some(extension) => {
            let carried = machine.extension(extension).await.ok()?;
            carried.into_iter().map(|c| c.version).collect()
        }
        None => {
            let (program, _) = programs.of(wanted).first()?;
            machine.software(program).await.ok()?.into_iter().map(|s| s.version).collect()
        }
    };
    found.into_iter().find(|version| !version.is_empty() && (wanted.is_empty() || belongs(version, wanted)))
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
    let places = places(shared).await;
    let mut reports = Vec::with_capacity(SERVICES.len());
    for entry in &SERVICES {
        let Ok(server) = server(shared, entry.id) else {
            reports.push(ServiceReport { service: entry.id, has_driver: false, places: vec![] });
            continue;
        };
        let needs = Needs { server, gateway: gateway(shared), ..Needs::default() };
        let asked = places.iter().map(|(provider, region)| place(provider, region.as_deref(), &needs));
        let places = join_all(asked).await;
        reports.push(ServiceReport { service: entry.id, has_driver: true, places });
    }
    Ok(reports)
}

/// Every region that machines can be made in; a provider without one stands there alone, to say what it lacks.
async fn places(shared: &Shared) -> Vec<(&Arc<dyn Provider>, Option<String>)> {
    let mut places = Vec::new();
    for provider in &shared.providers {
        // A provider that cannot list them cannot be asked the rest either, and says why there.
        let regions = provider.regions().await.unwrap_or_default();
        if regions.is_empty() {
            places.push((provider, None));
        }
        places.extend(regions.into_iter().map(|region| (provider, Some(region.id))));
    }
    places
}

/// What one place has of a service. One that cannot be asked offers nothing, and does not keep the others from it.
async fn place(provider: &Arc<dyn Provider>, region: Option<&str>, needs: &Needs<'_>) -> PlaceReport {
    let (capacity, problem) = match provider.capacity(&Needs { region, ..needs.clone() }).await {
        Ok(capacity) => (capacity, None),
        Err(error) => {
            tracing::debug!(provider = %provider.id(), %error, "cannot be asked what it can run");
            (Capacity::default(), Some(error.to_string()))
        }
    };
    let region = region.map(str::to_owned);
    PlaceReport { provider: provider.id(), name: provider.name().to_owned(), region, capacity, problem }
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
    let client = |at: SocketAddr| driver.client(&live.spec, at.ip(), at.port());
    let inside = client(SocketAddr::new(machine.address(), machine.port(port)));
    let inside = inside.and_then(|client| machine.inside(&client));
    inside.or_else(|| client(machine.reach(port))).ok_or_else(|| {
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
