//! Backups, the vaults they lie in, and the key they are sealed for.

use super::{Answer, whole};
use crate::{
    extract::{Actor, Body, Params},
    problem::Problem,
    router::Rooms,
    wire::{BackupKey, ImportedKey, List, NewVault, VaultSecret, VaultTrial},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use clusterdeck_domain::{Backup, BackupFormat, FormatOffer, PointInTime, VaultFacts};
use tokio_util::io::ReaderStream;

/// All backups, the newest first, also those of clusters that are gone.
#[utoipa::path(get, operation_id = "list_backups", path = "/v1/backups", tag = "backups",
    params(("cluster" = Option<String>, Query, description = "Name or id")),
    responses((status = 200, body = List<Backup>), (status = 400, body = Problem)))]
pub(crate) async fn list(State(rooms): State<Rooms>, params: Params) -> Answer<List<Backup>> {
    Ok(whole(rooms.engine.backups(params.text("cluster")).await))
}

/// The backups of a cluster that is there, the newest first.
#[utoipa::path(get, operation_id = "list_cluster_backups", path = "/v1/clusters/{id}/backups", tag = "backups",
    params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = List<Backup>), (status = 404, body = Problem)))]
pub(crate) async fn of_cluster(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<List<Backup>> {
    let cluster = rooms.engine.cluster(&id).await?.spec.id;
    Ok(whole(rooms.engine.backups(Some(cluster.as_str())).await))
}

/// One backup.
#[utoipa::path(get, operation_id = "show_backup", path = "/v1/backups/{id}", tag = "backups",
    params(("id" = String, Path)),
    responses((status = 200, body = Backup), (status = 404, body = Problem)))]
pub(crate) async fn show(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<Backup> {
    Ok(Json(rooms.engine.backup(&id).await?))
}

/// Which moments a cluster that is there can be brought back to.
#[utoipa::path(get, operation_id = "show_cluster_range", path = "/v1/clusters/{id}/range", tag = "backups",
    params(("id" = String, Path, description = "Name or id")),
    responses((status = 200, body = PointInTime), (status = 404, body = Problem)))]
pub(crate) async fn range_of_cluster(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
) -> Answer<PointInTime> {
    Ok(Json(rooms.engine.point_in_time(&id).await?))
}

/// Which moments the cluster that a backup is of can be brought back to, whether it is there or not.
#[utoipa::path(get, operation_id = "show_backup_range", path = "/v1/backups/{id}/range", tag = "backups",
    params(("id" = String, Path)),
    responses((status = 200, body = PointInTime), (status = 404, body = Problem)))]
pub(crate) async fn range(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<PointInTime> {
    let backup = rooms.engine.backup(&id).await?;
    Ok(Json(rooms.engine.point_in_time(backup.id.as_str()).await?))
}

/// In which formats a backup can be handed out, and why not in others.
#[utoipa::path(get, operation_id = "list_backup_formats", path = "/v1/backups/{id}/formats", tag = "backups",
    params(("id" = String, Path)),
    responses((status = 200, body = List<FormatOffer>), (status = 404, body = Problem)))]
pub(crate) async fn formats(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<List<FormatOffer>> {
    Ok(whole(rooms.engine.backup_formats(&id).await?))
}

/// A backup as one file, not encrypted any more. `copy`: a tar with the plain data as the service's own tools take it, what is
/// known of it, and how a server is started on it without Clusterdeck. `logical`: statements for the service's own client, packed
/// with zstd, which begin with how they are loaded; for that the backup is restored on a throw-away machine first, so it takes a
/// while until the first of it comes.
#[utoipa::path(get, operation_id = "download_backup", path = "/v1/backups/{id}/download", tag = "backups",
    params(("id" = String, Path),
        ("format" = Option<BackupFormat>, Query, description = "`copy` when left out")),
    responses((status = 200, content((Vec<u8> = "application/x-tar"), (Vec<u8> = "application/zstd"))),
        (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 502, body = Problem)))]
pub(crate) async fn download(
    State(rooms): State<Rooms>,
    Actor(actor): Actor,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    let format = params
        .text("format")
        .map_or(Ok(BackupFormat::Copy), str::parse)
        .map_err(|()| Problem::invalid("/format", "a format is `copy` or `logical`"))?;
    let (name, content) = rooms.engine.download(&id, format, &actor).await?;
    let kind = match format {
        BackupFormat::Copy => "application/x-tar",
        BackupFormat::Logical => "application/zstd",
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    Ok((headers, axum::body::Body::from_stream(ReaderStream::new(content))).into_response())
}

/// The vaults there are, and whether each can be used.
#[utoipa::path(get, operation_id = "list_vaults", path = "/v1/vaults", tag = "backups",
    responses((status = 200, body = List<VaultFacts>)))]
pub(crate) async fn vaults(State(rooms): State<Rooms>) -> Answer<List<VaultFacts>> {
    Ok(whole(rooms.engine.vaults().await?))
}

/// Adds a vault, once it has answered.
#[utoipa::path(post, operation_id = "add_vault", path = "/v1/vaults", tag = "backups", request_body = NewVault,
    responses((status = 201, body = VaultFacts), (status = 400, body = Problem), (status = 502, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn add_vault(
    State(rooms): State<Rooms>,
    Actor(actor): Actor,
    Body(vault): Body<NewVault>,
) -> Result<(StatusCode, Json<VaultFacts>), Problem> {
    let (spec, secret) = vault.parts();
    Ok((StatusCode::CREATED, Json(rooms.engine.add_vault(spec, secret, &actor).await?)))
}

/// Asks whether a place could be a vault. Nothing is made and nothing kept, also not the secret.
#[utoipa::path(post, operation_id = "try_vault", path = "/v1/vault-trials", tag = "backups",
    request_body = NewVault,
    responses((status = 200, body = VaultTrial), (status = 400, body = Problem), (status = 502, body = Problem)))]
pub(crate) async fn try_vault(State(rooms): State<Rooms>, Body(vault): Body<NewVault>) -> Answer<VaultTrial> {
    let (spec, secret) = vault.parts();
    Ok(Json(rooms.engine.try_vault(spec, secret).await?.into()))
}

/// Asks a vault now whether it can be used. One that answers is no longer told as unreachable.
#[utoipa::path(post, operation_id = "check_vault", path = "/v1/vaults/{id}/check", tag = "backups",
    params(("id" = String, Path)),
    responses((status = 200, body = VaultFacts), (status = 404, body = Problem)))]
pub(crate) async fn check_vault(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<VaultFacts> {
    Ok(Json(rooms.engine.check_vault(&id).await?))
}

/// Gives a vault another secret once it has answered to it; else the one before stays.
#[utoipa::path(put, operation_id = "change_vault_secret", path = "/v1/vaults/{id}/secret", tag = "backups",
    params(("id" = String, Path)), request_body = VaultSecret,
    responses((status = 200, body = VaultFacts), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 502, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn change_vault_secret(
    State(rooms): State<Rooms>,
    Actor(actor): Actor,
    Path(id): Path<String>,
    Body(secret): Body<VaultSecret>,
) -> Answer<VaultFacts> {
    let (secret, access_key) = secret.parts();
    Ok(Json(rooms.engine.change_vault_secret(&id, secret, access_key, &actor).await?))
}

/// Forgets a vault that nothing uses. What lies in it stays.
#[utoipa::path(delete, operation_id = "remove_vault", path = "/v1/vaults/{id}", tag = "backups",
    params(("id" = String, Path)),
    responses((status = 204), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn remove_vault(
    State(rooms): State<Rooms>,
    Actor(actor): Actor,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    rooms.engine.remove_vault(&id, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The key that backups are sealed for. Revealing the half that opens them is written to the audit trail.
#[utoipa::path(get, operation_id = "show_backup_key", path = "/v1/backup-key", tag = "backups",
    params(("reveal" = Option<bool>, Query)),
    responses((status = 200, body = BackupKey), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn key(
    State(rooms): State<Rooms>,
    Actor(actor): Actor,
    params: Params,
) -> Result<([(HeaderName, &'static str); 1], Json<BackupKey>), Problem> {
    let reveal = params.flag("reveal")?;
    let key = rooms.engine.backup_key(reveal, &actor).await?;
    // Neither a browser nor a proxy keeps it, nor our own copies: those look for `private`.
    Ok(([(header::CACHE_CONTROL, "private, no-store")], Json(key.into())))
}

/// Brings back a key: backups that were sealed for it can be read again. The one in force stays.
#[utoipa::path(post, operation_id = "import_backup_key", path = "/v1/backup-key", tag = "backups",
    request_body = ImportedKey,
    responses((status = 200, body = BackupKey), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn import_key(
    State(rooms): State<Rooms>,
    Actor(actor): Actor,
    Body(key): Body<ImportedKey>,
) -> Answer<BackupKey> {
    Ok(Json(rooms.engine.import_backup_key(key.secret(), &actor).await?.into()))
}
