//! Fail each call, run each step twice, kill and resume after each journal entry.

use crate::stories::{Story, all, set_the_stage};
use clusterdeck_domain::{Operation, OperationState};
use clusterdeck_testkit::{Fault, Kill, Lab};

/// Past the point of no return an operation may end as failed in the middle; taken up again it must end well.
async fn ends_well(story: &Story, lab: &Lab, operation: &Operation, what: &str) {
    if operation.retryable {
        lab.engine
            .retry(&operation.id, "test")
            .await
            .unwrap_or_else(|e| panic!("{}: {what}: {e}", story.name));
        let again = lab.engine.wait(&operation.id).await.unwrap();
        assert_eq!(
            again.state,
            OperationState::Succeeded,
            "{}: {what}: taken up again: {:?}",
            story.name,
            again.error
        );
    }
    assert_eq!(lab.complaints().await, Vec::<String>::new(), "{}: {what}", story.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_succeeds_and_leaves_all_in_order() {
    for story in all() {
        let lab = set_the_stage(&story).await;
        let operation = lab.run(story.change.clone()).await.unwrap_or_else(|e| panic!("{}: {e}", story.name));
        assert_eq!(operation.state, OperationState::Succeeded, "{}: {:?}", story.name, operation.error);
        assert_eq!(lab.complaints().await, Vec::<String>::new(), "{}", story.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_fails_at_any_call_is_taken_back() {
    for story in all() {
        let calls = {
            let lab = set_the_stage(&story).await;
            let before = lab.world.calls();
            lab.run(story.change.clone()).await.unwrap();
            lab.world.calls() - before
        };
        for call in 1..=calls {
            let lab = set_the_stage(&story).await;
            let at = lab.world.calls() + call;
            lab.world.fail_at(at, Fault::Rejected);
            let operation =
                lab.run(story.change.clone()).await.unwrap_or_else(|e| panic!("{}: {e}", story.name));
            lab.world.heal();
            let what = format!("call {call} of {calls} ({:?}) failed", lab.world.log().get(at as usize - 1));
            assert!(operation.state.is_final(), "{}: {what}: it must end", story.name);
            ends_well(&story, &lab, &operation, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_gets_over_a_hiccup_at_any_call() {
    for story in all() {
        let calls = {
            let lab = set_the_stage(&story).await;
            let before = lab.world.calls();
            lab.run(story.change.clone()).await.unwrap();
            lab.world.calls() - before
        };
        for call in 1..=calls {
            let lab = set_the_stage(&story).await;
            lab.world.fail_at(lab.world.calls() + call, Fault::Transient);
            let operation =
                lab.run(story.change.clone()).await.unwrap_or_else(|e| panic!("{}: {e}", story.name));
            assert_eq!(
                operation.state,
                OperationState::Succeeded,
                "{}: hiccup at {call}: {:?}",
                story.name,
                operation.error
            );
            assert_eq!(lab.complaints().await, Vec::<String>::new(), "{}: hiccup at call {call}", story.name);
        }
    }
}

/// `Before` an entry that tells of a step's success means that the step ran and is run again: each step twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_killed_at_any_journal_entry_goes_on_where_it_was() {
    for story in all() {
        let entries = {
            let lab = set_the_stage(&story).await;
            lab.kill_at(None);
            lab.run(story.change.clone()).await.unwrap();
            lab.recorded()
        };
        for entry in 1..=entries {
            for kill in [Kill::Before(entry), Kill::After(entry)] {
                let mut lab = set_the_stage(&story).await;
                lab.kill_at(Some(kill));
                let operation =
                    lab.begin(story.change.clone()).await.unwrap_or_else(|e| panic!("{}: {e}", story.name));
                lab.until_killed_or_done().await;
                lab.restart().await;
                lab.settle().await;
                let ended = lab.engine.operation(&operation.id).await.unwrap();
                let what = format!("killed {kill:?} of {entries}");
                assert_eq!(
                    ended.state,
                    OperationState::Succeeded,
                    "{}: {what}: {:?}",
                    story.name,
                    ended.error
                );
                assert_eq!(lab.complaints().await, Vec::<String>::new(), "{}: {what}", story.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_killed_while_taking_back_goes_on_taking_back() {
    for story in
        all().into_iter().filter(|s| ["create", "add", "resize"].iter().any(|n| s.name.starts_with(n)))
    {
        // Fail the last call of the way forward, then kill at each entry of the way back.
        let (calls, entries) = {
            let lab = set_the_stage(&story).await;
            let before = lab.world.calls();
            lab.run(story.change.clone()).await.unwrap();
            let calls = lab.world.calls() - before;
            let lab = set_the_stage(&story).await;
            lab.kill_at(None);
            lab.world.fail_at(lab.world.calls() + calls, Fault::Rejected);
            lab.run(story.change.clone()).await.unwrap();
            (calls, lab.recorded())
        };
        for entry in 1..=entries {
            let mut lab = set_the_stage(&story).await;
            lab.world.fail_at(lab.world.calls() + calls, Fault::Rejected);
            lab.kill_at(Some(Kill::After(entry)));
            lab.begin(story.change.clone()).await.unwrap();
            lab.until_killed_or_done().await;
            lab.world.heal();
            lab.restart().await;
            lab.settle().await;
            assert_eq!(
                lab.complaints().await,
                Vec::<String>::new(),
                "{}: killed after entry {entry}",
                story.name
            );
        }
    }
}
