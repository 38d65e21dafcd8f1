//! Back up, verify, restore, and take a backup away. None of them changes the cluster that the backup is of.

use super::rules::{self, fresh, leaders_well, words};
use super::{Facts, Finding, Preview, Subject, create, moment};
use crate::{
    BackedUp, Backup, BackupKind, BackupReason, BackupSchedule, BackupState, Change, ClusterName,
    ClusterObserved, ClusterSpec, CreateCluster, OptionWish, RestoreBackup, ScheduleWish, Topology,
    VaultFacts, VaultFault, is_to_come, version,
};
use jiff::Timestamp;

/// A node that is copied from: of these the first one there is. Whoever follows gives the copy, so that the one that takes the
/// writes is left alone.
pub fn copy_source<'a>(
    spec: &'a ClusterSpec,
    seen: &ClusterObserved,
    shard: Option<u16>,
) -> Option<&'a crate::NodeSpec> {
    let well = |n: &&crate::NodeSpec| {
        !n.drained && seen.node(&n.id).is_some_and(|n| n.health == crate::Health::Healthy && !n.diverged)
    };
    let of_shard = || spec.data_nodes().filter(|n| n.shard == shard).filter(well);
    let follows = |n: &&crate::NodeSpec| {
        let seen = seen.node(&n.id);
        let in_step = seen.is_some_and(|n| n.link == Some(crate::Link::Up) && n.lag_bytes.is_some());
        in_step && !seen.and_then(|n| n.role).is_some_and(crate::Role::takes_writes)
    };
    let lag = |n: &&crate::NodeSpec| seen.node(&n.id).and_then(|n| n.lag_bytes);
    of_shard().filter(follows).min_by_key(lag).or_else(|| match spec.topology {
        // Every member holds all; the last one is the least likely to be the one that clients talk to.
        Topology::MultiMaster => of_shard().last(),
        _ => {
            of_shard().find(|n| seen.node(&n.id).and_then(|n| n.role).is_some_and(crate::Role::takes_writes))
        }
    })
}

/// The shards of a cluster, or the one piece that its data is.
pub fn pieces(spec: &ClusterSpec) -> Vec<Option<u16>> {
    match spec.topology {
        Topology::Sharded => (0..spec.shards).map(Some).collect(),
        _ => vec![None],
    }
}

pub(super) fn back_up(subject: &Subject<'_>, verify: bool, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let mut preview = Preview::titled(format!("Back up {}", spec.name));
    preview.block(rules::free(subject));
    preview.block(under_way(subject));
    let Some(seen) = fresh(subject, facts, &mut preview) else { return preview };
    if !leaders_well(spec, seen, &mut preview) {
        return preview;
    }
    copy(spec, seen, facts, &mut preview);
    if verify {
        preview.effect(
            "Then a server is started on it on a throw-away machine of its own, to see that it holds what it should.",
        );
    } else {
        preview.warn(Finding::new(
            "not-verified",
            "It is read back and its checksum compared, but nobody sees whether a server starts on it.",
        ));
    }
    preview
}

/// One backup of a cluster at a time.
pub(super) fn under_way(subject: &Subject<'_>) -> Option<Finding> {
    let busy = subject.backing_up?;
    let text = format!("{} is being backed up already: {}.", subject.spec.name, busy.title);
    Some(Finding::new("backup-under-way", text).hint("Wait until it has ended, or cancel it."))
}

/// The nodes that each piece is copied from, and how much that is.
pub(super) fn sources<'a>(
    spec: &'a ClusterSpec,
    seen: &ClusterObserved,
    preview: &mut Preview,
) -> (Vec<&'a crate::NodeSpec>, Option<u64>) {
    let mut bytes = Some(0_u64);
    let mut from = Vec::new();
    for shard in pieces(spec) {
        match copy_source(spec, seen, shard) {
            Some(node) => {
                let has = seen.node(&node.id).and_then(|n| n.data_bytes);
                bytes = bytes.zip(has).map(|(sum, n)| sum.saturating_add(n));
                from.push(node);
            }
            None => {
                let whose = shard.map_or_else(String::new, |shard| format!(" of shard {shard}"));
                preview.block(
                    Finding::new("nobody-to-copy", format!("No node{whose} is well enough to copy from."))
                        .hint("Bring a node back first, then try again."),
                );
            }
        }
    }
    (from, bytes)
}

/// What is copied from where to where.
pub(super) fn copy(spec: &ClusterSpec, seen: &ClusterObserved, facts: &Facts<'_>, preview: &mut Preview) {
    let (from, bytes) = sources(spec, seen, preview);
    if from.is_empty() {
        return;
    }
    let much = bytes.map_or_else(|| "All data".to_owned(), |n| format!("All data, {},", words::bytes(n)));
    let names: Vec<&str> = from.iter().map(|n| n.name.as_str()).collect();
    preview.effect(format!("{much} is copied from {} while writes go on.", words::list(&names)));
    let Some(vault) = facts.vault else {
        preview.block(Finding::new("vault-unknown", "There is no such vault.").at("/vault"));
        return;
    };
    preview.block(unusable(vault).map(|finding| finding.at("/vault")));
    if let (Some(bytes), Some(free)) = (bytes, vault.free_bytes)
        && free < bytes
        && !shares(vault, facts)
    {
        preview.warn(Finding::new(
            "vault-may-be-full",
            format!(
                "The vault {} has {} free, and the data is {} before it is compressed. If it does not fit, the backup \
                 fails and those before it stay.",
                vault.id,
                words::bytes(free),
                words::bytes(bytes)
            ),
        ));
    }
    preview.effect(match vault.kind {
        BackupKind::Snapshot => format!(
            "What earlier snapshots do not have yet is compressed, encrypted and put into the vault {}; then all of it is read \
             back and compared.",
            vault.id
        ),
        _ => format!(
            "It is compressed, encrypted and put into the vault {}, then read back and compared.",
            vault.id
        ),
    });
    same_disk(vault, preview);
}

/// Of a snapshot after another only what changed since must fit.
fn shares(vault: &VaultFacts, facts: &Facts<'_>) -> bool {
    vault.kind == BackupKind::Snapshot && facts.backups.iter().any(|b| b.vault == vault.id && b.usable())
}

/// What snapshots are no help against.
fn same_disk(vault: &VaultFacts, preview: &mut Preview) {
    if vault.kind == BackupKind::Snapshot {
        preview.effect(
            "Snapshots lie on this computer's disk beside the data: they outlive the cluster when it is deleted, and are lost \
             with that disk. A schedule into another vault as well keeps a copy elsewhere.",
        );
    }
}

/// Why a vault can neither be written to nor read.
fn unusable(vault: &VaultFacts) -> Option<Finding> {
    let problem = vault.problem.as_ref()?;
    let code = vault.fault.unwrap_or(VaultFault::Unreachable).code();
    let finding = Finding::new(code, format!("The vault {} cannot be used: {problem}.", vault.id));
    Some(if vault.hint.is_empty() { finding } else { finding.hint(words::sentence(&vault.hint)) })
}

/// `the backup of demo from 3 h ago`.
pub(super) fn named(backup: &Backup, facts: &Facts<'_>) -> String {
    format!("the backup of {} from {} ago", backup.cluster, words::age(facts.now, backup.created_at))
}

/// Why a backup cannot be read.
pub(super) fn unreadable(backup: &Backup, facts: &Facts<'_>) -> Option<Finding> {
    let name = words::sentence(&named(backup, facts));
    match backup.state {
        BackupState::Making => {
            Some(Finding::new("backup-incomplete", format!("{name} is still being made.")))
        }
        BackupState::Failed => Some(Finding::new(
            "backup-failed",
            format!("{name} could not be made: there is nothing in the vault."),
        )),
        BackupState::Stored | BackupState::Verified | BackupState::Damaged => facts.vault.and_then(unusable),
    }
}

pub(super) fn verify(backup: &Backup, facts: &Facts<'_>) -> Preview {
    let mut preview = Preview::titled(format!("Verify {}", named(backup, facts)));
    preview.block(unreadable(backup, facts));
    // A snapshot's size is only what it added.
    let much = if backup.kind == BackupKind::Snapshot { backup.data_bytes } else { backup.size_bytes };
    preview.effect(format!(
        "{} is read from the vault {} and its checksum compared.",
        words::bytes(much),
        backup.vault
    ));
    preview.effect("A server is started on it on a throw-away machine, and what it holds is counted.");
    preview.effect("The cluster it is of is not touched. The throw-away machine is given back.");
    preview
}

pub(super) fn delete(backup: &Backup, facts: &Facts<'_>) -> Preview {
    let mut preview = Preview::titled(format!("Delete {}", named(backup, facts)));
    preview.destructive = true;
    if let Some(busy) = facts.backup_used_by {
        preview.block(
            Finding::new("backup-in-use", format!("It is being used: {}.", busy.title))
                .hint("Wait until that operation has ended, or cancel it."),
        );
    }
    if backup.usable() && !facts.backups.iter().any(|other| other.id != backup.id && other.usable()) {
        preview
            .warn(Finding::new("last-backup", format!("It is the last one there is of {}.", backup.cluster)));
        preview.confirm = Some(backup.cluster.clone());
    }
    preview.effect(match backup.kind {
        BackupKind::Snapshot => format!(
            "What no other snapshot in the vault {} shares with it is erased; the others stay whole.",
            backup.vault
        ),
        _ => format!("{} in the vault {} are erased.", words::bytes(backup.size_bytes), backup.vault),
    });
    preview.effect("It cannot be brought back. The cluster is not touched.");
    preview
}

/// The cluster that a restore makes, with what was left out as it was. `found` are the versions there are; of these another one
/// may stand for the one that the backup was made of.
pub fn restored_cluster(
    wish: &RestoreBackup,
    backup: &Backup,
    clusters: &[ClusterSpec],
    found: &[String],
) -> CreateCluster {
    created_from(wish, &backup.of, "-restored", clusters, found)
}

/// The same of a cluster as it was or is; `ending` goes behind its name where that is taken.
pub(super) fn created_from(
    wish: &RestoreBackup,
    of: &BackedUp,
    ending: &str,
    clusters: &[ClusterSpec],
    found: &[String],
) -> CreateCluster {
    let taken = |name: &str| clusters.iter().any(|c| c.name.as_str() == name);
    let name = wish.name.clone().unwrap_or_else(|| match taken(&of.name) {
        false => of.name.clone(),
        true => name_beside(&of.name, ending, taken),
    });
    let topology = wish.topology.unwrap_or(of.topology);
    let sharded = topology == Topology::Sharded;
    CreateCluster {
        name,
        service: of.service,
        version: Some(version::stand_in(of.service, &of.version, found).unwrap_or(&of.version).to_owned()),
        topology: Some(topology),
        nodes: wish.nodes.or_else(|| (topology == of.topology).then_some(of.nodes)),
        shards: sharded.then_some(of.shards),
        provider: Some(wish.provider.clone().unwrap_or_else(|| of.provider.clone())),
        region: wish.region.clone().or_else(|| wish.provider.is_none().then(|| of.region.clone())),
        plan: Some(wish.plan.clone().unwrap_or_else(|| of.plan.clone())),
        protected: false,
        auto_failover: (topology == of.topology && !of.auto_failover).then_some(false),
        options: (topology == of.topology).then(|| OptionWish::of(&of.options)),
    }
}

/// `demo-restored`, `demo-restored-2`… as far as a name may be long.
fn name_beside(name: &str, ending: &str, taken: impl Fn(&str) -> bool) -> String {
    let fitting = |ending: &str| {
        let room = ClusterName::MAX.saturating_sub(ending.len());
        let kept: String = name.chars().take(room).collect();
        format!("{}{ending}", kept.trim_end_matches('-'))
    };
    let mut candidates =
        std::iter::once(fitting(ending)).chain((2..100).map(|n| fitting(&format!("{ending}-{n}"))));
    candidates.find(|name| !taken(name)).unwrap_or_else(|| fitting(ending))
}

/// Sharded data stays sharded.
pub(super) fn shape_differs(of: Topology, becomes: Option<Topology>) -> Option<Finding> {
    let sharded = |topology| topology == Some(Topology::Sharded);
    (sharded(Some(of)) != sharded(becomes)).then(|| {
        let becomes = becomes.map_or("other", Topology::id);
        Finding::new(
            "topology-differs",
            format!("A copy of a {} cluster cannot become a {becomes} one.", of.id()),
        )
        .at("/topology")
    })
}

pub(super) fn restore(wish: &RestoreBackup, backup: &Backup, facts: &Facts<'_>) -> Preview {
    let found = facts.capacity.map_or(&[][..], |c| &c.versions);
    let create = restored_cluster(wish, backup, facts.clusters, found);
    let mut preview = create::preview(&create, facts);
    preview.title = format!("Restore {} from {}", create.name.trim(), named(backup, facts));
    if let Some(at) = wish.at {
        preview.title =
            format!("Restore {} as {} was at {}", create.name.trim(), backup.cluster, moment::utc(at));
        if let Some(out_of_reach) = moment::out_of_reach(at, backup, facts) {
            preview.block(out_of_reach);
            return preview;
        }
    }
    preview.block(unreadable(backup, facts));
    preview.block(damaged(backup));
    preview.warn(never_restored(backup));
    preview.block(shape_differs(backup.of.topology, create.topology));
    let largest = backup.parts.iter().map(|part| part.data_bytes).max();
    preview.block(room(largest.map(|bytes| bytes.saturating_add(moment::log_bytes(facts))), facts));
    if let (Some(at), Some(found)) = (wish.at, facts.moment) {
        moment::replayed(at, backup, found, &mut preview);
        preview.effect("Passwords are new ones.");
        return preview;
    }
    let what = super::in_place::held(backup.reason);
    preview.effect(format!(
        "It gets the data of {}, {}, {what}; passwords are new ones.",
        named(backup, facts),
        words::bytes(backup.data_bytes)
    ));
    preview
}

/// It did not pass its test.
pub(super) fn damaged(backup: &Backup) -> Option<Finding> {
    let why = backup.error.as_ref().map_or("it did not pass its test", |e| e.title.as_str());
    (backup.state == BackupState::Damaged).then(|| {
        Finding::new("backup-damaged", format!("This backup cannot be relied on: {why}."))
            .hint("Choose another backup, or verify this one again.")
            .way_out("Verify it again", Change::VerifyBackup { backup: backup.id.to_string() })
    })
}

/// Read back, but never tried.
pub(super) fn never_restored(backup: &Backup) -> Option<Finding> {
    let text = "Nobody has restored this backup yet, so it is not known whether it can be.";
    (backup.state == BackupState::Stored).then(|| {
        Finding::new("not-verified", text)
            .hint("Restoring it now is that proof: a failure leaves nothing behind.")
    })
}

/// The data of the largest piece must fit on the disk of a node.
pub(super) fn room(largest: Option<u64>, facts: &Facts<'_>) -> Option<Finding> {
    let (largest, plan) = (largest?, facts.capacity?.plan.as_ref()?);
    let needed = largest.saturating_add(largest / 100 * facts.figures.disk_headroom_percent);
    (plan.disk_bytes < needed).then(|| {
        Finding::new(
            "plan-too-small",
            format!(
                "{} has {} of disk; the data needs {}.",
                plan.id,
                words::bytes(plan.disk_bytes),
                words::bytes(needed)
            ),
        )
        .at("/plan")
        .hint("Choose a larger plan.")
    })
}

pub(super) fn schedule(subject: &Subject<'_>, wish: Option<&ScheduleWish>, facts: &Facts<'_>) -> Preview {
    let name = &subject.spec.name;
    let mut preview = Preview::titled(match wish {
        Some(_) => format!("Schedule backups of {name}"),
        None => format!("Stop scheduled backups of {name}"),
    });
    preview.block(rules::free(subject));
    let Some(vault) = facts.vault else {
        preview.block(Finding::new("vault-unknown", "There is no such vault.").at("/vault"));
        return preview;
    };
    let before = subject.spec.backup_schedules.iter().find(|s| s.vault == vault.id);
    let Some(wish) = wish else {
        if before.is_none() {
            let text = format!("No backups of {name} are made by themselves into the vault {}.", vault.id);
            preview.block(Finding::new("no-schedule", text));
        }
        preview.effect(format!("No more backups are made by themselves into the vault {}.", vault.id));
        preview.effect("Those that are there stay until somebody deletes them.");
        return preview;
    };
    let schedule = wish.resolved(&vault.id, facts.now);
    if let Err(wrong) = schedule.check() {
        let text = format!("{}.", words::sentence(&wrong.text));
        preview.block(Finding::new("schedule-invalid", text).at(&format!("/schedule{}", wrong.pointer)));
        return preview;
    }
    if schedule.point_in_time {
        moment::archived(subject, vault, before, facts, &mut preview);
    } else if before.is_some_and(|before| before.point_in_time) {
        preview.warn(Finding::new(
            "log-ends",
            "Its log is archived no longer: from now on it can be brought back only to its backups.",
        ));
    }
    let last = last_of(facts.backups, &schedule, facts.now);
    if let Some(due) = schedule.due(last, facts.now).map(|due| due.max(facts.now)) {
        let when = match due <= facts.now {
            true => "at once".to_owned(),
            false => format!("in {}", words::wait_until(facts.now, due)),
        };
        preview.effect(format!(
            "A backup is made {} into the vault {}; the next one {when}.",
            words::rhythm(&schedule.when, &schedule.time_zone),
            vault.id
        ));
    }
    same_disk(vault, &mut preview);
    preview.effect(if schedule.verify {
        "Each is read back, and restored on a throw-away machine to see that it can be."
    } else {
        "Each is read back; none is restored to see that it can be."
    });
    preview.effect(words::kept(&schedule.keep));
    let scheduled = |b: &&Backup| b.vault == vault.id && b.reason == BackupReason::Scheduled && b.usable();
    let (kept, there) =
        (schedule.kept(facts.backups, facts.now), facts.backups.iter().filter(scheduled).count());
    if there > kept.len() {
        let gone = words::count(there - kept.len(), "backup");
        preview.warn(Finding::new(
            "backups-go",
            format!("{gone} of the {there} that are there are kept no longer and go within a minute."),
        ));
    }
    preview
}

/// When the newest backup of a schedule was begun, whatever became of it. A clock that was set back leaves some in the future: with
/// them there would be none for long.
pub fn last_of(backups: &[Backup], schedule: &BackupSchedule, now: Timestamp) -> Option<Timestamp> {
    let mine = backups.iter().filter(|b| b.vault == schedule.vault && b.reason == BackupReason::Scheduled);
    mine.map(|b| b.created_at).filter(|at| !is_to_come(*at, now)).max()
}

/// There is no such backup.
pub(super) fn not_found(id: &str, change: &Change) -> Preview {
    let act = words::sentence(&change.kind().id().replace('-', " "));
    let mut preview = Preview::titled(format!("{act}: {id}"));
    preview.block(
        Finding::new("not-found", format!("There is no backup `{id}`."))
            .at("/backup")
            .hint("`clusterdeck backup list` shows those there are."),
    );
    preview
}
