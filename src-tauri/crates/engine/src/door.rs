//! The one door: a change is previewed, the preview is confirmed, the confirmed preview becomes an operation.

use crate::{
    access, backups,
    engine::{Live, Pending, Shared},
    error::EngineError,
    facade::{Asker, PreparedPreview, Result},
    inventory,
    operations::Planned,
    plans,
    repository::{AuditEntry, JournalEntry, OperationRow},
    runner, watch,
};
use clusterdeck_domain::{
    Backup, Busy, Capacity, Change, ChangeKind, Check, CheckState, ClusterObserved, ClusterSpec, ComesFrom,
    CreateCluster, Facts, Finding, Following, MigrateIn, MomentFacts, Operation, OperationId, OperationState,
    Parameter, PlanId, Preview, PreviewId, SecretRef, ServiceKind, SourceReport, Subject, VaultFacts,
    chosen_parameters, default_version, preview as domain_preview, preview::cloned_cluster, restored_cluster,
    service as service_entry,
};
use clusterdeck_driver::{Migration, Needs, Provider};
use jiff::SignedDuration;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// How long a preview can be confirmed.
const VALID: SignedDuration = SignedDuration::from_mins(5);
/// How many previews are kept for confirmation; the wizard makes one with every key press.
const KEPT: usize = 256;
/// An observation older than this is made anew before a preview.
const FRESH: Duration = Duration::from_millis(1_500);

/// How long a source is looked at before a preview.
const LOOKS_AT_SOURCE: Duration = Duration::from_secs(30);

/// How often a create chooses another network because somebody else took the one it chose.
const NETWORK_TRIES: u32 = 16;

/// 128 bits nobody else has, growing with time.
pub(crate) fn unique() -> u128 {
    uuid::Uuid::now_v7().as_u128()
}

/// What was collected for one preview; `Facts` borrows from it.
pub(crate) struct Collected {
    pub(crate) clusters: Vec<ClusterSpec>,
    pub(crate) available: Vec<ServiceKind>,
    pub(crate) subject: Option<(Live, Option<clusterdeck_domain::NodeId>)>,
    pub(crate) capacity: Option<Capacity>,
    parameters: Option<Vec<Parameter>>,
    parameter_findings: Vec<Finding>,
    growth_findings: Vec<Finding>,
    busy: Option<Busy>,
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
            moment: self.moment.as_ref(),
            no_log: self.no_log.as_deref(),
            source: self.source.as_ref(),
            following: self.following.as_ref(),
        }
    }
}

/// Collects what a preview of this change needs, looking again where the last look is too old.
async fn collect(shared: &Arc<Shared>, change: &Change, asker: Asker) -> Result<Collected> {
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
    let (moment, backup) = match (change, backup) {
        (Change::RestoreBackup(wish), Some(named)) => match backups::log::moment(shared, wish, &named) {
            Some((facts, base)) => (Some(facts), base.or(Some(named))),
            None => (None, Some(named)),
        },
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
    let (capacity, restored) = match (change, &backup) {
        (Change::RestoreBackup(wish), Some(backup)) => {
            // What there is decides which version may stand for the one it was made of.
            let first = restored_cluster(wish, backup, &clusters, &[]);
            let capacity = capacity(shared, &Change::CreateCluster(first), None).await;
            let found = capacity.as_ref().map_or(&[][..], |c| &c.versions);
            let restored = restored_cluster(wish, backup, &clusters, found);
            (capacity, Some(restored))
        }
        (Change::CloneCluster(wish), _) if subject.is_some() => {
            let of = |found: &[String]| Some(cloned_cluster(wish, spec?, &clusters, found));
            let capacity = match of(&[]) {
                Some(first) => capacity(shared, &Change::CreateCluster(first), None).await,
                None => None,
            };
            let cloned = of(capacity.as_ref().map_or(&[][..], |c| &c.versions));
            (capacity, cloned)
        }
        _ => (capacity(shared, change, spec).await, None),
    };
    let (comes_from, sources_hidden) = match (change, spec) {
        (Change::SetAllowlist { .. }, Some(spec)) => {
            (access::comes_from(shared, spec, asker), access::sources_hidden(shared, spec))
        }
        _ => (ComesFrom::Nobody, false),
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

/// See [`crate::Engine::preview`].
pub(crate) async fn preview(shared: &Arc<Shared>, change: Change, asker: Asker) -> Result<PreparedPreview> {
    let collected = collect(shared, &change, asker).await?;
    let preview = domain_preview(&change, &collected.facts(shared));
    let now = shared.now();
    let id = PreviewId::new(unique());
    let prepared = PreparedPreview { id: id.clone(), preview, expires_at: now + VALID };
    let pending = Pending { fingerprint: fingerprint(&collected), change, asker, prepared: prepared.clone() };
    let mut all = shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, p| p.prepared.expires_at > now);
    if all.len() >= KEPT {
        let oldest = all.values().min_by_key(|p| p.prepared.expires_at).map(|p| p.prepared.id.clone());
        oldest.and_then(|id| all.remove(&id));
    }
    all.insert(id, pending);
    Ok(prepared)
}

/// What a preview relied on: the row, and who had which role and was how well. Live figures (lag, clients) are left out:
/// they change all the time, and the rules about them are applied again on confirmation and by the steps.
fn fingerprint(collected: &Collected) -> String {
    let Some((live, _)) = &collected.subject else { return String::new() };
    let roles = |observed: &ClusterObserved| {
        observed
            .nodes
            .iter()
            .map(|n| format!("{}={:?}/{:?}", n.node, n.role, n.health))
            .collect::<Vec<_>>()
            .join(",")
    };
    format!("{}:{}", live.spec.generation, live.observed.as_ref().map(roles).unwrap_or_default())
}

/// See [`crate::Engine::confirm`].
pub(crate) async fn confirm(
    shared: &Arc<Shared>,
    id: &PreviewId,
    typed: Option<&str>,
    actor: &str,
    key: Option<&str>,
) -> Result<Operation> {
    if let Some(key) = key
        && let Some(row) = shared.state.operation_by_key(key).await?
    {
        return Ok(row.operation);
    }
    if shared.closing.is_cancelled() {
        return Err(EngineError::ShuttingDown);
    }
    let (change, asker, shown, relied_on) = {
        let all = shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = all.get(id).filter(|p| p.prepared.expires_at > shared.now());
        let pending = pending.ok_or(EngineError::PreviewExpired)?;
        (pending.change.clone(), pending.asker, pending.prepared.preview.clone(), pending.fingerprint.clone())
    };
    if !shown.blockers.is_empty() {
        return Err(EngineError::Blocked { blockers: shown.blockers });
    }
    confirmed(&shown, typed)?;
    let mut collected = collect(shared, &change, asker).await?;
    collected.by_schedule = actor == backups::BY_SCHEDULE;
    if let Some(busy) = &collected.busy
        && !change.kind().goes_beside()
    {
        return Err(EngineError::Busy { title: busy.title.clone() });
    }
    if fingerprint(&collected) != relied_on {
        return Err(EngineError::PreviewStale);
    }
    let facts = collected.facts(shared);
    let now_shown = domain_preview(&change, &facts);
    if !now_shown.blockers.is_empty() {
        return Err(EngineError::Blocked { blockers: now_shown.blockers });
    }
    // Two creates at the same moment may choose the same network: whoever comes second chooses again.
    let mut operation = None;
    for _ in 0..NETWORK_TRIES {
        let planned = plans::plan(shared, &change, &collected).await?;
        operation = begin(shared, change.clone(), &now_shown, planned, actor, key).await?;
        if operation.is_some() {
            break;
        }
    }
    let operation = operation.ok_or(EngineError::PreviewStale)?;
    shared.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    Ok(operation)
}

fn confirmed(preview: &Preview, typed: Option<&str>) -> Result<()> {
    match &preview.confirm {
        Some(expected) if typed.map(str::trim) != Some(expected.as_str()) => {
            Err(EngineError::ConfirmationMissing { expected: expected.clone() })
        }
        _ => Ok(()),
    }
}

/// Holds the cluster, writes the row, starts the operation; `None` when the new cluster's network was taken meanwhile.
async fn begin(
    shared: &Arc<Shared>,
    change: Change,
    preview: &Preview,
    planned: Planned,
    actor: &str,
    key: Option<&str>,
) -> Result<Option<Operation>> {
    let now = shared.now();
    let id = OperationId::new(unique());
    let busy = Busy { kind: change.kind(), title: preview.title.clone() };
    if !hold(shared, &planned, &id, &busy)? {
        return Ok(None);
    }
    let operation = Operation {
        id: id.clone(),
        kind: change.kind(),
        title: preview.title.clone(),
        cluster_id: planned.cluster.clone(),
        cluster: planned.cluster_name.clone(),
        node: planned.node.clone(),
        state: OperationState::Queued,
        cancel_requested: false,
        cancellable: true,
        retryable: false,
        trial: None,
        steps: planned.plan.steps().iter().map(crate::step::Step::record).collect(),
        outcome: clusterdeck_domain::Outcome::default(),
        error: None,
        actor: actor.to_owned(),
        created_at: now,
        ended_at: None,
    };
    // Held before it is written down: after a kill in between the row is not there, and the next migration or the end of the
    // cluster takes the secret away.
    let kept = keep_secret(shared, &change, &planned).await;
    let written = match kept {
        Ok(()) => write(shared, change, &operation, &planned, key).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(row) => {
            runner::launch(shared, row);
            if planned.new_cluster.is_some() {
                watch::begin(shared, &planned.cluster);
            }
            Ok(Some(operation))
        }
        Err(error) => {
            release(shared, &planned, &id);
            Err(error)
        }
    }
}

/// The way into the source of a migration goes to the keyring, and nowhere else.
async fn keep_secret(shared: &Shared, change: &Change, planned: &Planned) -> Result<()> {
    let Change::Migrate(wish) = change else { return Ok(()) };
    let place = SecretRef::of_migration(&planned.cluster);
    match wish.source().password {
        Some(password) => shared.secrets.put(&place, &password).await?,
        None => shared.secrets.remove(&place).await?,
    }
    Ok(())
}

/// Marks the cluster as held, in one look: nobody else can hold it in between.
fn hold(shared: &Shared, planned: &Planned, id: &OperationId, busy: &Busy) -> Result<bool> {
    let mut clusters = shared.lock_clusters();
    if let Some(spec) = &planned.new_cluster {
        if clusters.values().any(|live| live.spec.name == spec.name) {
            return Err(EngineError::PreviewStale);
        }
        if clusters.values().any(|live| live.spec.network == spec.network) {
            return Ok(false);
        }
        let live = Live {
            spec: spec.clone(),
            observed: None,
            looked: None,
            told: None,
            led_by: std::collections::BTreeSet::new(),
            busy: Some((id.clone(), busy.clone())),
            backing_up: None,
        };
        clusters.insert(spec.id.clone(), live);
        return Ok(true);
    }
    if busy.kind.goes_beside() && busy.kind != ChangeKind::BackUp {
        return Ok(true);
    }
    let live = clusters.get_mut(&planned.cluster).ok_or(EngineError::PreviewStale)?;
    if busy.kind == ChangeKind::BackUp {
        if let Some((_, other)) = &live.backing_up {
            return Err(EngineError::Busy { title: other.title.clone() });
        }
        live.backing_up = Some((id.clone(), busy.clone()));
        return Ok(true);
    }
    if let Some((_, busy)) = &live.busy {
        return Err(EngineError::Busy { title: busy.title.clone() });
    }
    live.busy = Some((id.clone(), busy.clone()));
    Ok(true)
}

fn release(shared: &Shared, planned: &Planned, id: &OperationId) {
    let mut clusters = shared.lock_clusters();
    if planned.new_cluster.is_some() {
        clusters.remove(&planned.cluster);
    } else if let Some(live) = clusters.get_mut(&planned.cluster) {
        for held in [&mut live.busy, &mut live.backing_up] {
            if held.as_ref().is_some_and(|(holder, _)| holder == id) {
                *held = None;
            }
        }
    }
}

async fn write(
    shared: &Arc<Shared>,
    change: Change,
    operation: &Operation,
    planned: &Planned,
    key: Option<&str>,
) -> Result<OperationRow> {
    let frame = serde_json::to_value(&planned.plan).map_err(|error| {
        EngineError::Driver(clusterdeck_driver::DriverError::broken(format!(
            "the plan cannot be written: {error}"
        )))
    })?;
    let row =
        OperationRow { operation: operation.clone(), change, frame, idempotency_key: key.map(str::to_owned) };
    let entry = JournalEntry {
        operation: operation.id.clone(),
        at: operation.created_at,
        step: None,
        step_state: None,
        state: OperationState::Queued,
        text: Some(format!("{} asked for it", operation.actor)),
    };
    let audit = AuditEntry::of(operation, operation.created_at, "asked", operation.title.clone());
    shared.state.create_operation(&row, &entry, &audit, planned.new_cluster.as_ref()).await?;
    Ok(row)
}

/// Networks that clusters of this home have.
pub(crate) fn used_networks(shared: &Shared) -> Vec<clusterdeck_domain::Network> {
    let clusters = shared.lock_clusters();
    let mut networks: HashMap<_, ()> =
        clusters.values().map(|live| (live.spec.network.clone(), ())).collect();
    drop(clusters);
    let held = shared.throw_away.lock().unwrap_or_else(PoisonError::into_inner);
    networks.extend(held.values().map(|network| (network.clone(), ())));
    networks.into_keys().collect()
}
