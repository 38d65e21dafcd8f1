//! PostgreSQL keeps one password for a role: a rotation that does not come to its end gives every role its old one back, and
//! all that signs in somewhere goes on: people, ourselves, replication, Patroni.

use crate::home::{Home, processes_of};
use clusterdeck_domain::{Change, Operation, OperationState, ServiceKind, StepState, Topology};
use clusterdeck_tests::client::connect;
use std::{process::Command, time::Duration};

fn rotate() -> Change {
    Change::RotateCredentials { cluster: "demo".to_owned() }
}

async fn until_begun(home: &Home, operation: &Operation, step: &str) {
    loop {
        let now = home.engine.operation(&operation.id).await.unwrap();
        assert!(!now.state.is_final(), "{step} must begin before the end: {now:#?}");
        if now.steps.iter().any(|s| s.name == step && s.state != StepState::Pending) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The old password opens, through the endpoint and everywhere: a promotion signs in as each of our own roles, and the
/// replicas connect anew.
async fn all_is_as_before(home: &Home, url: &str, target: &str) {
    assert_eq!(home.url().await, url, "the password in force is the old one");
    home.until_healthy().await;
    assert!(tokio::task::block_in_place(|| connect(url, false).map(drop)).is_ok(), "the old password opens");
    home.done(Change::PromoteNode { node: target.to_owned() }).await;
    home.until_healthy().await;
}

/// Patroni itself on a node, not its guard.
async fn patroni_of(home: &Home, node: &str) -> u32 {
    let machine = home.cluster().await.spec.find_node(node).unwrap().machine.id.to_string();
    let line = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let fits = |pid: &u32| {
        let line = String::from_utf8_lossy(&line(pid)).into_owned();
        line.contains(&machine) && line.contains("launch.py") && !line.contains("guard.py")
    };
    processes_of(home.dir.path()).into_iter().find(fits).expect("a Patroni")
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_postgresql_that_is_cancelled_or_fails_leaves_passwords_that_open() {
    let home = Home::open().await;
    home.create(ServiceKind::Postgresql, Topology::PrimaryReplica, 3, 0).await;
    home.until_healthy().await;
    let url = home.url().await;

    for (step, target) in [("accept", "demo-2"), ("switch", "demo-1")] {
        let operation = home.begin(rotate()).await;
        until_begun(&home, &operation, step).await;
        // Somewhere in the middle of it.
        tokio::time::sleep(Duration::from_millis(40)).await;
        home.engine.cancel(&operation.id, "test").await.unwrap();
        let ended = home.engine.wait(&operation.id).await.unwrap();
        assert_eq!(ended.state, OperationState::Cancelled, "{step}: {ended:#?}");
        assert_eq!(ended.outcome.notes, Vec::<String>::new(), "{step}: all was taken back");
        all_is_as_before(&home, &url, target).await;
    }

    // Patroni of a replica hears nothing until the step has failed; then it can be told the way back.
    let prepared = home.engine.preview(rotate()).await.unwrap();
    let hung = patroni_of(&home, "demo-3").await;
    signal("-STOP", hung);
    let operation = home.engine.confirm(&prepared.id, None, "test", None).await.unwrap();
    let failed = async {
        while home.engine.operation(&operation.id).await.unwrap().state != OperationState::Unwinding {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), failed).await.expect("the step must fail");
    signal("-CONT", hung);
    let ended = home.engine.wait(&operation.id).await.unwrap();
    assert_eq!(ended.state, OperationState::Failed, "{ended:#?}");
    assert_eq!(ended.outcome.notes, Vec::<String>::new(), "all was taken back");
    all_is_as_before(&home, &url, "demo-2").await;

    home.done(rotate()).await;
    let new = home.url().await;
    assert_ne!(new, url, "the next one comes to its end");
    assert!(
        tokio::task::block_in_place(|| connect(&url, false).map(drop)).is_err(),
        "the old password is refused"
    );
    home.done(Change::PromoteNode { node: "demo-1".to_owned() }).await;
    home.until_healthy().await;
    home.done(Change::DeleteCluster { cluster: "demo".to_owned(), discard_backups: true }).await;
    assert_eq!(home.left_behind().await, Vec::<String>::new());
}
