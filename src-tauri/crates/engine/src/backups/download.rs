//! A backup as one file for people: a tar with the plain data as the server's own tools take it, what is known of it, and how a
//! server is started on it without us.

use super::{dump, find, key, stream::pipe, vault};
use crate::{engine::Shared, facade::Result, repository::AuditEntry};
use clusterdeck_domain::{Backup, BackupFormat, BackupPart, FormatOffer, service};
use clusterdeck_driver::{CopyFormat, DriverError};
use std::{pin::Pin, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// What a tar counts in.
const BLOCK: usize = 512;

/// What is handed out. It fails where it cannot be given to its end; dropped, whoever makes it ends.
pub type Download = Pin<Box<dyn AsyncRead + Send>>;

/// See [`crate::Engine::download`].
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    id: &str,
    format: BackupFormat,
    actor: &str,
) -> Result<(String, Download)> {
    match format {
        BackupFormat::Copy => copied(shared, id, actor).await,
        BackupFormat::Logical => dump::begin(shared, id, actor).await,
    }
}

/// See [`crate::Engine::backup_formats`].
pub(crate) fn formats(shared: &Shared, id: &str) -> Result<Vec<FormatOffer>> {
    let backup = find(shared, id)?;
    let copy = FormatOffer { format: BackupFormat::Copy, file: named(&backup, "tar"), why_not: None };
    let why_not = dump::loading(shared, &backup)?.err();
    Ok(vec![copy, FormatOffer { format: BackupFormat::Logical, file: named(&backup, "sql.zst"), why_not }])
}

async fn copied(shared: &Arc<Shared>, id: &str, actor: &str) -> Result<(String, Download)> {
    let backup = readable(shared, id).await?;
    let format = shared.driver(backup.of.service)?.copy_format(backup.of.service, &backup.of.version);
    let name = named(&backup, "tar");
    shared.audit(entry(shared, &backup, actor)).await;
    let (mut inlet, content) = pipe(|_| {});
    let owner = shared.clone();
    shared.tasks.spawn(async move {
        let stopped = owner.stopped.clone();
        let written = async {
            write(&owner, &backup, format, &mut inlet.to).await?;
            drop(inlet.finish().await);
            Result::Ok(())
        };
        tokio::select! {
            () = stopped.cancelled() => {}
            // Whoever reads hears that it was cut off.
            written = written => if let Err(error) = written {
                tracing::warn!(%error, "a backup could not be handed out to its end");
            },
        }
    });
    Ok((name, Box::pin(content)))
}

async fn write(
    shared: &Shared,
    backup: &Backup,
    format: CopyFormat,
    to: &mut (impl AsyncWrite + Send + Unpin + 'static),
) -> Result<()> {
    let manifest = serde_json::to_vec_pretty(backup)
        .map_err(|e| DriverError::broken(format!("the manifest of a backup cannot be written: {e}")))?;
    whole(to, "README.txt", readme(backup, format).as_bytes(), backup).await?;
    whole(to, "manifest.json", &manifest, backup).await?;
    let (vault, key) = (vault(shared, &backup.vault).await?, key::of(shared, &backup.sealed_for).await?);
    for part in &backup.parts {
        head(to, &file(part, format), part.data_bytes, backup).await?;
        vault.get(&backup.id, &part.name, to, &key).await?;
        pad(to, part.data_bytes).await?;
    }
    to.write_all(&[0; 2 * BLOCK]).await.map_err(passing)?;
    Ok(())
}

/// What a file of it is called.
pub(super) fn named(backup: &Backup, ending: &str) -> String {
    format!("{}-{}.{ending}", backup.cluster, backup.created_at.strftime("%Y%m%dT%H%M%SZ"))
}

/// The backup of that id, when it can be read.
pub(super) async fn readable(shared: &Shared, id: &str) -> Result<Backup> {
    let backup = find(shared, id)?;
    if !backup.usable() {
        let what = format!("the backup {id} is not whole");
        return Err(DriverError::rejected(what, "choose another one").into());
    }
    // What cannot be opened is told before anything is sent.
    key::of(shared, &backup.sealed_for).await?;
    Ok(backup)
}

fn file(part: &BackupPart, format: CopyFormat) -> String {
    format!("{}.{}", part.name, format.ending)
}

pub(super) fn passing(error: std::io::Error) -> DriverError {
    DriverError::transient(format!("handing out a backup: {error}"))
}

async fn whole(
    to: &mut (impl AsyncWrite + Unpin),
    name: &str,
    content: &[u8],
    backup: &Backup,
) -> std::result::Result<(), DriverError> {
    head(to, name, content.len() as u64, backup).await?;
    to.write_all(content).await.map_err(passing)?;
    pad(to, content.len() as u64).await
}

async fn head(
    to: &mut (impl AsyncWrite + Unpin),
    name: &str,
    bytes: u64,
    backup: &Backup,
) -> std::result::Result<(), DriverError> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).map_err(passing)?;
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(backup.created_at.as_second()).unwrap_or(0));
    header.set_cksum();
    to.write_all(header.as_bytes()).await.map_err(passing)
}

async fn pad(to: &mut (impl AsyncWrite + Unpin), bytes: u64) -> std::result::Result<(), DriverError> {
    let beyond = usize::try_from(bytes % BLOCK as u64).unwrap_or(0);
    let rest = if beyond == 0 { 0 } else { BLOCK - beyond };
    to.write_all(&[0; BLOCK][..rest]).await.map_err(passing)
}

fn readme(backup: &Backup, format: CopyFormat) -> String {
    let of = &backup.of;
    let files: Vec<String> = backup.parts.iter().map(|part| file(part, format)).collect();
    let name = service(of.service).name_of(&of.version);
    format!(
        "A backup of {}: {name} {}, taken at {} from {}.\n\nIt is not encrypted any more: whoever has this file has the data.\n\n\
         The data: {}. Its SHA-256 is in manifest.json.\n\nHow a server is started on it without Clusterdeck\n\n{}",
        backup.cluster,
        of.version,
        backup.created_at,
        backup.parts.iter().map(|part| part.node.as_str()).collect::<Vec<_>>().join(", "),
        files.join(", "),
        format.restore.replace("FILE", files.first().map_or("FILE", String::as_str)),
    )
}

pub(super) fn entry(shared: &Shared, backup: &Backup, actor: &str) -> AuditEntry {
    let text =
        format!("The backup of {} from {} was handed out, not encrypted", backup.cluster, backup.created_at);
    AuditEntry::new(shared.now(), actor, "download-backup", text).about(&backup.of.id, &backup.cluster)
}
