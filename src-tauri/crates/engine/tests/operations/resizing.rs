//! What resizing promises beyond ending well: whoever leads is never stopped before somebody else does.

use crate::stories::{Story, all, resize, set_the_stage};
use clusterdeck_domain::{NodeId, OperationState, PlanId};
use clusterdeck_engine::EngineError;
use clusterdeck_testkit::{Fault, Kill, Lab};

fn stories() -> impl Iterator<Item = Story> {
    all().into_iter().filter(|s| s.name.starts_with("resize"))
}

fn three() -> Story {
    stories().find(|s| s.name == "resize three").expect("the story of three")
}

async fn plans(lab: &Lab) -> Vec<String> {
    let cluster = lab.engine.clusters().await.remove(0).spec;
    let nodes = cluster.data_nodes().map(|n| n.plan.to_string());
    nodes.chain([cluster.plan.to_string()]).collect()
}

#[tokio::test]
async fn every_node_and_the_cluster_have_the_new_size_and_nodes_added_later_too() {
    let lab = set_the_stage(&three()).await;
    let before = lab.engine.clusters().await.remove(0).spec;
    lab.run(resize("NANO-1C-256M")).await.unwrap();
    assert_eq!(plans(&lab).await, ["NANO-1C-256M"; 4]);
    let add = clusterdeck_domain::Change::AddNode { cluster: "demo".to_owned(), count: Some(1), plan: None };
    lab.run(add).await.unwrap();
    assert_eq!(plans(&lab).await, ["NANO-1C-256M"; 5]);
    let order: Vec<String> =
        lab.world.log().iter().filter(|call| call.as_str() == "resize_machine").cloned().collect();
    assert_eq!(order.len(), before.data_nodes().count(), "each machine once: {order:?}");
}

#[tokio::test]
async fn the_size_it_has_is_refused_and_so_is_one_that_nobody_knows() {
    let lab = set_the_stage(&three()).await;
    for (plan, code) in [("SMALL-1C-1G", "same-plan"), ("HUGE-1C-1G", "plan-unknown")] {
        let refused = lab.run(resize(plan)).await;
        let Err(EngineError::Blocked { blockers }) = refused else { panic!("{plan}: {refused:?}") };
        assert_eq!(blockers.iter().map(|b| b.code.as_str()).collect::<Vec<_>>(), [code]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_is_not_stopped_whichever_call_fails() {
    for story in stories() {
        let calls = {
            let lab = set_the_stage(&story).await;
            let before = lab.world.calls();
            lab.run(story.change.clone()).await.unwrap();
            assert_eq!(lab.world.beheaded(), Vec::<NodeId>::new(), "{}", story.name);
            lab.world.calls() - before
        };
        for call in 1..=calls {
            let lab = set_the_stage(&story).await;
            let before = plans(&lab).await;
            lab.world.fail_at(lab.world.calls() + call, Fault::Rejected);
            let operation = lab.run(story.change.clone()).await.unwrap();
            lab.world.heal();
            assert_eq!(lab.world.beheaded(), Vec::<NodeId>::new(), "{}: call {call} failed", story.name);
            if operation.state == OperationState::Failed {
                assert_eq!(plans(&lab).await, before, "{}: call {call} failed: as before", story.name);
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
        assert_eq!(plans(&lab).await, ["NANO-1C-256M"; 4], "after entry {entry}");
    }
}

#[tokio::test]
async fn a_machine_that_was_found_again_with_the_size_it_was_made_with_gets_that_of_its_row() {
    let lab = set_the_stage(&three()).await;
    lab.run(resize("SMALL-1C-2G")).await.unwrap();
    let node = lab.engine.clusters().await.remove(0).spec.nodes[1].clone();
    lab.world.forget_size(&node, &PlanId::parse("SMALL-1C-1G").expect("a plan"));
    lab.run(clusterdeck_domain::Change::RebootNode { node: node.name.clone() }).await.unwrap();
    assert_eq!(lab.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_takes_long_is_done_before_the_voters_stand_aside() {
    for story in all().into_iter().filter(|s| ["promote", "resize three"].contains(&s.name)) {
        let lab = set_the_stage(&story).await;
        let before = lab.world.log().len();
        lab.run(story.change.clone()).await.unwrap();
        let calls: Vec<String> = lab.world.log().split_off(before);
        let around = ["prepare_hand_over", "disarm_failover", "hand_over"];
        let order: Vec<&str> = calls.iter().map(String::as_str).filter(|c| around.contains(c)).collect();
        assert_eq!(order, around, "{}", story.name);
    }
}
