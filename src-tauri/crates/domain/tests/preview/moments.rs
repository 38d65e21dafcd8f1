//! Archiving the log beside backups, and bringing a moment back.

use crate::{backups::in_place_at, builder::*};
use clusterdeck_domain::{
    BackupId, BackupKind, Change, LogRange, MomentFacts, RestoreBackup, ScheduleWish, plan,
};
use jiff::{SignedDuration, Timestamp};

fn restore(at: Timestamp) -> Change {
    let (name, nodes, topology, provider, region, plan) = (None, None, None, None, None, None);
    let backup = BackupId::new(9).to_string();
    Change::RestoreBackup(RestoreBackup {
        backup,
        at: Some(at),
        name,
        nodes,
        topology,
        provider,
        region,
        plan,
    })
}

fn schedule(point_in_time: bool) -> Change {
    let schedule = ScheduleWish {
        when: "6h".to_owned(),
        time_zone: None,
        keep: None,
        verify: None,
        point_in_time: Some(point_in_time),
    };
    Change::SetBackupSchedule { cluster: "demo".to_owned(), vault: None, schedule: Some(schedule) }
}

fn ranges() -> Vec<LogRange> {
    let ago = |minutes| now() - SignedDuration::from_mins(minutes);
    vec![LogRange { from: ago(180), to: ago(120) }, LogRange { from: ago(60), to: ago(1) }]
}

fn reached(log_bytes: u64) -> MomentFacts {
    MomentFacts { ranges: ranges(), reached: true, whole_seconds: false, pieces: 3, log_bytes }
}

#[test]
fn a_moment_that_can_be_brought_back_says_what_is_replayed_and_what_is_there_then() {
    let at = now() - SignedDuration::from_mins(30);
    let preview =
        three().with_backup(|_| {}).set(|s| s.moment = Some(reached(48 << 20))).preview(&restore(at));
    blocked(&preview, &[]);
    assert_eq!(preview.title, "Restore demo-restored as demo was at 2026-11-22 11:30:00 UTC");
    let said = preview.effects.join("\n");
    assert!(said.contains("3 pieces of its log, 48 MiB, are replayed on it."), "{said}");
    assert!(said.contains("What was committed by 2026-11-22 11:30:00 UTC is there"), "{said}");
    let disk = plan(&three().spec.plan).unwrap().disk_bytes;
    let large = three().with_backup(|_| {}).set(|s| s.moment = Some(reached(disk))).preview(&restore(at));
    assert!(codes(&large.blockers).contains(&"plan-too-small"), "the log takes room too: {large:#?}");
}

#[test]
fn a_moment_takes_the_place_of_what_the_cluster_holds_like_a_backup_does() {
    let at = now() - SignedDuration::from_mins(30);
    let asked = |moment: MomentFacts, discard_present: bool| {
        let cluster = three().with_backup(|_| {}).set(|s| s.moment = Some(moment));
        cluster.preview(&in_place_at(Some(at), discard_present))
    };
    let preview = asked(reached(48 << 20), false);
    blocked(&preview, &[]);
    assert_eq!(preview.title, "Restore demo in place as it was at 2026-11-22 11:30:00 UTC");
    assert_eq!((preview.confirm.as_deref(), preview.destructive), (Some("demo"), true));
    let said = preview.effects.join("\n");
    for part in [
        "What demo holds now is backed up first",
        "demo-1: it gets what there was at 2026-11-22 11:30:00 UTC.",
        "3 pieces of its log, 48 MiB, are replayed on it.",
        "Names, addresses, passwords, settings and schedules stay as they are.",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("counted") && !said.contains("new ones"), "nobody counted it then: {said}");
    let disk = plan(&three().spec.plan).unwrap().disk_bytes;
    assert!(
        codes(&asked(reached(disk), false).blockers).contains(&"disk-too-small"),
        "the log takes room too"
    );
    let outside = MomentFacts { ranges: ranges(), ..MomentFacts::default() };
    blocked(&asked(outside, false), &["moment-out-of-range"]);
    // The way out brings back the same moment.
    let down = three().dead(1).dead(2).dead(3).with_backup(|_| {}).set(|s| s.moment = Some(reached(1)));
    let refused = down.preview(&in_place_at(Some(at), false));
    assert_eq!(*way_out(blocker(&refused, "no-safety-backup")), in_place_at(Some(at), true));
}

#[test]
fn a_moment_out_of_range_is_refused_with_the_range_in_words() {
    let refused =
        |moment| three().with_backup(|_| {}).set(|s| s.moment = Some(moment)).preview(&restore(now()));
    let outside = refused(MomentFacts { ranges: ranges(), ..MomentFacts::default() });
    let finding = blocker(&outside, "moment-out-of-range");
    assert_eq!(
        finding.text,
        "demo cannot be brought back to 2026-11-22 12:00:00 UTC: it can to 2026-11-22 09:00:00 UTC to 2026-11-22 10:00:00 UTC and \
         2026-11-22 11:00:00 UTC to 2026-11-22 11:59:00 UTC."
    );
    let none = refused(MomentFacts::default());
    assert!(blocker(&none, "moment-out-of-range").text.contains("none of its log is archived"));
    let half = MomentFacts { whole_seconds: true, ..reached(0) };
    let at = now() + SignedDuration::from_millis(500);
    let half = three().with_backup(|_| {}).set(|s| s.moment = Some(half)).preview(&restore(at));
    blocker(&half, "moment-not-whole");
}

#[test]
fn the_log_is_archived_where_there_is_one_and_into_one_vault_that_takes_pieces() {
    let on = three().preview(&schedule(true));
    blocked(&on, &[]);
    assert!(on.effects.iter().any(|e| e.contains("at most a minute behind")), "{on:#?}");
    assert!(!three().preview(&schedule(false)).effects.iter().any(|e| e.contains("minute behind")));
    let without = three().set(|s| s.no_log = Some("its servers keep none")).preview(&schedule(true));
    assert!(blocker(&without, "no-log").text.ends_with("its servers keep none."));
    let borg = three().set(|s| s.vault.as_mut().unwrap().kind = BackupKind::Borg).preview(&schedule(true));
    blocker(&borg, "log-vault");
}
