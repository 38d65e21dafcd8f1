//! The passwords of clusters: made here, kept in the keyring, held in memory only as `Sensitive`.
//!
//! All passwords of one generation are one keyring entry, because a keyring takes tens of milliseconds for each.

use crate::{
    engine::Shared,
    error::EngineError,
    facade::{Credentials, EndpointKind, Result},
    repository::{AuditEntry, SecretError},
};
use clusterdeck_domain::{ClusterId, ClusterSpec, SecretRef, Sensitive};
use clusterdeck_driver::{Secrets, ServiceDriver};
use std::{collections::BTreeMap, sync::PoisonError};

/// Passwords by name.
pub(crate) type Set = BTreeMap<String, Sensitive<String>>;

fn at(cluster: &ClusterId, generation: u32) -> SecretRef {
    SecretRef::of_cluster(cluster, &format!("passwords-{generation}"))
}

/// The passwords in force, and the next ones while rotating. Empty where none have been made yet.
pub(crate) async fn of(shared: &Shared, spec: &ClusterSpec) -> Result<Secrets> {
    let current = load(shared, &spec.id, spec.secrets_generation).await?.unwrap_or_default();
    Ok(Secrets { current, next: None })
}

/// The passwords of one generation; `None` when there are none.
pub(crate) async fn load(shared: &Shared, cluster: &ClusterId, generation: u32) -> Result<Option<Set>> {
    let key = (cluster.clone(), generation);
    if let Some(known) = shared.passwords.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(Some(known.clone()));
    }
    let Some(text) = shared.secrets.get(&at(cluster, generation)).await? else { return Ok(None) };
    let set = parse(text.reveal())?;
    shared.passwords.lock().unwrap_or_else(PoisonError::into_inner).insert(key, set.clone());
    Ok(Some(set))
}

/// Makes the secrets of a generation, or finds them when they were made already. One that is no password stays as it was in
/// the generation before.
pub(crate) async fn ensure(
    shared: &Shared,
    cluster: &ClusterId,
    generation: u32,
    driver: &dyn ServiceDriver,
) -> Result<Set> {
    if let Some(known) = load(shared, cluster, generation).await? {
        return Ok(known);
    }
    let mut lines = String::new();
    for name in driver.secret_names() {
        let secret = match driver.make_secret(name) {
            Some(made) => kept(shared, cluster, generation, name).await?.unwrap_or(made),
            None => generate()?,
        };
        lines.push_str(&format!("{name} {}\n", secret.reveal()));
    }
    let text = Sensitive::new(lines);
    shared.secrets.put(&at(cluster, generation), &text).await?;
    let set = parse(text.reveal())?;
    let key = (cluster.clone(), generation);
    shared.passwords.lock().unwrap_or_else(PoisonError::into_inner).insert(key, set.clone());
    Ok(set)
}

/// Passwords that are kept nowhere, for a server that is soon gone.
pub(crate) fn fresh(driver: &dyn ServiceDriver) -> Result<Set> {
    let made = |name: &&str| Ok(((*name).to_owned(), driver.make_secret(name).map_or_else(generate, Ok)?));
    driver.secret_names().iter().map(made).collect()
}

/// A secret of the generation before.
async fn kept(
    shared: &Shared,
    cluster: &ClusterId,
    generation: u32,
    name: &str,
) -> Result<Option<Sensitive<String>>> {
    let Some(before) = generation.checked_sub(1) else { return Ok(None) };
    Ok(load(shared, cluster, before).await?.and_then(|mut set| set.remove(name)))
}

/// Forgets the passwords of a generation.
pub(crate) async fn forget(shared: &Shared, cluster: &ClusterId, generation: u32) -> Result<()> {
    shared.secrets.remove(&at(cluster, generation)).await?;
    shared.passwords.lock().unwrap_or_else(PoisonError::into_inner).remove(&(cluster.clone(), generation));
    Ok(())
}

/// One line a password: its name, a blank, the password. Plain text rather than JSON, so that no parser's error message
/// can quote a piece of it.
fn parse(text: &str) -> Result<Set> {
    let broken = || EngineError::Secret(SecretError::Failed("the entry is not as it was written".to_owned()));
    text.lines()
        .map(|line| line.split_once(' ').ok_or_else(broken))
        .map(|pair| pair.map(|(name, value)| (name.to_owned(), Sensitive::new(value.to_owned()))))
        .collect()
}

/// 128 bits from the system's generator, as 32 hexadecimal digits: safe in every configuration file and address, and the most
/// that MySQL takes of the account of its members (its error 3056).
fn generate() -> Result<Sensitive<String>> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| EngineError::Secret(SecretError::Failed(e.to_string())))?;
    Ok(Sensitive::new(bytes.iter().map(|b| format!("{b:02x}")).collect()))
}

/// See [`crate::Engine::credentials`].
pub(crate) async fn credentials(
    shared: &Shared,
    cluster: &str,
    reveal: bool,
    actor: &str,
) -> Result<Credentials> {
    let report = shared.report(cluster)?;
    let spec = &report.spec;
    let driver = shared.driver(spec.service)?;
    let (user, scheme) = driver.people(spec.service);
    let username = user.to_owned();
    if !reveal {
        return Ok(Credentials { username, password: None, url: None });
    }
    let set = load(shared, &spec.id, spec.secrets_generation).await?;
    let password = set.and_then(|set| set.get("people").cloned());
    let password = password.ok_or_else(|| EngineError::NotFound {
        what: format!("password of `{}` in the keyring", spec.name),
    })?;
    let endpoint = report.endpoints.iter().find(|e| e.kind == EndpointKind::ReadWrite);
    let database = driver.database(spec.service).map(|name| format!("/{name}")).unwrap_or_default();
    let url = endpoint.map(|e| {
        let (password, host, port) = (password.reveal(), &e.host, e.port);
        Sensitive::new(format!("{scheme}://{username}:{password}@{host}:{port}{database}"))
    });
    let text = format!("The password of `{username}` was shown");
    let entry = AuditEntry::new(shared.now(), actor, "reveal-credentials", text);
    shared.audit(entry.about(&spec.id, spec.name.as_str())).await;
    Ok(Credentials { username, password: Some(password), url })
}
