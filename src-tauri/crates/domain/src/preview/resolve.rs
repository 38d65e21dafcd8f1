//! From what the wizard left open to what will be made. Preview and engine both use this, so that they agree.

use super::rules::{software, words};
use super::{Capacity, Facts, Finding};
use crate::{
    Change, ClusterName, ClusterOption, ClusterOptions, CreateCluster, Failover, LayoutError, Plan, PlanId,
    ProviderId, REGION_LOCAL, ServiceEntry, ServiceKind, Slot, Topology, TopologyEntry, layout, service,
};

/// A wish with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedCreate {
    /// Its name; nobody else has it.
    pub name: ClusterName,
    /// What will run.
    pub service: ServiceKind,
    /// The version found on the machine, in full.
    pub version: String,
    /// How the nodes stand to each other.
    pub topology: Topology,
    /// Data nodes.
    pub nodes: u16,
    /// Shards; 0 when not sharded.
    pub shards: u16,
    /// What each machine will be, witness included, by ordinal.
    pub slots: Vec<Slot>,
    /// Where.
    pub provider: ProviderId,
    /// In which region.
    pub region: String,
    /// Size of each data node.
    pub plan: Plan,
    /// Termination protection.
    pub protected: bool,
    /// Automatic failover.
    pub auto_failover: bool,
    /// Switches.
    pub options: ClusterOptions,
}

impl ResolvedCreate {
    /// Machines that only vote.
    pub fn witnesses(&self) -> u16 {
        u16::try_from(self.slots.iter().filter(|s| s.witness).count()).unwrap_or(u16::MAX)
    }
}

/// Fills in what was left open: the service's first topology with its usual counts, the newest version found, this
/// computer, the usual size, failover where there is somebody to fail over to.
///
/// # Errors
/// A finding for each member that cannot be had, all at once.
pub fn resolve_create(wish: &CreateCluster, facts: &Facts<'_>) -> Result<ResolvedCreate, Vec<Finding>> {
    let entry = service(wish.service);
    let mut found = Vec::new();

    let name = new_name(wish, facts).map_err(|f| found.push(f)).ok();
    if !facts.available.contains(&wish.service) {
        // Nothing else can be said about a service that cannot run: its versions and ports are not looked for.
        found.push(
            Finding::new(
                "service-coming",
                format!("{} is in the catalogue but cannot be run yet.", entry.name),
            )
            .at("/service")
            .hint("`clusterdeck service list` shows which services can."),
        );
        return Err(found);
    }
    let place = place(wish, entry, facts);
    // What can be had depends on the version, as far as one was found.
    let version = place.as_ref().map_or(wish.version.as_deref().unwrap_or_default(), |(version, _)| version);
    let form = form(wish, entry, version).map_err(|f| found.push(f)).ok();
    let place = place.map_err(|mut f| found.append(&mut f)).ok();
    let (Some(name), Some((chosen, nodes, shards, slots)), Some((version, plan))) = (name, form, place)
    else {
        return Err(found);
    };
    let (topology, failover) = (chosen.topology, chosen.failover);
    if failover == Failover::ByHand && wish.auto_failover == Some(true) {
        return Err(vec![by_hand_only(entry.name_of(&version), wish)]);
    }
    let options = options(wish, chosen, nodes)?;
    Ok(ResolvedCreate {
        name,
        service: wish.service,
        version,
        topology,
        nodes,
        shards,
        slots,
        provider: wish.provider.clone().unwrap_or_else(|| ProviderId("local".to_owned())),
        region: wish
            .region
            .clone()
            .or_else(|| facts.capacity.and_then(|c| c.region.clone()))
            .unwrap_or_else(|| REGION_LOCAL.to_owned()),
        plan,
        protected: wish.protected,
        auto_failover: failover == Failover::ByVote && wish.auto_failover.unwrap_or(true),
        options,
    })
}

/// Nobody votes, so nobody takes over by itself.
fn by_hand_only(name: &str, wish: &CreateCluster) -> Finding {
    let without = CreateCluster { auto_failover: None, ..wish.clone() };
    Finding::new(
        "failover-by-hand",
        format!("Automatic failover is not available, because {name}'s replication has no vote of its own."),
    )
    .at("/auto_failover")
    .hint("Leave it off and promote a replica by hand when the primary fails, or choose multi-master.")
    .way_out("Leave it off", Change::CreateCluster(without))
}

fn new_name(wish: &CreateCluster, facts: &Facts<'_>) -> Result<ClusterName, Finding> {
    let name = ClusterName::parse(&wish.name).map_err(|bad| {
        let text = words::sentence(&bad.to_string());
        Finding::new("name-invalid", format!("{text}.")).at("/name").hint("For example: `demo`, `orders-2`.")
    })?;
    match facts.clusters.iter().find(|c| c.name == name) {
        None => Ok(name),
        Some(_) => Err(Finding::new("name-taken", format!("There is a cluster called {name} already."))
            .at("/name")
            .hint("Choose another name.")),
    }
}

type Form = (&'static TopologyEntry, u16, u16, Vec<Slot>);

fn form(wish: &CreateCluster, entry: &ServiceEntry, version: &str) -> Result<Form, Finding> {
    let chosen = match wish.topology {
        None => entry.topologies_of(version).first(),
        Some(topology) => entry.offer(version, topology),
    };
    let Some(chosen) = chosen else {
        let offered: Vec<&str> = entry.topologies_of(version).iter().map(|t| t.topology.id()).collect();
        let wanted = wish.topology.map_or("any topology", Topology::id);
        return Err(Finding::new(
            "topology-unsupported",
            format!("{} does not run as {wanted}.", entry.name),
        )
        .at("/topology")
        .hint(format!("It runs as {}.", super::rules::words::list(&offered))));
    };
    let topology = chosen.topology;
    let (nodes, shards) = counts(wish, chosen);
    let mut slots =
        layout(topology, nodes, shards, (chosen.min_nodes, chosen.max_nodes)).map_err(|wrong| {
            let text = format!("{}.", words::sentence(&wrong.to_string()));
            match wrong {
                LayoutError::NodeCount { .. } => Finding::new("node-count", text).at("/nodes"),
                LayoutError::Uneven { .. } => Finding::new("uneven-shards", text).at("/nodes"),
                LayoutError::Shards { .. } => Finding::new("shard-count", text).at("/shards"),
            }
        })?;
    // A witness has nothing to witness where nobody votes.
    slots.retain(|slot| !slot.witness || chosen.failover == Failover::ByVote);
    Ok((chosen, nodes, shards, slots))
}

/// Nodes and shards; where only one of them is given the other follows in the proportion of the default.
fn counts(wish: &CreateCluster, chosen: &TopologyEntry) -> (u16, u16) {
    if chosen.topology != Topology::Sharded {
        return (wish.nodes.unwrap_or(chosen.default_nodes), 0);
    }
    let per_shard = chosen.default_nodes / chosen.default_shards.max(1);
    let shards = wish.shards.unwrap_or(chosen.default_shards);
    (wish.nodes.unwrap_or_else(|| shards.saturating_mul(per_shard)), shards)
}

fn place(
    wish: &CreateCluster,
    entry: &ServiceEntry,
    facts: &Facts<'_>,
) -> Result<(String, Plan), Vec<Finding>> {
    let Some(capacity) = facts.capacity else {
        let provider = wish.provider.as_ref().map_or("local", |p| p.0.as_str());
        return Err(vec![
            Finding::new("capacity-unknown", format!("What `{provider}` can carry could not be found out."))
                .at("/provider")
                .hint(format!("`clusterdeck provider check {provider}` says why.")),
        ]);
    };
    let mut found: Vec<Finding> =
        software(capacity).map(|f| elsewhere(f.at("/service"), wish, capacity)).collect();
    let version = version(entry, wish.version.as_deref(), &capacity.versions);
    if version.is_none() && found.is_empty() {
        let there = capacity.versions.join(", ");
        found.push(match &wish.version {
            Some(wanted) if !there.is_empty() => {
                Finding::new("version-not-found", format!("{} {wanted} is not installed here.", entry.name))
                    .at("/version")
                    .hint(format!("Found: {there}."))
            }
            _ => Finding::new("version-unknown", format!("No version of {} was found here.", entry.name))
                .at("/version")
                .hint("`clusterdeck doctor` tells what this computer can run."),
        });
    }
    let wanted = wish.plan.clone().unwrap_or_default();
    let plan = capacity.plan.clone().filter(|p| p.id == wanted);
    if plan.is_none() {
        found.push(unknown_plan(&wanted, wish.provider.as_ref()));
    }
    match (version, plan) {
        (Some(version), Some(plan)) if found.is_empty() => Ok((version, plan)),
        _ => Err(found),
    }
}

/// Offers the same cluster in a place that lacks nothing.
fn elsewhere(missing: Finding, wish: &CreateCluster, capacity: &Capacity) -> Finding {
    let Some(instead) = &capacity.instead else { return missing };
    let change = CreateCluster { provider: Some(instead.provider.clone()), region: None, ..wish.clone() };
    missing.way_out(format!("Use {} instead", instead.name), Change::CreateCluster(change))
}

/// There is no such size.
pub(super) fn unknown_plan(wanted: &PlanId, provider: Option<&ProviderId>) -> Finding {
    let provider = provider.map_or("local", |p| p.0.as_str());
    Finding::new("plan-unknown", format!("`{provider}` has no plan {wanted}."))
        .at("/plan")
        .hint(format!("`clusterdeck plan list --provider {provider}` shows them."))
}

/// The newest version that is, or starts with, what was asked for: `7` and `7.0` mean 7.0.15, never 70.1.
fn version(entry: &ServiceEntry, wanted: Option<&str>, found: &[String]) -> Option<String> {
    let Some(wanted) = wanted else { return default_version(entry, found).cloned() };
    let fits = |have: &&String| {
        have.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    found.iter().find(fits).cloned()
}

/// What is taken of these when nobody asked for a version: the newest of the maker whose name the service has, else the newest.
pub fn default_version<'a>(entry: &ServiceEntry, found: &'a [String]) -> Option<&'a String> {
    found.iter().find(|have| entry.name_of(have) == entry.name).or(found.first())
}

/// The switches of the topology: as asked for, else as the service has them from the start.
fn options(wish: &CreateCluster, chosen: &TopologyEntry, nodes: u16) -> Result<ClusterOptions, Vec<Finding>> {
    let wish = wish.options.unwrap_or_default();
    let made = ClusterOptions::from_start(chosen.options, usize::from(nodes)).with(&wish, chosen.options);
    let wrong = |option: &ClusterOption| {
        let offered = chosen.option(*option);
        let text = match (made.get(*option), offered) {
            (false, _) => return None,
            (true, None) => format!("A {} cluster of this service has no such switch.", chosen.topology.id()),
            (true, Some(entry)) => {
                let needed = entry.needs.filter(|needed| !made.get(*needed))?;
                entry.means_nothing_without(needed, chosen.options)
            }
        };
        let code = if offered.is_some() { "option-needs-another" } else { "no-effect" };
        Some(Finding::new(code, text).at(option.pointer()))
    };
    let wrong: Vec<Finding> = ClusterOption::ALL.iter().filter_map(wrong).collect();
    if wrong.is_empty() { Ok(made) } else { Err(wrong) }
}
