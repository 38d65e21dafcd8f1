//! Taking machines away leaves nothing; what others own is never touched; what was left behind is found by its labels.

use crate::support::{Home, sleeper};
use clusterdeck_driver::{DriverError, Provider};

#[tokio::test]
async fn a_machine_that_is_taken_away_leaves_nothing_and_its_neighbour_alone() {
    let Some(home) = Home::enter().await else { return };
    let provider = home.provider();
    let (one, two) = (home.machine_of(&provider, 1).await, home.machine_of(&provider, 2).await);
    one.start(&sleeper()).await.unwrap();
    two.start(&sleeper()).await.unwrap();
    two.write("keep", b"me", 0o600).await.unwrap();
    let spec = |number| provider.machine_spec(&home.request(number)).unwrap();
    provider.remove_machine(&spec(1)).await.unwrap();
    provider.remove_machine(&spec(1)).await.unwrap();
    assert!(matches!(provider.machine(&spec(1)).await, Err(DriverError::Gone { .. })));
    assert_eq!(provider.machines().await.unwrap(), [spec(2).id]);
    assert_eq!(two.read("keep").await.unwrap(), b"me");
    assert!(two.state("sleeper").await.unwrap().is_running());
    provider.remove_machine(&spec(2)).await.unwrap();
    assert_eq!(home.ground.everything(), Vec::<String>::new());
    assert!(provider.machines().await.unwrap().is_empty());
    let notes: Vec<_> =
        std::fs::read_dir(home.dir.join("containers")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(notes.iter().all(|n| *n == "home" || *n == "images.json"), "{notes:?}");
}

#[tokio::test]
async fn what_carries_another_home_s_label_or_none_is_never_touched() {
    let Some(home) = Home::enter().await else { return };
    let ground = &home.ground;
    ground.podman(&["network", "create", "--label", "clusterdeck.home=another", "theirs"]);
    ground.podman(&["volume", "create", "--label", "clusterdeck.home=another", "theirs"]);
    ground.podman(&["volume", "create", "nobodys"]);
    let run = ["run", "-d", "--label", "clusterdeck.home=another", "--name", "theirs", crate::support::IMAGE];
    ground.podman(&[&run[..], &["sleep", "1000"]].concat());
    let theirs = ground.everything();
    let provider = home.provider();
    home.machine_of(&provider, 1).await;
    provider.remove_machine(&provider.machine_spec(&home.request(1)).unwrap()).await.unwrap();
    assert!(provider.machines().await.unwrap().is_empty());
    assert_eq!(ground.everything(), theirs);
    assert_eq!(home.inspect("theirs", ".State.Running"), "true");
}

#[tokio::test]
async fn a_network_that_somebody_elses_container_uses_is_told_with_its_name_and_goes_when_that_is_detached() {
    let Some(home) = Home::enter().await else { return };
    let provider = home.provider();
    home.machine_of(&provider, 1).await;
    let network = format!("clusterdeck-{}", home.request(1).cluster);
    let run = ["run", "-d", "--name", "proxy", "--network", &network, crate::support::IMAGE, "sleep", "1000"];
    home.ground.podman(&run);
    let spec = provider.machine_spec(&home.request(1)).unwrap();
    for _ in 0..2 {
        match provider.remove_machine(&spec).await {
            Err(DriverError::Rejected { what, hint }) => {
                assert!(what.contains("attached to it: proxy"), "{what}");
                assert!(hint.contains("disconnect") && hint.contains("proxy"), "{hint}");
            }
            other => panic!("{other:?}"),
        }
        // The machine's note stays until all of it is gone, so that the deletion goes on where it was.
        assert_eq!(provider.machines().await.unwrap(), std::slice::from_ref(&spec.id));
    }
    assert_eq!(home.inspect("proxy", ".State.Running"), "true", "nothing of others is touched");
    home.ground.podman(&["rm", "-f", "-t", "0", "proxy"]);
    provider.remove_machine(&spec).await.unwrap();
    assert_eq!(home.ground.everything(), Vec::<String>::new());
}

#[tokio::test]
async fn a_machine_whose_notes_were_lost_is_found_by_its_labels_and_can_be_taken_away() {
    let Some(home) = Home::enter().await else { return };
    let provider = home.provider();
    let machine = home.machine_of(&provider, 1).await;
    machine.start(&sleeper()).await.unwrap();
    let spec = provider.machine_spec(&home.request(1)).unwrap();
    std::fs::remove_dir_all(home.dir.join("containers").join(spec.id.as_str())).unwrap();
    let next = home.provider();
    assert_eq!(next.machines().await.unwrap(), std::slice::from_ref(&spec.id));
    let found = next.machine(&spec).await.unwrap();
    assert_eq!(found.address(), spec.address);
    next.remove_machine(&spec).await.unwrap();
    assert_eq!(home.ground.everything(), Vec::<String>::new(), "the unit nobody had a note of too");
}

#[tokio::test]
async fn killed_while_a_machine_was_made_or_taken_away_it_is_found_and_taken_away() {
    let Some(home) = Home::enter().await else { return };
    let provider = home.provider();
    let spec = provider.machine_spec(&home.request(1)).unwrap();
    let name = format!("clusterdeck-{}", spec.id);
    // What is there after each step of making one, in the order of making, and so of taking away.
    for left in ["a note", "a volume", "a network", "a container"] {
        home.machine_of(&provider, 1).await;
        let network = format!("clusterdeck-{}", home.request(1).cluster);
        if left != "a container" {
            home.ground.podman(&["rm", "-f", &name]);
        }
        if left == "a note" || left == "a volume" {
            home.ground.podman(&["network", "rm", &network]);
        }
        if left == "a note" {
            home.ground.podman(&["volume", "rm", &name]);
        }
        let next = home.provider();
        assert_eq!(next.machines().await.unwrap(), std::slice::from_ref(&spec.id), "{left} is found");
        home.machine_of(&next, 1).await;
        next.remove_machine(&spec).await.unwrap();
        assert_eq!(home.ground.everything(), Vec::<String>::new(), "with only {left} there");
    }
}
