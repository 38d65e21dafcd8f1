//! New passwords that are taken back: whatever a server knows by then, what the home keeps opens it.

use crate::stories::{ROTATE_ONE, Story, all, set_the_stage};
use clusterdeck_domain::{Operation, OperationState, StepState};
use clusterdeck_testkit::{Fault, Kill, Lab};
use std::time::Duration;

fn stories() -> Vec<Story> {
    let all: Vec<_> = all().into_iter().filter(|s| s.name.starts_with("rotate")).collect();
    assert!(all.len() == 2 && all.iter().any(|s| s.name == ROTATE_ONE));
    all
}

async fn until_step(lab: &Lab, operation: &Operation, name: &str, state: StepState) {
    loop {
        let now = lab.engine.operation(&operation.id).await.unwrap();
        assert!(!now.state.is_final(), "{name} must be {state:?} before the end: {now:#?}");
        if now.steps.iter().any(|s| s.name == name && s.state == state) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_rotation_gives_every_server_its_old_password_back() {
    for story in stories() {
        // What has to wait, and the step that is under way then.
        for (call, step) in [("use_next_secrets", "accept"), ("arm_failover", "switch")] {
            let lab = set_the_stage(&story).await;
            lab.world.stall(call);
            let operation = lab.begin(story.change.clone()).await.unwrap();
            until_step(&lab, &operation, step, StepState::Running).await;
            // Begun, and held up in its middle.
            while !lab.world.log().iter().any(|c| c == call) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            lab.engine.cancel(&operation.id, "test").await.unwrap();
            lab.world.heal();
            lab.settle().await;
            let ended = lab.engine.operation(&operation.id).await.unwrap();
            assert_eq!(ended.state, OperationState::Cancelled, "{}: {step}", story.name);
            assert_eq!(ended.outcome.notes, Vec::<String>::new(), "{}: {step}", story.name);
            assert_eq!(lab.complaints().await, Vec::<String>::new(), "{}: {step}", story.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_killed_while_it_is_taken_back_goes_on_taking_back() {
    for story in stories() {
        let failing = |lab: &Lab| {
            // The last call before the old passwords are given up.
            lab.world.fail_at(lab.world.calls() + FAILS_AT, Fault::Rejected);
        };
        let entries = {
            let lab = set_the_stage(&story).await;
            lab.kill_at(None);
            failing(&lab);
            let operation = lab.run(story.change.clone()).await.unwrap();
            assert_eq!(operation.state, OperationState::Failed, "{}", story.name);
            let begun = operation.steps.iter().find(|s| s.name == "switch").unwrap();
            assert_eq!(begun.state, StepState::Undone, "{}: {:?}", story.name, lab.world.log());
            lab.recorded()
        };
        for entry in 1..=entries {
            let mut lab = set_the_stage(&story).await;
            failing(&lab);
            lab.kill_at(Some(Kill::After(entry)));
            lab.begin(story.change.clone()).await.unwrap();
            lab.until_killed_or_done().await;
            lab.world.heal();
            lab.restart().await;
            lab.settle().await;
            let what = format!("{}: killed after entry {entry} of {entries}", story.name);
            assert_eq!(lab.complaints().await, Vec::<String>::new(), "{what}");
        }
    }
}

/// `accept_next_secrets`, `use_next_secrets`, the endpoints, `arm_failover`.
const FAILS_AT: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_that_a_server_may_need_are_not_forgotten() {
    for story in stories() {
        let lab = set_the_stage(&story).await;
        lab.world.refuse("use_next_secrets");
        let operation = lab.run(story.change.clone()).await.unwrap();
        assert_eq!(operation.state, OperationState::Failed, "{}", story.name);
        assert!(operation.retryable, "{}: it can be taken up again", story.name);
        let kept = operation.outcome.notes.iter().any(|n| n.contains("both are kept"));
        assert!(kept, "{}: it is told: {:?}", story.name, operation.outcome.notes);
        lab.world.heal();
        lab.engine.retry(&operation.id, "test").await.unwrap();
        let again = lab.engine.wait(&operation.id).await.unwrap();
        assert_eq!(again.state, OperationState::Succeeded, "{}: {:?}", story.name, again.error);
        assert_eq!(lab.complaints().await, Vec::<String>::new(), "{}", story.name);
    }
}
