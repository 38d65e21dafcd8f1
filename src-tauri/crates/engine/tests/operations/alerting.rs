//! What is told of backups that nobody watches: one alert for each problem, and its end.

use crate::stories::{Story, back_up, create, set_the_stage};
use clusterdeck_domain::{Alert, AlertKind, Backup, BackupState, Change, OperationState, Topology};
use clusterdeck_engine::{Event, EventKind};
use clusterdeck_testkit::Lab;
use jiff::SignedDuration;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;

async fn one_node() -> Lab {
    let before = vec![create(Topology::Single, 1, 0)];
    let lab = set_the_stage(&Story { name: "alerts", before, change: back_up() }).await;
    lab.world.write(4711);
    lab
}

fn verify() -> Change {
    Change::VerifyBackup { backup: "newest".to_owned() }
}

async fn newest(lab: &Lab) -> Backup {
    lab.engine.backups(None).await.into_iter().next().expect("a backup")
}

/// Open ones: what is wrong, and how often it was met.
async fn open(lab: &Lab) -> Vec<(AlertKind, u32)> {
    let all = lab.engine.alerts().await;
    all.iter().filter(|alert| alert.open()).map(|alert| (alert.kind, alert.times)).collect()
}

/// How often somebody was told since `events`.
fn told(events: &mut Receiver<Event>) -> usize {
    let mut count = 0;
    while let Ok(event) = events.try_recv() {
        count += usize::from(event.kind == EventKind::AlertRaised);
    }
    count
}

/// Until this is so; a schedule is looked at every few seconds.
async fn until(lab: &Lab, what: &str, so: impl AsyncFn(&Lab) -> bool) {
    for _ in 0..800 {
        if so(lab).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: {:#?} {:#?}", lab.engine.alerts().await, lab.engine.backups(None).await);
}

#[tokio::test]
async fn a_full_vault_is_one_alert_until_a_backup_fits_and_a_restart_forgets_nothing() {
    let mut lab = one_node().await;
    lab.run(back_up()).await.unwrap();
    let good = newest(&lab).await;
    let (_, mut events) = lab.engine.events().listen(None);
    lab.world.fill_the_vault();
    for times in 1..=3 {
        let failed = lab.run(back_up()).await.unwrap();
        assert_eq!(failed.error.map(|e| e.code).as_deref(), Some("vault-full"), "told apart");
        assert_eq!(open(&lab).await, [(AlertKind::VaultFull, times)]);
    }
    assert_eq!(told(&mut events), 1);
    lab.restart().await;
    let kept: Alert = lab.engine.alerts().await.remove(0);
    assert_eq!((kept.open(), kept.times, kept.title.as_str()), (true, 3, "The vault local is full"));
    assert_eq!(lab.engine.backup(good.id.as_str()).await.unwrap(), good, "the one before is as it was");
    lab.world.heal();
    lab.run(back_up()).await.unwrap();
    let over = lab.engine.alerts().await;
    assert_eq!((over.len(), over[0].open()), (1, false));
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_vault_that_goes_away_in_the_middle_leaves_a_failure_and_later_nothing_in_the_vault() {
    let lab = one_node().await;
    lab.world.stall("vault_note");
    let under_way = lab.begin(back_up()).await.unwrap();
    until(&lab, "its data got there", async |lab| !lab.world.kept().is_empty()).await;
    lab.world.plug_the_vault(false);
    let failed = lab.engine.wait(&under_way.id).await.unwrap();
    assert_eq!(
        (failed.state, failed.error.unwrap().code.as_str()),
        (OperationState::Failed, "vault-unreachable")
    );
    let row = newest(&lab).await;
    assert_eq!((row.state, row.leftover), (BackupState::Failed, true), "nobody takes it for one");
    assert_eq!(open(&lab).await, [(AlertKind::VaultUnreachable, 1)]);
    lab.world.heal();
    lab.world.plug_the_vault(true);
    assert!(lab.engine.check_vault("local").await.unwrap().problem.is_none());
    assert_eq!(open(&lab).await, [], "it answers");
    until(&lab, "what was left goes", async |lab| lab.world.kept().is_empty()).await;
    until(&lab, "and is forgotten", async |lab| !newest(lab).await.leftover).await;
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_backup_is_told_until_it_is_taken_away_and_an_untried_one_until_it_was_tried() {
    let lab = one_node().await;
    lab.world.refuse("ensure_machine");
    lab.run(back_up()).await.unwrap();
    assert_eq!(open(&lab).await, [(AlertKind::BackupUntried, 1)]);
    let why = newest(&lab).await.error.unwrap().title;
    assert!(why.contains("ensure_machine"), "{why}");
    lab.world.heal();
    lab.run(verify()).await.unwrap();
    assert_eq!(open(&lab).await, []);
    lab.world.damage_the_vault();
    for _ in 0..2 {
        lab.run(verify()).await.unwrap();
        assert_eq!(open(&lab).await, [(AlertKind::BackupDamaged, 1)], "the same backup is the same problem");
    }
    lab.run(Change::DeleteBackup { backup: newest(&lab).await.id.to_string() }).await.unwrap();
    assert_eq!(open(&lab).await, []);
    let all = lab.engine.alerts().await;
    assert!(all.len() == 2 && all.iter().all(|alert| !alert.open()), "what was is remembered: {all:#?}");
}

#[tokio::test]
async fn a_schedule_tells_once_what_it_waits_for_and_once_why_it_was_refused() {
    let lab = one_node().await;
    lab.world.stall("vault_put");
    let holds = lab.begin(back_up()).await.unwrap();
    let schedule =
        serde_json::json!({"kind": "set-backup-schedule", "cluster": "demo", "schedule": {"when": "5m"}});
    lab.run(serde_json::from_value(schedule).unwrap()).await.unwrap();
    let (_, mut events) = lab.engine.events().listen(None);
    // The schedule is looked at every 5 s, from 15 s after the start on.
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(open(&lab).await, [], "it has not waited for long");
    lab.clock.advance(SignedDuration::from_mins(6));
    until(&lab, "it waits", async |lab| open(lab).await == [(AlertKind::ScheduleWaiting, 1)]).await;
    lab.engine.cancel(&holds.id, "test").await.unwrap();
    lab.engine.wait(&holds.id).await.unwrap();
    lab.world.heal();
    lab.world.plug_the_vault(false);
    until(&lab, "it was refused", async |lab| open(lab).await == [(AlertKind::VaultUnreachable, 1)]).await;
    let problem = newest(&lab).await.error.unwrap();
    assert_eq!(problem.code, "vault-unreachable");
    assert_eq!(problem.title, "The vault local cannot be used: the vault is not there");
    assert_eq!((problem.detail.as_str(), problem.hint.as_str()), ("", "Mount it"), "nothing is said twice");
    assert_eq!(told(&mut events), 2, "each once");
}
