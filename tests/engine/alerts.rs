//! A night in which the disk with the backups is not mounted: somebody is told once, nothing is lost, and it is over by itself.

use crate::home::Home;
use clusterdeck_domain::{
    AlertKind, Backup, BackupReason, BackupState, Change, ServiceKind, Topology, VaultPlace, VaultSpec,
};
use clusterdeck_engine::EventKind;
use jiff::SignedDuration;
use std::{collections::BTreeSet, fs, time::Duration};

impl Home {
    /// The scheduled backup that is none of these, once it has come to an end.
    async fn next_backup(&self, known: &mut BTreeSet<String>) -> Backup {
        let looked = async {
            loop {
                let all = self.engine.backups(Some("demo")).await;
                let new = all.into_iter().find(|b| {
                    let ended = !matches!(b.state, BackupState::Making | BackupState::Stored);
                    ended && b.reason == BackupReason::Scheduled && !known.contains(b.id.as_str())
                });
                if let Some(new) = new {
                    break new;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let new = tokio::time::timeout(Duration::from_secs(60), looked).await.expect("a scheduled backup");
        known.insert(new.id.to_string());
        new
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_is_away_for_a_night_is_told_once_and_is_over_with_the_first_backup_that_reaches_it() {
    let home = Home::open().await;
    home.create(ServiceKind::Redis, Topology::Single, 1, 0).await;
    let (nas, away) = (home.dir.path().join("nas"), home.dir.path().join("unmounted"));
    let place = VaultPlace::Local { path: nas.display().to_string() };
    let spec = VaultSpec { id: "nas".to_owned(), place };
    let trial = home.engine.try_vault(spec.clone(), None).await.unwrap();
    assert!(!trial.there && !nas.exists(), "a trial makes nothing: {trial:?}");
    home.engine.add_vault(spec.clone(), None, "test").await.unwrap();
    assert!(home.engine.try_vault(spec, None).await.unwrap().there);
    let schedule = serde_json::json!({
        "kind": "set-backup-schedule", "cluster": "demo", "vault": "nas",
        "schedule": {"when": "6h", "keep": {"last": 7}}
    });
    home.done(serde_json::from_value(schedule).unwrap()).await;
    let mut known = BTreeSet::new();
    let first = home.next_backup(&mut known).await;
    assert_eq!(first.state, BackupState::Verified, "{first:#?}");
    let piece = nas.join(first.id.as_str()).join("data.zst.age");
    let before = fs::read(&piece).unwrap();

    // What is mounted there goes, and leaves the empty folder.
    let (_, mut events) = home.engine.events().listen(None);
    fs::rename(&nas, &away).unwrap();
    fs::create_dir(&nas).unwrap();
    for attempt in 1..=3 {
        home.clock.advance(SignedDuration::from_hours(6) + SignedDuration::from_mins(10));
        let failed = home.next_backup(&mut known).await;
        let error = failed.error.as_ref().expect("why");
        assert_eq!((failed.state, error.code.as_str()), (BackupState::Failed, "vault-unreachable"));
        assert!(error.title.ends_with("is not there, or it is not this vault"), "{error:?}");
        assert_eq!(error.detail, "", "nothing is said twice");
        let alerts = home.engine.alerts().await;
        let told: Vec<_> = alerts.iter().map(|a| (a.kind, a.times, a.open())).collect();
        assert_eq!(told, [(AlertKind::VaultUnreachable, attempt, true)], "one alert");
    }
    assert_eq!(fs::read_dir(&nas).unwrap().count(), 0, "nothing was put into the empty folder");
    let facts = home.engine.check_vault("nas").await.unwrap();
    assert_eq!(facts.hint, "mount the disk it is on, then try again");

    fs::remove_dir(&nas).unwrap();
    fs::rename(&away, &nas).unwrap();
    home.clock.advance(SignedDuration::from_hours(6) + SignedDuration::from_mins(10));
    let good = home.next_backup(&mut known).await;
    assert_eq!(good.state, BackupState::Verified, "{good:#?}");
    let alerts = home.engine.alerts().await;
    assert!(alerts.len() == 1 && !alerts[0].open(), "over by itself: {alerts:#?}");
    let mut raised = 0;
    while let Ok(event) = events.try_recv() {
        raised += usize::from(event.kind == EventKind::AlertRaised);
    }
    assert_eq!(raised, 1, "whoever was away is told once");

    assert!(fs::read(&piece).unwrap() == before, "the backup before that night is as it was");
    home.done(Change::VerifyBackup { backup: first.id.to_string() }).await;
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    home.engine.remove_vault("nas", "test").await.unwrap();
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
