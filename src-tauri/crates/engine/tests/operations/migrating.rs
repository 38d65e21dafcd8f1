//! Bringing data in: what the source refuses is refused before anything begins, the way into it is kept where secrets are and only as
//! long as it lasts, and one that follows ends when somebody says so.

use crate::stories::{create, migrate};
use clusterdeck_domain::{Change, OperationState, Topology};
use clusterdeck_testkit::Lab;

fn cut_over() -> Change {
    Change::CutOver { cluster: "demo".to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_follows_ends_when_it_is_cut_over_also_after_a_kill_and_leaves_no_secret() {
    let mut lab = Lab::new().await;
    lab.run(create(Topology::PrimaryReplica, 3, 0)).await.unwrap();
    let refused = lab.engine.preview(migrate("wrong", false)).await.unwrap().preview;
    assert_eq!(refused.blockers.iter().map(|b| b.code.as_str()).collect::<Vec<_>>(), ["credentials"]);
    let none = lab.engine.preview(cut_over()).await.unwrap().preview;
    assert_eq!(none.blockers.iter().map(|b| b.code.as_str()).collect::<Vec<_>>(), ["no-migration"]);

    let operation = lab.begin(migrate("secret", true)).await.unwrap();
    assert!(!format!("{operation:?}").contains("secret@"), "{operation:?}");
    until_it_follows(&lab).await;
    lab.restart().await;
    until_it_follows(&lab).await;
    let told = lab.run(cut_over()).await.unwrap();
    assert_eq!(told.outcome.write_gap_ms, Some(1.0), "{told:?}");
    let ended = lab.engine.wait(&operation.id).await.unwrap();
    assert_eq!(ended.state, OperationState::Succeeded, "{:?}", ended.error);
    let log = lab.engine.journal(&operation.id).await.unwrap();
    assert!(log.iter().any(|line| line.text.as_deref() == Some("the fake data came in")), "{log:?}");
    assert_eq!(lab.complaints().await, Vec::<String>::new(), "no secret is left");
}

/// Cutting over is allowed then.
async fn until_it_follows(lab: &Lab) {
    for _ in 0..500 {
        if lab.engine.preview(cut_over()).await.unwrap().preview.blockers.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it must follow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_migration_is_taken_back() {
    let lab = Lab::new().await;
    lab.run(create(Topology::PrimaryReplica, 3, 0)).await.unwrap();
    let operation = lab.begin(migrate("secret", true)).await.unwrap();
    until_it_follows(&lab).await;
    lab.engine.cancel(&operation.id, "test").await.unwrap();
    let ended = lab.engine.wait(&operation.id).await.unwrap();
    assert_eq!(ended.state, OperationState::Cancelled);
    assert!(lab.world.log().iter().any(|call| call == "take_out"), "what came in is taken away");
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}
