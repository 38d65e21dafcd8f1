//! The key that the backups of a home are sealed for. It lies in the keyring; without it they are noise. One is in force; others
//! that were brought back open what was sealed for them.

use super::audit;
use crate::{
    engine::Shared,
    error::EngineError,
    facade::{BackupKeyReport, Result},
    repository::SecretError,
};
use clusterdeck_domain::{SecretRef, Sensitive};
use clusterdeck_driver::{DriverError, SealKey};
use jiff::Timestamp;

/// When the key was shown, in state.db.
const SHOWN: &str = "backup-key-shown";

/// All keys, the one in force first.
async fn all(shared: &Shared) -> Result<Vec<SealKey>> {
    let Some(text) = shared.secrets.get(&SecretRef::of_backups()).await? else { return Ok(Vec::new()) };
    let broken = || EngineError::Secret(SecretError::Failed("the entry is not as it was written".to_owned()));
    // One line a key: the half that encrypts, a blank, the half that opens.
    let key = |line: &str| -> Option<SealKey> {
        let (public, secret) = line.split_once(' ')?;
        Some(SealKey { public: public.to_owned(), secret: Sensitive::new(secret.to_owned()) })
    };
    text.reveal().lines().map(|line| key(line).ok_or_else(broken)).collect()
}

async fn keep(shared: &Shared, keys: &[SealKey]) -> Result<()> {
    let lines: String = keys.iter().map(|key| format!("{} {}\n", key.public, key.secret.reveal())).collect();
    Ok(shared.secrets.put(&SecretRef::of_backups(), &Sensitive::new(lines)).await?)
}

/// The key that opens what was sealed for `public`.
pub(super) async fn of(shared: &Shared, public: &str) -> Result<SealKey> {
    let lost = || {
        DriverError::rejected(
            format!("the key that this backup was sealed for ({public}) is not in the keyring"),
            "bring it back from where it was kept: `clusterdeck vault key --import FILE`",
        )
    };
    Ok(all(shared).await?.into_iter().find(|key| key.public == public).ok_or_else(lost)?)
}

/// The key in force, made the first time it is needed.
pub(crate) async fn ensure(shared: &Shared) -> Result<SealKey> {
    let _one = shared.making_key.lock().await;
    if let Some(known) = all(shared).await?.into_iter().next() {
        return Ok(known);
    }
    let made = shared.vaults.new_key();
    keep(shared, std::slice::from_ref(&made)).await?;
    Ok(made)
}

/// See [`crate::Engine::backup_key`].
pub(crate) async fn report(shared: &Shared, reveal: bool, actor: &str) -> Result<BackupKeyReport> {
    let key = all(shared).await?.into_iter().next();
    let public = key.as_ref().map(|key| key.public.clone());
    if reveal && let Some(public) = &public {
        let shown = serde_json::json!({"public": public, "at": shared.now()});
        shared.state.set_setting(SHOWN, &shown).await?;
        audit(shared, actor, "reveal-backup-key", "The key that backups are sealed for was shown").await;
    }
    let shown = shared.state.setting(SHOWN).await?;
    let shown = shown.filter(|shown| shown["public"].as_str() == public.as_deref());
    let at = shown.and_then(|shown| shown["at"].as_str()?.parse::<Timestamp>().ok());
    Ok(BackupKeyReport { public, secret: key.filter(|_| reveal).map(|key| key.secret), exported_at: at })
}

/// See [`crate::Engine::import_backup_key`].
pub(crate) async fn import(shared: &Shared, text: Sensitive<String>, actor: &str) -> Result<BackupKeyReport> {
    let key = shared.vaults.read_key(&text).map_err(|what| EngineError::Invalid {
        what: format!("that is no key of backups: {what}"),
        pointer: "/secret".to_owned(),
    })?;
    {
        let _one = shared.making_key.lock().await;
        let mut keys = all(shared).await?;
        if keys.iter().all(|known| known.public != key.public) {
            keys.push(key);
            keep(shared, &keys).await?;
        }
    }
    audit(shared, actor, "import-backup-key", "A key of backups was brought back").await;
    report(shared, false, actor).await
}
