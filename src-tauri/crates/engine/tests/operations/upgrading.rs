//! What upgrading promises beyond ending well: whoever leads is never stopped before somebody else does, no node goes back,
//! and asking again goes on where it stopped.

use crate::stories::{Story, all, set_the_stage, upgrade};
use clusterdeck_domain::{NodeId, OperationState};
use clusterdeck_engine::EngineError;
use clusterdeck_testkit::{Fault, Kill, Lab};

const NEW: &str = "7.2.4";

fn stories() -> impl Iterator<Item = Story> {
    all().into_iter().filter(|s| s.name.starts_with("upgrade"))
}

fn three() -> Story {
    stories().find(|s| s.name == "upgrade three").expect("the story of three")
}

async fn row(lab: &Lab) -> String {
    lab.engine.clusters().await.remove(0).spec.version
}

#[tokio::test]
async fn every_node_runs_the_new_version_each_machine_is_renewed_once_and_the_outcome_says_so() {
    let lab = set_the_stage(&three()).await;
    let done = lab.run(upgrade()).await.unwrap();
    assert_eq!(lab.world.versions(), [NEW.to_owned()].into());
    assert_eq!(row(&lab).await, NEW);
    assert_eq!(lab.world.log().iter().filter(|call| *call == "renew_machine").count(), 3);
    assert_eq!(done.outcome.notes.iter().filter(|note| note.ends_with(NEW)).count(), 3, "{:?}", done.outcome);
    let Err(EngineError::Blocked { blockers }) = lab.run(upgrade()).await else {
        panic!("nothing is left to do")
    };
    assert_eq!(blockers[0].code, "same-version");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_is_not_stopped_whichever_call_fails_and_what_is_done_stays() {
    for story in stories() {
        let calls = {
            let lab = set_the_stage(&story).await;
            let before = lab.world.calls();
            lab.run(story.change.clone()).await.unwrap();
            lab.world.calls() - before
        };
        for call in 1..=calls {
            let lab = set_the_stage(&story).await;
            lab.world.fail_at(lab.world.calls() + call, Fault::Rejected);
            let operation = lab.run(story.change.clone()).await.unwrap();
            lab.world.heal();
            let what = format!("{}: call {call} of {calls} failed", story.name);
            assert_eq!(lab.world.beheaded(), Vec::<NodeId>::new(), "{what}");
            if operation.state == OperationState::Failed {
                let begun = lab.world.log().iter().any(|call| call == "renew_machine");
                assert!(operation.retryable || !begun, "{what}: nothing that was renewed is taken back");
                assert_eq!(
                    row(&lab).await == NEW,
                    operation.retryable,
                    "{what}: the row says what starts next"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_at_any_moment_changes_who_comes_last_and_nothing_else() {
    let story = three();
    let entries = {
        let lab = set_the_stage(&story).await;
        lab.kill_at(None);
        lab.run(story.change.clone()).await.unwrap();
        lab.recorded()
    };
    for entry in 1..entries {
        let mut lab = set_the_stage(&story).await;
        lab.kill_at(Some(Kill::After(entry)));
        let operation = lab.begin(story.change.clone()).await.unwrap();
        lab.until_killed_or_done().await;
        lab.world.fail_over();
        lab.restart().await;
        lab.settle().await;
        let ended = lab.engine.operation(&operation.id).await.unwrap();
        assert_eq!(ended.state, OperationState::Succeeded, "after entry {entry}: {:?}", ended.error);
        assert_eq!(lab.complaints().await, Vec::<String>::new(), "after entry {entry}");
        assert_eq!(lab.world.beheaded(), Vec::<NodeId>::new(), "after entry {entry}");
    }
}

#[tokio::test]
async fn a_refused_hand_over_is_asked_for_again_and_never_leaves_voters_that_do_not_watch() {
    let lab = set_the_stage(&three()).await;
    lab.world.refuse("hand_over");
    let refused = lab.run(upgrade()).await.unwrap();
    assert_eq!(refused.state, OperationState::Failed);
    let asked = lab.world.log().iter().filter(|call| *call == "hand_over").count();
    assert_eq!(asked, 4, "a refusal may be a matter of a moment");
    // What is done stays done; beyond that, the voters watch and everybody serves.
    let wrong = lab.complaints().await;
    assert!(matches!(&wrong[..], [one] if one.contains("half upgraded")), "{wrong:?}");
    assert_eq!(lab.world.beheaded(), Vec::<NodeId>::new());

    lab.world.heal();
    lab.run(upgrade()).await.unwrap();
    assert_eq!(lab.world.versions(), [NEW.to_owned()].into());
}
