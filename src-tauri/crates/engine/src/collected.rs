//! What a preview relies on: the cluster as it was just seen, what else there is, and what the place of new machines can carry.

use crate::{
    access, backups,
    engine::{Live, Shared},
    facade::{Asker, Result},
    inventory, watch,
};
use clusterdeck_domain::{
    Backup, Busy, Capacity, Change, ChangeKind, Check, CheckState, ClusterSpec, ComesFrom, CreateCluster,
    Exposable, Facts, Finding, Following, MigrateIn, MomentFacts, NodeFence, Parameter, PlanId, ServiceKind,
    SourceReport, Subject, VaultFacts, chosen_parameters, default_version, preview::cloned_cluster,
    restored_cluster, service as service_entry,
};
use clusterdeck_driver::{Migration, Needs, Provider};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

/// An observation older than this is made anew before a preview.
const FRESH: Duration = Duration::from_millis(1_500);

/// How long a source is looked at before a preview.
const LOOKS_AT_SOURCE: Duration = Duration::from_secs(30);

/// What was collected for one preview; `Facts` borrows from it.
pub(crate) struct Collected {
    pub(crate) clusters: Vec<ClusterSpec>,
    pub(crate) available: Vec<ServiceKind>,
    pub(crate) subject: Option<(Live, Option<clusterdeck_domain::NodeId>)>,
    pub(crate) capacity: Option<Capacity>,
    parameters: Option<Vec<Parameter>>,
    parameter_findings: Vec<Finding>,
    growth_findings: Vec<Finding>,
    pub(crate) busy: Option<Busy>,
    /// Nobody asked for it: its time has come.
    pub(crate) by_schedule: bool,
    /// The backup the change is about.
    pub(crate) backup: Option<Backup>,
    /// The cluster that it would become.
    pub(crate) restored: Option<CreateCluster>,
    backups: Vec<Backup>,
    backup_used_by: Option<Busy>,
    vault: Option<VaultFacts>,
    comes_from: ComesFrom,
    sources_hidden: bool,
    node_fence: NodeFence,
    exposable: Option<Exposable>,
    moment: Option<MomentFacts>,
    no_log: Option<String>,
    /// What was found out about the source of a migration.
    pub(crate) source: Option<SourceReport>,
    following: Option<Following>,
}

impl Collected {
    pub(crate) fn facts<'a>(&'a self, shared: &Shared) -> Facts<'a> {
        Facts {
            now: shared.now(),
            figures: shared.settings().figures,
            clusters: &self.clusters,
            available: &self.available,
            subject: self.subject.as_ref().map(|(live, node)| Subject {
                spec: &live.spec,
                observed: live.observed.as_ref(),
                busy: self.busy.as_ref(),
                node: node.as_ref().and_then(|id| live.spec.node(id)),
                last_backup: self
                    .backups
                    .iter()
                    .find(|backup| backup.usable())
                    .map(|backup| backup.created_at),
                backing_up: live.backing_up.as_ref().map(|(_, busy)| busy),
            }),
            capacity: self.capacity.as_ref(),
            parameters: self.parameters.as_deref(),
            parameter_findings: &self.parameter_findings,
            growth_findings: &self.growth_findings,
            backup: self.backup.as_ref(),
            backups: &self.backups,
            backup_used_by: self.backup_used_by.as_ref(),
            vault: self.vault.as_ref(),
            comes_from: self.comes_from,
            sources_hidden: self.sources_hidden,
            node_fence: &self.node_fence,
            exposable: self.exposable.as_ref(),
            moment: self.moment.as_ref(),
            no_log: self.no_log.as_deref(),
            source: self.source.as_ref(),
            following: self.following.as_ref(),
        }
    }
}

/// Collects what a preview of this change needs, looking again where the last look is too old.
pub(crate) async fn collect(shared: &Arc<Shared>, change: &Change, asker: Asker) -> Result<Collected> {
    let mut subject = match (change.cluster(), change.node()) {
        (Some(cluster), _) => shared.find(cluster).ok().map(|live| (live, None)),
        (_, Some(node)) => shared.find_node(node).ok().map(|(live, node)| (live, Some(node))),
        _ => None,
    };
    if let Some((live, _)) = &mut subject {
        let old = live.looked.is_none_or(|began| began.elapsed() > FRESH);
        if old && needs_a_look(change.kind()) && live.busy.is_none() {
            // Not being able to look leaves the old observation, whose age the rules judge.
            live.observed = watch::look(shared, &live.spec.id).await.ok().or(live.observed.take());
        }
    }
    let mut clusters: Vec<ClusterSpec> =
        shared.lock_clusters().values().map(|live| live.spec.clone()).collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    let (parameters, parameter_findings) = match (change, &subject) {
        (Change::SetParameters { parameters, .. }, Some((live, _))) => {
            let mut spec = live.spec.clone();
            spec.parameters = chosen_parameters(&spec.parameters, parameters);
            let findings = shared.driver(spec.service)?.parameters_disagree(&spec);
            // Not being able to ask is judged by the rules.
            (inventory::parameters(shared, live).await.ok().filter(|known| !known.is_empty()), findings)
        }
        _ => (None, Vec::new()),
    };
    let backup = change.backup().and_then(|id| backups::find(shared, id).ok());
    // A moment is replayed on the newest backup before it, whichever was named.
    let (moment, backup) = match (change.moment(), backup) {
        (Some(at), Some(named)) => {
            let (facts, base) = backups::log::moment(shared, at, &named);
            (Some(facts), base.or(Some(named)))
        }
        (_, backup) => (None, backup),
    };
    let of = backup.as_ref().map(|b| &b.of.id).or(subject.as_ref().map(|(live, _)| &live.spec.id));
    let backups = of.map(|id| backups::of(shared, id)).unwrap_or_default();
    let vault = match (change, &backup) {
        (Change::BackUp { vault, .. } | Change::SetBackupSchedule { vault, .. }, _) => {
            backups::vault_facts(shared, vault.as_deref()).await
        }
        (Change::DeleteCluster { .. } | Change::CloneCluster(_), _) => {
            backups::vault_facts(shared, None).await
        }
        (_, Some(backup)) => backups::vault_facts(shared, Some(&backup.vault)).await,
        _ => None,
    };
    let spec = subject.as_ref().map(|(live, _)| &live.spec);
    let (capacity, restored) = match (change, &backup, spec) {
        (Change::RestoreBackup(wish), Some(backup), _) => {
            made_of_another(shared, |found| restored_cluster(wish, backup, &clusters, found)).await
        }
        (Change::CloneCluster(wish), _, Some(spec)) => {
            made_of_another(shared, |found| cloned_cluster(wish, spec, &clusters, found)).await
        }
        _ => (capacity(shared, change, spec).await, None),
    };
    let (comes_from, sources_hidden) = match (change, spec) {
        (Change::SetAllowlist { .. }, Some(spec)) => {
            (access::comes_from(shared, spec, asker), access::sources_hidden(shared, spec))
        }
        _ => (ComesFrom::Nobody, false),
    };
    let node_fence = match (change, spec) {
        (Change::SetAllowlist { .. }, Some(spec)) => access::node_fence(shared, spec).await,
        _ => NodeFence::default(),
    };
    let exposable = match (change, spec) {
        (Change::ExposeEndpoint { on, .. }, Some(spec)) => access::exposable(shared, spec, *on).await,
        _ => None,
    };
    let source = match (change, &subject) {
        (Change::Migrate(wish), Some((live, _))) if live.busy.is_none() => source(shared, live, wish).await,
        _ => None,
    };
    let following = subject.as_ref().and_then(|(live, _)| {
        let all = shared.migrations.lock().unwrap_or_else(PoisonError::into_inner);
        Some(all.get(&live.spec.id)?.following())
    });
    Ok(Collected {
        comes_from,
        sources_hidden,
        node_fence,
        exposable,
        source,
        following,
        by_schedule: false,
        backup_used_by: backup.as_ref().and_then(|backup| backups::used_by(shared, &backup.id)),
        backup,
        restored,
        backups,
        vault,
        moment,
        no_log: match (change, spec) {
            (Change::SetBackupSchedule { .. }, Some(spec)) => shared.driver(spec.service)?.no_log(spec),
            _ => None,
        },
        parameters,
        parameter_findings,
        growth_findings: match (change, &subject) {
            (Change::AddNode { .. }, Some((live, _))) if live.busy.is_none() => growth(shared, live).await,
            _ => Vec::new(),
        },
        available: shared.services.iter().flat_map(|d| d.services().iter().copied()).collect(),
        capacity,
        busy: subject.as_ref().and_then(|(live, _)| live.busy.as_ref()).map(|(_, busy)| busy.clone()),
        clusters,
        subject,
    })
}

/// A cluster that is made of another one, and what there is for it: that decides which version may stand for the other's.
async fn made_of_another(
    shared: &Arc<Shared>,
    wish: impl Fn(&[String]) -> CreateCluster,
) -> (Option<Capacity>, Option<CreateCluster>) {
    let capacity = capacity(shared, &Change::CreateCluster(wish(&[])), None).await;
    let made = wish(capacity.as_ref().map_or(&[][..], |c| &c.versions));
    (capacity, Some(made))
}

/// What in a cluster's data keeps it from growing. Not being able to ask counts as something.
async fn growth(shared: &Arc<Shared>, live: &Live) -> Vec<Finding> {
    let asked = async {
        let context = shared.context(&live.spec.id).await?;
        Result::Ok(shared.driver(live.spec.service)?.growth_findings(&context).await?)
    };
    asked.await.unwrap_or_else(|error| {
        let text = format!(
            "Whether the data of {} fits more nodes could not be found out: {error}.",
            live.spec.name
        );
        vec![Finding::new("data-unknown", text).hint("Bring its server back first, then try again.")]
    })
}

/// What a source says of itself; that nobody could ask is a check that failed.
async fn source(shared: &Arc<Shared>, live: &Live, wish: &MigrateIn) -> Option<SourceReport> {
    let migration = Migration::wished(wish);
    let asked = async {
        let context = shared.context(&live.spec.id).await?;
        Result::Ok(shared.driver(live.spec.service)?.look_at_source(&context, &migration).await?)
    };
    let why = match tokio::time::timeout(LOOKS_AT_SOURCE, asked).await {
        Ok(Ok(report)) => return Some(report),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("that took longer than {} s", LOOKS_AT_SOURCE.as_secs()),
    };
    let text = format!("It could not be looked at: {why}.");
    let failed = Check::new("looked-at", "Both sides can be looked at", CheckState::Failed, text);
    Some(SourceReport { checks: vec![failed], ..SourceReport::default() })
}

const fn needs_a_look(kind: ChangeKind) -> bool {
    !matches!(
        kind,
        ChangeKind::CreateCluster
            | ChangeKind::SetProtection
            | ChangeKind::SetAllowlist
            | ChangeKind::ExposeEndpoint
            | ChangeKind::SetBackupSchedule
    )
}

/// What the place of new machines can carry; `None` when nothing is added or nobody could find out.
async fn capacity(shared: &Arc<Shared>, change: &Change, spec: Option<&ClusterSpec>) -> Option<Capacity> {
    type Place<'a> = (ServiceKind, Arc<dyn Provider>, Option<PlanId>, Option<&'a str>, Option<&'a str>);
    let (service, provider, plan, region, version): Place<'_> = match (change, spec) {
        (Change::CreateCluster(wish), _) => {
            let provider = match &wish.provider {
                Some(id) => shared.provider_of(id).ok()?,
                None => shared.providers.first()?.clone(),
            };
            let default = PlanId::parse(clusterdeck_domain::DEFAULT_PLAN).ok();
            let plan = wish.plan.clone().or(default);
            (wish.service, provider, plan, wish.region.as_deref(), wish.version.as_deref())
        }
        (Change::AddNode { plan, .. }, Some(spec)) => (
            spec.service,
            shared.provider_of(&spec.provider).ok()?,
            Some(plan.clone().unwrap_or_else(|| spec.plan.clone())),
            Some(spec.region.as_str()),
            Some(spec.version.as_str()),
        ),
        (Change::ResizeCluster { plan, .. }, Some(spec)) => (
            spec.service,
            shared.provider_of(&spec.provider).ok()?,
            Some(plan.clone()),
            Some(spec.region.as_str()),
            Some(spec.version.as_str()),
        ),
        // All versions that are there, whichever was asked for: what is found is told.
        (Change::UpgradeCluster { .. }, Some(spec)) => {
            let provider = shared.provider_of(&spec.provider).ok()?;
            (spec.service, provider, None, Some(spec.region.as_str()), None)
        }
        (Change::Migrate(_), Some(spec)) => {
            let provider = shared.provider_of(&spec.provider).ok()?;
            (spec.service, provider, None, Some(spec.region.as_str()), Some(spec.version.as_str()))
        }
        (Change::AddShard { .. }, Some(spec)) => (
            spec.service,
            shared.provider_of(&spec.provider).ok()?,
            Some(spec.plan.clone()),
            Some(spec.region.as_str()),
            Some(spec.version.as_str()),
        ),
        _ => return None,
    };
    let plans = inventory::plans(&provider, region).await.unwrap_or_default();
    let plan = plan.and_then(|id| plans.into_iter().find(|p| p.id == id));
    let gateway = match spec {
        Some(spec) => inventory::gateway_of(shared, spec).await.ok()?,
        None => inventory::gateway(shared),
    };
    let server = match spec {
        Some(spec) if !matches!(change, Change::UpgradeCluster { .. }) => {
            inventory::server_of(shared, spec).await.ok()?
        }
        _ => inventory::server(shared, service).ok()?,
    };
    let needs = Needs {
        region,
        plan: plan.as_ref(),
        server,
        gateway,
        ports: shared.driver(service).ok()?.ports(service),
        version,
    };
    let creates = matches!(change, Change::CreateCluster(_));
    match provider.capacity(&needs).await {
        Ok(mut capacity) => {
            // Where another maker's is newer, what is missing or fetched is that of the one that will be taken.
            let taken = default_version(service_entry(service), &capacity.versions).cloned();
            if creates && version.is_none() && taken.as_ref() != capacity.versions.first() {
                let needs = Needs { version: taken.as_deref(), ..needs.clone() };
                capacity = provider.capacity(&needs).await.unwrap_or(capacity);
            }
            if creates && !capacity.missing.is_empty() {
                capacity.instead = inventory::instead(shared, &provider, &needs).await;
            }
            Some(capacity)
        }
        Err(error) => {
            tracing::warn!(%error, "what the provider can carry is not known");
            None
        }
    }
}
