//! Restore in place: the data of a backup takes the place of what a cluster holds. Its nodes, addresses and passwords stay. What
//! it holds now is backed up first, and lies aside on its nodes until the other data is there and was counted.

use super::rules::{self, fresh, leaders_well, words};
use super::{Facts, Finding, Preview, Subject, backup as of_backup, moment};
use crate::{Backup, BackupReason, Change, ClusterSpec, FINAL_BACKUP_DAYS, NodeSpec, Topology, version};
use jiff::Timestamp;

/// Servers stop, start on other data, and the others copy it: what that takes beside the copying itself, in milliseconds.
const TURN_MS: u64 = 20_000;
/// Bytes a second at which data is brought back, a careful guess.
const BROUGHT_BACK: u64 = 40_000_000;
/// How long it can wait to be kept: whoever wants more makes a new cluster of it.
const KEEP_WITHIN: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;

/// What somebody chose.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub(super) at: Option<Timestamp>,
    pub(super) discard_present: bool,
    pub(super) keep_within_ms: Option<u64>,
}

pub(super) fn preview(subject: &Subject<'_>, backup: &Backup, wish: Wish, facts: &Facts<'_>) -> Preview {
    let (spec, name) = (subject.spec, &subject.spec.name);
    let mut preview = Preview::titled(match wish.at {
        None => format!("Restore {name} in place from {}", of_backup::named(backup, facts)),
        Some(at) if backup.of.id == spec.id => {
            format!("Restore {name} in place as it was at {}", moment::utc(at))
        }
        Some(at) => format!("Restore {name} in place as {} was at {}", backup.cluster, moment::utc(at)),
    });
    preview.destructive = true;
    preview.confirm = Some(name.to_string());
    if let Some(out_of_reach) = wish.at.and_then(|at| moment::out_of_reach(at, backup, facts)) {
        preview.block(out_of_reach);
        return preview;
    }
    preview.block(rules::free(subject));
    preview.block(of_backup::under_way(subject));
    preview.block(of_backup::unreadable(backup, facts));
    preview.block(of_backup::damaged(backup));
    preview.warn(of_backup::never_restored(backup));
    if backup.of.id != spec.id {
        let text = format!("It is a backup of another cluster: {}, as it was then.", backup.of.name);
        preview.warn(Finding::new("backup-of-another", text));
    }
    for finding in unlike(spec, backup) {
        preview.block(finding);
    }
    let drained: Vec<&str> = spec.nodes.iter().filter(|n| n.drained).map(|n| n.name.as_str()).collect();
    if !drained.is_empty() {
        let text = format!("{} out of service: their data would stay as it is.", words::list(&drained));
        preview.block(
            Finding::new("drained", text)
                .hint("Take them back into service, or remove them, then try again."),
        );
    }
    preview.block(room(subject, backup, facts));
    if wish.keep_within_ms.is_some_and(|ms| !KEEP_WITHIN.contains(&ms)) {
        let text = "It can wait between 1 s and 24 h to be kept.";
        preview.block(Finding::new("keep-within", text).at("/keep_within_ms"));
    }
    if wish.discard_present {
        preview.warn(Finding::new(
            "present-discarded",
            format!("No backup is taken of what {name} holds now: it is gone when this has ended."),
        ));
    } else {
        safety(subject, wish, facts, &mut preview);
    }
    clients(subject, &mut preview);
    preview.effect(format!(
        "The endpoints close and all servers of {name} stop. What they hold lies aside on their machines meanwhile."
    ));
    let first: Vec<&str> = of_backup::pieces(spec).iter().filter_map(|s| first_of(spec, *s)).collect();
    let gets = if first.len() == 1 { "it gets" } else { "they get" };
    match (wish.at, facts.moment) {
        (Some(at), Some(found)) => {
            preview.effect(format!("{}: {gets} what there was at {}.", words::list(&first), moment::utc(at)));
            moment::replayed(at, backup, found, &mut preview);
        }
        _ => preview.effect(format!(
            "{}: {gets} the data of {}, {}.",
            words::list(&first),
            of_backup::named(backup, facts),
            words::bytes(backup.data_bytes)
        )),
    }
    if spec.data_nodes().count() > first.len() {
        preview.effect("The others copy from there, so that all have one history.");
    }
    if wish.at.is_none() {
        preview.effect("It is counted before the endpoints open.");
    }
    preview.effect("If anything fails before the endpoints open, the servers start again on what they held.");
    if let (Some(ms), Some(first)) = (wish.keep_within_ms, first.first()) {
        preview.effect(format!(
            "Then it waits for up to {}: look at the data with `clusterdeck node shell {first}`. The endpoints open, and its log is \
             archived again, once somebody keeps it. Unless somebody does, what {name} holds now comes back; where Clusterdeck has \
             ended by then, as soon as it is there again.",
            words::wait(ms)
        ));
    }
    preview.effect("Names, addresses, passwords, settings and schedules stay as they are.");
    let copied = backup.data_bytes.saturating_add(moment::log_bytes(facts));
    let copied_ms = copied.saturating_mul(2_000) / BROUGHT_BACK;
    let looked_at = wish.keep_within_ms.unwrap_or(0);
    preview.expected_downtime_ms = TURN_MS.saturating_add(copied_ms).saturating_add(looked_at);
    preview
}

/// The node that a piece of the data goes to.
fn first_of(spec: &ClusterSpec, shard: Option<u16>) -> Option<&str> {
    let nodes = spec.data_nodes().filter(|n| n.shard == shard);
    nodes.min_by_key(|n: &&NodeSpec| n.ordinal).map(|n| n.name.as_str())
}

/// What keeps this backup from being this cluster's data.
fn unlike(spec: &ClusterSpec, backup: &Backup) -> Vec<Finding> {
    let (of, name) = (&backup.of, &spec.name);
    let aside = "Restore it as a new cluster instead.";
    let mut found = Vec::new();
    if of.service != spec.service {
        let text = format!("{name} is no {} cluster.", crate::service(of.service).name);
        found.push(Finding::new("service-differs", text).at("/backup").hint(aside));
        return found;
    }
    let sharded = |topology| topology == Topology::Sharded;
    if sharded(of.topology) != sharded(spec.topology) || sharded(spec.topology) && of.shards != spec.shards {
        let text = format!("{name} had other shards when it was backed up.");
        found.push(Finding::new("shards-differ", text).at("/backup").hint(aside));
    }
    if version::stand_in(spec.service, &of.version, std::slice::from_ref(&spec.version)).is_none() {
        let text = format!(
            "{name} is {} now; the backup was made of {}, whose files it does not take.",
            spec.version, of.version
        );
        found.push(Finding::new("version-differs", text).at("/backup").hint(aside));
    }
    found
}

/// Both lie on each disk for a while.
fn room(subject: &Subject<'_>, backup: &Backup, facts: &Facts<'_>) -> Option<Finding> {
    let largest = backup.parts.iter().map(|part| part.data_bytes).max()?;
    let brought = largest.saturating_add(moment::log_bytes(facts));
    let brought = brought.saturating_add(brought / 100 * facts.figures.disk_headroom_percent);
    let disk = crate::plan(&subject.spec.plan).ok()?.disk_bytes;
    let has = subject.observed?.nodes.iter().filter_map(|n| n.data_bytes).max().unwrap_or(0);
    (disk < brought.saturating_add(has)).then(|| {
        Finding::new(
            "disk-too-small",
            format!(
                "{} has {} of disk; what a node holds now ({}) and what it gets ({}) lie on it together for a while.",
                subject.spec.plan,
                words::bytes(disk),
                words::bytes(has),
                words::bytes(brought)
            ),
        )
        .hint("Choose a larger plan first, or restore it as a new cluster.")
    })
}

/// What it holds now is backed up first. Where it cannot be, nothing is replaced unless somebody does without it.
fn safety(subject: &Subject<'_>, wish: Wish, facts: &Facts<'_>, preview: &mut Preview) {
    let (spec, name) = (subject.spec, &subject.spec.name);
    let mut taken = Preview::titled("");
    if let Some(seen) = fresh(subject, facts, &mut taken)
        && leaders_well(spec, seen, &mut taken)
    {
        of_backup::sources(spec, seen, &mut taken);
    }
    let Some(first) = taken.blockers.first() else {
        preview.effect(format!(
            "What {name} holds now is backed up first, proven, and kept for {FINAL_BACKUP_DAYS} days: it can be brought back the \
             same way. If that cannot be done, nothing is replaced."
        ));
        return;
    };
    let text =
        format!("What {name} holds now cannot be backed up, so it could not be brought back. {}", first.text);
    let backup = facts.backup.map(|b| b.id.to_string()).unwrap_or_default();
    let change = Change::RestoreInPlace {
        cluster: name.to_string(),
        backup,
        at: wish.at,
        discard_present: true,
        keep_within_ms: wish.keep_within_ms,
    };
    preview.block(
        Finding::new("no-safety-backup", text)
            .hint("Mend that first, or do without: then what it holds now is lost.")
            .way_out("Restore without a backup of what it holds now", change),
    );
}

fn clients(subject: &Subject<'_>, preview: &mut Preview) {
    let n: u64 = subject.observed.map_or(0, |seen| seen.nodes.iter().filter_map(|n| n.clients).sum());
    if n > 0 {
        let who = words::count(usize::try_from(n).unwrap_or(usize::MAX), "client");
        let verb = if n == 1 { "is" } else { "are" };
        preview.warn(Finding::new(
            "clients-connected",
            format!("{who} {verb} connected right now and will be cut off."),
        ));
    }
}

/// What a backup was taken for, where that decides how it is called.
pub(super) fn held(reason: BackupReason) -> &'static str {
    match reason {
        BackupReason::BeforeDelete => "what it held when it was deleted",
        BackupReason::BeforeRestore => "what it held before another backup took its place",
        BackupReason::Asked | BackupReason::Scheduled | BackupReason::ForClone => "what it held then",
    }
}
