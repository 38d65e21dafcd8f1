//! `clusterdeck service|provider|plan …`

use crate::{
    answer::piece,
    args::{PlanVerb, ProviderVerb, ServiceVerb},
    failure::Failure,
    output::{Table, bytes, facts},
    session::Session,
};
use clusterdeck_api::{
    Code, Problem,
    wire::{List, Provider},
};
use clusterdeck_domain::{Carrier, MissingSoftware, Plan};
use serde_json::Value;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What each place has installed, or what is fetched there first when somebody asks for it, with its maker's name where there
/// are several: *MariaDB 10.11.19 (This computer)*.
pub(super) fn offers(service: &Value, installed: bool) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let makers = list(&service["lines"]).len();
    let named = |offered: &Value| match makers {
        0 | 1 => text(&offered["version"]),
        _ => format!("{} {}", text(&offered["line"]), text(&offered["version"])),
    };
    let offered = |place: &Value| {
        let wanted = list(&place["versions"]).into_iter().filter(|v| v["installed"] == installed);
        let versions: Vec<String> = wanted.map(|v| named(&v)).collect();
        (!versions.is_empty()).then(|| format!("{} ({})", versions.join(", "), text(&place["name"])))
    };
    list(&service["places"]).iter().filter_map(offered).collect()
}

/// Whether a service can be created here, in words.
fn standing(service: &Value) -> &'static str {
    match (service["available"].as_bool(), service["coming"].as_bool()) {
        (Some(true), _) => "ready",
        (_, Some(true)) => "planned",
        _ => "not installed",
    }
}

pub(super) async fn service(session: &Session, verb: ServiceVerb) -> Result<(), Failure> {
    match verb {
        ServiceVerb::List => {
            let answer = session.get("/v1/services").await?;
            if session.output.json() {
                return session.output.body(&answer.body);
            }
            let services: Value = answer.read()?;
            let mut table = Table::new(&["id", "name", "here", "installed", "fetched first", "what"]);
            for service in services["items"].as_array().into_iter().flatten() {
                table.row(vec![
                    text(&service["id"]),
                    text(&service["name"]),
                    standing(service).to_owned(),
                    offers(service, true).join("; "),
                    offers(service, false).join("; "),
                    text(&service["tagline"]),
                ]);
            }
            session.output.table(&table)
        }
        ServiceVerb::Show { id } => {
            let answer = session.get(&format!("/v1/services/{}", piece(&id))).await?;
            if session.output.json() {
                return session.output.body(&answer.body);
            }
            let service: Value = answer.read()?;
            let missing: Vec<MissingSoftware> =
                serde_json::from_value(service["missing"].clone()).unwrap_or_default();
            let topologies =
                service["topologies"].as_array().into_iter().flatten().map(|t| text(&t["topology"]));
            session.output.line(&facts(&[
                ("Service", format!("{} ({})", text(&service["name"]), text(&service["id"]))),
                ("", text(&service["description"])),
                ("Here", standing(&service).to_owned()),
                ("Installed", offers(&service, true).join("\n")),
                ("Fetched first", offers(&service, false).join("\n")),
                ("Loaded into", carriers(&service)),
                ("Topologies", topologies.collect::<Vec<_>>().join(", ")),
                ("Switches", switches(&service)),
                ("Licence", text(&service["licence"])),
                ("Caution", text(&service["caution"])),
                ("Missing", installs(&missing).join("\n")),
            ]))
        }
    }
}

/// The switches of each topology that has some, as `cluster options` knows them.
fn switches(service: &Value) -> String {
    let named = |topology: &Value| {
        let options = topology["options"].as_array()?.iter();
        let names: Vec<String> = options.map(|o| format!("--{}", text(&o["id"]).replace('_', "-"))).collect();
        (!names.is_empty()).then(|| format!("{}: {}", text(&topology["topology"]), names.join(", ")))
    };
    let topologies = service["topologies"].as_array().into_iter().flatten();
    topologies.filter_map(named).collect::<Vec<_>>().join("\n")
}

/// Which server carries each version, where that has a version of its own.
pub(super) fn carriers(service: &Value) -> String {
    let carriers: Vec<Carrier> = serde_json::from_value(service["carriers"].clone()).unwrap_or_default();
    let lines = carriers.iter().map(|c| format!("{} for {}", c.server, c.version));
    lines.collect::<Vec<_>>().join("\n")
}

/// What is missing, each with the command that installs it and where else it can be had.
pub(super) fn installs(missing: &[MissingSoftware]) -> Vec<String> {
    let lines = |m: &MissingSoftware| {
        let install = m.install.as_ref().map_or_else(String::new, |command| format!(": {command}"));
        std::iter::once(format!("{} ({}){install}", m.program, m.purpose)).chain(m.elsewhere.clone())
    };
    missing.iter().flat_map(lines).collect()
}

pub(super) async fn provider(session: &Session, verb: ProviderVerb) -> Result<(), Failure> {
    let answer = session.get("/v1/providers").await?;
    let providers: List<Provider> = answer.read()?;
    match verb {
        ProviderVerb::List if session.output.json() => session.output.body(&answer.body),
        ProviderVerb::List => {
            let mut table = Table::new(&["id", "name", "usable", "missing"]);
            for provider in &providers.items {
                let missing: Vec<&str> = provider.missing.iter().map(|m| m.program.as_str()).collect();
                let usable = if provider.usable { "yes" } else { "no" };
                table.row(vec![
                    provider.id.to_string(),
                    provider.name.clone(),
                    usable.to_owned(),
                    missing.join(", "),
                ]);
            }
            session.output.table(&table)
        }
        ProviderVerb::Check { id } => {
            let unknown = || Problem::new(Code::NotFound, format!("there is no provider `{id}`"));
            let found = providers.items.into_iter().find(|p| p.id.0 == id).ok_or_else(unknown)?;
            if session.output.json() {
                let body = serde_json::to_vec(&found).map_err(|e| Failure::other(e.to_string()))?;
                return session.output.body(&body);
            }
            session.output.line(&format!(
                "{}: {}",
                found.name,
                if found.usable { "can be used" } else { "cannot be used" }
            ))?;
            for line in found.notes.iter().chain(&installs(&found.missing)) {
                session.output.line(&format!("  {line}"))?;
            }
            Ok(())
        }
    }
}

pub(super) async fn plan(session: &Session, verb: PlanVerb) -> Result<(), Failure> {
    let PlanVerb::List { provider, region } = verb;
    let query = region.map_or_else(String::new, |region| format!("?region={}", piece(&region)));
    let answer = session.get(&format!("/v1/providers/{}/plans{query}", piece(&provider))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let plans: List<Plan> = answer.read()?;
    let mut table = Table::new(&["plan", "cores", "memory", "disk", "price"]);
    #[allow(clippy::cast_precision_loss, reason = "for people to read")]
    for plan in &plans.items {
        let price = plan.price_per_hour.map_or_else(|| "none".to_owned(), |p| format!("${p:.4} an hour"));
        let (memory, disk) = (bytes(plan.memory_bytes as f64), bytes(plan.disk_bytes as f64));
        table.row(vec![plan.id.to_string(), plan.cpus.to_string(), memory, disk, price]);
    }
    session.output.table(&table)
}
