//! Machines are made once, found again, and known by their folders.

use crate::support::{Home, pid_of, sleeper, until};
use clusterdeck_domain::{ClusterId, MachineId, PlanId, plan};
use clusterdeck_driver::{DriverError, Progress, Provider, UnitUsage};
use std::fs;

#[tokio::test]
async fn asking_for_a_machine_twice_gives_one() {
    let home = Home::new();
    let local = home.local();
    let request = home.request(&local, 1).await;
    let spec = local.machine_spec(&request).unwrap();
    let first = local.ensure_machine(&request, &Progress::silent()).await.unwrap();
    first.write("data/x", b"kept", 0o600).await.unwrap();
    let second = home.local().ensure_machine(&request, &Progress::silent()).await.unwrap();
    assert_eq!((first.id(), first.address()), (second.id(), second.address()));
    assert_eq!(second.read("data/x").await.unwrap(), b"kept", "what was on it stays");
    assert_eq!(local.machines().await.unwrap(), vec![spec.id.clone()]);
    assert_eq!((second.address(), second.port(6379)), (spec.address, 6379), "as the pure function said");
    let found = local.machine(&spec).await.unwrap();
    assert_eq!((found.plan(), found.limited_by()), (first.plan(), first.limited_by()));
}

#[tokio::test]
async fn a_machine_gets_another_size_once_and_keeps_what_is_on_it() {
    let home = Home::new();
    let local = home.local();
    let request = home.request(&local, 1).await;
    let spec = local.machine_spec(&request).unwrap();
    local
        .ensure_machine(&request, &Progress::silent())
        .await
        .unwrap()
        .write("x", b"kept", 0o600)
        .await
        .unwrap();
    let larger = plan(&PlanId::parse("LARGE-4C-8G").unwrap()).unwrap();
    assert_ne!(request.plan, larger);
    for _ in 0..2 {
        local.resize_machine(&spec, &larger).await.unwrap();
        let found = home.local().machine(&spec).await.unwrap();
        assert_eq!(found.plan(), &larger);
        assert_eq!(found.read("x").await.unwrap(), b"kept");
    }
    local.remove_machine(&spec).await.unwrap();
    let gone = local.resize_machine(&spec, &larger).await;
    assert!(matches!(gone, Err(DriverError::Gone { .. })), "{gone:?}");
}

/// An operation that is cancelled stops waiting; what it began goes on for a moment.
#[tokio::test]
async fn a_machine_taken_away_while_it_is_made_is_gone() {
    let home = Home::new();
    let local = home.local();
    for slot in 1..=100 {
        let request = home.request(&local, slot).await;
        let silent = Progress::silent();
        tokio::select! {
            biased;
            _ = local.ensure_machine(&request, &silent) => {}
            () = tokio::task::yield_now() => {}
        }
        local.remove_machine(&local.machine_spec(&request).unwrap()).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(local.machines().await.unwrap(), Vec::<MachineId>::new());
}

#[tokio::test]
async fn the_id_of_another_cluster_s_machine_is_not_taken_over() {
    let home = Home::new();
    let local = home.local();
    let mut request = home.request(&local, 1).await;
    local.ensure_machine(&request, &Progress::silent()).await.unwrap();
    request.cluster = ClusterId::new(99);
    assert!(matches!(
        local.ensure_machine(&request, &Progress::silent()).await,
        Err(DriverError::Broken { .. })
    ));
    let mut spec = local.machine_spec(&request).unwrap();
    spec.address = "127.0.0.1".parse().unwrap();
    assert!(
        matches!(local.machine(&spec).await, Err(DriverError::Broken { .. })),
        "nor one with another address"
    );
}

#[tokio::test]
async fn a_machine_half_made_is_listed_and_finished() {
    let home = Home::new();
    let local = home.local();
    let request = home.request(&local, 1).await;
    fs::create_dir_all(home.dir.join("machines").join(request.id.as_str()).join("units")).unwrap();
    let spec = local.machine_spec(&request).unwrap();
    assert_eq!(
        local.machines().await.unwrap(),
        vec![request.id.clone()],
        "so that it can be found and taken away"
    );
    assert!(matches!(local.machine(&spec).await, Err(DriverError::Gone { .. })), "but it is none yet");
    local.ensure_machine(&request, &Progress::silent()).await.unwrap();
    local.machine(&spec).await.unwrap();
}

#[tokio::test]
async fn what_a_killed_removal_left_goes_and_is_no_machine() {
    let home = Home::new();
    let local = home.local();
    let left = home.dir.join("machines").join(format!(".going-{}", MachineId::new(5)));
    fs::create_dir_all(left.join("data")).unwrap();
    assert_eq!(local.machines().await.unwrap(), []);
    assert!(!left.exists());
}

#[tokio::test]
async fn a_unit_s_use_is_measured() {
    let home = Home::new();
    let machine = home.machine().await;
    let busy = crate::support::script("busy", "i=0; while :; do i=$((i+1)); done");
    machine.start(&busy).await.unwrap();
    pid_of(&*machine, "busy").await;
    let mut seen = UnitUsage::default();
    for _ in 0..400 {
        seen = machine.usage("busy").await.unwrap();
        if seen.cpu_ms > Some(50) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(seen.cpu_ms > Some(50) && seen.memory_bytes > Some(100_000), "{seen:?}");
    machine.stop("busy").await.unwrap();
    assert_eq!(machine.usage("busy").await.unwrap(), UnitUsage::default(), "a stopped one uses nothing");
    assert!(matches!(machine.usage("other").await, Err(DriverError::Gone { .. })));
}

#[tokio::test]
async fn a_machine_s_units_are_its_own() {
    let home = Home::new();
    let local = home.local();
    let (one, two) = (home.machine_of(&local, 1).await, home.machine_of(&local, 2).await);
    assert_ne!(one.address(), two.address());
    one.start(&sleeper()).await.unwrap();
    two.start(&sleeper()).await.unwrap();
    let (first, second) = (pid_of(&*one, "sleeper").await, pid_of(&*two, "sleeper").await);
    assert_ne!(first, second);
    one.stop("sleeper").await.unwrap();
    until("only that one ends", || !crate::support::alive(first)).await;
    assert_eq!(pid_of(&*two, "sleeper").await, second);
}
