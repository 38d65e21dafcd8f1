//! The one door: a change is previewed, the preview is confirmed, the confirmed preview becomes an operation.

use crate::{
    backups,
    collected::{Collected, collect},
    engine::{Live, Pending, Shared},
    error::EngineError,
    facade::{Asker, PreparedPreview, Result},
    operations::Planned,
    plans,
    repository::{AuditEntry, JournalEntry, OperationRow},
    runner, watch,
};
use clusterdeck_domain::{
    Busy, Change, ChangeKind, ClusterObserved, Operation, OperationId, OperationState, Preview, PreviewId,
    SecretRef, preview as domain_preview,
};
use jiff::SignedDuration;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

/// How long a preview can be confirmed.
const VALID: SignedDuration = SignedDuration::from_mins(5);
/// How many previews are kept for confirmation; the wizard makes one with every key press.
const KEPT: usize = 256;
/// How often a create chooses another network because somebody else took the one it chose.
const NETWORK_TRIES: u32 = 16;

/// 128 bits nobody else has, growing with time.
pub(crate) fn unique() -> u128 {
    uuid::Uuid::now_v7().as_u128()
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
