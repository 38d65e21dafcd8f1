//! A clock that is set, or a computer that was away: nothing goes before anybody could have it, and nothing that is made is lost.

use crate::stories::{Story, back_up, create, delete, restore, set_the_stage};
use clusterdeck_domain::{Backup, BackupReason, OperationState, Topology};
use clusterdeck_engine::repository::Page;
use clusterdeck_testkit::Lab;
use jiff::SignedDuration;
use std::{collections::BTreeSet, time::Duration};

async fn one_node() -> Lab {
    let before = vec![create(Topology::Single, 1, 0)];
    let lab = set_the_stage(&Story { name: "clocks", before, change: back_up() }).await;
    lab.world.write(4711);
    lab
}

/// The newest first, by the clock of when each was begun.
async fn backups(lab: &Lab) -> Vec<Backup> {
    lab.engine.backups(None).await
}

/// Until this is so: what expires is taken away at the start of the engine, a schedule is looked at every few seconds.
async fn until(lab: &Lab, what: &str, so: impl AsyncFn(&[Backup]) -> bool) {
    for _ in 0..800 {
        if so(&backups(lab).await).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: {:#?}", backups(lab).await);
}

/// Long enough for what an engine does when it starts.
async fn settled() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn what_ends_while_nobody_is_there_stays_a_day_longer_and_then_goes() {
    let mut lab = one_node().await;
    lab.run(delete()).await.unwrap();
    // Three weeks away, or a clock that is three weeks wrong.
    lab.clock.advance(SignedDuration::from_hours(21 * 24));
    lab.restart().await;
    until(&lab, "it is given a day", async |all| all[0].reprieved).await;
    let last = backups(&lab).await.remove(0);
    let left = last.expires_at.unwrap().duration_since(last.created_at).as_hours();
    assert!((22 * 24 - 1..=22 * 24).contains(&left), "{left} hours after it was made");
    for hours in [20, 3] {
        lab.clock.advance(SignedDuration::from_hours(hours));
        lab.restart().await;
        settled().await;
        assert_eq!(backups(&lab).await, std::slice::from_ref(&last), "only once, and until then it is there");
    }
    let restored = lab.run(restore()).await.unwrap();
    assert_eq!(restored.state, OperationState::Succeeded, "{:?}", restored.error);
    assert_eq!(lab.world.written(), BTreeSet::from([4711]));
    lab.clock.advance(SignedDuration::from_hours(2));
    lab.restart().await;
    until(&lab, "then it goes", async |all| all.is_empty()).await;
    until(&lab, "out of its vault too", async |_| lab.world.kept().is_empty()).await;
    let page = Page { limit: 50, ..Page::default() };
    let (trail, _) = lab.engine.audit(&page).await.unwrap();
    assert!(trail.iter().any(|line| line.action == "expire-backup"), "and somebody can see that: {trail:#?}");
}

#[tokio::test]
async fn backups_made_after_the_clock_was_set_back_stay_beside_those_of_a_time_to_come() {
    let mut lab = one_node().await;
    let schedule = serde_json::json!({
        "kind": "set-backup-schedule", "cluster": "demo", "schedule": {"when": "5m", "keep": {"last": 1}}
    });
    lab.run(serde_json::from_value(schedule).unwrap()).await.unwrap();
    let scheduled = |all: &[Backup]| {
        all.iter().filter(|b| b.reason == BackupReason::Scheduled && b.usable()).cloned().collect::<Vec<_>>()
    };
    until(&lab, "the first", async |all| scheduled(all).len() == 1).await;
    let ahead = scheduled(&backups(&lab).await).remove(0);
    lab.clock.advance(SignedDuration::from_hours(-72));
    until(&lab, "there is one of now, not in three days", async |all| scheduled(all).len() == 2).await;
    lab.restart().await;
    settled().await;
    let both = scheduled(&backups(&lab).await);
    assert_eq!(both.len(), 2, "the new one was not taken away as the older of two: {both:#?}");
    assert_eq!(both[0], ahead);
    lab.clock.advance(SignedDuration::from_hours(73));
    until(&lab, "and again one of now", async |all| scheduled(all).first() != Some(&ahead)).await;
    lab.restart().await;
    until(&lab, "the last is kept, as the schedule says", async |all| scheduled(all).len() == 1).await;
}
