//! Archiving the log of a cluster, and bringing a moment back with it.

use super::rules::words;
use super::{Facts, Finding, MomentFacts, Preview, Subject, VaultFacts};
use crate::{Backup, BackupKind, BackupSchedule, LogRange};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// `2026-11-29 12:00:00 UTC`, with as much of the second as was asked for.
pub(super) fn utc(at: Timestamp) -> String {
    at.to_string().replace('T', " ").replace('Z', " UTC")
}

/// The same, rounded so that what is said is within what is meant.
fn whole(at: Timestamp, mode: RoundMode) -> String {
    utc(at.round(TimestampRound::new().smallest(Unit::Second).mode(mode)).unwrap_or(at))
}

/// Why the log does not lead to a moment.
pub(super) fn out_of_reach(at: Timestamp, backup: &Backup, facts: &Facts<'_>) -> Option<Finding> {
    if facts.moment.is_some_and(|moment| moment.whole_seconds) && at.subsec_nanosecond() != 0 {
        let text = format!("The log of {} knows whole seconds, and {} is none.", backup.cluster, utc(at));
        return Some(
            Finding::new("moment-not-whole", text).at("/at").hint("Leave out the part of a second."),
        );
    }
    if facts.moment.is_some_and(|moment| moment.reached) {
        return None;
    }
    let ranges = facts.moment.map_or(&[][..], |moment| &moment.ranges);
    let between =
        |r: &LogRange| format!("{} to {}", whole(r.from, RoundMode::Ceil), whole(r.to, RoundMode::Floor));
    let said: Vec<String> = ranges.iter().map(between).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let name = &backup.cluster;
    let finding = if ranges.is_empty() {
        Finding::new(
            "moment-out-of-range",
            format!("{name} cannot be brought back to a moment: none of its log is archived behind a backup."),
        )
        .hint("Leave the moment out to restore what a backup holds; with `--point-in-time` its schedule archives the log too.")
    } else {
        let text = format!("{name} cannot be brought back to {}: it can to {}.", utc(at), words::list(&said));
        let hole = ranges.len() > 1;
        let hint =
            if hole { "Choose a moment outside of the holes." } else { "Choose a moment between these." };
        Finding::new("moment-out-of-range", text).hint(hint)
    };
    Some(finding.at("/at"))
}

/// The log that is replayed lies beside the data, so many bytes.
pub(super) fn log_bytes(facts: &Facts<'_>) -> u64 {
    facts.moment.map_or(0, |moment| moment.log_bytes)
}

/// What bringing back a moment does.
pub(super) fn replayed(at: Timestamp, backup: &Backup, moment: &MomentFacts, preview: &mut Preview) {
    let pieces = match moment.pieces {
        0 => "nothing was written since".to_owned(),
        n => format!(
            "{} of its log, {}, are replayed on it",
            words::count(n, "piece"),
            words::bytes(moment.log_bytes)
        ),
    };
    preview.effect(format!(
        "It begins with the backup from {}, {}; {pieces}.",
        whole(backup.created_at, RoundMode::Floor),
        words::bytes(backup.data_bytes)
    ));
    preview.effect(match moment.whole_seconds {
        true => format!(
            "What was begun before {} and committed is there, by the servers' clock, and nothing that was begun later.",
            utc(at)
        ),
        false => format!(
            "What was committed by {} is there, by the servers' clock, and nothing after it.",
            utc(at)
        ),
    });
}

/// Archiving the log beside the backups.
pub(super) fn archived(
    subject: &Subject<'_>,
    vault: &VaultFacts,
    before: Option<&BackupSchedule>,
    facts: &Facts<'_>,
    preview: &mut Preview,
) {
    let name = &subject.spec.name;
    let block = |code: &str, text: String| Finding::new(code, text).at("/schedule/point_in_time");
    if let Some(why) = facts.no_log {
        preview.block(block("no-log", format!("The log of {name} cannot be archived: {why}.")));
    }
    if vault.kind == BackupKind::Borg {
        let text = format!(
            "The vault {} is a Borg repository, which takes an archive for each piece and one at a time: the log, a piece each \
             half a minute, does not go there.",
            vault.id
        );
        preview.block(block("log-vault", text).hint("Archive the log into a folder or an S3 store."));
    }
    let other = subject.spec.log_schedule().filter(|schedule| schedule.vault != vault.id);
    if let Some(other) = other {
        let text = format!("The log of {name} is archived into the vault {} already.", other.vault);
        preview.block(block("log-archived", text).hint("It goes to one vault: stop it there first."));
    }
    if before.is_none_or(|before| !before.point_in_time) {
        preview.effect(
            "Its log is archived into the same vault, at most a minute behind: it can be brought back to any second, from the \
             next backup on.",
        );
        preview.effect(
            "While Clusterdeck is closed or the vault is away, each node keeps its log, up to a tenth of its disk; beyond that \
             writes go on, and the log has a hole until the next backup.",
        );
    }
}
