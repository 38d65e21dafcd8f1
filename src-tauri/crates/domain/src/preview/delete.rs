//! Delete a cluster. Possible in whatever state its servers are; impossible while it is protected.

use super::rules::{self, words};
use super::{Facts, Finding, Preview, Subject, backup};
use crate::{Change, FINAL_BACKUP_DAYS, Lifecycle};

pub(super) fn preview(subject: &Subject<'_>, discard_backups: bool, facts: &Facts<'_>) -> Preview {
    let spec = subject.spec;
    let name = &spec.name;
    let mut preview = Preview::titled(format!("Delete {name}"));
    preview.destructive = true;
    preview.confirm = Some(name.to_string());
    if spec.protected {
        preview.block(
            Finding::new("protected", format!("{name} is protected from deletion."))
                .hint(format!("`clusterdeck cluster protect {name} off` turns the protection off."))
                .way_out(
                    format!("Turn off the protection of {name}"),
                    Change::SetProtection { cluster: name.to_string(), enabled: false },
                ),
        );
    }
    // One that got stuck half made or half deleted must go as well, so only an operation under way stands against it.
    if spec.lifecycle == Lifecycle::Active || subject.busy.is_some() {
        preview.block(rules::free(subject));
    }
    preview.block(backup::under_way(subject));
    if spec.protected {
        // Nothing else matters as long as it is.
    } else if takes_a_last_backup(subject, discard_backups) {
        last_backup(subject, facts, &mut preview);
    } else {
        without_one(subject, discard_backups, &mut preview);
    }
    clients(subject, &mut preview);

    let machines: Vec<&str> = spec.nodes.iter().map(|n| n.name.as_str()).collect();
    if !machines.is_empty() {
        let with = if spec.gateway.is_some() { ", and the endpoint," } else { "" };
        let verb = if machines.len() == 1 && spec.gateway.is_none() { "is" } else { "are" };
        preview.effect(format!("{}{with} {verb} stopped.", words::list(&machines)));
    }
    let data: Option<u64> = match spec.topology {
        crate::Topology::Sharded => {
            (0..spec.shards).map(|s| subject.observed?.shard_primary(s)?.data_bytes).sum()
        }
        _ => subject.observed.and_then(|seen| {
            seen.primary()
                .map_or_else(|| seen.nodes.iter().filter_map(|n| n.data_bytes).max(), |n| n.data_bytes)
        }),
    };
    let much = data.map_or_else(
        || "All its data".to_owned(),
        |n| format!("All its data, {} in each full copy,", words::bytes(n)),
    );
    preview.effect(format!("{much} is erased with {}.", words::count(spec.machines().count(), "machine")));
    preview.effect("Its passwords, measurements and addresses go. The audit trail stays.");
    if subject.last_backup.is_some() && !discard_backups {
        preview.effect("Its other backups are kept as long as they would have been.");
    }
    preview
}

/// Whether there is something that a last backup could be taken of: a cluster that was made and not yet given up.
pub(super) fn takes_a_last_backup(subject: &Subject<'_>, discard_backups: bool) -> bool {
    !discard_backups && subject.spec.lifecycle == Lifecycle::Active
}

/// A deletion begins with a backup. One that cannot be taken keeps the cluster, unless somebody does without it.
fn last_backup(subject: &Subject<'_>, facts: &Facts<'_>, preview: &mut Preview) {
    let (spec, name) = (subject.spec, &subject.spec.name);
    let mut taken = Preview::titled("");
    if let Some(seen) = rules::fresh(subject, facts, &mut taken)
        && rules::leaders_well(spec, seen, &mut taken)
    {
        backup::copy(spec, seen, facts, &mut taken);
    }
    if let Some(first) = taken.blockers.first() {
        let discard = Change::DeleteCluster { cluster: name.to_string(), discard_backups: true };
        let text =
            format!("No last backup of {name} can be taken, so it could not be brought back. {}", first.text);
        preview.block(
            Finding::new("no-last-backup", text)
                .hint("Mend that first, or delete it without a backup: then nothing can be brought back.")
                .way_out("Delete it without a backup", discard),
        );
        return;
    }
    preview.effect(format!(
        "A last backup is taken first and kept for {FINAL_BACKUP_DAYS} days: until then `clusterdeck cluster recover {name}` \
         brings it back. If it cannot be taken, nothing is deleted."
    ));
    preview.effects.append(&mut taken.effects);
    preview.warnings.append(&mut taken.warnings);
}

/// What goes for good.
fn without_one(subject: &Subject<'_>, discard_backups: bool, preview: &mut Preview) {
    match subject.last_backup {
        Some(_) if discard_backups => preview.warn(Finding::new(
            "backups-discarded",
            "Its backups are deleted as well: nothing can be brought back.",
        )),
        _ => preview.warn(Finding::new("no-backup", "No last backup is taken: nothing can be brought back.")),
    }
}

fn clients(subject: &Subject<'_>, preview: &mut Preview) {
    let Some(seen) = subject.observed else { return };
    let n: u64 = seen.nodes.iter().filter_map(|n| n.clients).sum();
    if n > 0 {
        let who = words::count(usize::try_from(n).unwrap_or(usize::MAX), "client");
        let verb = if n == 1 { "is" } else { "are" };
        preview.warn(Finding::new("clients-connected", format!("{who} {verb} connected right now.")));
    }
}
