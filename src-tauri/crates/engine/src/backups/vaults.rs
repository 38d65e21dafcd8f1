//! The vaults of a home: its own folder, and those that somebody added. What they are stands in state.db, their secrets in the
//! keyring.

use super::audit;
use crate::{alerts, engine::Shared, error::EngineError, facade::Result};
use clusterdeck_domain::{
    BackupKind, BackupState, LOCAL_VAULT, SNAPSHOT_VAULT, SecretRef, Sensitive, VaultFacts, VaultPlace,
    VaultSpec,
};
use clusterdeck_driver::{DriverError, Vault, VaultTrial};
use std::sync::Arc;

/// The key in state.db.
const ADDED: &str = "vaults";

/// Those that were added, by name.
pub(crate) async fn added(shared: &Shared) -> Result<Vec<VaultSpec>> {
    let kept = shared.state.setting(ADDED).await?;
    Ok(kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default())
}

async fn keep(shared: &Shared, specs: &[VaultSpec]) -> Result<()> {
    let value = serde_json::to_value(specs).unwrap_or_default();
    Ok(shared.state.set_setting(ADDED, &value).await?)
}

/// The vault of that name. Nobody is asked yet whether it answers.
pub(crate) async fn open(shared: &Shared, id: &str) -> Result<Arc<dyn Vault>> {
    match named(shared, id).await? {
        Named::BuiltIn(vault) => Ok(vault),
        Named::Added(spec) => open_spec(shared, &spec).await,
    }
}

/// The kind of the vault of that name, also where its secret is not to be had.
pub(crate) async fn kind(shared: &Shared, id: &str) -> Result<BackupKind> {
    Ok(match named(shared, id).await? {
        Named::BuiltIn(vault) => vault.kind(),
        Named::Added(spec) => spec.place.kind(),
    })
}

/// A vault by its name.
enum Named {
    /// Always there.
    BuiltIn(Arc<dyn Vault>),
    Added(VaultSpec),
}

async fn named(shared: &Shared, id: &str) -> Result<Named> {
    // One that somebody added under a name that was free then keeps it.
    if let Some(spec) = added(shared).await?.into_iter().find(|spec| spec.id == id) {
        return Ok(Named::Added(spec));
    }
    let found = built_in(shared).into_iter().find(|vault| vault.id() == id);
    found.map(Named::BuiltIn).ok_or_else(|| EngineError::NotFound { what: format!("vault `{id}`") })
}

fn built_in(shared: &Shared) -> [Arc<dyn Vault>; 2] {
    [shared.vaults.own(), shared.vaults.snapshots()]
}

/// The names of those that are always there.
pub(crate) const BUILT_IN: [&str; 2] = [LOCAL_VAULT, SNAPSHOT_VAULT];

async fn open_spec(shared: &Shared, spec: &VaultSpec) -> Result<Arc<dyn Vault>> {
    let secret = match spec.place.wants_secret() {
        true => shared.secrets.get(&SecretRef::of_vault(&spec.id)).await?,
        false => None,
    };
    Ok(shared.vaults.open(spec, secret.as_ref())?)
}

/// What a preview wants to know of a vault; the home's own when nobody names one.
pub(crate) async fn facts(shared: &Shared, id: Option<&str>) -> Option<VaultFacts> {
    let found = named(shared, id.unwrap_or(LOCAL_VAULT)).await.ok()?;
    Some(facts_of(shared, found).await)
}

async fn facts_of(shared: &Shared, named: Named) -> VaultFacts {
    let (id, kind, place, opened) = match named {
        Named::Added(spec) => {
            let opened = open_spec(shared, &spec).await;
            (spec.id, spec.place.kind(), spec.place.place(), opened)
        }
        Named::BuiltIn(vault) => {
            let beside = vault.kind() == BackupKind::Snapshot;
            let place = if beside { "this home, beside the data" } else { "this home" };
            (vault.id().to_owned(), vault.kind(), place.to_owned(), Ok(vault))
        }
    };
    let checked = match opened {
        Ok(vault) => vault.check().await.map_err(EngineError::from),
        Err(error) => Err(error),
    };
    let (problem, free_bytes, used_bytes) = match checked {
        Ok(check) => (None, check.free_bytes, check.used_bytes),
        Err(error) => (Some(error), None, None),
    };
    let fault = match &problem {
        Some(EngineError::Driver(DriverError::Vault { fault, .. })) => Some(*fault),
        _ => None,
    };
    let mut held = super::all(shared);
    held.retain(|backup| backup.vault == id && backup.state != BackupState::Failed);
    VaultFacts {
        id,
        kind,
        place,
        hint: problem.as_ref().map_or_else(String::new, |error| error.problem().hint),
        problem: problem.map(|error| error.to_string()),
        fault,
        free_bytes,
        used_bytes: used_bytes.unwrap_or_else(|| held.iter().map(|backup| backup.size_bytes).sum()),
        backups: held.len() as u64,
    }
}

/// All vaults, the home's own first, asked at once.
pub(crate) async fn all(shared: &Shared) -> Result<Vec<VaultFacts>> {
    let specs = added(shared).await?;
    let built_in = built_in(shared).into_iter().filter(|vault| specs.iter().all(|s| s.id != vault.id()));
    let all: Vec<Named> =
        built_in.map(Named::BuiltIn).chain(specs.iter().cloned().map(Named::Added)).collect();
    Ok(futures::future::join_all(all.into_iter().map(|named| facts_of(shared, named))).await)
}

fn invalid(pointer: &str, what: &str) -> EngineError {
    EngineError::Invalid { what: what.to_owned(), pointer: pointer.to_owned() }
}

/// Whether it can be meant.
fn checked(spec: &VaultSpec, secret: Option<&Sensitive<String>>) -> Result<()> {
    spec.check().map_err(|bad| invalid(bad.pointer, &bad.text))?;
    if spec.place.wants_secret() && secret.is_none_or(|secret| secret.reveal().trim().is_empty()) {
        return Err(invalid("/secret", "this kind of vault wants a secret"));
    }
    Ok(())
}

/// See [`crate::Engine::add_vault`].
pub(crate) async fn add(
    shared: &Shared,
    spec: VaultSpec,
    secret: Option<Sensitive<String>>,
    actor: &str,
) -> Result<VaultFacts> {
    checked(&spec, secret.as_ref())?;
    let mut specs = added(shared).await?;
    if BUILT_IN.contains(&spec.id.as_str()) || specs.iter().any(|known| known.id == spec.id) {
        return Err(invalid("/id", "there is a vault of that name already"));
    }
    // Asked before it is kept: one that does not answer now would only be found out by its first backup.
    let vault = shared.vaults.open(&spec, secret.as_ref())?;
    vault.make().await?;
    vault.check().await?;
    if let Some(secret) = secret.filter(|_| spec.place.wants_secret()) {
        shared.secrets.put(&SecretRef::of_vault(&spec.id), &secret).await?;
    }
    specs.push(spec.clone());
    specs.sort_by(|a, b| a.id.cmp(&b.id));
    keep(shared, &specs).await?;
    let text = format!("The vault {} was added: {}", spec.id, spec.place.place());
    audit(shared, actor, "add-vault", &text).await;
    Ok(facts_of(shared, Named::Added(spec)).await)
}

/// See [`crate::Engine::change_vault_secret`].
pub(crate) async fn change_secret(
    shared: &Shared,
    id: &str,
    secret: Sensitive<String>,
    access_key: Option<String>,
    actor: &str,
) -> Result<VaultFacts> {
    let mut specs = added(shared).await?;
    let spec = specs.iter_mut().find(|spec| spec.id == id);
    let spec = spec.ok_or_else(|| EngineError::NotFound { what: format!("vault `{id}` that was added") })?;
    if !spec.place.wants_secret() {
        return Err(invalid("/secret", "a folder has no secret"));
    }
    match (&mut spec.place, access_key) {
        (_, None) => {}
        (VaultPlace::S3 { access_key, .. }, Some(new)) => *access_key = new,
        (_, Some(_)) => return Err(invalid("/access_key", "only a store of S3 has an access key")),
    }
    checked(spec, Some(&secret))?;
    // The one before stays until the vault has taken this one.
    shared.vaults.open(spec, Some(&secret))?.check().await?;
    let spec = spec.clone();
    shared.secrets.put(&SecretRef::of_vault(id), &secret).await?;
    keep(shared, &specs).await?;
    alerts::answered(shared, id).await;
    audit(shared, actor, "change-vault-secret", &format!("The vault {id} has another secret")).await;
    Ok(facts_of(shared, Named::Added(spec)).await)
}

/// See [`crate::Engine::try_vault`].
pub(crate) async fn try_out(
    shared: &Shared,
    spec: VaultSpec,
    secret: Option<Sensitive<String>>,
) -> Result<VaultTrial> {
    // What it will be called is no business of the place.
    let spec = VaultSpec { id: "trial".to_owned(), ..spec };
    checked(&spec, secret.as_ref())?;
    Ok(shared.vaults.open(&spec, secret.as_ref())?.try_out().await?)
}

/// See [`crate::Engine::check_vault`].
pub(crate) async fn check(shared: &Shared, id: &str) -> Result<VaultFacts> {
    let missing = || EngineError::NotFound { what: format!("vault `{id}`") };
    let facts = facts(shared, Some(id)).await.ok_or_else(missing)?;
    if facts.problem.is_none() {
        alerts::answered(shared, id).await;
        super::expire::sweep(shared, |vault| vault == id).await;
    }
    Ok(facts)
}

/// See [`crate::Engine::remove_vault`].
pub(crate) async fn remove(shared: &Shared, id: &str, actor: &str) -> Result<()> {
    let mut specs = added(shared).await?;
    let before = specs.len();
    specs.retain(|spec| spec.id != id);
    if specs.len() == before {
        return Err(EngineError::NotFound { what: format!("vault `{id}` that was added") });
    }
    let used = |what: String| EngineError::Invalid { what, pointer: "/id".to_owned() };
    if let Some(backup) = super::all(shared).iter().find(|b| b.vault == id) {
        return Err(used(format!("a backup of {} lies in it: delete its backups first", backup.cluster)));
    }
    if super::log::lies_in(shared, id) {
        return Err(used(
            "the log of a cluster lies in it: delete the backups of that cluster first".to_owned(),
        ));
    }
    let scheduled = |live: &crate::engine::Live| live.spec.backup_schedules.iter().any(|s| s.vault == id);
    let found = shared.lock_clusters().values().find(|live| scheduled(live)).map(|l| l.spec.name.clone());
    if let Some(cluster) = found {
        return Err(used(format!("backups of {cluster} are scheduled into it: stop that first")));
    }
    keep(shared, &specs).await?;
    shared.secrets.remove(&SecretRef::of_vault(id)).await?;
    alerts::settle(shared).await;
    audit(
        shared,
        actor,
        "remove-vault",
        &format!("The vault {id} is no longer known; nothing in it was touched"),
    )
    .await;
    Ok(())
}
