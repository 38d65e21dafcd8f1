//! `clusterdeck backup …` and `clusterdeck vault …`

use super::{typed_in, word};
use crate::{
    answer::piece,
    args::{BackupVerb, Confirming, Format, Restore, VaultVerb},
    change,
    failure::Failure,
    output::{Table, age, bytes, facts, or_unknown},
    session::Session,
};
use axum::http::Method;
use clusterdeck_api::wire::{BackupKey, Cluster, List};
use clusterdeck_api::{Code, Problem};
use clusterdeck_domain::{Backup, BackupReason, PointInTime, VaultFacts};
use jiff::Timestamp;
use serde_json::json;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

pub(super) async fn run(session: &Session, verb: BackupVerb) -> Result<(), Failure> {
    let (change, confirming) = match verb {
        BackupVerb::List { cluster } => return list(session, cluster.as_deref()).await,
        BackupVerb::Range { cluster } => return range(session, &cluster).await,
        BackupVerb::Show { id } => return show(session, &id).await,
        BackupVerb::Download { id, file, format } => return download(session, &id, &file, format).await,
        BackupVerb::Now { cluster, to, no_verify, confirming } => {
            (json!({"kind": "back-up", "cluster": cluster, "vault": to, "verify": !no_verify}), confirming)
        }
        BackupVerb::Schedule { cluster, every: None, cron: None, off: false, .. } => {
            return schedules(session, &cluster).await;
        }
        BackupVerb::Schedule {
            cluster,
            every,
            cron,
            time_zone,
            keep,
            keep_daily,
            keep_weekly,
            keep_monthly,
            to,
            no_verify,
            point_in_time,
            off,
            confirming,
        } => {
            // One of the figures means that all were meant; those that were left out are none.
            let figures = [keep, keep_daily, keep_weekly, keep_monthly];
            let keep = figures.iter().any(Option::is_some).then(|| {
                let [last, daily, weekly, monthly] = figures.map(Option::unwrap_or_default);
                json!({"last": last, "daily": daily, "weekly": weekly, "monthly": monthly})
            });
            let schedule = (!off).then(|| {
                json!({
                    "when": every.or(cron), "time_zone": time_zone, "keep": keep, "verify": !no_verify,
                    "point_in_time": point_in_time,
                })
            });
            (
                json!({"kind": "set-backup-schedule", "cluster": cluster, "vault": to, "schedule": schedule}),
                confirming,
            )
        }
        BackupVerb::Restore(restore) => return make_from(session, &restore).await,
        BackupVerb::Verify { id, confirming } => (json!({"kind": "verify-backup", "backup": id}), confirming),
        BackupVerb::Delete { id, confirming } => (json!({"kind": "delete-backup", "backup": id}), confirming),
    };
    change::make(session, change, &confirming).await
}

async fn make_from(session: &Session, restore: &Restore) -> Result<(), Failure> {
    let at = restore.at.as_deref().map(str::parse::<Timestamp>).transpose().map_err(|_| {
        Problem::new(Code::Invalid, format!("`{}` is no moment", restore.at.as_deref().unwrap_or_default()))
            .hint("Say the time with its zone: 2026-11-29T12:00:00Z, 2026-11-29T13:00:00+01:00.")
    })?;
    if restore.in_place {
        let answer = session.get(&format!("/v1/backups/{}", piece(&restore.id))).await?;
        let backup: Backup = answer.read()?;
        // One that was deleted and came back has another id and its old name.
        let same = session.get(&format!("/v1/clusters/{}", backup.of.id)).await.is_ok();
        let cluster = if same { backup.of.id.to_string() } else { backup.cluster.clone() };
        let change = json!({
            "kind": "restore-in-place",
            "cluster": cluster,
            "backup": backup.id,
            "at": at,
            "discard_present": restore.discard_present,
            "keep_within_ms": restore.inspect.map(|minutes| u64::from(minutes) * 60_000),
        });
        return change::make(session, change, &restore.confirming).await;
    }
    let change = json!({
        "kind": "restore-backup",
        "backup": restore.id,
        "at": at,
        "name": restore.name,
        "topology": restore.topology,
        "nodes": restore.nodes,
        "provider": restore.provider,
        "region": restore.region,
        "plan": restore.plan,
    });
    change::make(session, change, &restore.confirming).await
}

/// Brings a deleted cluster back from the last backup that was taken of it.
pub(super) async fn recover(session: &Session, name: &str, confirming: &Confirming) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/backups?cluster={}", piece(name))).await?;
    let all: List<Backup> = answer.read()?;
    let last = all.items.iter().find(|b| b.reason == BackupReason::BeforeDelete && b.usable());
    let last = last.ok_or_else(|| {
        Problem::not_found(&format!("deleted cluster called `{name}` that can be brought back"))
            .hint("`clusterdeck backup list` shows every backup there is; any of them can be restored.")
    })?;
    let change = json!({"kind": "restore-backup", "backup": last.id, "name": last.cluster});
    change::make(session, change, confirming).await
}

async fn list(session: &Session, cluster: Option<&str>) -> Result<(), Failure> {
    let query = cluster.map_or_else(String::new, |name| format!("?cluster={}", piece(name)));
    let answer = session.get(&format!("/v1/backups{query}")).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let backups: List<Backup> = answer.read()?;
    if backups.items.is_empty() {
        return session.output.line("No backups yet. `clusterdeck backup now CLUSTER` makes one.");
    }
    let now = Timestamp::now();
    let mut table =
        Table::new(&["id", "cluster", "kind", "state", "size", "taken", "verified", "vault", "why"]);
    for backup in &backups.items {
        table.row(vec![
            backup.id.to_string(),
            backup.cluster.clone(),
            word(&backup.kind),
            word(&backup.state),
            bytes(backup.size_bytes as f64),
            age(backup.created_at, now),
            backup.verified_at.map_or_else(|| "never".to_owned(), |at| age(at, now)),
            backup.vault.clone(),
            word(&backup.reason),
        ]);
    }
    session.output.table(&table)?;
    let Some(name) = cluster else { return Ok(()) };
    let of_gone = || backups.items.first().map(|backup| format!("/v1/backups/{}/range", backup.id));
    let answer = match session.get(&format!("/v1/clusters/{}/range", piece(name))).await {
        Ok(answer) => answer,
        Err(_) => match of_gone() {
            Some(route) => session.get(&route).await?,
            None => return Ok(()),
        },
    };
    let range: PointInTime = answer.read()?;
    match range.ranges.is_empty() {
        true => Ok(()),
        false => session.output.line(&format!("\nAny second can be brought back: {}", spans(&range))),
    }
}

/// `2026-11-29T12:00:00Z to 2026-11-29T13:00:00Z, then …`.
fn spans(range: &PointInTime) -> String {
    let each = range.ranges.iter().map(|range| format!("{} to {}", range.from, range.to));
    each.collect::<Vec<_>>().join(", then ")
}

async fn range(session: &Session, of: &str) -> Result<(), Failure> {
    let whose = if of.starts_with("bak_") { "backups" } else { "clusters" };
    let answer = session.get(&format!("/v1/{whose}/{}/range", piece(of))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let range: PointInTime = answer.read()?;
    let archived = match (&range.vault, range.on) {
        (Some(vault), true) => format!("into the vault {vault}"),
        _ => "no: `clusterdeck backup schedule CLUSTER --every 6h --point-in-time` begins that".to_owned(),
    };
    let moments = match range.ranges.is_empty() {
        true => "none: the log leads on from a backup, and there is none yet".to_owned(),
        false => spans(&range),
    };
    let waits =
        format!("{} of {}", bytes(range.waiting_bytes as f64), bytes(range.waiting_most_bytes as f64));
    session.output.line(&facts(&[
        ("Log archived", archived),
        ("Any second of", moments),
        ("Behind", or_unknown(range.behind_ms, |ms| format!("{} s", ms.div_ceil(1000)))),
        ("Backups", range.bases.len().to_string()),
        ("In the vault", bytes(range.stored_bytes as f64)),
        ("Waits on a node", waits),
        ("Problem", range.problem.unwrap_or_default()),
    ]))
}

/// As it comes, into a file that has its name only when it is whole.
async fn download(session: &Session, id: &str, file: &Path, format: Format) -> Result<(), Failure> {
    if file.exists() {
        // Before a machine is made for it.
        return Err(Problem::new(Code::Conflict, format!("{} is there already", file.display())).into());
    }
    let logical = format == Format::Logical;
    if logical {
        session.output.note("Restoring it on a throw-away machine first; that takes a while.");
    }
    let asked = if logical { "?format=logical" } else { "" };
    let body = session.body(&format!("/v1/backups/{}/download{asked}", piece(id))).await?;
    let bytes = clusterdeck_api::save(body, file, |_| ()).await?;
    session.output.line(&format!(
        "{} is written, {}. It is not encrypted: whoever has it has the data. {} to restore it.",
        file.display(),
        self::bytes(bytes as f64),
        if logical { "Its first lines say how" } else { "Its README says how" }
    ))
}

async fn schedules(session: &Session, cluster: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/clusters/{}", piece(cluster))).await?;
    let cluster: Cluster = answer.read()?;
    if session.output.json() {
        let items = json!({"items": cluster.backup_schedules, "next_cursor": null});
        return session.output.body(items.to_string().as_bytes());
    }
    if cluster.backup_schedules.is_empty() {
        let name = &cluster.name;
        return session.output.line(&format!(
            "No backups are made by themselves. `clusterdeck backup schedule {name} --every 6h --keep 7` begins that."
        ));
    }
    let mut table =
        Table::new(&["vault", "when", "time zone", "last", "daily", "weekly", "monthly", "verified", "next"]);
    for set in &cluster.backup_schedules {
        let (schedule, keep) = (&set.schedule, &set.schedule.keep);
        table.row(vec![
            schedule.vault.clone(),
            schedule.when.clone(),
            schedule.time_zone.clone(),
            keep.last.to_string(),
            keep.daily.to_string(),
            keep.weekly.to_string(),
            keep.monthly.to_string(),
            if schedule.verify { "yes" } else { "no" }.to_owned(),
            set.next_at.map_or_else(String::new, |at| at.to_string()),
        ]);
    }
    session.output.table(&table)
}

async fn show(session: &Session, id: &str) -> Result<(), Failure> {
    let answer = session.get(&format!("/v1/backups/{}", piece(id))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let backup: Backup = answer.read()?;
    let (now, error) = (Timestamp::now(), backup.error.as_ref());
    session.output.line(&facts(&[
        ("Backup", format!("{} of {}", backup.id, backup.cluster)),
        ("State", word(&backup.state)),
        ("Error", error.map_or_else(String::new, |e| e.title.clone())),
        ("", error.map_or_else(String::new, |e| e.hint.clone())),
        ("Of", format!("{} {}, {}", word(&backup.of.service), backup.of.version, backup.of.topology)),
        ("Kind", format!("{}, {}", word(&backup.kind), word(&backup.reason))),
        ("Vault", backup.vault.clone()),
        (
            "Size",
            format!("{} ({} of data)", bytes(backup.size_bytes as f64), bytes(backup.data_bytes as f64)),
        ),
        ("Taken", age(backup.created_at, now)),
        ("Verified", backup.verified_at.map_or_else(|| "never".to_owned(), |at| age(at, now))),
        ("Kept until", backup.expires_at.map_or_else(String::new, |at| at.to_string())),
        ("Sealed for", backup.sealed_for.clone()),
    ]))?;
    session.output.line("")?;
    let mut table = Table::new(&["part", "from", "data", "up to", "held"]);
    for part in &backup.parts {
        let held = part.counts.iter().take(6).map(|count| match count.low == count.high {
            true => format!("{} {}", count.low, count.of),
            false => format!("{} to {} {}", count.low, count.high, count.of),
        });
        table.row(vec![
            part.name.clone(),
            part.node.clone(),
            bytes(part.data_bytes as f64),
            part.position.clone(),
            held.collect::<Vec<_>>().join(", "),
        ]);
    }
    session.output.table(&table)
}

pub(super) async fn vault(session: &Session, verb: VaultVerb) -> Result<(), Failure> {
    match verb {
        VaultVerb::List => vaults(session).await,
        VaultVerb::Remove { name } => {
            session.send(Method::DELETE, &format!("/v1/vaults/{}", piece(&name)), None).await?;
            session.output.line(&format!("{name} is no longer known. What lies in it stays."))
        }
        VaultVerb::Check { name } => {
            let path = format!("/v1/vaults/{}/check", piece(&name));
            let answer = session.send(Method::POST, &path, None).await?;
            if session.output.json() {
                return session.output.body(&answer.body);
            }
            let vault: VaultFacts = answer.read()?;
            session.output.line(&format!("{} ({}): usable: {}", vault.id, vault.place, usable(&vault)))
        }
        VaultVerb::Secret { name, secret_file, access_key } => {
            let body = json!({"secret": typed_in("secret", &secret_file)?, "access_key": access_key});
            let path = format!("/v1/vaults/{}/secret", piece(&name));
            let answer = session.send(Method::PUT, &path, Some(&body)).await?;
            if session.output.json() {
                return session.output.body(&answer.body);
            }
            session.output.line(&format!("{name} answered to the new secret, which is kept now."))
        }
        add @ VaultVerb::Add { .. } => add_vault(session, add).await,
        VaultVerb::Key { import: Some(file), .. } => import(session, &file).await,
        VaultVerb::Key { export, .. } => key(session, export).await,
    }
}

async fn add_vault(session: &Session, add: VaultVerb) -> Result<(), Failure> {
    let VaultVerb::Add { name, folder, s3, borg, endpoint, region, prefix, access_key, secret_file } = add
    else {
        return Ok(());
    };
    let mut vault = match (folder, s3, borg) {
        (Some(path), None, None) => json!({"kind": "local", "path": path}),
        (None, Some(bucket), None) => json!({
            "kind": "s3", "bucket": bucket, "endpoint": endpoint, "region": region, "prefix": prefix,
            "access_key": access_key,
        }),
        (None, None, Some(repository)) => json!({"kind": "borg", "repository": repository}),
        _ => {
            let problem = Problem::new(Code::Invalid, "say where the vault is");
            return Err(problem.hint("With --folder DIR, --s3 BUCKET or --borg REPOSITORY.").into());
        }
    };
    vault["id"] = json!(name);
    vault["secret"] = json!(secret_file.as_deref().map(|file| typed_in("secret", file)).transpose()?);
    let answer = session.send(Method::POST, "/v1/vaults", Some(&vault)).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let added: VaultFacts = answer.read()?;
    session
        .output
        .line(&format!("{} can be used: `clusterdeck backup now CLUSTER --to {}`.", added.place, added.id))
}

/// Whether it can be used, else why not and what to do.
fn usable(vault: &VaultFacts) -> String {
    match (&vault.problem, vault.hint.as_str()) {
        (None, _) => "yes".to_owned(),
        (Some(problem), "") => format!("no: {problem}"),
        (Some(problem), hint) => format!("no: {problem}; {hint}"),
    }
}

async fn vaults(session: &Session) -> Result<(), Failure> {
    let answer = session.get("/v1/vaults").await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    let vaults: List<VaultFacts> = answer.read()?;
    let mut table = Table::new(&["vault", "kind", "where", "usable", "backups", "size", "free"]);
    for vault in &vaults.items {
        table.row(vec![
            vault.id.clone(),
            word(&vault.kind),
            vault.place.clone(),
            usable(vault),
            vault.backups.to_string(),
            bytes(vault.used_bytes as f64),
            or_unknown(vault.free_bytes, |free| bytes(free as f64)),
        ]);
    }
    session.output.table(&table)
}

async fn key(session: &Session, export: Option<PathBuf>) -> Result<(), Failure> {
    let query = if export.is_some() { "?reveal=true" } else { "" };
    let answer = session.get(&format!("/v1/backup-key{query}")).await?;
    let Some(file) = export else {
        if session.output.json() {
            return session.output.body(&answer.body);
        }
        let key: BackupKey = answer.read()?;
        let shown = key.exported_at.map_or_else(
            || "never: `--export FILE` writes it where you can keep it".to_owned(),
            |at| age(at, Timestamp::now()),
        );
        return session.output.line(&facts(&[
            ("Sealed for", key.public.unwrap_or_else(|| "no key yet: the first backup makes it".to_owned())),
            ("Exported", shown),
        ]));
    };
    let key: BackupKey = answer.read()?;
    let (Some(public), Some(secret)) = (key.public, key.secret) else {
        return Err(Problem::not_found("key yet: the first backup makes it").into());
    };
    let text = format!("# opens the backups that Clusterdeck sealed for {public}\n{secret}\n");
    if file == Path::new("-") {
        return session.output.line(text.trim_end());
    }
    write_private(&file, &text)
        .map_err(|e| Problem::new(Code::Failed, format!("{} could not be written: {e}", file.display())))?;
    session.output.line(&format!(
        "The key is in {}. Keep it away from this computer: whoever has it and the vault can read the backups.",
        file.display()
    ))
}

/// A file that is new, and nobody else's to read.
fn private(file: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let mut opened = private(file)?;
    opened.write_all(text.as_bytes())?;
    opened.sync_all()
}

async fn import(session: &Session, file: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Problem::new(Code::Invalid, format!("{} cannot be read: {e}", file.display())))?;
    let answer = session.send(Method::POST, "/v1/backup-key", Some(&json!({"secret": text}))).await?;
    if session.output.json() {
        return session.output.body(&answer.body);
    }
    session.output.line("The key is back: what was sealed for it can be read again.")
}
